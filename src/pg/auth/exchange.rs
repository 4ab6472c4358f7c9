//! The exchange of messages from the startup packet to the first `ReadyForQuery`.

use std::collections::BTreeMap;
use std::io;

use bytes::BytesMut;
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::frontend;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Session;
use crate::pg::conninfo::{AuthMethod, ChannelBinding, Conninfo, Endpoint};
use crate::pg::dial::{DialError, Stream};
use crate::pg::error::ServerError;
use crate::pg::names::human;

/// A login's messages are small; a longer one does not come from a Postgres server.
const MESSAGE_LIMIT: usize = 64 * 1024;

/// Sends the startup packet and answers until the server is ready.
pub(super) async fn run(
    info: &Conninfo,
    endpoint: &Endpoint,
    stream: Stream,
    params: &[(&str, &str)],
    reached: Conninfo,
) -> Result<Session, DialError> {
    let mut exchange = Exchange { info, endpoint, stream, buffer: BytesMut::with_capacity(8192), used: None, bound: false };
    exchange.refuse_unbound_link()?;
    let startup = startup_packet(info, params).map_err(|error| exchange.io(&error))?;
    exchange.send(&startup).await?;
    exchange.authenticate().await?;
    let (mut parameters, mut process_id, mut secret_key) = (BTreeMap::new(), 0, Vec::new());
    loop {
        let (tag, body) = exchange.receive().await?;
        match tag {
            b'S' => {
                let mut texts = body.as_ref().split(|byte: &u8| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
                if let (Some(name), Some(value)) = (texts.next(), texts.next()) {
                    parameters.insert(name, value);
                }
            }
            b'K' => {
                if let Some((pid, key)) = body.split_first_chunk::<4>() {
                    process_id = i32::from_be_bytes(*pid);
                    secret_key = key.to_vec();
                }
            }
            b'Z' => break,
            b'E' => return Err(exchange.refused(&body)),
            _ => {}
        }
    }
    let Exchange { stream, buffer, .. } = exchange;
    Ok(Session { stream, buffer, parameters, process_id, secret_key, reached })
}

/// The caller's parameters win over the connection string's, but for `options`, which add up: Neon's endpoint may be in there.
fn startup_packet(info: &Conninfo, params: &[(&str, &str)]) -> io::Result<BytesMut> {
    let mut all: BTreeMap<&str, String> = BTreeMap::from([("client_encoding", "UTF8".to_owned())]);
    if let Some(name) = info.application_name() {
        all.insert("application_name", name.to_owned());
    }
    if let Some(options) = info.options() {
        all.insert("options", options.to_owned());
    }
    for (name, value) in params {
        match all.get_mut(name) {
            Some(options) if *name == "options" => *options = format!("{options} {value}"),
            _ => {
                all.insert(name, (*value).to_owned());
            }
        }
    }
    all.insert("user", info.user().to_owned());
    all.insert("database", info.database().to_owned());
    let mut packet = BytesMut::new();
    frontend::startup_message(all.iter().map(|(name, value)| (*name, value.as_str())), &mut packet)?;
    Ok(packet)
}

struct Exchange<'a> {
    info: &'a Conninfo,
    endpoint: &'a Endpoint,
    stream: Stream,
    buffer: BytesMut,
    /// How we proved who we are, so far.
    used: Option<AuthMethod>,
    /// Whether that proof was bound to the TLS channel.
    bound: bool,
}

impl Exchange<'_> {
    fn io(&self, error: &io::Error) -> DialError {
        DialError::io(self.endpoint, false, error)
    }

    fn protocol(&self, why: impl std::fmt::Display) -> DialError {
        let message = format!(
            "The login at {} failed: {why}. Check that it is a Postgres server and not something in between.",
            self.endpoint
        );
        DialError::new("login-protocol", message)
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), DialError> {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        sent.await.map_err(|error| self.io(&error))
    }

    async fn receive(&mut self) -> Result<(u8, BytesMut), DialError> {
        loop {
            match take_message(&mut self.buffer).map_err(|_| DialError::not_postgres(self.endpoint))? {
                Some(message) => return Ok(message),
                None => match self.stream.read_buf(&mut self.buffer).await {
                    Ok(0) => return Err(self.io(&io::ErrorKind::UnexpectedEof.into())),
                    Ok(_) => {}
                    Err(error) => return Err(self.io(&error)),
                },
            }
        }
    }

    fn refused(&self, body: &[u8]) -> DialError {
        DialError::server(self.info, self.endpoint, &server_error(body))
    }

    fn unbound(&self, why: &str) -> DialError {
        let message = format!(
            "channel_binding=require cannot be kept at {}: {why}. The server must use TLS and scram-sha-256, and nothing in between may end the \
             TLS connection; on a link that you trust, use channel_binding=prefer.",
            self.endpoint
        );
        DialError::new("channel-binding-unavailable", message)
    }

    /// Before anything is sent: a link that cannot be bound will not do where binding is required.
    fn refuse_unbound_link(&self) -> Result<(), DialError> {
        if self.info.channel_binding() != ChannelBinding::Require {
            return Ok(());
        }
        if !self.stream.is_encrypted() {
            return Err(self.unbound("the connection has no TLS"));
        }
        if self.stream.channel_binding().is_none() {
            return Err(self.unbound("the server's certificate has a signature that no binding is defined for (Ed25519)"));
        }
        Ok(())
    }

    /// Answers until `AuthenticationOk`.
    async fn authenticate(&mut self) -> Result<(), DialError> {
        loop {
            let (tag, body) = self.receive().await?;
            match tag {
                b'R' => {}
                b'E' => return Err(self.refused(&body)),
                // A notice, or that the server speaks an older minor version of the protocol.
                b'N' | b'v' => continue,
                _ => return Err(self.protocol("a message came that does not belong to a login")),
            }
            let Some((kind, rest)) = body.split_first_chunk::<4>() else {
                return Err(self.protocol("an authentication message was cut short"));
            };
            match i32::from_be_bytes(*kind) {
                0 => return self.accepted(),
                3 => self.send_password(AuthMethod::Password, |_, password| password.expose_secret().as_bytes().to_vec()).await?,
                5 => {
                    let Ok(salt) = <[u8; 4]>::try_from(rest) else { return Err(self.protocol("the salt has a wrong length")) };
                    let hash = move |user: &str, password: &SecretString| {
                        md5_hash(user.as_bytes(), password.expose_secret().as_bytes(), salt).into_bytes()
                    };
                    self.send_password(AuthMethod::Md5, hash).await?;
                }
                10 => self.scram(rest).await?,
                2 | 7 | 8 | 9 => {
                    let message = format!(
                        "The server at {} wants Kerberos, GSSAPI or SSPI, which this tool does not support. Allow scram-sha-256 for user {} in pg_hba.conf.",
                        self.endpoint,
                        human(self.info.user())
                    );
                    return Err(DialError::new("unsupported-authentication", message));
                }
                other => return Err(self.protocol(format!("the server asks for the unknown authentication method {other}"))),
            }
        }
    }

    /// The server is content; whether we are depends on what it asked for.
    fn accepted(&self) -> Result<(), DialError> {
        if self.used.is_none() {
            self.allow(AuthMethod::None)?;
        }
        if self.info.channel_binding() == ChannelBinding::Require && !self.bound {
            return Err(self.unbound("the server did not ask for a login that is bound to the channel"));
        }
        Ok(())
    }

    fn allow(&self, method: AuthMethod) -> Result<(), DialError> {
        let allowed = self.info.allowed_auth();
        if allowed.contains(&method) {
            return Ok(());
        }
        let names: Vec<&str> = allowed.iter().map(|method| method.name()).collect();
        let message = format!(
            "The server at {} wants the authentication method {}, but require_auth allows only {}. Change require_auth, or pg_hba.conf at the server.",
            self.endpoint,
            method.name(),
            names.join(", ")
        );
        Err(DialError::new("authentication-not-allowed", message))
    }

    fn password(&self) -> Result<SecretString, DialError> {
        self.info.password(self.endpoint).ok_or_else(|| {
            let message = format!(
                "The server at {} asks for the password of user {}, and none is given. Put it into the connection string, PGPASSWORD or the file ~/.pgpass.",
                self.endpoint,
                human(self.info.user())
            );
            DialError::new("password-missing", message)
        })
    }

    async fn send_password(
        &mut self,
        method: AuthMethod,
        answer: impl Fn(&str, &SecretString) -> Vec<u8>,
    ) -> Result<(), DialError> {
        self.allow(method)?;
        if self.info.channel_binding() == ChannelBinding::Require {
            return Err(self.unbound("the server asks for a password that is not bound to the channel"));
        }
        let answer = answer(self.info.user(), &self.password()?);
        let mut message = BytesMut::new();
        frontend::password_message(&answer, &mut message).map_err(|error| self.protocol(error))?;
        self.used = Some(method);
        self.send(&message).await
    }

    /// SCRAM-SHA-256, bound to the channel where both sides can. The server must prove that it knows the password before its
    /// `AuthenticationOk` counts.
    async fn scram(&mut self, mechanisms: &[u8]) -> Result<(), DialError> {
        self.allow(AuthMethod::Scram)?;
        let offers = |name: &str| mechanisms.split(|byte| *byte == 0).any(|mechanism| mechanism == name.as_bytes());
        let data = self.stream.channel_binding().filter(|_| self.info.channel_binding() != ChannelBinding::Disable);
        let (mechanism, binding) = match data {
            Some(data) if offers(sasl::SCRAM_SHA_256_PLUS) => {
                self.bound = true;
                (sasl::SCRAM_SHA_256_PLUS, sasl::ChannelBinding::tls_server_end_point(data))
            }
            _ if self.info.channel_binding() == ChannelBinding::Require => {
                return Err(self.unbound("the server does not offer SCRAM-SHA-256-PLUS"));
            }
            // Saying that we could have bound the channel lets the server notice that its offer was taken out on the way.
            Some(_) if offers(sasl::SCRAM_SHA_256) => (sasl::SCRAM_SHA_256, sasl::ChannelBinding::unrequested()),
            None if offers(sasl::SCRAM_SHA_256) => (sasl::SCRAM_SHA_256, sasl::ChannelBinding::unsupported()),
            _ => return Err(self.protocol("the server offers no SASL mechanism that this tool knows")),
        };
        let mut scram = sasl::ScramSha256::new(self.password()?.expose_secret().as_bytes(), binding);
        let mut message = BytesMut::new();
        frontend::sasl_initial_response(mechanism, scram.message(), &mut message).map_err(|error| self.protocol(error))?;
        self.send(&message).await?;
        let challenge = self.sasl_message(11).await?;
        scram.update(&challenge).map_err(|error| self.protocol(error))?;
        message.clear();
        frontend::sasl_response(scram.message(), &mut message).map_err(|error| self.protocol(error))?;
        self.send(&message).await?;
        let proof = self.sasl_message(12).await?;
        scram
            .finish(&proof)
            .map_err(|error| self.protocol(format!("the server could not prove that it knows the password ({error})")))?;
        self.used = Some(AuthMethod::Scram);
        Ok(())
    }

    /// The body of the SASL message of this kind; nothing else is allowed at that point.
    async fn sasl_message(&mut self, kind: i32) -> Result<BytesMut, DialError> {
        loop {
            let (tag, mut body) = self.receive().await?;
            match tag {
                b'R' if body.starts_with(&kind.to_be_bytes()) => return Ok(body.split_off(4)),
                b'E' => return Err(self.refused(&body)),
                b'N' => {}
                _ => return Err(self.protocol("the SASL exchange went out of order")),
            }
        }
    }
}

/// Takes the first whole message out of the buffer: its tag and its body.
pub(super) fn take_message(buffer: &mut BytesMut) -> Result<Option<(u8, BytesMut)>, &'static str> {
    let Some(&[tag, a, b, c, d]) = buffer.first_chunk::<5>() else { return Ok(None) };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if !(4..=MESSAGE_LIMIT).contains(&length) {
        return Err("what came is not a message of the Postgres protocol");
    }
    if buffer.len() < length + 1 {
        return Ok(None);
    }
    let mut message = buffer.split_to(length + 1);
    Ok(Some((tag, message.split_off(5))))
}

/// The fields of an `ErrorResponse` that may be kept. Whatever answers before the login is proven may send anything, so control
/// characters, which a terminal would obey, are left out.
pub(super) fn server_error(body: &[u8]) -> ServerError {
    let field = |kind: u8| {
        body.split(|byte| *byte == 0)
            .find(|field| field.first() == Some(&kind))
            .map(|field| String::from_utf8_lossy(&field[1..]).replace(char::is_control, " "))
    };
    let mut error = ServerError::new(&field(b'C').unwrap_or_else(|| "08P01".to_owned()), &field(b'M').unwrap_or_default());
    error.hint = field(b'H');
    error
}

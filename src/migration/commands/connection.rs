//! How both ends are reached from a shell: settings that libpq takes, and never a password among them.

use secrecy::SecretString;

use super::quote::keyword_value;
use crate::migration::error::Side;
use crate::migration::provider;
use crate::pg::conninfo::{AuthMethod, ChannelBinding, Conninfo, Host, Roots, SslMode, SslNegotiation, TargetSession, TlsVersion};

/// One setting: its keyword in connection strings, its environment variable, its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The keyword, such as `dbname`.
    pub keyword: &'static str,
    /// The variable, such as `PGDATABASE`.
    pub variable: &'static str,
    /// The value.
    pub value: String,
}

/// One end, as the lines reach it.
#[derive(Debug, Clone)]
pub struct End {
    /// Which.
    pub side: Side,
    /// Everything but the password.
    pub settings: Vec<Setting>,
    /// The password, if one was given.
    pub password: Option<SecretString>,
    /// What was put in the place of a pooler's address, in one sentence.
    pub replaced: Option<String>,
    /// Whether no other machine, or none outside a private network, can reach it.
    pub is_private: bool,
    /// Whether the session that looked at it was encrypted.
    pub encrypted: bool,
    /// `user@host:port/database`, for people.
    pub label: String,
}

/// Settings that name files of this machine.
const FILES: [&str; 3] = ["sslrootcert", "sslcert", "sslkey"];

impl End {
    /// The end that a connection string describes; a pooler's address is replaced by the server's own where that is known.
    pub fn new(side: Side, info: &Conninfo) -> End {
        let hint = info.is_pooled_hint();
        let direct = hint.as_ref().and_then(|hint| hint.direct.as_ref());
        let mut settings = address(info);
        if let Some(direct) = direct {
            for (keyword, value) in
                [("host", direct.host.clone()), ("port", direct.port.to_string()), ("user", direct.user.clone())]
            {
                if let Some(setting) = settings.iter_mut().find(|setting| setting.keyword == keyword) {
                    setting.value = value;
                }
            }
            settings.retain(|setting| setting.keyword != "hostaddr");
        }
        settings.extend(tls(info));
        settings.extend(session(info));
        let replaced = hint.as_ref().map(|hint| match direct {
            Some(direct) => format!(
                "The address of the {} is that of a pooler, which cannot keep a snapshot or replicate; the lines use the server's own: {}:{}.",
                side.name(),
                direct.host,
                direct.port
            ),
            None => format!("The {}: {}", side.name(), hint.explanation),
        });
        let private = |host: &Host| match host {
            Host::Socket(_) => true,
            Host::Name(name) => provider::is_private(name),
        };
        End {
            side,
            settings,
            password: info.endpoints().first().and_then(|endpoint| info.password(endpoint)),
            replaced,
            is_private: info.endpoints().iter().all(|endpoint| private(&endpoint.host)),
            encrypted: false,
            label: info.label(),
        }
    }

    /// A setting's value.
    pub fn value(&self, keyword: &str) -> Option<&str> {
        self.settings.iter().find(|setting| setting.keyword == keyword).map(|setting| setting.value.as_str())
    }

    /// The connection string in keyword form, without a password.
    pub fn string(&self) -> String {
        words(self.settings.iter())
    }

    /// The connection string that another server dials this end with. Files of this machine are not there: where a certificate was to be checked with
    /// one, only encryption is asked for.
    pub fn string_for_server(&self) -> String {
        let has_file = |setting: &Setting| FILES.contains(&setting.keyword) && setting.value != "system";
        let checked_by_file = self.settings.iter().any(has_file);
        let wanted = self.settings.iter().filter(|s| !has_file(s) && s.keyword != "target_session_attrs").cloned();
        let settings: Vec<Setting> = wanted
            .map(|mut setting| {
                if setting.keyword == "sslmode" && checked_by_file {
                    "require".clone_into(&mut setting.value);
                }
                setting
            })
            .collect();
        words(settings.iter())
    }

    /// Whether the connection string insists on TLS.
    pub fn insists_on_tls(&self) -> bool {
        matches!(self.value("sslmode"), Some("require" | "verify-ca" | "verify-full"))
    }
}

fn words<'a>(settings: impl Iterator<Item = &'a Setting>) -> String {
    settings.map(|setting| format!("{}={}", setting.keyword, keyword_value(&setting.value))).collect::<Vec<_>>().join(" ")
}

fn setting(keyword: &'static str, variable: &'static str, value: impl Into<String>) -> Setting {
    Setting { keyword, variable, value: value.into() }
}

fn address(info: &Conninfo) -> Vec<Setting> {
    let list =
        |of: &dyn Fn(&crate::pg::conninfo::Endpoint) -> String| info.endpoints().iter().map(of).collect::<Vec<_>>().join(",");
    let host = |endpoint: &crate::pg::conninfo::Endpoint| match &endpoint.host {
        Host::Name(name) => name.clone(),
        Host::Socket(dir) => dir.to_string_lossy().into_owned(),
    };
    let mut settings = vec![setting("host", "PGHOST", list(&host))];
    if info.endpoints().iter().any(|endpoint| endpoint.address.is_some()) {
        let addresses = list(&|endpoint| endpoint.address.map_or_else(String::new, |address| address.to_string()));
        settings.push(setting("hostaddr", "PGHOSTADDR", addresses));
    }
    settings.push(setting("port", "PGPORT", list(&|endpoint| endpoint.port.to_string())));
    settings.push(setting("user", "PGUSER", info.user()));
    settings.push(setting("dbname", "PGDATABASE", info.database()));
    settings
}

fn tls(info: &Conninfo) -> Vec<Setting> {
    let tls = info.tls();
    let mode = match tls.mode {
        SslMode::Disable => "disable",
        SslMode::Allow => "allow",
        SslMode::Prefer => "prefer",
        SslMode::Require => "require",
        SslMode::VerifyCa => "verify-ca",
        SslMode::VerifyFull => "verify-full",
    };
    let mut settings = vec![setting("sslmode", "PGSSLMODE", mode)];
    if tls.mode == SslMode::Disable {
        return settings;
    }
    if tls.negotiation == SslNegotiation::Direct {
        settings.push(setting("sslnegotiation", "PGSSLNEGOTIATION", "direct"));
    }
    match &tls.roots {
        Roots::File(file) => settings.push(setting("sslrootcert", "PGSSLROOTCERT", file.to_string_lossy())),
        Roots::System => settings.push(setting("sslrootcert", "PGSSLROOTCERT", "system")),
        Roots::Unchecked => {}
    }
    if let Some(client) = &tls.client {
        settings.push(setting("sslcert", "PGSSLCERT", client.certificate.to_string_lossy()));
        settings.push(setting("sslkey", "PGSSLKEY", client.key.to_string_lossy()));
    }
    if !tls.sni {
        settings.push(setting("sslsni", "PGSSLSNI", "0"));
    }
    if tls.min == TlsVersion::V13 {
        settings.push(setting("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION", "TLSv1.3"));
    }
    if tls.max == TlsVersion::V12 {
        settings.push(setting("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION", "TLSv1.2"));
    }
    settings
}

fn session(info: &Conninfo) -> Vec<Setting> {
    let mut settings = Vec::new();
    match info.channel_binding() {
        ChannelBinding::Prefer => {}
        ChannelBinding::Require => settings.push(setting("channel_binding", "PGCHANNELBINDING", "require")),
        ChannelBinding::Disable => settings.push(setting("channel_binding", "PGCHANNELBINDING", "disable")),
    }
    let allowed: Vec<&str> = info.allowed_auth().iter().map(|method| method.name()).collect();
    let every = [AuthMethod::None, AuthMethod::Password, AuthMethod::Md5, AuthMethod::Scram];
    if !allowed.is_empty() && !every.iter().all(|method| info.allowed_auth().contains(method)) {
        settings.push(setting("require_auth", "PGREQUIREAUTH", allowed.join(",")));
    }
    if let Some(options) = info.options().filter(|options| !options.is_empty()) {
        settings.push(setting("options", "PGOPTIONS", options));
    }
    let target = match info.target_session() {
        TargetSession::Any => return settings,
        TargetSession::ReadWrite => "read-write",
        TargetSession::ReadOnly => "read-only",
        TargetSession::Primary => "primary",
        TargetSession::Standby => "standby",
        TargetSession::PreferStandby => "prefer-standby",
    };
    settings.push(setting("target_session_attrs", "PGTARGETSESSIONATTRS", target));
    settings
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::pg::conninfo::Environment;

    fn end(text: &str) -> End {
        End::new(Side::Target, &Conninfo::parse(text, &Environment::default()).unwrap())
    }

    #[test]
    fn the_server_itself_takes_the_place_of_its_pooler() {
        let end =
            end("postgresql://app:secret@ep-x-pooler.eu-central-1.aws.neon.tech/shop?sslmode=require&channel_binding=require");
        assert_eq!(
            end.string(),
            "host=ep-x.eu-central-1.aws.neon.tech port=5432 user=app dbname=shop sslmode=require channel_binding=require"
        );
        assert!(end.replaced.is_some_and(|words| words.contains("ep-x.eu-central-1.aws.neon.tech:5432")));
    }

    #[test]
    fn another_server_is_told_no_file_of_this_machine() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let root = file.path().to_str().unwrap();
        let base = "host=db.example.com port=5432 user=u dbname=d sslmode";
        let end = self::end(&format!("{base}=verify-full sslrootcert={root} target_session_attrs=read-write"));
        assert_eq!(end.string(), format!("{base}=verify-full sslrootcert={root} target_session_attrs=read-write"));
        assert_eq!(end.string_for_server(), format!("{base}=require"));
        let system = self::end(&format!("{base}=verify-full sslrootcert=system"));
        assert_eq!(system.string_for_server(), format!("{base}=verify-full sslrootcert=system"));
    }

    #[test]
    fn nothing_shows_a_password() {
        let end = end("postgresql://app:planted@localhost/shop");
        assert!(!format!("{end:?}{}{}", end.string(), end.string_for_server()).contains("planted"));
        assert!(end.is_private && end.password.is_some());
    }
}

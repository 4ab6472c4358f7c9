//! The way to the API: one place that sends, waits, repeats, and reads answers.
//!
//! What may be repeated. An answer of 423, 429 or 503 says that nothing was done, so the same call is made again, whatever it is. A call that was
//! never sent, because no connection was made, is too. When an answer is lost on the way, only a call that reads is repeated: one that
//! changes something may have been carried out, and its caller has to look. The creation of a project looks after a 503, too:
//! what stands between us and Neon may have written it.
//!
//! No redirect is followed: the key goes to the address that it was given for. A call that changes something is not dropped when the person asks
//! to stop: its answer is worth more than the seconds.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_util::sync::CancellationToken;

use super::error::{ApiError, Refusal, Way};
use super::pace::{Attempts, Pace};

/// Where the API is, unless somebody says otherwise.
pub const DEFAULT_URL: &str = "https://console.neon.tech/api/v2";

/// No answer is longer: 400 projects take about half a megabyte.
const ANSWER_MAX: usize = 16 << 20;
/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// The header with the id of a call; Neon takes ours.
const REQUEST_ID: &str = "x-request-id";

/// Told of each call that is to be repeated: why, and after which pause.
type OnRetry = Arc<dyn Fn(&ApiError, Duration) + Send + Sync>;

/// A client of the API. It can be cloned; clones share their connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    key: SecretString,
    pace: Pace,
    cancel: CancellationToken,
    on_retry: OnRetry,
}

/// A call.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// The segments of the path, not escaped.
    pub(super) path: &'a [&'a str],
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<serde_json::Value>,
    /// What it does, as in "listing projects".
    pub(super) doing: &'static str,
    /// Whether its caller looks when it is not certain that it was carried out, so that a 503 is its business.
    pub(super) looks: bool,
}

impl<'a> Call<'a> {
    pub(super) fn new(method: Method, doing: &'static str, path: &'a [&'a str]) -> Self {
        Call { method, path, query: Vec::new(), body: None, doing, looks: false }
    }

    pub(super) fn get(doing: &'static str, path: &'a [&'a str]) -> Self {
        Call::new(Method::GET, doing, path)
    }

    pub(super) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(super) fn body(mut self, body: serde_json::Value) -> Self {
        self.body = Some(body);
        self
    }

    fn only_reads(&self) -> bool {
        self.method == Method::GET
    }

    fn may_be_repeated(&self, error: &ApiError) -> bool {
        match error {
            // A certificate that is not trusted will not be in a moment either.
            ApiError::Unreachable { way, .. } => *way != Way::Tls,
            _ if self.looks => error.is_refused_for_now() && !error.is_uncertain(),
            _ if self.only_reads() => error.is_refused_for_now() || error.is_uncertain(),
            _ => error.is_refused_for_now(),
        }
    }
}

impl Client {
    /// A client for the API at `url`, with a key.
    ///
    /// # Errors
    /// An address that cannot be used: it must be `https://`, or `http://` on this machine. A key that cannot be sent. No certificate authorities.
    pub fn new(url: &str, key: SecretString, pace: Pace, cancel: CancellationToken) -> Result<Client, ApiError> {
        let base = address(url)?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret().trim())).map_err(|_| ApiError::Key)?;
        bearer.set_sensitive(true);
        let headers = HeaderMap::from_iter([(AUTHORIZATION, bearer), (ACCEPT, HeaderValue::from_static("application/json"))]);
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls()?)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("neon-migrate/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .connect_timeout(CONNECT_LIMIT.min(pace.request))
            .timeout(pace.request);
        if base.scheme() == "http" {
            // A proxy would be told the key.
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| ApiError::Setup { detail: error.to_string() })?;
        Ok(Client { http, base, key, pace, cancel, on_retry: Arc::new(|_, _| ()) })
    }

    /// The same, telling `told` of each call that is to be repeated.
    #[must_use]
    pub fn on_retry(self, told: impl Fn(&ApiError, Duration) + Send + Sync + 'static) -> Client {
        Client { on_retry: Arc::new(told), ..self }
    }

    /// Its times.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Where the API is.
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Makes a call, repeats it where that is safe, and reads its answer.
    pub(super) async fn call<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, ApiError> {
        let mut attempts = Attempts::new(&self.pace);
        loop {
            let error = match self.once(&call).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if !call.may_be_repeated(&error) {
                return Err(error);
            }
            let Some(pause) = attempts.pause(error.retry_after()) else { return Err(error) };
            tracing::debug!(%error, ?pause, "the call to Neon's API is repeated");
            (self.on_retry)(&error, pause);
            self.pause(pause).await?;
        }
    }

    /// Waits, unless the person asks to stop.
    pub(super) async fn pause(&self, pause: Duration) -> Result<(), ApiError> {
        self.cancel.run_until_cancelled(tokio::time::sleep(pause)).await.ok_or(ApiError::Cancelled)
    }

    async fn once<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, ApiError> {
        if self.cancel.is_cancelled() {
            return Err(ApiError::Cancelled);
        }
        let sent = self.send(call);
        let (status, body, request_id) = match call.only_reads() {
            true => self.cancel.run_until_cancelled(sent).await.ok_or(ApiError::Cancelled)??,
            false => sent.await?,
        };
        serde_json::from_slice(&body).map_err(|error| ApiError::NotUnderstood {
            doing: call.doing,
            status,
            detail: describe(&error),
            request_id,
        })
    }

    /// Sends a call, and gives the status and the body of a good answer.
    async fn send(&self, call: &Call<'_>) -> Result<(u16, Vec<u8>, String), ApiError> {
        let request_id = request_id();
        let mut request = self.http.request(call.method.clone(), self.address_of(call)).header(REQUEST_ID, &request_id);
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let failed = |error: reqwest::Error| ApiError::transport(call.doing, &error, request_id.clone());
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        let named = |headers: &HeaderMap| Some(headers.get(REQUEST_ID)?.to_str().ok()?.to_owned());
        let answered_id = named(response.headers());
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| wanted_pause(value.to_str().ok()?));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > ANSWER_MAX {
                let detail = format!("it is longer than {ANSWER_MAX} bytes");
                return Err(ApiError::NotUnderstood { doing: call.doing, status: status.as_u16(), detail, request_id });
            }
            body.extend_from_slice(&chunk);
        }
        let request_id = answered_id.unwrap_or(request_id);
        if status.is_success() {
            return Ok((status.as_u16(), body, request_id));
        }
        Err(ApiError::Refused(Box::new(self.refusal(call.doing, status, &body, request_id, retry_after))))
    }

    fn address_of(&self, call: &Call<'_>) -> Url {
        let mut url = self.base.clone();
        // An http address always has segments.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(call.path);
        }
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        url
    }

    /// Reads the body of an error. Whatever it says, the key is not repeated.
    fn refusal(
        &self,
        doing: &'static str,
        status: StatusCode,
        body: &[u8],
        request_id: String,
        retry_after: Option<Duration>,
    ) -> Refusal {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Body {
            request_id: String,
            code: String,
            message: String,
        }
        let read: Body = serde_json::from_slice(body).unwrap_or_default();
        let message = match read.message.is_empty() {
            true => status.canonical_reason().unwrap_or("no reason given").to_owned(),
            false => read.message,
        };
        let hide = |text: String| text.replace(self.key.expose_secret().trim(), "[hidden]").chars().take(1000).collect();
        Refusal {
            doing,
            status: status.as_u16(),
            code: hide(read.code),
            message: hide(message),
            request_id: hide(if read.request_id.is_empty() { request_id } else { read.request_id }),
            retry_after,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &self.url()).field("pace", &self.pace).finish_non_exhaustive()
    }
}

/// What is wrong with a body, without its content: it may hold a password.
fn describe(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let what = match error.classify() {
        Category::Eof | Category::Io => "it ends too early",
        Category::Syntax => "it is not JSON",
        Category::Data => "something that is needed is missing, or has another form",
    };
    format!("{what} (at line {}, column {})", error.line(), error.column())
}

fn address(text: &str) -> Result<Url, ApiError> {
    let refused = |why| ApiError::Address { url: shown(text), why };
    let url = Url::parse(text.trim()).map_err(|_| refused("it is not a URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("it holds a user or a password; the key is given in NEON_API_KEY"));
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let here = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    match url.scheme() {
        "https" if !host.is_empty() => Ok(url),
        "http" if here => Ok(url),
        "http" => Err(refused("the key would travel unencrypted; http:// is for this machine only")),
        _ => Err(refused("it does not begin with https://")),
    }
}

/// An address without what may be a secret in it.
fn shown(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    match text.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => text.to_owned(),
    }
}

fn tls() -> Result<ClientConfig, ApiError> {
    let failed = |error: tokio_rustls::rustls::Error| ApiError::Setup { detail: error.to_string() };
    let provider = Arc::new(ring::default_provider());
    let roots = rustls_platform_verifier::Verifier::new(Arc::clone(&provider)).map_err(failed)?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(roots))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// An id for a call, in the form of a random UUID.
fn request_id() -> String {
    let [a, b, c, d]: [u32; 4] = rand::random();
    format!("{a:08x}-{:04x}-4{:03x}-a{:03x}-{:04x}{d:08x}", b >> 16, b & 0xfff, c >> 20, c & 0xffff)
}

/// `Retry-After`: seconds, or a date (RFC 9110, 10.2.3).
fn wanted_pause(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(until.duration_since(Timestamp::now()).try_into().unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn client(url: &str, key: &str) -> Result<Client, ApiError> {
        Client::new(url, SecretString::from(key), Pace::default(), CancellationToken::new())
    }

    #[test]
    fn the_key_is_sent_encrypted_or_to_this_machine_only() {
        for url in [DEFAULT_URL, "http://127.0.0.1:4000/api/v2", "http://localhost:1", "http://[::1]:4000/"] {
            client(url, "k").unwrap_or_else(|error| panic!("{url}: {error}"));
        }
        for url in [
            "http://console.neon.tech/api/v2",
            "ftp://x/",
            "console.neon.tech",
            "",
            "https://u:planted@h/",
            "http://127.0.0.1.example.org/",
        ] {
            let error = client(url, "k").unwrap_err();
            assert!(matches!(error, ApiError::Address { .. }), "{url}: {error}");
            assert!(!error.to_string().contains("planted"), "{error}");
        }
    }

    #[test]
    fn nothing_shows_the_key() {
        let shown = format!("{:?}", client(DEFAULT_URL, "planted-key").unwrap());
        assert!(shown.contains("console.neon.tech") && !shown.contains("planted"), "{shown}");
        let error = client(DEFAULT_URL, "planted\nkey").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("planted"));
        let client = client(DEFAULT_URL, " planted-key\n").unwrap();
        let body = br#"{"code":"","message":"bad key planted-key"}"#;
        let refusal = client.refusal("x", StatusCode::UNAUTHORIZED, body, "id".to_owned(), None);
        assert_eq!((refusal.message.as_str(), refusal.request_id.as_str()), ("bad key [hidden]", "id"));
    }

    #[test]
    fn names_become_single_segments() {
        let client = client("https://h/api/v2/", "k").unwrap();
        let call = Call::get("x", &["projects", "../a b?", "x"]).query("search", "a&b=c");
        assert_eq!(client.address_of(&call).as_str(), "https://h/api/v2/projects/..%2Fa%20b%3F/x?search=a%26b%3Dc");
        assert_eq!(client.url(), "https://h/api/v2");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(wanted_pause(" 7"), Some(Duration::from_secs(7)));
        assert_eq!(wanted_pause("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        let later = wanted_pause("Fri, 31 Dec 2100 23:59:59 GMT").unwrap();
        assert!(later > Duration::from_secs(1_000_000), "{later:?}");
        assert_eq!(wanted_pause("soon"), None);
    }

    #[test]
    fn a_lost_answer_is_repeated_only_for_what_reads() {
        let lost = ApiError::Lost { doing: "x", way: Way::Network, detail: String::new(), request_id: String::new() };
        let refused = |status| {
            let refusal = Refusal {
                doing: "x",
                status,
                code: String::new(),
                message: String::new(),
                request_id: String::new(),
                retry_after: None,
            };
            ApiError::Refused(Box::new(refusal))
        };
        let read = Call::get("x", &[]);
        let write = Call::new(Method::PATCH, "x", &[]);
        let looks = Call { looks: true, ..Call::new(Method::POST, "x", &[]) };
        let repeated = |call: &Call| [423, 429, 503, 502, 500, 422, 401].map(|status| call.may_be_repeated(&refused(status)));
        assert_eq!(repeated(&read), [true, true, true, true, true, false, false]);
        assert_eq!(repeated(&write), [true, true, true, false, false, false, false]);
        assert_eq!(repeated(&looks), [true, true, false, false, false, false, false]);
        assert_eq!([&read, &write, &looks].map(|call| call.may_be_repeated(&lost)), [true, false, false]);
    }

    #[test]
    fn ids_of_calls_have_the_form_of_a_uuid() {
        let id = request_id();
        assert_eq!(id.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{id}");
    }
}

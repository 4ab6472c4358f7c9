//! Who may see the page, and whose requests are obeyed.
//!
//! Any site that a browser visits can send requests to this machine, and any name can be made to point to it. So, for every request:
//! the `Host` must be one of ours (a foreign name that resolves to us is refused); a visitor is who holds the cookie, which only a link that
//! works once, or the password, gives, and which browsers send along only with requests that our own pages make (`SameSite=Strict`); and what
//! changes anything must come from our own origin and carry the token that stands in our forms. A watcher's cookie changes nothing.
//!
//! Of tokens and cookies only digests are kept, and digests are what is compared, so that the time of a comparison tells nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use rand::TryRngCore;
use rand::rngs::OsRng;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::app::{App, lock};
use super::page;

/// How long a link can be used that nobody has used yet.
const TICKET_LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// How many visitors, and how many unused links, there may be; of more, the oldest go.
const VISITORS_MAX: usize = 64;
/// How long a form may be, in bytes.
const FORM_MAX: usize = 256 * 1024;
/// How long a wrong password makes everybody wait: this, then twice as long, up to the other.
const WAIT_FIRST: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(60);
/// What no page of ours needs is forbidden.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What a visitor may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Owner,
    /// Look.
    Watcher,
}

/// Who makes a request; the guard gives it to every handler.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// What the visitor may do.
    pub role: Role,
    /// What stands in the forms of this visitor.
    pub csrf: String,
}

impl Visitor {
    /// Whether the visitor may act, and not only look.
    pub fn may_act(&self) -> bool {
        self.role == Role::Owner
    }
}

type Key = [u8; 32];

#[derive(Debug)]
struct Ticket {
    role: Role,
    made: Instant,
}

/// See the module.
#[derive(Debug)]
pub struct Guard {
    origin: String,
    hosts: Vec<String>,
    cookie: String,
    password: Option<SecretString>,
    tickets: Mutex<HashMap<Key, Ticket>>,
    visitors: Mutex<HashMap<Key, (Visitor, Instant)>>,
    wait: Mutex<Option<(Instant, Duration)>>,
}

/// Where the page is served.
#[derive(Debug)]
pub struct Place {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The host that links name, with the port.
    pub host: String,
    /// Other names that the server answers to, with the port.
    pub also: Vec<String>,
    /// The port, which tells the cookies of several such pages apart: browsers do not.
    pub port: u16,
    /// What must be typed, where others can reach the page.
    pub password: Option<SecretString>,
}

impl Guard {
    /// A guard that has let nobody in yet.
    pub fn new(place: Place) -> Guard {
        let mut hosts = place.also;
        hosts.push(place.host.clone());
        Guard {
            origin: format!("{}://{}", place.scheme, place.host),
            hosts,
            cookie: format!("neon-migrate-{}", place.port),
            password: place.password,
            tickets: Mutex::default(),
            visitors: Mutex::default(),
            wait: Mutex::default(),
        }
    }

    /// A link that lets one visitor in, once.
    pub fn link(&self, role: Role) -> String {
        let token = random();
        let mut tickets = lock(&self.tickets);
        tickets.retain(|_, ticket| ticket.made.elapsed() < TICKET_LIFETIME);
        make_room(&mut tickets, |ticket| ticket.made);
        tickets.insert(digest(&token), Ticket { role, made: Instant::now() });
        format!("{}/open?token={token}", self.origin)
    }

    fn redeem(&self, token: &str) -> Option<Role> {
        let ticket = lock(&self.tickets).remove(&digest(token))?;
        (ticket.made.elapsed() < TICKET_LIFETIME).then_some(ticket.role)
    }

    /// Lets a visitor in: the header that makes the browser keep the cookie.
    fn admit(&self, role: Role) -> String {
        let value = random();
        let mut visitors = lock(&self.visitors);
        make_room(&mut visitors, |(_, seen)| *seen);
        visitors.insert(digest(&value), (Visitor { role, csrf: random() }, Instant::now()));
        let secure = if self.origin.starts_with("https:") { "; Secure" } else { "" };
        format!("{}={value}; Path=/; HttpOnly; SameSite=Strict{secure}", self.cookie)
    }

    fn visitor(&self, headers: &HeaderMap) -> Option<Visitor> {
        let cookies =
            headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|line| line.split(';'));
        let mut ours = cookies.filter_map(|cookie| cookie.trim().strip_prefix(self.cookie.as_str())?.strip_prefix('='));
        let mut visitors = lock(&self.visitors);
        let (visitor, seen) = ours
            .find_map(|value| visitors.contains_key(&digest(value)).then(|| digest(value)))
            .and_then(|key| visitors.get_mut(&key))?;
        *seen = Instant::now();
        Some(visitor.clone())
    }

    fn is_our_host(&self, headers: &HeaderMap) -> bool {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        self.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(host))
    }

    /// Whether a request that changes something was made by a page of ours. Browsers always name the origin of such requests.
    fn is_our_origin(&self, headers: &HeaderMap) -> bool {
        let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok()).unwrap_or_default();
        let scheme = self.origin.split_once("://").map_or("", |(scheme, _)| scheme);
        let host = origin.split_once("://").filter(|(theirs, _)| *theirs == scheme).map_or("", |(_, host)| host);
        self.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(host))
    }

    /// How long nobody may try a password.
    fn must_wait(&self) -> Option<Duration> {
        let wait = *lock(&self.wait);
        wait.and_then(|(since, wait)| wait.checked_sub(since.elapsed())).filter(|left| !left.is_zero())
    }

    fn is_password(&self, typed: &SecretString) -> bool {
        let right =
            self.password.as_ref().is_some_and(|password| digest(password.expose_secret()) == digest(typed.expose_secret()));
        let mut wait = lock(&self.wait);
        *wait = if right { None } else { Some((Instant::now(), wait.map_or(WAIT_FIRST, |(_, wait)| (wait * 2).min(WAIT_MAX)))) };
        right
    }
}

fn make_room<T>(map: &mut HashMap<Key, T>, age: impl Fn(&T) -> Instant) {
    if map.len() >= VISITORS_MAX
        && let Some(oldest) = map.iter().min_by_key(|(_, value)| age(value)).map(|(key, _)| *key)
    {
        map.remove(&oldest);
    }
}

fn digest(text: &str) -> Key {
    Sha256::digest(text).into()
}

/// 256 bits that nobody can guess, in hexadecimal. A system without randomness cannot serve a page safely; an empty text is accepted nowhere.
fn random() -> String {
    let mut bytes = [0_u8; 32];
    match OsRng.try_fill_bytes(&mut bytes) {
        Ok(()) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        Err(_) => String::new(),
    }
}

/// Looks at every request before anything else does.
pub async fn watch(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = pass(&app, request, next).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // A stricter policy would make browsers hide the origin of our own forms.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn pass(app: &App, request: Request, next: Next) -> Response {
    let guard = &app.guard;
    if !guard.is_our_host(request.headers()) {
        return page::refused(
            StatusCode::FORBIDDEN,
            "This is not the address that the page is served at. Open the link that neon-migrate printed.",
        );
    }
    let safe = matches!(*request.method(), Method::GET | Method::HEAD);
    if !safe && !guard.is_our_origin(request.headers()) {
        return page::refused(StatusCode::FORBIDDEN, "The request came from another site, and was not obeyed.");
    }
    if is_open_to_all(request.uri().path()) {
        return next.run(request).await;
    }
    let Some(visitor) = guard.visitor(request.headers()) else { return page::not_invited(guard.password.is_some()) };
    if !safe && app.replay.is_some() && !matches!(request.uri().path(), "/replay" | "/share") {
        return page::refused(StatusCode::FORBIDDEN, "This is a recording: nothing can be done in it.");
    }
    let mut request = if safe {
        request
    } else {
        match with_token(request, &visitor).await {
            Ok(request) => request,
            Err(refused) => return refused,
        }
    };
    request.extensions_mut().insert(visitor);
    next.run(request).await
}

fn is_open_to_all(path: &str) -> bool {
    path.starts_with("/static/") || matches!(path, "/open" | "/login" | "/favicon.ico")
}

/// The request, if the visitor may act and it carries the token of the visitor's forms.
async fn with_token(request: Request, visitor: &Visitor) -> Result<Request, Response> {
    if !visitor.may_act() {
        return Err(page::refused(StatusCode::FORBIDDEN, "This link is for watching. Only who started neon-migrate can act."));
    }
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, FORM_MAX).await.map_err(|_| page::refused(StatusCode::PAYLOAD_TOO_LARGE, "The form is too long."))?;
    let in_header = parts.headers.get("x-csrf").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let token = in_header.or_else(|| token_in(&body)).unwrap_or_default();
    if digest(&token) != digest(&visitor.csrf) {
        let why = "The form was made for an earlier visit, and was not obeyed. Load the page again, and send it once more.";
        return Err(page::refused(StatusCode::FORBIDDEN, why));
    }
    Ok(Request::from_parts(parts, Body::from(body)))
}

/// Our tokens are hexadecimal, so nothing in them is encoded.
fn token_in(form: &Bytes) -> Option<String> {
    let form = std::str::from_utf8(form).ok()?;
    form.split('&').find_map(|field| field.strip_prefix("csrf=")).map(str::to_owned)
}

/// `GET /open?token=…`: the link that lets a visitor in. It answers with a page, and not with a redirection, because browsers do not send a
/// strict cookie along with a redirection that another site began, such as a click in a mail.
pub async fn open(State(app): State<App>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let role = query.get("token").and_then(|token| app.guard.redeem(token));
    match role {
        Some(Role::Owner) if app.guard.password.is_some() => page::login(None).into_response(),
        Some(role) => admitted(&app, role),
        None => page::refused(
            StatusCode::UNAUTHORIZED,
            "This link was used already, or is not known. Each works once. A browser that used one can go on at the address without it; \
             for another one, make a link there, or start neon-migrate ui again.",
        ),
    }
}

fn admitted(app: &App, role: Role) -> Response {
    let cookie = HeaderValue::from_str(&app.guard.admit(role)).ok();
    let mut response = Html(page::ENTER).into_response();
    if let Some(cookie) = cookie {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// What is typed at the door.
#[derive(Deserialize)]
pub struct Login {
    password: SecretString,
}

/// `GET /login`: the door, where there is a password.
pub async fn door(State(app): State<App>) -> Response {
    if app.guard.password.is_some() { page::login(None).into_response() } else { page::not_invited(false) }
}

/// `POST /login`.
pub async fn login(State(app): State<App>, axum::Form(form): axum::Form<Login>) -> Response {
    if app.guard.password.is_none() {
        return page::not_invited(false);
    }
    if let Some(left) = app.guard.must_wait() {
        let why = format!("A wrong password was typed. Try again in {} s.", left.as_secs() + 1);
        return (StatusCode::TOO_MANY_REQUESTS, page::login(Some(&why))).into_response();
    }
    if app.guard.is_password(&form.password) {
        return admitted(&app, Role::Owner);
    }
    (StatusCode::UNAUTHORIZED, page::login(Some("This is not the password."))).into_response()
}

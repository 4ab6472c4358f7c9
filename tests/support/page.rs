//! The page as a browser without scripts sees it: links, cookies, forms and the stream, by plain HTTP. Every answer is kept, to be searched for
//! what must not be in any.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::{Client, Method, Response};

use super::child::{Run, Running};
use super::poll;

const LIMIT: Duration = Duration::from_secs(60);

/// A `neon-migrate ui` at work, and one browser that its link let in.
pub struct Page {
    pub process: Running,
    pub origin: String,
    pub cookie: String,
    client: Client,
    answers: Mutex<Vec<(String, String)>>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Page {
    /// Starts `ui` with more arguments and variables, and opens its link.
    pub async fn open(args: &[&str], environment: &[(&str, &str)]) -> Page {
        let words = ["ui", "--no-open", "--port", "0"].into_iter().chain(args.iter().copied());
        let run = environment.iter().fold(Run::new(words), |run, (name, value)| run.env(name, value));
        Page::of(run.start()).await
    }

    /// Opens the link that a process prints.
    pub async fn of(process: Running) -> Page {
        let link = poll::until(LIMIT, "ui prints its link", async || {
            process.stdout().lines().find(|line| line.contains("/open?token=")).map(str::to_owned)
        })
        .await;
        let origin = link.split("/open").next().unwrap().to_owned();
        let client = client().build().unwrap();
        let mut page = Page { process, origin, cookie: String::new(), client, answers: Mutex::default() };
        page.cookie = page.enter(&link).await.expect("the link lets in");
        page
    }

    /// Follows a link that lets in; the cookie, if it does.
    pub async fn enter(&self, link: &str) -> Option<String> {
        let answer = self.client.get(link).send().await.unwrap();
        let cookie = answer.headers().get(SET_COOKIE)?.to_str().unwrap();
        Some(cookie.split(';').next().unwrap().to_owned())
    }

    /// A request as it is, for tests of the door.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.origin))
    }

    /// Loads a page.
    pub async fn get(&self, path: &str) -> Answer {
        let answer = self.request(Method::GET, path).header(COOKIE, &self.cookie).send().await.unwrap();
        self.keep(path, answer).await
    }

    /// Sends a form as the page would, with its token.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.post_as(path, fields, false).await
    }

    /// Sends a form as the page's script would.
    pub async fn post_scripted(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.post_as(path, fields, true).await
    }

    async fn post_as(&self, path: &str, fields: &[(&str, &str)], scripted: bool) -> Answer {
        let csrf = self.csrf().await;
        let mut request = self.request(Method::POST, path).header(COOKIE, &self.cookie).header(ORIGIN, &self.origin);
        if scripted {
            request = request.header("x-requested-with", "app");
        }
        let fields: Vec<(&str, &str)> = fields.iter().copied().chain([("csrf", csrf.as_str())]).collect();
        let answer =
            request.header("content-type", "application/x-www-form-urlencoded").body(encoded(&fields)).send().await.unwrap();
        self.keep(path, answer).await
    }

    /// The token of this visitor's forms.
    pub async fn csrf(&self) -> String {
        let page = self.get("/check").await.body;
        let (_, after) = page.split_once("<meta name=\"csrf\" content=\"").expect("the page has a token");
        after.split('"').next().unwrap().to_owned()
    }

    /// Loads a page again and again until it says `words`.
    pub async fn until(&self, path: &str, words: &str) -> String {
        poll::until(LIMIT, &format!("{path} says {words:?}"), async || {
            let page = self.get(path).await.body;
            page.contains(words).then_some(page)
        })
        .await
    }

    /// Reads the stream of a step until it has sent `words`; gives what it sent. `last` is the id that a page that comes back names.
    pub async fn stream_until(&self, path: &str, last: Option<&str>, words: &str) -> String {
        let mut request = self.request(Method::GET, path).header(COOKIE, &self.cookie);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let mut answer = request.send().await.unwrap();
        let mut sent = String::new();
        let read = async {
            while let Some(chunk) = answer.chunk().await.unwrap() {
                sent.push_str(&String::from_utf8_lossy(&chunk));
                if sent.contains(words) {
                    return;
                }
            }
            panic!("the stream of {path} ended without {words:?}");
        };
        tokio::time::timeout(LIMIT, read).await.unwrap_or_else(|_| panic!("the stream of {path} did not send {words:?}"));
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).push((path.to_owned(), sent.clone()));
        sent
    }

    /// Fails if any answer so far, or what the process printed, holds a text.
    pub fn assert_never_said(&self, secret: &str) {
        for (path, body) in self.answers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            assert!(!body.contains(secret), "{secret} is in the answer of {path}:\n{body}");
        }
        assert!(!self.process.stdout().contains(secret) && !self.process.stderr().contains(secret), "{secret} was printed");
    }

    async fn keep(&self, path: &str, answer: Response) -> Answer {
        let status = answer.status().as_u16();
        let text = |value: &reqwest::header::HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let headers: BTreeMap<String, String> =
            answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let body = answer.text().await.unwrap();
        let whole = format!("{headers:?}\n{body}");
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).push((path.to_owned(), whole));
        Answer { status, headers, body }
    }
}

impl Answer {
    /// Fails with the whole answer unless the status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Where a redirection leads.
    pub fn location(&self) -> &str {
        self.headers.get(LOCATION.as_str()).map_or("", String::as_str)
    }
}

/// A client that follows nothing by itself.
pub fn client() -> reqwest::ClientBuilder {
    // A second one in this process is the same one.
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().timeout(LIMIT)
}

/// Fields as a form sends them.
fn encoded(fields: &[(&str, &str)]) -> String {
    let escape = |text: &str| -> String {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        text.bytes().map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
    };
    fields.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect::<Vec<_>>().join("&")
}

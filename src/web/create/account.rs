//! The key of Neon's API: entered once, checked, and kept in memory; and whose it is.

use axum::Form;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{Asked, change};
use crate::engine::report::Report;
use crate::migration::provision::account::{Account, OrgChoice};
use crate::migration::provision::report;
use crate::neon::client::Client;
use crate::neon::pace::Pace;
use crate::neon::types::{KeyKind, Organization, RegionInfo};
use crate::web::app::App;
use crate::web::page::{Step, after};

/// What the key opens.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) account: Account,
    /// Where projects can be created.
    pub(super) regions: Vec<RegionInfo>,
}

impl Known {
    /// The organisations that a project may belong to, if somebody has to say which.
    pub(super) fn several(&self) -> &[Organization] {
        if self.account.organizations.len() > 1 { &self.account.organizations } else { &[] }
    }

    /// The organisation with this id, or the only one.
    pub(super) fn organization(&self, id: &str) -> Option<Organization> {
        let wanted = Some(id).filter(|id| !id.is_empty());
        match self.account.organization(wanted) {
            Ok(OrgChoice::Settled(org)) => org,
            _ => None,
        }
    }

    /// Whose it is, in a sentence.
    pub(super) fn words(&self) -> String {
        match (self.account.kind, self.account.organizations.as_slice()) {
            (KeyKind::Organization, _) => "It belongs to an organization, and so will the project.".to_owned(),
            (KeyKind::Personal, []) => "It belongs to a person.".to_owned(),
            (KeyKind::Personal, [only]) => {
                format!("It belongs to a person; the project will belong to the organization {}.", human(&only.name))
            }
            (KeyKind::Personal, several) => format!("It belongs to a person with {} organizations.", several.len()),
        }
    }
}

fn human(name: &str) -> String {
    crate::pg::names::human_line(name)
}

/// The way to Neon with a key; while a call is tried again, the page says why.
pub(super) fn client(app: &App, key: SecretString) -> Result<Client, Report> {
    let client =
        Client::new(&app.options.api_url, key, Pace::of_process(), app.stop().clone()).map_err(|error| report::of(&error))?;
    let told = app.clone();
    Ok(client.on_retry(move |error, pause| {
        // Shorter pauses pass unnoticed.
        if pause.as_secs() >= 1 {
            let why = format!("{} It is tried again in {} s.", report::of(error).message, pause.as_secs());
            change(&told, |inner| inner.trouble = Some(why));
        }
    }))
}

/// What is typed.
#[derive(Deserialize)]
pub struct Entered {
    key: SecretString,
}

/// `POST /create/key`.
pub async fn enter(State(app): State<App>, headers: HeaderMap, Form(entered): Form<Entered>) -> Response {
    let key = SecretString::from(entered.key.expose_secret().trim());
    if key.expose_secret().is_empty() {
        change(&app, |inner| inner.errors.insert("key", "Paste the key that Neon's console showed.".to_owned()));
    } else {
        look(&app, key);
    }
    after(&headers, Step::Create)
}

/// `POST /create/key/forget`.
pub async fn forget(State(app): State<App>, headers: HeaderMap) -> Response {
    app.set_ends(|ends| ends.api_key = None);
    change(&app, |inner| {
        inner.account = Asked::NotYet;
        inner.stage.back();
    });
    after(&headers, Step::Create)
}

/// Looks at the key that the environment gave.
pub(super) fn look_at_given(app: &App) {
    let is_new = matches!(app.create.lock().account, Asked::NotYet);
    if let Some(key) = app.ends().api_key.filter(|_| is_new) {
        look(app, key);
    }
}

/// Checks a key; one that Neon knows is kept.
fn look(app: &App, key: SecretString) {
    let begun = change(app, |inner| {
        inner.errors.remove("key");
        !matches!(std::mem::replace(&mut inner.account, Asked::Asking), Asked::Asking)
    });
    if !begun {
        return;
    }
    let asking = app.clone();
    app.spawn(async move {
        let answer = open(&asking, key.clone()).await;
        if answer.is_ok() {
            asking.set_ends(|ends| ends.api_key = Some(key));
        }
        change(&asking, |inner| (inner.account, inner.trouble) = (Asked::of(answer), None));
    });
}

async fn open(app: &App, key: SecretString) -> Result<Known, Report> {
    let client = client(app, key)?;
    let account = Account::look(&client).await.map_err(|error| report::of(&error))?;
    let org = match account.organization(None)? {
        OrgChoice::Settled(org) => org,
        OrgChoice::Ask(_) => None,
    };
    let regions = client.regions(org.as_ref().map(|org| org.id.as_str())).await.map_err(|error| report::of(&error))?;
    Ok(Known { account, regions })
}

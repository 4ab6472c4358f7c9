//! The new connection string. The password is in no answer but the one that somebody asks for, and the page takes it away again after a minute.

use askama::Template;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Form, Json};
use serde::Deserialize;
use serde_json::json;

use crate::engine::report::Report;
use crate::migration::by_hand::examples::{Address, Addresses, Example, FRAMEWORKS};
use crate::web::app::App;
use crate::web::guard::Visitor;
use crate::web::page::{self, Part, Step, Wanted, after};

/// After how many seconds a page takes a shown password away.
const HIDES_AFTER_S: u32 = 60;

#[derive(Template)]
#[template(path = "finish/connection.html")]
struct Connection<'a> {
    visitor: &'a Visitor,
    addresses: Option<Addresses>,
    example: Option<Example>,
    is_shown: bool,
}

impl Connection<'_> {
    fn uri(&self, address: &Address) -> String {
        address.uri(self.is_shown)
    }

    fn frameworks(&self) -> Vec<(&'static str, &'static str, bool)> {
        let open = self.example.as_ref().map_or("", |example| example.id);
        FRAMEWORKS.iter().map(|(id, title)| (*id, *title, *id == open)).collect()
    }

    fn example_id(&self) -> &'static str {
        self.example.as_ref().map_or("env", |example| example.id)
    }
}

/// The part `connection`.
///
/// # Errors
/// A fault of this program.
pub(super) fn part(app: &App, visitor: &Visitor, framework: &str, shown: bool) -> Result<Part, Report> {
    let addresses = app.ends().target.as_ref().map(Addresses::of);
    let example = addresses.as_ref().map(|addresses| addresses.example(framework, shown));
    Part::new("connection", &Connection { visitor, addresses, example, is_shown: shown })
}

/// The framework that an address asks for.
pub(super) fn framework(wanted: &Wanted) -> &str {
    wanted.get("for").map_or("env", String::as_str)
}

/// What the form beside the connection strings says.
#[derive(Deserialize)]
pub struct Reveal {
    #[serde(default)]
    hide: bool,
    #[serde(rename = "for", default)]
    framework: String,
}

/// `POST /finish/password`: the connection strings with the password, or without it again.
pub async fn reveal(
    State(app): State<App>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
    Form(form): Form<Reveal>,
) -> Response {
    let drawn = part(&app, &visitor, &form.framework, !form.hide)
        .and_then(|shown| Ok((shown, part(&app, &visitor, &form.framework, false)?)));
    let (shown, hidden) = match drawn {
        Ok(parts) => parts,
        Err(report) => return page::failed(&report),
    };
    if page::is_scripted(&headers) {
        let part = |part: &Part| json!({ "id": part.id, "html": part.html });
        let mut answer = json!({ "parts": [part(&shown)] });
        if !form.hide {
            answer["then"] = json!([part(&hidden)]);
            answer["after_s"] = json!(HIDES_AFTER_S);
        }
        return Json(answer).into_response();
    }
    match form.hide {
        true => after(&headers, Step::Finish),
        false => page::alone("The connection string with its password", &visitor, vec![shown]),
    }
}

//! Comparing both databases once more, in this process.

use axum::Form;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;

use super::change;
use crate::engine::cancel::Cancel;
use crate::engine::report::Report;
use crate::engine::view::View;
use crate::migration::ends::{Source, Target};
use crate::migration::run::verify::{self, Options};
use crate::migration::scope::Scope;
use crate::migration::verify::Method;
use crate::web::app::App;
use crate::web::page::{Step, after};

/// Where the comparison stands.
#[derive(Debug, Default)]
pub(super) enum Stands {
    #[default]
    NotYet,
    /// Both ends are being looked at.
    Preparing,
    Running(Box<View>, Cancel),
    Ended(Box<View>),
    /// It did not even begin.
    Failed(Report),
}

impl Stands {
    pub(super) fn is_running(&self) -> bool {
        matches!(self, Stands::Preparing | Stands::Running(..))
    }

    /// What there is of it.
    pub(super) fn view(&self) -> Option<&View> {
        match self {
            Stands::Running(view, _) | Stands::Ended(view) => Some(view),
            _ => None,
        }
    }
}

/// How it is to be done.
#[derive(Deserialize)]
pub struct Wish {
    #[serde(default)]
    method: String,
}

impl Wish {
    fn method(&self) -> Method {
        match self.method.as_str() {
            "counts" => Method::Counts,
            "strict" => Method::Strict,
            _ => Method::Hash,
        }
    }
}

/// `POST /finish/verify`.
pub async fn begin(State(app): State<App>, headers: HeaderMap, Form(wish): Form<Wish>) -> Response {
    // What comes of it is kept as that of these databases.
    super::forget_others(&app);
    let ends = app.ends();
    if let (Some(source), Some(target)) = (ends.source, ends.target) {
        let begun = change(&app, |inner| {
            let begins = !inner.verify.is_running();
            if begins {
                inner.verify = Stands::Preparing;
            }
            begins
        });
        if begun {
            let (method, working) = (wish.method(), app.clone());
            app.spawn(async move { work(&working, source, target, method).await });
        }
    }
    after(&headers, Step::Finish)
}

/// `POST /finish/verify/stop`.
pub async fn stop(State(app): State<App>, headers: HeaderMap) -> Response {
    if let Stands::Running(_, cancel) = &app.finish.lock().verify {
        cancel.soon().cancel();
    }
    after(&headers, Step::Finish)
}

async fn work(app: &App, source: Source, target: Target, method: Method) {
    let worked = compare(app, &source, &target, method).await;
    change(app, |inner| {
        inner.verify = match (worked, std::mem::take(&mut inner.verify)) {
            (Err(report), _) => Stands::Failed(report),
            (Ok(()), Stands::Running(view, _)) => Stands::Ended(view),
            (Ok(()), _) => Stands::NotYet,
        };
    });
}

async fn compare(app: &App, source: &Source, target: &Target, method: Method) -> Result<(), Report> {
    let options = Options { scope: Scope::default(), method: Some(method), jobs: None };
    let prepare = verify::prepare(source, target, options, &app.options.state_root);
    let Some(prepared) = app.stop().run_until_cancelled(prepare).await else { return Ok(()) };
    let prepared = prepared?;
    let cx = prepared.open().await?;
    let mut events = cx.subscribe()?;
    let cancel = cx.cancellation().clone();
    change(app, |inner| inner.verify = Stands::Running(Box::default(), cancel.clone()));
    let follow = async {
        loop {
            let next = events.next().await?;
            if next.is_empty() {
                return Ok::<(), Report>(());
            }
            change(app, |inner| {
                if let Stands::Running(view, _) = &mut inner.verify {
                    next.iter().for_each(|event| view.apply(event));
                }
            });
        }
    };
    let run = async { tokio::join!(prepared.run(&cx), follow) };
    tokio::pin!(run);
    let (ran, followed) = tokio::select! {
        done = &mut run => done,
        () = app.stop().cancelled() => {
            cancel.soon().cancel();
            run.await
        }
    };
    ran?;
    followed
}

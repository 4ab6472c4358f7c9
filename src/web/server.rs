//! Listens, routes, and ends.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use axum::{Router, middleware};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::app::{App, Options};
use super::guard::{self, Guard, Place, Role};
use super::{assets, check, commands, copy, create, finish, live, page, replay, replicate, sse, tls};
use crate::engine::report::{Exit, Report};
use crate::engine::state;

/// How long work under way may take to come to a safe point when the process is to end.
const END_LIMIT: Duration = Duration::from_secs(60);
/// How long open pages may take to notice.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Where and how it is served.
#[derive(Debug)]
pub struct Serving {
    /// The address to listen on.
    pub address: SocketAddr,
    /// Names that it is reached by beside its address.
    pub names: Vec<String>,
    /// The certificate and the key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// What has to be typed at the door.
    pub password: Option<SecretString>,
}

impl Serving {
    /// Refuses what would be unsafe.
    ///
    /// # Errors
    /// An address that others can reach, without TLS or without a password.
    fn check(&self) -> Result<(), Report> {
        if self.address.ip().is_loopback() || (self.tls.is_some() && self.password.is_some()) {
            return Ok(());
        }
        let why = format!("Others could reach the page at {}, which shows and does everything.", self.address.ip());
        Err(Report::new("ui-exposed", Exit::Usage, "The page is not served to other machines in the clear or without a password.")
            .with_cause(why)
            .with_fix("Give --tls-cert and --tls-key, and a password in NEON_MIGRATE_UI_PASSWORD. Or leave --listen out, and reach this machine by a tunnel:\nssh -L 7432:127.0.0.1:7432 this-machine"))
    }

    fn place(self, bound: SocketAddr) -> Place {
        let port = bound.port();
        let with_port = |name: &str| format!("{name}:{port}");
        let ip = match bound.ip() {
            IpAddr::V6(ip) => format!("[{ip}]"),
            ip => ip.to_string(),
        };
        let mut also: Vec<String> = self.names.iter().map(|name| with_port(name)).collect();
        let first = match self.names.first() {
            Some(name) if !bound.ip().is_loopback() => with_port(name),
            _ => with_port(&ip),
        };
        also.push(with_port(&ip));
        if bound.ip().is_loopback() {
            also.push(with_port("localhost"));
        }
        Place { scheme: if self.tls.is_some() { "https" } else { "http" }, host: first, also, port, password: self.password }
    }
}

/// Serves the page until `stop` is cancelled. `ready` is given the link that opens it.
///
/// # Errors
/// An address that cannot be listened on, or should not; files for TLS that cannot be used.
pub async fn serve(serving: Serving, options: Options, stop: CancellationToken, ready: impl FnOnce(&str)) -> Result<Exit, Report> {
    serving.check()?;
    let config = match &serving.tls {
        Some((cert, key)) => Some(tls::settings(cert, key)?),
        None => None,
    };
    let cannot = |error: std::io::Error| {
        Report::new("ui-address", Exit::Usage, format!("The page cannot be served at {}.", serving.address))
            .with_cause(format!("{error}."))
            .with_fix("Give another port with --port, or 0 for any that is free.")
    };
    let listener = TcpListener::bind(serving.address).await.map_err(cannot)?;
    let bound = listener.local_addr().map_err(cannot)?;
    let guard = Guard::new(serving.place(bound));
    let app = App::new(options, guard, stop.clone());
    begin(&app);
    ready(&app.guard.link(Role::Owner));
    let router = router(app.clone());
    let ended = async {
        stop.cancelled().await;
        // Streams end by themselves; a browser that holds a connection open does not hold us.
        tokio::time::sleep(CLOSE_LIMIT).await;
    };
    let serve = async {
        match config {
            Some(config) => axum::serve(tls::TlsListener::new(listener, config)?, router).await,
            None => axum::serve(listener, router).await,
        }
    };
    tokio::select! {
        served = serve => served.map_err(|error| Report::new("internal", Exit::Bug, "The page cannot be served any more.").with_cause(format!("{error}.")))?,
        () = ended => (),
    }
    app.tasks().close();
    // What has not come to a safe point by then goes on from its ledger the next time.
    let _ = tokio::time::timeout(END_LIMIT, app.tasks().wait()).await;
    Ok(Exit::Done)
}

/// Shows the recording, or the copy that was worked on last. A comparison has a journal of its own, and would hide it.
fn begin(app: &App) {
    if app.replay.is_some() {
        let shown = app.clone();
        app.spawn(async move { replay::play(&shown).await });
        return;
    }
    let mut copies = state::migrations(&app.options.state_root).into_iter().filter(|dir| live::is_copy(dir));
    if let Some(dir) = copies.next() {
        let shown = app.clone();
        app.spawn(async move {
            if let Err(report) = live::follow_journal(&shown, &dir).await {
                tracing::warn!(code = report.code, "the journal of the last migration cannot be shown");
            }
        });
    }
}

fn router(app: App) -> Router {
    Router::new()
        .route("/", get(page::home))
        .route("/open", get(guard::open))
        .route("/login", get(guard::door).post(guard::login))
        .route("/share", post(page::share))
        .route("/static/{digest}/{name}", get(assets::serve))
        .route("/favicon.ico", get(assets::icon))
        .route("/live/{step}", get(sse::live))
        .route("/{step}", get(page::show))
        .merge(check::routes())
        .merge(create::routes())
        .merge(copy::routes())
        .merge(commands::routes())
        .merge(replicate::routes())
        .merge(finish::routes())
        .merge(finish::downloads::routes())
        .merge(replay::routes())
        .layer(middleware::from_fn_with_state(app.clone(), guard::watch))
        .layer(DefaultBodyLimit::max(512 * 1024))
        .with_state(app)
}

//! Looks at both sides every two seconds while somebody has the page open, over sessions of its own, and at no other time.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::migration::by_hand::look::{Look, Looker};
use crate::migration::commands::Names;
use crate::migration::ends::{Source, Target};
use crate::web::app::{App, lock};
use crate::web::commands;

/// How often both sides are looked at.
const EVERY: Duration = Duration::from_secs(2);
/// How often at least, when a side fails again and again.
const EVERY_MAX: Duration = Duration::from_secs(30);
/// How long a page that was loaded counts as open: one without scripts loads itself again before that.
const LOADED: Duration = Duration::from_secs(8);

/// What the step knows.
#[derive(Debug, Default)]
pub struct State {
    inner: Mutex<Inner>,
    at_once: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// How many pages have their stream open.
    streams: usize,
    /// Until when a page without one counts as open.
    loaded: Option<Instant>,
    at_work: bool,
    pair: String,
    look: Option<Look>,
    /// How often in a row a side could not be looked at.
    failures: u32,
    next: Option<Instant>,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

/// Held by each page that is open on this step: while there is one, the state of both sides is looked at.
#[derive(Debug)]
pub struct Watching(App);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.replicate.lock().streams -= 1;
    }
}

/// Somebody watches.
pub fn watching(app: &App) -> Watching {
    app.replicate.lock().streams += 1;
    begin(app);
    Watching(app.clone())
}

/// A page was drawn, with a stream or without.
pub(super) fn drawn(app: &App) {
    app.replicate.lock().loaded = Some(Instant::now() + LOADED);
    begin(app);
}

/// Looks now, though a failure would have it wait.
pub(super) fn at_once(app: &App) {
    app.replicate.lock().failures = 0;
    app.replicate.at_once.notify_one();
    drawn(app);
}

/// What was seen last of the databases of now.
pub(super) struct Seen {
    pub(super) look: Look,
    /// How long until the next look, if a side failed.
    pub(super) again_in: Option<Duration>,
}

/// What was seen last; nothing before the first look.
pub(super) fn seen(app: &App) -> Option<Seen> {
    let (pair, ..) = pair(app)?;
    let inner = app.replicate.lock();
    let look = inner.look.clone().filter(|_| inner.pair == pair)?;
    let again_in = inner.next.filter(|_| inner.failures > 0).map(|next| next.saturating_duration_since(Instant::now()));
    Some(Seen { look, again_in })
}

/// Keeps a look that somebody else had.
pub(in crate::web) fn keep(app: &App, look: Look) {
    let Some((pair, ..)) = pair(app) else { return };
    take(&mut app.replicate.lock(), pair, look);
    app.touch();
}

fn take(inner: &mut Inner, pair: String, look: Look) -> Duration {
    inner.failures = if look.source.is_ok() && look.target.is_ok() { 0 } else { inner.failures + 1 };
    let pause = (EVERY * 2_u32.pow(inner.failures.min(8))).min(EVERY_MAX);
    let pause = if inner.failures == 0 { EVERY } else { pause };
    (inner.pair, inner.look) = (pair, Some(look));
    inner.next = Some(Instant::now() + pause);
    pause
}

/// Both databases, and one word for the two.
fn pair(app: &App) -> Option<(String, Source, Target)> {
    let ends = app.ends();
    let (source, target) = (ends.source?, ends.target?);
    Some((format!("{}\n{}", source.info().label(), target.info().label()), source, target))
}

fn begin(app: &App) {
    if pair(app).is_none() || std::mem::replace(&mut app.replicate.lock().at_work, true) {
        return;
    }
    let watched = app.clone();
    app.spawn(async move { watch(&watched).await });
}

/// Both databases, as long as somebody watches.
fn wanted(app: &App) -> Option<(String, Source, Target)> {
    let pair = pair(app);
    let mut inner = app.replicate.lock();
    let is_open = inner.streams > 0 || inner.loaded.is_some_and(|until| Instant::now() < until);
    let pair = pair.filter(|_| is_open && !app.stop().is_cancelled());
    // Said under the lock: whoever opens a page after this begins anew.
    inner.at_work = pair.is_some();
    pair
}

async fn watch(app: &App) {
    let mut looker: Option<(String, Looker)> = None;
    while let Some((pair, source, target)) = wanted(app) {
        let (of, mut looking) = looker.take().filter(|(of, _)| *of == pair).unwrap_or_else(|| (pair, Looker::new(source, target)));
        let look = async {
            let names = names(app, &mut looking).await;
            looking.look(&names).await
        };
        // Who ends the process does not wait for a server that does not answer.
        let Some(look) = app.stop().run_until_cancelled(look).await else { continue };
        let pause = take(&mut app.replicate.lock(), of.clone(), look);
        app.touch();
        looker = Some((of, looking));
        tokio::select! {
            () = tokio::time::sleep(pause) => (),
            () = app.replicate.at_once.notified() => (),
            () = app.stop().cancelled() => (),
        }
    }
}

/// What it is called: as the commands say, or as it was set up before, or as the commands would say first.
pub(in crate::web) async fn names(app: &App, looker: &mut Looker) -> Names {
    let planned = commands::ready(app).and_then(|ready| ready.plan().names.clone());
    match planned {
        Some(names) => names,
        None => looker.find().await.ok().flatten().unwrap_or_default(),
    }
}

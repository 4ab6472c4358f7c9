//! What step 4 looks like.

use askama::Template;

use super::watch::{self, Seen};
use crate::engine::checkup::{Checkup, Headline, Open, Way};
use crate::engine::phase::Phase;
use crate::engine::report::Report;
use crate::migration::by_hand::look::Look;
use crate::migration::by_hand::words::{Next, Sentence, Stage, Tone};
use crate::migration::commands;
use crate::show::numbers::{bytes, duration_band};
use crate::web::app::App;
use crate::web::commands::{Stands, Tabs, Written, connections, shell_of, stands, written};
use crate::web::guard::Visitor;
use crate::web::page::{self, Part, Step, Wanted};
use crate::web::{check, create};

/// The parts, in their order.
///
/// # Errors
/// A fault of this program.
pub(super) fn parts(app: &App, visitor: &Visitor, wanted: &Wanted) -> Result<Vec<Part>, Report> {
    let (seen, stands) = (watch::seen(app), stands(app));
    let shell = shell_of(wanted.get("shell").map_or("", String::as_str));
    let (connections, steps) = match &stands {
        Stands::Ready(ready) if ready.plan().names.is_some() => (
            connections(ready, visitor, Step::Replicate, shell, false)?,
            numbered(written(ready, shell, &[commands::Way::Before, commands::Way::Live])),
        ),
        _ => (Part { id: "connections", html: String::new() }, Vec::new()),
    };
    let failed = if let Stands::Failed(report) = &stands { page::report_html(report)? } else { String::new() };
    let when = When::of(app, seen.as_ref().is_some_and(|seen| seen.look.next().stage != Stage::Nothing));
    let has_ends = super::is_watchable(app);
    let shell_name = if shell == crate::migration::commands::quote::Shell::Bash { "bash" } else { "powershell" };
    let look = seen.as_ref().map(|seen| &seen.look);
    Ok(vec![
        Part::new("when", &when)?,
        state(visitor, has_ends, !steps.is_empty(), seen.as_ref())?,
        Part::new("lines", &Lines { visitor, stands: &stands, shells: Tabs::shells(Step::Replicate, wanted), failed })?,
        connections,
        Part::new("steps", &Steps { steps: steps.iter().map(|step| Beside::of(step, look)).collect(), shell: shell_name })?,
    ])
}

/// With the numbers that the texts call them by: `live-4-progress` is 4.
fn numbered(mut steps: Vec<Written>) -> Vec<Written> {
    for step in &mut steps {
        if let Some((number, _)) = step.id.strip_prefix("live-").and_then(|rest| rest.split_once('-')) {
            step.title = format!("{number}. {}", step.title);
        }
    }
    steps
}

/// When it makes sense, in general and here.
#[derive(Template)]
#[template(path = "replicate/when.html")]
struct When {
    way: Option<Way>,
    headline: Option<Headline>,
    copy: Option<String>,
    /// Whether both databases were checked together, and not the source alone.
    is_of_pair: bool,
    is_copied: bool,
    is_begun: bool,
}

impl When {
    fn of(app: &App, is_begun: bool) -> When {
        let of_checkup = |checkup: &Checkup| {
            let way = checkup.ways.iter().find(|way| way.id == "live_subscription").cloned();
            let headline = checkup.headlines.iter().find(|headline| headline.id == "logical_replication").cloned();
            (way, headline, checkup.estimate.as_ref().map(|estimate| duration_band(estimate.copy_s)))
        };
        let pair = create::with_checkup(app, of_checkup);
        let is_of_pair = pair.is_some();
        let (way, headline, copy) = pair.or_else(|| check::with_checkup(app, of_checkup)).unwrap_or_default();
        let is_copied = app.live.read(|shown| shown.view.phase(Phase::Copy).is_some());
        When { way, headline, copy, is_of_pair, is_copied, is_begun }
    }

    /// The class of the card, and the sentence at its head.
    fn verdict(&self) -> (&'static str, &'static str) {
        match self.way.as_ref().map(|way| way.open) {
            Some(Open::Yes) if !self.is_of_pair => {
                ("done", "Nothing on the source stands in its way; both databases have not been checked together yet.")
            }
            Some(Open::No) if !self.is_of_pair => ("attention", "Something stands in its way on the source."),
            Some(Open::Unknown) if !self.is_of_pair => (
                "note",
                "Both databases have not been checked together yet. Step 2 does that; afterwards it is said here whether it is possible.",
            ),
            Some(Open::Yes) => ("done", "It is possible between these two databases."),
            Some(Open::No) => (
                "attention",
                "Something stands in the way of it between these two databases; the commands below say what to do about it, or go without it.",
            ),
            Some(Open::Unknown) => ("note", "Whether it is possible between these two databases could not be told."),
            None => (
                "note",
                "Both databases have not been checked together yet. Step 2 does that; afterwards it is said here whether it is possible.",
            ),
        }
    }

    fn fix(&self) -> (String, String) {
        self.headline.as_ref().and_then(|headline| headline.fix.as_deref()).map(page::fix_parts).unwrap_or_default()
    }
}

/// How both sides stand.
#[derive(Template)]
#[template(path = "replicate/state.html")]
struct State<'a> {
    visitor: &'a Visitor,
    has_ends: bool,
    has_lines: bool,
    next: Option<Next>,
    figures: Vec<(&'static str, String)>,
    sides: Vec<Side>,
    again_in: Option<u64>,
}

/// One side: facts and sentences, or what went wrong.
struct Side {
    title: &'static str,
    /// Where its row is.
    view: &'static str,
    facts: Vec<(&'static str, String)>,
    sentences: Vec<Sentence>,
    failed: Option<String>,
}

impl State<'_> {
    fn badge(&self) -> (&'static str, &'static str) {
        match self.next.as_ref().map(|next| next.stage) {
            None => ("running", "Looking"),
            Some(Stage::Unknown) => ("attention", "Not seen"),
            Some(Stage::Nothing) => ("waiting", "Not set up"),
            Some(Stage::Published) => ("waiting", "Published"),
            Some(Stage::Copying) => ("running", "Tables are copied"),
            Some(Stage::Following) => ("done", "Following"),
            Some(Stage::Broken) => ("failed", "It does not go on"),
            Some(Stage::LeftOver) => ("attention", "Something is left"),
        }
    }
}

/// The class of the icon of a sentence, and the word for those who do not see it.
fn tone(sentence: &Sentence) -> (&'static str, &'static str) {
    match sentence.tone {
        Tone::Good => ("done", "In order: "),
        Tone::Busy => ("running", "Under way: "),
        Tone::Plain => ("note", ""),
        Tone::Unseen => ("unknown", "Not seen: "),
        Tone::Attention => ("attention", "Attention: "),
        Tone::Bad => ("failed", "Broken: "),
    }
}

fn state(visitor: &Visitor, has_ends: bool, has_lines: bool, seen: Option<&Seen>) -> Result<Part, Report> {
    let mut state = State {
        visitor,
        has_ends,
        has_lines,
        next: seen.map(|seen| seen.look.next()),
        figures: Vec::new(),
        sides: Vec::new(),
        again_in: seen.and_then(|seen| seen.again_in).map(|time| time.as_secs()),
    };
    if let Some(Seen { look, .. }) = seen {
        state.figures = figures(look);
        let failed = |failed: Option<&Report>| failed.map(page::report_html).transpose();
        let (source, target) = (failed(look.source.as_ref().err())?, failed(look.target.as_ref().err())?);
        state.sides = vec![
            Side {
                title: "Source",
                view: "pg_replication_slots",
                facts: source_facts(look),
                sentences: look.about_source(),
                failed: source,
            },
            Side {
                title: "Target",
                view: "pg_stat_subscription",
                facts: target_facts(look),
                sentences: look.about_target(),
                failed: target,
            },
        ];
    }
    Part::new("state", &state)
}

/// The three numbers that matter while it goes on.
fn figures(look: &Look) -> Vec<(&'static str, String)> {
    let slot = look.source.as_ref().ok().and_then(|source| source.slot.seen()?.as_ref());
    let subscription = look.target.as_ref().ok().and_then(|target| target.subscription.seen()?.as_ref());
    let mut figures = Vec::new();
    if slot.is_some() {
        figures.push(("Lag", look.lag().words()));
    }
    if let Some(relations) = subscription.and_then(|subscription| subscription.relations.seen()) {
        figures.push(("Tables that follow", format!("{} of {}", relations.ready, relations.total())));
    }
    if let Some(kept) = slot.and_then(|slot| slot.kept_bytes) {
        figures.push(("WAL kept on the source", bytes(kept)));
    }
    figures
}

fn or_none(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

fn yes(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

/// The row of `pg_replication_slots`.
fn source_facts(look: &Look) -> Vec<(&'static str, String)> {
    let Some((source, slot)) = look.source.as_ref().ok().and_then(|source| Some((source, source.slot.seen()?.as_ref()?))) else {
        return Vec::new();
    };
    vec![
        ("active", yes(slot.active)),
        ("wal_status", or_none(slot.wal_status.as_deref())),
        ("confirmed_flush_lsn", or_none(slot.confirmed)),
        ("restart_lsn", or_none(slot.restart)),
        ("the source's WAL now", source.position.to_string()),
    ]
}

/// The row of `pg_stat_subscription`.
fn target_facts(look: &Look) -> Vec<(&'static str, String)> {
    let Some(subscription) = look.target.as_ref().ok().and_then(|target| target.subscription.seen()?.as_ref()) else {
        return Vec::new();
    };
    let mut facts = vec![("enabled", yes(subscription.enabled))];
    if let Some(worker) = subscription.worker.seen() {
        facts.push(("worker", if worker.runs { "runs".to_owned() } else { "does not run".to_owned() }));
        facts.push(("received_lsn", or_none(worker.received)));
        facts.push(("latest_end_lsn", or_none(worker.latest_end)));
    }
    facts
}

/// What comes before the commands: for whom they are, and what to know.
#[derive(Template)]
#[template(path = "replicate/lines.html")]
struct Lines<'a> {
    visitor: &'a Visitor,
    stands: &'a Stands,
    shells: Tabs,
    failed: String,
}

impl Lines<'_> {
    fn plan(&self) -> Option<&commands::Plan> {
        if let Stands::Ready(ready) = self.stands { Some(ready.plan()) } else { None }
    }

    /// What is to be known: about replication, or before any way is gone.
    fn notes(&self, about_replication: bool) -> Vec<(String, String)> {
        let notes = self.plan().map_or(&[][..], |plan| if about_replication { &plan.live_notes } else { &plan.notes });
        notes.iter().map(|note| page::fix_parts(note)).collect()
    }

    fn has_steps(&self) -> bool {
        self.plan().is_some_and(|plan| plan.names.is_some())
    }
}

/// The commands, and what is seen of each.
#[derive(Template)]
#[template(path = "replicate/steps.html")]
struct Steps<'a> {
    steps: Vec<Beside<'a>>,
    shell: &'static str,
}

struct Beside<'a> {
    step: &'a Written,
    seen: Vec<Sentence>,
    is_next: bool,
    /// Where the page does the same.
    instead: Option<(&'static str, &'static str)>,
}

impl Beside<'_> {
    fn of<'a>(step: &'a Written, look: Option<&Look>) -> Beside<'a> {
        Beside {
            step,
            seen: look.map_or_else(Vec::new, |look| look.about_step(step.id)),
            is_next: look.is_some_and(|look| look.next().step == Some(step.id)),
            instead: match step.id {
                "live-6-sequences" => {
                    Some(("/finish#sequences", "Step 5 compares them, and brings them along at the press of a button."))
                }
                "live-8-turn-off" | "live-8-turn-off-apart" => Some((
                    "/finish#off",
                    "Step 5 does the same at the press of a button, and makes sure before that nothing is lost.",
                )),
                _ => None,
            },
        }
    }
}

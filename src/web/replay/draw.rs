//! What a page shows of a recording beside the migration itself.

use askama::Template;
use jiff::Timestamp;

use super::{Control, Progress, Speed};
use crate::engine::finding::{Finding, Severity};
use crate::engine::phase::Phase;
use crate::engine::report::Report;
use crate::engine::view::{State, View};
use crate::show::numbers::count;
use crate::web::app::App;
use crate::web::guard::Visitor;
use crate::web::page::{Part, Standing, Step, StepState, draw, fix_parts, report_html};

/// The speeds that can be chosen, and how they are called.
const SPEEDS: [(&str, &str); 4] = [("1", "1×"), ("10", "10×"), ("100", "100×"), ("max", "As fast as possible")];

#[derive(Template)]
#[template(path = "replay/banner.html")]
struct Banner<'a> {
    visitor: &'a Visitor,
    step: Step,
    control: Control,
    progress: Progress,
    begins: Timestamp,
    ends: Timestamp,
    /// What a newer version wrote into it, in words.
    skipped: Option<String>,
    failure: Option<String>,
}

impl Banner<'_> {
    fn moment(&self, at: &Timestamp) -> String {
        at.strftime("%-d %B %Y, %H:%M:%S UTC").to_string()
    }

    fn chosen(&self, speed: &str) -> bool {
        speed.parse::<Speed>().is_ok_and(|speed| speed == self.control.speed)
    }

    fn speed(&self) -> String {
        match self.control.speed {
            Speed::Times(times) => format!("at {times}×"),
            Speed::Fastest => "as fast as possible".to_owned(),
        }
    }

    /// How far it is, from 0 to 1000.
    fn played(&self) -> u64 {
        let seconds = |at: &Timestamp| at.duration_since(self.begins).as_secs_f64();
        let whole = seconds(&self.ends);
        match &self.progress.at {
            _ if self.progress.over => 1000,
            Some(at) if whole > 0.0 => (seconds(at) / whole * 1000.0).clamp(0.0, 1000.0) as u64,
            _ => 0,
        }
    }

    fn speeds(&self) -> [(&'static str, &'static str); 4] {
        SPEEDS
    }
}

/// That this is a recording, and what steers it.
///
/// # Errors
/// A fault of this program.
pub fn banner(app: &App, visitor: &Visitor, step: Step) -> Result<Option<String>, Report> {
    let Some(replay) = &app.replay else { return Ok(None) };
    let progress = replay.progress();
    let failure = progress.failed.as_ref().map(report_html).transpose()?;
    let skipped = (replay.skipped > 0).then(|| count(replay.skipped, "line", "lines"));
    let control = *replay.control.borrow();
    draw(&Banner { visitor, step, control, progress, begins: replay.begins, ends: replay.ends, skipped, failure }).map(Some)
}

#[derive(Template)]
#[template(path = "replay/findings.html")]
struct Findings {
    findings: Vec<Finding>,
    /// The checks were over.
    complete: bool,
}

impl Findings {
    fn class(&self, one: &Finding) -> &'static str {
        match one.severity {
            Severity::Blocker => "blocker",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }

    fn word(&self, one: &Finding) -> &'static str {
        match one.severity {
            Severity::Blocker => "Blocker",
            Severity::Warning => "Warning",
            Severity::Note => "Note",
        }
    }

    fn words(&self, fix: &str) -> String {
        fix_parts(fix).0
    }

    fn paste(&self, fix: &str) -> String {
        fix_parts(fix).1
    }
}

#[derive(Template)]
#[template(path = "replay/nothing.html")]
struct Nothing {}

/// What is shown instead of a step that asks somebody: what was found then, or that a recording has nothing of it.
///
/// # Errors
/// A fault of this program.
pub fn part(app: &App, step: Step) -> Result<Option<Part>, Report> {
    if app.replay.is_none() {
        return Ok(None);
    }
    match step {
        Step::Check => {
            let (findings, complete) = app.live.read(|shown| (shown.view.findings.clone(), is_checked(&shown.view)));
            Part::new("recorded", &Findings { findings, complete }).map(Some)
        }
        Step::Create | Step::Replicate => Part::new("recorded", &Nothing {}).map(Some),
        Step::Copy | Step::Finish => Ok(None),
    }
}

/// Where a step of a recording stands, if it is not the step itself that knows.
pub fn standing(app: &App, step: Step) -> Option<Standing> {
    app.replay.as_ref()?;
    match step {
        Step::Check => Some(app.live.read(|shown| checked(&shown.view))),
        Step::Create | Step::Replicate => Some(Standing::new(StepState::NotNeeded, "Not recorded")),
        Step::Copy | Step::Finish => None,
    }
}

fn is_checked(view: &View) -> bool {
    view.ended.is_some() || view.phase(Phase::Preflight).is_some_and(|phase| phase.state == State::Done)
}

fn checked(view: &View) -> Standing {
    let of = |severity| view.findings_of(severity) as u64;
    match (view.run.is_some(), is_checked(view), of(Severity::Blocker), of(Severity::Warning)) {
        (false, ..) => Standing::new(StepState::ToCome, ""),
        (_, false, ..) => Standing::new(StepState::Running, "Looking at both ends"),
        (_, _, 0, 0) => Standing::new(StepState::Done, "Nothing to mend"),
        (_, _, 0, warnings) => Standing::new(StepState::Done, count(warnings, "warning", "warnings")),
        (_, _, blockers, _) => Standing::new(StepState::Attention, count(blockers, "blocker", "blockers")),
    }
}

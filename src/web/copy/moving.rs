//! What is under way, or was: the bar, the phases, what is being built, and the log.

use std::time::Duration;

use askama::Template;
use jiff::Timestamp;

use super::work::Job;
use super::{Inner, Stage};
use crate::engine::finding::Severity;
use crate::engine::phase::Phase;
use crate::engine::report::Report;
use crate::engine::view::{PhaseView, Retrying, State, View};
use crate::show::conclusion::phase_time;
use crate::show::numbers::{bytes, clean, count, duration, eta, number, percent, rate};
use crate::show::phases;
use crate::web::guard::Visitor;
use crate::web::live::Shown;
use crate::web::page::{Part, fix_parts};

/// How many lines of the log are shown.
const LOG_MAX: usize = 200;
/// How many objects being built are named.
const BUILDS_MAX: usize = 50;
/// How many findings are shown open.
const FINDINGS_MAX: usize = 100;

#[derive(Template)]
#[template(path = "copy/progress.html")]
struct Progress<'a> {
    visitor: &'a Visitor,
    view: &'a View,
    is_moving: bool,
    may_pause: bool,
    is_stopping: bool,
    sentence: String,
    step: Option<&'a str>,
    now: Timestamp,
}

/// The state of a phase: a class and a word.
fn standing(state: State) -> (&'static str, &'static str) {
    match state {
        State::Running => ("running", "running"),
        State::Done => ("done", "done"),
        State::Warned => ("attention", "done, with something to know"),
        State::Skipped => ("done", "not needed"),
        State::Failed => ("failed", "failed"),
        State::Interrupted => ("waiting", "stopped"),
    }
}

impl Progress<'_> {
    fn fraction(&self) -> Option<f64> {
        self.view.progress.as_ref()?.fraction
    }

    fn thousandths(&self) -> u64 {
        (self.fraction().unwrap_or(0.0).clamp(0.0, 1.0) * 1000.0) as u64
    }

    fn share(&self) -> String {
        self.fraction().map_or_else(String::new, percent)
    }

    /// The figures beside the bar: what, and how much.
    fn figures(&self) -> Vec<(&'static str, String)> {
        let (rows, size) = self.view.copied();
        let progress = self.view.progress.as_ref();
        let mut figures = vec![("copied", bytes(size)), ("rows", number(rows))];
        let tables = format!("{} of {}", number(self.view.tables_copied() as u64), number(self.view.tables.len() as u64));
        figures.push(("tables", tables));
        if self.is_moving {
            figures.extend(progress.and_then(|progress| progress.bytes_per_second).map(|speed| ("speed", rate(speed))));
            figures.extend(progress.and_then(|progress| progress.eta_seconds).map(|band| ("still to go", eta(band))));
        }
        figures.push((if self.is_moving { "time so far" } else { "time" }, duration(self.view.elapsed(self.now))));
        figures
    }

    fn phases(&self) -> Vec<(&PhaseView, (&'static str, &'static str), String, String)> {
        // The journal is opened only when both ends are known, so it cannot say how long the look took.
        let took = |phase: &PhaseView| {
            phase_time(self.view, phase.phase).filter(|_| phase.phase != Phase::Preflight).map(duration).unwrap_or_default()
        };
        let result =
            |phase: &PhaseView| if phase.state == State::Done { phases::result(phase.phase, self.view) } else { String::new() };
        self.view.phases.iter().map(|phase| (phase, standing(phase.state), result(phase), took(phase))).collect()
    }

    /// Objects being built: what, and how far in percent, where the server says so.
    fn builds(&self) -> Vec<(&str, String, Option<u8>)> {
        let known = self.view.progress.as_ref().map_or(&[][..], |progress| &progress.builds[..]);
        let percent = |id: u32| known.iter().find(|known| known.id == id).and_then(|known| known.percent);
        let running = self.view.builds.running.iter().take(BUILDS_MAX);
        running.map(|build| (build.kind.as_str(), clean(&build.name), percent(build.id))).collect()
    }

    fn built(&self) -> String {
        format!("{} of {} built", number(self.view.builds.finished), count(self.view.builds.total, "object", "objects"))
    }

    fn retrying(&self) -> Option<(&Retrying, u64)> {
        let retrying = self.view.retrying.as_ref().filter(|_| self.is_moving)?;
        let wait = Duration::try_from(retrying.next_at.duration_since(self.now)).unwrap_or_default();
        Some((retrying, wait.as_secs()))
    }

    fn more(&self, finding: &crate::engine::finding::Finding) -> Option<String> {
        let more = finding.objects_total.saturating_sub(finding.objects.len() as u64);
        (more > 0).then(|| number(more))
    }

    fn is_blocker(&self, class: &str) -> bool {
        class == "blocker"
    }

    fn findings(&self) -> Vec<(&'static str, &'static str, &crate::engine::finding::Finding, (String, String))> {
        let of = |severity: Severity| match severity {
            Severity::Blocker => Some(("blocker", "Stands in the way")),
            Severity::Warning => Some(("warning", "To know")),
            Severity::Note => None,
        };
        let mut shown: Vec<_> = self
            .view
            .findings
            .iter()
            .filter_map(|finding| of(finding.severity).map(|(class, word)| (class, word, finding, fix(finding.fix.as_deref()))))
            .take(FINDINGS_MAX)
            .collect();
        shown.sort_by_key(|(_, _, finding, _)| std::cmp::Reverse(finding.severity));
        shown
    }
}

fn fix(fix: Option<&str>) -> (String, String) {
    fix.map(fix_parts).unwrap_or_default()
}

/// The bar, the phases and what is being built.
///
/// # Errors
/// A fault of this program.
pub fn progress(visitor: &Visitor, inner: &Inner, shown: &Shown, stage: Stage) -> Result<Part, Report> {
    if stage == Stage::Nothing {
        return Ok(Part { id: "progress", html: String::new() });
    }
    let view = &shown.view;
    let is_stopping = inner.job.is_stopping();
    let step = view.steps.iter().rev().find(|step| step.state == State::Running).map(|step| step.title.as_str());
    Part::new(
        "progress",
        &Progress {
            visitor,
            view,
            is_moving: matches!(stage, Stage::Ours | Stage::Elsewhere(_)),
            may_pause: matches!(inner.job, Job::Running(_)) && stage == Stage::Ours,
            is_stopping,
            sentence: phases::sentence(view),
            step,
            now: Timestamp::now(),
        },
    )
}

#[derive(Template)]
#[template(path = "copy/log.html")]
struct Log<'a> {
    lines: Vec<(String, &'a str, bool)>,
}

impl Log<'_> {
    fn count(&self) -> String {
        count(self.lines.len() as u64, "entry", "entries")
    }
}

/// What happened, latest first.
///
/// # Errors
/// A fault of this program.
pub fn log(shown: &Shown) -> Result<Part, Report> {
    let time = |at: Timestamp| at.strftime("%H:%M:%S").to_string();
    let lines: Vec<_> =
        shown.log.iter().rev().take(LOG_MAX).map(|line| (time(line.at), line.text.as_str(), line.warning)).collect();
    if lines.is_empty() {
        return Ok(Part { id: "log", html: String::new() });
    }
    Part::new("log", &Log { lines })
}

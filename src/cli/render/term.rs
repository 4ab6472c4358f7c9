//! The live view of a terminal: a few lines at the bottom that are redrawn, and lasting lines above them.
//!
//! [`lines`] is pure: the view in, text out. The renderer draws it four times a second through indicatif, which moves the cursor and
//! writes all lines at once, so nothing flickers; workers know nothing of it.

use jiff::Timestamp;

use crate::engine::event::{Event, EventKind, Outcome};
use crate::engine::finding::Severity;
use crate::engine::phase::Phase;
use crate::engine::progress::{BuildProgress, TableProgress};
use crate::engine::view::{State, View};
use crate::show::conclusion::phase_time;
use crate::show::numbers::{bytes, clean, count, duration, eta, number, percent, rate};
use crate::show::phases;

use super::plain;
use super::text::{Line, Paint, bar};

/// How many tables have a bar of their own.
const TABLES_MAX: usize = 4;
/// How many builds are named.
const BUILDS_MAX: usize = 3;
/// Nothing is drawn wider than this: long bars say no more than short ones.
const WIDTH_MAX: usize = 110;
/// How long a retry is shown after its next attempt began: one that goes well says nothing of itself.
const RETRY_SHOWN: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);
const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// The live lines for `width` columns. Nothing when the run has ended.
pub fn lines(view: &View, now: Timestamp, width: usize) -> Vec<Line> {
    if view.run.is_none() || view.ended.is_some() {
        return Vec::new();
    }
    let width = width.min(WIDTH_MAX);
    let mut lines = vec![head(view, now)];
    let running = |phase| view.phases_running().any(|view| view.phase == phase);
    if running(Phase::Copy) && phases::is_copying(view) {
        lines.extend(total(view, width));
        lines.extend(tables(view, width));
    }
    lines.extend(builds(view));
    let counts = view.verdict_counts();
    if (running(Phase::Verify) || running(Phase::Copy)) && counts.total() > 0 {
        let line = Line::new(format!("  Compared {}, ", compared_of(view)));
        lines.push(if counts.different + counts.hot > 0 {
            line.add(Paint::Bad, format!("{} not equal", number(counts.different + counts.hot)))
        } else if counts.matching == counts.total() {
            line.add(Paint::Good, "all equal")
        } else {
            line.add(Paint::Good, format!("{} equal", number(counts.matching)))
        });
    }
    if let Some(retrying) = &view.retrying
        && now < retrying.next_at + RETRY_SHOWN
    {
        let text = format!(" {} (attempt {} of {}): {}", retrying.what, retrying.attempt, retrying.attempts_max, retrying.reason);
        lines.push(Line::new("  ").add(Paint::Warn, "Trying again").text(text));
    }
    lines
}

/// `12 of 27 tables`, or `12 tables` where no plan says how many there are.
pub fn compared_of(view: &View) -> String {
    let (done, planned) = (view.verdict_counts().total(), view.tables.len() as u64);
    if planned < done {
        count(done, "table", "tables")
    } else {
        format!("{} of {}", number(done), count(planned, "table", "tables"))
    }
}

/// The sentence of the moment: the phases under way, or the step.
fn head(view: &View, now: Timestamp) -> Line {
    let spin = SPINNER[usize::try_from(now.as_millisecond() / 250).unwrap_or(0) % SPINNER.len()];
    let line = Line::default().add(Paint::Good, spin).text(" ").add(Paint::Bold, phases::sentence(view));
    let step = view.steps.iter().rev().find(|step| step.state == State::Running);
    let line = match step {
        Some(step) => line.add(Paint::Dim, format!(" · {}", step.title)),
        None => line,
    };
    line.add(Paint::Dim, format!(" · {}", duration(view.elapsed(now))))
}

fn total(view: &View, width: usize) -> Vec<Line> {
    let Some(progress) = &view.progress else { return Vec::new() };
    let Some(fraction) = progress.fraction else { return Vec::new() };
    let (rows, size) = view.copied();
    let bar_width = (width / 4).clamp(10, 28);
    let mut line = Line::new("  ").join(bar(fraction, bar_width)).text(format!(" {}  {}", percent(fraction), bytes(size)));
    if let Some(speed) = progress.bytes_per_second {
        line = line.text(format!("  {}", rate(speed)));
    }
    if let Some(band) = progress.eta_seconds {
        line = line.text(format!("  {}", eta(band)));
    }
    let tables =
        format!("{} of {} copied", number(view.tables_copied() as u64), count(view.tables.len() as u64, "table", "tables"));
    vec![line, Line::new("  ").add(Paint::Dim, format!("{tables}, {}", count(rows, "row", "rows")))]
}

fn tables(view: &View, width: usize) -> Vec<Line> {
    let Some(progress) = &view.progress else { return Vec::new() };
    let name_width = (width / 3).clamp(12, 40);
    let mut lines: Vec<Line> =
        progress.tables.iter().take(TABLES_MAX).map(|table| table_line(view, table, name_width, width)).collect();
    let more = progress.tables.len().saturating_sub(TABLES_MAX);
    if more > 0 {
        lines.push(Line::new("    ").add(Paint::Dim, format!("and {} more", number(more as u64))));
    }
    lines
}

fn table_line(view: &View, table: &TableProgress, name_width: usize, width: usize) -> Line {
    // What is no table has no place in the plan.
    let name = view.table(table.id).map_or("large objects", |view| view.planned.name.as_str());
    let bar_width = (width / 6).clamp(6, 16);
    let name = super::text::clip(&clean(name), name_width);
    Line::new("    ")
        .text(name)
        .pad_to(4 + name_width + 1)
        .join(bar(table.fraction, bar_width))
        .text(format!(" {}  ", percent(table.fraction)))
        .add(Paint::Dim, count(table.rows, "row", "rows"))
}

fn builds(view: &View) -> Vec<Line> {
    if view.builds.running.is_empty() {
        return Vec::new();
    }
    let known = view.progress.as_ref().map_or(&[][..], |progress| &progress.builds[..]);
    let mut lines = vec![Line::new(format!(
        "  Built {} of {}, {} under way",
        number(view.builds.finished),
        count(view.builds.total, "object", "objects"),
        number(view.builds.running.len() as u64)
    ))];
    for build in view.builds.running.iter().take(BUILDS_MAX) {
        let percent = known.iter().find(|known| known.id == build.id).and_then(|known: &BuildProgress| known.percent);
        let line = Line::new("    ").add(Paint::Dim, &build.kind).text(format!(" {}", build.name));
        lines.push(match percent {
            Some(percent) => line.add(Paint::Dim, format!("  {percent} %")),
            None => line,
        });
    }
    lines
}

/// The lasting lines that an event leaves on a terminal of `width` columns; `view` has it applied.
pub fn lasting(event: &Event, view: &View, width: usize) -> Vec<Line> {
    match &event.kind {
        EventKind::RunStarted { command, version, source, target, .. } => vec![
            Line::default().add(Paint::Bold, "neon-migrate").text(format!(" {version} {command}")),
            Line::new("  from ").text(source),
            Line::new("  to   ").text(target),
        ],
        EventKind::PlanMade { tables, post_data, jobs } => {
            vec![plain::plan(tables.len(), tables.iter().map(|table| table.bytes_estimate).sum(), *post_data, *jobs)]
        }
        EventKind::PhaseFinished { phase } => vec![phase_line(*phase, view)],
        // In a terminal a step that went well is part of its phase's line.
        EventKind::StepFinished { outcome: Outcome::Success, .. } => Vec::new(),
        EventKind::FindingRaised { finding } if finding.severity == Severity::Note => Vec::new(),
        kind => plain::common(kind, view, width.min(WIDTH_MAX)),
    }
}

/// A phase that has ended, in one line.
pub fn phase_line(phase: Phase, view: &View) -> Line {
    let warned = view.steps.iter().any(|step| step.phase == phase && step.state == State::Warned);
    let mark = if warned { (Paint::Warn, "!") } else { (Paint::Good, "✓") };
    // The journal of a run is opened only when both ends are known, so it cannot say how long the look took.
    let took = phase_time(view, phase).filter(|_| phase != Phase::Preflight).map(duration).unwrap_or_default();
    Line::default()
        .add(mark.0, mark.1)
        .text(format!(" {}", phase.title()))
        .pad_to(36)
        .text(took)
        .pad_to(47)
        .add(Paint::Dim, phases::result(phase, view))
}

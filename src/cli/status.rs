//! `neon-migrate status`: what is known about a migration, from its journal, while another process works on it or after.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::engine::journal::History;
use crate::engine::lock::{self, Owner};
use crate::engine::progress::Progress;
use crate::engine::report::{Exit, Report};
use crate::engine::view::{State, View};
use crate::engine::{state, step};
use crate::show::numbers::duration;

use super::args::{Output, StatusArgs, Talk};
use super::render::text::{Line, Paint};
use super::render::{self, Screen, certificate, report, term};

/// How often `--follow` looks again.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Runs the command.
///
/// # Errors
/// There is no such migration, or its journal cannot be read.
pub fn run(args: &StatusArgs, talk: &Talk) -> Result<Exit, Report> {
    let dir = find(args.state_dir.as_deref(), args.migration.as_deref())?;
    if args.follow { follow(&dir, Screen::new(talk)) } else { show(&dir, talk.output) }?;
    Ok(Exit::Done)
}

/// The directory of the migration that is asked for.
///
/// # Errors
/// There is none.
pub(super) fn find(state_dir: Option<&Path>, migration: Option<&str>) -> Result<PathBuf, Report> {
    let root = state::root(state_dir)?;
    let migrations = state::migrations(&root);
    let found = match migration {
        Some(name) => migrations.into_iter().find(|dir| dir.file_name().is_some_and(|dir| dir == name)),
        None => migrations.into_iter().next(),
    };
    found.ok_or_else(|| {
        let which = migration.map_or_else(String::new, |name| format!(" named {name}"));
        Report::new("state-none", Exit::State, format!("There is no migration{which} in {}.", root.display()))
            .with_fix("Begin one with `neon-migrate copy`, or name the place of its state with `--state-dir DIR`.")
    })
}

/// The migration as it is now.
///
/// # Errors
/// Its journal cannot be read.
pub(super) fn load(dir: &Path) -> Result<(View, Owner), Report> {
    // The owner is looked at first: a run that ends in between has then written its end.
    let owner = lock::owner(dir);
    let mut view = View::default();
    History::open(dir)?.read(|event| view.apply(&event))?;
    if owner != Owner::Nobody {
        view.progress = current_progress(dir, &view);
    }
    Ok((view, owner))
}

/// The published progress, unless it is that of an earlier run.
fn current_progress(dir: &Path, view: &View) -> Option<Progress> {
    step::published(dir).filter(|progress| progress.at >= view.run.as_ref().map(|run| run.started_at))
}

fn show(dir: &Path, output: Output) -> Result<(), Report> {
    let (view, owner) = load(dir)?;
    match output {
        Output::Text | Output::Plain => render::print_out(&page(dir, &view, owner, Timestamp::now(), render::term_width())),
        Output::Json => render::print_json(document(dir, &view, owner)),
    }
    Ok(())
}

/// The whole view as one JSON document.
fn document(dir: &Path, view: &View, owner: Owner) -> Result<String, serde_json::Error> {
    #[derive(Serialize)]
    struct Document<'a> {
        directory: &'a Path,
        running: bool,
        pid: Option<u32>,
        view: &'a View,
    }
    let (running, pid) = match owner {
        Owner::Nobody => (false, None),
        Owner::Process(pid) => (true, pid),
    };
    serde_json::to_string(&Document { directory: dir, running, pid, view })
}

fn follow(dir: &Path, mut screen: Screen) -> Result<(), Report> {
    let mut view = View::default();
    let mut history = History::open(dir)?;
    loop {
        let owner = lock::owner(dir);
        let read = history.read(|event| {
            view.apply(&event);
            screen.event(&event, &view);
        });
        if owner == Owner::Nobody || read.is_err() {
            screen.end(&view);
            if view.ended.is_none() {
                render::print_err(&state_line(&view, owner, Timestamp::now()));
            }
            return read;
        }
        view.progress = current_progress(dir, &view);
        screen.tick(&view);
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The view as text: what it is, who works on it, the phases, then what is under way or how it ended.
fn page(dir: &Path, view: &View, owner: Owner, now: Timestamp, width: usize) -> Vec<Line> {
    let name = dir.file_name().unwrap_or(dir.as_os_str()).to_string_lossy();
    let mut lines =
        vec![Line::default().add(Paint::Bold, format!("Migration {name}")).add(Paint::Dim, format!(" in {}", dir.display()))];
    if let Some(run) = &view.run {
        lines.push(Line::new("  from ").text(&run.source));
        lines.push(Line::new("  to   ").text(&run.target));
    }
    lines.extend(state_line(view, owner, now));
    lines.push(Line::default());
    lines.extend(view.phases.iter().filter(|phase| phase.state == State::Done).map(|phase| term::phase_line(phase.phase, view)));
    if owner != Owner::Nobody {
        lines.extend(term::lines(view, now, width));
    }
    let certificate = certificate::certificate(view, width);
    if !certificate.is_empty() {
        lines.push(Line::default());
        lines.extend(certificate);
    }
    if let Some(error) = view.ended.as_ref().and_then(|ended| ended.report.as_ref()) {
        lines.push(Line::default());
        lines.extend(report::report(error, width));
    }
    lines
}

/// Who works on it, and if nobody does, how to go on.
fn state_line(view: &View, owner: Owner, now: Timestamp) -> Vec<Line> {
    let ago = |at: Timestamp| {
        let seconds = u64::try_from(now.duration_since(at).as_secs()).unwrap_or(0);
        format!("{} ago", duration(Duration::from_secs(seconds.max(1))))
    };
    let command = view.run.as_ref().map_or("copy", |run| run.command.as_str());
    let line = Line::new("  ");
    let again = format!("  To go on: run the same `neon-migrate {command}` command again.");
    match (owner, &view.ended) {
        (Owner::Process(pid), _) => {
            let pid = pid.map_or_else(String::new, |pid| format!(" by the process with pid {pid}"));
            vec![line.add(Paint::Good, "is being worked on").text(format!("{pid}, for {} in all.", duration(view.elapsed(now))))]
        }
        (Owner::Nobody, Some(ended)) => match ended.exit {
            Exit::Done => vec![line.add(Paint::Good, "was finished").text(format!(" {}.", ago(ended.at)))],
            Exit::Mismatch => {
                vec![line.add(Paint::Bad, "was finished, and the two sides differ").text(format!(", {}.", ago(ended.at)))]
            }
            Exit::Paused | Exit::Interrupted => {
                vec![line.add(Paint::Warn, "was stopped").text(format!(" {}.", ago(ended.at))), Line::new(again)]
            }
            _ => vec![line.add(Paint::Bad, "failed").text(format!(" {}.", ago(ended.at))), Line::new(again)],
        },
        (Owner::Nobody, None) => {
            let when = view.at.map_or_else(String::new, |at| format!("; it last wrote {}", ago(at)));
            vec![line.add(Paint::Bad, "was killed or crashed").text(format!("{when}.")), Line::new(again)]
        }
    }
}

#[cfg(test)]
mod tests;

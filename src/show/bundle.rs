//! The recording of a migration that can be given away: its journal and the samples of its progress, without names of machines and people,
//! and without anything that a row may have held ([`super::scrub`]).

use std::collections::VecDeque;
use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::scrub::Scrub;
use crate::engine::event::{Event, EventKind, TableState};
use crate::engine::journal::History;
use crate::engine::progress::{BuildProgress, Progress};
use crate::engine::recording::{event_line, progress_line};
use crate::engine::report::{Exit, Report};
use crate::engine::view::View;

/// Over how many seconds a speed is measured.
const RATE_SECONDS: f64 = 10.0;

/// Why there is no recording.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The journal cannot be read.
    #[error("{}", .0.message)]
    Journal(Box<Report>),
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] std::io::Error),
}

impl From<Report> for BundleError {
    fn from(report: Report) -> Self {
        BundleError::Journal(Box::new(report))
    }
}

impl BundleError {
    /// What a person is told; `place` is where it was to be written.
    pub fn report(self, place: &str) -> Report {
        match self {
            BundleError::Journal(report) => *report,
            BundleError::Write(error) => {
                Report::new("report-file", Exit::Usage, format!("The recording {place} could not be written."))
                    .with_cause(format!("{error}."))
                    .with_fix("Choose a place where you may write, and run the command again.")
            }
        }
    }
}

/// Writes the recording of the migration in `dir`.
///
/// # Errors
/// The journal cannot be read, or `out` cannot be written.
pub fn write(dir: &Path, out: &mut impl Write) -> Result<(), BundleError> {
    let mut scrub = Scrub::default();
    scrub.learn_path(dir, "[state directory]");
    if let Some(home) = std::env::var_os("HOME") {
        scrub.learn_path(&PathBuf::from(home), "~");
    }
    // Everything is learned before anything is written: a later run may name what an earlier one spoke of.
    History::open(dir)?.read(|event| scrub.learn(&event.kind))?;
    let mut history = History::open(dir)?;
    let mut lines = Lines { out, samples: samples(&history)?, view: View::default(), recent: VecDeque::new() };
    let mut written = Ok(());
    history.read(|mut event| {
        if written.is_ok() {
            scrub.event(&mut event.kind);
            written = lines.event(&event);
        }
    })?;
    written?;
    lines.samples_before(None)?;
    out.flush()?;
    Ok(())
}

/// How much had passed when.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Timestamp,
    rows: u64,
    bytes: u64,
}

fn samples(history: &History) -> Result<VecDeque<Sample>, Report> {
    let stored = history.samples()?.into_iter();
    Ok(stored
        .filter_map(|one| Some(Sample { at: Timestamp::from_microsecond(one.at).ok()?, rows: one.rows, bytes: one.bytes }))
        .collect())
}

struct Lines<'a, W> {
    out: &'a mut W,
    samples: VecDeque<Sample>,
    view: View,
    /// The samples of the last seconds of the same run.
    recent: VecDeque<Sample>,
}

impl<W: Write> Lines<'_, W> {
    fn event(&mut self, event: &Event) -> Result<(), std::io::Error> {
        self.samples_before(Some(event.at))?;
        if let EventKind::RunStarted { .. } | EventKind::BegunAnew = event.kind {
            self.recent.clear();
        }
        self.view.apply(event);
        writeln!(self.out, "{}", event_line(event)?)
    }

    fn samples_before(&mut self, at: Option<Timestamp>) -> Result<(), std::io::Error> {
        while let Some(sample) = self.samples.pop_front_if(|sample| at.is_none_or(|at| sample.at <= at)) {
            let progress = self.progress(sample);
            writeln!(self.out, "{}", progress_line(&progress)?)?;
        }
        Ok(())
    }

    /// The sample as progress, as far as it can be told from it: how far each table was is not known any more.
    fn progress(&mut self, sample: Sample) -> Progress {
        let seconds = |from: &Sample| sample.at.duration_since(from.at).as_secs_f64();
        while self.recent.pop_front_if(|old| seconds(old) > RATE_SECONDS).is_some() {}
        let copying = self.view.tables.iter().any(|table| table.state == TableState::Copying);
        let rate = |of: fn(&Sample) -> u64| {
            let first = self.recent.front().filter(|first| copying && seconds(first) > 0.5)?;
            Some(of(&sample).saturating_sub(of(first)) as f64 / seconds(first))
        };
        let (rows_per_second, bytes_per_second) = (rate(|sample| sample.rows), rate(|sample| sample.bytes));
        self.recent.push_back(sample);
        let builds = self.view.builds.running.iter();
        Progress {
            at: Some(sample.at),
            rows: sample.rows,
            bytes: sample.bytes,
            fraction: self.fraction(sample.rows),
            bytes_per_second,
            rows_per_second,
            eta_seconds: None,
            tables: Vec::new(),
            builds: builds
                .map(|one| BuildProgress { id: one.id, kind: one.kind.clone(), name: one.name.clone(), percent: None })
                .collect(),
        }
    }

    fn fraction(&self, rows: u64) -> Option<f64> {
        let tables = &self.view.tables;
        if tables.is_empty() {
            return None;
        }
        if self.view.tables_copied() == tables.len() {
            return Some(1.0);
        }
        let whole = |table: &crate::engine::view::TableView| match table.state {
            TableState::Copied => table.rows,
            _ => table.planned.rows_estimate,
        };
        let whole: u64 = tables.iter().map(whole).sum();
        // Estimates err; only the end is the end.
        Some((rows as f64 / whole.max(1) as f64).min(0.99))
    }
}

#[cfg(test)]
mod tests;

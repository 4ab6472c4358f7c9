//! A run from its two ends to its end: what is looked at, where its state is kept, and how it ends. The terminal and the page do the very same.
//!
//! A run is made ready ([`copy::prepare`], [`verify::prepare`]), which writes nothing; then its journal is opened, to which a renderer may subscribe;
//! then it is done, and its last event says how it ended.

pub mod by_hand;
pub mod copy;
pub mod verify;

use super::ends::{Source, Target};
use super::error::{Error, Side};
use super::preflight::{self, End, Preflight};
use crate::engine::event::EventKind;
use crate::engine::report::{Exit, Report};
use crate::engine::step::Cx;
use crate::pg::conninfo::{Conninfo, Environment, Host};
use crate::pg::error::PgError;

/// How many jobs are wanted for each core of this machine when a server is elsewhere.
const JOBS_PER_CORE: usize = 2;
/// How many there are at least when both servers are on this machine.
const JOBS_HERE_MIN: usize = 2;
/// The default number of jobs is between these.
const JOBS: std::ops::RangeInclusive<usize> = 4..=8;

/// Parses a connection string. What in it was passed over is in its [`Conninfo::notices`].
///
/// # Errors
/// A text that is no connection string, with the side that it is of.
pub fn parse(text: &str, side: Side) -> Result<Conninfo, Report> {
    Conninfo::parse(text, &Environment::of_process()).map_err(|error| {
        let text = error.to_string();
        let text = ["The connection string could not be read: ", "The connection string could not be used: "]
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix))
            .map_or_else(|| in_a_sentence(&text), str::to_owned);
        Report::new(error.code(), Exit::Usage, format!("The {}'s connection string cannot be used: {text}", side.name()))
            .with_fix("Mend it; these are the forms that are understood:\n  postgresql://user@host:5432/database?sslmode=require\n  'host=… port=5432 user=… dbname=… sslmode=require'\n  service=name")
    })
}

/// Connects to both ends, twice each, and looks at them.
///
/// # Errors
/// An end that cannot be connected to or looked at.
pub async fn look(source: &Source, target: &Target, options: &preflight::Options) -> Result<Preflight, Report> {
    // One after the other: a wrong password is tried once, and no account gets locked for it.
    let sessions = async {
        let (source_first, target_first) = tokio::try_join!(source.sql(), target.sql())?;
        let (source_second, target_second) = tokio::try_join!(source.sql(), target.sql())?;
        Ok((source_first, source_second, target_first, target_second))
    };
    let (source_first, source_second, target_first, target_second) = sessions.await.map_err(not_begun)?;
    let (source_hint, target_hint) = (source.info().is_pooled_hint(), target.info().is_pooled_hint());
    let source_end = End { client: &source_first, second: Some(&source_second), pooled: source_hint.as_ref() };
    let target_end = End { client: &target_first, second: Some(&target_second), pooled: target_hint.as_ref() };
    preflight::run(source_end, target_end, options).await.map_err(|failure| failure.report())
}

/// What calms a person whose command did not even begin.
const NOTHING_WRITTEN: &str = "Nothing was written.";

/// A sentence as the second half of another one.
fn in_a_sentence(sentence: &str) -> String {
    let first = sentence.split(' ').next().unwrap_or_default();
    // The name of a host or a user stays as it is.
    if matches!(first, "The" | "There" | "Nothing" | "What" | "User" | "No" | "None") {
        let (head, tail) = sentence.split_at(1);
        head.to_lowercase() + tail
    } else {
        sentence.to_owned()
    }
}

/// A failure before anything was done is that side's, not a pause.
pub fn not_begun(error: Error) -> Report {
    let mut report = error.report();
    if let Error::Pg { side, doing, error } = &error {
        report.exit = if *side == Side::Source { Exit::Source } else { Exit::Target };
        if let PgError::Connect(dial) = error {
            report.code = dial.code().to_owned();
            report.message = format!("The {} cannot be connected to: {}", side.name(), in_a_sentence(dial.what()));
            report.causes = Vec::new();
            report.fix = Some(format!("{NOTHING_WRITTEN} {}", dial.fix()));
        } else {
            report.message = format!("The {} could not be looked at: {doing} failed.", side.name());
            report.fix = Some(format!("{NOTHING_WRITTEN} See that the server is up and answers, then run the same command again."));
        }
    }
    report
}

/// The default number of jobs. Sessions with servers elsewhere wait for the network more than they work, so that there are more of them than cores;
/// servers on this machine share its cores with us, and more sessions than cores only take time from the longest one.
pub fn default_jobs(source: &Source, target: &Target) -> u32 {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let jobs = if is_here(source.info()) && is_here(target.info()) {
        cores.clamp(JOBS_HERE_MIN, *JOBS.end())
    } else {
        (cores * JOBS_PER_CORE).clamp(*JOBS.start(), *JOBS.end())
    };
    u32::try_from(jobs).unwrap_or(4)
}

/// Whether a server is on this machine, as far as its address tells.
fn is_here(info: &Conninfo) -> bool {
    let local = |name: &str| {
        name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    };
    info.endpoints().iter().all(|endpoint| match &endpoint.host {
        Host::Socket(_) => true,
        Host::Name(name) => local(name),
    })
}

/// Says that a run begins.
async fn begin(cx: &Cx, command: &str, source: &Source, target: &Target) -> Result<(), Report> {
    let started = EventKind::RunStarted {
        command: command.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        source: source.info().label(),
        target: target.info().label(),
    };
    cx.emit(started).await.map(|_| ())
}

/// Tells what was found at both ends, and refuses if something stands in the way.
async fn tell(cx: &Cx, looked: &Preflight) -> Result<(), Error> {
    for finding in &looked.findings {
        cx.emit(EventKind::FindingRaised { finding: finding.clone() }).await?;
    }
    looked.refusal().map_or(Ok(()), |report| Err(Error::from(report)))
}

/// Records how a run ended; the journal is closed then, and renderers end.
async fn finish(cx: &Cx, result: Result<(), Report>) -> Result<Exit, Report> {
    let (exit, report) = match result {
        Ok(()) => super::once::exit(&cx.view()?),
        Err(report) => (report.exit, Some(report)),
    };
    cx.finish(exit, report).await?;
    Ok(exit)
}

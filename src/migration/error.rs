//! What can stop a migration, and how that is said.

use crate::engine::cancel;
use crate::engine::report::{Exit, Report};
use crate::engine::step::ToReport;
use crate::pg::error::PgError;
use crate::pg::pump::PumpError;

/// Which end of the migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The database that is moved.
    Source,
    /// The database that it is moved to.
    Target,
}

impl Side {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Side::Source => "source",
            Side::Target => "target",
        }
    }

    /// An error on this side, while something was done.
    pub fn failed(self, doing: impl Into<String>, error: impl Into<PgError>) -> Error {
        Error::Pg { side: self, doing: doing.into(), error: error.into() }
    }
}

/// Why a migration stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A server or the way to it failed.
    #[error("{} failed while {doing}", side.name())]
    Pg {
        /// Which side.
        side: Side,
        /// What was being done, as in "copying public.orders".
        doing: String,
        /// What happened.
        #[source]
        error: PgError,
    },
    /// Said in full already.
    #[error("{}", .0.message)]
    Report(Box<Report>),
    /// The snapshot of the source is lost; the copy goes on in another one.
    #[error("the source's snapshot was lost while {doing}")]
    SnapshotLost {
        /// What was being done.
        doing: String,
    },
    /// A table's rows are not in the snapshot any more.
    #[error("a table was truncated or rewritten while {doing}")]
    Rewritten {
        /// What was being done.
        doing: String,
    },
    /// The person asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// A file of the state directory could not be read or written.
    #[error("{doing} failed")]
    File {
        /// What was being done.
        doing: String,
        /// What happened.
        #[source]
        error: std::io::Error,
    },
}

impl From<Report> for Error {
    fn from(report: Report) -> Self {
        Error::Report(Box::new(report))
    }
}

impl ToReport for Error {
    fn to_report(&self) -> Report {
        self.report()
    }
}

impl Error {
    /// An error of the pump, while a table was copied.
    pub fn from_pump(error: PumpError, table: &str) -> Error {
        match error {
            PumpError::Source(error) => Side::Source.failed(format!("copying {table}"), error),
            PumpError::Target(error) => Side::Target.failed(format!("copying {table}"), error),
            PumpError::Counts { source, target, .. } => Report::new(
                "row-count",
                Exit::Mismatch,
                format!("The source sent {source} rows of {table}, and the target took {target}."),
            )
            .with_fix("Nothing of that table was committed. Run the same command again; if it happens again, please report it.")
            .into(),
        }
    }

    /// Whether the same work may succeed when it is tried again.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Pg { error, .. } => error.is_transient(),
            Error::SnapshotLost { .. } | Error::Rewritten { .. } => true,
            _ => false,
        }
    }

    /// What a person is told.
    pub fn report(&self) -> Report {
        match self {
            Error::Report(report) => (**report).clone(),
            Error::Pg { side, doing, error } => pg_report(*side, doing, error),
            Error::SnapshotLost { doing } => Report::new(
                "snapshot-lost",
                Exit::Paused,
                format!("The source's snapshot was lost while {doing}, because the connection that held it ended."),
            )
            .with_fix(GO_ON),
            Error::Rewritten { doing } => Report::new(
                "table-rewritten",
                Exit::Paused,
                format!("A table was truncated or rewritten on the source while {doing}; it is copied again in a new snapshot."),
            )
            .with_fix(format!("{GO_ON} Do not truncate, cluster, or vacuum full tables of the source meanwhile.")),
            Error::Interrupted => cancel::interrupted(),
            Error::File { doing, error } => Report::new("state-file", Exit::State, format!("{} failed.", capitalised(doing)))
                .with_cause(format!("{}.", capitalised(&error.to_string())))
                .with_fix(
                    "Check that the state directory is writable and that its disk has room, then run the same command again.",
                ),
        }
    }
}

/// How to go on after a stop that loses nothing.
pub const GO_ON: &str = "Run the same command again: it goes on from here, and does not repeat what is finished.";

fn pg_report(side: Side, doing: &str, error: &PgError) -> Report {
    let exit = match (error.is_transient(), side) {
        (true, _) => Exit::Paused,
        (false, Side::Source) => Exit::Source,
        (false, Side::Target) => Exit::Target,
    };
    let (code, fix) = advice(side, error);
    let mut report = Report::new(code, exit, format!("The {} failed while {doing}.", side.name()));
    report.causes.push(match error {
        PgError::Server(server) => format!("The server answered: {server}."),
        other => format!("{}.", capitalised(other.to_string().trim_end_matches('.'))),
    });
    if let PgError::Server(server) = error {
        report
            .causes
            .extend(server.table.as_ref().map(|table| format!("It is about the table {}.", crate::pg::names::human(table))));
        report.causes.extend(server.hint.as_ref().map(|hint| format!("The server's hint: {hint}")));
    }
    report.fix = Some(fix.map_or_else(|| if error.is_transient() { GO_ON.to_owned() } else { LOOK.to_owned() }, str::to_owned));
    report
}

const LOOK: &str = "Mend the cause named above, then run the same command again: what is finished stays finished.";

/// The stable code, and the advice for what has a better one than "try again".
fn advice(side: Side, error: &PgError) -> (&'static str, Option<&'static str>) {
    let Some(sqlstate) = error.sqlstate() else {
        return match error {
            PgError::Connect(_) => (if side == Side::Source { "source-connect" } else { "target-connect" }, None),
            PgError::Protocol(_) => (if side == Side::Source { "source-protocol" } else { "target-protocol" }, None),
            _ => (if side == Side::Source { "source-lost" } else { "target-lost" }, None),
        };
    };
    match (side, sqlstate) {
        (_, "53100") => (
            "disk-full",
            Some(
                "Make room on that server's disk (or raise the project's size limit), then run the same command again: it goes on from here.",
            ),
        ),
        (_, "53200") => (
            "out-of-memory",
            Some("Give the server more memory or run with fewer --jobs, then run the same command again: it goes on from here."),
        ),
        (_, "53300") => (
            "too-many-connections",
            Some("Free connections on that server or run with fewer --jobs; the same command goes on from here."),
        ),
        (Side::Source, "42P01") => (
            "table-dropped",
            Some(
                "A table was dropped or renamed on the source after its schema was read. Start over with --replace-target, or leave the table out with --exclude, and keep the schema unchanged while the copy runs.",
            ),
        ),
        (Side::Source, "42703" | "42804") => (
            "table-altered",
            Some(
                "A table was altered on the source after its schema was read. Start over with --replace-target, and keep the schema unchanged while the copy runs.",
            ),
        ),
        (Side::Target, "42703" | "42P01") => (
            "target-altered",
            Some(
                "The target's schema was changed while the copy ran. Start over with --replace-target, and leave the target alone until the copy is done.",
            ),
        ),
        (Side::Source, "42501") => (
            "source-privilege",
            Some(
                "Grant the source's role what it lacks, for instance with `grant pg_read_all_data to …;`, then run the same command again.",
            ),
        ),
        (Side::Target, "42501") => {
            ("target-privilege", Some("Connect to the target as the owner of the database, then run the same command again."))
        }
        (Side::Target, "22021") => (
            "encoding",
            Some(
                "The source holds bytes that are not valid text in the target's encoding. Mend those rows on the source, or leave the table out with --exclude.",
            ),
        ),
        (Side::Source, "55P03") => {
            ("lock-timeout", Some("Another session on the source held a lock for too long. The same command goes on from here."))
        }
        (Side::Source, _) => ("source-failed", None),
        (Side::Target, _) => ("target-failed", None),
    }
}

/// With its first letter in upper case.
pub fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::error::ServerError;

    #[test]
    fn a_full_disk_is_resumable_and_says_so() {
        let error = Side::Target.failed("copying public.t", PgError::Server(ServerError::new("53100", "could not extend file")));
        let report = error.report();
        assert_eq!((report.code.as_str(), report.exit), ("disk-full", Exit::Paused));
        assert!(error.is_transient());
        assert!(report.fix.is_some_and(|fix| fix.contains("goes on from here")));
    }

    #[test]
    fn a_dropped_table_is_no_transient_error() {
        let error = Side::Source.failed("copying public.t", PgError::Server(ServerError::new("42P01", "relation does not exist")));
        assert_eq!((error.report().code.as_str(), error.report().exit), ("table-dropped", Exit::Source));
        assert!(!error.is_transient());
    }
}

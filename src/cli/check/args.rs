//! What `check` takes.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::super::args::{ConnectionString, Machine, SOURCE_VARIABLE, Selection, TARGET_VARIABLE};

/// What `check` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  A database, by itself and beside what Neon offers:
    neon-migrate check postgresql://app@db.example.com/shop
    neon-migrate check --neon

  A pair; the connections are measured, and the time is reckoned:
    neon-migrate check --source service=shop --target postgresql://owner@ep-x.aws.neon.tech/shop

  For a ticket, and for a program:
    neon-migrate check --report check.html
    neon-migrate check --output json

  Where only a DBA may connect, who knows psql and reads what is run:
    neon-migrate check --only-metadata > questions.sql
    psql -XAtq -d 'the source' -f questions.sql > metadata.jsonl
    neon-migrate check --from-file metadata.jsonl

Exit codes: 0 nothing stands in the way, 3 something does.")]
pub struct CheckArgs {
    /// Where the data is: a connection string; the same as --source
    #[arg(value_name = "SOURCE")]
    pub position: Option<ConnectionString>,

    /// Where the data is: a connection string
    #[arg(long, value_name = "URL", env = SOURCE_VARIABLE, hide_env_values = true, help_heading = "Databases")]
    pub source: Option<ConnectionString>,

    /// Where it would go: a connection string; the pair is compared too
    #[arg(long, value_name = "URL", env = TARGET_VARIABLE, hide_env_values = true, help_heading = "Databases")]
    pub target: Option<ConnectionString>,

    /// Compare with a project at Neon that does not exist yet, by published facts; a target is not asked
    #[arg(long, help_heading = "Databases")]
    pub neon: bool,

    /// Live replication is wanted: what stands in its way is a blocker
    #[arg(long, conflicts_with = "once", help_heading = "What to look at")]
    pub live: bool,

    /// Live replication is not wanted: what concerns only that is a note
    #[arg(long, help_heading = "What to look at")]
    pub once: bool,

    /// Which tables.
    #[command(flatten)]
    pub selection: Selection,

    /// Look at the schemas of the provider's platform too, which otherwise stay behind
    #[arg(long, help_heading = "What to look at")]
    pub with_platform: bool,

    /// How many jobs there would be [default: 4]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256), help_heading = "What to look at")]
    pub jobs: Option<u32>,

    /// Write the report to a file of its own as well: .html, .md or .json; may be repeated
    #[arg(long, value_name = "FILE", action = ArgAction::Append, help_heading = "Reports")]
    pub report: Vec<PathBuf>,

    /// Print what a code means, such as F1, and look at nothing; "all" prints every code
    #[arg(long, value_name = "CODE", help_heading = "Reports")]
    pub explain: Option<String>,

    /// Print a script of plain SQL that asks the same questions with psql, and look at nothing
    #[arg(long, help_heading = "Without a connection")]
    pub only_metadata: bool,

    /// Evaluate what that script printed, without a connection; --source then only tells the host's name, and a target is not asked
    #[arg(long, value_name = "FILE", help_heading = "Without a connection")]
    pub from_file: Option<PathBuf>,

    /// This machine.
    #[command(flatten)]
    pub machine: Machine,
}

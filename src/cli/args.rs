//! The command line: what can be typed. The doc comments are the help.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use secrecy::{ExposeSecret, SecretString};

pub use super::commands::args::CommandsArgs;
pub use super::create_project::args::CreateProjectArgs;
pub use super::report::ReportArgs;
pub use super::ui::UiArgs;
use crate::migration::scope::{Pattern, Scope};

/// The environment variable that holds the source's connection string.
pub const SOURCE_VARIABLE: &str = "NEON_MIGRATE_SOURCE";
/// The environment variable that holds the target's connection string.
pub const TARGET_VARIABLE: &str = "NEON_MIGRATE_TARGET";

/// Moves a Postgres database to Neon, or to any Postgres, and proves that nothing was lost.
#[derive(Debug, Parser)]
#[command(
    name = "neon-migrate",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = "\
Begin here:
  neon-migrate check             tells what a migration would meet; changes nothing
  neon-migrate create-project    creates a Neon project that fits
  neon-migrate copy              copies everything, and proves it
  neon-migrate ui                all of it, guided, in the browser

They take --source and --target; see neon-migrate copy --help for connection strings and examples.
Exit codes: 0 done, 2 usage, 3 something must be mended first, 4 the two sides differ, 5 paused and
resumable, 6 source failed, 7 target failed, 8 another process is at it, 9 Neon's API failed,
130 interrupted."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// How all commands talk.
    #[command(flatten)]
    pub talk: Talk,
}

/// How a command talks.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub struct Talk {
    /// How to show what happens
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    pub output: Output,

    /// Say only what needs attention
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Say more, in plain lines; twice for the details of each connection
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,

    /// When to use colour; NO_COLOR is obeyed
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
}

/// How to show what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Live bars on a terminal, plain lines elsewhere.
    Text,
    /// One plain line per event, everywhere.
    Plain,
    /// One JSON object per line (docs/guide/json.md).
    Json,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tells what a migration would meet; changes nothing
    ///
    /// Looks at a source by itself, or beside a target or what Neon offers: versions, settings, rights, extensions, collations, fitness for
    /// replication, portability of the schema. Each finding says why it matters and how to mend it.
    Check(Box<super::check::CheckArgs>),
    /// Copies a database once, completely, and proves it
    ///
    /// Looks at both ends first, and stops before anything is written if something stands in the way. Then creates the definitions,
    /// copies the rows of one consistent moment, builds indexes and constraints, and compares both sides. The source may be in use
    /// meanwhile; it is only read.
    ///
    /// If it is interrupted, even by a power cut, the same command goes on where it was: what is finished is not done again.
    Copy(Box<CopyArgs>),
    /// Creates a Neon project that fits a source
    ///
    /// Looks at the source, proposes every value of the project with its reason, shows the request, and asks before it creates. The API key
    /// comes from NEON_API_KEY, or is asked for on the terminal; it is never an argument.
    CreateProject(Box<CreateProjectArgs>),
    /// Compares two databases that nobody writes to, table by table
    ///
    /// Ends with 0 if all tables are equal and with 4 if not, and shows the keys of rows that differ. While one side is written to,
    /// rows may differ that were copied well: use it on databases at rest.
    Verify(VerifyArgs),
    /// Prints the lines for pg_dump, pg_restore and psql that do it by hand
    ///
    /// With the flags that this source and this target need, and why each is there: a dump in one file, a dump in parallel, and logical
    /// replication from its beginning to its end. Both ends are only looked at.
    Commands(CommandsArgs),
    /// Shows how a migration is doing, from another terminal
    ///
    /// It is the same view that the process at work shows. Nothing is changed.
    Status(StatusArgs),
    /// Writes the report of a whole migration, or its recording
    ///
    /// What was copied, compared, left out and found, phase by phase, as HTML, Markdown or JSON. Nothing is changed.
    Report(ReportArgs),
    /// Guides through all of it, on a page in the browser
    ///
    /// Serves the page on this machine only, and prints a link that opens it. The work is done by this process: closing the browser stops nothing.
    /// Connection strings and the API key are kept in its memory and nowhere else.
    Ui(Box<UiArgs>),
    /// Makes a sample database to try things on
    #[command(subcommand)]
    Demo(DemoCommand),
}

/// The two databases.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Databases")]
pub struct Databases {
    /// Where the data is: a connection string
    ///
    /// As libpq takes it: postgresql://user@host:5432/database?sslmode=verify-full, or "host=… dbname=…", or service=name. What is
    /// not said comes from PG* variables, a service file and the password file ~/.pgpass. Prefer the environment or the password
    /// file for passwords: other users of this machine can read the arguments of a command.
    #[arg(long, value_name = "URL", env = SOURCE_VARIABLE, hide_env_values = true)]
    pub source: ConnectionString,

    /// Where it goes: a connection string
    #[arg(long, value_name = "URL", env = TARGET_VARIABLE, hide_env_values = true)]
    pub target: Option<ConnectionString>,
}

/// Which tables.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What to take")]
pub struct Selection {
    /// Take only these: schema or schema.table, with * and ?; may be repeated
    ///
    /// Names are written as the catalog holds them. A name with a dot or a star in it goes into double quotes: '"odd.schema".*'. A
    /// pattern that matches nothing is an error.
    #[arg(long, value_name = "PATTERN")]
    pub include: Vec<Pattern>,

    /// Leave these out, whatever is included; may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<Pattern>,
}

impl Selection {
    /// The scope that the patterns describe.
    pub fn scope(&self) -> Scope {
        Scope { include: self.include.clone(), exclude: self.exclude.clone() }
    }
}

/// What `copy` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  Look first; nothing is written:
    neon-migrate copy --dry-run --source service=shop --target postgresql://owner@ep-x.aws.neon.tech/shop

  Passwords in the environment, where other users cannot see them:
    export NEON_MIGRATE_SOURCE='postgresql://app:secret@db.example.com/shop?sslmode=verify-full'
    export NEON_MIGRATE_TARGET='postgresql://owner:secret@ep-x.aws.neon.tech/shop?sslmode=require'
    neon-migrate copy

  One schema without its log tables, with 8 jobs:
    neon-migrate copy --include shop --exclude 'shop.log_*' --jobs 8

  Go on after an interruption: the same command. Or begin anew in a database whose content may go:
    neon-migrate copy
    neon-migrate copy --replace-target=shop")]
pub struct CopyArgs {
    /// The two databases.
    #[command(flatten)]
    pub databases: Databases,

    /// Which tables.
    #[command(flatten)]
    pub selection: Selection,

    /// Show the plan and what stands in the way; write nothing
    #[arg(long, help_heading = "How to go about it")]
    pub dry_run: bool,

    /// How many tables and indexes are worked on at once [default: by both servers and this machine]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256), help_heading = "How to go about \
                                                                                                                 it")]
    pub jobs: Option<u32>,

    /// Copy tables larger than this in parts, such as 500MB or 2GB [default: by the plan]
    #[arg(long, value_name = "SIZE", help_heading = "How to go about it")]
    pub split_above: Option<Size>,

    /// Insist that there is an interrupted migration to go on with; without it the same command goes on just so
    #[arg(long, conflicts_with_all = ["replace_target", "dry_run"], help_heading = "How to go about it")]
    pub resume: bool,

    /// Remove everything in the target database first; asks for its name, which a script gives here
    #[arg(long, value_name = "DATABASE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    #[arg(help_heading = "How to go about it")]
    pub replace_target: Option<String>,

    /// Accept a target of an older major version than the source's
    #[arg(long, help_heading = "How to go about it")]
    pub allow_downgrade: bool,

    /// How to compare each table with its copy
    #[arg(long, value_enum, default_value_t = Verify::Hash, help_heading = "What to take")]
    pub verify: Verify,

    /// Keep each object's owner; the roles must exist on the target
    #[arg(long, help_heading = "What to take")]
    pub keep_owners: bool,

    /// Keep grants; the roles must exist on the target
    #[arg(long, help_heading = "What to take")]
    pub keep_grants: bool,

    /// This machine.
    #[command(flatten)]
    pub machine: Machine,
}

/// This machine.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "This machine")]
pub struct Machine {
    /// Where the state of migrations is kept [default: ~/.local/state/neon-migrate]
    #[arg(long, value_name = "DIR", env = "NEON_MIGRATE_STATE_DIR", hide_env_values = true)]
    pub state_dir: Option<PathBuf>,

    /// Where pg_dump and pg_restore are [default: looked for in PATH and the usual places]
    #[arg(long, value_name = "DIR", env = crate::pg::tools::BIN_DIR_VARIABLE, hide_env_values = true)]
    pub pg_bin_dir: Option<PathBuf>,
}

/// How to compare a table with its copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Verify {
    /// Not at all; the end says so.
    None,
    /// Numbers of rows.
    Counts,
    /// Numbers of rows and hashes of the rows' values.
    Hash,
    /// Hashes of the values' text, so that 1.0 and 1.00 differ; slower.
    Strict,
}

/// What `verify` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  neon-migrate verify --source service=old --target service=new --verify strict")]
pub struct VerifyArgs {
    /// The two databases.
    #[command(flatten)]
    pub databases: Databases,

    /// Which tables.
    #[command(flatten)]
    pub selection: Selection,

    /// How many tables are compared at once [default: by both servers and this machine]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub jobs: Option<u32>,

    /// How to compare
    #[arg(long, value_enum, default_value_t = Verify::Hash)]
    pub verify: Verify,

    /// Where the state of migrations is kept [default: ~/.local/state/neon-migrate]
    #[arg(long, value_name = "DIR", env = "NEON_MIGRATE_STATE_DIR", hide_env_values = true)]
    pub state_dir: Option<PathBuf>,
}

/// What `status` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  neon-migrate status             the migration that was worked on last
  neon-migrate status --follow    and keep showing until it ends")]
pub struct StatusArgs {
    /// Which migration [default: the one that was worked on last]
    pub migration: Option<String>,

    /// Keep showing until the migration ends
    #[arg(long, short)]
    pub follow: bool,

    /// Where the state of migrations is kept [default: ~/.local/state/neon-migrate]
    #[arg(long, value_name = "DIR", env = "NEON_MIGRATE_STATE_DIR", hide_env_values = true)]
    pub state_dir: Option<PathBuf>,
}

/// Makes a sample database to try things on.
#[derive(Debug, Subcommand)]
pub enum DemoCommand {
    /// Loads a sample shop into an empty database
    ///
    /// Orders, events with jsonb, partitions by month, a materialized view, enums, domains, triggers, a large object and odd names.
    Load {
        /// The empty database: a connection string
        #[arg(long, value_name = "URL", env = SOURCE_VARIABLE, hide_env_values = true)]
        source: ConnectionString,

        /// How large: 1 is between one and two GB
        #[arg(long, default_value_t = 0.1, value_parser = scale)]
        scale: f64,
    },
}

fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if scale.is_finite() && scale > 0.0 && scale <= 1000.0 => Ok(scale),
        _ => Err("it must be a number above 0 and at most 1000".to_owned()),
    }
}

/// A connection string as it was typed. It may hold a password, so it is never shown.
#[derive(Clone)]
pub struct ConnectionString(SecretString);

impl ConnectionString {
    /// The text, for the one place that parses it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl FromStr for ConnectionString {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(ConnectionString(SecretString::from(text)))
    }
}

/// A size in bytes, written as Postgres writes them: `8kB`, `500MB`, `2GB`, where each unit is 1024 of the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a size is a whole number and a unit: B, kB, MB, GB or TB, as in 500MB".to_owned();
        let text = text.trim();
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let power = match unit.trim().to_ascii_lowercase().as_str() {
            "b" => 0,
            "kb" | "kib" => 1,
            "mb" | "mib" => 2,
            "gb" | "gib" => 3,
            "tb" | "tib" => 4,
            _ => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let bytes = number.checked_mul(1024_u64.pow(power)).ok_or_else(|| "that is too large".to_owned())?;
        if bytes == 0 { Err("it must be more than nothing".to_owned()) } else { Ok(Size(bytes)) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    fn copy(line: &str) -> CopyArgs {
        match parse(&format!("neon-migrate copy --source a --target b {line}")).unwrap().command {
            Command::Copy(args) => *args,
            _ => unreachable!("the command is copy"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn copy_takes_its_flags() {
        let args = copy("--include app --include audit.log_* --exclude app.tmp --jobs 8 --split-above 500MB --verify strict");
        assert!(args.selection.scope().matches("audit", "log_1"));
        assert_eq!((args.jobs, args.split_above, args.verify), (Some(8), Some(Size(500 << 20)), Verify::Strict));
        assert_eq!(args.replace_target, None);
    }

    #[test]
    fn replace_target_names_the_database_or_asks() {
        assert_eq!(copy("--replace-target=shop").replace_target.as_deref(), Some("shop"));
        assert_eq!(copy("--replace-target").replace_target.as_deref(), Some(""));
        assert!(parse("neon-migrate copy --source a --target b --resume --replace-target=shop").is_err());
    }

    #[test]
    fn nothing_shows_a_connection_string() {
        let cli = parse("neon-migrate copy --source postgresql://u:planted-secret@h/d --target password=planted-secret").unwrap();
        assert!(!format!("{cli:?}").contains("planted"));
    }

    #[test]
    fn sizes_are_those_of_postgres() {
        assert_eq!("8kB".parse(), Ok(Size(8192)));
        assert_eq!("2 GB".parse(), Ok(Size(2 << 30)));
        for wrong in ["", "5", "MB", "0MB", "-1MB", "1.5GB", "99999999999TB", "5XB"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn jobs_and_scale_have_limits() {
        assert!(parse("neon-migrate verify --source a --target b --jobs 0").is_err());
        assert!(parse("neon-migrate demo load --source a --scale -1").is_err());
        assert!(parse("neon-migrate demo load --source a --scale nan").is_err());
    }

    #[test]
    fn help_looks_like_this() {
        for (name, command) in [
            ("main", None),
            ("check", Some("check")),
            ("commands", Some("commands")),
            ("copy", Some("copy")),
            ("create-project", Some("create-project")),
            ("verify", Some("verify")),
            ("status", Some("status")),
            ("report", Some("report")),
        ] {
            let mut all = Cli::command().term_width(100);
            all.build();
            let found = command.and_then(|name| all.find_subcommand(name).cloned());
            let help = found.unwrap_or(all).term_width(100).render_long_help().to_string();
            insta::assert_snapshot!(format!("help-{name}"), help);
        }
    }
}

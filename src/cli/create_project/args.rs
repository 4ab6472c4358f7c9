//! What `create-project` takes.

use std::path::PathBuf;

use clap::Args;

use crate::cli::args::{ConnectionString, SOURCE_VARIABLE};
use crate::migration::provision::plan::Wishes;
use crate::neon::client::DEFAULT_URL;

/// The environment variable that holds the API key. There is no flag for it: arguments can be read by others.
pub const KEY_VARIABLE: &str = "NEON_API_KEY";

/// What `create-project` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  See what would be created for a source; nothing is created:
    export NEON_API_KEY='napi_…' NEON_MIGRATE_SOURCE='postgresql://app@db.example.com/shop'
    neon-migrate create-project --dry-run

  Create it, and keep the connection string with its password in a file that only you can read:
    neon-migrate create-project --keep-password

  In a script, every value said:
    neon-migrate create-project --yes --output json --name shop --region aws-eu-central-1 \\
      --pg-version 17 --database shop --role app --min-cu 1 --max-cu 4")]
pub struct CreateProjectArgs {
    /// The database that is to be moved; what is not said below is chosen to fit it
    ///
    /// It is asked by one connection for its version, name, owner and size; it is only read. Without it, Neon's defaults are proposed.
    #[arg(long, value_name = "URL", env = SOURCE_VARIABLE, hide_env_values = true)]
    pub source: Option<ConnectionString>,

    /// Show what would be created; create nothing
    #[arg(long, help_heading = "How to go about it")]
    pub dry_run: bool,

    /// Create it without asking, for scripts
    #[arg(long, short, conflicts_with = "dry_run", help_heading = "How to go about it")]
    pub yes: bool,

    /// Keep the connection string with its password in the state directory, readable for you alone
    #[arg(long, conflicts_with = "dry_run", help_heading = "How to go about it")]
    pub keep_password: bool,

    /// Show the connection string with its password at the end
    #[arg(long, conflicts_with = "dry_run", help_heading = "How to go about it")]
    pub show_password: bool,

    /// The project's values.
    #[command(flatten)]
    pub values: Values,

    /// Where the API is
    #[arg(long, value_name = "URL", env = "NEON_API_URL", hide_env_values = true, default_value = DEFAULT_URL, help_heading = "Neon")]
    pub api_url: String,

    /// The organization that the project is to belong to: its id or its name [default: the only one]
    #[arg(long, value_name = "ID", help_heading = "Neon")]
    pub org: Option<String>,

    /// Where the state of migrations is kept [default: ~/.local/state/neon-migrate]
    #[arg(long, value_name = "DIR", env = "NEON_MIGRATE_STATE_DIR", hide_env_values = true, help_heading = "This machine")]
    pub state_dir: Option<PathBuf>,
}

/// The values of a project.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "The project")]
pub struct Values {
    /// Its name [default: the source database's]
    #[arg(long)]
    pub name: Option<String>,

    /// Its region, such as aws-eu-central-1; it cannot be changed later [default: the source's or the nearest]
    #[arg(long, value_name = "ID")]
    pub region: Option<String>,

    /// The major version of Postgres; it cannot be changed later [default: the source's]
    #[arg(long, value_name = "MAJOR", value_parser = clap::value_parser!(u32).range(14..=99))]
    pub pg_version: Option<u32>,

    /// The database [default: the source's name]
    #[arg(long, value_name = "NAME")]
    pub database: Option<String>,

    /// The role that owns the database [default: the source's owner]
    #[arg(long, value_name = "NAME")]
    pub role: Option<String>,

    /// The smallest compute, in compute units of about 4 GB of memory [default: by the source's size]
    #[arg(long, value_name = "CU")]
    pub min_cu: Option<f64>,

    /// The largest compute [default: by the source's size]
    #[arg(long, value_name = "CU")]
    pub max_cu: Option<f64>,

    /// When an idle compute is suspended: never, default, or a time such as 10m [default: never, where the plan allows it]
    #[arg(long, value_name = "TIME", value_parser = suspend_timeout)]
    pub suspend_timeout: Option<i64>,

    /// For how long Neon keeps history: a time such as 0s, 1h or 7d [default: 1h, because loading fills it]
    #[arg(long, value_name = "TIME", value_parser = history_retention)]
    pub history_retention: Option<u64>,
}

impl Values {
    /// What the person asked for.
    pub fn wishes(&self) -> Wishes {
        Wishes {
            name: self.name.clone(),
            region: self.region.clone(),
            pg_version: self.pg_version,
            database: self.database.clone(),
            role: self.role.clone(),
            min_cu: self.min_cu,
            max_cu: self.max_cu,
            suspend_timeout: self.suspend_timeout,
            history_retention: self.history_retention,
        }
    }
}

/// Seconds as Neon counts them: -1 is never, 0 its default.
fn suspend_timeout(text: &str) -> Result<i64, String> {
    match text {
        "never" => Ok(-1),
        "default" => Ok(0),
        text => match seconds(text)? {
            seconds @ 60..=604_800 => i64::try_from(seconds).map_err(|error| error.to_string()),
            _ => Err("Neon takes 1m to 7d, never, or default".to_owned()),
        },
    }
}

fn history_retention(text: &str) -> Result<u64, String> {
    match seconds(text)? {
        seconds @ ..=2_592_000 => Ok(seconds),
        _ => Err("Neon takes 30d at most".to_owned()),
    }
}

/// A time in seconds: `90s`, `10m`, `6h`, `7d`.
fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || "a time is a whole number and a unit: s, m, h or d, as in 10m".to_owned();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(factor).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_neons_limits() {
        assert_eq!(["never", "default", "1m", "7d"].map(suspend_timeout), [Ok(-1), Ok(0), Ok(60), Ok(604_800)]);
        assert_eq!(["0s", "1h", "30d"].map(history_retention), [Ok(0), Ok(3600), Ok(2_592_000)]);
        for wrong in ["59s", "8d", "10", "-1", "", "m", "1.5h", "99999999999999999999d"] {
            assert!(suspend_timeout(wrong).is_err(), "{wrong}");
        }
        assert!(history_retention("31d").is_err());
    }
}

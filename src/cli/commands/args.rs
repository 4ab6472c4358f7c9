//! What `commands` takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::args::Databases;
use crate::migration::commands::quote::Shell;

/// What `commands` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  The lines, with passwords left to the environment:
    neon-migrate commands --source service=shop --target postgresql://owner@ep-x.aws.neon.tech/shop

  As files that can be run:
    neon-migrate commands --source service=shop --target service=new --script by-hand
    by-hand/1-dump.sh && by-hand/2-restore.sh && by-hand/3-analyze.sh")]
pub struct CommandsArgs {
    /// The two databases.
    #[command(flatten)]
    pub databases: Databases,

    /// The shell that the lines are for [default: bash; powershell on Windows]
    #[arg(long, value_enum)]
    pub shell: Option<ShellName>,

    /// Write the passwords out; otherwise they are asked for, or taken from SOURCE_PASSWORD and TARGET_PASSWORD
    #[arg(long)]
    pub with_passwords: bool,

    /// Write the lines as scripts into this directory, which must not exist or be empty
    #[arg(long, value_name = "DIR")]
    pub script: Option<PathBuf>,

    /// How many connections the parallel form uses [default: by both servers and this machine]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub jobs: Option<u32>,

    /// Where pg_dump and pg_restore are [default: looked for in PATH and the usual places]
    #[arg(long, value_name = "DIR", env = crate::pg::tools::BIN_DIR_VARIABLE, hide_env_values = true)]
    pub pg_bin_dir: Option<PathBuf>,
}

/// A shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShellName {
    /// Bash, or zsh.
    Bash,
    /// PowerShell.
    Powershell,
}

impl CommandsArgs {
    /// The shell, by this system if none was named.
    pub fn shell(&self) -> Shell {
        match self.shell {
            Some(ShellName::Bash) => Shell::Bash,
            Some(ShellName::Powershell) => Shell::PowerShell,
            None if cfg!(windows) => Shell::PowerShell,
            None => Shell::Bash,
        }
    }
}

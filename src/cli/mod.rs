//! The command line: what is typed, what is done, and how it ends.

pub mod args;
pub mod argv;
pub mod copy;
pub mod demo;
pub mod exit;
pub mod render;
pub mod status;
pub mod verify;

use std::process::ExitCode;

use clap::Parser;

use self::args::{Cli, Command};
use crate::engine::report::{Exit, Report};

/// Parses the command line, runs the command and gives its exit code.
///
/// Errors in usage end here with 2, before there is a runtime; `--help` and `--version` with 0.
pub fn main() -> ExitCode {
    let exposed = argv::hide_passwords();
    let cli = Cli::parse();
    if exposed || argv::password_was_seen() {
        anstream::eprintln!("{}", argv::NOTICE);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            anstream::eprintln!("The asynchronous runtime could not be started: {error}.");
            return ExitCode::from(Exit::Bug.code());
        }
    };
    let exit = runtime.block_on(run(cli)).unwrap_or_else(|report| {
        render::print_report(&report);
        report.exit
    });
    ExitCode::from(exit.code())
}

/// Runs one command.
async fn run(cli: Cli) -> Result<Exit, Report> {
    render::set_color(cli.talk.color);
    match cli.command {
        Command::Copy(args) => copy::run(*args, &cli.talk).await,
        Command::Verify(args) => verify::run(args, &cli.talk).await,
        Command::Status(args) => Ok(status::run(&args, &cli.talk)),
        Command::Demo(command) => demo::run(&command, cli.talk.quiet).await,
    }
}

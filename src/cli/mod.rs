//! The command line: what is typed, what is done, and how it ends.

pub mod args;
pub mod argv;
pub mod check;
pub mod commands;
pub mod copy;
pub mod create_project;
pub mod demo;
mod ends;
pub mod exit;
mod log;
mod prompt;
pub mod render;
pub mod report;
pub mod status;
pub mod ui;
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
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => return not_understood(&error),
        Err(help) => help.exit(),
    };
    let output = cli.talk.output;
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
        if output == args::Output::Json {
            render::print_end(&report);
        }
        render::print_report(&report);
        report.exit
    });
    ExitCode::from(exit.code())
}

/// Tells what is wrong with the command line. A connection string in the wrong place may hold a password, and is not repeated.
fn not_understood(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    let hidden = std::env::args_os().any(|word| argv::holds_password(&word) && text.contains(&*word.to_string_lossy()));
    let cause = match hidden {
        true => "A connection string stands where none is expected: give it with --source or --target.",
        false => text.lines().next().unwrap_or_default().trim_start_matches("error: "),
    };
    let report = Report::new("usage", Exit::Usage, "The command line was not understood.")
        .with_cause(cause)
        .with_fix("See neon-migrate --help, or --help after a command.");
    if argv::wants_json(std::env::args_os()) {
        render::print_end(&report);
    }
    if hidden {
        render::print_report(&report);
    } else {
        // Nothing can be done about a reader that has gone away.
        let _ = error.print();
    }
    ExitCode::from(Exit::Usage.code())
}

/// Runs one command.
async fn run(cli: Cli) -> Result<Exit, Report> {
    render::set_color(cli.talk.color);
    log::start(cli.talk.verbose);
    match cli.command {
        Command::Check(args) => check::run(*args, &cli.talk).await,
        Command::Copy(args) => copy::run(*args, &cli.talk).await,
        Command::CreateProject(args) => create_project::run(*args, &cli.talk).await,
        Command::Verify(args) => verify::run(args, &cli.talk).await,
        Command::Commands(args) => commands::run(args, &cli.talk).await,
        Command::Status(args) => status::run(&args, &cli.talk),
        Command::Report(args) => report::run(&args, &cli.talk),
        Command::Ui(args) => ui::run(*args, &cli.talk).await,
        Command::Demo(command) => demo::run(&command, cli.talk.quiet).await,
    }
}

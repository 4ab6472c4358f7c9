//! The command line.

pub mod exit;
pub mod render;
pub mod status;

use std::process::ExitCode;

/// Parses the command line, runs the command and gives its exit code.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}

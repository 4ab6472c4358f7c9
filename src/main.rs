//! The `neon-migrate` binary: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    neon_migrate::cli::main()
}

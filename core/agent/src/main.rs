//! The `tanist` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    tanist::cli::main()
}

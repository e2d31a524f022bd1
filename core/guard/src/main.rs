//! `tanist-guard --data-dir DIR --state-dir DIR [--user NAME] -- AGENT [ARGUMENT…]`: see the library's [`tanist_guard::service`].

use std::process::ExitCode;
use tanist_guard::service::{Options, run};

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("tanist-guard: {error}");
            return ExitCode::from(2);
        }
    };
    match run(options) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("tanist-guard: {error}");
            ExitCode::from(2)
        }
    }
}

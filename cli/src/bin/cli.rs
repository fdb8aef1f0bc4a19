//! The program under the name of its package: what `cargo run -p cli` starts.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run_as("cli")
}

//! The engine process: started by `opus-dsd`, spoken to through two pipes.

use std::process::ExitCode;

fn main() -> ExitCode {
    match opus_dsd_engine::session::serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("opus-dsd-engine: {problem}");
            ExitCode::from(problem.kind.exit_status())
        }
    }
}

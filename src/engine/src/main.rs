//! The engine process: started by `opus-dsd`, spoken to through two pipes. With the word `bench` it measures itself instead.

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.split_first() {
        Some((verb, rest)) if verb == "bench" => opus_dsd_engine::bench::run(rest),
        _ => opus_dsd_engine::session::serve(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("opus-dsd-engine: {problem}");
            ExitCode::from(problem.kind.exit_status())
        }
    }
}

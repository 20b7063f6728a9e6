//! A large table is read in time that grows with its length only.

use super::{BOX_PX, Project, modern};
use crate::particles::{Stack, StackSource, read_with};
use contract::Result;
use std::path::PathBuf;
use std::time::Instant;

/// Much slower than any machine should be: a guard against quadratic work, not a benchmark.
const SECONDS_PER_MILLION_ROWS: f64 = 60.0;

/// Stacks that are not there.
struct Imagined;

impl StackSource for Imagined {
    fn open(&self, name: &str) -> Result<Stack> {
        Ok(Stack { path: PathBuf::from(name), slices: 1000, box_px: BOX_PX })
    }
}

/// A million rows are tried by hand: `PARTICLE_ROWS=1000000 cargo test --release -p opus-dsd-cryoem --lib large -- --nocapture`.
#[test]
fn a_large_table_is_read_in_linear_time() {
    let rows: usize = std::env::var("PARTICLE_ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(20_000);
    let project = Project::new();
    let small = modern();
    let (head, body) = small.split_at(small.find("000001@").expect("a first row"));
    let body: Vec<&str> = body.lines().filter(|line| line.contains('@')).collect();
    let mut text = head.to_owned();
    for row in 0..rows {
        let rest = body[row % body.len()].split_once(".mrcs ").expect("an image name").1;
        text.push_str(&format!("{:06}@Extract/job019/Movies/movie_{:05}.mrcs {rest}\n", row % 200 + 1, row / 200));
    }
    text.push('\n');
    let path = project.star(&text);
    let bytes = text.len();
    drop(text);
    let start = Instant::now();
    let set = read_with(&path, &project.options(), &Imagined).expect("a good table");
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!((set.len(), set.stacks.len()), (rows, rows.div_ceil(200)));
    println!("{rows} rows, {bytes} bytes: {seconds:.2} s");
    assert!(seconds < SECONDS_PER_MILLION_ROWS * (rows as f64 / 1e6).max(0.05), "{seconds} s");
}

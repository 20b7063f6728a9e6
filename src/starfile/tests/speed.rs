//! Large files are read within seconds, in memory of the file's own order.

use starfile::StarFile;
use std::fmt::Write;
use std::time::Instant;

/// Rows of the large file. A million is tried by hand: `STARFILE_ROWS=1000000 cargo test --release -p starfile --test speed -- --nocapture`.
fn rows() -> usize {
    std::env::var("STARFILE_ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(50_000)
}

/// Much slower than any machine should be: a guard against quadratic work, not a benchmark.
const SECONDS_PER_MILLION_ROWS: f64 = 30.0;

#[test]
fn a_large_table_is_read_in_linear_time() {
    let rows = rows();
    let mut text = String::from("\n# version 30001\n\ndata_particles\n\nloop_ \n");
    for column in 0..25 {
        writeln!(text, "_rlnColumn{column} #{} ", column + 1).expect("a string grows");
    }
    for row in 0..rows {
        write!(text, "{:06}@Extract/job019/Movies/{}.mrcs ", row % 500 + 1, row / 500).expect("a string grows");
        for column in 1..25 {
            write!(text, "{:12.6} ", (row * column) as f64 * 0.001).expect("a string grows");
        }
        text.push('\n');
    }
    text.push_str(" \n");
    let bytes = text.len();
    let start = Instant::now();
    let file = StarFile::parse(text).expect("STAR");
    let parsed = start.elapsed().as_secs_f64();
    let block = file.block("particles").expect("there");
    let sum: f64 = (1..16)
        .map(|column| block.column(&format!("rlnColumn{column}")).expect("there").numbers().expect("numbers").iter().sum::<f64>())
        .sum();
    let read = start.elapsed().as_secs_f64();
    assert_eq!(block.rows(), rows);
    assert!(sum > 0.0);
    println!("{rows} rows, {bytes} bytes: parsed in {parsed:.2} s, 15 columns of numbers in {:.2} s", read - parsed);
    assert!(read < SECONDS_PER_MILLION_ROWS * (rows as f64 / 1e6).max(0.05), "{read} s");
}

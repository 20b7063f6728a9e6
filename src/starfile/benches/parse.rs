//! Reading a particle table, and numbers of its columns. `cargo bench -p starfile`.

use criterion::{Criterion, Throughput};
use starfile::StarFile;
use std::fmt::Write;

const ROWS: usize = 10_000;
const COLUMNS: usize = 25;

fn table() -> String {
    let mut text = String::from("\n# version 30001\n\ndata_particles\n\nloop_ \n");
    for column in 0..COLUMNS {
        writeln!(text, "_rlnColumn{column} #{} ", column + 1).expect("a string grows");
    }
    for row in 0..ROWS {
        write!(text, "{:06}@Extract/job019/Movies/{}.mrcs ", row % 500 + 1, row / 500).expect("a string grows");
        for column in 1..COLUMNS {
            write!(text, "{:12.6} ", (row * column) as f64 * 0.001).expect("a string grows");
        }
        text.push('\n');
    }
    text
}

fn parse(criterion: &mut Criterion) {
    let text = table();
    let mut group = criterion.benchmark_group("table of 10,000 rows");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("parse", |bencher| {
        bencher.iter_with_setup(|| text.clone(), |text| StarFile::parse(text).expect("a STAR file"));
    });
    let file = StarFile::parse(text).expect("a STAR file");
    let block = file.block("particles").expect("there");
    group.bench_function("one column of numbers", |bencher| {
        bencher.iter(|| block.column("rlnColumn7").expect("there").numbers().expect("numbers"));
    });
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    parse(&mut criterion);
    criterion.final_summary();
}

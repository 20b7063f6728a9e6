//! The benchmark as it is called: figures that hang together, a file that can be read back and compared.

use opus_dsd_engine::bench::{self, report};
use opus_dsd_engine::torch::init_torch;

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_small_measurement_leaves_a_file_that_compares() {
    init_torch().unwrap();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("a.json");
    let line = format!(
        "--preset tiny --box 32 --batch 4 --micro-batch 2 --steps 2 --warm-up 1 --threads 1 --base none --group --o {}",
        file.display()
    );
    bench::run(&words(&line)).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    let places = ["cpu_seconds_per_image", "images_per_second", "peak_bytes", "schema"].map(|name| text.find(name).unwrap());
    assert!(places.is_sorted(), "the figures that matter come first");
    let result = report::Report::read(&file).unwrap();
    assert!((result.images_per_second * result.step.wall_seconds - 4.0).abs() < 1e-6);
    assert!((result.cpu_seconds_per_image * 4.0 - result.step.cpu_seconds).abs() < 1e-9 && result.peak_bytes > 1 << 20);
    let in_group = result.in_group.unwrap();
    assert!(in_group.alone.repetitions == 2 && in_group.group.repetitions == 2 && in_group.group.cpu_seconds > 0.0);
    assert!(result.table().contains("in a group of one"));
    let names: Vec<&str> = result.parts.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(names, ["preprocess", "read", "encoder's input", "encode", "decode", "project", "loss", "volume priors", "optimiser"]);
    let counted = |name: &str| result.parts.iter().find(|part| part.name == name).map(|part| (part.flop, part.bytes)).unwrap();
    assert!(["encode", "decode", "project"].map(counted).iter().all(|&(flop, bytes)| flop > 0.0 && bytes > 0.0));
    assert!(result.ceilings.iter().all(|ceiling| ceiling.per_second > 0.0));
    // What comes after preprocessing takes about as long by itself as in the step: nothing large is left out or counted twice.
    let parts: f64 = result.parts[1..].iter().map(|part| part.forward.cpu_seconds + part.backward.map_or(0.0, |b| b.cpu_seconds)).sum();
    assert!(parts > 0.3 * result.step.cpu_seconds && parts < 3.0 * result.step.cpu_seconds, "{parts} of {}", result.step.cpu_seconds);

    let table = report::compare(&result, &result).unwrap();
    assert!(table.contains("CPU s an image") && table.contains("1.000"), "{table}");
    assert!(result.layers.iter().all(|layer| table.contains(&layer.name)), "{table}");
    // How it was done may differ and is told; the work of an image may not.
    let shape = bench::Shape { batch: 5, name: "other".into(), precision: contract::Precision::Bf16, ..result.shape.clone() };
    let table = report::compare(&result, &report::Report { shape, ..result.clone() }).unwrap();
    assert!(table.contains("F32, batch 4") && table.contains("Bf16, batch 5") && table.contains("layout ChannelsLast"), "{table}");
    let other = report::Report { shape: bench::Shape { template: 48, ..result.shape.clone() }, ..result.clone() };
    assert!(report::compare(&result, &other).unwrap_err().to_string().contains("template"));
    assert!(report::Report::read(&place.path().join("b.json")).is_err());
}

//! What preparation does to every image: transforms, shift and Fourier crop. `cargo bench -p opus-dsd-cryoem`.

use criterion::{BenchmarkId, Criterion};
use ndarray::Array2;
use opus_dsd_cryoem::fft::{irfft2, rfft2, shift_and_crop};
use opus_dsd_cryoem::random::Random;

fn noise(side: usize) -> Array2<f32> {
    let mut values = vec![0f32; side * side];
    Random::new(3, 1).fill_normal(&mut values);
    Array2::from_shape_vec((side, side), values).expect("as many values as pixels")
}

fn images(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("images");
    for (side, to) in [(128, 64), (256, 144), (384, 192)] {
        let image = noise(side);
        group.bench_function(BenchmarkId::new("there and back", side), |bencher| bencher.iter(|| irfft2(rfft2(image.view()), side)));
        group.bench_function(BenchmarkId::new("shift and crop", format!("{side} to {to}")), |bencher| {
            bencher.iter(|| shift_and_crop(image.view(), 0.3, -1.7, to));
        });
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    images(&mut criterion);
    criterion.final_summary();
}

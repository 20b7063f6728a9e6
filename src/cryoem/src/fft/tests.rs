use super::*;

fn noise_image(n: usize, seed: u32) -> Array2<f32> {
    let mut state = seed;
    Array2::from_shape_simple_fn((n, n), || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    })
}

fn gaussian(n: usize, x0: f64, y0: f64, sigma: f64) -> Array2<f32> {
    Array2::from_shape_fn((n, n), |(y, x)| (-((x as f64 - x0).powi(2) + (y as f64 - y0).powi(2)) / (2.0 * sigma * sigma)).exp() as f32)
}

fn largest_difference(a: ArrayView2<f32>, b: ArrayView2<f32>) -> f32 {
    assert_eq!(a.dim(), b.dim());
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

#[test]
fn inverse_undoes_forward_for_even_and_odd_sizes() {
    for n in [2, 6, 7, 30, 33, 64] {
        let image = noise_image(n, 3);
        assert!(largest_difference(irfft2(rfft2(image.view()), n).view(), image.view()) < 1e-5, "n = {n}");
    }
}

#[test]
fn a_point_at_the_centre_has_a_flat_real_spectrum() {
    for n in [8, 9] {
        let mut image = Array2::zeros((n, n));
        image[[n / 2, n / 2]] = 1.0;
        assert!(rfft2(image.view()).iter().all(|v| (v - Complex32::new(1.0, 0.0)).norm() < 1e-5), "n = {n}");
    }
}

#[test]
fn volume_transform_agrees_with_a_sum() {
    let n = 6;
    let volume = Array3::from_shape_fn((n, n, n), |(z, y, x)| ((7 * z + 3 * y + x * x) % 11) as f32);
    let spectrum = rfft3(volume.view());
    for (z, y, x) in [(0, 0, 0), (1, 2, 3), (5, 4, 1), (3, 0, 2)] {
        let mut sum = rustfft::num_complex::Complex64::default();
        for ((iz, iy, ix), v) in volume.indexed_iter() {
            let centred = |i: usize| i as f64 - 3.0;
            let phase = (z as f64 * centred(iz) + y as f64 * centred(iy) + x as f64 * centred(ix)) / n as f64;
            sum += rustfft::num_complex::Complex64::from_polar(f64::from(*v), -std::f64::consts::TAU * phase);
        }
        let got = spectrum[[z, y, x]];
        assert!((f64::from(got.re) - sum.re).abs() + (f64::from(got.im) - sum.im).abs() < 1e-3, "{z} {y} {x}: {got} {sum}");
    }
    let back = irfft3(spectrum, n);
    assert!(back.iter().zip(&volume).all(|(a, b)| (a - b).abs() < 1e-5));
}

#[test]
fn shift_moves_the_content_by_plus_the_shift() {
    let image = gaussian(32, 16.0, 16.0, 2.0);
    let mut spectrum = rfft2(image.view());
    shift_spectrum(&mut spectrum, 2.5, -4.25);
    assert!(largest_difference(irfft2(spectrum, 32).view(), gaussian(32, 18.5, 11.75, 2.0).view()) < 1e-5);
}

#[test]
fn fourier_crop_keeps_centre_and_scale() {
    // A Gaussian at the centre stays one, narrower in pixels by the factor; its peak keeps its height.
    let image = gaussian(60, 30.0, 30.0, 5.0);
    let cropped = shift_and_crop(image.view(), 0.0, 0.0, 24);
    assert!(largest_difference(cropped.view(), gaussian(24, 12.0, 12.0, 2.0).view()) < 1e-4);
}

#[test]
fn fourier_padding_keeps_centre_and_scale() {
    let image = gaussian(24, 12.0, 12.0, 2.0);
    let padded = shift_and_crop(image.view(), 1.0, 0.0, 60);
    assert!(largest_difference(padded.view(), gaussian(60, 32.5, 30.0, 5.0).view()) < 1e-4);
}

#[test]
fn shift_and_crop_is_shift_then_crop() {
    let image = noise_image(40, 9);
    let mut spectrum = rfft2(image.view());
    shift_spectrum(&mut spectrum, 1.3, 0.4);
    let long_way = irfft2(crop_spectrum(spectrum.view(), 24), 24);
    assert!(largest_difference(shift_and_crop(image.view(), 1.3, 0.4, 24).view(), long_way.view()) < 1e-6);
}

#[test]
fn images_are_cut_and_padded_about_the_centre() {
    for (n, to) in [(8, 4), (8, 5), (7, 4), (4, 8), (5, 8), (4, 7)] {
        let mut image = Array2::zeros((n, n));
        image[[n / 2, n / 2]] = 1.0;
        let out = crop_image(image.view(), to, 0.0);
        assert!((out[[to / 2, to / 2]] - 1.0).abs() < f32::EPSILON, "{n} to {to}");
    }
    assert!(crop_image(Array2::zeros((2, 2)).view(), 4, 5.0).iter().sum::<f32>() > 59.0);
}

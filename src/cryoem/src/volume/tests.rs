use super::*;
use ndarray::Array3;

/// Three Gaussians, none at the centre; positions and widths in Å, so that the same object can be put on any grid.
fn phantom(n: usize, apix: f64) -> Volume {
    let blobs = [([10.0, -4.0, 3.0], 5.0, 1.0), ([-8.0, 9.0, -6.0], 6.0, 0.7), ([2.0, 6.0, 12.0], 5.5, -0.4)];
    let c = (n / 2) as f64;
    let data = Array3::from_shape_fn((n, n, n), |(z, y, x)| {
        let p = [x, y, z].map(|i| (i as f64 - c) * apix);
        blobs
            .iter()
            .map(|(at, s, h)| h * (-p.iter().zip(at).map(|(a, b)| (a - b) * (a - b)).sum::<f64>() / (2.0 * s * s)).exp())
            .sum::<f64>() as f32
    });
    Volume { data, apix }
}

fn largest_difference(a: &Volume, b: &Volume) -> f32 {
    assert_eq!(a.data.dim(), b.data.dim());
    a.data.iter().zip(&b.data).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

#[test]
fn resampling_puts_the_object_on_the_other_grid() {
    let source = phantom(48, 2.0);
    // Commensurate and not, finer and coarser, even and odd boxes, smaller and larger extent.
    for (n, apix) in [(24, 4.0), (96, 1.0), (40, 2.37), (41, 2.37), (60, 1.731), (64, 2.0), (33, 3.1)] {
        let out = source.resampled(n, apix).unwrap();
        let d = largest_difference(&out, &phantom(n, apix));
        assert!(d < 2e-3, "{n} at {apix}: {d}");
    }
    let odd = phantom(47, 2.0).resampled(36, 2.6).unwrap();
    assert!(largest_difference(&odd, &phantom(36, 2.6)) < 2e-3);
}

#[test]
fn commensurate_resampling_is_the_fourier_crop() {
    let n = 16;
    let mut state = 1u32;
    let data = Array3::from_shape_simple_fn((n, n, n), || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as f32 / 65536.0
    });
    let source = Volume { data, apix: 1.5 };
    let out = source.resampled(8, 3.0).unwrap();
    // The same by spectra; the Nyquist shell, whose phase is a matter of convention, is taken out of both.
    let crop = |v: &Volume| {
        let full = fft::rfft3(v.data.view());
        let m = v.data.dim().0;
        Array3::from_shape_fn((8, 8, 5), |(z, y, x)| {
            let at = |k: isize| k.rem_euclid(m as isize) as usize;
            let (kz, ky) = (fft::signed_index(z, 8), fft::signed_index(y, 8));
            let inside = kz > -4 && ky > -4 && x < 4;
            if inside { full[[at(kz), at(ky), x]] * (8.0 / m as f32).powi(3) } else { fft::Complex32::default() }
        })
    };
    let (a, b) = (crop(&source), crop(&out));
    assert!(a.iter().zip(&b).all(|(p, q)| (p - q).norm() < 1e-3));
}

#[test]
fn identity_and_refusals() {
    let source = phantom(20, 3.0);
    assert_eq!(source.resampled(20, 3.0).unwrap(), source);
    assert!(Volume { apix: 0.0, ..source.clone() }.resampled(10, 3.0).unwrap_err().to_string().contains("pixel size"));
    assert!(source.resampled(10, -1.0).is_err());
    let slab = Volume { data: Array3::zeros((4, 6, 8)), apix: 1.0 };
    let problem = slab.box_px().unwrap_err().to_string();
    assert!(problem.contains("8 × 6 × 4"), "{problem}");
}

#[test]
fn cropping_keeps_the_centre() {
    for (n, m) in [(8, 5), (5, 8), (9, 4), (4, 9), (8, 12)] {
        let mut v = Volume::zeros(n, 1.0);
        v.data[[n / 2, n / 2, n / 2]] = 1.0;
        let out = v.cropped(m).unwrap();
        assert!((out.data[[m / 2, m / 2, m / 2]] - 1.0).abs() < f32::EPSILON, "{n} to {m}");
        assert!((out.data.sum() - 1.0).abs() < f32::EPSILON);
    }
}

#[test]
fn fsc_of_equal_maps_is_one_and_of_opposite_ones_minus_one() {
    let a = phantom(24, 3.0);
    let same = fourier_shell_correlation(&a, &a, None).unwrap();
    assert_eq!(same.len(), 13);
    assert!(same.iter().all(|c| (c - 1.0).abs() < 1e-6));
    let minus = Volume { data: a.data.mapv(|v| -v), apix: 3.0 };
    assert!(fourier_shell_correlation(&a, &minus, Some(&a)).unwrap().iter().all(|c| (c + 1.0).abs() < 1e-6));
    assert!(fourier_shell_correlation(&a, &phantom(20, 3.0), None).is_err());
}

#[test]
fn low_pass_removes_what_lies_beyond_the_resolution() {
    let n = 32;
    let wave = |k: f64| {
        let data = Array3::from_shape_fn((n, n, n), |(_, y, _)| (std::f64::consts::TAU * k * y as f64 / n as f64).cos() as f32);
        Volume { data, apix: 2.0 }
    };
    // 64 Å box: index 8 is 8 Å.
    assert!(largest_difference(&wave(5.0).low_passed(8.0).unwrap(), &wave(5.0)) < 1e-4);
    assert!(wave(11.0).low_passed(8.0).unwrap().statistics().std < 1e-4);
    assert!((wave(8.0).low_passed(8.0).unwrap().statistics().std - 0.5 * 0.5f64.sqrt()).abs() < 1e-3);
    assert!(wave(8.0).low_passed(0.0).is_err());
}

#[test]
fn statistics_leave_out_what_is_no_number() {
    let data = Array3::from_shape_vec((1, 1, 4), vec![1.0, 3.0, f32::NAN, f32::INFINITY]).unwrap();
    let s = Volume { data, apix: 1.0 }.statistics();
    assert_eq!((s.min, s.max, s.mean, s.std, s.non_finite), (1.0, 3.0, 2.0, 1.0, 2));
}

#[test]
fn a_mirrored_map_stays_about_its_centre() {
    for n in [4, 5] {
        let mut map = Volume::zeros(n, 1.0);
        map.data[[n / 2, 1, 1]] = 1.0;
        map.data[[n / 2 + 1, 2, 0]] = 2.0;
        let turned = map.mirrored();
        assert_eq!((turned.data[[n / 2, 1, 1]], turned.data[[n / 2 - 1, 2, 0]]), (1.0, 2.0), "{n}");
        assert_eq!(turned.mirrored(), map);
    }
}

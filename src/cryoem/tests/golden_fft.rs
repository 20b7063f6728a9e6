//! Fourier transforms and mask sizes against numbers measured from the original program, over every case in `GOLDEN_DIR` (default:
//! `tests/data/golden`).

use ndarray::{Array2, Array3, ArrayView1, Axis};
use opus_dsd_cryoem::fft::{self, Complex32};
use opus_dsd_cryoem::mask;
use opus_dsd_cryoem::mrc::write_volume;
use opus_dsd_cryoem::volume::Volume;
use safetensors::{Dtype, SafeTensors};
use std::path::{Path, PathBuf};

/// Spectra have norms near 64; single precision of another library's transform.
const SPECTRUM: f32 = 1e-4;
/// Pixel values are of order 1.
const IMAGE: f32 = 1e-5;

struct Case {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Case {
    fn values(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = file.tensor(name).unwrap_or_else(|e| panic!("{}: {name}: {e}", self.path.display()));
        let data = view.data();
        let values = match view.dtype() {
            Dtype::F32 => data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Dtype::F16 => data.as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect(),
            Dtype::I64 => data.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as f32).collect(),
            other => panic!("{name} is {other:?}"),
        };
        (view.shape().to_vec(), values)
    }

    fn cube(&self, name: &str) -> Array3<f32> {
        let (shape, values) = self.values(name);
        Array3::from_shape_vec((shape[0], shape[1], shape[2]), values).unwrap()
    }

    fn metadata(&self, name: &str) -> String {
        let (_, head) = SafeTensors::read_metadata(&self.bytes).unwrap();
        head.metadata().as_ref().and_then(|m| m.get(name)).unwrap_or_else(|| panic!("{}: no {name}", self.path.display())).clone()
    }

    fn number(&self, name: &str) -> f64 {
        self.metadata(name).parse().unwrap()
    }
}

fn cases(prefix: &str) -> Vec<Case> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/golden");
    let folder = std::env::var_os("GOLDEN_DIR").map_or(default, PathBuf::from);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    paths.retain(|p| {
        p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(prefix)) && p.extension().is_some_and(|e| e == "safetensors")
    });
    paths.sort();
    assert!(!paths.is_empty(), "no case `{prefix}*.safetensors` in {}", folder.display());
    paths.into_iter().map(|path| Case { bytes: std::fs::read(&path).unwrap(), path }).collect()
}

/// Rolls an axis as the original's `fftshift` does, which moves index 0 to n/2.
fn centred<D: ndarray::RemoveAxis>(mut spectrum: ndarray::Array<Complex32, D>, axis: usize) -> ndarray::Array<Complex32, D> {
    spectrum.lanes_mut(Axis(axis)).into_iter().for_each(|mut lane| {
        let mut values = lane.to_vec();
        let n = values.len();
        values.rotate_right(n / 2);
        lane.assign(&ArrayView1::from(&values));
    });
    spectrum
}

fn worst<'a>(a: impl IntoIterator<Item = &'a f32>, b: impl IntoIterator<Item = &'a f32>) -> f32 {
    a.into_iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

fn worst_complex<'a>(a: impl IntoIterator<Item = &'a Complex32>, re: &Array2<f32>, im: &Array2<f32>) -> f32 {
    a.into_iter().zip(re.iter().zip(im)).map(|(v, (re, im))| (v - Complex32::new(*re, *im)).norm()).fold(0.0, f32::max)
}

#[test]
fn image_transforms() {
    for case in cases("c_fft_") {
        let name = case.path.display();
        let images = case.cube("image");
        let (_, shifts) = case.values("shift_xy_px");
        let crop = case.values("crop_size").1[0] as usize;
        let n = images.dim().1;
        let plane = |tensor: &str, i: usize| case.cube(tensor).index_axis_move(Axis(0), i);
        for (i, image) in images.outer_iter().enumerate() {
            let spectrum = fft::rfft2(image);
            assert!(worst_complex(&spectrum, &plane("fft_half_re", i), &plane("fft_half_im", i)) < SPECTRUM, "{name}: spectrum");
            let rows = centred(spectrum.clone(), 0);
            assert!(
                worst_complex(&rows, &plane("fft_half_centered_re", i), &plane("fft_half_centered_im", i)) < SPECTRUM,
                "{name}: centred"
            );
            assert!(worst(&fft::irfft2(spectrum.clone(), n), &plane("ifft_roundtrip", i)) < IMAGE, "{name}: round trip");

            let cropped = fft::irfft2(fft::crop_spectrum(spectrum.view(), crop), crop);
            assert!(worst(&cropped, &plane("fourier_cropped_image", i)) < IMAGE, "{name}: Fourier crop");
            assert!(
                worst(&fft::shift_and_crop(image, 0.0, 0.0, crop), &plane("fourier_cropped_image", i)) < IMAGE,
                "{name}: crop in one pass"
            );
            assert!(worst(&fft::crop_image(image, crop, 0.0), &plane("image_center_crop", i)) < f32::EPSILON, "{name}: crop");

            // out(r) = in(r + t): the content moves by −t.
            let (tx, ty) = (f64::from(shifts[2 * i]), f64::from(shifts[2 * i + 1]));
            let mut moved = spectrum.clone();
            fft::shift_spectrum(&mut moved, -tx, -ty);
            let d = worst(&fft::irfft2(moved, n), &plane("shifted_image_ctfgrid", i));
            assert!(d < IMAGE, "{name}: shift by {tx}, {ty}: {d}");
        }
    }
}

#[test]
fn volume_transforms() {
    for case in cases("c_fft_") {
        let volume = case.cube("vol16");
        let spectrum = fft::rfft3(volume.view());
        let (re, im) = (case.cube("rfft3_re"), case.cube("rfft3_im"));
        let shown = centred(centred(spectrum.clone(), 0), 1);
        let d = shown.iter().zip(re.iter().zip(&im)).map(|(v, (re, im))| (v - Complex32::new(*re, *im)).norm()).fold(0.0, f32::max);
        // 4,096 values: norms up to 350.
        assert!(d < 4.0 * SPECTRUM, "{}: {d}", case.path.display());
        assert!(worst(&fft::irfft3(spectrum, 16), &case.cube("irfft3")) < IMAGE);
    }
}

/// The original's soft circular window (1 within 0.85 of the box's half, a cosine to 0 at 0.95) is the central section of a soft ball. Images
/// are not windowed here, but masks of that shape are made.
#[test]
fn soft_window() {
    for case in cases("c_fft_") {
        let (shape, values) = case.values("window_cos_085_095");
        let n = *shape.last().unwrap();
        let half = n as f64 / 2.0;
        let ball = mask::soft_ball(n, 1.0, 0.85 * half, 0.1 * half);
        let section = ball.data.index_axis(Axis(0), n / 2);
        assert_eq!(values.len(), n * n);
        let d = worst(section.iter(), values.iter());
        assert!(d < IMAGE, "{}: {d}", case.path.display());
    }
}

/// Headers of maps, byte by byte. Three differences are meant: the machine stamp, which the original leaves out and without which strict readers
/// refuse the file; the format's version; and one label that says who wrote it. Statistics follow from the values and are compared with the decoder's volumes.
#[test]
fn map_headers() {
    const STATISTICS: [std::ops::Range<usize>; 2] = [76..88, 216..220];
    const STAMP: std::ops::Range<usize> = 212..216;
    const LABELS: std::ops::Range<usize> = 220..1024;
    const VERSION: std::ops::Range<usize> = 108..112;
    let folder = tempfile::tempdir().unwrap();
    for case in cases("h_evalvol") {
        let name = case.path.display();
        let file = SafeTensors::deserialize(&case.bytes).unwrap();
        let want = file.tensor("header_1024_bytes").unwrap().data().to_vec();
        let n = case.values("nxyz").1[0] as usize;
        let apix = f64::from_le_bytes(file.tensor("target_apix").unwrap().data().try_into().unwrap());
        let path = folder.path().join("map.mrc");
        let data = Array3::from_shape_fn((n, n, n), |(z, y, x)| (z + 2 * y + 3 * x) as f32);
        write_volume(&path, &Volume { data, apix }).unwrap();
        let got = std::fs::read(&path).unwrap();
        assert_eq!(got[STAMP], [0x44, 0x44, 0, 0], "{name}: little-endian stamp");
        assert_eq!(want[STAMP], [0; 4], "{name}");
        let meant: Vec<usize> = STATISTICS.into_iter().flatten().chain(STAMP).chain(LABELS).chain(VERSION).collect();
        let differing: Vec<usize> = (0..want.len()).filter(|i| !meant.contains(i) && got[*i] != want[*i]).collect();
        assert!(differing.is_empty(), "{name}: bytes {differing:?} of the header");
        assert_eq!(got.len(), 1024 + 4 * n.pow(3));
    }
}

#[test]
fn sizes_that_follow_from_the_mask() {
    for case in cases("d_encoder_") {
        let name = case.path.display();
        let render = case.number("render_size") as usize;
        assert_eq!(mask::even(case.number("D") * case.number("downfrac")), render, "{name}");
        let masked = case.metadata("has_mask") == "True";
        let volume = masked.then(|| case.cube("mask_volume_f16"));
        let window = mask::window(volume.as_ref().map(Array3::view), render);
        assert!((window.window_r - case.number("window_r")).abs() < 1e-12, "{name}: {window:?}");
        assert_eq!(window.crop_px, case.number("crop_vol_size") as usize, "{name}");
        if let Some(volume) = volume {
            let bounds = mask::volume_bounds(volume.view(), render, window.crop_px, case.number("templateres") as usize);
            assert_eq!(format!("{bounds:?}"), case.metadata("vol_bound"), "{name}");
        }
    }
}

//! What is done to images before any network: CTFs and Fourier transforms.

use super::golden::cases;
use super::{CPU, start};
use opus_dsd_engine::model::ctf::{FrequencyGrid, NyquistRow};
use opus_dsd_engine::model::fourier;
use tch::{Kind, Tensor};

#[test]
fn ctf() {
    start();
    for case in cases("b_ctf") {
        let (size, crop) = (case.number("D") as i64, case.number("crop_size") as i64);
        let params = case.tensor("params_dfu_dfv_dfang_kv_cs_w_ps").to_kind(Kind::Double);
        let count = params.size()[0];
        let params = Tensor::cat(&[params, Tensor::from_slice(&[0.0, 1.0]).expand([count, 2], false)], 1);
        let apix = Tensor::full([count], case.number("apix"), (Kind::Double, CPU));
        let grid = FrequencyGrid::new(size, NyquistRow::Positive, CPU);
        case.check("ctf_nob", &grid.ctf(&params, &apix, None, 0.0), 1e-4);
        let damped = grid.ctf(&params, &apix, None, case.number("bfactor"));
        case.check("ctf_bfactor", &damped, 1e-4);
        case.check("ctf_fp64", &damped, 1e-5);
        let coarse = FrequencyGrid::new(crop, NyquistRow::Negative, CPU);
        let apix = apix * (size as f64 / crop as f64);
        case.check("ctf_bfactor_cropped", &coarse.ctf(&params, &apix, None, case.number("bfactor")), 1e-4);
    }
}

#[test]
fn transforms() {
    start();
    for case in cases("c_fft") {
        let image = case.tensor("image");
        let (side, crop) = (image.size()[1], case.number("crop_size") as i64);
        let spectrum = fourier::forward(&image);
        case.check("fft_half_re", &spectrum.real(), 1e-5);
        case.check("fft_half_im", &spectrum.imag(), 1e-5);
        let centred = spectrum.fft_fftshift([-2i64].as_slice());
        case.check("fft_half_centered_re", &centred.real(), 1e-5);
        case.check("fft_half_centered_im", &centred.imag(), 1e-5);
        case.check("ifft_roundtrip", &fourier::inverse(&spectrum, side), 1e-5);
        case.check("fourier_cropped_image", &fourier::inverse(&fourier::crop(&spectrum, crop), crop), 1e-5);
        case.check("image_center_crop", &fourier::centre_crop(&image, crop), 1e-6);
        // The original's function takes what is added to the coordinate; an image moves the other way.
        let moved = fourier::translate(&spectrum, &-case.tensor("shift_xy_px"), NyquistRow::Positive);
        case.check("shifted_image_ctfgrid", &fourier::inverse(&moved, side), 1e-5);
        let volume = case.tensor("vol16");
        let dims = [0i64, 1, 2];
        let transform = volume.fft_ifftshift(dims.as_slice()).fft_rfftn(None::<i64>, dims.as_slice(), "backward");
        let transform = transform.fft_fftshift([0i64, 1].as_slice());
        case.check("rfft3_re", &transform.real(), 1e-5);
        case.check("rfft3_im", &transform.imag(), 1e-5);
    }
}

//! The contrast transfer function on the half plane of a real transform, for a batch of images.
//!
//! CTF(s) = sin(πλΔf s² − (π/2) Cs λ³ s⁴ + asin(w) + phase) · scale · exp(−B s²/4): positive at low frequency for white protein.
//! The scalar form, which simulation and reconstruction use, is `cryoem::ctf`; a property test holds the two together.

use std::f64::consts::PI;
use tch::{Device, Kind, Tensor};

/// Columns of the parameter rows.
mod column {
    pub(super) const DEFOCUS_U_ANGSTROM: i64 = 0;
    pub(super) const DEFOCUS_V_ANGSTROM: i64 = 1;
    pub(super) const DEFOCUS_ANGLE_DEG: i64 = 2;
    pub(super) const VOLTAGE_KV: i64 = 3;
    pub(super) const CS_MM: i64 = 4;
    pub(super) const AMPLITUDE_CONTRAST: i64 = 5;
    pub(super) const PHASE_SHIFT_DEG: i64 = 6;
    pub(super) const B_FACTOR_ANGSTROM2: i64 = 7;
    pub(super) const SCALE: i64 = 8;
}

/// Sign of the Nyquist frequency's row; it matters for astigmatic images only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NyquistRow {
    /// −½, the usual order of discrete frequencies; what cropping a larger transform gives.
    Negative,
    /// +½, as the original's full-size grid.
    Positive,
}

impl NyquistRow {
    /// Signed frequencies, in cycles over the image, of rows 0 … `size` − 1.
    pub(super) fn wrap(self, rows: &Tensor, size: i64) -> Tensor {
        let half = (size / 2) as f64;
        let negative = match self {
            Self::Negative => rows.ge(half),
            Self::Positive => rows.gt(half),
        };
        rows - negative.to_kind(rows.kind()) * size as f64
    }
}

/// Frequencies of a half plane, computed once for a box size.
#[derive(Debug)]
pub struct FrequencyGrid {
    /// Squared frequency, (cycles/pixel)², `[size, size/2+1]`, f64.
    squared: Tensor,
    /// Direction, radians, `[size, size/2+1]`, f64.
    direction: Tensor,
}

impl FrequencyGrid {
    /// The half plane of real `size`×`size` images.
    #[must_use]
    pub fn new(size: i64, nyquist: NyquistRow, device: Device) -> Self {
        let options = (Kind::Double, device);
        let half = size / 2;
        let x = (Tensor::arange(half + 1, options) / size as f64).unsqueeze(0);
        let index = Tensor::arange(size, options);
        let y = (nyquist.wrap(&index, size) / size as f64).unsqueeze(1);
        Self { squared: x.square() + y.square(), direction: y.atan2(&x.expand([size, half + 1], false)) }
    }

    /// CTF of a batch, `[b, size, size/2+1]`, f32.
    ///
    /// `params` is `[b, 9]` as in `contract::Prepared::table`, `apix` `[b]` in Å. `turn_deg` (`[b]`), where given, is by how much the
    /// image was turned counter-clockwise in its plane since the parameters were measured. `bfactor` is in the original's unit,
    /// exp(−bfactor π² s²).
    pub fn ctf(&self, params: &Tensor, apix: &Tensor, turn_deg: Option<&Tensor>, bfactor: f64) -> Tensor {
        let params = params.to_kind(Kind::Double);
        let column = |index: i64| params.select(1, index).reshape([-1, 1, 1]);
        let frequency2 = self.squared.unsqueeze(0) / apix.to_kind(Kind::Double).reshape([-1, 1, 1]).square();
        let volt = column(column::VOLTAGE_KV) * 1e3;
        // Relativistic electron wavelength in Å.
        let wavelength: Tensor = 12.2643247 / (&volt + volt.square() * 0.978466e-6).sqrt();
        let mut angle = column(column::DEFOCUS_ANGLE_DEG);
        if let Some(turn) = turn_deg {
            angle += turn.to_kind(Kind::Double).reshape([-1, 1, 1]);
        }
        let (u, v) = (column(column::DEFOCUS_U_ANGSTROM), column(column::DEFOCUS_V_ANGSTROM));
        let astigmatism = ((self.direction.unsqueeze(0) - angle * (PI / 180.0)) * 2.0).cos();
        let defocus: Tensor = (&u + &v + (&u - &v) * astigmatism) * 0.5;
        let cs_angstrom = column(column::CS_MM) * 1e7;
        let quadratic = &defocus * &wavelength * PI;
        let quartic = cs_angstrom * wavelength.pow_tensor_scalar(3) * (PI / 2.0);
        let offset = column(column::AMPLITUDE_CONTRAST).asin() + column(column::PHASE_SHIFT_DEG) * (PI / 180.0);
        let phase = (quadratic - quartic * &frequency2) * &frequency2 + offset;
        let decay = (column(column::B_FACTOR_ANGSTROM2) * 0.25 + bfactor * PI * PI) * &frequency2;
        (phase.sin() * (-decay).exp() * column(column::SCALE)).to_kind(Kind::Float)
    }
}

/// CTF of a batch on the half plane of `size`×`size` images; see [`FrequencyGrid::ctf`].
pub fn ctf_half_plane(params: &Tensor, apix: &Tensor, size: i64, bfactor: f64) -> Tensor {
    FrequencyGrid::new(size, NyquistRow::Negative, params.device()).ctf(params, apix, None, bfactor)
}

/// The same for images turned counter-clockwise by `turn_deg` (`[b]`, degrees) in their plane.
pub fn ctf_half_plane_turned(params: &Tensor, apix: &Tensor, turn_deg: &Tensor, size: i64, bfactor: f64) -> Tensor {
    FrequencyGrid::new(size, NyquistRow::Negative, params.device()).ctf(params, apix, Some(turn_deg), bfactor)
}

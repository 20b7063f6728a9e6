//! The contrast transfer function, in double precision.
//!
//! CTF(s) = sin(πλΔf s² − (π/2) Cs λ³ s⁴ + atan(w/√(1−w²)) + phase) · scale · exp(−B s²/4): positive at low frequency for underfocus and
//! white protein, as in RELION. It equals the original's −[√(1−w²) sin γ − w cos γ] with γ = π(−Δf λ s² + ½ Cs λ³ s⁴) − phase.

/// Å in a millimetre.
const ANGSTROM_PER_MM: f64 = 1e7;

/// A particle's contrast transfer function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ctf {
    /// Larger defocus, Å; positive is underfocus.
    pub defocus_u_angstrom: f64,
    /// Smaller defocus, Å.
    pub defocus_v_angstrom: f64,
    /// Angle between x and the direction of `defocus_u_angstrom`, degrees.
    pub defocus_angle_deg: f64,
    /// Voltage, kV.
    pub voltage_kv: f64,
    /// Spherical aberration, mm.
    pub cs_mm: f64,
    /// Amplitude contrast, a fraction.
    pub amplitude_contrast: f64,
    /// Phase shift of a phase plate, degrees.
    pub phase_shift_deg: f64,
    /// B-factor, Å².
    pub b_factor_angstrom2: f64,
    /// Factor.
    pub scale: f64,
}

impl Ctf {
    /// From a row of the prepared table's `ctf` (see [`contract::Prepared`]).
    #[must_use]
    pub fn of_row(row: &[f32; 9]) -> Self {
        let [u, v, angle, voltage, cs, w, phase, b, scale] = row.map(f64::from);
        Self {
            defocus_u_angstrom: u,
            defocus_v_angstrom: v,
            defocus_angle_deg: angle,
            voltage_kv: voltage,
            cs_mm: cs,
            amplitude_contrast: w,
            phase_shift_deg: phase,
            b_factor_angstrom2: b,
            scale,
        }
    }

    /// The row of the prepared table.
    #[must_use]
    pub fn row(&self) -> [f32; 9] {
        [
            self.defocus_u_angstrom,
            self.defocus_v_angstrom,
            self.defocus_angle_deg,
            self.voltage_kv,
            self.cs_mm,
            self.amplitude_contrast,
            self.phase_shift_deg,
            self.b_factor_angstrom2,
            self.scale,
        ]
        .map(|v| v as f32)
    }

    /// The value at a spatial frequency, 1/Å.
    #[must_use]
    pub fn at(&self, sx: f64, sy: f64) -> f64 {
        self.terms().at(sx, sy)
    }

    /// The half plane of a real-to-complex transform: `[n][n/2 + 1]` row-major, row y in FFT order (the row n/2 stands for −n/2), column x.
    /// `apix` in Å.
    #[must_use]
    pub fn half_plane(&self, n: usize, apix: f64) -> Vec<f32> {
        let mut out = vec![0.0; n * (n / 2 + 1)];
        self.fill_half_plane(n, apix, &mut out);
        out
    }

    /// [`Ctf::half_plane`] into a slice of n·(n/2 + 1) values.
    ///
    /// # Panics
    /// If the slice has another length.
    pub fn fill_half_plane(&self, n: usize, apix: f64, out: &mut [f32]) {
        assert_eq!(out.len(), n * (n / 2 + 1), "half plane of a box of {n}");
        let terms = self.terms();
        let step = 1.0 / (n as f64 * apix);
        for (y, row) in out.chunks_exact_mut(n / 2 + 1).enumerate() {
            let ky = if 2 * y < n { y as f64 } else { y as f64 - n as f64 };
            for (x, value) in row.iter_mut().enumerate() {
                *value = terms.at(x as f64 * step, ky * step) as f32;
            }
        }
    }

    /// What does not depend on the frequency. Astigmatism enters as a quadratic form in (sx, sy), so no angle is taken per point:
    /// Δf s² = mean·s² + dev·((sx² − sy²) cos 2α + 2 sx sy sin 2α).
    fn terms(&self) -> Terms {
        let wavelength = wavelength_angstrom(self.voltage_kv);
        let defocus = std::f64::consts::PI * wavelength;
        let deviation = 0.5 * (self.defocus_u_angstrom - self.defocus_v_angstrom) * defocus;
        let (sine, cosine) = (2.0 * self.defocus_angle_deg.to_radians()).sin_cos();
        let w = self.amplitude_contrast;
        Terms {
            mean: 0.5 * (self.defocus_u_angstrom + self.defocus_v_angstrom) * defocus,
            difference: deviation * cosine,
            product: 2.0 * deviation * sine,
            spherical: 0.5 * std::f64::consts::PI * self.cs_mm * ANGSTROM_PER_MM * wavelength.powi(3),
            offset: w.atan2((1.0 - w * w).max(0.0).sqrt()) + self.phase_shift_deg.to_radians(),
            decay: -0.25 * self.b_factor_angstrom2,
            scale: self.scale,
        }
    }
}

struct Terms {
    mean: f64,
    difference: f64,
    product: f64,
    spherical: f64,
    offset: f64,
    decay: f64,
    scale: f64,
}

impl Terms {
    fn at(&self, sx: f64, sy: f64) -> f64 {
        let (xx, yy) = (sx * sx, sy * sy);
        let s2 = xx + yy;
        let phase = self.mean * s2 + self.difference * (xx - yy) + self.product * sx * sy - self.spherical * s2 * s2 + self.offset;
        let envelope = if self.decay == 0.0 { self.scale } else { self.scale * (self.decay * s2).exp() };
        phase.sin() * envelope
    }
}

/// Relativistic wavelength of the electron, Å.
#[must_use]
pub fn wavelength_angstrom(voltage_kv: f64) -> f64 {
    let volts = voltage_kv * 1e3;
    // h / sqrt(2 m e) in Å·V^½, and e / 2mc² in 1/V, at the precision that RELION and the original use.
    12.264_324_7 / (volts * (1.0 + 0.978_466e-6 * volts)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_round_trip_and_the_centre_is_the_amplitude_contrast() {
        let row = [12000.0, 11000.0, 30.0, 300.0, 2.7, 0.1, 0.0, 50.0, 0.9];
        let ctf = Ctf::of_row(&row);
        assert_eq!(ctf.row(), row);
        assert!((ctf.at(0.0, 0.0) - 0.09).abs() < 1e-7);
        assert!((wavelength_angstrom(300.0) - 0.019_687).abs() < 1e-6);
    }

    #[test]
    fn astigmatism_follows_the_angle() {
        let ctf = Ctf::of_row(&[12000.0, 11000.0, 30.0, 300.0, 2.7, 0.1, 0.0, 0.0, 1.0]);
        let round = |defocus| Ctf { defocus_u_angstrom: defocus, defocus_v_angstrom: defocus, ..ctf };
        let (sine, cosine) = 30f64.to_radians().sin_cos();
        assert!((ctf.at(0.1 * cosine, 0.1 * sine) - round(12000.0).at(0.1, 0.0)).abs() < 1e-9);
        assert!((ctf.at(-0.1 * sine, 0.1 * cosine) - round(11000.0).at(0.1, 0.0)).abs() < 1e-9);
    }
}

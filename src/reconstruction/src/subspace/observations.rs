//! What is observed: the images' Fourier pixels less the base volume's, their CTFs, and where they fall in the lattice.

use crate::Particles;
use crate::lattice::{Lattice, Spot};
use contract::{Problem, Result};
use cryoem::fft::{self, Complex32};
use cryoem::volume::Volume;
use ndarray::ArrayView2;
use rayon::prelude::*;

/// One image.
#[derive(Debug)]
pub(crate) struct Observation {
    /// Fourier pixels inside the Nyquist circle (residual once the base is subtracted).
    pub(crate) values: Vec<Complex32>,
    /// What multiplies the projection at each: the CTF, its square for premultiplied images, 1 without a CTF.
    pub(crate) transfer: Vec<f32>,
    /// Where each falls.
    pub(crate) spots: Vec<Spot>,
}

/// Images of a set.
#[derive(Debug)]
pub(crate) struct Observations {
    /// One an image.
    pub(crate) images: Vec<Observation>,
    /// Inverse noise power of each Fourier pixel times its multiplicity; sums of |residual|² · weight are in units of the noise.
    pub(crate) weights: Vec<f32>,
    /// Inverse noise power a ring.
    pub(crate) inverse_noise: Vec<f32>,
}

impl Observations {
    /// Reads images and takes their transforms, cropped to the lattice's size; `apix` is the lattice's pixel size, Å.
    ///
    /// # Errors
    /// An image cannot be read.
    pub(crate) fn gather(source: &dyn Particles, lattice: &Lattice, apix: f64, particles: &[usize]) -> Result<Self> {
        let full = source.size_px();
        let ratio = full as f64 / lattice.size as f64;
        let images = particles
            .par_iter()
            .map_init(
                || vec![0.0; full * full],
                |pixels, &i| {
                    let particle = source.particle(i, pixels)?;
                    let view = ArrayView2::from_shape((full, full), pixels).expect("a square image of the source's size");
                    let spectrum = fft::crop_spectrum(fft::rfft2(view).view(), lattice.size);
                    let spectrum = spectrum.as_slice().expect("a fresh array is contiguous");
                    let image_apix = particle.apix * ratio;
                    let ctf = particle.ctf.map(|c| c.half_plane(lattice.size, image_apix));
                    let transfer = |k: usize| match (&ctf, particle.premultiplied) {
                        (None, _) => 1.0,
                        (Some(ctf), false) => ctf[k],
                        (Some(ctf), true) => ctf[k] * ctf[k],
                    };
                    Ok(Observation {
                        values: lattice.half_plane_index.iter().map(|&k| spectrum[k]).collect(),
                        transfer: lattice.half_plane_index.iter().map(|&k| transfer(k)).collect(),
                        spots: lattice.spots(&particle.rotation, apix / image_apix),
                    })
                },
            )
            .collect::<Result<Vec<_>>>()?;
        let inverse_noise = vec![1.0; lattice.rings()];
        let weights = lattice.multiplicity.clone();
        Ok(Self { images, weights, inverse_noise })
    }

    /// Fits the base's grey scale, subtracts its projections, and estimates the noise power of every ring from what is left.
    pub(crate) fn subtract_base(&mut self, lattice: &Lattice, base: &Volume) -> Result<f64> {
        let map = lattice.spectra(std::slice::from_ref(&base.data));
        let sums: Vec<(f64, f64)> = self
            .images
            .par_iter()
            .map(|image| {
                let (mut cross, mut own) = (0.0, 0.0);
                for (k, value) in image.values.iter().enumerate() {
                    let model = gather(lattice, &image.spots[k], &map) * image.transfer[k];
                    let m = f64::from(lattice.multiplicity[k]);
                    cross += m * f64::from(model.re * value.re + model.im * value.im);
                    own += m * f64::from(model.norm_sqr());
                }
                (cross, own)
            })
            .collect();
        let (cross, own) = sums.iter().fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
        let scale = cross / own;
        if !(scale.is_finite() && scale > 0.0) {
            let what = format!("the images do not follow the base volume (best grey scale {scale:.3})");
            return Err(Problem::input(what)
                .at("base volume")
                .hint("check that poses, pixel size and contrast belong to these images and this map"));
        }
        self.subtract(lattice, &map, scale as f32);
        self.estimate_noise(lattice);
        Ok(scale)
    }

    /// Subtracts `scale` times the projections of a map's spectrum.
    pub(crate) fn subtract(&mut self, lattice: &Lattice, map: &[Complex32], scale: f32) {
        self.images.par_iter_mut().for_each(|image| {
            for (k, value) in image.values.iter_mut().enumerate() {
                *value -= gather(lattice, &image.spots[k], map) * (image.transfer[k] * scale);
            }
        });
    }

    /// Noise power a ring from the mean residual power; heterogeneity is a small part of it.
    fn estimate_noise(&mut self, lattice: &Lattice) {
        let mut power = vec![0.0f64; lattice.rings()];
        let mut count = vec![0.0f64; lattice.rings()];
        for image in &self.images {
            for (k, value) in image.values.iter().enumerate() {
                power[lattice.ring[k]] += f64::from(lattice.multiplicity[k] * value.norm_sqr());
                count[lattice.ring[k]] += f64::from(lattice.multiplicity[k]);
            }
        }
        self.inverse_noise = power.iter().zip(&count).map(|(p, n)| if *p > 0.0 { (n / p) as f32 } else { 0.0 }).collect();
        // The innermost ring holds one value an image, and it is the one that background subtraction touches.
        self.inverse_noise[0] = self.inverse_noise[1];
        self.set_weights(lattice);
    }

    fn set_weights(&mut self, lattice: &Lattice) {
        self.weights = lattice.multiplicity.iter().zip(&lattice.ring).map(|(m, r)| m * self.inverse_noise[*r]).collect();
    }

    /// Takes the inverse noise power of every ring from elsewhere.
    pub(crate) fn weigh_as(&mut self, lattice: &Lattice, inverse_noise: &[f32]) {
        self.inverse_noise = inverse_noise.to_vec();
        self.set_weights(lattice);
    }
}

/// Trilinear value of one map's spectrum at a spot, conjugated where the spot lies in the redundant half.
#[inline]
fn gather(lattice: &Lattice, spot: &Spot, map: &[Complex32]) -> Complex32 {
    let fx = Lattice::fraction_x(spot);
    let mut sum = Complex32::default();
    for (at, weight) in lattice.rows(spot) {
        sum += (map[at] * (1.0 - fx) + map[at + 1] * fx) * weight;
    }
    if spot.conjugate { sum.conj() } else { sum }
}

//! What a reconstruction asks of a set of particles.

use contract::Result;
use cryoem::ctf::Ctf;
use cryoem::geometry::Matrix3;
use cryoem::prepare::{ImageStream, PreparedSet};

/// What is known of a particle.
#[derive(Clone, Copy, Debug)]
pub struct Particle {
    /// Map to image frame (image = A · map).
    pub rotation: Matrix3,
    /// Its contrast transfer function; `None`: none is applied.
    pub ctf: Option<Ctf>,
    /// Pixel size of this image, Å; may differ from the set's by a fraction of a percent.
    pub apix: f64,
    /// Whether the image was multiplied by its CTF.
    pub premultiplied: bool,
}

/// Particles whose images are centred at pixel n/2, with white noise of variance 1.
pub trait Particles: Sync {
    /// Side of the images, pixels; even.
    fn size_px(&self) -> usize;
    /// Pixel size of the map to be made, Å.
    fn apix(&self) -> f64;
    /// Number of particles.
    fn len(&self) -> usize;
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Reads an image, `[y][x]`, and says what is known of it.
    ///
    /// # Errors
    /// The image cannot be read.
    fn particle(&self, index: usize, image: &mut [f32]) -> Result<Particle>;
}

impl Particles for PreparedSet {
    fn size_px(&self) -> usize {
        self.size_px()
    }

    fn apix(&self) -> f64 {
        self.prepared().apix
    }

    fn len(&self) -> usize {
        self.len()
    }

    fn particle(&self, index: usize, image: &mut [f32]) -> Result<Particle> {
        self.image_into(index, image);
        let a = self.rotations()[index].map(f64::from);
        Ok(Particle {
            rotation: [[a[0], a[1], a[2]], [a[3], a[4], a[5]], [a[6], a[7], a[8]]],
            ctf: (self.ctf_known()[index] != 0).then(|| Ctf::of_row(&self.ctf()[index])),
            apix: f64::from(self.apix()[index]),
            premultiplied: self.premultiplied()[index] != 0,
        })
    }
}

impl Particles for ImageStream<'_> {
    fn size_px(&self) -> usize {
        self.size_px()
    }

    fn apix(&self) -> f64 {
        self.apix()
    }

    fn len(&self) -> usize {
        self.set().len()
    }

    fn particle(&self, index: usize, image: &mut [f32]) -> Result<Particle> {
        self.image_into(index, image)?;
        Ok(Particle {
            rotation: self.rotation(index),
            ctf: self.ctf(index),
            apix: self.image_apix(index),
            premultiplied: self.premultiplied(index),
        })
    }
}

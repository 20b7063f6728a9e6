//! Particles as tensors: the table on the device, images read ahead by threads of their own.

mod stream;

pub use stream::Stream;

use crate::devices::send;
use contract::{Prepared, Result};
use cryoem::prepare::PreparedSet;
use std::path::Path;
use std::sync::Arc;
use stream::Pages;
use tch::{Device, Kind, Tensor};

/// A prepared set with its table on the device.
pub struct Particles {
    prepared: Prepared,
    set: Arc<PreparedSet>,
    device: Device,
    rotations: Tensor,
    ctf: Tensor,
    apix: Tensor,
    /// 1 where a CTF is to be applied to a rendering, `[n]`.
    ctf_known: Tensor,
    /// 1 where the image is already multiplied by its CTF, `[n]`.
    premultiplied: Tensor,
}

/// Some particles' images and rows, on the device.
pub struct Batch {
    /// Which particles.
    pub particles: Vec<usize>,
    /// The same as a tensor, `[b]` i64.
    pub index: Tensor,
    /// Images, `[b, size, size]` f32.
    pub images: Tensor,
    /// image = A · map, `[b, 3, 3]`.
    pub rotations: Tensor,
    /// CTF parameters, `[b, 9]`.
    pub ctf: Tensor,
    /// Pixel size of each image, Å, `[b]`.
    pub apix: Tensor,
    /// The smallest and the largest of these, known without asking the device.
    pub apix_range: (f32, f32),
    /// 1 where a CTF applies, `[b]`.
    pub ctf_known: Tensor,
    /// 1 where the image is already multiplied by its CTF, `[b]`.
    pub premultiplied: Tensor,
}

impl Batch {
    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.particles.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.particles.is_empty()
    }

    /// The images `from..from + count` of this batch.
    #[must_use]
    pub fn part(&self, from: usize, count: usize) -> Self {
        let narrow = |t: &Tensor| t.narrow(0, from as i64, count as i64);
        Self {
            particles: self.particles[from..from + count].to_vec(),
            index: narrow(&self.index),
            images: narrow(&self.images),
            rotations: narrow(&self.rotations),
            ctf: narrow(&self.ctf),
            apix: narrow(&self.apix),
            apix_range: self.apix_range,
            ctf_known: narrow(&self.ctf_known),
            premultiplied: narrow(&self.premultiplied),
        }
    }
}

impl Particles {
    /// Opens the set that a `prepared.json` describes.
    ///
    /// # Errors
    /// The file, the table or the images are missing or do not fit together.
    pub fn open(path: &Path, device: Device) -> Result<Self> {
        let set = PreparedSet::load(path)?;
        let prepared = set.prepared().clone();
        let n = prepared.particles as i64;
        let flags = |bits: &[u8]| Tensor::from_slice(bits).to_kind(Kind::Float).to_device(device);
        let floats = |values: &[f32], shape: &[i64]| Tensor::from_slice(values).reshape(shape).to_device(device);
        Ok(Self {
            rotations: floats(set.rotations().as_flattened(), &[n, 3, 3]),
            ctf: floats(set.ctf().as_flattened(), &[n, 9]),
            apix: floats(set.apix(), &[n]),
            ctf_known: flags(set.ctf_known()),
            premultiplied: flags(set.premultiplied()),
            set: Arc::new(set),
            prepared,
            device,
        })
    }

    /// What `prepared.json` says.
    #[must_use]
    pub fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    /// Number of particles.
    #[must_use]
    pub fn len(&self) -> usize {
        self.prepared.particles
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.prepared.particles == 0
    }

    /// Where the table is.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// A particle's rotation (image = A · map).
    #[must_use]
    pub fn rotation(&self, particle: usize) -> [[f64; 3]; 3] {
        let a = self.set.rotations()[particle].map(f64::from);
        [[a[0], a[1], a[2]], [a[3], a[4], a[5]], [a[6], a[7], a[8]]]
    }

    /// Factor from a batch's prepared images to the images' own grey scale (but for their background), `[b, 1, 1]`.
    pub fn own_grey(&self, batch: &Batch) -> Tensor {
        let factor = |particle: &usize| {
            let group = usize::try_from(self.set.group()[*particle]).ok().and_then(|group| self.prepared.groups.get(group));
            group.map_or(1.0, |group| if group.inverted { -group.noise_std } else { group.noise_std })
        };
        let factors: Vec<f64> = batch.particles.iter().map(factor).collect();
        Tensor::from_slice(&factors).to_kind(Kind::Float).to_device(self.device).view([-1, 1, 1])
    }

    /// Reads a batch now.
    #[must_use]
    pub fn batch(&self, particles: &[usize]) -> Batch {
        self.assemble(Pages::read(&self.set, particles.to_vec(), self.device))
    }

    /// Reads batches ahead, in order.
    #[must_use]
    pub fn stream(&self, batches: Vec<Vec<usize>>) -> Stream<'_> {
        Stream::new(self, batches)
    }

    fn assemble(&self, pages: Pages) -> Batch {
        let Pages { particles, images } = pages;
        let index = Tensor::from_slice(&particles.iter().map(|&i| i as i64).collect::<Vec<_>>());
        let index = send(&index, self.device);
        let rows = |t: &Tensor| t.index_select(0, &index);
        let sizes = particles.iter().map(|&i| self.set.apix()[i]);
        let apix_range = sizes.fold((f32::INFINITY, 0.0f32), |(low, high), apix| (low.min(apix), high.max(apix)));
        Batch {
            images: send(&images, self.device).to_kind(Kind::Float),
            rotations: rows(&self.rotations),
            ctf: rows(&self.ctf),
            apix: rows(&self.apix),
            apix_range,
            ctf_known: rows(&self.ctf_known),
            premultiplied: rows(&self.premultiplied),
            index,
            particles,
        }
    }
}

/// Splits 0..n into runs of at most `size`.
#[must_use]
pub fn runs(n: usize, size: usize) -> Vec<Vec<usize>> {
    (0..n).step_by(size.max(1)).map(|from| (from..n.min(from + size.max(1))).collect()).collect()
}

//! Batches of images, read ahead of the device.
//!
//! A few threads read in turn, each into buffers of its own: while the device works on a batch, the next ones are read and, for a GPU, put
//! into page-locked memory, from which they are sent without anyone waiting. How many batches are in memory does not depend on how many
//! there are.

use super::{Batch, Particles};
use crate::devices::lock_pages;
use cryoem::prepare::PreparedSet;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use tch::{Device, Kind, Tensor};

/// Threads that read; one alone keeps a CPU busy, and two hide a slow disk from a GPU.
const READERS: usize = 2;
/// Batches that each of them has ready besides the one that it reads: two buffers a thread.
const READY: usize = 1;

/// A batch's images in host memory, `[b, size, size]`.
pub(super) struct Pages {
    pub(super) particles: Vec<usize>,
    /// In single precision for the CPU; for a GPU as they lie in the file, half as many bytes to send, in page-locked memory.
    pub(super) images: Tensor,
}

impl Pages {
    pub(super) fn read(set: &PreparedSet, particles: Vec<usize>, device: Device) -> Self {
        let images = if device == Device::Cpu { singles(set, &particles) } else { lock_pages(&halves(set, &particles), device) };
        Self { particles, images }
    }
}

fn singles(set: &PreparedSet, particles: &[usize]) -> Tensor {
    Tensor::from_slice(&set.images(particles)).view(shape(set, particles))
}

fn halves(set: &PreparedSet, particles: &[usize]) -> Tensor {
    let bytes = size_of::<u16>() * set.size_px() * set.size_px();
    let mut values = vec![0u8; particles.len() * bytes];
    values.chunks_exact_mut(bytes).zip(particles).for_each(|(image, &i)| set.half_bytes_into(i, image));
    Tensor::from_data_size(&values, &shape(set, particles), Kind::Half)
}

fn shape(set: &PreparedSet, particles: &[usize]) -> [i64; 3] {
    [particles.len() as i64, set.size_px() as i64, set.size_px() as i64]
}

/// Batches in order, read ahead.
pub struct Stream<'a> {
    particles: &'a Particles,
    readers: Vec<(Receiver<Pages>, Option<JoinHandle<()>>)>,
    next: usize,
    count: usize,
}

impl<'a> Stream<'a> {
    pub(super) fn new(particles: &'a Particles, batches: Vec<Vec<usize>>) -> Self {
        let (count, device) = (batches.len(), particles.device);
        let batches = Arc::new(batches);
        let readers = (0..READERS.min(count)).map(|reader| {
            let (sender, receiver) = sync_channel(READY);
            let (set, batches) = (Arc::clone(&particles.set), Arc::clone(&batches));
            let thread = std::thread::spawn(move || {
                for batch in batches.iter().skip(reader).step_by(READERS) {
                    // The receiver is gone when the epoch was left early.
                    if sender.send(Pages::read(&set, batch.clone(), device)).is_err() {
                        break;
                    }
                }
            });
            (receiver, Some(thread))
        });
        Self { readers: readers.collect(), particles, next: 0, count }
    }
}

impl Iterator for Stream<'_> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        if self.next == self.count {
            return None;
        }
        let (receiver, thread) = &mut self.readers[self.next % READERS];
        let Ok(pages) = receiver.recv() else {
            // A reader that ends before its batches are done has panicked: so does whoever waits for it.
            if let Some(Err(panic)) = thread.take().map(JoinHandle::join) {
                resume_unwind(panic);
            }
            return None;
        };
        self.next += 1;
        Some(self.particles.assemble(pages))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::runs;
    use contract::GroupSummary;
    use cryoem::prepare::{PreparedWriter, Row};

    const SIZE: usize = 8;

    /// Image i has the value i in every pixel but the first, which is a value that half precision rounds.
    fn particles(folder: &std::path::Path, count: usize) -> Particles {
        crate::torch::init_torch().unwrap();
        let mut writer = PreparedWriter::create(folder, SIZE).unwrap();
        for i in 0..count {
            let mut image = [i as f32; SIZE * SIZE];
            image[0] = 0.1 * i as f32;
            writer.push(&image).unwrap();
        }
        let row = Row {
            rotation: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            ctf: [1e4, 1e4, 0.0, 300.0, 2.7, 0.1, 0.0, 0.0, 1.0],
            apix: 2.0,
            premultiplied: false,
            group: 0,
            ctf_known: true,
        };
        let rows: Vec<Row> = (0..count).map(|i| Row { apix: 2.0 + i as f32, ..row }).collect();
        let group = GroupSummary {
            name: "one".into(),
            particles: count,
            box_px: SIZE,
            apix: 2.0,
            voltage_kv: 300.0,
            noise_std: 1.0,
            background: 0.0,
            inverted: false,
            one_by_one: false,
        };
        writer.finish(&rows, vec![group], 2.0, "test".into()).unwrap();
        Particles::open(&folder.join("prepared.json"), Device::Cpu).unwrap()
    }

    #[test]
    fn batches_come_in_order_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let particles = particles(folder.path(), 23);
        for size in [1, 4, 23, 50] {
            let wanted = runs(23, size);
            let found: Vec<Batch> = particles.stream(wanted.clone()).collect();
            assert_eq!(found.iter().map(|batch| batch.particles.clone()).collect::<Vec<_>>(), wanted);
            for batch in found {
                assert!(batch.images.equal(&particles.batch(&batch.particles).images));
                let first = batch.particles[0];
                assert_eq!(batch.images.double_value(&[0, 3, 3]), first as f64);
                assert_eq!(batch.apix_range, (2.0 + first as f32, 2.0 + (first + batch.len() - 1) as f32));
            }
        }
        assert!(particles.stream(Vec::new()).next().is_none());
        // Left early: the readers end with their receivers.
        assert_eq!(particles.stream(runs(23, 1)).next().unwrap().particles, [0]);
    }

    #[test]
    fn halves_and_singles_are_the_same_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let particles = particles(folder.path(), 5);
        let (one, other) = (singles(&particles.set, &[4, 1]), halves(&particles.set, &[4, 1]));
        assert_eq!(other.kind(), Kind::Half);
        assert!(one.equal(&other.to_kind(Kind::Float)));
    }

    #[test]
    #[should_panic(expected = "image 9 of 5")]
    fn a_reader_that_fails_ends_whoever_waits() {
        let folder = tempfile::tempdir().unwrap();
        let particles = particles(folder.path(), 5);
        particles.stream(vec![vec![0], vec![9]]).for_each(drop);
    }
}

//! The memory plan: how a training step is split so that it fits the memory of its device.
//!
//! The effective batch is never touched, since it shapes the result; how it is split does not (docs/benchmarks/memory.md).

use super::rules::Ruled;
use crate::machine::memory;
use contract::memory::Footprint;
use contract::{Device, TrainSettings};

/// Part of a GPU that may be filled: the driver's context, libraries and what the allocator cannot use take the rest.
const SHARE_OF_GPU: f64 = 0.85;
/// Part of the host's usable memory that training on a CPU may fill; the rest is for caches, the other processes and other programs.
const SHARE_OF_HOST: f64 = 0.5;
/// What `--gpu-memory` counts in.
const GIGABYTE: f64 = 1e9;

/// How a step is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    /// Images decoded at a time.
    pub(crate) micro_batch: usize,
    /// Whether the encoder is worked out again in the backward pass.
    pub(crate) recompute_encoder: bool,
}

/// Bytes that a step may take of a device, and whence; `ranks` on a CPU share the host's memory.
pub(crate) fn room(said_gb: Option<f64>, device: &Device, ranks: usize) -> Ruled<u64> {
    let on_host = device.id == "cpu";
    let there = if on_host { (device.memory_bytes / ranks as u64).min(memory::read().of_each(ranks)) } else { device.memory_bytes };
    let share = if on_host { SHARE_OF_HOST } else { SHARE_OF_GPU };
    match said_gb {
        Some(gb) => Ruled { value: (gb * GIGABYTE) as u64, reason: "as said".into() },
        None => Ruled {
            value: (there as f64 * share) as u64,
            reason: {
                let owner = if on_host && ranks > 1 { format!("each of {ranks} processes") } else { device.id.clone() };
                format!("{:.0}% of the {:.1} GB that {owner} has", share * 100.0, there as f64 / GIGABYTE)
            },
        },
    }
}

/// The largest parts of an engine's share of the batch (`train.batch` here) that fit into `room` bytes.
///
/// The encoder is worked out again only where nothing fits otherwise. `micro_batch` is what was said of it. Where not even one image fits, it is one image:
/// the forecast says so, and the run may still be lucky.
pub(crate) fn split(train: &TrainSettings, micro_batch: Option<usize>, room: u64) -> Ruled<Split> {
    let needs = Footprint::of(train);
    let fits = |micro_batch: usize, again: bool| needs.bytes(train.batch, micro_batch, again) <= room;
    let gigabytes = |bytes: u64| bytes as f64 / GIGABYTE;
    if let Some(said) = micro_batch {
        let said = said.min(train.batch);
        return Ruled {
            value: Split { micro_batch: said, recompute_encoder: !fits(said, false) && fits(said, true) },
            reason: "as said".into(),
        };
    }
    for recompute_encoder in [false, true] {
        let Some(micro_batch) = (1..=train.batch).rev().find(|&n| fits(n, recompute_encoder)) else { continue };
        let needed = gigabytes(needs.bytes(train.batch, micro_batch, recompute_encoder));
        let reason = if micro_batch == train.batch && !recompute_encoder {
            "the whole batch fits into memory".into()
        } else {
            format!("a step takes about {needed:.1} of {:.1} GB", gigabytes(room))
        };
        return Ruled { value: Split { micro_batch, recompute_encoder }, reason };
    }
    let needed = gigabytes(needs.bytes(train.batch, 1, true));
    Ruled {
        value: Split { micro_batch: 1, recompute_encoder: true },
        reason: format!("the least there is: about {needed:.1} GB, with {:.1} GB to be had", gigabytes(room)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::decided;
    use contract::Precision;

    const GB: u64 = 1_000_000_000;

    /// The original's example: its networks, a template of 192, 18 images.
    fn seed() -> TrainSettings {
        decided::tests::full_settings(18)
    }

    #[test]
    fn half_the_numbers_take_less() {
        let bytes = |precision| Footprint::of(&TrainSettings { precision, ..seed() }).bytes(18, 18, false);
        let (single, half) = (bytes(Precision::F32), bytes(Precision::Bf16));
        // Volumes, projections, weights and the optimiser stay as they are.
        assert!(half < single && 2 * half > single, "{half} of {single}");
    }

    #[test]
    fn the_largest_part_that_fits_is_taken() {
        let train = seed();
        let needs = Footprint::of(&train);
        let whole = needs.bytes(18, 18, false);
        assert_eq!(split(&train, None, whole).value, Split { micro_batch: 18, recompute_encoder: false });
        for room in [whole / 2, whole / 3, needs.bytes(18, 1, false)] {
            let found = split(&train, None, room).value;
            assert!(!found.recompute_encoder && found.micro_batch < 18);
            assert!(needs.bytes(18, found.micro_batch, false) <= room && needs.bytes(18, found.micro_batch + 1, false) > room);
        }
    }

    #[test]
    fn the_encoder_is_worked_out_again_where_nothing_fits_otherwise() {
        let train = seed();
        let needs = Footprint::of(&train);
        let room = needs.bytes(18, 1, false) - 1;
        let found = split(&train, None, room).value;
        assert!(found.recompute_encoder && needs.bytes(18, found.micro_batch, true) <= room);
        let least = split(&train, None, GB / 10);
        assert_eq!(least.value, Split { micro_batch: 1, recompute_encoder: true });
        assert!(least.reason.contains("least"));
    }

    #[test]
    fn what_is_said_is_kept() {
        let train = seed();
        assert_eq!(split(&train, Some(5), u64::MAX).value, Split { micro_batch: 5, recompute_encoder: false });
        assert_eq!(split(&train, Some(50), u64::MAX).value.micro_batch, 18);
        let device = Device { id: "cuda:0".into(), name: "GPU".into(), memory_bytes: 80 * GB };
        assert_eq!(room(Some(8.0), &device, 1).value, 8 * GB);
        assert_eq!(room(None, &device, 4).value, 68 * GB);
        let host = Device { id: "cpu".into(), memory_bytes: 1_000_000, ..device };
        assert_eq!((room(None, &host, 1).value, room(None, &host, 4).value), (500_000, 125_000));
    }
}

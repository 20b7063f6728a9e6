//! The memory plan: how a training step is split so that it fits the memory of its device.
//!
//! The effective batch is never touched, since it shapes the result; how it is split does not (docs/benchmarks/memory.md).

use super::devices::GIGABYTE;
use super::rules::Ruled;
use crate::machine::memory;
use contract::memory::Footprint;
use contract::{Device, TrainSettings};

/// Part of a GPU that may be filled: the driver's context, libraries and what the allocator cannot use take the rest.
const SHARE_OF_GPU: f64 = 0.85;
/// Part of what is free of a GPU that may be filled, where others have taken so much that this is less. What a process needs besides its step
/// has to fit into the rest, where the GPU is not its own.
const SHARE_OF_FREE: f64 = 0.95;
/// Part of the host's usable memory that training on a CPU may fill; the rest is for caches, the other processes and other programs.
const SHARE_OF_HOST: f64 = 0.5;

/// How a step is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    /// Images decoded at a time.
    pub(crate) micro_batch: usize,
    /// Whether the encoder is worked out again in the backward pass.
    pub(crate) recompute_encoder: bool,
}

/// Bytes that a step may take of a GPU.
pub(crate) fn of_gpu(device: &Device) -> u64 {
    let whole = SHARE_OF_GPU * device.memory_bytes as f64;
    device.free_bytes.map_or(whole, |free| whole.min(SHARE_OF_FREE * free as f64)) as u64
}

/// What is free of a GPU of which others have taken so much that the plan depends on it, bytes.
pub(crate) fn left_by_others(device: &Device) -> Option<u64> {
    device.free_bytes.filter(|_| of_gpu(device) < of_gpu(&Device { free_bytes: None, ..device.clone() }))
}

/// Bytes that a step may take of a device, and whence; `ranks` on a CPU share the host's memory.
pub(crate) fn room(said_gb: Option<f64>, device: &Device, ranks: usize) -> Ruled<u64> {
    let gigabytes = |bytes: u64| bytes as f64 / GIGABYTE;
    let percent = |share: f64| share * 100.0;
    if let Some(gb) = said_gb {
        return Ruled { value: (gb * GIGABYTE) as u64, reason: "as said".into() };
    }
    if device.id == "cpu" {
        let there = (device.memory_bytes / ranks as u64).min(memory::read().of_each(ranks));
        let owner = if ranks > 1 { format!("each of {ranks} processes") } else { device.id.clone() };
        let reason = format!("{:.0}% of the {:.1} GB that {owner} has", percent(SHARE_OF_HOST), gigabytes(there));
        return Ruled { value: (there as f64 * SHARE_OF_HOST) as u64, reason };
    }
    let (id, all) = (&device.id, gigabytes(device.memory_bytes));
    let reason = match left_by_others(device) {
        Some(free) => format!("{:.0}% of the {:.1} GB that are free of {id}'s {all:.1} GB", percent(SHARE_OF_FREE), gigabytes(free)),
        None => format!("{:.0}% of the {all:.1} GB that {id} has", percent(SHARE_OF_GPU)),
    };
    Ruled { value: of_gpu(device), reason }
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
        let device = Device { id: "cuda:0".into(), name: "GPU".into(), memory_bytes: 80 * GB, free_bytes: None };
        assert_eq!(room(Some(8.0), &device, 1).value, 8 * GB);
        assert_eq!(room(None, &device, 4).value, 68 * GB);
        let host = Device { id: "cpu".into(), memory_bytes: 1_000_000, ..device };
        assert_eq!((room(None, &host, 1).value, room(None, &host, 4).value), (500_000, 125_000));
    }
    #[test]
    fn what_others_have_taken_of_a_gpu_is_not_planned_with() {
        let gpu = |free_gb: Option<u64>| Device {
            id: "cuda:0".into(),
            name: "GPU".into(),
            memory_bytes: 80 * GB,
            free_bytes: free_gb.map(|gb| gb * GB),
        };
        // A display and the driver take little, others take much, or all.
        let planned = [None, Some(79), Some(72), Some(40), Some(0)].map(|free| room(None, &gpu(free), 1).value / GB);
        assert_eq!(planned, [68, 68, 68, 38, 0]);
        assert_eq!([Some(79), Some(72), Some(40)].map(|free| left_by_others(&gpu(free))), [None, None, Some(40 * GB)]);
        assert_eq!(room(None, &gpu(Some(40)), 1).reason, "95% of the 40.0 GB that are free of cuda:0's 80.0 GB");
        assert_eq!(room(Some(60.0), &gpu(Some(40)), 1).value, 60 * GB);
        let train = seed();
        let [alone, beside] = [None, Some(4)].map(|free| split(&train, None, room(None, &gpu(free), 1).value));
        assert!(alone.value.micro_batch == 18 && (1..18).contains(&beside.value.micro_batch), "{beside:?}");
        assert!(split(&train, None, room(None, &gpu(Some(0)), 1).value).reason.starts_with("the least there is"));
    }
}

//! Clocks: CPU seconds and wall seconds of repeated work, and the most memory that it took.

use crate::native;
use serde::{Deserialize, Serialize};
use std::time::Instant;
use tch::{Cuda, Device};

/// Medians over the repetitions, and how far they spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// CPU seconds of all threads.
    pub cpu_seconds: f64,
    /// Wall seconds; on a device, until it has finished.
    pub wall_seconds: f64,
    /// Largest less smallest wall time, seconds.
    pub wall_spread_seconds: f64,
    /// Repetitions after the warm-up.
    pub repetitions: usize,
}

impl Timing {
    /// Of repetitions' CPU and wall seconds.
    pub(super) fn of(repetitions: impl Iterator<Item = (f64, f64)>) -> Self {
        let (mut cpu, mut wall): (Vec<f64>, Vec<f64>) = repetitions.unzip();
        let spread = wall.iter().fold(0f64, |a, &b| a.max(b)) - wall.iter().fold(f64::MAX, |a, &b| a.min(b));
        Self { cpu_seconds: median(&mut cpu), wall_seconds: median(&mut wall), wall_spread_seconds: spread, repetitions: wall.len() }
    }
}

/// Runs `work` after `warm_up` unmeasured runs.
pub(super) fn measure(device: Device, warm_up: usize, repetitions: usize, mut work: impl FnMut()) -> Timing {
    for _ in 0..warm_up {
        work();
    }
    let once = |_| {
        wait(device);
        let (cpu_before, began) = (cpu_seconds(), Instant::now());
        work();
        wait(device);
        (cpu_seconds() - cpu_before, began.elapsed().as_secs_f64())
    };
    Timing::of((0..repetitions.max(1)).map(once))
}

/// Waits until the device has done all that was asked of it.
pub(super) fn wait(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
}

/// The middle value; the mean of the two middle ones of an even number.
#[must_use]
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { 0.5 * (values[middle - 1] + values[middle]) }
}

/// CPU seconds of this process, all threads, in user and kernel mode.
#[must_use]
pub fn cpu_seconds() -> f64 {
    // SAFETY: a zeroed rusage is a valid one, and getrusage fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 * 1e-6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// Forgets the most memory so far; where the kernel does not allow it, [`peak_bytes`] counts from the start.
pub(super) fn reset_peak(device: Device) {
    match device {
        Device::Cuda(index) => drop(native::device_peak_bytes(index, true)),
        _ => drop(std::fs::write("/proc/self/clear_refs", "5")),
    }
}

/// Most memory since [`reset_peak`], bytes: what a GPU's allocator had handed out, the process' resident size otherwise.
pub(super) fn peak_bytes(device: Device) -> u64 {
    if let Device::Cuda(index) = device {
        return native::device_peak_bytes(index, false);
    }
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_ignore_outliers() {
        assert_eq!(median(&mut [3.0, 1.0, 100.0]), 3.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 100.0]), 3.0);
    }

    #[test]
    fn work_takes_time_and_memory() {
        let before = peak_bytes(Device::Cpu);
        let mut kept = Vec::new();
        let timing = measure(Device::Cpu, 0, 3, || {
            let mut x = 0u64;
            for i in 0..3_000_000u64 {
                x = std::hint::black_box(x ^ i.wrapping_mul(x | 1));
            }
            kept.push(vec![x as u8 | 1; 40 << 20]);
        });
        assert!(timing.cpu_seconds > 0.0 && timing.wall_seconds > 0.0 && timing.repetitions == 3);
        assert!(peak_bytes(Device::Cpu) >= before + (60 << 20));
        assert_eq!(kept.len(), 3);
    }
}

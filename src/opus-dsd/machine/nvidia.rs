//! The NVIDIA driver of this machine, and which driver a build of libtorch needs.

use std::path::Path;

/// Oldest driver branches of CUDA's major versions (NVIDIA's CUDA compatibility tables: 12.x runs from 525 on by minor-version
/// compatibility, 13.x from 580 on).
const OLDEST: [(u32, u32); 2] = [(12, 525), (13, 580)];

/// The driver's version, where one is loaded.
pub(crate) fn driver() -> Option<String> {
    let text = std::fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    version_in(&text)
}

/// Whether the driver offers a device, even if its version cannot be read (in containers).
pub(crate) fn has_device() -> bool {
    Path::new("/dev/nvidiactl").exists()
}

/// The oldest driver branch for a CUDA major version.
pub(crate) fn oldest_driver(cuda_major: u32) -> Option<u32> {
    OLDEST.iter().find(|(major, _)| *major == cuda_major).map(|(_, driver)| *driver)
}

/// The branch of a driver's version: 580 of `580.65.06`.
pub(crate) fn branch(version: &str) -> u32 {
    version.split('.').next().and_then(|v| v.parse().ok()).unwrap_or(0)
}

fn version_in(text: &str) -> Option<String> {
    let is_version = |w: &&str| w.contains('.') && w.chars().all(|c| c.is_ascii_digit() || c == '.');
    text.split_whitespace().find(is_version).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_and_compared() {
        let text =
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.133.20  Release Build  (builder@host)  Tue\nGCC version:  12.2.0";
        let version = version_in(text).unwrap();
        assert_eq!((version.as_str(), branch(&version)), ("570.133.20", 570));
        assert_eq!((oldest_driver(13), oldest_driver(12), oldest_driver(9)), (Some(580), Some(525), None));
    }
}

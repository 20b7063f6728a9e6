//! Says loudly what is not tested.

#![allow(dead_code, reason = "each test program uses a part")]

use std::fmt::Display;
use std::io::Write;

/// Goes around the test harness, which keeps to itself what tests that pass have printed.
pub(crate) fn skipped(why: impl Display) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// As [`skipped`], of what CI installs and must therefore not miss.
pub(crate) fn skipped_outside_ci(why: impl Display) {
    assert!(std::env::var_os("CI").is_none(), "{why}, and CI must not skip its tests");
    skipped(why);
}

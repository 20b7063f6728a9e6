//! What a job's `report.html` holds, and that a browser opens it.

#![allow(dead_code, reason = "each test program uses a part")]

#[path = "../../src/report/tests/support/browser.rs"]
mod browser;

use serde_json::Value;
use std::path::Path;

/// The data that a job's report shows.
pub(crate) fn data(job: &Path) -> Value {
    let page = std::fs::read_to_string(job.join("report.html")).unwrap();
    let data = page.split("<script type=\"application/json\" id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
    serde_json::from_str(&data.replace("<\\/", "</")).unwrap()
}

/// Opens it in Chromium, where there is one: it is drawn and writes nothing to the console.
pub(crate) fn opens_quietly(job: &Path) {
    let Some(chromium) = browser::found() else { return };
    let done = browser::open(&chromium, &job.join("report.html"), &["--virtual-time-budget=1000", "--dump-dom"]);
    assert!(String::from_utf8_lossy(&done.stdout).contains("data-ready=\"yes\""), "{}", job.display());
    assert_eq!(browser::console(&done), Vec::<String>::new());
}

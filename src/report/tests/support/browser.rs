//! A real Chromium without a window. Where it is missing, tests fail under CI and say loudly elsewhere that they were skipped.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Chromium, where it is installed.
pub(crate) fn found() -> Option<PathBuf> {
    let found = ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .map(PathBuf::from)
        .find(|name| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success()));
    if found.is_none() {
        crate::skip::skipped_outside_ci("Chromium is not installed");
    }
    found
}

/// Opens a page, with more options of the browser.
pub(crate) fn open(browser: &Path, page: &Path, more: &[&str]) -> Output {
    let profile = page.with_extension("profile");
    let done = Command::new(browser)
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--window-size=1280,1000",
            "--enable-logging=stderr",
            "--v=0",
        ])
        .args(["--disable-background-networking", "--no-first-run", "--disable-component-update", "--disable-sync"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(more)
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    done
}

/// Lines that the page itself wrote to the console; the hint about reading pixels back is about a driver, which does so.
pub(crate) fn console(done: &Output) -> Vec<String> {
    let all = String::from_utf8_lossy(&done.stderr);
    all.lines().filter(|l| l.contains(":CONSOLE") && !l.contains("willReadFrequently")).map(String::from).collect()
}

/// Opens a copy of a page with a program of ours at its end, which leaves what it saw as JSON in `#seen`; returns that. The page must write nothing to
/// the console.
pub(crate) fn drive(browser: &Path, page: &Path, program: &str, more: &[&str]) -> Value {
    let text = std::fs::read_to_string(page).unwrap();
    let driven = page.with_file_name("driven.html");
    std::fs::write(&driven, text.replace("</body>", &format!("<script>{program}</script></body>"))).unwrap();
    let done = open(browser, &driven, &[&["--virtual-time-budget=20000", "--dump-dom"], more].concat());
    assert_eq!(console(&done), Vec::<String>::new());
    let dom = String::from_utf8_lossy(&done.stdout);
    let seen = dom.split("<pre id=\"seen\">").nth(1).unwrap_or_else(|| panic!("nothing was left: {}", &dom[..dom.len().min(2000)]));
    let seen = seen.split("</pre>").next().unwrap().replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    serde_json::from_str(&seen).unwrap_or_else(|e| panic!("{e}: {seen}"))
}

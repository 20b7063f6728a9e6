//! Python, for the client that hosts use.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The interpreter itself, not a script that looks for one: tests kill it by its process id.
pub(crate) fn python() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| {
        let found = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().expect("python3 is needed");
        assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
        String::from_utf8(found.stdout).unwrap().trim().to_owned()
    })
}

/// The folder of `client.py`.
pub(crate) fn client_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("plugin-manifests/scipion/opusdsdrs")
}

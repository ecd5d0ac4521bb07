//! The Python that has the packages of the tests.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A Python that can `import` this. Its absence fails the test: a check that is silently left out
/// proves nothing.
pub fn python(import: &str) -> PathBuf {
    if let Some(named) = std::env::var_os("ICECORE_TEST_PYTHON") {
        return named.into();
    }
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/reader-venv/bin/python");
    let has_packages = |python: &PathBuf| {
        let tried = Command::new(python).args(["-c", import]).output();
        tried.is_ok_and(|output| output.status.success())
    };
    [own, "python3".into()]
        .into_iter()
        .find(has_packages)
        .expect(
            "no Python with the packages that the tests need: run ./run-tests, which installs them",
        )
}

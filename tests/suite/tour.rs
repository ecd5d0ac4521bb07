//! The README's first command, small and without the build: every step of it checks itself.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn tour_ends_well_in_an_empty_home() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let home = scratch.path().join("home");
    fs::create_dir(&home).expect("an empty home");
    let programs = Path::new(env!("CARGO_BIN_EXE_tour-data")).parent();
    let tour = Path::new(env!("CARGO_MANIFEST_DIR")).join("tour");
    let output = Command::new(&tour)
        .args(["--small", "--no-build", "--into", "here"])
        .current_dir(scratch.path())
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", &home)
        .env("TOUR_BIN", programs.expect("a directory of programs"))
        .output()
        .expect("the tour starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(text.contains("\nAll as it should be"), "{text}");
    let left_in_home = fs::read_dir(&home).expect("the home").count();
    assert_eq!(left_in_home, 0, "the tour keeps to its directory");

    let again = Command::new(&tour)
        .args(["--no-build", "--into", "here"])
        .current_dir(scratch.path())
        .output()
        .expect("the tour starts");
    assert_eq!(again.status.code(), Some(2), "what is there is left alone");
}

#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Restores over what is there, from damaged repositories, and with proof.

mod flags;
mod in_place;

use crate::cli::TestEnvironment;
use serde_json::Value;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A number of a summary.
fn number(summary: &Value, field: &str) -> u64 {
    let number = summary[field].as_u64();
    number.unwrap_or_else(|| panic!("no {field} in {summary}"))
}

/// Changes 100 bytes of a page of 4 KiB.
fn spoil(path: &Path, page: u64) {
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(&[0xA5; 100], page * 4096 + 1000).unwrap();
}

/// Runs a command that succeeds, and reads its summary.
fn summary_of(world: &TestEnvironment, arguments: &[&str]) -> Value {
    let json = [arguments, &["--json"]].concat();
    world.run(&json).expect(0).summary()
}

//! A project tree: sources, what can be rebuilt from them, and a corner where something happens.

use crate::Outcome;
use crate::random::Random;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// Where `churn` writes: the rest of the tree stands still.
pub const LIVE: &str = "live";

/// Directories that can be rebuilt, with the size of the one file they get, bytes.
pub const REBUILT: &[(&str, usize)] = &[
    ("node_modules/left/dist", 24_000_000),
    (".next/cache", 8_000_000),
    ("tools/__pycache__", 400_000),
];

/// Makes a project with so many source files, and what can be rebuilt.
pub fn make(root: &Path, files: u64) -> Outcome<()> {
    if root.exists() {
        return Err(format!("{} is there already", root.display()).into());
    }
    let mut random = Random::new(5);
    for number in 0..files {
        let directory = root.join(format!("src/module-{:02}", number % 40));
        fs::create_dir_all(&directory)?;
        let mut text = format!("// file {number}\n");
        for _ in 0..random.below(60) {
            text.push_str(&random.words(9));
            text.push('\n');
        }
        let path = directory.join(format!("part-{number}.ts"));
        fs::write(&path, text)?;
        if number % 50 == 0 {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
    }
    symlink("src/module-00", root.join("first"))?;
    fs::write(root.join("empty.txt"), "")?;
    for (directory, bytes) in REBUILT {
        fs::create_dir_all(root.join(directory))?;
        fs::write(
            root.join(directory).join("built.js"),
            noise(&mut random, *bytes),
        )?;
    }
    fs::create_dir(root.join(LIVE))?;
    fs::write(root.join(LIVE).join("app.log"), "started\n")?;
    println!(
        "made {} with {files} source files and what can be rebuilt",
        root.display()
    );
    Ok(())
}

/// Appends to a log and moves new files into place, until `stop` is there.
pub fn churn(root: &Path, stop: &Path) -> Outcome<()> {
    let directory = root.join(LIVE);
    let mut log = OpenOptions::new()
        .append(true)
        .open(directory.join("app.log"))?;
    let mut random = Random::new(6);
    let mut number = 0_u64;
    while !stop.exists() {
        writeln!(log, "{number} {}", random.words(12))?;
        if number.is_multiple_of(10) {
            let unfinished = directory.join(".unfinished");
            fs::write(&unfinished, random.words(200))?;
            fs::rename(&unfinished, directory.join(format!("event-{number}.txt")))?;
        }
        number += 1;
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Turns one byte of a file into another.
pub fn spoil(path: &Path, offset: u64) -> Outcome<()> {
    let mut options = File::options();
    let file = options.read(true).write(true).open(path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset)?;
    file.write_all_at(&[byte[0] ^ 0x01], offset)?;
    Ok(())
}

fn noise(random: &mut Random, bytes: usize) -> Vec<u8> {
    let mut noise = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        noise.extend_from_slice(&random.next().to_le_bytes());
    }
    noise
}

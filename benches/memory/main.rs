//! The most memory that each command takes: `cargo bench --bench memory -- [BLOBS] [DIRECTORY]`.
//!
//! Makes a repository of so many tiny blobs (1 million without a number; 100 million need about
//! 40 GB), runs every command on it in a process of its own, and prints one table of the resident
//! set each had at most. Fails where one is above 256 MiB. The repository is opened with a key, so
//! that Argon2, which takes the memory it is told to, is left out.

mod synthetic;

use icecore::crypto::SecretBytes;
use icecore::format::slot::Unlock;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use synthetic::Size;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Set for a process that is to be one command: where it leaves its figure.
const CHILD: &str = "ICECORE_BENCH_MEMORY";

/// MiB that no command may exceed.
const BOUND_MIB: u64 = 256;

/// A command that ran.
struct Measured {
    command: String,
    kib: u64,
    time: Duration,
}

/// Where everything is.
struct Bench {
    scratch: PathBuf,
    measured: Vec<Measured>,
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// Runs a command of the program in a process of its own.
    fn run(&mut self, title: &str, arguments: &[&str]) -> Outcome<()> {
        let figure = self.path("figure");
        let output = self.path("output");
        let start = Instant::now();
        let status = Command::new(std::env::current_exe()?)
            .args(arguments)
            .env(CHILD, &figure)
            .env("ICECORE_REPO", self.path("repository"))
            .env("ICECORE_KEY_FILE", self.path("key"))
            .env("ICECORE_CACHE_DIR", self.path("cache"))
            .stdin(Stdio::null())
            .stdout(fs::File::create(&output)?)
            .status()?;
        if !status.success() {
            let said = fs::read_to_string(&output)?;
            return Err(format!("{title} ended with {status}: {said}").into());
        }
        let measured = Measured {
            command: title.to_owned(),
            kib: fs::read_to_string(&figure)?.trim().parse()?,
            time: start.elapsed(),
        };
        eprintln!("{}", measured.line());
        self.measured.push(measured);
        Ok(())
    }

    fn last_output(&self) -> Outcome<String> {
        Ok(fs::read_to_string(self.path("output"))?)
    }
}

impl Measured {
    fn line(&self) -> String {
        let mib = self.kib.div_ceil(1024);
        let over = match mib > BOUND_MIB {
            true => "  ABOVE THE BOUND",
            false => "",
        };
        let seconds = self.time.as_secs_f64();
        format!("{:<28} {mib:>5} MiB {seconds:>9.1} s{over}", self.command)
    }
}

/// The most memory this process had resident, KiB.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(u64::MAX)
}

fn directory_mib(path: &Path) -> u64 {
    let mut bytes = 0;
    let mut waiting = vec![path.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => waiting.push(entry.path()),
                Ok(metadata) => bytes += metadata.len(),
                Err(_) => {}
            }
        }
    }
    bytes >> 20
}

/// A small source, and what changes in it.
fn write_source(source: &Path, changed: bool) -> Outcome<()> {
    fs::create_dir_all(source)?;
    for number in 0..200u64 {
        let seed = number + 1000 * u64::from(changed && number % 4 == 0);
        let mut content = vec![0; 200_000];
        blake3::Hasher::new()
            .update(&seed.to_le_bytes())
            .finalize_xof()
            .fill(&mut content);
        fs::write(source.join(number.to_string()), content)?;
    }
    Ok(())
}

fn measure(bench: &mut Bench, blobs: u64) -> Outcome<Size> {
    let key = [7; 32];
    let line: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600);
    std::io::Write::write_all(
        &mut file.open(bench.path("key"))?,
        format!("icecore-key-1:{line}\n").as_bytes(),
    )?;
    let unlock = Unlock::Key(SecretBytes::new(key.to_vec()));
    let size = Size::of(blobs);
    let (repository, cache) = (bench.path("repository"), bench.path("cache"));
    fs::create_dir_all(&cache)?;
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o700))?;
    let start = Instant::now();
    synthetic::make(&repository, &cache, &unlock, size)?;
    eprintln!(
        "{} blobs in {} files, made in {:.0} s: {} MiB, cache {} MiB",
        size.blobs(),
        size.files,
        start.elapsed().as_secs_f64(),
        directory_mib(&repository),
        directory_mib(&cache),
    );
    commands(bench)?;
    Ok(size)
}

fn commands(bench: &mut Bench) -> Outcome<()> {
    let source = bench.path("source");
    let target = bench.path("target");
    let text = |path: &Path| {
        path.to_str()
            .map(str::to_owned)
            .ok_or("a path is not UTF-8")
    };
    let (source_text, target_text) = (text(&source)?, text(&target)?);
    write_source(&source, false)?;
    bench.run("snapshots", &["snapshots"])?;
    bench.run("snapshot, first", &["snapshot", &source_text])?;
    bench.run("snapshot, unchanged", &["snapshot", &source_text])?;
    write_source(&source, true)?;
    bench.run("snapshot, changed", &["snapshot", &source_text])?;
    let of_all = ["--source", "synthetic"];
    bench.run("ls", &["ls", "latest~1", of_all[0], of_all[1]])?;
    bench.run("find", &["find", "file-00000002"])?;
    bench.run(
        "restore one file",
        &[
            "restore",
            "latest:file-00000002",
            of_all[0],
            of_all[1],
            "--target",
            &target_text,
        ],
    )?;
    bench.run("prune --dry-run", &["prune", "--dry-run"])?;
    bench.run("cache clear", &["cache", "clear"])?;
    bench.run("ls, index rebuilt", &["ls", "latest", of_all[0], of_all[1]])?;
    bench.run("check", &["check"])?;
    let tenth = ["check", "--read-data", "--subset", "10%"];
    bench.run("check --read-data, 10 %", &tenth)?;
    bench.run("forget", &["forget", "latest~1", of_all[0], of_all[1]])?;
    bench.run("prune", &["prune"])?;
    println!("{}", bench.last_output()?.trim());
    bench.run("check, afterwards", &["check"])?;
    Ok(())
}

fn run() -> Outcome<ExitCode> {
    let mut arguments = std::env::args_os()
        .skip(1)
        .filter(|argument| argument != "--bench");
    let blobs: Option<OsString> = arguments.next();
    let blobs = blobs.map(|text| text.to_string_lossy().parse());
    let blobs = blobs.transpose()?.unwrap_or(1_000_000);
    let parent = arguments
        .next()
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let scratch = tempfile::tempdir_in(parent)?;
    let mut bench = Bench {
        scratch: scratch.path().to_owned(),
        measured: Vec::new(),
    };
    let size = measure(&mut bench, blobs)?;
    println!("most memory resident, {} blobs", size.blobs());
    bench.measured.iter().for_each(|m| println!("{}", m.line()));
    let over = bench.measured.iter().any(|m| m.kib > BOUND_MIB << 10);
    Ok(match over {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

fn main() -> ExitCode {
    if let Some(figure) = std::env::var_os(CHILD) {
        let exit = icecore::cli::run();
        return match fs::write(figure, peak_kib().to_string()) {
            Ok(()) => exit,
            Err(error) => {
                eprintln!("the figure cannot be written: {error}");
                ExitCode::FAILURE
            }
        };
    }
    match run() {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

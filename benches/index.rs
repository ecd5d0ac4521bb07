//! The index cache at scale: `cargo bench --bench index -- [ROWS] [MEMORY_MIB] [DIRECTORY]`.
//!
//! Prints how long it takes to load segments of 100,000 synthetic rows, to look up ids that are
//! there and ids that are not, and to walk everything, with the most memory the process ever took.

use icecore::format::blob::{BlobKind, BlobRow, Codec, Form};
use icecore::format::pack::PackClass;
use icecore::format::segment::PackRows;
use icecore::id::{BlobId, PackId, SegmentId, WriterId};
use icecore::limits;
use icecore::monitor::{Monitor, Unit};
use icecore::repository::index::{Index, IndexOptions};
use std::error::Error;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

const ROWS_PER_PACK: u64 = 64;
const LOOKUPS: u64 = 100_000;

struct Print;

impl Monitor for Print {
    fn phase(&self, _: &'static str, _: Unit, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
    fn current(&self, _: &str) {}
    fn warn(&self, message: &str) {
        println!("warning: {message}");
    }
}

fn id(number: u64) -> BlobId {
    BlobId(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

fn row(number: u64) -> BlobRow {
    // One in three is full, the others deltas: about what a database leaves after some weeks.
    let form = match number % 3 {
        0 => Form::Full,
        _ => Form::Delta {
            base: id(number - 1),
            generation: 1,
        },
    };
    BlobRow {
        id: id(number),
        kind: BlobKind::Chunk,
        form,
        codec: match form {
            Form::Full => Codec::Zstd,
            _ => Codec::ZstdUnits,
        },
        key: 0,
        offset: (number % ROWS_PER_PACK) as u32 * 100_000,
        stored: 90_000,
        plain: 262_144,
    }
}

fn pack(first: u64) -> PackRows {
    PackRows {
        pack: PackId(*blake3::hash(&(!first).to_le_bytes()).as_bytes()),
        class: PackClass::Full,
        length: 16 << 20,
        author: WriterId([1; 16]),
        rows: (first..first + ROWS_PER_PACK).map(row).collect(),
    }
}

/// A line of `/proc/self/status`, in MiB.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    value.unwrap_or(0) / 1024
}

fn report(what: &str, count: u64, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{what:<22} {count:>11} in {seconds:>8.2} s, {:>8.2} us each, VmRSS {} MiB, VmHWM {} MiB",
        seconds * 1e6 / count as f64,
        memory("VmRSS"),
        memory("VmHWM"),
    );
}

fn directory_bytes(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.metadata().ok())
        .map(|metadata| metadata.len())
        .sum()
}

fn measure(index: &Index, rows: u64) -> Result<(), Box<dyn Error>> {
    // A multiplicative walk visits ids in an order that has nothing to do with the loading.
    let scattered = |step: u64| step.wrapping_mul(0x9e37_79b9_7f4a_7c15) % rows;
    let start = Instant::now();
    for step in 0..LOOKUPS {
        assert!(index.contains(&id(scattered(step)))?);
    }
    report("contains, present", LOOKUPS, start);
    let start = Instant::now();
    for step in 0..LOOKUPS {
        assert!(!index.contains(&id(rows + scattered(step)))?);
    }
    report("contains, absent", LOOKUPS, start);
    let start = Instant::now();
    for step in 0..LOOKUPS {
        assert_eq!(index.lookup(&id(scattered(step + LOOKUPS)))?.len(), 1);
    }
    report("lookup", LOOKUPS, start);
    let start = Instant::now();
    for step in 0..LOOKUPS / 10 {
        let depth = index.depth(&id(scattered(step)), &|_| true)?;
        assert!(depth.is_some_and(|depth| depth < 3));
    }
    report("depth", LOOKUPS / 10, start);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).filter(|text| text != "--bench");
    let rows: u64 = arguments
        .next()
        .map_or(Ok(1_000_000), |text| text.parse())?;
    let memory_bytes = arguments
        .next()
        .map_or(Ok(64), |text| text.parse::<usize>())?
        << 20;
    let scratch = tempfile::tempdir()?;
    let directory = arguments
        .next()
        .map_or(scratch.path().into(), PathBuf::from);
    let options = IndexOptions {
        directory: Some(directory.clone()),
        memory_bytes,
        ..IndexOptions::default()
    };

    let packs_per_segment = limits::SEGMENT_ROWS_MAX as u64 / ROWS_PER_PACK;
    let rows_per_segment = packs_per_segment * ROWS_PER_PACK;
    let segments = rows.div_ceil(rows_per_segment);
    let rows = segments * rows_per_segment;
    let name = |number: u64| SegmentId(*blake3::hash(&number.to_be_bytes()).as_bytes());
    let listed: Vec<_> = (0..segments).map(name).collect();

    let index = Index::open(&options, &Print);
    let start = Instant::now();
    let mut loading = 0.0;
    for number in 0..segments {
        let first = number * rows_per_segment;
        let packs: Vec<_> = (0..packs_per_segment)
            .map(|position| pack(first + position * ROWS_PER_PACK))
            .collect();
        let start = Instant::now();
        index.load(name(number), &packs)?;
        loading += start.elapsed().as_secs_f64();
    }
    index.set_visible(&listed);
    if let Some(warning) = index.take_warning() {
        Print.warn(&warning);
    }
    report("made and loaded", rows, start);
    println!("of this loading {loading:.2} s");
    measure(&index, rows)?;
    let start = Instant::now();
    drop(index);
    report("close", 1, start);
    let start = Instant::now();
    let index = Index::open(&options, &Print);
    let missing = index.missing(&listed).len();
    if missing > 0 {
        println!("the disk kept {missing} segments less than were loaded");
        return Ok(());
    }
    index.set_visible(&listed);
    report("open", 1, start);
    measure(&index, rows)?;
    let mut seen = 0;
    let start = Instant::now();
    index.for_each_entry(&mut |_| {
        seen += 1;
        ControlFlow::Continue(())
    })?;
    assert_eq!(seen, rows);
    report("walk, sorted", rows, start);
    println!(
        "on disk: {} MiB",
        directory_bytes(&directory.join("rows")) >> 20
    );
    Ok(())
}

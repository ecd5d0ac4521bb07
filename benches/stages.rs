//! What each stage of a snapshot and of a restore does on one core, beside what it is made of:
//! `cargo bench --bench stages -- [MIB]`.
//!
//! The data are rows as a database keeps them, and the same with one row in a hundred changed. A
//! stage is the library's own code; its limit is the primitive alone, or a copy of the bytes. The
//! best of three passes counts: other work on the machine only ever slows one down.

use icecore::chunker::{ChunkSizes, Chunker};
use icecore::codec::{Compressor, Effort, apply, decode, encode_prefix, encode_units};
use icecore::crypto::{IdKey, NONCE_LENGTH, Role, SecretKey, Suite};
use icecore::delta::Sketcher;
use icecore::entry::Layout;
use icecore::format::blob::Codec;
use icecore::limits;
use icecore::store::{LocalStore, ObjectKey, Store};
use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

type Done = Result<(), Box<dyn Error>>;

const PASSES: usize = 3;
const CHUNK: usize = limits::CHUNK_BYTES_AVERAGE;

/// MB/s of the best of several passes over `bytes` bytes.
fn rate(bytes: usize, pass: &mut dyn FnMut() -> Done) -> Result<f64, Box<dyn Error>> {
    let mut best = f64::INFINITY;
    for _ in 0..PASSES {
        let start = Instant::now();
        pass()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(bytes as f64 / best / 1e6)
}

/// Measures a stage and its limit, both over `bytes` bytes, and prints a line.
fn stage(
    name: &str,
    limit_name: &str,
    bytes: usize,
    pass: &mut dyn FnMut() -> Done,
    limit: &mut dyn FnMut() -> Done,
) -> Done {
    let (own, limit) = (rate(bytes, pass)?, rate(bytes, limit)?);
    let share = own / limit * 100.0;
    println!("{name:28} {own:8.0}   {limit_name:30} {limit:8.0} {share:6.0} %");
    Ok(())
}

/// Rows of an id, a time, two numbers and 16 random bytes; `version` changes one in a hundred.
fn rows(bytes: usize, version: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes + 128);
    let mut number = 0u64;
    while out.len() < bytes {
        let changed = if number % 100 == 7 { version } else { 0 };
        let random = blake3::hash(&(number ^ changed << 48).to_le_bytes());
        out.extend_from_slice(&[0x51, 0x07, 0x21, 0x1b]);
        out.extend_from_slice(&number.to_le_bytes()[..5]);
        out.extend_from_slice(&(1_700_000_000_000 + number * 37).to_be_bytes()[2..]);
        out.extend_from_slice(b"EURUSD order ");
        out.extend_from_slice(&random.as_bytes()[..16]);
        out.extend_from_slice(&[0; 20]);
        number += 1;
    }
    out.truncate(bytes);
    out
}

fn main() -> Done {
    let megabytes = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let bytes = megabytes.unwrap_or(64usize).max(1) << 20;
    let (old, new) = (rows(bytes, 0), rows(bytes, 1));
    println!(
        "{:28} {:>8}   {:30} {:>8}",
        "stage", "MB/s", "limit", "MB/s"
    );
    cutting(&new)?;
    compressing(&new)?;
    deltas(&old, &new)?;
    sealing(&new)?;
    let directory = std::env::temp_dir().join(format!("icecore-stages-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let done = storing(&new, &directory);
    std::fs::remove_dir_all(&directory)?;
    done
}

fn copy(bytes: &[u8], buffer: &mut [u8]) -> Done {
    for chunk in bytes.chunks(CHUNK) {
        buffer[..chunk.len()].copy_from_slice(chunk);
        black_box(&*buffer);
    }
    Ok(())
}

fn cutting(bytes: &[u8]) -> Done {
    let ids = IdKey::new(SecretKey::from_bytes([7; 32]));
    let sizes = ChunkSizes {
        min: limits::CHUNK_BYTES_MIN,
        average: limits::CHUNK_BYTES_AVERAGE,
        max: limits::CHUNK_BYTES_MAX,
        page: limits::CHUNK_BYTES_AVERAGE,
    };
    let chunker = Chunker::new(sizes, ids.chunker_seed());
    let sketcher = Sketcher::new(&ids.sketch_seed());
    let mut buffer = vec![0; CHUNK];
    let mut cut = || {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = &rest[chunker.cut(Layout::Stream, rest)..];
        }
        Ok(())
    };
    let mut copying = || copy(bytes, &mut buffer);
    stage("cut (FastCDC)", "copy", bytes.len(), &mut cut, &mut copying)?;
    let mut sketch = || {
        bytes.chunks(CHUNK).for_each(|chunk| {
            black_box(sketcher.sketch(chunk));
        });
        Ok(())
    };
    stage("sketch", "copy", bytes.len(), &mut sketch, &mut copying)?;
    let mut name = || {
        bytes.chunks(CHUNK).for_each(|chunk| {
            black_box(ids.blob_id(Role::Chunk, chunk));
        });
        Ok(())
    };
    let mut hash = || {
        black_box(blake3::keyed_hash(&[7; 32], bytes));
        Ok(())
    };
    stage(
        "id of a chunk",
        "BLAKE3, all at once",
        bytes.len(),
        &mut name,
        &mut hash,
    )
}

fn compressing(bytes: &[u8]) -> Done {
    let mut compressor = Compressor::new(Effort::Auto);
    let level = compressor.level().unwrap_or(1);
    let mut frame = Vec::new();
    let mut plain = zstd::bulk::Compressor::new(level)?;
    let mut own = || {
        for chunk in bytes.chunks(CHUNK) {
            black_box(compressor.compress(chunk, &mut frame));
        }
        Ok(())
    };
    let mut frames = Vec::new();
    let mut limit = || {
        frames.clear();
        for chunk in bytes.chunks(CHUNK) {
            frames.push((plain.compress(chunk)?, chunk.len()));
        }
        Ok(())
    };
    let name = format!("zstd {level}");
    stage("compress (auto)", &name, bytes.len(), &mut own, &mut limit)?;
    let mut own = || {
        for (frame, length) in &frames {
            black_box(decode(Codec::Zstd, frame, *length, None)?);
        }
        Ok(())
    };
    let mut decompressor = zstd::bulk::Decompressor::new()?;
    let mut limit = || {
        for (frame, length) in &frames {
            black_box(decompressor.decompress(frame, *length)?);
        }
        Ok(())
    };
    stage("decode", "zstd", bytes.len(), &mut own, &mut limit)
}

fn deltas(old: &[u8], new: &[u8]) -> Done {
    let pairs: Vec<_> = new.chunks(CHUNK).zip(old.chunks(CHUNK)).collect();
    let mut buffer = vec![0; CHUNK];
    let mut copying = || copy(new, &mut buffer);
    let mut encoded = Vec::new();
    let mut units = || {
        encoded.clear();
        for (chunk, base) in &pairs {
            encoded.push(encode_units(chunk, base, 1).unwrap_or_default());
        }
        Ok(())
    };
    stage(
        "delta of pages, encode",
        "copy",
        new.len(),
        &mut units,
        &mut copying,
    )?;
    let mut back = || {
        for ((chunk, base), delta) in pairs.iter().zip(&encoded) {
            black_box(apply(Codec::ZstdUnits, delta, chunk.len(), base.to_vec())?);
        }
        Ok(())
    };
    stage(
        "delta of pages, apply",
        "copy",
        new.len(),
        &mut back,
        &mut copying,
    )?;
    let mut prefixed = Vec::new();
    let mut prefix = || {
        prefixed.clear();
        for (chunk, base) in &pairs {
            prefixed.push(encode_prefix(chunk, base, 1).unwrap_or_default());
        }
        Ok(())
    };
    stage(
        "delta of a stream, encode",
        "copy",
        new.len(),
        &mut prefix,
        &mut copying,
    )?;
    let mut back = || {
        for ((chunk, base), delta) in pairs.iter().zip(&prefixed) {
            black_box(apply(Codec::ZstdPrefix, delta, chunk.len(), base.to_vec())?);
        }
        Ok(())
    };
    stage(
        "delta of a stream, apply",
        "copy",
        new.len(),
        &mut back,
        &mut copying,
    )
}

fn sealing(bytes: &[u8]) -> Done {
    let key = SecretKey::from_bytes([9; 32]);
    let nonce = [3; NONCE_LENGTH];
    for suite in [Suite::XChaCha20Poly1305, Suite::Xaes256Gcm] {
        let mut data = bytes.to_vec();
        let mut tags = Vec::new();
        let mut buffer = vec![0; CHUNK];
        let mut copying = || copy(bytes, &mut buffer);
        let mut seal = || {
            tags.clear();
            data.copy_from_slice(bytes);
            for chunk in data.chunks_mut(CHUNK) {
                tags.push(suite.seal(&key, &nonce, b"stages", chunk));
            }
            Ok(())
        };
        let name = format!("seal, {}", suite.name());
        stage(&name, "copy", bytes.len(), &mut seal, &mut copying)?;
        let sealed = data.clone();
        let mut open = || {
            data.copy_from_slice(&sealed);
            for (chunk, tag) in data.chunks_mut(CHUNK).zip(&tags) {
                suite.open(&key, &nonce, b"stages", chunk, tag)?;
            }
            Ok(())
        };
        let name = format!("open, {}", suite.name());
        stage(&name, "copy", bytes.len(), &mut open, &mut copying)?;
    }
    Ok(())
}

fn storing(bytes: &[u8], directory: &Path) -> Done {
    let store = LocalStore::create(&directory.join("store"))?;
    let packs: Vec<&[u8]> = bytes.chunks(limits::PACK_BYTES_TARGET).collect();
    let keys = (0..packs.len()).map(|number| ObjectKey::new(format!("packs/data/{number}")));
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    let mut put = || {
        for (key, pack) in keys.iter().zip(&packs) {
            store.put(key, pack)?;
        }
        Ok(store.barrier()?)
    };
    let mut write = || {
        for (number, pack) in packs.iter().enumerate() {
            let mut file = File::create(directory.join(number.to_string()))?;
            file.write_all(pack)?;
            file.sync_data()?;
        }
        Ok(())
    };
    stage(
        "store packs, durable",
        "write and sync",
        bytes.len(),
        &mut put,
        &mut write,
    )?;
    let mut buffer = vec![0; CHUNK];
    let mut fetch = || {
        for (key, pack) in keys.iter().zip(&packs) {
            for start in (0..pack.len()).step_by(CHUNK) {
                let length = CHUNK.min(pack.len() - start);
                store.get_range(key, start as u64, &mut buffer[..length])?;
            }
        }
        Ok(())
    };
    let whole = File::create_new(directory.join("whole"))?;
    whole.write_all_at(bytes, 0)?;
    let whole = File::open(directory.join("whole"))?;
    let mut other = vec![0; CHUNK];
    let mut read = || {
        for start in (0..bytes.len()).step_by(CHUNK) {
            let length = CHUNK.min(bytes.len() - start);
            whole.read_exact_at(&mut other[..length], start as u64)?;
        }
        Ok(())
    };
    stage(
        "fetch ranges",
        "read a file",
        bytes.len(),
        &mut fetch,
        &mut read,
    )
}

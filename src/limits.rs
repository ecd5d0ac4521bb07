//! Every bound of the format, with its unit and its reason. Spec: `format-spec/14-limits.md`.
//!
//! A reader refuses what exceeds them before it allocates; a writer never produces it.

/// Largest plaintext of a chunk or group, bytes. zstd at level 3 indexes only the last 1 MiB of a
/// prefix, so a larger chunk would waste the delta's base.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;

/// Smallest content-defined chunk, bytes.
pub const CHUNK_BYTES_MIN: usize = 64 << 10;

/// Average content-defined chunk, bytes; also the fixed chunk of page files.
pub const CHUNK_BYTES_AVERAGE: usize = 256 << 10;

/// The unit of a page file's delta bitmap, bytes.
pub const DELTA_UNIT_BYTES: usize = 4 << 10;

/// Largest plaintext of a metadata blob, bytes.
pub const NODE_BYTES_MAX: usize = 4 << 20;

/// Largest window a zstd frame may ask for, as a power of two: 2 MiB.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 21;

/// Largest pack, bytes: what a reader buffers at most to check a whole one.
pub const PACK_BYTES_MAX: usize = 34 << 20;

/// Bytes of sealed blobs after which a writer finishes a pack.
pub const PACK_BYTES_TARGET: usize = 16 << 20;

/// Largest record (snapshot, segment, proof, ...), bytes.
pub const RECORD_BYTES_MAX: usize = 16 << 20;

/// Most rows of one index segment: keeps a segment well below [`RECORD_BYTES_MAX`].
pub const SEGMENT_ROWS_MAX: usize = 100_000;

/// Most rows of one pack's table of contents.
pub const PACK_ROWS_MAX: usize = 100_000;

/// Most key entries of one envelope. A merged pack carries one per source session.
pub const ENVELOPE_KEYS_MAX: usize = 512;

/// Most recipients of one key entry.
pub const KEY_RECIPIENTS_MAX: usize = 4;

/// Deepest chain of deltas that is written or accepted.
pub const DELTA_DEPTH_MAX: u32 = 32;

/// Highest generation of a delta; past it a chunk is stored in full.
pub const DELTA_GENERATION_MAX: u16 = 512;

/// Highest tree of content-list or directory nodes.
pub const NODE_HEIGHT_MAX: usize = 8;

/// Deepest directory.
pub const DIRECTORY_DEPTH_MAX: usize = 4096;

/// Most children of one node.
pub const NODE_CHILDREN_MAX: usize = 16_384;

/// Longest name of one directory entry, bytes: what any file system here allows, twice.
pub const NAME_BYTES_MAX: usize = 512;

/// Longest target of a symbolic link, bytes.
pub const SYMLINK_BYTES_MAX: usize = 4096;

/// Largest value of one extended attribute, bytes: Linux's own bound.
pub const XATTR_BYTES_MAX: usize = 64 << 10;

/// Largest file or stream, bytes.
pub const FILE_BYTES_MAX: u64 = 1 << 60;

/// Largest slot, keyring or config object, bytes.
pub const KEY_OBJECT_BYTES_MAX: usize = 1 << 20;

/// Highest Argon2id memory a reader will spend, KiB: 4 GiB. A hostile slot cannot ask for more.
pub const ARGON2_KIB_MAX: u32 = 4 << 20;

/// Most Argon2id passes a reader will make.
pub const ARGON2_PASSES_MAX: u32 = 64;

/// Most Argon2id lanes a reader will run.
pub const ARGON2_LANES_MAX: u32 = 64;

const _: () = {
    assert!(CHUNK_BYTES_MIN < CHUNK_BYTES_AVERAGE && CHUNK_BYTES_AVERAGE < CHUNK_BYTES_MAX);
    assert!(CHUNK_BYTES_MAX <= 1 << ZSTD_WINDOW_LOG_MAX);
    assert!(PACK_BYTES_TARGET + 2 * NODE_BYTES_MAX < PACK_BYTES_MAX);
    assert!(CHUNK_BYTES_AVERAGE.is_multiple_of(DELTA_UNIT_BYTES));
};

//! Compression effort, and a compressor that keeps its tables between blobs.

use crate::limits;
use zstd::zstd_safe::{self, CCtx, CParameter, ResetDirective};

/// How hard to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Effort {
    /// By how much there is to do: every thread gives the first 4 MiB of what is new zstd 9, the
    /// next 12 MiB zstd 3, and all that follows zstd 1, which any machine takes in its stride. A
    /// small database is stored small, and a large one in no more time.
    #[default]
    Auto,
    /// zstd -1: for fast disks and slow processors.
    Fast,
    /// zstd 15.
    Max,
    /// A zstd level, -7 to 19.
    Level(i32),
    /// Store as it is: for sources whose sizes must tell nothing.
    Off,
}

/// An effort that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no compression effort: auto, fast, max, off or a level from -7 to 19")]
pub struct ParseEffortError(String);

impl std::str::FromStr for Effort {
    type Err = ParseEffortError;

    fn from_str(text: &str) -> Result<Self, ParseEffortError> {
        match text {
            "auto" => Ok(Self::Auto),
            "fast" => Ok(Self::Fast),
            "max" => Ok(Self::Max),
            "off" => Ok(Self::Off),
            _ => match text.parse() {
                Ok(level @ -7..=19) => Ok(Self::Level(level)),
                _ => Err(ParseEffortError(text.chars().take(40).collect())),
            },
        }
    }
}

impl std::fmt::Display for Effort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fast => f.write_str("fast"),
            Self::Max => f.write_str("max"),
            Self::Off => f.write_str("off"),
            Self::Level(level) => level.fmt(f),
        }
    }
}

/// Bytes of plaintext up to which a thread compresses at a level, with `auto`: each step takes
/// about a tenth of a second.
const AUTO: [(u64, i32); 2] = [(4 << 20, 9), (16 << 20, 3)];

/// The level of `auto` for all that follows, and for deltas.
const AUTO_LEVEL: i32 = 1;

impl Effort {
    fn level(self) -> Option<i32> {
        match self {
            Self::Auto => Some(AUTO_LEVEL),
            Self::Fast => Some(-1),
            Self::Max => Some(15),
            Self::Level(level) => Some(level),
            Self::Off => None,
        }
    }
}

/// Bytes of a sample, and from which size of input sampling pays.
const SAMPLE_BYTES: usize = 4 << 10;
const SAMPLING_FROM: usize = 32 << 10;

/// Compresses blobs one after the other.
#[derive(Debug)]
pub struct Compressor {
    effort: Effort,
    /// Plaintext of the frames so far, bytes.
    done: u64,
    context: Option<Context>,
}

struct Context(CCtx<'static>);

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Context(..)")
    }
}

impl Compressor {
    /// Prepares a compressor; memory is taken with the first blob.
    pub fn new(effort: Effort) -> Self {
        Self {
            effort,
            done: 0,
            context: None,
        }
    }

    /// The zstd level of deltas; `None` when nothing is to be compressed.
    pub fn level(&self) -> Option<i32> {
        self.effort.level()
    }

    /// The zstd level of the next frame.
    fn frame_level(&self) -> Option<i32> {
        let step = AUTO.iter().find(|(bytes, _)| self.done < *bytes);
        match (self.effort, step) {
            (Effort::Auto, Some((_, level))) => Some(*level),
            _ => self.effort.level(),
        }
    }

    /// Replaces `out` by one frame of `plain` and returns whether that is worth it: smaller by at
    /// least 1/64, so that no reader pays for nothing. Incompressible data is noticed by sampling.
    pub fn compress(&mut self, plain: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        let Some(level) = self.frame_level() else {
            return false;
        };
        if plain.len() >= SAMPLING_FROM && !self.sample_shrinks(level, plain, out) {
            out.clear();
            return false;
        }
        self.done += plain.len() as u64;
        self.frame(level, plain, out) && out.len() < plain.len() - plain.len() / 64
    }

    /// Three samples, a 1/4, 1/2 and 3/4 through: if none of them shrinks, nothing will.
    fn sample_shrinks(&mut self, level: i32, plain: &[u8], out: &mut Vec<u8>) -> bool {
        (1..4).any(|quarter| {
            let start = plain.len() / 4 * quarter;
            let sample = &plain[start..(start + SAMPLE_BYTES).min(plain.len())];
            self.frame(level.min(1), sample, out) && out.len() < sample.len() - sample.len() / 32
        })
    }

    fn frame(&mut self, level: i32, plain: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(context) = self.context(level) else {
            return false;
        };
        out.clear();
        out.reserve(zstd_safe::compress_bound(plain.len()));
        let done = context
            .set_parameter(CParameter::CompressionLevel(level))
            .and_then(|_| context.compress2(out, plain));
        done.is_ok()
    }

    /// Without memory for a context blobs are stored as they are: larger, never lost.
    fn context(&mut self, level: i32) -> Option<&mut CCtx<'static>> {
        if self.context.is_none() {
            let mut context = CCtx::try_create()?;
            prepare(&mut context, level)?;
            self.context = Some(Context(context));
        }
        let context = &mut self.context.as_mut()?.0;
        context.reset(ResetDirective::SessionOnly).ok()?;
        Some(context)
    }
}

/// Level, content size, no checksum (the seal and the id cover the content), bounded window.
fn prepare(context: &mut CCtx<'_>, level: i32) -> Option<()> {
    for parameter in [
        CParameter::CompressionLevel(level),
        CParameter::WindowLog(limits::ZSTD_WINDOW_LOG_MAX),
        CParameter::ContentSizeFlag(true),
        CParameter::ChecksumFlag(false),
        CParameter::DictIdFlag(false),
    ] {
        context.set_parameter(parameter).ok()?;
    }
    Some(())
}

/// Encodes `plain` as one frame with `base` as its prefix. `None` when no context could be had.
pub fn encode_prefix(plain: &[u8], base: &[u8], level: i32) -> Option<Vec<u8>> {
    frame_after(base, plain, level)
}

/// One frame of `plain` after `prefix`. The context is bound to the prefix, so that none is kept; a
/// new one costs some ten microseconds.
pub(in crate::codec) fn frame_after(prefix: &[u8], plain: &[u8], level: i32) -> Option<Vec<u8>> {
    let mut context = CCtx::try_create()?;
    prepare(&mut context, level)?;
    if level <= FAST_LEVEL_MAX {
        let table = CParameter::HashLog(table_log(prefix.len() + plain.len()));
        context.set_parameter(table).ok()?;
    }
    context.ref_prefix(prefix).ok()?;
    let mut frame = Vec::with_capacity(zstd_safe::compress_bound(plain.len()));
    context.compress2(&mut frame, plain).ok()?;
    Some(frame)
}

/// Highest level whose table zstd makes too small for a prefix.
const FAST_LEVEL_MAX: i32 = 2;

/// Entries, as a power of two, of a table that holds every third position of `length` bytes. With
/// zstd's own choice the fast levels see only the last 128 KiB of a prefix, and forget most of that.
fn table_log(length: usize) -> u32 {
    (length / 4)
        .max(1)
        .next_power_of_two()
        .ilog2()
        .clamp(12, 19)
}

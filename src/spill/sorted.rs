//! Sorted records: read in order, or from a key on.

use crate::spill::{Spill, SpillError};

/// Records read at a time. Of each such block the first key is kept in memory: 8 bytes, so that
/// 100 million records need 3 MB.
const BLOCK: usize = 256;

/// Records of `N` bytes in order, each once.
#[derive(Debug)]
pub struct Sorted<const N: usize>(Records<N>);

#[derive(Debug)]
enum Records<const N: usize> {
    Memory(Vec<[u8; N]>),
    Spilled {
        spill: Spill,
        length: usize,
        /// The first eight bytes of each block.
        fences: Vec<[u8; 8]>,
    },
}

fn fence(key: &[u8]) -> [u8; 8] {
    let mut fence = [0; 8];
    fence.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    fence
}

impl<const N: usize> Sorted<N> {
    pub(super) fn in_memory(records: Vec<[u8; N]>) -> Self {
        Self(Records::Memory(records))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Records::Memory(records) => records.len(),
            Records::Spilled { length, .. } => *length,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads them, from the first on.
    pub fn cursor(&self) -> Cursor<'_, N> {
        Cursor {
            sorted: self,
            position: 0,
            window: Vec::new(),
            start: 0,
        }
    }
}

/// Writes records that come in order.
#[derive(Debug)]
pub(super) struct SortedWriter<const N: usize> {
    spill: Spill,
    buffer: Vec<[u8; N]>,
    length: usize,
    fences: Vec<[u8; 8]>,
}

impl<const N: usize> SortedWriter<N> {
    pub(super) fn new(spill: Spill) -> Self {
        Self {
            spill,
            buffer: Vec::with_capacity(BLOCK),
            length: 0,
            fences: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, record: [u8; N]) -> Result<(), SpillError> {
        if self.buffer.len() == BLOCK {
            self.flush()?;
        }
        if self.buffer.is_empty() {
            self.fences.push(fence(&record));
        }
        self.buffer.push(record);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SpillError> {
        let bytes = self.buffer.as_flattened();
        self.spill.write(bytes, self.length as u64 * N as u64)?;
        self.length += self.buffer.len();
        self.buffer.clear();
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Sorted<N>, SpillError> {
        self.flush()?;
        Ok(Sorted(Records::Spilled {
            spill: self.spill,
            length: self.length,
            fences: self.fences,
        }))
    }
}

/// Reads [`Sorted`] records, a block at a time.
#[derive(Debug)]
pub struct Cursor<'s, const N: usize> {
    sorted: &'s Sorted<N>,
    position: usize,
    window: Vec<[u8; N]>,
    start: usize,
}

impl<const N: usize> Cursor<'_, N> {
    /// The number of the record that it stands at.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Goes to a record by its number.
    pub fn go_to(&mut self, position: usize) {
        self.position = position;
    }

    /// The record it stands at; none at the end.
    pub fn peek(&mut self) -> Result<Option<[u8; N]>, SpillError> {
        let Records::Spilled { spill, length, .. } = &self.sorted.0 else {
            return Ok(self.in_memory().get(self.position).copied());
        };
        if self.position >= *length {
            return Ok(None);
        }
        if !self.has(self.position) {
            let start = self.position - self.position % BLOCK;
            let count = (length - start).min(BLOCK);
            self.window.resize(count, [0; N]);
            // Until the read is done nothing in the window may be believed.
            self.start = usize::MAX;
            spill.read(self.window.as_flattened_mut(), start as u64 * N as u64)?;
            self.start = start;
        }
        Ok(self.window.get(self.position - self.start).copied())
    }

    /// The record it stands at, going one further.
    pub fn take(&mut self) -> Result<Option<[u8; N]>, SpillError> {
        let record = self.peek()?;
        self.position += usize::from(record.is_some());
        Ok(record)
    }

    /// Goes to the first record that is not below `key`, which may be shorter than a record.
    pub fn seek(&mut self, key: &[u8]) -> Result<(), SpillError> {
        let below = |record: &[u8; N]| record[..key.len().min(N)] < *key;
        let Records::Spilled { fences, .. } = &self.sorted.0 else {
            self.position = self.in_memory().partition_point(below);
            return Ok(());
        };
        // Records that begin alike may have begun a block earlier.
        let block = fences.partition_point(|other| *other < fence(key));
        self.position = block.saturating_sub(1) * BLOCK;
        while self.peek()?.is_some() {
            let offset = self.window.partition_point(below);
            self.position = self.start + offset;
            if offset < self.window.len() {
                break;
            }
        }
        Ok(())
    }

    fn has(&self, position: usize) -> bool {
        position >= self.start && position - self.start < self.window.len()
    }

    fn in_memory(&self) -> &[[u8; N]] {
        match &self.sorted.0 {
            Records::Memory(records) => records,
            Records::Spilled { .. } => &[],
        }
    }
}

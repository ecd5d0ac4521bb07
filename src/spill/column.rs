//! One byte for each of many numbered things, written in order, read mostly in order.

use crate::spill::{Scratch, Spill, SpillError};

/// Bytes read or written at a time.
const WINDOW_BYTES: usize = 64 << 10;

/// Writes a [`Column`].
#[derive(Debug)]
pub struct ColumnWriter {
    scratch: Scratch,
    buffer: Vec<u8>,
    spilled: Option<(Spill, u64)>,
}

impl ColumnWriter {
    /// Starts an empty one.
    pub fn new(scratch: &Scratch) -> Self {
        Self {
            scratch: scratch.clone(),
            buffer: Vec::new(),
            spilled: None,
        }
    }

    /// Appends a value.
    pub fn push(&mut self, value: u8) -> Result<(), SpillError> {
        let limit = match &self.spilled {
            Some(_) => WINDOW_BYTES,
            None => self.scratch.items(1),
        };
        if self.buffer.len() >= limit {
            self.flush()?;
        }
        self.buffer.push(value);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SpillError> {
        let (spill, length) = match &mut self.spilled {
            Some(spilled) => spilled,
            None => self.spilled.insert((self.scratch.create()?, 0)),
        };
        spill.write(&self.buffer, *length)?;
        *length += self.buffer.len() as u64;
        self.buffer = Vec::new();
        Ok(())
    }

    /// Ends it.
    pub fn finish(mut self) -> Result<Column, SpillError> {
        if self.spilled.is_some() {
            self.flush()?;
        }
        Ok(match self.spilled {
            Some((spill, length)) => Column(Values::Spilled(spill, length)),
            None => Column(Values::Memory(self.buffer)),
        })
    }
}

/// Many bytes by their numbers.
#[derive(Debug)]
pub struct Column(Values);

#[derive(Debug)]
enum Values {
    Memory(Vec<u8>),
    Spilled(Spill, u64),
}

impl Column {
    /// Reads it.
    pub fn cursor(&self) -> ColumnCursor<'_> {
        ColumnCursor {
            column: self,
            window: Vec::new(),
            start: 0,
        }
    }
}

/// Reads a [`Column`], a window at a time.
#[derive(Debug)]
pub struct ColumnCursor<'c> {
    column: &'c Column,
    window: Vec<u8>,
    start: u64,
}

impl ColumnCursor<'_> {
    /// The value of a number; none beyond the end.
    pub fn get(&mut self, number: usize) -> Result<Option<u8>, SpillError> {
        let (spill, length) = match &self.column.0 {
            Values::Memory(values) => return Ok(values.get(number).copied()),
            Values::Spilled(spill, length) => (spill, *length),
        };
        let number = number as u64;
        if number >= length {
            return Ok(None);
        }
        let inside = |cursor: &Self| {
            let place = number.checked_sub(cursor.start)?;
            cursor.window.get(usize::try_from(place).ok()?).copied()
        };
        if let Some(value) = inside(self) {
            return Ok(Some(value));
        }
        let start = number - number % WINDOW_BYTES as u64;
        let size = (length - start).min(WINDOW_BYTES as u64);
        self.window.resize(size as usize, 0);
        // Until the read is done nothing in the window may be believed.
        self.start = u64::MAX;
        spill.read(&mut self.window, start)?;
        self.start = start;
        Ok(inside(self))
    }
}

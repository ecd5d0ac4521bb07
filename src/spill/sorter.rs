//! Sorting records of one length, in memory as long as they fit.

use crate::spill::sorted::{Sorted, SortedWriter};
use crate::spill::{Scratch, Spill, SpillError};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

/// Most records of one run that are read ahead while runs are merged.
const RECORDS_AHEAD_MAX: usize = 4096;

/// Collects records of `N` bytes, and sorts them as bytes; equal ones become one.
#[derive(Debug)]
pub struct Sorter<const N: usize> {
    scratch: Scratch,
    buffer: Vec<[u8; N]>,
    /// All sorted runs, one after the other, as ranges of records.
    runs: Vec<Range<u64>>,
    spill: Option<Spill>,
}

impl<const N: usize> Sorter<N> {
    /// An empty one.
    pub fn new(scratch: &Scratch) -> Self {
        Self {
            scratch: scratch.clone(),
            buffer: Vec::new(),
            runs: Vec::new(),
            spill: None,
        }
    }

    /// Adds a record.
    pub fn push(&mut self, record: [u8; N]) -> Result<(), SpillError> {
        if self.buffer.len() >= self.scratch.items(N) {
            self.spill_run()?;
        }
        self.buffer.push(record);
        Ok(())
    }

    fn sort(&mut self) {
        self.buffer.sort_unstable();
        self.buffer.dedup();
    }

    fn spill_run(&mut self) -> Result<(), SpillError> {
        self.sort();
        let spill = match &self.spill {
            Some(spill) => spill,
            None => self.spill.insert(self.scratch.create()?),
        };
        let start = self.runs.last().map_or(0, |run| run.end);
        spill.write(self.buffer.as_flattened(), start * N as u64)?;
        self.runs.push(start..start + self.buffer.len() as u64);
        self.buffer.clear();
        Ok(())
    }

    /// Sorts everything.
    pub fn finish(mut self) -> Result<Sorted<N>, SpillError> {
        if self.spill.is_none() {
            self.sort();
            self.buffer.shrink_to_fit();
            return Ok(Sorted::in_memory(self.buffer));
        }
        self.spill_run()?;
        self.buffer = Vec::new();
        match self.spill.take() {
            Some(spill) => merge(&self.scratch, &spill, self.runs),
            None => Ok(Sorted::in_memory(Vec::new())),
        }
    }
}

/// A run that is being merged.
struct Run<const N: usize> {
    ahead: Vec<[u8; N]>,
    position: usize,
    rest: Range<u64>,
}

impl<const N: usize> Run<N> {
    fn next(&mut self, spill: &Spill, limit: usize) -> Result<Option<[u8; N]>, SpillError> {
        if self.position == self.ahead.len() {
            let count = (self.rest.end - self.rest.start).min(limit as u64);
            self.ahead.resize(count as usize, [0; N]);
            spill.read(self.ahead.as_flattened_mut(), self.rest.start * N as u64)?;
            self.rest.start += count;
            self.position = 0;
        }
        let record = self.ahead.get(self.position).copied();
        self.position += usize::from(record.is_some());
        Ok(record)
    }
}

fn merge<const N: usize>(
    scratch: &Scratch,
    spill: &Spill,
    runs: Vec<Range<u64>>,
) -> Result<Sorted<N>, SpillError> {
    let share = scratch.items(N) / runs.len().max(1);
    let limit = share.clamp(16, RECORDS_AHEAD_MAX);
    let mut runs: Vec<Run<N>> = runs
        .into_iter()
        .map(|rest| Run {
            ahead: Vec::new(),
            position: 0,
            rest,
        })
        .collect();
    let mut heads = BinaryHeap::with_capacity(runs.len());
    for (number, run) in runs.iter_mut().enumerate() {
        heads.extend(run.next(spill, limit)?.map(|head| Reverse((head, number))));
    }
    let mut writer = SortedWriter::new(scratch.create()?);
    let mut last = None;
    while let Some(Reverse((record, number))) = heads.pop() {
        if last != Some(record) {
            writer.push(record)?;
            last = Some(record);
        }
        if let Some(run) = runs.get_mut(number) {
            heads.extend(run.next(spill, limit)?.map(|head| Reverse((head, number))));
        }
    }
    writer.finish()
}

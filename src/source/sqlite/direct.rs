//! The image read from the database's own file, beside a connection that is in a read transaction.
//!
//! SQLite hands out one page at a time, copied twice; a plain read is several times cheaper, and
//! leaves the connection to the engine's own checks meanwhile. It gives the same bytes, because
//! while the transaction lasts
//!
//! - with a rollback journal its shared lock keeps every writer from the file;
//! - with a write-ahead log its read mark keeps checkpoints from everything but pages that its own
//!   part of the log has, and the log from being begun anew, unless all of that part is in the file
//!   already: then checkpoints must wait altogether (<https://sqlite.org/walformat.html>, "WAL
//!   locks"). Pages that *any* frame of the log names are therefore taken from SQLite, once, before
//!   the first is read from the file. A frame that a commit before the transaction wrote is in the
//!   log by then.

use crate::source::sqlite::pages::{PAGE_QUERY, Pages, lock_page};
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Bytes of pages from the log that are held in memory. With more of them SQLite reads everything.
const LOGGED_BYTES_MAX: usize = 16 << 20;

/// Frames of a log whose page numbers are looked at: 256 MiB of it at 4 KiB.
const FRAMES_MAX: u64 = 1 << 16;

/// Bytes of the log's header, and of a frame's.
const LOG_HEADER_BYTES: u64 = 32;
const FRAME_HEADER_BYTES: u64 = 24;

/// What a log's header begins with, but for the lowest bit, which tells the byte order of sums.
const LOG_MAGIC: u32 = 0x377f_0682;

/// How far the image was read.
#[derive(Debug)]
pub(crate) struct Direct {
    file: Arc<File>,
    page_size: u64,
    image_bytes: u64,
    position: u64,
    /// Pages that the file may not have as the transaction sees them, by their numbers.
    logged: BTreeMap<u64, Vec<u8>>,
}

impl Direct {
    /// The image that `connection` sees in its read transaction, whose size is that of `pages`.
    /// `log` is the write-ahead log of a database that has one. `None` where only SQLite can tell.
    pub(crate) fn of(
        connection: &Connection,
        pages: &Pages,
        file: Arc<File>,
        log: Option<&File>,
    ) -> rusqlite::Result<Option<Self>> {
        let page_size = u64::from(pages.page_size());
        let numbers = match log.map(|log| logged_pages(log, page_size)) {
            None => BTreeSet::new(),
            Some(Ok(Some(numbers))) => numbers,
            Some(_) => return Ok(None),
        };
        let held = numbers.len().saturating_mul(page_size as usize);
        if held > LOGGED_BYTES_MAX || pages.page_count() == 0 {
            return Ok(None);
        }
        let mut direct = Self {
            file,
            page_size,
            image_bytes: pages.image_bytes(),
            position: 0,
            logged: BTreeMap::new(),
        };
        let last = u64::from(pages.page_count());
        for number in numbers.into_iter().filter(|number| *number <= last) {
            let page = query_page(connection, number)?;
            direct.logged.insert(number, page);
        }
        Ok(direct.agrees(connection)?.then_some(direct))
    }

    /// Whether the first page is what SQLite says it is: another file would differ in it.
    fn agrees(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let mut first = vec![0; self.page_size as usize];
        let read = self.fill(0, &mut first);
        Ok(read.is_ok() && first == query_page(connection, 1)?)
    }

    /// Fills the front of `buffer` with what follows. Returns the bytes filled: 0 at the end of the
    /// image only, unless `buffer` is empty.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.image_bytes - self.position;
        let length = usize::try_from(left).unwrap_or(usize::MAX);
        let length = length.min(buffer.len());
        self.fill(self.position, &mut buffer[..length])?;
        self.position += length as u64;
        Ok(length)
    }

    /// Bytes of the image from `position` on, none of them past its end.
    fn fill(&self, position: u64, buffer: &mut [u8]) -> io::Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        let mut filled = 0;
        while filled < buffer.len() {
            match self
                .file
                .read_at(&mut buffer[filled..], position + filled as u64)
            {
                Ok(0) => break,
                Ok(length) => filled += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // As SQLite has it: what a file lacks is zeros, and its check tells.
        buffer[filled..].fill(0);
        let last = position + buffer.len() as u64 - 1;
        let numbers = position / self.page_size + 1..=last / self.page_size + 1;
        for (number, page) in self.logged.range(numbers.clone()) {
            self.overlay(*number, page, position, buffer);
        }
        let lock_page = lock_page(self.page_size as u32);
        if numbers.contains(&lock_page) {
            let zeros = vec![0; self.page_size as usize];
            self.overlay(lock_page, &zeros, position, buffer);
        }
        Ok(())
    }

    /// Copies the part of a page that lies in `buffer`, which begins at `position` of the image.
    fn overlay(&self, number: u64, page: &[u8], position: u64, buffer: &mut [u8]) {
        let start = (number - 1) * self.page_size;
        let end = (start + self.page_size).min(position + buffer.len() as u64);
        let from = start.max(position);
        let target = (from - position) as usize..(end - position) as usize;
        let source = (from - start) as usize..(end - start) as usize;
        buffer[target].copy_from_slice(&page[source]);
    }
}

fn query_page(connection: &Connection, number: u64) -> rusqlite::Result<Vec<u8>> {
    let mut statement = connection.prepare_cached(PAGE_QUERY)?;
    statement.query_row([number.cast_signed()], |row| row.get(0))
}

/// Numbers of the pages that frames of `log` hold, of commits or not, valid or not. `None` for one
/// that is too long to look through or is no log of such pages.
fn logged_pages(log: &File, page_size: u64) -> io::Result<Option<BTreeSet<u64>>> {
    let length = log.metadata()?.len();
    if length <= LOG_HEADER_BYTES {
        return Ok(Some(BTreeSet::new()));
    }
    let word = |offset| -> io::Result<u32> {
        let mut bytes = [0; 4];
        log.read_exact_at(&mut bytes, offset)?;
        Ok(u32::from_be_bytes(bytes))
    };
    let frame_bytes = FRAME_HEADER_BYTES + page_size;
    let frames = (length - LOG_HEADER_BYTES) / frame_bytes;
    if word(0)? & !1 != LOG_MAGIC || u64::from(word(8)?) != page_size || frames > FRAMES_MAX {
        return Ok(None);
    }
    let mut numbers = BTreeSet::new();
    for frame in 0..frames {
        let number = word(LOG_HEADER_BYTES + frame * frame_bytes)?;
        numbers.insert(u64::from(number));
    }
    numbers.remove(&0);
    Ok(Some(numbers))
}

//! The database image, page by page, out of a read transaction.

use rusqlite::{Connection, Error, ffi};

/// Where SQLite puts its file locks: the page that covers this offset is never used, bytes.
const LOCK_OFFSET: u64 = 1 << 30;

/// One page by its number. A plain scan would be a fifth faster but needs a statement that lives
/// as long as the capture; this one is taken from the connection's cache for each read.
pub(crate) const PAGE_QUERY: &str = "SELECT data FROM main.sqlite_dbpage WHERE pgno = ?1";

/// Number of the page that holds SQLite's lock bytes in a database of this page size.
pub(crate) fn lock_page(page_size: u32) -> u64 {
    LOCK_OFFSET / u64::from(page_size.max(1)) + 1
}

/// How far the image was read. Bounded by one page of memory.
#[derive(Debug)]
pub(crate) struct Pages {
    page_size: u32,
    page_count: u32,
    /// Number of the next page; the first is 1.
    next: u64,
    /// A page that did not fit into the reader's buffer, and how much of it was handed out.
    rest: Vec<u8>,
    rest_start: usize,
}

impl Pages {
    /// All pages of the database whose read transaction `connection` is in.
    pub(crate) fn of(connection: &Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            page_size: connection.query_row("PRAGMA main.page_size", [], |row| row.get(0))?,
            page_count: connection.query_row("PRAGMA main.page_count", [], |row| row.get(0))?,
            next: 1,
            rest: Vec::new(),
            rest_start: 0,
        })
    }

    /// Bytes of a page.
    pub(crate) fn page_size(&self) -> u32 {
        self.page_size
    }

    /// Pages in the image.
    pub(crate) fn page_count(&self) -> u32 {
        self.page_count
    }

    /// Bytes of the image.
    pub(crate) fn image_bytes(&self) -> u64 {
        u64::from(self.page_count) * u64::from(self.page_size)
    }

    /// Fills the front of `buffer` with as many pages as fit, or with a piece of one. Returns the
    /// bytes filled: 0 at the end of the image only, unless `buffer` is empty.
    pub(crate) fn read(
        &mut self,
        connection: &Connection,
        buffer: &mut [u8],
    ) -> rusqlite::Result<usize> {
        if self.rest_start < self.rest.len() {
            return Ok(self.hand_out_rest(buffer));
        }
        let page_bytes = self.page_size as usize;
        if buffer.len() < page_bytes {
            if self.next > u64::from(self.page_count) {
                return Ok(0);
            }
            let mut page = std::mem::take(&mut self.rest);
            page.resize(page_bytes, 0);
            self.read_page(connection, &mut page)?;
            self.rest = page;
            self.rest_start = 0;
            return Ok(self.hand_out_rest(buffer));
        }
        let mut filled = 0;
        for page in buffer.chunks_exact_mut(page_bytes) {
            if self.next > u64::from(self.page_count) {
                break;
            }
            self.read_page(connection, page)?;
            filled += page_bytes;
        }
        Ok(filled)
    }

    fn hand_out_rest(&mut self, buffer: &mut [u8]) -> usize {
        let rest = &self.rest[self.rest_start..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.rest_start += length;
        length
    }

    fn read_page(&mut self, connection: &Connection, page: &mut [u8]) -> rusqlite::Result<()> {
        if self.next == lock_page(self.page_size) {
            page.fill(0);
        } else {
            let mut statement = connection.prepare_cached(PAGE_QUERY)?;
            let mut rows = statement.query([self.next.cast_signed()])?;
            let row = rows.next()?.ok_or(Error::QueryReturnedNoRows)?;
            let data = row.get_ref(0)?.as_blob()?;
            if data.len() != page.len() {
                return Err(Error::SqliteFailure(
                    ffi::Error::new(ffi::SQLITE_CORRUPT),
                    Some(format!("page {} has {} bytes", self.next, data.len())),
                ));
            }
            page.copy_from_slice(data);
        }
        self.next += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::source::sqlite::pages::lock_page;

    #[test]
    fn lock_page_is_the_one_that_covers_the_lock_bytes() {
        assert_eq!(lock_page(512), 2_097_153);
        assert_eq!(lock_page(4096), 262_145);
        assert_eq!(lock_page(65_536), 16_385);
        for shift in 9..=16 {
            let size = 1u32 << shift;
            assert_eq!((lock_page(size) - 1) * u64::from(size), 1 << 30, "{size}");
        }
    }
}

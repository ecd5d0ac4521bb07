//! Names of the facts that are recorded about a database.

/// `sqlite`.
pub const ENGINE: &str = "engine";
/// Version of the SQLite library that read the database.
pub const VERSION: &str = "sqlite.version";
/// Bytes of a page.
pub const PAGE_SIZE: &str = "sqlite.page_size";
/// Pages in the image.
pub const PAGE_COUNT: &str = "sqlite.page_count";
/// Pages of the image that hold nothing.
pub const FREELIST_PAGES: &str = "sqlite.freelist_pages";
/// `wal`, `delete`, ... of the captured database.
pub const JOURNAL_MODE: &str = "sqlite.journal_mode";
/// The application's own mark.
pub const APPLICATION_ID: &str = "sqlite.application_id";
/// The application's own schema number.
pub const USER_VERSION: &str = "sqlite.user_version";
/// SQLite's schema counter.
pub const SCHEMA_VERSION: &str = "sqlite.schema_version";
/// `UTF-8`, `UTF-16le` or `UTF-16be`.
pub const ENCODING: &str = "sqlite.encoding";
/// `none`, `full` or `incremental`.
pub const AUTO_VACUUM: &str = "sqlite.auto_vacuum";
/// BLAKE3 of the schema: type, name, table and SQL of each object, sorted, each with its
/// length before it.
pub const SCHEMA_BLAKE3: &str = "sqlite.schema_blake3";
/// How many ordinary tables there are.
pub const TABLE_COUNT: &str = "sqlite.table_count";
/// Bytes of the `-wal` when the capture began.
pub const WAL_BYTES: &str = "sqlite.wal_bytes";
/// Bytes of the `-wal` when it ended: it cannot be reset while it is being read.
pub const WAL_BYTES_END: &str = "sqlite.wal_bytes_end";
/// Whether others committed while the capture ran; the image does not contain it.
pub const WRITTEN_MEANWHILE: &str = "sqlite.written_meanwhile";
/// The image is what `VACUUM` leaves, not the database page for page.
pub const COMPACTED: &str = "sqlite.compacted";
/// `quick_check` or `integrity_check`, where one ran.
pub const CHECK: &str = "check";
/// `ok`, or the first fault, or why the check was not possible.
pub const CHECK_RESULT: &str = "check.result";
/// Rows by table.
pub const TABLES: &str = "tables";
/// Tables that were not counted.
pub const TABLES_UNCOUNTED: &str = "tables.uncounted";
/// Rows of all counted tables.
pub const ROWS: &str = "rows";

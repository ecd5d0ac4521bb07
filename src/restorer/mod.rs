//! Restoring: a tree of blobs becomes files again.
//!
//! Planned by pack: of each batch of files every needed range is fetched once, coalesced over
//! small gaps, in parallel, opened out of order, written in place. Every chunk is verified before
//! it is written; a file of which anything is missing never gets its name.

mod batch;
mod database;
mod error;
mod fetch;
mod run;
mod single;

pub use error::RestoreError;
pub use run::{RestoreOptions, Restored, Selection, Wanted, restore};
pub use single::{ContentWriter, write_content};

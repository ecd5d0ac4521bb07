//! Restoring: a tree of blobs becomes files again.
//!
//! Planned by pack: of each batch of files every needed range is fetched once, coalesced over
//! small gaps, in parallel, opened out of order, written in place. Every chunk is verified before
//! it is written; a file of which anything is missing never gets its name.
//!
//! What is there already, from an interrupted restore or, in place, from before, is hashed piece by
//! piece, and only what differs is fetched. A plain file is then changed where it stands: it keeps
//! its name all the time, and an interruption leaves some of its pieces old and some new, each
//! whole or torn. Running the restore again compares all of them anew and finishes. A database is
//! never in such a state: its image is made beside it, from what is equal in it and what was
//! fetched, proven, and renamed over it.

mod batch;
mod compare;
mod database;
mod error;
mod fetch;
mod finish;
mod needed;
mod plan;
mod reading;
mod run;
mod selected;
mod single;
mod writer;

pub use error::RestoreError;
pub use needed::packs_needed;
pub use reading::{ReadThrough, read_through};
pub use run::{RestoreOptions, Restored, Selection, Wanted, restore};
pub use single::{ContentWriter, write_content};

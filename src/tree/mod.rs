//! A snapshot's tree, as it is stored: reading directories, finding paths, walking.
//!
//! Everything read is verified by its id before it is looked at; counts, heights and depths are
//! bounded, so that a hostile tree ends in an error, not in an endless walk.

mod content;
mod directory;
mod random;
mod recent;

pub(crate) use directory::{DirectoryPart, read_links, read_part};
pub(crate) use recent::Recent;

pub use content::{ContentCursor, Piece, for_each_piece};
pub use directory::{Descend, Node, TreeError, Visitor, find, read_directory, walk, walk_with};
pub use random::RandomReader;

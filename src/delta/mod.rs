//! What a changed chunk is stored against: how a chunk that resembles it is found, which of that
//! chunk's bases is taken, and when it is stored in full. Pure functions.

mod base;
mod relatives;
mod sketch;

pub use base::{Ancestor, Choice, choose, is_worth_it};
pub use relatives::{PAGE_CHUNKS, Relative, Relatives};
pub use sketch::{FEATURES, Sketch, Sketcher};

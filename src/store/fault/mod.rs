//! Stores that fail, each named after its fault. For tests only.

mod crashing;
mod failing;
mod full;
mod lagging;
mod reading;
mod slow;

pub use crashing::CrashingStore;
pub use failing::{FailingStore, Fault, Timing};
pub use full::FullStore;
pub use lagging::LaggingStore;
pub use reading::{LastByteFlippingStore, TruncatingStore};
pub use slow::SlowStore;

/// The cause of every injected error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("injected fault: {0}")]
pub struct InjectedFault(pub &'static str);

//! Mistakes that a test plants in the protocol, to show that they are found.
//!
//! Without the feature `planted`, which no released program has, nothing is ever planted.

/// A mistake: one step of `format-spec/11-ordering.md` left out or turned around.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    /// W1, W2: the writer looks at `gc/` and `index/` before its flag is up.
    LooksBeforeFlag = 1,
    /// W3: packs that a prune names are relied on.
    NamedPacksTrusted,
    /// W5: the writer does not look for a fence after its commit.
    WriterIgnoresFence,
    /// W6: a session is ended though the answer to its commit never came.
    EndAfterTimeout,
    /// Close: the list of commits is older than the fence.
    ClosedFromOldList,
    /// R1: a prune does not mind another one.
    TwoPrunes,
    /// R2: what the counting `delete` of another prune names is taken for there.
    DeleteOfOthersIgnored,
    /// R4: sessions are listed before the condemn is there.
    SessionsBeforeCondemn,
    /// R4: a session with a fence is taken for closed.
    FenceTakenForClosed,
    /// R6: what the plan condemned is deleted without a second mark.
    NoSecondMark,
    /// R6: a snapshot that was hidden after the condemn is given up too.
    HiddenAfterCondemn,
    /// R7: the prune does not look for a fence after its `delete`.
    PruneIgnoresFence,
    /// R9: the records are removed before what they name is.
    RecordsRemovedEarly,
    /// Cleaning up removes `closed` records.
    ClosedRemoved,
    /// A hold looks for `delete` only.
    HoldLooksForDeleteOnly,
    /// A hold does not mind that the session of its snapshot is being closed.
    HoldIgnoresFence,
}

#[cfg(feature = "planted")]
static PLANTED: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Plants a mistake in this process, in place of any other; `None` takes it away.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    let number = bug.map_or(0, |bug| bug as u8);
    PLANTED.store(number, std::sync::atomic::Ordering::SeqCst);
}

/// Whether the mistake is planted.
#[cfg(feature = "planted")]
pub(crate) fn has(bug: Bug) -> bool {
    PLANTED.load(std::sync::atomic::Ordering::SeqCst) == bug as u8
}

/// Whether the mistake is planted: never.
#[cfg(not(feature = "planted"))]
pub(crate) const fn has(_: Bug) -> bool {
    false
}

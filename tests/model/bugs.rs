//! Mistakes, each planted alone, that a search must find.

use crate::model::scenarios;

/// A mutation of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// The prune lists sessions before its condemn is there.
    SessionsBeforeCondemn,
    /// The prune deletes what its plan condemned.
    NoSecondMark,
    /// The writer does not look for a fence after its commit.
    WriterIgnoresFence,
    /// `closed` is made from a list older than the fence.
    ClosedFromOldList,
    /// The writer lists gc and index before its own flag is up.
    LooksBeforeFlag,
    /// What a parent has is relied on, whether it is still visible or not.
    StaleParent,
    /// What a visible parent has is relied on, though its packs are named.
    NamedPacksOfParent,
    /// A delta is made against a base whose pack is named.
    DeltaOnCondemnedBase,
    /// What lies below a known node is not looked at.
    HitTreeChildrenUnseen,
    /// The `delete` is there before the segments of what was moved.
    DeleteBeforeSegments,
    /// The condemn and delete are removed before what they name is.
    RecordsRemovedEarly,
    /// A prune does not mind another one.
    TwoPrunes,
    /// A prune does not look for a fence after its `delete`.
    PruneIgnoresFence,
    /// What the counting `delete` of a closed prune names is taken for there.
    DeleteOfOthersIgnored,
    /// Content that is needed again gets its old name.
    OldName,
    /// A reader lists gc before snapshots.
    ReaderListsFlagsFirst,
    /// Cleaning up removes fences.
    FenceRemoved,
    /// Cleaning up removes `closed` records.
    ClosedRemoved,
    /// A session with a fence is taken for closed.
    FenceTakenForClosed,
    /// A session is ended though the answer to its commit never came.
    EndAfterTimeout,
    /// A hold looks for `delete` only.
    HoldLooksForDeleteOnly,
    /// A hold does not mind that the snapshot's session is being closed.
    HoldIgnoresFence,
    /// A snapshot that was hidden after the condemn is given up too.
    HiddenAfterCondemn,
}

impl Bug {
    pub const ALL: [Self; 23] = [
        Self::SessionsBeforeCondemn,
        Self::NoSecondMark,
        Self::WriterIgnoresFence,
        Self::ClosedFromOldList,
        Self::LooksBeforeFlag,
        Self::StaleParent,
        Self::NamedPacksOfParent,
        Self::DeltaOnCondemnedBase,
        Self::HitTreeChildrenUnseen,
        Self::DeleteBeforeSegments,
        Self::RecordsRemovedEarly,
        Self::TwoPrunes,
        Self::PruneIgnoresFence,
        Self::DeleteOfOthersIgnored,
        Self::OldName,
        Self::ReaderListsFlagsFirst,
        Self::FenceRemoved,
        Self::ClosedRemoved,
        Self::FenceTakenForClosed,
        Self::EndAfterTimeout,
        Self::HoldLooksForDeleteOnly,
        Self::HoldIgnoresFence,
        Self::HiddenAfterCondemn,
    ];

    /// The scenario that it is looked for in.
    pub fn scenario(self) -> &'static str {
        match self {
            Self::SessionsBeforeCondemn
            | Self::NoSecondMark
            | Self::WriterIgnoresFence
            | Self::ClosedFromOldList
            | Self::LooksBeforeFlag
            | Self::StaleParent
            | Self::DeleteBeforeSegments
            | Self::RecordsRemovedEarly
            | Self::EndAfterTimeout => scenarios::WRITER_PRUNE,
            Self::HitTreeChildrenUnseen
            | Self::OldName
            | Self::FenceRemoved
            | Self::ClosedRemoved => scenarios::WRITER_SWEEP,
            Self::NamedPacksOfParent => scenarios::UNDO,
            Self::DeltaOnCondemnedBase => scenarios::WRITER_DELTA,
            Self::TwoPrunes | Self::PruneIgnoresFence | Self::DeleteOfOthersIgnored => {
                scenarios::TWO_PRUNES
            }
            Self::FenceTakenForClosed => scenarios::WRITER_TWO_PRUNES,
            Self::ReaderListsFlagsFirst => scenarios::READER_WRITER,
            Self::HoldLooksForDeleteOnly => scenarios::HOLD,
            Self::HoldIgnoresFence => scenarios::HOLD_NEW,
            Self::HiddenAfterCondemn => scenarios::FORGET,
        }
    }
}

//! What the program ends with: a contract with scripts and units.

/// The table of exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for was done.
    Done = 0,
    /// It failed; nothing that was saved is harmed.
    Failed = 1,
    /// Wrong usage, or a choice is needed.
    Usage = 2,
    /// Written, but some items could not be read.
    Partial = 3,
    /// Damage was found in the repository.
    Damage = 4,
    /// Attention: done, and what was found is not as it should be.
    Attention = 5,
    /// What was written or stored could not be proven.
    Unproven = 6,
    /// There is no repository.
    NoRepository = 10,
    /// Refused: another operation, a hold or a lock stands against it.
    Refused = 11,
    /// The passphrase or key is wrong or missing.
    Key = 12,
    /// Interrupted by Ctrl-C or a signal.
    Interrupted = 130,
}

impl Exit {
    /// The number.
    pub fn number(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

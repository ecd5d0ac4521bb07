//! Where a job of kind "export" writes readable files, and how they are ordered there.

use crate::config::value::Problem;
use std::path::PathBuf;
use std::str::FromStr;

/// What a job that exports does with snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportPlan {
    /// The directory that readable files go to, as written.
    pub to: PathBuf,
    /// The directories below it.
    pub layout: Layout,
}

/// The directories below an export, by the day of the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// None.
    Flat,
    /// `2026`.
    Year,
    /// `2026/11`.
    #[default]
    Month,
    /// `2026/11/25`.
    Day,
}

impl Layout {
    /// As it is written in the configuration and on the command line.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("year/month", Self::Month),
        ("year", Self::Year),
        ("year/month/day", Self::Day),
        ("flat", Self::Flat),
    ];

    /// How the clock's fields make its directories; empty for none.
    pub fn pattern(self) -> &'static str {
        match self {
            Self::Flat => "",
            Self::Year => "%Y",
            Self::Month => "%Y/%m",
            Self::Day => "%Y/%m/%d",
        }
    }
}

impl FromStr for Layout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, layout)| *layout).ok_or_else(|| {
            let names = Self::NAMES.map(|(name, _)| name);
            format!("it is one of {}", names.join(", "))
        })
    }
}

/// Reads a layout of the configuration.
pub(super) fn layout(text: &str) -> Result<Layout, Problem> {
    text.parse()
        .map_err(|one_of: String| Problem::new(format!("there is no layout {text:?}")).help(one_of))
}

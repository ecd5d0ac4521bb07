//! What was recorded of a database, compared with what the live one says of itself.

use crate::compare::content::Tally;
use crate::entry::{Fact, Facts};
use crate::source::sqlite::keys;
use std::collections::{BTreeMap, BTreeSet};

/// Rows of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableCounts {
    /// Its name.
    pub name: String,
    /// Rows in the snapshot; `None` where the table is not, or was not counted.
    pub before: Option<u64>,
    /// Rows now.
    pub after: Option<u64>,
}

/// How a live database differs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LiveDatabase {
    /// Whether the schemas are equal; `None` when one is not known.
    pub schema_same: Option<bool>,
    /// Tables with another number of rows, sorted by name.
    pub tables: Vec<TableCounts>,
    /// Tables with the same number of rows.
    pub tables_same: u64,
    /// Pieces of the database's image, 256 KiB each.
    pub chunks: u64,
    /// Those that are another now.
    pub chunks_different: u64,
    /// Why less is known than one would like.
    pub remark: Option<String>,
}

impl LiveDatabase {
    /// From what was recorded, what is live, and how the images compare; `None` for an image that
    /// cannot be compared with a live database.
    pub(super) fn new(recorded: &Facts, live: &Facts, tally: Option<Tally>) -> Self {
        let [before, after] = [counts(recorded), counts(live)];
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let total = names.len();
        let differing = names.into_iter().filter_map(|name| {
            let (before, after) = (before.get(name).copied(), after.get(name).copied());
            let name = name.clone();
            (before != after).then_some(TableCounts {
                name,
                before,
                after,
            })
        });
        let tables: Vec<TableCounts> = match recorded.contains_key(keys::TABLES) {
            true => differing.collect(),
            false => Vec::new(),
        };
        let schemas = recorded
            .get(keys::SCHEMA_BLAKE3)
            .zip(live.get(keys::SCHEMA_BLAKE3));
        let known = tally.unwrap_or_default();
        let remark = match tally {
            Some(_) => None,
            None => Some("it was compacted when it was captured: its pages are others".to_owned()),
        };
        Self {
            schema_same: schemas.map(|(before, after)| before == after),
            tables_same: (total - tables.len()) as u64,
            tables,
            chunks: known.chunks,
            chunks_different: known.chunks_different,
            remark,
        }
    }

    /// Whether nothing is known to differ.
    pub fn is_same(&self) -> bool {
        self.schema_same != Some(false) && self.tables.is_empty() && self.chunks_different == 0
    }
}

/// Whether the facts are of a database.
pub(super) fn is_database(facts: &Facts) -> bool {
    facts.get(keys::ENGINE) == Some(&Fact::Text("sqlite".to_owned()))
}

/// Whether the facts are of an image that `VACUUM` made, whose pages are not the database's own.
pub(super) fn is_compacted(facts: &Facts) -> bool {
    facts.get(keys::COMPACTED) == Some(&Fact::Bool(true))
}

fn counts(facts: &Facts) -> BTreeMap<String, u64> {
    match facts.get(keys::TABLES) {
        Some(Fact::Counts(counts)) => counts.clone(),
        _ => BTreeMap::new(),
    }
}

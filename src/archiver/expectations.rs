//! What must be true of the tables of a database when it is captured.

use crate::entry::{Fact, Facts};
use crate::source::sqlite::keys;
use crate::units::Percent;
use std::collections::BTreeMap;

/// The fact that lists what was expected and not found.
pub const UNMET: &str = "expectations.unmet";

/// What must be true of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// Its name.
    pub table: String,
    /// It has at least so many rows.
    pub min_rows: u64,
    /// It has lost at most this share of the rows of the snapshot before.
    pub max_drop: Option<Percent>,
}

/// Rows by table, as counted in the capture's own transaction.
pub fn counts(facts: &Facts) -> Option<&BTreeMap<String, u64>> {
    match facts.get(keys::TABLES) {
        Some(Fact::Counts(counts)) => Some(counts),
        _ => None,
    }
}

/// What does not hold, a sentence each.
pub fn unmet(
    expectations: &[Expectation],
    now: Option<&BTreeMap<String, u64>>,
    before: Option<&BTreeMap<String, u64>>,
) -> Vec<String> {
    let Some(now) = now else {
        return match expectations.is_empty() {
            true => Vec::new(),
            false => vec!["rows were expected, and none were counted".to_owned()],
        };
    };
    let mut unmet = Vec::new();
    for expectation in expectations {
        let table = &expectation.table;
        // `main.users` and `users` are the same table of a file.
        let short = table.rsplit('.').next().unwrap_or(table);
        let rows = |counts: &BTreeMap<String, u64>| {
            counts.get(table).or_else(|| counts.get(short)).copied()
        };
        let Some(found) = rows(now) else {
            unmet.push(format!("table {table} is not there, or was not counted"));
            continue;
        };
        if found < expectation.min_rows {
            let wanted = expectation.min_rows;
            unmet.push(format!(
                "table {table} has {found} rows, expected at least {wanted}"
            ));
        }
        let Some((max_drop, before)) = expectation.max_drop.zip(before.and_then(rows)) else {
            continue;
        };
        let may_go = max_drop.of(before);
        if before.saturating_sub(found) > may_go {
            unmet.push(format!(
                "table {table} went from {before} to {found} rows, more than {max_drop} less"
            ));
        }
    }
    unmet
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::units::parse_percent;

    #[test]
    fn a_missing_table_too_few_rows_and_a_large_drop_are_told() {
        let counts = |pairs: &[(&str, u64)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(name, rows)| ((*name).to_owned(), *rows))
                .collect::<BTreeMap<_, _>>()
        };
        let expect = |table: &str, min_rows, drop: Option<&str>| Expectation {
            table: table.to_owned(),
            min_rows,
            max_drop: drop.map(|drop| parse_percent(drop).unwrap()),
        };
        let before = counts(&[("users", 100), ("orders", 100)]);
        let now = counts(&[("users", 80), ("orders", 79)]);
        let all = [
            expect("main.users", 80, Some("20%")),
            expect("orders", 80, Some("20%")),
            expect("bids", 0, None),
        ];
        assert_eq!(
            unmet(&all, Some(&now), Some(&before)),
            [
                "table orders has 79 rows, expected at least 80",
                "table orders went from 100 to 79 rows, more than 20% less",
                "table bids is not there, or was not counted",
            ]
        );
        assert_eq!(unmet(&all[..1], Some(&now), None), Vec::<String>::new());
        assert_eq!(unmet(&all, None, None).len(), 1);
        assert_eq!(unmet(&[], None, None), Vec::<String>::new());
    }
}

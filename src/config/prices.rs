//! `[prices.NAME]`: what storing costs, for `cost`.

use crate::config::value::{Problem, Table, Value};
use crate::cost::Price;
use crate::units::parse_size;

pub(super) fn read(table: &mut Table<'_, '_>) -> Option<Price> {
    let storage = table.require("storage", "0.023", Value::amount);
    let mut amount = |key| table.take(key, Value::amount).unwrap_or_default();
    let (put, get, retrieval) = (amount("put"), amount("get"), amount("retrieval"));
    let size = |value: &Value<'_, '_>| value.parsed(parse_size);
    let basis = Price::of_storage(storage.unwrap_or_default());
    let price = Price {
        put,
        get,
        retrieval,
        min_days: table.take("min_days", |value| value.count(0)).unwrap_or(0),
        min_object: table.take("min_object", size).unwrap_or(0),
        gb: table.take("gb", gb).unwrap_or(basis.gb),
        ..basis
    };
    storage.map(|_| price)
}

/// What the seller calls a GB.
fn gb(value: &Value<'_, '_>) -> Result<u64, Problem> {
    let bytes = value.parsed(parse_size)?;
    match bytes {
        1_000_000_000 | 1_073_741_824 => Ok(bytes),
        _ => Err(Problem::new(format!("{} is no GB", value.name)).help(
            "write \"1 GB\" where the seller counts 1000³ bytes, \"1 GiB\" where it is 1024³",
        )),
    }
}

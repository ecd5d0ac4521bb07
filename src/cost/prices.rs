//! Prices of storage classes.

use crate::limits::PACK_BYTES_TARGET;
use std::collections::BTreeMap;

/// What a storage class costs, in dollars or whatever the table is in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// A GB for a month.
    pub storage: f64,
    /// A thousand requests that write, copy, move or list.
    pub put: f64,
    /// A thousand requests that read.
    pub get: f64,
    /// Reading a GB, traffic included.
    pub retrieval: f64,
    /// What is deleted or moved sooner is billed for so many days.
    pub min_days: u32,
    /// Smaller objects are billed as so many bytes.
    pub min_object: u64,
    /// Bytes of what the seller calls a GB; not 0.
    pub gb: u64,
}

impl Price {
    /// Storage only, at so much a GB-month.
    pub fn of_storage(storage: f64) -> Self {
        Self {
            storage,
            put: 0.0,
            get: 0.0,
            retrieval: 0.0,
            min_days: 0,
            min_object: 0,
            gb: 1_000_000_000,
        }
    }

    /// Bytes as the seller's GB.
    pub fn gigabytes(&self, bytes: f64) -> f64 {
        bytes / self.gb.max(1) as f64
    }

    /// What a month of so many bytes costs.
    pub fn month(&self, bytes: f64) -> f64 {
        self.gigabytes(bytes) * self.storage
    }

    /// What is billed of so many bytes that lie in packs, bytes.
    pub fn billed(&self, bytes: f64) -> f64 {
        bytes.max(packs(bytes) as f64 * self.min_object as f64)
    }

    /// What it costs to read so many bytes back, packs as a whole.
    pub fn read(&self, bytes: f64) -> f64 {
        self.gigabytes(bytes) * self.retrieval + packs(bytes) as f64 / 1000.0 * self.get
    }

    /// What so many requests that write cost.
    pub fn puts(&self, requests: u64) -> f64 {
        requests as f64 / 1000.0 * self.put
    }
}

/// Objects that so many bytes are stored in.
pub(super) fn packs(bytes: f64) -> u64 {
    (bytes / PACK_BYTES_TARGET as f64).ceil() as u64
}

/// List prices that are assumed where the configuration has none: those of S3 in its first region.
pub fn built_in() -> BTreeMap<String, Price> {
    let table = [
        ("STANDARD", 0.023, 0.005, 0.0004, 0.0, 0, 0),
        ("STANDARD_IA", 0.0125, 0.01, 0.001, 0.01, 30, 128 << 10),
        ("GLACIER_IR", 0.004, 0.02, 0.01, 0.03, 90, 128 << 10),
        ("GLACIER", 0.0036, 0.03, 0.0004, 0.01, 90, 0),
        ("DEEP_ARCHIVE", 0.000_99, 0.05, 0.0004, 0.02, 180, 0),
    ];
    let prices = table.map(
        |(name, storage, put, get, retrieval, min_days, min_object)| {
            let price = Price {
                storage,
                put,
                get,
                retrieval,
                min_days,
                min_object,
                gb: 1_000_000_000,
            };
            (name.to_owned(), price)
        },
    );
    BTreeMap::from(prices)
}

//! The generator. Every vector draws from a stream seeded with its own name, so that adding one
//! moves no other.

mod codecs;
mod key_objects;
mod nodes;
mod packs;
mod primitives;
mod records;

use super::keys::hex;
use icecore::testing::SeededEntropy;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// One vector: bytes, what reads them, what comes out.
pub struct Vector {
    folder: &'static str,
    name: &'static str,
    structure: &'static str,
    why: &'static str,
    input: Value,
    bytes: Vec<u8>,
    outcome: Result<Value, &'static str>,
}

/// Vectors of one folder and structure.
pub struct Maker {
    folder: &'static str,
    structure: &'static str,
    made: Vec<Vector>,
}

impl Maker {
    pub fn new(folder: &'static str, structure: &'static str) -> Self {
        Self {
            folder,
            structure,
            made: Vec::new(),
        }
    }

    /// The stream of a vector.
    pub fn entropy(&self, name: &str) -> SeededEntropy {
        SeededEntropy::new(&format!("{}/{name}", self.folder))
    }

    /// A vector that decodes to `expect`.
    pub fn good(
        &mut self,
        name: &'static str,
        why: &'static str,
        input: Value,
        bytes: Vec<u8>,
        expect: Value,
    ) {
        self.push(name, why, input, bytes, Ok(expect));
    }

    /// A vector that is refused with this class of error.
    pub fn bad(
        &mut self,
        name: &'static str,
        why: &'static str,
        input: Value,
        bytes: Vec<u8>,
        class: &'static str,
    ) {
        self.push(name, why, input, bytes, Err(class));
    }

    fn push(
        &mut self,
        name: &'static str,
        why: &'static str,
        input: Value,
        bytes: Vec<u8>,
        outcome: Result<Value, &'static str>,
    ) {
        self.made.push(Vector {
            folder: self.folder,
            name,
            structure: self.structure,
            why,
            input,
            bytes,
            outcome,
        });
    }
}

fn makers() -> Vec<Maker> {
    let mut all = primitives::make();
    all.extend(key_objects::make());
    all.extend(records::make());
    all.extend(packs::make());
    all.extend(codecs::make());
    all.extend(nodes::make());
    all
}

/// All files by path.
pub fn all() -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for vector in makers().into_iter().flat_map(|maker| maker.made) {
        let path = format!("{}/{}", vector.folder, vector.name);
        let mut json = json!({
            "structure": vector.structure,
            "why": vector.why,
            "input": vector.input,
        });
        match vector.outcome {
            Ok(expect) => json["expect"] = expect,
            Err(class) => json["refused"] = class.into(),
        }
        let mut text = serde_json::to_string_pretty(&json).unwrap();
        text.push('\n');
        assert!(
            files.insert(format!("{path}.json"), text.into()).is_none(),
            "{path} twice"
        );
        files.insert(format!("{path}.bin"), vector.bytes);
    }
    files
}

/// The nonces in all good packs, by vector.
pub fn sealed_samples() -> Vec<(&'static str, Vec<String>)> {
    let packs = packs::make().into_iter().flat_map(|maker| maker.made);
    packs
        .filter_map(|vector| {
            // The vector `maintenance` is the same pack with other keys to read it.
            let expect = vector
                .outcome
                .ok()
                .filter(|_| vector.name != "maintenance")?;
            let rows = expect["rows"].as_array()?.clone();
            let stored = rows.into_iter().filter(|row| row["stored"] != 0);
            let nonce = |row: Value| {
                let offset = row["offset"].as_u64().unwrap() as usize;
                hex(&vector.bytes[offset..offset + 24])
            };
            Some((vector.name, stored.map(nonce).collect()))
        })
        .collect()
}

/// The input of a stream that `read::stream` makes.
pub fn stream_json(seed: &str, length: usize) -> Value {
    json!({ "seed": seed, "length": length })
}

/// A copy with one byte changed.
pub fn flipped(bytes: &[u8], position: usize) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[position] ^= 0x01;
    changed
}

/// `base` with the fields of `more` set.
pub fn with(base: &Value, more: Value) -> Value {
    let mut value = base.clone();
    for (key, field) in more.as_object().unwrap() {
        value[key] = field.clone();
    }
    value
}

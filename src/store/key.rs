//! Names of objects: checked once, then safe by type.

use std::fmt;

/// The name of an object: slash-separated parts of `[a-z0-9.-]`, no part empty or starting with a
/// dot, at most 200 bytes in all. Being valid by type, it can never leave a store's root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(String);

/// A text that is no [`ObjectKey`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an object key")]
pub struct InvalidObjectKey(pub String);

impl ObjectKey {
    /// Checks and wraps.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidObjectKey> {
        let text = text.into();
        let part_ok = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part
                    .bytes()
                    .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'))
        };
        if text.len() <= 200 && text.split('/').all(part_ok) {
            Ok(Self(text))
        } else {
            Err(InvalidObjectKey(text.chars().take(200).collect()))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

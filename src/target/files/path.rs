//! Names from a tree, checked before they reach the file system.

use crate::limits;
use std::ffi::CString;
use std::fmt;

/// A name that cannot be a file's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Empty, `.`, `..`, with a slash or NUL, or too long.
    #[error("{0:?} is not a file name")]
    Name(String),
    /// A file below more than [`limits::DIRECTORY_DEPTH_MAX`] directories.
    #[error("the path is too deep")]
    TooDeep,
}

/// A path below the target, raw bytes. Valid by type: no component is empty, `.` or `..`, or
/// contains a slash or NUL, so it never names anything above or beside the target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetPath {
    bytes: Vec<u8>,
}

impl TargetPath {
    /// From components; at least one. Errors: a component that is no file name.
    pub fn new<C: AsRef<[u8]>>(components: &[C]) -> Result<Self, PathError> {
        let (first, rest) = components
            .split_first()
            .ok_or_else(|| PathError::Name(String::new()))?;
        let first = checked(first.as_ref())?;
        rest.iter().try_fold(
            Self {
                bytes: first.to_vec(),
            },
            |path, component| path.join(component.as_ref()),
        )
    }

    /// The path of `name` in this directory.
    pub fn join(&self, name: &[u8]) -> Result<Self, PathError> {
        if self.components().count() > limits::DIRECTORY_DEPTH_MAX {
            return Err(PathError::TooDeep);
        }
        let bytes = [&self.bytes, &b"/"[..], checked(name)?].concat();
        Ok(Self { bytes })
    }

    /// The bytes, components joined by `/`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The last component.
    pub fn name(&self) -> &[u8] {
        self.bytes
            .rsplit(|byte| *byte == b'/')
            .next()
            .unwrap_or_default()
    }

    /// The directory it is in, empty for the target itself.
    pub(super) fn parent(&self) -> &[u8] {
        let end = self.bytes.iter().rposition(|byte| *byte == b'/');
        &self.bytes[..end.unwrap_or(0)]
    }

    pub(super) fn c_name(&self) -> CString {
        // No NUL is in it, by construction.
        CString::new(self.name()).unwrap_or_default()
    }

    fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.split(|byte| *byte == b'/')
    }
}

impl fmt::Display for TargetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.bytes))
    }
}

fn checked(name: &[u8]) -> Result<&[u8], PathError> {
    let is_name = !name.is_empty()
        && name.len() <= limits::NAME_BYTES_MAX
        && !matches!(name, b"." | b"..")
        && !name.iter().any(|byte| matches!(byte, b'/' | 0));
    if is_name {
        Ok(name)
    } else {
        let shown = &name[..name.len().min(80)];
        Err(PathError::Name(String::from_utf8_lossy(shown).into_owned()))
    }
}

//! What can be known of a repository without any key: everything that is signed and not sealed.

use crate::format::document::{Config, EpochStatement};
use crate::format::envelope::ObjectType;
use crate::format::layout;
use crate::format::record::Record;
use crate::id::WriterId;
use crate::limits;
use crate::repository::{Flags, RecordLoadError};
use crate::store::{Store, StoreExt, StoreResult};

impl Flags {
    /// Lists and reads `gc/` by the root that the config names. Who holds a credential pins that root;
    /// without one the config is taken at its word.
    pub fn without_key(store: &dyn Store, config: &Config) -> Result<Self, RecordLoadError> {
        let mut flags = Self::revoking(revoked(store, config)?);
        for info in store.list_all(layout::GC)? {
            let flag = layout::parse_flag(info.key.file_name());
            let Some(object_type) = flag.and_then(|(_, what)| flag_type(what)) else {
                continue;
            };
            let bytes = match store.get(&info.key, limits::RECORD_BYTES_MAX) {
                Ok(bytes) => bytes,
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error.into()),
            };
            let key = info.key.to_string();
            let added = match Record::decode(&bytes, object_type, &config.root) {
                Ok(record) => flags
                    .add(object_type, &info.key, &record)
                    .map_err(|source| RecordLoadError::Content { key, source }),
                Err(source) => Err(RecordLoadError::Record { key, source }),
            };
            flags.damaged.extend(added.err());
        }
        Ok(flags)
    }
}

/// The type of a record under `gc/` that says something.
pub(super) fn flag_type(what: &str) -> Option<ObjectType> {
    match what.split('.').next() {
        Some("closed") => Some(ObjectType::Closed),
        Some("condemn") => Some(ObjectType::Condemn),
        Some("delete") => Some(ObjectType::Delete),
        Some("hide") => Some(ObjectType::Hide),
        _ => None,
    }
}

/// The writers that the newest statement revokes.
fn revoked(store: &dyn Store, config: &Config) -> StoreResult<Vec<WriterId>> {
    // Names sort by number.
    for info in store.list_all(layout::STATEMENTS)?.into_iter().rev() {
        let bytes = match store.get(&info.key, limits::KEY_OBJECT_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => continue,
            Err(error) => return Err(error),
        };
        let named = layout::parse_numbered(info.key.file_name()).map(|(number, _)| number);
        if let Ok(statement) = EpochStatement::decode(&bytes, &config.root)
            && named == Some(statement.number)
        {
            return Ok(statement.revoked);
        }
    }
    Ok(Vec::new())
}

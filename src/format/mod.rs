//! The bytes of everything a repository holds: one file per chapter of `format-spec/`.
//!
//! No I/O. A decoder returns an error for any bytes: it never panics, and allocates no more than
//! `crate::limits` allows. Domain types live elsewhere; wire structures convert.

pub mod audit;
pub mod blob;
pub mod certificate;
pub mod document;
pub mod entry;
pub mod envelope;
pub mod host_key;
pub mod keyring;
pub mod layout;
pub mod node;
pub mod pack;
pub mod protocol;
pub mod record;
pub mod segment;
pub mod slot;
pub mod snapshot;
pub mod whole;
pub mod wire;

#[cfg(test)]
mod tests;

//! Several copies of the same snapshots, given as `-r A,B,C`: what one has not, another may have.

use crate::cli::error::{CommandError, CommandResult};
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::cli::place::Place;
use crate::cli::text;
use crate::cli::unlock::Prompt;
use crate::format::slot::Unlock;
use crate::monitor::Monitor;
use crate::repository::index::Index;
use crate::repository::{Need, Reader, Served};
use crate::units::bytes;
use serde_json::{Value, json};
use std::cell::RefCell;

/// The copies that could be opened: one that is read from, and others in its place.
pub struct Copies {
    /// The first one that could be opened.
    pub first: OpenRepository,
    others: Vec<(OpenRepository, Index)>,
}

impl Invocation {
    /// The run of the program as it is about each of several repositories.
    fn each(&self) -> CommandResult<Vec<Self>> {
        let name = self.global.repo.as_deref().unwrap_or_default();
        // A directory may have a comma in its name.
        let names: Vec<&str> = match std::path::Path::new(name).exists() {
            true => vec![name],
            false => name.split(',').map(str::trim).collect(),
        };
        let [_, _, ..] = names.as_slice() else {
            return Ok(vec![self.clone()]);
        };
        names.iter().map(|name| self.about(name)).collect()
    }

    /// Opens every copy that was given, with one passphrase or key for all. One that is absent or out
    /// of reach is a warning, as long as another is there.
    ///
    /// `what` needs a credential of this kind.
    pub fn open_copies(&self, need: Option<Need>, what: &str) -> CommandResult<Copies> {
        let each = self.each()?;
        let several = each.len() > 1;
        let secret: RefCell<Option<Unlock>> = RefCell::default();
        let shared = |place: &Place| {
            let known = secret.borrow().clone();
            match known {
                Some(known) => Ok(known),
                None => {
                    let given = crate::cli::unlock::Given::to_open(&self.global.unlock);
                    let read = self.read_secret(given, Prompt::Existing, place)?;
                    Ok(secret.borrow_mut().insert(read).clone())
                }
            }
        };
        let mut first: Option<OpenRepository> = None;
        let mut others = Vec::new();
        let mut failure: Option<CommandError> = None;
        for own in each {
            let place = own.place()?;
            let shown = place.to_string();
            let is_configured = own.configured()?.is_some();
            let unlock = |place: &Place| match is_configured {
                true => own.unlock(Prompt::Existing),
                false => shared(place),
            };
            let opened = own.open_at(place, &unlock).and_then(|open| {
                if let Some(need) = need {
                    open.repository.access().check_allowed(need, what)?;
                }
                Ok(open)
            });
            let opened = opened.and_then(|open| match &first {
                None => Ok((open, None)),
                Some(first) => {
                    let index = self.open_second_index(&open.repository, &first.repository)?;
                    Ok((open, Some(index)))
                }
            });
            match opened {
                Ok((open, None)) => first = Some(open),
                Ok((open, Some(index))) => others.push((open, index)),
                Err(error) if several => {
                    self.ui.warn(&format!(
                        "the copy at {shown} is not used: {}",
                        error.message()
                    ));
                    failure.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        let missing = || CommandError::usage("no repository was given");
        match first {
            Some(first) => Ok(Copies { first, others }),
            None => Err(failure.unwrap_or_else(missing)),
        }
    }
}

impl Copies {
    /// Whether there is more than one.
    pub fn has_others(&self) -> bool {
        !self.others.is_empty()
    }

    /// Where all of them are, the one that is read from first.
    pub fn places(&self) -> Vec<&Place> {
        let others = self.others.iter().map(|(open, _)| &open.place);
        std::iter::once(&self.first.place).chain(others).collect()
    }

    /// Readers of the other copies.
    pub fn other_readers(&self) -> Vec<Reader<'_>> {
        let others = self.others.iter();
        others
            .map(|(open, index)| Reader::new(&open.repository, index))
            .collect()
    }

    /// Says which copy served what the first one has not; the same for scripts.
    pub fn tell_served(&self, invocation: &Invocation, served: &[Served]) -> Value {
        let mut copies = Vec::new();
        for ((open, _), served) in self.others.iter().zip(served) {
            let place = open.place.to_string();
            if served.blobs > 0 {
                invocation.ui.warn(&format!(
                    "{}, {}, came from {place}: {} has them damaged or out of reach; icecore check \
                     --repair --from {} -r {} mends that",
                    text::counted(served.blobs, "blob"),
                    bytes(served.bytes),
                    self.first.place,
                    text::quoted(&place),
                    text::quoted(&self.first.place.to_string()),
                ));
            }
            copies.push(json!({
                "location": place,
                "blobs": served.blobs,
                "bytes": served.bytes,
            }));
        }
        json!(copies)
    }
}

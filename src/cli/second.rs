//! The repository at the other end: of a copy, of a repair, of a sibling to be made.

use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::invocation::{Invocation, OpenRepository};
use crate::cli::place::Place;
use crate::cli::unlock::{Given, Prompt};
use crate::format::slot::Unlock;
use crate::repository::Repository;
use crate::repository::index::Index;
use std::io::IsTerminal;

/// Which end it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// What is read from.
    From,
    /// What is written to.
    To,
}

impl End {
    fn prefix(self) -> &'static str {
        match self {
            Self::From => "from",
            Self::To => "to",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::From => "the other repository",
            Self::To => "the target",
        }
    }
}

impl Invocation {
    /// Opens the repository at the other end. Without a passphrase or key of its own it is tried with
    /// what opens the repository of `-r`, where that was given without a question.
    pub fn open_second(&self, name: &str, end: End, given: Given) -> CommandResult<OpenRepository> {
        let other = self.about(name)?;
        if given.is_empty() && other.configured()?.is_some() {
            return other
                .open_repository()
                .map_err(|error| error.within(end.name()));
        }
        let place = other.place()?;
        let own = !given.is_empty();
        let given = std::cell::RefCell::new(Some(given));
        let opened = other.open_at(place, &|place| {
            let given = given.take().unwrap_or_default();
            self.second_secret(given, end, place)
        });
        opened.map_err(|error| match error.kind {
            ErrorKind::Key if !own => {
                let prefix = end.prefix();
                let variable = prefix.to_uppercase();
                error.within(end.name()).hint(format!(
                    "give --{prefix}-passphrase-file, --{prefix}-passphrase-command or \
                     --{prefix}-key-file, or set ICECORE_{variable}_PASSPHRASE"
                ))
            }
            _ => error.within(end.name()),
        })
    }

    /// Opens the index of a further copy and brings it up to date. A mirror has the cache of the
    /// repository that it mirrors, which is in use: its index is held in memory.
    pub fn open_second_index(
        &self,
        second: &Repository,
        first: &Repository,
    ) -> CommandResult<Index> {
        if second.config().repository != first.config().repository {
            return self.open_index(second);
        }
        let index = Index::default();
        second.refresh_index(&index, &*self.ui)?;
        Ok(index)
    }

    fn second_secret(&self, given: Given, end: End, place: &Place) -> CommandResult<Unlock> {
        let prompt = Prompt::Other(end.name());
        if !given.is_empty() {
            return self.read_secret(given, prompt, place);
        }
        let first = Given::to_open(&self.global.unlock);
        // A descriptor gives its text once.
        if !first.is_empty() && first.descriptor.is_none() {
            return self.read_secret(first, prompt, place);
        }
        if !std::io::stdin().is_terminal() {
            let missing = "no passphrase or key was given";
            return Err(CommandError::new(ErrorKind::Key, missing));
        }
        self.read_secret(Given::default(), prompt, place)
    }
}

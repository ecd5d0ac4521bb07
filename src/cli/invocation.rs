//! What every command is given: options, output, clock, and how a repository is reached.

use crate::cli::arguments::global::GlobalArguments;
use crate::cli::arguments::selection::SelectionArguments;
use crate::cli::configuration::Configuration;
use crate::cli::error::{CommandError, CommandResult, ErrorKind};
use crate::cli::listing::SnapshotSet;
use crate::cli::output::Output;
use crate::cli::place::{Place, Requests};
use crate::cli::reporting::Reporter;
use crate::cli::text;
use crate::cli::ui::Ui;
use crate::cli::unlock::{Given, Prompt};
use crate::env::{Clock, SystemClock, SystemEntropy, Timestamp};
use crate::format::document::Config as RepositoryConfig;
use crate::format::slot::Unlock;
use crate::monitor::{Cancel, Monitor};
use crate::repository::index::{Index, IndexOptions};
use crate::repository::{CredentialKind, Need, Repository, Snapshot};
use crate::selector::{Filters, SelectError, Selector, SnapshotPath, Visibility, resolve};
use crate::spill::Scratch;
use crate::store::{Bucket, SpoolStore, Store, Traffic};
use jiff::tz::TimeZone;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// One run of the program.
#[derive(Clone)]
pub struct Invocation {
    /// Options of every command.
    pub global: GlobalArguments,
    /// Standard output.
    pub output: Arc<Output>,
    /// Standard error and the log.
    pub ui: Arc<Ui>,
    /// Set by Ctrl-C.
    pub cancel: Cancel,
    /// While set, Ctrl-C ends the program at once.
    pub abrupt: Arc<AtomicBool>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The user's zone.
    pub zone: TimeZone,
    /// What buckets were asked.
    pub requests: Arc<Requests>,
    /// What was reported so far.
    pub reporter: Arc<Reporter>,
    /// The configuration, once it was looked for.
    pub configuration: OnceLock<Option<Arc<Configuration>>>,
    /// Whether only the configuration says how the repository is unlocked.
    pub own_key: bool,
}

/// A store and what passes through it.
pub struct OpenStore {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Its traffic.
    pub traffic: Arc<Traffic>,
    /// What lies below it, where that is a bucket: for what only buckets can do.
    pub bucket: Option<Bucket>,
}

/// A repository that was opened, and where it is.
pub struct OpenRepository {
    /// It.
    pub repository: Repository,
    /// What passes to and from its store.
    pub traffic: Arc<Traffic>,
    /// Where it is.
    pub place: Place,
    /// What waits before it goes up, where the store is slow.
    pub spool: Option<Arc<SpoolStore>>,
    /// Its bucket, for what only buckets can do.
    pub bucket: Option<Bucket>,
}

impl Invocation {
    /// Now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// How many threads work: what was asked for, or one for each processor.
    pub fn workers(&self) -> usize {
        let jobs = self.global.jobs.map(usize::from);
        jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// A moment as people read it, in their zone.
    pub fn moment(&self, moment: Timestamp) -> String {
        text::moment(moment, self.now(), &self.zone)
    }

    /// Where the repository is, as it was given or configured.
    pub fn place(&self) -> CommandResult<Place> {
        if let Some((configuration, _, repository)) = self.configured()? {
            return configuration.place(&repository);
        }
        match self.global.repo.as_deref() {
            None | Some("") => Err(CommandError::usage("no repository was given")
                .hint("give -r with a directory or s3://BUCKET/PREFIX, or set ICECORE_REPO")),
            Some(name) if name.contains(',') && !std::path::Path::new(name).exists() => Err(
                CommandError::usage("several repositories were given, and this command takes one")
                    .hint("give one with -r; restore, cat, ls and repo info take several"),
            ),
            Some(name) => Place::parse(name),
        }
    }

    /// What was given to unlock the repository: options and variables come before the
    /// configuration.
    pub fn given(&self) -> CommandResult<Given> {
        let given = match self.own_key {
            true => Given::default(),
            false => Given::to_open(&self.global.unlock),
        };
        if !given.is_empty() {
            return Ok(given);
        }
        match self.configured()? {
            Some((configuration, _, repository)) => match &repository.key {
                Some(secret) => configuration.given(secret),
                None => Ok(Given::to_open(&self.global.unlock)),
            },
            None => Ok(given),
        }
    }

    /// Reads the passphrase or key that opens the repository.
    pub fn unlock(&self, prompt: Prompt) -> CommandResult<Unlock> {
        let place = self.place()?;
        self.read_secret(self.given()?, prompt, &place)
    }

    /// Reads any secret.
    pub fn read_secret(
        &self,
        given: Given,
        prompt: Prompt,
        place: &Place,
    ) -> CommandResult<Unlock> {
        let guard = |on: bool| self.abrupt.store(on, Ordering::SeqCst);
        given.read(prompt, place.directory(), &*self.ui, &guard)
    }

    /// Opens the repository.
    pub fn open_repository(&self) -> CommandResult<OpenRepository> {
        Ok(self.open_repository_keeping_secret()?.0)
    }

    /// Opens the repository for captures: a spool takes what a slow store would make them wait for,
    /// and what an earlier run left in it goes up first.
    pub fn open_repository_to_capture(&self, what: &str) -> CommandResult<OpenRepository> {
        let unlock = |_: &Place| self.unlock(Prompt::Existing);
        let (open, _) = self.open_with(self.place()?, &unlock, |store, config| {
            self.open_spool(store, config)
        })?;
        let access = open.repository.access();
        access.check_allowed(Need::Write, what)?;
        if let Some(spool) = &open.spool {
            let left = open.repository.resume_spool(spool)?;
            if left > 0 {
                self.ui.warn(&format!(
                    "{} that an interrupted run had sealed go up now",
                    crate::units::bytes(left)
                ));
            }
        }
        Ok(open)
    }

    /// Opens the repository, and hands out what it was opened with: to prove that it still opens.
    pub fn open_repository_keeping_secret(&self) -> CommandResult<(OpenRepository, Unlock)> {
        self.open_with(self.place()?, &|_| self.unlock(Prompt::Existing), |_, _| {
            None
        })
    }

    /// Opens the repository at a place with what `unlock` reads.
    pub fn open_at(
        &self,
        place: Place,
        unlock: &dyn Fn(&Place) -> CommandResult<Unlock>,
    ) -> CommandResult<OpenRepository> {
        Ok(self.open_with(place, unlock, |_, _| None)?.0)
    }

    fn open_with(
        &self,
        place: Place,
        unlock: &dyn Fn(&Place) -> CommandResult<Unlock>,
        spooled: impl FnOnce(&Arc<dyn Store>, &RepositoryConfig) -> Option<Arc<SpoolStore>>,
    ) -> CommandResult<(OpenRepository, Unlock)> {
        let OpenStore {
            store,
            traffic,
            bucket,
        } = self.open_store_at(&place)?;
        // Before a passphrase is asked for in vain.
        let config = Repository::config_of(&*store)?;
        let spool = spooled(&store, &config);
        let store = match &spool {
            Some(spool) => Arc::clone(spool) as Arc<dyn Store>,
            None => store,
        };
        let unlock = unlock(&place)?;
        let entropy = Arc::new(SystemEntropy);
        self.ui.waiting("opening");
        let opened = Repository::open(store, &unlock, entropy, Arc::new(SystemClock));
        self.ui.clear();
        let mut repository = opened?;
        let cache = self.cache_directory(&repository);
        if let Some(cache) = &cache {
            repository.remember_statements(cache, &*self.ui);
            repository.remember_audit(cache);
        }
        repository.use_host_key(cache.as_deref(), &*self.ui)?;
        let open = OpenRepository {
            repository,
            traffic,
            place,
            spool,
            bucket,
        };
        Ok((open, unlock))
    }

    /// Opens the repository for what `what` names; fails at once where the credential may not.
    pub fn open_repository_to(&self, need: Need, what: &str) -> CommandResult<OpenRepository> {
        let open = self.open_repository()?;
        open.repository.access().check_allowed(need, what)?;
        Ok(open)
    }

    /// Where the cache of a repository lives; `None` when there is nowhere to put it.
    pub fn cache_directory(&self, repository: &Repository) -> Option<PathBuf> {
        self.cache_root()
            .map(|root| root.join(repository.config().repository.to_string()))
    }

    /// Where sorting goes that memory should not hold: beside the cache, or in memory without one.
    pub fn scratch(&self, repository: &Repository) -> Scratch {
        match self.cache_directory(repository) {
            Some(directory) => Scratch::in_directory(directory.join("scratch")),
            None => Scratch::default(),
        }
    }

    /// Where the caches of all repositories live.
    pub fn cache_root(&self) -> Option<PathBuf> {
        let absolute = |name: &str| {
            let path = PathBuf::from(std::env::var_os(name)?);
            path.is_absolute().then_some(path)
        };
        if let Some(directory) = &self.global.cache_dir {
            return Some(directory.clone());
        }
        let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
        base.map(|base| base.join("icecore"))
    }

    /// Opens the local index of a repository and brings it up to date.
    pub fn open_index(&self, repository: &Repository) -> CommandResult<Index> {
        let index = self.open_stale_index(repository);
        repository.refresh_index(&index, &*self.ui)?;
        Ok(index)
    }

    /// Opens the local index as it was left. Without a place for it one in memory has to do.
    pub fn open_stale_index(&self, repository: &Repository) -> Index {
        let directory = self.cache_directory(repository);
        if directory.is_none() {
            self.ui.warn(
                "HOME is not set: the index is held in memory and read anew by every command; \
                 give --cache-dir",
            );
        }
        let options = IndexOptions {
            directory,
            ..IndexOptions::default()
        };
        Index::open(&options, &*self.ui)
    }

    /// Says why a credential that opens no content sees labels only.
    pub fn remark_on_labels(&self, repository: &Repository) {
        let access = repository.access();
        if access.check_allowed(Need::Read, "").is_err() {
            let kind = access.kind().map_or("such", CredentialKind::name);
            self.output.remark(&format!(
                "Labels only: a {kind} credential opens no data, names or file lists; that takes a \
                 full credential or a reader of the domain"
            ));
        }
    }

    /// Finds the visible snapshot that was named, and says what has to be said about the choice.
    pub fn resolve<'a>(
        &self,
        set: &'a SnapshotSet,
        selector: &Selector,
        selection: &SelectionArguments,
        command: &str,
    ) -> CommandResult<&'a Snapshot> {
        self.resolve_among(set, selector, selection, Visibility::Visible, command)
    }

    /// As [`Invocation::resolve`], forgotten ones included if so wanted.
    pub fn resolve_among<'a>(
        &self,
        set: &'a SnapshotSet,
        selector: &Selector,
        selection: &SelectionArguments,
        visibility: Visibility,
        command: &str,
    ) -> CommandResult<&'a Snapshot> {
        let filters = Filters {
            visibility,
            ..selection.filters()
        };
        let found = resolve(selector, &filters, set.summaries(), self.now(), &self.zone);
        let resolved = found.map_err(|error| choice(error, selector, selection, command))?;
        for remark in resolved.remarks() {
            self.ui.warn(&remark);
        }
        set.by_id(resolved.snapshot)
    }

    /// Finds the snapshot of `SNAP` or `SNAP:PATH`.
    pub fn resolve_path<'a>(
        &self,
        set: &'a SnapshotSet,
        wanted: &SnapshotPath,
        selection: &SelectionArguments,
        command: &str,
    ) -> CommandResult<&'a Snapshot> {
        self.resolve(set, &wanted.selector, selection, command)
    }
}

/// The candidates of an ambiguous choice as ready commands.
fn choice(
    error: SelectError,
    selector: &Selector,
    selection: &SelectionArguments,
    command: &str,
) -> CommandError {
    let commands: Vec<String> = match &error {
        SelectError::SeveralSources { candidates, .. } => candidates
            .iter()
            .map(|candidate| {
                let mut options = String::new();
                if selection.source.is_empty() {
                    options.push_str(&format!(" --source {}", text::quoted(&candidate.source)));
                }
                let shared = candidates.iter().filter(|c| c.source == candidate.source);
                if selection.host.is_empty() && shared.count() > 1 {
                    options.push_str(&format!(" --host {}", text::quoted(&candidate.host)));
                }
                format!(
                    "icecore {command} {selector}{}{options}",
                    selection.as_options()
                )
            })
            .collect(),
        SelectError::AmbiguousId { matches, .. } => matches
            .iter()
            .map(|listed| format!("icecore {command} {:.12}", listed.id.to_string()))
            .collect(),
        _ => return error.into(),
    };
    let mut error = CommandError::new(ErrorKind::Choice, error);
    error.hints = commands;
    error
}

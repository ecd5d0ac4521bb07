//! `daemon`: jobs and drills of the configuration, each when it is due.
//!
//! The agenda decides, this carries out: starts runs as processes of their own, hears of their ends, of
//! changes and of signals, and gives the agenda the time. It holds no key and opens no repository.

mod child;
mod limits;
mod runs;
mod serve;
pub mod tasks;
mod telling;
mod watch;

use crate::cli::commands::run::Records;
use crate::cli::configuration::Configuration;
use crate::cli::error::{CommandError, CommandResult};
use crate::cli::files::write_whole;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::cli::process;
use crate::cli::text;
use crate::env::Timestamp;
use crate::schedule::agenda::{Agenda, Task};
use crate::units::parse_duration;
use child::Child;
use clap::Args;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use serde_json::{Value, json};
use serve::{Server, Told};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;
use tasks::{Planned, on_change, planned};
use watch::{Seen, Sign, Watcher};

/// Longest time without a look at the clock: it may have been set, or the machine asleep.
const LOOK: Duration = Duration::from_secs(20);

/// Options of `daemon`.
#[derive(Debug, Args)]
pub struct DaemonArguments {
    /// How many jobs run at a time [default: BACKUP_PARALLEL_JOBS, else 2]
    #[arg(long, value_name = "N")]
    parallel: Option<NonZeroUsize>,

    /// How long running jobs may go on by themselves after SIGTERM or Ctrl-C, before they are asked to
    /// stop too; nothing that was saved is lost by that
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "10s")]
    grace: Duration,

    /// Only say what would run when
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// What the daemon hears.
enum Message {
    Stop,
    Reload,
    /// A run may have ended.
    Ended,
    /// What was seen of a job's sources, by watchers of the configuration of this number.
    Seen(u64, String, Sign),
}

/// Runs what is due until it is asked to stop.
pub fn run(invocation: &Invocation, arguments: &DaemonArguments) -> CommandResult<Report> {
    let configuration = invocation.needed_configuration()?;
    let records = Records::open(invocation, &configuration)?;
    let planned = planned(invocation, &configuration, &records);
    if planned.is_empty() {
        return Err(
            CommandError::usage("no job of the configuration has a schedule that counts")
                .hint("give a job schedule = \"daily 03:00\", and see icecore config check"),
        );
    }
    if arguments.dry_run {
        return Ok(dry_run(invocation, &planned));
    }
    let busy = "another daemon keeps the schedules of this configuration already";
    let _only = records.claim_own("daemon.process", busy)?;
    let (sender, receiver) = unbounded();
    hear_signals(&sender)?;
    let parallel = match arguments.parallel {
        Some(parallel) => parallel.get(),
        None => configuration.overrides.parallel.unwrap_or(2),
    };
    let mut daemon = Daemon {
        invocation: invocation.clone(),
        records,
        accepted: PathBuf::new(),
        configuration: Arc::clone(&configuration),
        number: 0,
        agenda: Agenda::new(parallel),
        planned: BTreeMap::new(),
        children: BTreeMap::new(),
        seen: Seen::default(),
        watchers: Vec::new(),
        server: None,
        shared: Arc::new(Shared::new(invocation, &configuration)),
        sender,
        stop: None,
    };
    daemon.accept(configuration, planned)?;
    daemon.write_metrics()?;
    daemon.event(
        "daemon-started",
        &format!("keeping {} schedules", daemon.planned.len()),
        json!({ "parallel": parallel }),
    );
    telling::start(Arc::clone(&daemon.shared));
    process::tell_manager("READY=1");
    let ended = daemon.keep(&receiver, arguments.grace);
    process::tell_manager("STOPPING=1");
    let runs = ended?;
    daemon.event("daemon-stopped", "stopped", json!({}));
    Ok(Report::with(json!({ "runs": runs })))
}

fn dry_run(invocation: &Invocation, planned: &BTreeMap<String, Planned>) -> Report {
    let now = invocation.now();
    let mut told = Vec::new();
    for (name, one) in planned {
        let due = one.task.due(now);
        let when = match due {
            None => "when a source changes".to_owned(),
            Some(due) if due <= now => "at once".to_owned(),
            Some(due) => text::moment(due, now, &one.task.zone),
        };
        let line = format!("would run {name}: {}, next {when}", one.task.schedule);
        invocation.output.line(&line);
        told.push(json!({ "task": name, "next": due.map(Timestamp::to_rfc3339) }));
    }
    Report::with(json!({ "dry_run": true, "tasks": told }))
}

/// Turns signals into messages.
fn hear_signals(sender: &Sender<Message>) -> CommandResult<()> {
    let signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGCHLD]);
    let mut signals = signals.map_err(CommandError::failed)?;
    let sender = sender.clone();
    std::thread::spawn(move || {
        for signal in signals.forever() {
            let message = match signal {
                SIGHUP => Message::Reload,
                SIGCHLD => Message::Ended,
                _ => Message::Stop,
            };
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// What is told over HTTP while the daemon goes on.
struct Shared {
    current: RwLock<(Invocation, Arc<Configuration>)>,
    /// When the agenda was last looked at, milliseconds of the steady clock.
    looked: AtomicU64,
}

impl Shared {
    fn new(invocation: &Invocation, configuration: &Arc<Configuration>) -> Self {
        Self {
            current: RwLock::new((invocation.clone(), Arc::clone(configuration))),
            looked: AtomicU64::new(0),
        }
    }

    fn look(&self, now: Duration) {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.looked.store(now, Ordering::Relaxed);
    }
}

impl Told for Shared {
    fn metrics(&self) -> String {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let (invocation, configuration) = &*current;
        match Records::open(invocation, configuration) {
            Ok(records) => super::run::metrics_text(invocation, configuration, &records),
            Err(_) => String::new(),
        }
    }

    fn is_alive(&self) -> bool {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let looked = Duration::from_millis(self.looked.load(Ordering::Relaxed));
        current.0.clock.elapsed().saturating_sub(looked) < 3 * LOOK
    }
}

/// The daemon.
struct Daemon {
    invocation: Invocation,
    records: Records,
    /// The configuration as it was accepted: what lies in its own place may be half written.
    accepted: PathBuf,
    configuration: Arc<Configuration>,
    /// How many configurations there were.
    number: u64,
    agenda: Agenda,
    planned: BTreeMap<String, Planned>,
    children: BTreeMap<String, Child>,
    seen: Seen,
    watchers: Vec<Watcher>,
    server: Option<Server>,
    shared: Arc<Shared>,
    sender: Sender<Message>,
    /// When all runs are asked to stop, by the steady clock, once a stop was asked for.
    stop: Option<Duration>,
}

impl Daemon {
    /// Takes up a configuration: all of it, or nothing where an error is returned.
    fn accept(
        &mut self,
        configuration: Arc<Configuration>,
        planned: BTreeMap<String, Planned>,
    ) -> CommandResult<()> {
        let accepted = self.records.path("accepted.toml");
        let server = self.listen(configuration.config.observe.listen.as_deref())?;
        let known = planned.iter();
        let known = known.map(|(name, one)| (name.clone(), one.task.since));
        self.records.remember_known(&known.collect())?;
        write_whole(&accepted, configuration.text.as_bytes(), 0o600)?;
        if let Some(server) = server {
            self.server = server;
        }
        self.accepted = accepted;
        self.invocation.configuration = OnceLock::from(Some(Arc::clone(&configuration)));
        let current = (self.invocation.clone(), Arc::clone(&configuration));
        let mut shared = self.shared.current.write();
        *shared
            .as_deref_mut()
            .unwrap_or_else(|poisoned| poisoned.get_mut()) = current;
        drop(shared);
        self.configuration = configuration;
        self.number += 1;
        let tasks = planned.iter();
        let tasks: BTreeMap<String, Task> = tasks
            .map(|(name, one)| (name.clone(), one.task.clone()))
            .collect();
        self.agenda.replace(tasks);
        self.watchers = on_change(&planned)
            .filter_map(|one| {
                let job = self.configuration.config.jobs.get(&one.name.job)?;
                let (sender, number) = (self.sender.clone(), self.number);
                let name = one.name.to_string();
                let take = move |sign| {
                    sender
                        .send(Message::Seen(number, name.clone(), sign))
                        .is_ok()
                };
                Some(Watcher::start(
                    &self.invocation,
                    &self.configuration,
                    job,
                    take,
                ))
            })
            .collect();
        self.planned = planned;
        Ok(())
    }

    fn write_metrics(&self) -> CommandResult<()> {
        super::run::write_metrics(&self.invocation, &self.configuration, &self.records)
    }

    /// Listens where the configuration says, if it does; `None` where that stays as it is.
    fn listen(&self, address: Option<&str>) -> CommandResult<Option<Option<Server>>> {
        let known = self.configuration.config.observe.listen.as_deref();
        if self.server.is_some() && known == address {
            return Ok(None);
        }
        let told: Arc<dyn Told> = Arc::clone(&self.shared) as Arc<dyn Told>;
        let server = address
            .map(|address| Server::start(address, told))
            .transpose()?;
        if let Some(server) = &server {
            let at = server.address();
            let said = format!("metrics at http://{at}/metrics");
            self.event("listening", &said, json!({ "address": at.to_string() }));
            if !at.ip().is_loopback() {
                self.invocation.ui.warn_line(&format!(
                    "warning: {at} can be reached from other machines, and nothing is asked of them: \
                     names of jobs, sources and repositories and their times show there"
                ));
            }
        }
        Ok(Some(server))
    }

    /// Reads the file again; a mistake in it leaves everything as it was.
    fn reload(&mut self) {
        let path = self.configuration.path.clone();
        let loaded = Configuration::load(&path).and_then(|configuration| {
            let mut invocation = self.invocation.clone();
            let configuration = Arc::new(configuration);
            invocation.configuration = OnceLock::from(Some(Arc::clone(&configuration)));
            let planned = planned(&invocation, &configuration, &self.records);
            self.accept(configuration, planned)
        });
        match loaded {
            Ok(()) => {
                let said = format!(
                    "{} was read again: {} schedules",
                    path.display(),
                    self.planned.len()
                );
                self.event("reloaded", &said, json!({}));
                if let Err(error) = self.write_metrics() {
                    self.invocation.ui.error(&error);
                }
            }
            Err(error) => {
                let error = error.within("the new configuration is NOT used, the old one goes on");
                self.invocation.ui.error(&error);
                self.event(
                    "reload-refused",
                    "the old configuration goes on",
                    json!({ "error": error.message() }),
                );
            }
        }
    }

    /// Keeps the schedules until a stop was asked for and everything has ended. Returns how many runs
    /// there were.
    fn keep(&mut self, receiver: &Receiver<Message>, grace: Duration) -> CommandResult<u64> {
        let mut runs = 0;
        loop {
            self.reap();
            self.press();
            if self.stop.is_some() && self.children.is_empty() {
                return Ok(runs);
            }
            runs += self.begin_due();
            self.shared.look(self.invocation.clock.elapsed());
            process::tell_manager("WATCHDOG=1");
            match receiver.recv_timeout(self.pause()) {
                Ok(Message::Stop) if self.stop.is_none() => {
                    let until = self.invocation.clock.elapsed() + grace;
                    self.stop = Some(until);
                    let running = text::counted(self.children.len() as u64, "running job");
                    self.event("stopping", &format!("asked to stop; {running}"), json!({}));
                }
                Ok(Message::Reload) if self.stop.is_none() => self.reload(),
                Ok(Message::Seen(number, name, sign)) if number == self.number => {
                    if self.seen.take(&self.records, &name, sign) {
                        self.agenda.changed(&name, self.invocation.now());
                    }
                }
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(runs),
            }
        }
    }

    /// How long nothing is to be done, if nothing happens.
    fn pause(&self) -> Duration {
        let now = self.invocation.now();
        let wake = self.agenda.wake(now).filter(|_| self.stop.is_none());
        let until = |wake: Timestamp| wake.since(now);
        let elapsed = self.invocation.clock.elapsed();
        let presses = self.children.values();
        let presses = presses.filter_map(|child| child.limits.next(self.stop));
        let presses = presses.map(|at| at.saturating_sub(elapsed));
        let all = presses.chain(wake.map(until)).chain([LOOK]);
        all.min().unwrap_or(LOOK)
    }

    /// Something that happened, for people and scripts.
    fn event(&self, event: &str, said: &str, mut fields: Value) {
        let (invocation, now) = (&self.invocation, self.invocation.now());
        invocation.output.say(&text::line(said));
        fields["event"] = json!(event);
        fields["time"] = json!(now.to_rfc3339());
        invocation.output.object("event", fields);
        invocation.output.flush();
        invocation
            .ui
            .log(crate::cli::log::Level::Info, event, said, &[]);
    }
}

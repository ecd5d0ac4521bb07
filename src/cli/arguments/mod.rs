//! The command line as clap reads it. Options of one command live beside that command.

pub mod global;
pub mod selection;
pub mod twins;

use crate::cli::commands;
use clap::{Parser, Subcommand};
use global::GlobalArguments;

/// Everything that can be given.
#[derive(Debug, Parser)]
#[command(
    name = "icecore",
    version,
    about = "Backups of databases and files: consistent, deduplicating, encrypted, provable",
    disable_help_subcommand = false,
    max_term_width = 100,
    after_help = "Exit codes: 0 done · 1 failed, nothing saved is harmed · 2 wrong usage or a choice \
        is needed · 3 written, but some items could not be read · 4 damage found · 5 attention: \
        something differs · 6 what was written could not be proven · 10 no repository there · \
        11 refused · 12 wrong or missing key · 130 interrupted"
)]
pub struct Arguments {
    /// Options of every command.
    #[command(flatten)]
    pub global: GlobalArguments,
    /// What to do; nothing shows an overview.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a repository, or show what one is
    #[command(subcommand)]
    Repo(commands::repo::RepoCommand),
    /// Same as `repo init`
    #[command(hide = true)]
    Init(commands::init::InitArguments),
    /// Same as `repo info`
    #[command(hide = true)]
    Info,
    /// Save files, databases, a command's output
    #[command(visible_alias = "backup")]
    Snapshot(commands::snapshot::SnapshotArguments),
    /// Run jobs of the configuration now
    Run(commands::run::RunArguments),
    /// Say whether everything is safe: age, verification, drills, runs, space
    Status(commands::status::StatusArguments),
    /// Show what was read, new and stored, how fast it grows, how long it took, and how that changes
    Stats(commands::stats::StatsArguments),
    /// Estimate what storing costs, month by month, under the keep rules and a price table
    Cost(commands::cost::CostArguments),
    /// Report a month: retention, runs and gaps, checks, drills, who did what; with a readiness score
    Report(commands::report::ReportArguments),
    /// List the jobs: when each ran, and when it runs next
    Jobs,
    /// Run jobs and drills when they are due, until it is stopped
    Daemon(commands::daemon::DaemonArguments),
    /// Show or install what systemd, cron or Kubernetes need to run the jobs
    #[command(subcommand)]
    Schedule(commands::schedule::ScheduleCommand),
    /// Write, check, show or fetch the configuration of jobs
    #[command(subcommand)]
    Config(commands::config::ConfigCommand),
    /// Bring a snapshot back; without a target, show the plan
    Restore(commands::restore::RestoreArguments),
    /// List snapshots
    #[command(visible_alias = "list")]
    Snapshots(commands::snapshots::SnapshotsArguments),
    /// List what is in a snapshot
    Ls(commands::ls::LsArguments),
    /// Write a file of a snapshot to standard output
    Cat(commands::cat::CatArguments),
    /// Find files by name in all snapshots
    Find(commands::find::FindArguments),
    /// Show what differs between two snapshots: files, and in databases schema and rows
    Diff(commands::diff::DiffArguments),
    /// Compare a snapshot with what is live: same, different, missing, extra
    Compare(commands::compare::CompareArguments),
    /// Show snapshots as a read-only file system, until Ctrl-C
    Mount(commands::mount::MountArguments),
    /// Write snapshots as readable files, by year and month: plaintext
    Export(commands::export::ExportArguments),
    /// Check that everything is there; with --read-data that it reads back
    #[command(visible_alias = "verify")]
    Check(commands::check::CheckArguments),
    /// Copy snapshots to another repository, verified on arrival
    Copy(commands::copy::CopyArguments),
    /// Keep the repository's objects byte for byte in another place; needs no key
    Mirror(commands::mirror::MirrorArguments),
    /// Restore into scratch, open the databases, ask them, and record the proof
    Drill(commands::drill::DrillArguments),
    /// Withdraw snapshots by name or by rules; they can be brought back until a prune
    Forget(commands::forget::ForgetArguments),
    /// Forget everything older than an age
    Cleanup(commands::forget::CleanupArguments),
    /// Free the space of what no snapshot needs
    Prune(commands::prune::PruneArguments),
    /// Hold snapshots, whatever the rules say
    #[command(subcommand)]
    Hold(commands::hold::HoldCommand),
    /// Manage passphrases and keys that open the repository
    #[command(subcommand)]
    Key(commands::key::KeyCommand),
    /// Manage domains: data under keys of its own
    #[command(subcommand)]
    Domain(commands::domain::DomainCommand),
    /// Show or drop the local cache, which can be rebuilt at any time
    #[command(subcommand)]
    Cache(commands::cache::CacheCommand),
    /// Write shell completions to standard output
    Completions(commands::completions::CompletionsArguments),
    /// Write the manual page to standard output
    Man,
    /// Try out who is told, and tell what status finds
    #[command(subcommand)]
    Notify(commands::notify::NotifyCommand),
    /// Look at what a backup and a restore need before they need it; each with its remedy
    Doctor(commands::doctor::DoctorArguments),
    /// Show who did what, and verify that the log of it is whole
    #[command(subcommand)]
    Audit(commands::audit::AuditCommand),
    /// Show the version, and with -v what it was built from
    Version,
}

impl Command {
    /// Its name, for the log: never an argument, which may be a secret.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Repo(commands::repo::RepoCommand::Init(_)) | Self::Init(_) => "repo init",
            Self::Repo(commands::repo::RepoCommand::Info) | Self::Info => "repo info",
            Self::Repo(commands::repo::RepoCommand::Recover(_)) => "repo recover",
            Self::Snapshot(_) => "snapshot",
            Self::Run(_) => "run",
            Self::Status(_) => "status",
            Self::Stats(_) => "stats",
            Self::Cost(_) => "cost",
            Self::Report(_) => "report",
            Self::Jobs => "jobs",
            Self::Daemon(_) => "daemon",
            Self::Schedule(_) => "schedule",
            Self::Config(_) => "config",
            Self::Restore(_) => "restore",
            Self::Snapshots(_) => "snapshots",
            Self::Check(_) => "check",
            Self::Copy(_) => "copy",
            Self::Mirror(_) => "mirror",
            Self::Ls(_) => "ls",
            Self::Cat(_) => "cat",
            Self::Find(_) => "find",
            Self::Diff(_) => "diff",
            Self::Compare(_) => "compare",
            Self::Mount(_) => "mount",
            Self::Drill(_) => "drill",
            Self::Export(_) => "export",
            Self::Forget(_) => "forget",
            Self::Cleanup(_) => "cleanup",
            Self::Prune(_) => "prune",
            Self::Hold(_) => "hold",
            Self::Key(_) => "key",
            Self::Domain(_) => "domain",
            Self::Cache(_) => "cache",
            Self::Completions(_) => "completions",
            Self::Man => "man",
            Self::Notify(_) => "notify",
            Self::Doctor(_) => "doctor",
            Self::Audit(_) => "audit",
            Self::Version => "version",
        }
    }
}

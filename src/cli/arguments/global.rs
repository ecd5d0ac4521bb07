//! Options that every command takes.

use crate::codec::Effort;
use crate::units::{parse_duration, parse_rate, parse_size};
use clap::{Args, ValueEnum};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArguments {
    /// The repository: a directory, a name of the configuration file, or s3://BUCKET/PREFIX with
    /// what is needed to reach it, such as
    /// "?endpoint=https://HOST&region=REGION&storage-class=STANDARD_IA"
    #[arg(short, long, global = true, env = "ICECORE_REPO", value_name = "REPO")]
    pub repo: Option<String>,

    /// How the repository is unlocked.
    #[command(flatten)]
    pub unlock: UnlockArguments,

    /// The configuration file [default: ./icecore.toml, ~/.config/icecore/config.toml,
    /// /etc/icecore/config.toml]
    #[arg(
        short,
        long,
        global = true,
        env = "ICECORE_CONFIG",
        value_name = "FILE"
    )]
    pub config: Option<PathBuf>,

    /// A copy of the configuration file to read instead: paths still begin where --config is
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        hide = true,
        requires = "config"
    )]
    pub config_copy: Option<PathBuf>,

    /// Where the disposable local cache lives [default: ~/.cache/icecore]
    #[arg(
        long,
        global = true,
        env = "ICECORE_CACHE_DIR",
        value_name = "DIR",
        hide_env_values = true
    )]
    pub cache_dir: Option<PathBuf>,

    /// JSON lines on standard output, a summary last
    #[arg(long, global = true)]
    pub json: bool,

    /// With --json: progress objects too
    #[arg(long, global = true)]
    pub progress: bool,

    /// Only errors, warnings and what was asked for
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// More detail
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// No progress bars
    #[arg(long, global = true)]
    pub no_progress: bool,

    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,

    /// Append what happens to a file: JSON lines if its name ends with .json or .jsonl, else text
    #[arg(long, global = true, value_name = "FILE")]
    pub log_file: Option<PathBuf>,

    /// How many threads compress and seal [default: one for each processor]
    #[arg(long, global = true, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,

    /// How hard to compress: auto, fast, max, off, or a zstd level
    ///
    /// auto goes by how much there is to do: each thread gives the first 4 MiB of what is new zstd
    /// 9, the next 12 MiB zstd 3, and the rest zstd 1.
    #[arg(
        long,
        global = true,
        value_name = "EFFORT",
        default_value = "auto",
        allow_hyphen_values = true
    )]
    pub compression: Effort,

    /// Write to the repository at most this fast, such as 10MB/s
    #[arg(long, global = true, value_name = "RATE", value_parser = rate)]
    pub limit_upload: Option<NonZeroU64>,

    /// Read from the repository at most this fast
    #[arg(long, global = true, value_name = "RATE", value_parser = rate)]
    pub limit_download: Option<NonZeroU64>,

    /// Where a capture's sealed packs wait for a slow store [default: in the cache]
    #[arg(long, global = true, env = "ICECORE_SPOOL_DIR", value_name = "DIR")]
    pub spool_dir: Option<PathBuf>,

    /// How much may wait there, such as 4GiB; 0 is no spool [default: 1GiB for a bucket, else 0]
    #[arg(long, global = true, env = "ICECORE_SPOOL_SIZE", value_name = "SIZE", value_parser = parse_size)]
    pub spool_size: Option<u64>,

    /// Give up after this long, such as 2h
    #[arg(long, global = true, value_name = "DURATION", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
}

/// `-n`, of commands that write or delete.
#[derive(Debug, Clone, Copy, Args)]
pub struct DryRunArgument {
    /// Only say what would be done
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

/// Where the passphrase or key comes from. At most one.
#[derive(Debug, Clone, Default, Args)]
pub struct UnlockArguments {
    /// Read the passphrase from a file
    #[arg(
        long,
        global = true,
        env = "ICECORE_PASSPHRASE_FILE",
        value_name = "FILE",
        hide_env_values = true
    )]
    pub passphrase_file: Option<PathBuf>,

    /// Run a command that prints the passphrase; no shell is involved
    #[arg(
        long,
        global = true,
        env = "ICECORE_PASSPHRASE_COMMAND",
        value_name = "COMMAND",
        hide_env_values = true
    )]
    pub passphrase_command: Option<String>,

    /// Read the passphrase from an open file descriptor
    #[arg(long, global = true, value_name = "N")]
    pub passphrase_fd: Option<u32>,

    /// Unlock with a key file made by `icecore key generate`
    #[arg(
        long,
        global = true,
        env = "ICECORE_KEY_FILE",
        value_name = "FILE",
        hide_env_values = true
    )]
    pub key_file: Option<PathBuf>,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

fn rate(text: &str) -> Result<NonZeroU64, String> {
    let bytes = parse_rate(text).map_err(|error| error.to_string())?;
    NonZeroU64::new(bytes).ok_or_else(|| "nothing would ever be moved".to_owned())
}

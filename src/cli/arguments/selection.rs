//! Options that narrow which snapshots are looked at.

use crate::selector::{Filters, TagPattern, Visibility};
use crate::units::Span;
use clap::Args;

/// Narrowing.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which snapshots")]
pub struct SelectionArguments {
    /// Of this source: its name, or the last parts of its path
    #[arg(long, value_name = "SOURCE")]
    pub source: Vec<String>,

    /// Taken on this host
    #[arg(long, value_name = "HOST")]
    pub host: Vec<String>,

    /// With this tag
    #[arg(long, value_name = "KEY[=VALUE]")]
    pub tag: Vec<TagPattern>,

    /// Taken by this job
    #[arg(long, value_name = "JOB")]
    pub job: Vec<String>,

    /// At most this old, such as 1d
    #[arg(long, value_name = "AGE")]
    pub newer_than: Option<Span>,

    /// At least this old, such as 30d
    #[arg(long, value_name = "AGE")]
    pub older_than: Option<Span>,
}

impl SelectionArguments {
    /// As the library takes them.
    pub fn filters(&self) -> Filters {
        Filters {
            sources: self.source.clone(),
            hosts: self.host.clone(),
            tags: self.tag.clone(),
            jobs: self.job.clone(),
            set: None,
            newer_than: self.newer_than,
            older_than: self.older_than,
            visibility: Visibility::Visible,
        }
    }

    /// As options again, for commands that are suggested.
    pub fn as_options(&self) -> String {
        let mut text = String::new();
        for (name, values) in [
            ("source", &self.source),
            ("host", &self.host),
            ("job", &self.job),
        ] {
            for value in values {
                text.push_str(&format!(" --{name} {}", crate::cli::text::quoted(value)));
            }
        }
        for tag in &self.tag {
            text.push_str(&format!(
                " --tag {}",
                crate::cli::text::quoted(&tag.to_string())
            ));
        }
        text
    }
}

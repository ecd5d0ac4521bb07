//! `version`: what this program is made of.

use crate::cli::error::CommandResult;
use crate::cli::invocation::Invocation;
use crate::cli::output::Report;
use crate::format::envelope;
use crate::source::sqlite;
use serde_json::json;

/// Shows versions.
pub fn run(invocation: &Invocation) -> CommandResult<Report> {
    let version = env!("CARGO_PKG_VERSION");
    let library = sqlite::library();
    invocation.output.line(&format!("icecore {version}"));
    if invocation.global.verbose > 0 {
        let stream = match library.page_stream {
            true => "compiled in: live databases can be captured",
            false => "missing: live databases cannot be captured",
        };
        invocation
            .output
            .line(&format!("repository format  {}", envelope::VERSION));
        invocation
            .output
            .line(&format!("SQLite             {}", library.version));
        invocation
            .output
            .line(&format!("page stream        {stream}"));
        invocation
            .output
            .line("local index        RocksDB, disposable");
    }
    Ok(Report::with(json!({
        "version": version,
        "format": envelope::VERSION,
        "sqlite": library.version,
        "page_stream": library.page_stream,
        "index": "rocksdb",
    })))
}

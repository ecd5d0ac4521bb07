//! Standard output: lines for people, or JSON lines with exactly one summary at the end.

use crate::cli::error::CommandError;
use crate::cli::exit_code::Exit;
use serde_json::{Map, Value, json};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Version of the JSON output: raised when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// What a command did.
#[derive(Debug)]
pub struct Report {
    /// What the program ends with.
    pub exit: Exit,
    /// The fields of the summary.
    pub summary: Map<String, Value>,
}

impl Report {
    /// Done, nothing to add.
    pub fn done() -> Self {
        Self {
            exit: Exit::Done,
            summary: Map::new(),
        }
    }

    /// Done, with fields for the summary. Anything but an object is left out.
    pub fn with(fields: Value) -> Self {
        let mut report = Self::done();
        if let Value::Object(fields) = fields {
            report.summary = fields;
        }
        report
    }

    /// With another exit code.
    pub fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }
}

/// An error for scripts.
pub fn error_object(error: &CommandError) -> Value {
    json!({
        "kind": error.kind.name(),
        "message": error.message(),
        "remedy": error.hints.join("; "),
    })
}

/// Standard output, gone or not.
struct Stream {
    writer: BufWriter<io::Stdout>,
    failure: Option<io::Error>,
    warnings: Vec<String>,
}

/// Where results go.
pub struct Output {
    json: bool,
    quiet: bool,
    immediate: bool,
    stream: Mutex<Stream>,
}

impl Output {
    /// For JSON or people; `quiet` leaves out what was not asked for.
    pub fn new(json: bool, quiet: bool, progress: bool) -> Self {
        Self {
            json,
            quiet,
            immediate: progress || io::stdout().is_terminal(),
            stream: Mutex::new(Stream {
                writer: BufWriter::new(io::stdout()),
                failure: None,
                warnings: Vec::new(),
            }),
        }
    }

    /// Whether results are JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    fn stream(&self) -> MutexGuard<'_, Stream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Raw bytes. `false` once nobody reads any more: the caller may stop.
    pub fn bytes(&self, bytes: &[u8]) -> bool {
        let mut stream = self.stream();
        if stream.failure.is_some() {
            return false;
        }
        let mut written = stream.writer.write_all(bytes);
        if self.immediate && written.is_ok() {
            written = stream.writer.flush();
        }
        stream.failure = written.err();
        stream.failure.is_none()
    }

    /// A line for people that was asked for. `false` once nobody reads any more.
    pub fn line(&self, text: &str) -> bool {
        self.json || self.bytes(format!("{text}\n").as_bytes())
    }

    /// A line for people about what was done: left out with `-q`.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            self.line(text);
        }
    }

    /// A remark that belongs to a result: a line with `!`, or one of the summary's warnings.
    pub fn remark(&self, text: &str) {
        match self.json {
            true => self.warning(text),
            false => {
                self.line(&format!("! {text}"));
            }
        }
    }

    /// Keeps a warning for the summary.
    pub fn warning(&self, text: &str) {
        self.stream().warnings.push(text.to_owned());
    }

    /// One object of a listing, with its type first. `false` once nobody reads any more.
    pub fn object(&self, kind: &str, fields: Value) -> bool {
        if !self.json {
            return true;
        }
        let mut object = Map::new();
        object.insert("type".to_owned(), json!(kind));
        if let Value::Object(fields) = fields {
            object.extend(fields);
        }
        self.bytes(format!("{}\n", Value::Object(object)).as_bytes())
    }

    /// Shows what was written so far to whoever reads.
    pub fn flush(&self) {
        let mut stream = self.stream();
        if stream.failure.is_none() {
            stream.failure = stream.writer.flush().err();
        }
    }

    /// The summary, and the end of the output. Returns the exit code: what could not be written is
    /// a failure, but for a reader that went away, who has seen enough.
    pub fn finish(&self, result: &Result<Report, CommandError>) -> Exit {
        let exit = match result {
            Ok(report) => report.exit,
            Err(error) => error.kind.exit(),
        };
        if self.json {
            self.object("summary", self.summary(result, exit));
        }
        let mut stream = self.stream();
        if stream.failure.is_none() {
            stream.failure = stream.writer.flush().err();
        }
        match &stream.failure {
            Some(failure) if failure.kind() != io::ErrorKind::BrokenPipe && exit == Exit::Done => {
                let _unheard = writeln!(io::stderr(), "error: cannot write the output: {failure}");
                Exit::Failed
            }
            _ => exit,
        }
    }

    fn summary(&self, result: &Result<Report, CommandError>, exit: Exit) -> Value {
        let mut summary = Map::new();
        summary.insert("schema".to_owned(), json!(SCHEMA));
        summary.insert("ok".to_owned(), json!(exit == Exit::Done));
        summary.insert("exit_code".to_owned(), json!(exit.number()));
        match result {
            Ok(report) => summary.extend(report.summary.clone()),
            Err(error) => {
                summary.insert("error".to_owned(), error_object(error));
            }
        }
        let warnings = self.stream().warnings.clone();
        if !warnings.is_empty() {
            summary.insert("warnings".to_owned(), json!(warnings));
        }
        Value::Object(summary)
    }
}

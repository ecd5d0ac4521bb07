//! Standard error: progress on a terminal, warnings, errors.

use crate::cli::arguments::global::{ColorChoice, GlobalArguments};
use crate::cli::error::CommandError;
use crate::cli::log::{Level, LogFile};
use crate::cli::output::Output;
use crate::cli::text;
use crate::monitor::{Monitor, Unit};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often a bar is drawn: the first time well within a fifth of a second.
const TICK: Duration = Duration::from_millis(100);

/// How often progress objects are written, milliseconds.
const OBJECT_MILLISECONDS: u64 = 250;

/// What the program is doing, shown as it is wanted.
pub struct Ui {
    output: Arc<Output>,
    log: Option<LogFile>,
    bars: bool,
    objects: bool,
    colored: bool,
    phase: Mutex<Phase>,
    done: AtomicU64,
    started: Instant,
    /// Milliseconds after `started` when the last progress object was written.
    written: AtomicU64,
}

#[derive(Default)]
struct Phase {
    name: &'static str,
    total: Option<u64>,
    bar: Option<ProgressBar>,
}

impl Ui {
    /// As the options and the terminal want it.
    pub fn new(global: &GlobalArguments, output: Arc<Output>, log: Option<LogFile>) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let wanted = global.json && global.progress;
        Self {
            bars: terminal && !global.no_progress && !global.quiet && !global.json,
            objects: wanted,
            colored: match global.color {
                ColorChoice::Auto => terminal && !no_color,
                ColorChoice::Always => true,
                ColorChoice::Never => false,
            },
            output,
            log,
            phase: Mutex::default(),
            done: AtomicU64::new(0),
            started: Instant::now(),
            written: AtomicU64::new(0),
        }
    }

    fn phase_state(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs an event, if there is a log.
    pub fn log(
        &self,
        level: Level,
        event: &str,
        message: &str,
        fields: &[(&str, serde_json::Value)],
    ) {
        if let Some(log) = &self.log {
            log.write(level, event, message, fields);
        }
    }

    /// Shows that something without an end in sight is going on, until [`Ui::clear`] or a phase.
    pub fn waiting(&self, name: &'static str) {
        if self.bars {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(styled("{prefix}  {elapsed}"));
            bar.set_prefix(name);
            bar.enable_steady_tick(TICK);
            self.phase_state().bar = Some(bar);
        }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        let mut phase = self.phase_state();
        if let Some(bar) = phase.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// A line as it is, on standard error.
    pub fn stderr_line(&self, text: &str) {
        let write = || {
            let _unheard = writeln!(std::io::stderr(), "{text}");
        };
        match &self.phase_state().bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// A line about something that is told elsewhere in JSON.
    pub fn warn_line(&self, message: &str) {
        self.log(Level::Warning, "warning", message, &[]);
        if !self.output.is_json() {
            self.stderr_line(message);
        }
    }

    /// A line of what came of something, on standard error, also where results are JSON.
    pub fn state_line(&self, message: &str) {
        self.clear();
        self.log(Level::Error, "state", message, &[]);
        self.stderr_line(&multiline(message));
    }

    fn paint(&self, code: &str, text: &str) -> String {
        match self.colored {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }

    /// The error a command ended with, and what to do about it.
    pub fn error(&self, error: &CommandError) {
        self.clear();
        let message = error.message();
        self.log(
            Level::Error,
            "error",
            &message,
            &[("kind", json!(error.kind.name()))],
        );
        let label = self.paint("1;31", "error:");
        self.stderr_line(&format!("{label} {}", multiline(&message)));
        for hint in &error.hints {
            self.stderr_line(&format!(
                "  {} {}",
                self.paint("1", "try:"),
                multiline(hint)
            ));
        }
    }

    fn progress_object(&self, phase: &Phase, done: u64) {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let written = self.written.load(Ordering::Relaxed);
        if elapsed < written.saturating_add(OBJECT_MILLISECONDS) && done > 0 {
            return;
        }
        self.written.store(elapsed, Ordering::Relaxed);
        let fields = json!({ "phase": phase.name, "done": done, "total": phase.total });
        self.output.object("progress", fields);
    }
}

/// Every line of a text made safe by itself.
fn multiline(message: &str) -> String {
    message
        .lines()
        .map(text::line)
        .collect::<Vec<_>>()
        .join("\n  ")
}

fn style(unit: Unit, total: Option<u64>) -> ProgressStyle {
    let template = match (unit, total) {
        (Unit::Bytes, Some(_)) => {
            "{prefix}  {bar:28}  {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}  {elapsed}"
        }
        (Unit::Bytes, None) => {
            "{prefix}  {decimal_bytes}  {decimal_bytes_per_sec}  {elapsed}  {wide_msg}"
        }
        (Unit::Items, Some(_)) => "{prefix}  {bar:28}  {human_pos}/{human_len}  {elapsed}",
        (Unit::Items, None) => "{prefix}  {human_pos}  {elapsed}  {wide_msg}",
    };
    styled(template)
}

fn styled(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("█▌ ")
}

impl Monitor for Ui {
    fn phase(&self, name: &'static str, unit: Unit, total: Option<u64>) {
        self.clear();
        self.log(Level::Info, "phase", name, &[]);
        self.done.store(0, Ordering::Relaxed);
        let mut phase = self.phase_state();
        (phase.name, phase.total) = (name, total);
        if self.bars {
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
            bar.set_style(style(unit, total));
            bar.set_prefix(name);
            bar.enable_steady_tick(TICK);
            bar.tick();
            phase.bar = Some(bar);
        }
        if self.objects {
            self.progress_object(&phase, 0);
        }
    }

    fn advance(&self, amount: u64) {
        let done = self.done.fetch_add(amount, Ordering::Relaxed) + amount;
        if !self.bars && !self.objects {
            return;
        }
        let phase = self.phase_state();
        if let Some(bar) = &phase.bar {
            bar.set_position(done);
        }
        if self.objects {
            self.progress_object(&phase, done);
        }
    }

    fn current(&self, what: &str) {
        if self.bars
            && let Some(bar) = &self.phase_state().bar
        {
            bar.set_message(text::line(what));
        }
    }

    fn warn(&self, message: &str) {
        self.log(Level::Warning, "warning", message, &[]);
        if self.output.is_json() {
            self.output.warning(message);
            return;
        }
        let label = self.paint("1;33", "warning:");
        self.stderr_line(&format!("{label} {}", multiline(message)));
    }
}

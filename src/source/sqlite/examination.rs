//! The engine's own check and the row counts, on a thread of their own where the connection is not
//! needed for the pages: both read the whole database, and neither waits for the other.

use crate::monitor::Cancel;
use crate::source::sqlite::capture::CaptureSettings;
use crate::source::sqlite::checks::{Check, RowCounts, Verdict, count_rows, run_check};
use crate::source::sqlite::{Counts, connection};
use rusqlite::Connection;
use std::sync::mpsc;
use std::thread::JoinHandle;

/// What was found, and the connection, still in its transaction.
pub(crate) struct Examination {
    pub(crate) connection: Connection,
    pub(crate) verdict: rusqlite::Result<Option<Verdict>>,
    /// `None` when none were asked for, or the check was stopped.
    pub(crate) counts: rusqlite::Result<Option<RowCounts>>,
}

fn examine(connection: Connection, check: Check, counts: Counts) -> Examination {
    let verdict = run_check(&connection, check);
    let counts = match (counts, &verdict) {
        (Counts::All, Ok(_)) => count_rows(&connection).map(Some),
        _ => Ok(None),
    };
    Examination {
        connection,
        verdict,
        counts,
    }
}

/// Who has the connection.
pub(crate) enum Examiner {
    /// Whoever reads the pages.
    Waiting(Connection),
    /// A thread.
    Running(Running),
    /// Nobody: it went down with its thread.
    Lost,
}

impl Examiner {
    /// Begins in a thread of its own, unless it has begun. Where none can be had, the examination comes
    /// at the end.
    pub(crate) fn start(&mut self, settings: &CaptureSettings, cancel: &Cancel) {
        if !matches!(self, Self::Waiting(_)) {
            return;
        }
        let Self::Waiting(mut connection) = std::mem::replace(self, Self::Lost) else {
            return;
        };
        let stop = Cancel::default();
        let stoppable = connection::stop_on_either(&mut connection, cancel, &stop);
        let (sender, receiver) = mpsc::channel();
        let (check, counts) = (settings.check, settings.counts);
        let thread = std::thread::Builder::new()
            .name("sqlite-check".into())
            .spawn(move || {
                let connection = receiver.recv().ok()?;
                Some(examine(connection, check, counts))
            });
        *self = match (stoppable, thread) {
            (Ok(()), Ok(thread)) => match sender.send(connection) {
                Ok(()) => Self::Running(Running {
                    stop,
                    thread: Some(thread),
                }),
                Err(unsent) => Self::Waiting(unsent.0),
            },
            _ => Self::Waiting(connection),
        };
    }

    /// The connection, while no thread has it.
    pub(crate) fn connection(&self) -> Option<&Connection> {
        match self {
            Self::Waiting(connection) => Some(connection),
            _ => None,
        }
    }

    /// Examines, or waits for the thread that does. `None`: that thread died.
    pub(crate) fn finish(&mut self, settings: &CaptureSettings) -> Option<Examination> {
        match std::mem::replace(self, Self::Lost) {
            Self::Waiting(connection) => Some(examine(connection, settings.check, settings.counts)),
            Self::Running(mut running) => running.wait(),
            Self::Lost => None,
        }
    }
}

/// A thread that examines. Dropped, it is stopped and waited for: its connection must be closed
/// before the claim on the file goes.
pub(crate) struct Running {
    stop: Cancel,
    thread: Option<JoinHandle<Option<Examination>>>,
}

impl Running {
    fn wait(&mut self) -> Option<Examination> {
        self.thread.take()?.join().ok()?
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        drop(self.wait());
    }
}

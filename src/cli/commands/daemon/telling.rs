//! Those who are told, while the daemon runs: what waits is tried again, and every few minutes it is
//! judged whether something is wrong, so that somebody hears also when nothing runs any more.

use crate::cli::commands::daemon::Shared;
use crate::cli::commands::daemon::child::inherited;
use crate::cli::commands::run::Records;
use crate::cli::error::{CommandError, CommandResult};
use crate::monitor::Monitor;
use std::process::{Command, Stdio};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// Between two looks at what waits.
const LOOK: Duration = Duration::from_secs(15);

/// So many looks make one judgement: five minutes.
const LOOKS: u32 = 20;

/// Begins telling, until the process ends.
pub(super) fn start(shared: Arc<Shared>) {
    std::thread::spawn(move || {
        let mut looks = 0;
        loop {
            std::thread::sleep(LOOK);
            looks = (looks + 1) % LOOKS;
            let (invocation, _) = {
                let current = shared.current.read();
                current.unwrap_or_else(PoisonError::into_inner).clone()
            };
            let told = match looks {
                0 => judge(&shared),
                _ => invocation.deliver_what_waits(),
            };
            if let Err(error) = told {
                let error = error.within("nobody could be told");
                invocation.ui.warn(&error.message());
            }
        }
    });
}

/// In a process of its own: it opens repositories, and this one holds no key.
fn judge(shared: &Shared) -> CommandResult<()> {
    let (invocation, configuration) = {
        let current = shared.current.read();
        current.unwrap_or_else(PoisonError::into_inner).clone()
    };
    if configuration.config.notify.is_empty() {
        return Ok(());
    }
    let fail = |error| CommandError::failed(format!("cannot start a judgement: {error}"));
    let records = Records::open(&invocation, &configuration)?;
    let program = std::env::current_exe().map_err(fail)?;
    let mut command = Command::new(program);
    command
        .args(inherited(&invocation.global))
        .arg("--config")
        .arg(&configuration.path)
        .arg("--config-copy")
        .arg(records.path("accepted.toml"))
        .args(["notify", "check"])
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    // What it ends with says that something waits; what went wrong it has said itself.
    command.status().map(drop).map_err(fail)
}

//! The process itself: no core dumps, orderly interruption.

use crate::monitor::Cancel;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Keys and plaintext are in this process's memory: it leaves no core file, and other processes of
/// the same user cannot attach to it. Where the system refuses, the program works all the same.
pub fn forbid_core_dumps() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _refused = setrlimit(Resource::Core, none);
    let _refused = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// The first Ctrl-C (or SIGTERM, SIGHUP) asks everyone to stop, the second ends the program with
/// 130. Returns the flag that makes the first one behave like the second.
pub fn watch_signals(cancel: &Cancel) -> std::io::Result<Arc<AtomicBool>> {
    let abrupt = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        flag::register_conditional_shutdown(signal, 130, Arc::clone(&abrupt))?;
        flag::register(signal, Arc::clone(&abrupt))?;
        flag::register(signal, cancel.flag())?;
    }
    Ok(abrupt)
}

/// Asks everyone to stop after a while. Returns what tells whether that came about.
pub fn start_timeout(after: Option<Duration>, cancel: &Cancel) -> Arc<AtomicBool> {
    let timed_out = Arc::new(AtomicBool::new(false));
    if let Some(after) = after {
        let (cancel, timed_out) = (cancel.clone(), Arc::clone(&timed_out));
        std::thread::spawn(move || {
            std::thread::sleep(after);
            timed_out.store(true, Ordering::SeqCst);
            cancel.cancel();
        });
    }
    timed_out
}

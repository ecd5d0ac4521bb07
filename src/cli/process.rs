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
/// 130. Returns the flag that makes the first one behave like the second. A program that
/// `outlives` its terminal takes SIGHUP as something else.
pub fn watch_signals(cancel: &Cancel, outlives: bool) -> std::io::Result<Arc<AtomicBool>> {
    let abrupt = Arc::new(AtomicBool::new(false));
    let signals = match outlives {
        true => &[SIGINT, SIGTERM][..],
        false => &[SIGINT, SIGTERM, SIGHUP],
    };
    for &signal in signals {
        flag::register_conditional_shutdown(signal, 130, Arc::clone(&abrupt))?;
        flag::register(signal, Arc::clone(&abrupt))?;
        flag::register(signal, cancel.flag())?;
    }
    Ok(abrupt)
}

/// Tells the service manager how far the program is, where one wants to know (`sd_notify`).
pub fn tell_manager(state: &str) {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    let socket = UnixDatagram::unbound();
    if let (Ok(address), Ok(socket)) = (address, socket) {
        let _unheard = socket.send_to_addr(state.as_bytes(), &address);
    }
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

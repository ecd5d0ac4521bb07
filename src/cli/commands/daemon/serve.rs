//! `observe.listen`: metrics over HTTP, for whoever asks on an address that the user chose.
//!
//! Two paths and one method; a request is small, or it is refused. One connection at a time, each for a
//! few seconds at most: whoever scrapes waits in the kernel's queue.

use crate::cli::error::{CommandError, CommandResult};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Longest head of a request, bytes.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// Most header lines of one.
const HEADERS_MAX: usize = 64;

/// How long one connection may take.
const CONNECTION_MAX: Duration = Duration::from_secs(5);

/// What is told on request.
pub trait Told: Send + Sync {
    /// The metrics, as text.
    fn metrics(&self) -> String;
    /// Whether the schedule is being kept.
    fn is_alive(&self) -> bool;
}

/// A server. Ends when it is dropped.
pub struct Server {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
}

impl Server {
    /// Begins to listen.
    pub fn start(address: &str, told: Arc<dyn Told>) -> CommandResult<Self> {
        let fail = |error: std::io::Error| {
            CommandError::failed(format!("cannot listen at {address}: {error}"))
                .hint("choose another port for observe.listen, or end who uses it")
        };
        let listener = TcpListener::bind(address).map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        let ended = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&ended);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                match stream {
                    Ok(stream) => drop(answer(stream, &*told)),
                    // Out of descriptors, for one: that passes.
                    Err(_) => std::thread::sleep(Duration::from_millis(100)),
                }
            }
        });
        Ok(Self { address, ended })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the thread, which then sees that it is over.
        let _woken = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

fn answer(mut stream: TcpStream, told: &dyn Told) -> std::io::Result<()> {
    let until = Instant::now() + CONNECTION_MAX;
    let (status, kind, body) = match head(&mut stream, until)? {
        Some(head) => respond(&head, told),
        None => ("400 Bad Request", PLAIN, "not a request\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.set_write_timeout(Some(CONNECTION_MAX))?;
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

/// Method and path of a request; `None` for what is none, or too long.
fn head(stream: &mut TcpStream, until: Instant) -> std::io::Result<Option<(String, String)>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || bytes.len() > HEAD_BYTES_MAX {
            return Ok(None);
        }
        stream.set_read_timeout(Some(left))?;
        let read = stream.read(&mut buffer)?;
        bytes.extend_from_slice(&buffer[..read]);
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&bytes) {
            Ok(parsed) if parsed.is_complete() => {
                let method = request.method.unwrap_or_default().to_owned();
                let path = request.path.unwrap_or_default().to_owned();
                return Ok(Some((method, path)));
            }
            Ok(_) if read > 0 => {}
            _ => return Ok(None),
        }
    }
}

const PLAIN: &str = "text/plain; charset=utf-8";

fn respond(
    (method, path): &(String, String),
    told: &dyn Told,
) -> (&'static str, &'static str, String) {
    const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
    let path = path.split('?').next().unwrap_or_default();
    match (method.as_str(), path) {
        ("GET", "/metrics") => ("200 OK", METRICS, told.metrics()),
        ("GET", "/healthz") if told.is_alive() => ("200 OK", PLAIN, "ok\n".to_owned()),
        ("GET", "/healthz") => {
            let body = "the schedule is not being kept\n".to_owned();
            ("503 Service Unavailable", PLAIN, body)
        }
        ("GET", _) => {
            let body = "there is /metrics and /healthz\n".to_owned();
            ("404 Not Found", PLAIN, body)
        }
        _ => ("405 Method Not Allowed", PLAIN, "GET only\n".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{HEAD_BYTES_MAX, Server, Told};
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::sync::Arc;

    struct Fixed(bool);

    impl Told for Fixed {
        fn metrics(&self) -> String {
            "up 1\n".to_owned()
        }

        fn is_alive(&self) -> bool {
            self.0
        }
    }

    fn ask(server: &Server, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        // Whoever is refused early need not read to the end.
        let _refused = stream.write_all(request);
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }

    #[test]
    fn two_paths_are_served_and_all_else_is_refused() {
        let server = Server::start("127.0.0.1:0", Arc::new(Fixed(true))).unwrap();
        let get = |path: &str| {
            ask(
                &server,
                format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes(),
            )
        };
        let metrics = get("/metrics?x=1");
        assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n") && metrics.ends_with("\r\n\r\nup 1\n"));
        assert!(get("/healthz").ends_with("ok\n"));
        assert!(get("/../etc/passwd").starts_with("HTTP/1.1 404"));
        assert!(ask(&server, b"POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
        assert!(ask(&server, b"\x16\x03\x01 what\r\n\r\n").starts_with("HTTP/1.1 400"));
        let long = [
            b"GET / HTTP/1.1\r\nX: ".to_vec(),
            vec![b'a'; 2 * HEAD_BYTES_MAX],
        ]
        .concat();
        let refused = ask(&server, &long);
        assert!(
            refused.is_empty() || refused.starts_with("HTTP/1.1 400"),
            "{refused}"
        );
        assert!(get("/metrics").contains("up 1"), "it still serves");
        let late = Server::start("127.0.0.1:0", Arc::new(Fixed(false))).unwrap();
        assert!(ask(&late, b"GET /healthz HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 503"));
    }

    #[test]
    fn an_address_in_use_says_so() {
        let server = Server::start("127.0.0.1:0", Arc::new(Fixed(true))).unwrap();
        let taken = Server::start(&server.address().to_string(), Arc::new(Fixed(true)));
        let message = taken.err().unwrap().message();
        assert!(message.contains("cannot listen at 127.0.0.1:"), "{message}");
    }
}

//! A proxy that does to requests and answers what networks and busy servers do.
//!
//! One request per connection: the server is asked to close it, so that an answer is what comes
//! until the end. Answers are passed on, or not, byte by byte.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What is done to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The answer comes late.
    Delay(Duration),
    /// The connection is closed before the server sees anything.
    Refuse,
    /// The server does it, and the answer is lost.
    LoseAnswer,
    /// Half of the answer comes, then the connection is closed.
    Truncate,
    /// The answer is shorter than it was, and says so.
    Shorten,
    /// One bit in the middle of the answer's body is another.
    CorruptAnswer,
    /// One bit in the middle of the request's body is another.
    CorruptRequest,
    /// The server gets the request twice; the second answer is passed on.
    Duplicate,
    /// The proxy answers itself, with this status and code.
    Status(u16, &'static str),
    /// Nothing comes at all for as long as the proxy lives.
    Hang,
}

/// A request that went by.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its number, from 0.
    pub number: usize,
    /// `GET`, `PUT`, ...
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The lines of its head below the first.
    pub headers: Vec<(String, String)>,
    /// Bytes of its body.
    pub body: usize,
}

impl Request {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

type Plan = dyn Fn(&Request) -> Option<Fault> + Send + Sync;

/// The proxy. Stops taking connections when dropped.
pub struct FaultProxy {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    plan: Arc<Mutex<Arc<Plan>>>,
    stopped: Arc<AtomicBool>,
}

impl FaultProxy {
    /// In front of `server`, faultless for now.
    pub fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let none: Arc<Plan> = Arc::new(|_: &Request| None);
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
            plan: Arc::new(Mutex::new(none)),
            stopped: Arc::default(),
        };
        let (seen, plan) = (Arc::clone(&proxy.seen), Arc::clone(&proxy.plan));
        let stopped = Arc::clone(&proxy.stopped);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (seen, plan) = (Arc::clone(&seen), Arc::clone(&plan));
                let stopped = Arc::clone(&stopped);
                // A connection that breaks is what this is about.
                std::thread::spawn(move || serve(client, server, &seen, &plan, &stopped));
            }
        });
        proxy
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Decides from now on what happens to which request.
    pub fn plan(&self, plan: impl Fn(&Request) -> Option<Fault> + Send + Sync + 'static) {
        *self.plan.lock().unwrap() = Arc::new(plan);
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection.
        let _refused = TcpStream::connect(self.address);
    }
}

fn serve(
    mut client: TcpStream,
    server: SocketAddr,
    seen: &Mutex<Vec<Request>>,
    plan: &Mutex<Arc<Plan>>,
    stopped: &AtomicBool,
) -> Option<()> {
    let (head, mut body) = read_request(&mut client)?;
    let request = note(&head, body.len(), seen)?;
    let plan = Arc::clone(&plan.lock().unwrap());
    let fault = plan(&request);
    match fault {
        Some(Fault::Refuse) => return None,
        Some(Fault::Status(status, code)) => return answer(&mut client, status, code),
        Some(Fault::Hang) => {
            while !stopped.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(20));
            }
            return None;
        }
        Some(Fault::CorruptRequest) if !body.is_empty() => {
            let middle = body.len() / 2;
            body[middle] ^= 1;
        }
        Some(Fault::Duplicate) => {
            forward(server, &head, &body)?;
        }
        _ => {}
    }
    let mut bytes = forward(server, &head, &body)?;
    let start = body_start(&bytes)?;
    match fault {
        Some(Fault::Delay(delay)) => std::thread::sleep(delay),
        Some(Fault::LoseAnswer) => return None,
        Some(Fault::Truncate) => bytes.truncate(bytes.len() / 2),
        Some(Fault::Shorten) => shorten(&mut bytes, start)?,
        Some(Fault::CorruptAnswer) if start < bytes.len() => {
            let middle = start + (bytes.len() - start) / 2;
            bytes[middle] ^= 1;
        }
        _ => {}
    }
    client.write_all(&bytes).ok()?;
    client.shutdown(Shutdown::Write).ok()
}

fn read_request(client: &mut TcpStream) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 64 << 10];
    let start = loop {
        if let Some(start) = body_start(&bytes) {
            break start;
        }
        match client.read(&mut buffer).ok()? {
            0 => return None,
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    };
    let mut body = bytes.split_off(start);
    let head = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map_or(0, |length| length.trim().parse::<usize>().unwrap());
    while body.len() < length {
        match client.read(&mut buffer).ok()? {
            0 => return None,
            count => body.extend_from_slice(&buffer[..count]),
        }
    }
    Some((bytes, body))
}

fn note(head: &[u8], body: usize, seen: &Mutex<Vec<Request>>) -> Option<Request> {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
    let mut seen = seen.lock().unwrap();
    let request = Request {
        number: seen.len(),
        method,
        path,
        headers: headers.collect(),
        body,
    };
    seen.push(request.clone());
    Some(request)
}

/// Asks the server, and reads its answer to the end.
fn forward(server: SocketAddr, head: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    let mut upstream = TcpStream::connect(server).ok()?;
    let end = head.len().checked_sub(2)?;
    upstream.write_all(&head[..end]).ok()?;
    upstream.write_all(b"connection: close\r\n\r\n").ok()?;
    upstream.write_all(body).ok()?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).ok()?;
    Some(answer)
}

fn answer(client: &mut TcpStream, status: u16, code: &str) -> Option<()> {
    let body = format!("<Error><Code>{code}</Code><Message>Told so</Message></Error>");
    let answer = format!(
        "HTTP/1.1 {status} Told So\r\ncontent-type: application/xml\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    client.write_all(answer.as_bytes()).ok()
}

fn body_start(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some(end + 4)
}

/// Takes the last byte away, and says so in the head.
fn shorten(bytes: &mut Vec<u8>, start: usize) -> Option<()> {
    let length = bytes.len() - start;
    if length == 0 {
        return Some(());
    }
    let head = String::from_utf8_lossy(&bytes[..start]).into_owned();
    let told = |length: usize| format!("content-length: {length}\r\n");
    let head = head.replace(&told(length), &told(length - 1));
    let mut shorter = head.into_bytes();
    shorter.extend_from_slice(&bytes[start..bytes.len() - 1]);
    *bytes = shorter;
    Some(())
}

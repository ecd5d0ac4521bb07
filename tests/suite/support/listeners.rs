#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Real listeners on ports of their own, which keep what they are sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

/// An HTTP request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    pub body: String,
}

/// A server that answers everything with one status.
pub struct HttpListener {
    address: String,
    status: Arc<AtomicU16>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl HttpListener {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let status = Arc::new(AtomicU16::new(200));
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let (answer, kept) = (Arc::clone(&status), Arc::clone(&requests));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _gone = serve_http(&stream, &answer, &kept);
            }
        });
        Self {
            address,
            status,
            requests,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What everything is answered with from now on.
    pub fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// What came since the last call.
    pub fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }
}

fn serve_http(
    stream: &TcpStream,
    status: &AtomicU16,
    kept: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    // Who only looks whether somebody is there asks nothing.
    if reader.read_line(&mut line)? == 0 {
        return Ok(());
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let header = header.trim_end().to_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8(body).unwrap();
    let status = status.load(Ordering::SeqCst);
    // One that is down takes nothing.
    if status < 300 {
        kept.lock().unwrap().push(Request { path, body });
    }
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status} Said\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
}

/// A mail server that takes everything.
pub struct MailListener {
    pub address: String,
    mails: Arc<Mutex<Vec<String>>>,
}

impl MailListener {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mails = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&mails);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _gone = serve_mail(&stream, &kept);
            }
        });
        Self { address, mails }
    }

    /// What came since the last call: the commands, the head and the text of each mail.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.mails.lock().unwrap())
    }
}

fn serve_mail(stream: &TcpStream, kept: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut stream = stream;
    stream.write_all(b"220 here\r\n")?;
    let mut mail = String::new();
    let mut is_text = false;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 {
        mail.push_str(&line);
        let answer: &[u8] = match (is_text, line.trim_end()) {
            (true, ".") => {
                is_text = false;
                kept.lock().unwrap().push(std::mem::take(&mut mail));
                b"250 taken\r\n"
            }
            (true, _) => b"",
            (false, "DATA") => {
                is_text = true;
                b"354 go on\r\n"
            }
            (false, "QUIT") => b"221 bye\r\n",
            _ => b"250 yes\r\n",
        };
        stream.write_all(answer)?;
        line.clear();
    }
    Ok(())
}

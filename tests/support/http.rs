//! A small HTTP client: one request, one answer.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::process::PATIENCE;

/// What a server has answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The header fields, with names as they came.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: String,
    /// Octets of the body.
    len: usize,
}

impl Answer {
    /// The field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Asks for what is at the path.
pub(crate) fn get(server: SocketAddr, path: &str) -> io::Result<Answer> {
    request(server, "GET", path, "")
}

/// Sends a request with this body.
pub(crate) fn request(server: SocketAddr, method: &str, path: &str, body: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    // Some close the connection at the end of the answer, others go by its length.
    let mut octets = Vec::new();
    let mut buffer = [0; 1 << 14];
    loop {
        let len = stream.read(&mut buffer)?;
        octets.extend_from_slice(&buffer[..len]);
        let text = String::from_utf8_lossy(&octets);
        match parse(&text) {
            Some(answer) if len == 0 || answer.field("Content-Length") == Some(&answer.len.to_string()) => {
                return Ok(answer);
            }
            None if len == 0 => return Err(io::Error::new(ErrorKind::InvalidData, text)),
            _ => {}
        }
    }
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let fields = lines.map(|line| line.split_once(':').map(|(a, b)| (a.to_owned(), b.trim().to_owned())));
    // Chromium's driver separates some names from their values without a space.
    let mut answer =
        Answer { status, fields: fields.collect::<Option<_>>()?, body: body.to_owned(), len: body.len() };
    if answer.field("Transfer-Encoding") == Some("chunked") {
        answer.body = joined(body)?;
    }
    Some(answer)
}

/// A body that came in chunks (RFC 9112 section 7.1), once all of them are there.
fn joined(mut chunks: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (len, rest) = chunks.split_once("\r\n")?;
        let len = usize::from_str_radix(len, 16).ok()?;
        if len == 0 {
            return Some(body);
        }
        body += rest.get(..len)?;
        chunks = rest.get(len + "\r\n".len()..)?;
    }
}

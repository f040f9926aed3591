//! The HTTP door: whoever asks by GET or HEAD gets what is at the path, and the connection is closed.
//!
//! A small part of HTTP/1.1 (RFC 9110, RFC 9112), for a few readers: no body is taken, nothing is
//! changed by asking, no connection is kept. What is at which path is a [`Site`]'s matter.

use std::io;
use std::net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use httparse::{EMPTY_HEADER, Status};
use mio::net::{TcpListener, TcpStream};
use mio::{Registry, Token};

use super::conversations::{Conversations, Door};
use crate::tunnel::snapshot::Snapshot;

/// The longest request, in octets: several times what browsers send.
const REQUEST_LEN_MAX: usize = 16 * 1024;
/// The most header fields of a request.
const FIELDS_MAX: usize = 100;
const TEXT: &str = "text/plain; charset=utf-8";

/// What is shown to those who ask.
pub trait Site: Send {
    /// What is at this path, made of a snapshot as long as there are any.
    ///
    /// # Errors
    /// [`Missing`].
    fn content(
        &mut self,
        now: Instant,
        path: &str,
        snapshot: &dyn Fn() -> Option<Snapshot>,
    ) -> Result<Content, Missing>;

    /// When it wants the next snapshot, whether or not anybody asks; nothing: at once.
    fn due(&self) -> Option<Instant>;

    /// The snapshot that was due.
    fn note(&mut self, now: Instant, snapshot: &Snapshot);
}

/// Why nothing is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// There is nothing at this path.
    Path,
    /// The program ends: there is no snapshot any more.
    Snapshot,
}

/// What is at a path.
#[derive(Clone, Debug)]
pub struct Content {
    /// Its media type.
    pub media_type: &'static str,
    /// What a browser may do with it (Content Security Policy).
    pub policy: &'static str,
    /// Itself.
    pub body: Arc<[u8]>,
}

/// See the module.
#[derive(Debug)]
pub struct HttpDoor {
    /// Those who ask.
    pub(super) conversations: Conversations<TcpListener>,
    address: SocketAddr,
}

impl Door for TcpListener {
    const NAME: &str = "metrics address";
    // Browsers open connections in stock, and keep them waiting.
    const AT_A_TIME: usize = 32;
    // A request and its answer over a slow way; what the system has taken arrives even later.
    const PATIENCE: Duration = Duration::from_secs(5);
    const HEARS: bool = true;
    type Stream = TcpStream;

    fn accept(&self) -> io::Result<TcpStream> {
        Ok(Self::accept(self)?.0)
    }

    fn finish(stream: &TcpStream) -> io::Result<()> {
        stream.shutdown(Shutdown::Write)
    }
}

impl HttpDoor {
    /// Listens at this address.
    ///
    /// # Errors
    /// The system refused.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        Ok(Self { conversations: Conversations::new(listener), address })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Goes on with the answers under way, and begins new ones.
    pub(super) fn serve(
        &mut self,
        now: Instant,
        registry: &Registry,
        token: Token,
        mut content: impl FnMut(&str) -> Result<Content, Missing>,
    ) {
        let local = self.address.ip().to_canonical().is_loopback();
        self.conversations.serve(now, registry, token, |heard| respond(heard, local, &mut content));
    }
}

/// What is wanted.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    path: String,
    /// Whether the answer is to be without its body.
    head: bool,
}

/// Why there is nothing, in the words of the answer.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    status: &'static str,
    reason: &'static str,
}

impl From<Missing> for Refusal {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Path => NOT_FOUND,
            Missing::Snapshot => ENDING,
        }
    }
}

const BAD: Refusal = Refusal { status: "400 Bad Request", reason: "This is no HTTP/1.1 request." };
const NOT_FOUND: Refusal = Refusal {
    status: "404 Not Found",
    reason: "There is nothing at this path. There is a page at /, and there are metrics at /metrics.",
};
const ENDING: Refusal = Refusal { status: "503 Service Unavailable", reason: "The program is ending." };
const METHOD: Refusal =
    Refusal { status: "405 Method Not Allowed", reason: "Only GET and HEAD are answered here." };
const OTHER_HOST: Refusal = Refusal {
    status: "421 Misdirected Request",
    reason: "This address is for its own machine: ask for it as localhost, or by its number. Other names may \
             be those of web sites that look where they should not.",
};
const TOO_LARGE: Refusal =
    Refusal { status: "431 Request Header Fields Too Large", reason: "This request is too long." };

/// The answer to what was heard, once that is a request, or can be none.
fn respond(
    heard: &[u8],
    local: bool,
    content: &mut impl FnMut(&str) -> Result<Content, Missing>,
) -> Option<Arc<[u8]>> {
    let (head, found) = match read(heard, local).transpose()? {
        Ok(request) => (request.head, content(&request.path).map_err(Refusal::from)),
        Err(refusal) => (false, Err(refusal)),
    };
    let (headers, body) = match found {
        Ok(Content { media_type, policy, body }) => (headers("200 OK", media_type, policy, body.len()), body),
        Err(Refusal { status, reason }) => {
            let body = format!("{reason}\n").into_bytes();
            (headers(status, TEXT, "default-src 'none'", body.len()), body.into())
        }
    };
    let mut answer = headers.into_bytes();
    if !head {
        answer.extend_from_slice(&body);
    }
    Some(answer.into())
}

fn headers(status: &str, media_type: &str, policy: &str, len: usize) -> String {
    let allow = if status == METHOD.status { "Allow: GET, HEAD\r\n" } else { "" };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {len}\r\n{allow}\
         Content-Security-Policy: {policy}\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
}

/// The request in what was heard. Nothing: it is not complete.
fn read(heard: &[u8], local: bool) -> Result<Option<Request>, Refusal> {
    let mut fields = [EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(heard) {
        Ok(Status::Complete(len)) if len <= REQUEST_LEN_MAX => {}
        Ok(Status::Partial) if heard.len() < REQUEST_LEN_MAX => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(TOO_LARGE),
        Err(_) => return Err(BAD),
    }
    let hosts: Vec<_> =
        request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case("host")).collect();
    let host = match hosts[..] {
        // HTTP/1.0 has no such field.
        [] if request.version == Some(0) => None,
        [field] => Some(str::from_utf8(field.value).map_err(|_| BAD)?),
        _ => return Err(BAD),
    };
    // A name of somebody else's that leads here would let his web site read the answer (DNS rebinding).
    if local && host.is_some_and(|host| !names_this_machine(host)) {
        return Err(OTHER_HOST);
    }
    let head = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Err(METHOD),
    };
    let target = request.path.ok_or(BAD)?;
    // The form that is sent to proxies has the host in front (RFC 9112 section 3.2.2).
    let path = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => target,
    };
    let path = path.split('?').next().unwrap_or_default().to_owned();
    Ok(Some(Request { path, head }))
}

/// Whether a Host field has an IP address or this machine's own name in it, and perhaps a port.
fn names_this_machine(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (host, ""),
    };
    if !port.bytes().all(|octet| octet.is_ascii_digit()) {
        return false;
    }
    if let Some(inner) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().is_ok();
    }
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    name.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpStream as Client};

    use mio::{Events, Poll};

    use super::*;

    const TOKEN: Token = Token(1);

    fn found(path: &str) -> Result<Content, Missing> {
        let body = Arc::from(&b"here"[..]);
        let content = Content { media_type: TEXT, policy: "default-src 'none'", body };
        (path == "/metrics").then_some(content).ok_or(Missing::Path)
    }

    fn response(request: &[u8], local: bool) -> Option<String> {
        let octets = respond(request, local, &mut found)?;
        Some(String::from_utf8(octets.to_vec()).expect("all of it is text"))
    }

    fn status(request: &str) -> String {
        let response = response(request.as_bytes(), true).expect("an answer");
        response.lines().next().expect("a status line").to_owned()
    }

    #[test]
    fn what_is_there_is_given_whole_and_to_head_without_its_body() {
        let get = response(b"GET /metrics HTTP/1.1\r\nHost: localhost:9100\r\n\r\n", true).expect("complete");
        let (headers, body) = get.split_once("\r\n\r\n").expect("headers end with an empty line");
        assert!(headers.starts_with("HTTP/1.1 200 OK\r\n"), "{headers}");
        assert_eq!(body, "here");
        for field in ["Content-Length: 4", "Connection: close", "Cache-Control: no-store"] {
            assert!(headers.lines().any(|line| line == field), "{field} is in {headers}");
        }
        let head = response(b"HEAD /metrics?a=b HTTP/1.1\r\nHost: [::1]:9100\r\n\r\n", true);
        assert_eq!(head.as_deref(), Some(&*format!("{headers}\r\n\r\n")));
        let none = response(b"HEAD /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", true).expect("complete");
        assert!(none.starts_with("HTTP/1.1 404") && none.ends_with("\r\n\r\n"), "{none}");
        assert_eq!(
            status("GET http://localhost/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            "HTTP/1.1 200 OK"
        );
        assert_eq!(status("GET /metrics HTTP/1.0\r\n\r\n"), "HTTP/1.1 200 OK");
    }

    #[test]
    fn what_is_not_there_or_no_request_is_refused_with_its_status() {
        let host = "Host: 127.0.0.1\r\n\r\n";
        for (request, expected) in [
            (format!("GET /nothing HTTP/1.1\r\n{host}"), "404 Not Found"),
            (format!("GET http://127.0.0.1 HTTP/1.1\r\n{host}"), "404 Not Found"),
            (format!("POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n{host}abc"), "405 Method Not Allowed"),
            (format!("get /metrics HTTP/1.1\r\n{host}"), "405 Method Not Allowed"),
            ("GET /metrics HTTP/1.1\r\n\r\n".to_owned(), "400 Bad Request"),
            (format!("GET /metrics HTTP/1.1\r\nHost: ::1\r\n{host}"), "400 Bad Request"),
            ("\x16\x03\x01\x02".to_owned(), "400 Bad Request"),
            (format!("GET /metrics HTTP/2.0\r\n{host}"), "400 Bad Request"),
            (format!("GET /metrics HTTP/1.1\r\n{}{host}", "a: b\r\n".repeat(FIELDS_MAX)), "431"),
            (format!("GET /{}", "a".repeat(REQUEST_LEN_MAX)), "431"),
            (format!("GET /{} HTTP/1.1\r\n{host}", "a".repeat(REQUEST_LEN_MAX)), "431"),
        ] {
            let status = status(&request);
            assert!(status.starts_with(&format!("HTTP/1.1 {expected}")), "{request:.80}: {status}");
        }
        let refused = response(b"PUT / HTTP/1.1\r\nHost: ::1\r\n\r\n", false).expect("complete");
        assert!(refused.contains("\r\nAllow: GET, HEAD\r\n"), "{refused}");
        assert_eq!(response(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n", true), None, "it goes on");
    }

    #[test]
    fn at_an_address_for_this_machine_no_other_name_is_answered() {
        for (host, ours) in [
            ("localhost", true),
            ("LOCALHOST.:80", true),
            ("mptunnel.localhost:9100", true),
            ("127.0.0.1:9100", true),
            ("[::1]:9100", true),
            ("example.org", false),
            ("localhost.example.org:9100", false),
            ("127.0.0.1.example.org", false),
            ("[::1].example.org", false),
            ("", false),
        ] {
            assert_eq!(names_this_machine(host), ours, "{host}");
            let request = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let refused = response(request.as_bytes(), true).expect("complete").starts_with("HTTP/1.1 421 ");
            assert_eq!(refused, !ours, "{host}");
            let elsewhere = response(request.as_bytes(), false).expect("complete");
            assert!(elsewhere.starts_with("HTTP/1.1 200 "), "{host}: an address for others has names");
        }
    }

    struct Loop {
        poll: Poll,
        door: HttpDoor,
        now: Instant,
    }

    impl Loop {
        fn new() -> Self {
            let poll = Poll::new().expect("a poll");
            let mut door = HttpDoor::open((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
            door.conversations.register(poll.registry(), TOKEN).expect("a registered socket");
            #[expect(clippy::disallowed_methods, reason = "any instant will do")]
            let now = Instant::now();
            Self { poll, door, now }
        }

        fn client(&self) -> Client {
            let client = Client::connect(self.door.address()).expect("it listens");
            client.set_read_timeout(Some(Duration::from_secs(20))).expect("a time that is not zero");
            client
        }

        /// Waits for what is to do, and does it.
        fn turn(&mut self) {
            let mut events = Events::with_capacity(64);
            self.poll.poll(&mut events, Some(Duration::from_secs(20))).expect("a poll");
            assert!(!events.is_empty(), "nothing happens");
            self.door.conversations.note();
            while self.door.conversations.are_asked() {
                self.door.serve(self.now, self.poll.registry(), TOKEN, found);
            }
        }

        fn turn_until(&mut self, mut reached: impl FnMut(&Self) -> bool) {
            while !reached(self) {
                self.turn();
            }
        }
    }

    #[test]
    fn a_request_may_come_in_pieces_and_its_answer_ends_with_the_connection() {
        let mut turn = Loop::new();
        let mut client = turn.client();
        client.write_all(b"GET /metr").expect("it listens");
        turn.turn_until(|turn| turn.door.conversations.count() == 1);
        client.write_all(b"ics HTTP/1.1\r\nHost: localhost\r\n\r\nand more").expect("it listens");
        turn.turn();
        let mut text = String::new();
        client.read_to_string(&mut text).expect("an answer, and its end");
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nhere"), "{text}");
        drop(client);
        turn.turn_until(|turn| turn.door.conversations.count() == 0);
        assert_eq!(turn.door.conversations.deadline(), None);
    }

    #[test]
    fn who_says_nothing_is_dropped_in_time_and_then_the_next_is_answered() {
        let mut turn = Loop::new();
        let silent: Vec<_> = (0..TcpListener::AT_A_TIME).map(|_| turn.client()).collect();
        turn.turn_until(|turn| turn.door.conversations.count() == TcpListener::AT_A_TIME);
        let mut next = turn.client();
        next.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("the system queues it");
        assert_eq!(turn.door.conversations.deadline(), Some(turn.now + TcpListener::PATIENCE));
        turn.now += TcpListener::PATIENCE;
        turn.turn();
        let mut text = String::new();
        next.read_to_string(&mut text).expect("an answer, and its end");
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        for mut client in silent {
            assert_eq!(client.read(&mut [0]).expect("the end"), 0);
        }
    }
}

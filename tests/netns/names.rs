//! A bridge that is known by its name, and a name server of a few lines that says where it is.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::lab::{Lab, Version, announce, bridge_address};
use super::programs::{SERVER_PORT, application, mpclient_with, mpserver, socat_bridge, target};
use super::stream::{Echo, Listener, Stream};
use super::wait::poll_until;

const PROGRAMS: [&str; 1] = ["socat"];

/// How soon a name must be followed, from when its old address fell silent: 5 s, and as much for a busy machine.
const FOLLOWED: Duration = Duration::from_secs(10);

/// Where the name server listens.
const NAME_SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53);

/// Types of records (RFC 1035 section 3.2.2, RFC 3596 section 2.1).
const A: u16 = 1;
const AAAA: u16 = 28;

type Names = Arc<Mutex<HashMap<String, Vec<IpAddr>>>>;

/// A name server. Ends when dropped.
pub(super) struct NameServer {
    names: Names,
    asked: Arc<Mutex<usize>>,
    _listener: Listener,
}

impl NameServer {
    /// Starts it in the client's namespace; programs that start there from now on ask it.
    pub(super) fn start(lab: &Lab) -> Self {
        let socket = lab.client.socket(NAME_SERVER);
        lab.client.set_name_server(NAME_SERVER.ip());
        let (names, asked) = (Names::default(), Arc::<Mutex<usize>>::default());
        let (known, count) = (Arc::clone(&names), Arc::clone(&asked));
        let answer_to = move |socket: &UdpSocket, query: &[u8], client: SocketAddr| {
            *count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            let known = known.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(answer) = answer(query, &known) {
                let _ = socket.send_to(&answer, client);
            }
        };
        Self { names, asked, _listener: Listener::start(socket, answer_to) }
    }

    /// Says where a name leads to from now on.
    pub(super) fn set(&self, name: &str, addresses: &[IpAddr]) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(name.to_owned(), addresses.to_vec());
    }

    /// How many questions there were so far.
    fn asked(&self) -> usize {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer to a query with one question (RFC 1035 section 4.1): a header of 12 octets, the question as it
/// came, and a record for each address of the version that was asked for. A name that is not known does not
/// exist.
fn answer(query: &[u8], names: &HashMap<String, Vec<IpAddr>>) -> Option<Vec<u8>> {
    let (header, mut rest) = query.split_at_checked(12)?;
    let mut labels = Vec::new();
    loop {
        let (len, after) = rest.split_first()?;
        let (label, after) = after.split_at_checked(usize::from(*len))?;
        rest = after;
        if label.is_empty() {
            break;
        }
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
    }
    let (kind, rest) = rest.split_at_checked(4)?;
    let question = &query[12..query.len() - rest.len()];
    let wanted = u16::from_be_bytes([kind[0], kind[1]]);
    let addresses = names.get(&labels.join("."));
    let records: Vec<Vec<u8>> = addresses
        .into_iter()
        .flatten()
        .filter_map(|address| match (address, wanted) {
            (IpAddr::V4(ip), A) => Some(ip.octets().to_vec()),
            (IpAddr::V6(ip), AAAA) => Some(ip.octets().to_vec()),
            _ => None,
        })
        .collect();
    // An answer, recursion wanted and available; 3: no such name.
    let code = if addresses.is_some() { 0 } else { 3 };
    let mut answer = [&header[..2], &[0x81, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]].concat();
    answer.extend_from_slice(question);
    for record in records {
        // The name is that at offset 12; type, class IN, valid for a minute, length, address.
        answer.extend_from_slice(&[0xc0, 12, kind[0], kind[1], 0, 1, 0, 0, 0, 60, 0, record.len() as u8]);
        answer.extend_from_slice(&record);
    }
    Some(answer)
}

fn ip(path: usize) -> IpAddr {
    bridge_address(Version::V4, path).ip()
}

#[test]
fn the_only_bridge_is_followed_to_where_its_name_points() {
    let Some(lab) = Lab::new("name", 2, &PROGRAMS) else { return };
    let names = NameServer::start(&lab);
    // The first of the addresses leads nowhere: both are tried, and the one that answers is kept.
    names.set("bridge.example", &[bridge_address(Version::V6, 1).ip(), ip(1)]);
    let mut old = socat_bridge(&lab, 1, Version::V4, SERVER_PORT);
    let _new = socat_bridge(&lab, 2, Version::V4, SERVER_PORT);
    let _server = mpserver(&lab);
    let client = mpclient_with(&lab, &["bridge.example 4000".to_owned()]);
    let stream = Stream::start(application(&lab), Echo::start(target(&lab)), 1000, 200);
    stream.wait_until_it_flows(FOLLOWED);
    // While it answers, nobody asks for its name.
    let up = || client.log().contains("bridge bridge.example:4000 is up");
    assert!(poll_until(FOLLOWED, up));
    let asked = names.asked();
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(names.asked(), asked, "a path that works is not looked up");
    let start = Instant::now();
    names.set("bridge.example", &[ip(2)]);
    old.kill();
    // From here on, what comes back does so over the new address or not at all.
    stream.wait_until_it_flows(FOLLOWED);
    announce(&format!("the only bridge's name was followed after {:?}", start.elapsed()));
    assert!(client.log().contains(&format!("bridge bridge.example:4000 is at {}:4000", ip(2))));
}

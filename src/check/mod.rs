//! `mpclient check`: tries each bridge of a configuration by itself, all at once, and says what works and
//! what to do about what does not.
//!
//! Each bridge gets a client of its own, the very one that carries datagrams, with nothing to carry: its
//! handshake, probes and search for the largest datagram are the real ones. What it has found is in its
//! [`Snapshot`] and in what the system said of its socket.

mod words;

use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use words::{Finding, report};

use crate::net::{EventLoop, StartError};
use crate::tunnel::Tunnel;
use crate::tunnel::chronicle::Kind;
use crate::tunnel::role::{Bridge, ClientRole, Config, Security};
use crate::tunnel::snapshot::{PathView, Snapshot, Status};

/// A bridge that was not answered by then does not work: ten handshakes were sent.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// One that works is watched for so long, for its losses ...
const WATCHED: Duration = Duration::from_secs(2);
/// ... and at most for so long, until the largest datagram is found: it is looked for from the third second on,
/// which takes two seconds more on most paths, and some 30 probes on others.
const ALL_WITHIN: Duration = Duration::from_secs(12);

/// Tries the bridges and prints what was found. Returns how many of how many work.
///
/// # Errors
/// What keeps them from being tried, or the result from being printed.
pub fn run(bridges: &[Bridge], security: &Security) -> Result<(usize, usize), String> {
    let findings: Vec<Result<Finding, String>> = thread::scope(|scope| {
        let threads: Vec<_> =
            bridges.iter().map(|bridge| scope.spawn(|| find(bridge.clone(), security.clone()))).collect();
        let joined = threads.into_iter().map(|thread| thread.join().expect("whatever is wrong is returned"));
        joined.collect()
    });
    let findings = findings.into_iter().collect::<Result<Vec<_>, _>>()?;
    let works = findings.iter().filter(|finding| finding.works()).count();
    let names = bridges.iter().map(Bridge::to_string);
    let text = report(&names.zip(findings).collect::<Vec<_>>(), security);
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(format!("cannot print: {error}")),
        _ => Ok((works, bridges.len())),
    }
}

/// Tries one bridge.
fn find(bridge: Bridge, security: Security) -> Result<Finding, String> {
    // Nobody sends anything there.
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let role = ClientRole::new(listen, vec![bridge]).into();
    let failed = |error: StartError| error.to_string();
    let mut event_loop = EventLoop::new(Config { role, security }).map_err(failed)?;
    let mut begin = None;
    let mut up = None;
    let run = event_loop.run_while(|now, tunnel| {
        let begin = *begin.get_or_insert(now);
        let passed = |since: Instant, limit| now.saturating_duration_since(since) >= limit;
        let path = path(&tunnel.snapshot(now));
        if path.as_ref().is_some_and(answers) {
            up.get_or_insert(now);
        }
        match (up, path) {
            (Some(up), Some(path)) => {
                let whole = path.largest_whole;
                let found = whole.sent_octets.is_some() && whole.received_octets.is_some();
                !(found && passed(up, WATCHED) || passed(begin, ALL_WITHIN))
            }
            _ => !passed(begin, ANSWER_WITHIN),
        }
    });
    run.map_err(|error| format!("cannot wait for packets: {error}"))?;
    let now = event_loop.now();
    Ok(finding(now, event_loop.tunnel(), event_loop.trouble()))
}

/// Whether mpserver answers over it, if only now and then.
fn answers(path: &PathView) -> bool {
    path.is_up() || path.status == Status::Late
}

/// The one path.
fn path(snapshot: &Snapshot) -> Option<PathView> {
    snapshot.peers.first()?.paths.first().cloned()
}

fn finding(now: Instant, tunnel: &Tunnel, trouble: Option<&io::Error>) -> Finding {
    let snapshot = tunnel.snapshot(now);
    let Some(path) = path(&snapshot) else { return Finding::Silent };
    let said = |kind| {
        let event = snapshot.events.iter().rfind(|event| event.kind == kind)?;
        Some(event.text.clone())
    };
    if let (true, Some(rtt)) = (answers(&path), path.rtt) {
        let probes = tunnel.probes(now, path.number);
        return Finding::Works { rtt_ms: rtt.smoothed_ms, probes, whole: path.largest_whole };
    }
    if path.status == Status::Resolving {
        return Finding::NoAddress(said(Kind::Name));
    }
    if let Some(uplink) = said(Kind::Uplink) {
        return Finding::NoUplink(uplink);
    }
    match trouble {
        Some(error) if error.kind() == ErrorKind::ConnectionRefused => Finding::Refused,
        Some(error) => Finding::Unreachable(error.to_string()),
        None => Finding::Silent,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;
    use crate::tunnel::keyring::Keys;
    use crate::tunnel::link::Uplink;

    #[test]
    fn what_the_system_says_against_a_bridges_socket_is_told() {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        // A link-local address without its interface is none that a socket could have.
        let bind = Uplink::Address("fe80::1".parse().expect("an address"));
        let bridge = Bridge { bind: Some(bind), ..SocketAddr::from((Ipv6Addr::LOCALHOST, 4000)).into() };
        let role = ClientRole::new(listen, vec![bridge]).into();
        let security = Security { encrypt: true, keys: Keys::None };
        let mut event_loop = EventLoop::new(Config { role, security }).expect("a port");
        let mut turns = 0..2;
        event_loop.run_while(|_, _| turns.next().is_some()).expect("a poll");
        let found = finding(event_loop.now(), event_loop.tunnel(), event_loop.trouble());
        assert!(matches!(found, Finding::Unreachable(_)), "{found:?}");
    }
}

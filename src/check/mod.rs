//! `mpclient check`: tries each bridge of a configuration by itself, five at a time, and says what works and
//! what to do about what does not.
//!
//! Each bridge gets a client of its own, the very one that carries datagrams, with nothing to carry: its
//! handshake, probes and search for the largest datagram are the real ones. What it has found is in its
//! [`Snapshot`] and in what the system said of its socket.

mod json;
mod remedies;
mod words;

use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use words::{Finding, Tried, reason, report};

use crate::net::{EventLoop, StartError};
use crate::tunnel::Tunnel;
use crate::tunnel::chronicle::Kind;
use crate::tunnel::role::{Bridge, ClientRole, Config, Security};
use crate::tunnel::snapshot::{PathView, Snapshot, Status};

/// Bridges that are tried at once. Those that work take 3 s and more, and mpserver with `--keys`, which takes sixteen clients of
/// one name, counts one whose last words were lost for 5 s: so it may count three times as many, and an mpclient that runs.
const AT_ONCE: usize = 5;
/// A bridge that was not answered by then does not work: ten handshakes were sent.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// Where its name has several addresses, the next one's turn comes after this long.
const EACH_ADDRESS: Duration = Duration::from_secs(2);
/// One that works is watched for so long, for its losses ...
const WATCHED: Duration = Duration::from_secs(2);
/// ... and at most for so long, until the largest datagram is found: it is looked for from the third second on,
/// which takes two seconds more on most paths, and some 30 probes on others.
const ALL_WITHIN: Duration = Duration::from_secs(12);

/// How the result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// In sentences.
    Words,
    /// As a JSON object on a line for each bridge (docs/status.md).
    Json,
}

/// Tries the bridges and prints what was found. Returns how many of how many work.
///
/// # Errors
/// What keeps them from being tried, or the result from being printed.
pub fn run(bridges: &[Bridge], security: &Security, form: Form) -> Result<(usize, usize), String> {
    let mut all = Vec::with_capacity(bridges.len());
    for some in bridges.chunks(AT_ONCE) {
        let tried: Vec<Result<Tried, String>> = thread::scope(|scope| {
            let threads: Vec<_> =
                some.iter().map(|bridge| scope.spawn(|| find(bridge.clone(), security.clone()))).collect();
            let joined =
                threads.into_iter().map(|thread| thread.join().expect("whatever is wrong is returned"));
            joined.collect()
        });
        all.extend(tried.into_iter().collect::<Result<Vec<_>, _>>()?);
    }
    let text = match form {
        Form::Words => report(&all, security),
        Form::Json => json::lines(&all),
    };
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(format!("cannot print: {error}")),
        _ => Ok((all.iter().filter(|tried| tried.finding.works()).count(), all.len())),
    }
}

/// Tries one bridge.
fn find(bridge: Bridge, security: Security) -> Result<Tried, String> {
    // Nobody sends anything there.
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let role = ClientRole::new(listen, vec![bridge.clone()]).into();
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
            _ => !passed(begin, answer_within(tunnel.addresses(0).len())),
        }
    });
    run.map_err(|error| format!("cannot wait for packets: {error}"))?;
    let (tunnel, trouble) = (event_loop.tunnel(), event_loop.trouble());
    let finding = finding(event_loop.now(), &bridge, tunnel, trouble);
    Ok(Tried { addresses: tunnel.addresses(0).to_vec(), bridge, finding })
}

/// How long a bridge is waited for whose name has so many addresses.
fn answer_within(addresses: usize) -> Duration {
    let more = u32::try_from(addresses.saturating_sub(1)).unwrap_or(u32::MAX);
    ANSWER_WITHIN.saturating_add(EACH_ADDRESS.saturating_mul(more)).min(ALL_WITHIN)
}

/// Whether mpserver answers over it, if only now and then.
fn answers(path: &PathView) -> bool {
    path.is_up() || path.status == Status::Late
}

/// The one path.
fn path(snapshot: &Snapshot) -> Option<PathView> {
    snapshot.peers.first()?.paths.first().cloned()
}

fn finding(now: Instant, bridge: &Bridge, tunnel: &Tunnel, trouble: Option<&io::Error>) -> Finding {
    let snapshot = tunnel.snapshot(now);
    let Some(path) = path(&snapshot) else { return Finding::Silent };
    let said = |kind| {
        let event = snapshot.events.iter().rfind(|event| event.kind == kind)?;
        Some(reason(&bridge.to_string(), &event.text).to_owned())
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
    // No probe leaves before the handshake was answered.
    if let (None, Some(probes @ 1..)) = (path.rtt, path.unanswered) {
        return Finding::HandshakeOnly(probes);
    }
    let Some(error) = trouble else { return Finding::Silent };
    match error.kind() {
        ErrorKind::ConnectionRefused => Finding::Refused,
        ErrorKind::PermissionDenied => Finding::Forbidden(error.to_string()),
        ErrorKind::HostUnreachable => Finding::Unreachable(error.to_string()),
        _ => Finding::NoRoute(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;
    use crate::tunnel::keyring::Keys;
    use crate::tunnel::link::Uplink;

    #[test]
    fn each_address_of_a_name_has_its_turn() {
        let seconds = [0, 1, 2, 5, 1_000].map(|addresses| answer_within(addresses).as_secs());
        assert_eq!(seconds, [3, 3, 5, 11, 12]);
    }

    #[test]
    fn what_the_system_says_against_a_bridges_socket_is_told() {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        // A link-local address without its interface is none that a socket could have.
        let bind = Uplink::Address("fe80::1".parse().expect("an address"));
        let bridge = Bridge { bind: Some(bind), ..SocketAddr::from((Ipv6Addr::LOCALHOST, 4000)).into() };
        let role = ClientRole::new(listen, vec![bridge.clone()]).into();
        let security = Security { encrypt: true, keys: Keys::None };
        let mut event_loop = EventLoop::new(Config { role, security }).expect("a port");
        let mut turns = 0..2;
        event_loop.run_while(|_, _| turns.next().is_some()).expect("a poll");
        let found = finding(event_loop.now(), &bridge, event_loop.tunnel(), event_loop.trouble());
        assert!(matches!(found, Finding::NoRoute(_)), "{found:?}");
    }
}

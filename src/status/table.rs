//! A snapshot as a table of at most [`WIDTH`] columns.

use std::fmt::Write;
use std::time::Duration;

use jiff::{SignedDuration, Zoned};

use super::WIDTH;
use super::overview;
use super::paths::{losses, print_state, print_whole, print_worth};
use super::words::{count, percent, plural, reason, shorten, time, wrap};
use crate::tunnel::snapshot::{EventView, ForwardView, PeerView, Program, Snapshot, Socks5View};
use crate::tunnel::wire::Reject;

/// The last events that are shown.
const EVENTS: usize = 10;
/// The forwards that are shown: a table is to fit on a terminal.
const FORWARDS: usize = 5;
/// The most peers that are all shown in full. Of more, each has a line.
const IN_FULL: usize = 3;

/// How a table is to look.
#[derive(Clone, Debug)]
pub struct Look {
    /// Whether states have colours.
    pub colour: bool,
    /// What time it is where it is read, by which events have theirs.
    pub now: Zoned,
    /// The most peers that have a line, where there are so many that each has one.
    pub peers: usize,
    /// Whether each peer is shown in full, however many there are.
    pub in_full: bool,
}

/// The table.
pub fn table(snapshot: &Snapshot, look: &Look) -> String {
    let mut out = String::new();
    let Snapshot { program, version, uptime_s, listen, encryption, key, .. } = snapshot;
    let encryption = if *encryption { "encrypted" } else { "NOT encrypted" };
    let key = if *key { "with a key" } else { "without a key" };
    let since = before(&look.now, *uptime_s).strftime("%Y-%m-%d %H:%M:%S %Z");
    let uptime = time(*uptime_s);
    let _ = writeln!(out, "{} {version}, up {uptime} since {since}, {encryption}, {key}", program.name());
    let mut ends = format!("listens on {listen}");
    if let Some(target) = &snapshot.target {
        ends.push_str(", target ");
        ends.push_str(&shorten(target, WIDTH - ends.len()));
    }
    let _ = writeln!(out, "{ends}");
    print_doors(snapshot, &mut out);
    let counters = &snapshot.counters;
    let _ = writeln!(
        out,
        "{} sent, {} received, {}",
        plural(counters.datagrams_sent, "datagram"),
        count(counters.datagrams_received),
        plural(counters.handshakes, "handshake"),
    );
    let refused =
        counters.rejected.iter().filter(|(reject, number)| **reject != Reject::Copy && **number > 0);
    let refused: Vec<_> =
        refused.map(|(reject, number)| format!("{} {}", count(*number), reason(*reject))).collect();
    if !refused.is_empty() {
        wrap(&format!("not taken: {}", refused.join(", ")), 2, &mut out);
    }
    if snapshot.peers.is_empty() {
        out.push_str("\nno client is connected\n");
    }
    let peers = &snapshot.peers;
    let overview = peers.len() > IN_FULL && !look.in_full;
    if overview {
        out.push('\n');
        overview::print(peers, look.peers, look.colour, &mut out);
    } else {
        for peer in peers {
            out.push('\n');
            print_peer(*program, peer, look.colour, &mut out);
        }
    }
    print_events(&snapshot.events, &look.now, &mut out);
    if overview {
        let by = if peers.iter().any(|peer| peer.name.is_some()) { "NAME" } else { "NUMBER" };
        let _ = writeln!(out, "\n\"{} status --client {by}\" shows one client in full", program.name());
    }
    out
}

/// Where mpclient can be reached besides.
fn print_doors(snapshot: &Snapshot, out: &mut String) {
    for ForwardView { listen, target } in snapshot.forwards.iter().take(FORWARDS) {
        let listens = format!("{listen} leads to ");
        let _ = writeln!(out, "{listens}{}", shorten(target, WIDTH - listens.len()));
    }
    if let Some(more) = snapshot.forwards.len().checked_sub(FORWARDS).filter(|more| *more > 0) {
        let _ = writeln!(out, "and {}", plural(more as u64, "more forward"));
    }
    if let Some(Socks5View { listen, login, associations, .. }) = &snapshot.socks5 {
        let login = if *login { "with a login" } else { "without a login" };
        let associations = plural(*associations as u64, "association");
        let _ = writeln!(out, "SOCKS5 at {listen}, {login}, {associations}");
    }
}

fn print_peer(program: Program, peer: &PeerView, colour: bool, out: &mut String) {
    let who = match program {
        Program::Mpclient => "server".to_owned(),
        Program::Mpserver => match &peer.name {
            Some(name) => format!("client {} ({name})", peer.number),
            None => format!("client {}", peer.number),
        },
    };
    let session = match (peer.heard_ago_s, peer.session_age_s) {
        (Some(heard), Some(age)) => format!("heard {} ago, keys {} old", time(heard), time(age)),
        _ => "not connected".to_owned(),
    };
    let flows = match peer.limit_that_is_near() {
        Some(most) => format!("{} of {}", count(peer.flows as u64), plural(most as u64, "application")),
        None => plural(peer.flows as u64, "application"),
    };
    wrap(&format!("{who}: {session}, {flows}, copies: {}", peer.copies), 2, out);
    print_settled(peer, out);
    print_state(&peer.paths, colour, out);
    if peer.paths.iter().any(|path| path.copies + path.copies_sent > 0) {
        print_worth(&peer.paths, out);
    }
    print_whole(&peer.paths, out);
    for pair in &peer.pairs {
        let [a, b] = pair.paths;
        let _ = writeln!(
            out,
            "paths {a} and {b} lose together (correlation {:.2}): do they share a cable?",
            pair.correlation
        );
    }
}

/// What became of the datagrams, once there were some.
fn print_settled(peer: &PeerView, out: &mut String) {
    let (received, sent) = (peer.received, peer.sent.loss_last_5min);
    if [received.loss.last_10s, received.loss.last_5min, sent].iter().any(Option::is_some) {
        let _ = writeln!(
            out,
            "lost on all paths: {} from there in 10 s / 5 min, {} to there in 5 min",
            losses(received.loss),
            percent(sent),
        );
    }
    if received.datagrams > 0 {
        let settled = format!(
            "of {} from there {} were lost, and {} recovered: lost on a path, brought by another",
            plural(received.datagrams, "datagram"),
            count(received.lost),
            count(received.recovered),
        );
        wrap(&settled, 2, out);
    }
}

fn print_events(events: &[EventView], now: &Zoned, out: &mut String) {
    let Some(last) = events.len().checked_sub(1) else { return };
    let shown = &events[last.saturating_sub(EVENTS - 1)..];
    out.push('\n');
    for event in shown {
        let at = before(now, event.ago_s);
        // The day belongs to the time once it is another one.
        let time = at.strftime(if at.date() == now.date() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" });
        wrap(&format!("{time} {}", event.text), 9, out);
    }
}

/// So many seconds before; never before the first moment that can be told.
fn before(now: &Zoned, seconds: f64) -> Zoned {
    let ago = Duration::try_from_secs_f64(seconds).ok().and_then(|ago| SignedDuration::try_from(ago).ok());
    ago.and_then(|ago| now.checked_sub(ago).ok()).unwrap_or_else(|| now.clone())
}

//! A snapshot as a table of at most [`WIDTH`] columns.

use std::fmt::Write;

use super::grid::{self, Align, Cell};
use super::words::{UNKNOWN, count, ms, octets, percent, percents, plural, time};
use crate::tunnel::snapshot::{PathView, PeerView, Program, Snapshot, State, Status};
use crate::tunnel::wire::Reject;

/// What fits on every terminal that people use.
pub const WIDTH: usize = 100;
/// What is left of it for a bridge's name, where all else is as wide as it gets.
const BRIDGE_WIDTH: usize = 28;

/// The table.
pub fn table(snapshot: &Snapshot, colour: bool) -> String {
    let mut out = String::new();
    let Snapshot { program, version, uptime_s, listen, encryption, key, .. } = snapshot;
    let encryption = if *encryption { "encrypted" } else { "NOT encrypted" };
    let key = if *key { "with a key" } else { "without a key" };
    let _ = writeln!(out, "{} {version}, up {}, {encryption}, {key}", program.name(), time(*uptime_s));
    let mut ends = format!("listens on {listen}");
    if let Some(target) = &snapshot.target {
        ends.push_str(", target ");
        ends.push_str(&shorten(target, WIDTH - ends.len()));
    }
    let _ = writeln!(out, "{ends}");
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
        refused.map(|(reject, number)| format!("{} {}", count(*number), name(*reject))).collect();
    if !refused.is_empty() {
        wrap(&format!("not taken: {}", refused.join(", ")), &mut out);
    }
    if snapshot.peers.is_empty() {
        out.push_str("\nno client is connected\n");
    }
    for peer in &snapshot.peers {
        out.push('\n');
        print_peer(*program, peer, colour, &mut out);
    }
    out
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
    let flows = plural(peer.flows as u64, "application");
    let _ = writeln!(out, "{who}: {session}, {flows}");
    let received = peer.received;
    let part = (received.datagrams > 0).then(|| received.lost as f64 / received.datagrams as f64);
    let _ = writeln!(
        out,
        "of {} from there {} were lost on all paths: {}",
        plural(received.datagrams, "datagram"),
        count(received.lost),
        percent(part),
    );
    print_state(&peer.paths, colour, out);
    print_brought(&peer.paths, out);
    for pair in &peer.pairs {
        let [a, b] = pair.paths;
        let _ = writeln!(
            out,
            "paths {a} and {b} lose together (correlation {:.2}): do they share a cable?",
            pair.correlation
        );
    }
}

fn print_state(paths: &[PathView], colour: bool, out: &mut String) {
    use Align::{Left, Right};
    let head = ["path", "bridge", "use", "status", "round trip", "loss from there", "loss to there"];
    let units = ["", "", "", "", "", "10 s / 5 min", "10 s / 5 min"];
    let mut rows = vec![head.map(Cell::from).to_vec(), units.map(Cell::from).to_vec()];
    for path in paths {
        let (status, style) = match path.status {
            Status::Resolving => ("resolving", "33"),
            Status::Probing => ("probing", "33"),
            Status::Up => ("up", "32"),
            Status::Lossy => ("lossy", "33"),
            Status::Silent => ("silent", "31"),
        };
        let state = match (path.state, path.chosen) {
            (State::Use, true) => "yes",
            (State::Use, false) => "no",
            (State::Backup, true) => "helps",
            (State::Backup, false) => "backup",
        };
        rows.push(vec![
            path.number.to_string().into(),
            shorten(&path.bridge, BRIDGE_WIDTH).into(),
            state.into(),
            Cell::styled(status, if colour { style } else { "" }),
            path.rtt.map_or(UNKNOWN.to_owned(), |rtt| ms(rtt.smoothed_ms)).into(),
            percents([path.loss_received.last_10s, path.loss_received.last_5min]).into(),
            percents([path.loss_sent.last_10s, path.loss_sent.last_5min]).into(),
        ]);
    }
    grid::print(&[Right, Left, Left, Left, Right, Right, Right], &rows, out);
}

fn print_brought(paths: &[PathView], out: &mut String) {
    use Align::Right;
    if paths.iter().all(|path| path.copies == 0) {
        return;
    }
    let head =
        ["path", "copies", "amount", "came first", "alone", "overtaken", "behind", "shortest", "variation"];
    let mut rows = vec![head.map(Cell::from).to_vec()];
    for path in paths {
        let brought = path.copies > 0;
        rows.push(vec![
            path.number.to_string().into(),
            count(path.copies).into(),
            octets(path.octets).into(),
            percent(path.first_share).into(),
            count(path.saved).into(),
            percent(brought.then(|| path.overtaken as f64 / path.copies as f64)).into(),
            if brought { ms(path.lateness_ms) } else { UNKNOWN.to_owned() }.into(),
            path.rtt.map_or(UNKNOWN.to_owned(), |rtt| ms(rtt.min_ms)).into(),
            path.rtt.map_or(UNKNOWN.to_owned(), |rtt| ms(rtt.variation_ms)).into(),
        ]);
    }
    grid::print(&[Right; 9], &rows, out);
}

/// A reason in words.
fn name(reject: Reject) -> &'static str {
    match reject {
        Reject::Copy => "copies",
        Reject::TooOld => "too old",
        Reject::Malformed => "malformed",
        Reject::UnknownSession => "of an unknown session",
        Reject::Forged => "forged or damaged",
        Reject::Unconfirmed => "of an unconfirmed session",
        Reject::OtherVersion => "of another version",
        Reject::OtherMode => "with another encryption or key setting",
        Reject::OtherKey => "with another key",
        Reject::HandshakeLimit => "handshakes beyond the limit",
        Reject::HandshakeRate => "handshakes too fast",
        Reject::PeerLimit => "clients beyond the limit",
        Reject::PathLimit => "paths beyond the limit",
        Reject::FlowLimit => "applications beyond the limit",
        Reject::UnknownFlow => "of an unknown application",
        Reject::TooLarge => "too large",
        Reject::QueueFull => "waited too long",
        Reject::NoTarget => "without a target",
    }
}

/// At most so many characters: of a long name, begin and end are worth most.
fn shorten(name: &str, most: usize) -> String {
    let characters: Vec<_> = name.chars().collect();
    if characters.len() <= most {
        return name.to_owned();
    }
    let end = (most - 1) / 2;
    let begin = most - 1 - end;
    characters[..begin].iter().chain(&['…']).chain(&characters[characters.len() - end..]).collect()
}

/// Words in lines of at most [`WIDTH`] columns.
fn wrap(text: &str, out: &mut String) {
    let mut column = 0;
    for word in text.split(' ') {
        let len = word.chars().count();
        if column > 0 && column + 1 + len > WIDTH {
            out.push_str("\n  ");
            column = 2;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += len;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_keeps_its_begin_and_its_end() {
        assert_eq!(shorten("short:1", 7), "short:1");
        assert_eq!(shorten("bridge.example.org:4000", 11), "bridg…:4000");
    }

    #[test]
    fn a_long_line_goes_on_below() {
        let mut out = String::new();
        wrap(&"word ".repeat(50), &mut out);
        assert!(out.lines().count() > 1 && out.lines().all(|line| line.chars().count() <= WIDTH), "{out}");
        assert_eq!(out.split_whitespace().count(), 50);
    }
}

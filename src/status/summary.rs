//! What was carried since the summary before, in one line.

use std::collections::HashMap;
use std::fmt::Write;

use super::words::{count, percent, plural, time};
use crate::tunnel::snapshot::{PathView, PeerView, Program, ReceivedView, Snapshot};

/// What there was at the summary before.
#[derive(Debug, Default)]
pub struct Summary {
    uptime_s: f64,
    sent: u64,
    received: u64,
    /// What each peer's datagrams had come to.
    peers: HashMap<usize, ReceivedView>,
}

impl Summary {
    /// The line, after which the next one begins anew.
    pub fn line(&mut self, snapshot: &Snapshot) -> String {
        let counters = &snapshot.counters;
        let sent = counters.datagrams_sent.saturating_sub(self.sent);
        let received = counters.datagrams_received.saturating_sub(self.received);
        let (mut settled, mut lost, mut recovered) = (0, 0, 0);
        for peer in &snapshot.peers {
            // A number may be another client's by now; that one has begun with nothing.
            let before = self.peers.get(&peer.number).filter(|old| old.datagrams <= peer.received.datagrams);
            let since = |now: u64, old: fn(&ReceivedView) -> u64| now.saturating_sub(before.map_or(0, old));
            settled += since(peer.received.datagrams, |old| old.datagrams);
            lost += since(peer.received.lost, |old| old.lost);
            recovered += since(peer.received.recovered, |old| old.recovered);
        }
        let mut line = format!(
            "in {}: {} sent, {} received; of {} that came or should have, {} were lost on all paths ({}), and \
             {} were recovered",
            time(snapshot.uptime_s - self.uptime_s),
            plural(sent, "datagram"),
            count(received),
            count(settled),
            count(lost),
            percent((settled > 0).then(|| lost as f64 / settled as f64)),
            count(recovered),
        );
        let _ = write!(line, "; {}", paths(snapshot));
        *self = Self {
            uptime_s: snapshot.uptime_s,
            sent: counters.datagrams_sent,
            received: counters.datagrams_received,
            peers: snapshot
                .peers
                .iter()
                .map(|PeerView { number, received, .. }| (*number, *received))
                .collect(),
        };
        line
    }
}

/// How the paths are: which are not up, by name at mpclient, which has few.
fn paths(snapshot: &Snapshot) -> String {
    let all = || snapshot.peers.iter().flat_map(|peer| &peer.paths);
    let up = all().filter(|path| path.is_up()).count();
    let mut text = format!("{up} of {} up", plural(all().count() as u64, "path"));
    match snapshot.program {
        Program::Mpserver => {
            let _ = write!(text, ", {}", plural(snapshot.peers.len() as u64, "client"));
        }
        Program::Mpclient => {
            let name = |path: &PathView| match &path.interface {
                Some(interface) => format!("{} over {interface}", path.bridge),
                None => path.bridge.clone(),
            };
            let down: Vec<_> = all().filter(|path| !path.is_up()).map(name).collect();
            if !down.is_empty() {
                let _ = write!(text, ", not {}", down.join(", "));
            }
        }
    }
    text
}

//! What the snapshots of the last quarter of an hour said: a point each 5 s for every path, and for what
//! all paths of a peer together lose. For curves; what has to be exact is counted elsewhere.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::Serialize;

use crate::tunnel::snapshot::{PathView, Snapshot};

/// The time between two points.
pub const INTERVAL: Duration = Duration::from_secs(5);
/// The points kept, of 15 minutes.
pub const POINTS: usize = 180;
/// The paths remembered, the first of all peers: with their points, 1.5 MB at most.
pub const PATHS_MAX: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub struct History {
    /// When each point is from, in seconds since the start.
    times: VecDeque<f64>,
    paths: BTreeMap<(usize, usize), Path>,
    peers: BTreeMap<usize, VecDeque<Option<f32>>>,
}

#[derive(Debug)]
struct Path {
    bridge: String,
    points: VecDeque<Point>,
}

/// A path at one moment. What was not known is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Point {
    rtt_ms: Option<f32>,
    loss_received: Option<f32>,
    loss_sent: Option<f32>,
    octets_received_per_s: Option<f32>,
    octets_sent_per_s: Option<f32>,
}

/// The history in columns, as JSON: each list has a value for each time.
#[derive(Debug, Serialize)]
pub struct HistoryView {
    interval_s: u64,
    at_s: Vec<f64>,
    peers: Vec<PeerColumns>,
    paths: Vec<PathColumns>,
}

#[derive(Debug, Serialize)]
struct PeerColumns {
    peer: usize,
    loss_received: Vec<Option<f64>>,
}

#[derive(Debug, Serialize)]
struct PathColumns {
    peer: usize,
    path: usize,
    bridge: String,
    rtt_ms: Vec<Option<f64>>,
    loss_received: Vec<Option<f64>>,
    loss_sent: Vec<Option<f64>>,
    octets_received_per_s: Vec<Option<f64>>,
    octets_sent_per_s: Vec<Option<f64>>,
}

impl History {
    /// Takes a point from a snapshot.
    pub fn note(&mut self, snapshot: &Snapshot) {
        let before = self.times.len();
        self.times.push_back(snapshot.uptime_s);
        for peer in &snapshot.peers {
            for path in &peer.paths {
                let at = (peer.number, path.number);
                if self.paths.len() == PATHS_MAX && !self.paths.contains_key(&at) {
                    continue;
                }
                // Whoever is new was not known at the times before.
                let new = || Path { bridge: String::new(), points: vec![Point::default(); before].into() };
                let known = self.paths.entry(at).or_insert_with(new);
                known.bridge.clone_from(&path.bridge);
                known.points.push_back(path.into());
            }
            if self.peers.len() < PATHS_MAX || self.peers.contains_key(&peer.number) {
                let losses = self.peers.entry(peer.number).or_insert_with(|| vec![None; before].into());
                losses.push_back(peer.received.loss.last_10s.map(|loss| loss as f32));
            }
        }
        let full = self.times.len() > POINTS;
        if full {
            self.times.pop_front();
        }
        // Whoever is gone is remembered as long as there is something of him to see.
        self.paths.retain(|_, path| complete(&mut path.points, before + 1, full));
        self.peers.retain(|_, losses| complete(losses, before + 1, full));
    }

    /// All points.
    pub fn view(&self) -> HistoryView {
        let peers = self.peers.iter().map(|(peer, losses)| PeerColumns {
            peer: *peer,
            loss_received: losses.iter().map(|loss| rounded(*loss, 1e5)).collect(),
        });
        let paths = self.paths.iter().map(|((peer, path), Path { bridge, points })| {
            let column = |value: fn(&Point) -> Option<f32>, scale| {
                points.iter().map(|point| rounded(value(point), scale)).collect()
            };
            PathColumns {
                peer: *peer,
                path: *path,
                bridge: bridge.clone(),
                rtt_ms: column(|point| point.rtt_ms, 1e2),
                loss_received: column(|point| point.loss_received, 1e4),
                loss_sent: column(|point| point.loss_sent, 1e4),
                octets_received_per_s: column(|point| point.octets_received_per_s, 1.0),
                octets_sent_per_s: column(|point| point.octets_sent_per_s, 1.0),
            }
        });
        HistoryView {
            interval_s: INTERVAL.as_secs(),
            at_s: self.times.iter().map(|at| (at * 10.0).round() / 10.0).collect(),
            peers: peers.collect(),
            paths: paths.collect(),
        }
    }
}

impl From<&PathView> for Point {
    fn from(path: &PathView) -> Self {
        let f32 = |value: f64| value as f32;
        Self {
            rtt_ms: path.rtt.filter(|_| path.is_up()).map(|rtt| f32(rtt.smoothed_ms)),
            loss_received: path.loss_received.last_10s.map(f32),
            loss_sent: path.loss_sent.last_10s.map(f32),
            octets_received_per_s: path.rate_received.octets_per_s.map(f32),
            octets_sent_per_s: path.rate_sent.octets_per_s.map(f32),
        }
    }
}

/// Brings a list to this length, where it has no value for the newest time, and takes out the oldest of a
/// full one. Returns whether anything is in it.
fn complete<T: Default + PartialEq>(points: &mut VecDeque<T>, len: usize, full: bool) -> bool {
    points.resize_with(len, T::default);
    if full {
        points.pop_front();
    }
    points.iter().any(|point| *point != T::default())
}

/// As exact as a curve needs it, so that it takes few octets.
fn rounded(value: Option<f32>, scale: f64) -> Option<f64> {
    value.map(|value| (f64::from(value) * scale).round() / scale)
}

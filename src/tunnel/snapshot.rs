//! What a tunnel looks like at one moment: all that any display of it may read.
//!
//! A snapshot is filled from what is counted and measured anyway; taking one walks over the journals
//! of all peers as often as they do themselves each second. It is told in JSON, documented in
//! `docs/status.md`: names end in their units, a part is from 0 to 1, and what is not known is null.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::peer::Peer;
use super::probing::RoundTrip;
use super::set::PathSet;
use super::stats::{Counters, Holdings};
use super::wire::Reject;
use super::{Side, Tunnel, journal};

/// The version of what a snapshot says. It grows when a name goes or means something else, not when
/// one is added.
pub const SCHEMA: u32 = 1;
/// What is said of a path's recent loss; in the long run it is that of [`journal::KEPT`].
const RECENT: Duration = Duration::from_secs(10);
/// Paths with a higher correlation of their losses fail together.
const TOGETHER: f64 = 0.2;
/// A path that loses more, either way, is called lossy: the loss from which on a backup helps out where
/// the user has set no target.
const LOSSY: f64 = 0.01;

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Which of the two.
    pub program: Program,
    /// Its version.
    pub version: String,
    /// For how long it has run.
    pub uptime_s: f64,
    /// Where it listens, as it was told.
    pub listen: String,
    /// Where mpserver's datagrams go, as the user named it.
    pub target: Option<String>,
    /// Whether datagrams are encrypted.
    pub encryption: bool,
    /// Whether a pre-shared key is in use.
    pub key: bool,
    /// The other ends: the server, or the clients.
    pub peers: Vec<PeerView>,
    /// What was counted since the start.
    pub counters: CounterView,
    /// What is held at the moment.
    pub holdings: Holdings,
}

/// The two programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Program {
    /// The end before the applications.
    Mpclient,
    /// The end before the target.
    Mpserver,
}

impl Program {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mpclient => "mpclient",
            Self::Mpserver => "mpserver",
        }
    }
}

/// Another end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerView {
    /// Its number, as in the log. At mpclient always 0.
    pub number: usize,
    /// How long ago something authentic came from it. Unknown before anything has.
    pub heard_ago_s: Option<f64>,
    /// The age of the session in use.
    pub session_age_s: Option<f64>,
    /// Applications at the moment.
    pub flows: usize,
    /// What became of the datagrams that it sent.
    pub received: ReceivedView,
    /// The paths, by number.
    pub paths: Vec<PathView>,
    /// The paths that lose together.
    pub pairs: Vec<PairView>,
}

/// What became of the datagrams that came, or should have, since the start. Each is settled a few
/// seconds after it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedView {
    /// Those whose fate is settled.
    pub datagrams: u64,
    /// Those of them that no path brought.
    pub lost: u64,
}

/// A path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathView {
    /// Its number, the same at both ends.
    pub number: usize,
    /// The bridge as the user named it, with its uplink; at mpserver the address that it comes from.
    pub bridge: String,
    /// What it is meant to do.
    pub state: State,
    /// How it is doing.
    pub status: Status,
    /// Whether our datagrams go over it now.
    pub chosen: bool,
    /// Its round trip. Only mpclient measures it.
    pub rtt: Option<RttView>,
    /// What it lost of what the other end sent over it ...
    pub loss_received: LossView,
    /// ... and of what we sent, as the other end tells. Unknown while the path is silent.
    pub loss_sent: LossView,
    /// What it has brought since the start.
    pub copies: u64,
    /// Octets of these, without the headers of IP, UDP and ours.
    pub octets: u64,
    /// The part of all datagrams of which it brought the first copy.
    pub first_share: Option<f64>,
    /// Copies that came after one that was sent later.
    pub overtaken: u64,
    /// How much later than the first copy its copies come.
    pub lateness_ms: f64,
    /// Datagrams that it alone has brought: they would be lost without it.
    pub saved: u64,
}

/// What a path is meant to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// To carry datagrams.
    Use,
    /// To carry them while the others are too few or too bad.
    Backup,
}

/// How a path is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Its bridge's name has no address yet.
    Resolving,
    /// Nothing was heard over it yet.
    Probing,
    /// It works.
    Up,
    /// It works, but has lost more than one in a hundred in the last 10 s, one way or the other.
    Lossy,
    /// Nothing is heard over it.
    Silent,
}

/// A round trip.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RttView {
    /// Smoothed as in RFC 6298 section 2.
    pub smoothed_ms: f64,
    /// Its variation, as there.
    pub variation_ms: f64,
    /// The shortest.
    pub min_ms: f64,
}

impl From<RoundTrip> for RttView {
    fn from(rtt: RoundTrip) -> Self {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        Self { smoothed_ms: ms(rtt.smoothed), variation_ms: ms(rtt.variation), min_ms: ms(rtt.minimum) }
    }
}

/// A part that was lost, from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LossView {
    /// In the last 10 s.
    pub last_10s: Option<f64>,
    /// In the last 5 minutes.
    pub last_5min: Option<f64>,
}

/// Two paths whose losses go together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairView {
    /// Their numbers.
    pub paths: [usize; 2],
    /// The correlation coefficient of their losses in the last 5 minutes.
    pub correlation: f64,
}

/// What was counted since the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterView {
    /// Datagrams taken from applications or the target.
    pub datagrams_sent: u64,
    /// Datagrams handed to applications or the target.
    pub datagrams_received: u64,
    /// Handshakes that ended in a session.
    pub handshakes: u64,
    /// Packets and datagrams that were not taken, by reason.
    pub rejected: BTreeMap<Reject, u64>,
}

impl From<&Counters> for CounterView {
    fn from(counters: &Counters) -> Self {
        Self {
            datagrams_sent: counters.datagrams_sent,
            datagrams_received: counters.datagrams_received,
            handshakes: counters.handshakes,
            rejected: Reject::ALL.map(|reject| (reject, counters.rejected(reject))).into(),
        }
    }
}

/// What the side that a path's probes belong to knows of it.
#[derive(Debug)]
pub struct Outlook {
    /// The bridge or the address.
    pub bridge: String,
    /// How the path is doing, its losses apart.
    pub status: Status,
    /// Its round trip.
    pub rtt: Option<RoundTrip>,
}

impl Tunnel {
    /// What the tunnel looks like at `now`.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let fabric = &self.fabric;
        let (program, target) = match &self.side {
            Side::Client(_) => (Program::Mpclient, None),
            Side::Server(server) => (Program::Mpserver, Some(server.target().to_string())),
        };
        Snapshot {
            schema: SCHEMA,
            program,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: now.saturating_duration_since(self.since).as_secs_f64(),
            listen: self.listen.to_string(),
            target,
            encryption: fabric.security.encrypt,
            key: fabric.security.key.is_some(),
            peers: fabric.peers.iter().map(|(number, peer)| self.peer_view(now, number, peer)).collect(),
            counters: (&fabric.counters).into(),
            holdings: self.holdings(),
        }
    }

    fn peer_view(&self, now: Instant, number: usize, peer: &Peer) -> PeerView {
        let age = |since| now.saturating_duration_since(since).as_secs_f64();
        let journal = peer.steering.journal();
        let total = journal.total();
        let paths: Vec<_> =
            (0..peer.paths.len()).filter_map(|path| self.path_view(now, path, peer)).collect();
        let numbers = || paths.iter().map(|path| path.number);
        let pairs = numbers().flat_map(|a| numbers().filter(move |b| a < *b).map(move |b| [a, b]));
        let pairs = pairs.filter_map(|[a, b]| {
            let correlation = journal.correlation(now, journal::KEPT, a, b)?;
            (correlation > TOGETHER).then_some(PairView { paths: [a, b], correlation })
        });
        PeerView {
            number,
            heard_ago_s: peer.current().map(|_| age(peer.heard)),
            session_age_s: peer.current().map(|session| age(session.since)),
            flows: peer.flows.count(),
            received: ReceivedView { datagrams: total.sent, lost: total.lost },
            pairs: pairs.collect(),
            paths,
        }
    }

    fn path_view(&self, now: Instant, number: usize, peer: &Peer) -> Option<PathView> {
        let outlook = match &self.side {
            Side::Client(client) => client.outlook(now, number, peer)?,
            Side::Server(_) => peer.outlook(now, number),
        };
        let steering = &peer.steering;
        let loss = |over| steering.journal().lost_by(now, over, PathSet::one(number)).loss();
        let loss_received = LossView { last_10s: loss(RECENT), last_5min: loss(journal::KEPT) };
        let [last_10s, last_5min] = match outlook.status {
            Status::Up | Status::Lossy => steering.told(number),
            Status::Resolving | Status::Probing | Status::Silent => [None; 2],
        };
        let lossy = [loss_received.last_10s, last_10s].into_iter().flatten().any(|loss| loss > LOSSY);
        let first: u64 = steering.brought().iter().map(|path| path.first).sum();
        let brought = steering.brought().get(number).copied().unwrap_or_default();
        Some(PathView {
            number,
            bridge: outlook.bridge,
            state: if steering.policy.backups.has(number) { State::Backup } else { State::Use },
            status: match outlook.status {
                Status::Up if lossy => Status::Lossy,
                status => status,
            },
            chosen: steering.chosen().has(number),
            rtt: outlook.rtt.map(RttView::from),
            loss_received,
            loss_sent: LossView { last_10s, last_5min },
            copies: brought.copies,
            octets: brought.octets,
            first_share: (first > 0).then(|| brought.first as f64 / first as f64),
            overtaken: brought.overtaken,
            lateness_ms: brought.lateness().as_secs_f64() * 1e3,
            saved: steering.journal().saved(number),
        })
    }
}

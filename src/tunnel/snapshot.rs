//! What a tunnel looks like at one moment: all that any display of it may read.
//!
//! A snapshot is filled from what is counted and measured anyway; `cargo bench --bench faces` tells what taking
//! one costs where there are many clients. It is told in JSON, documented in
//! `docs/status.md`: names end in their units, a part is from 0 to 1, and what is not known is null.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::chronicle::Kind;
use super::meter::Rate;
use super::probing::RoundTrip;
use super::socks5::association::Refusals;
use super::stats::{Counters, Holdings};
use super::wire::Reject;

/// The version of what a snapshot says. It grows when a name goes or means something else, not when
/// one is added.
pub const SCHEMA: u32 = 1;

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Which of the two.
    pub program: Program,
    /// Its version.
    pub version: String,
    /// The commit that it was made of, if it was not the one of that version, and is known.
    pub commit: Option<String>,
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
    /// Whether the configuration that SIGHUP had read last has mistakes, so that an older one is in use.
    #[serde(default)]
    pub reload_refused: bool,
    /// The other ends: the server, or the clients.
    pub peers: Vec<PeerView>,
    /// Where mpclient listens besides, each with the target that is reached there.
    #[serde(default)]
    pub forwards: Vec<ForwardView>,
    /// What mpclient does for SOCKS5 clients, if it is to.
    pub socks5: Option<Socks5View>,
    /// What was counted since the start.
    pub counters: CounterView,
    /// What is held at the moment.
    pub holdings: Holdings,
    /// What has happened, oldest first: the last [`KEPT`](super::chronicle::KEPT).
    pub events: Vec<EventView>,
}

/// An address of mpclient that leads to a target of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForwardView {
    /// Where datagrams are taken.
    pub listen: String,
    /// Where they go, as the user named it.
    pub target: String,
}

/// What mpclient does for SOCKS5 clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Socks5View {
    /// Where they connect to.
    pub listen: String,
    /// Whether they have to log in.
    pub login: bool,
    /// Associations at the moment.
    pub associations: usize,
    /// Associations since the start.
    pub associated: u64,
    /// Clients that were refused, by reason.
    pub refused: Refusals,
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
    /// The client's name, where mpserver has a key for each (`--keys`).
    pub name: Option<String>,
    /// How long ago something authentic came from it. Unknown before anything has.
    pub heard_ago_s: Option<f64>,
    /// The age of the session in use.
    pub session_age_s: Option<f64>,
    /// Applications at the moment.
    pub flows: usize,
    /// Applications that there may be at a time. Unknown where an older program tells.
    pub max_flows: Option<usize>,
    /// How many copies of a datagram leave, as the configuration has it: `all`, a number, or a target
    /// for the loss.
    pub copies: String,
    /// What became of the datagrams that it sent.
    pub received: ReceivedView,
    /// What became of ours, as it tells.
    pub sent: SentView,
    /// The paths, by number.
    pub paths: Vec<PathView>,
    /// The paths that lose together.
    pub pairs: Vec<PairView>,
}

impl PeerView {
    /// Below this limit of applications nothing comes near to it: who allows one, for one VPN, has that one.
    const LEAST_LIMIT: usize = 10;

    /// How many applications there may be, if those that there are come near to it: where they are more than four
    /// fifths of it.
    pub fn limit_that_is_near(&self) -> Option<usize> {
        self.max_flows.filter(|most| *most >= Self::LEAST_LIMIT && self.flows as f64 > 0.8 * *most as f64)
    }
}

/// What became of the datagrams that came, or should have, since the start. Each is settled a few
/// seconds after it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReceivedView {
    /// Those whose fate is settled.
    pub datagrams: u64,
    /// Those of them that no path brought.
    pub lost: u64,
    /// Those of them that one path has lost and another brought.
    pub recovered: u64,
    /// The part that no path brought.
    pub loss: LossView,
}

/// What became of the datagrams that this end sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SentView {
    /// The part of the last 5 minutes that no path has brought. Unknown while no path is up.
    pub loss_last_5min: Option<f64>,
}

/// A path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathView {
    /// Its number, the same at both ends.
    pub number: usize,
    /// The bridge as the user named it; at mpserver the address that it comes from.
    pub bridge: String,
    /// The interface or the address that it is tied to (`bind=`). Otherwise the system's routes decide.
    pub interface: Option<String>,
    /// What it is meant to do.
    pub state: State,
    /// How it is doing.
    pub status: Status,
    /// Whether our datagrams go over it now.
    pub chosen: bool,
    /// Its round trip. Only mpclient measures it.
    pub rtt: Option<RttView>,
    /// Probes in a row that were not answered, those under way among them. Only mpclient asks.
    pub unanswered: Option<u32>,
    /// Probes that should have come since the last one. Only mpserver waits for them; a backup's are not
    /// counted.
    pub overdue: Option<u32>,
    /// What it lost of what the other end sent over it ...
    pub loss_received: LossView,
    /// ... and of what we sent, as the other end tells. Unknown while the path is silent.
    pub loss_sent: LossView,
    /// The largest datagrams that cross it in one piece.
    pub largest_whole: WholeView,
    /// How unevenly its packets come.
    pub jitter_received_ms: Option<f64>,
    /// ... and ours, as the other end tells. Unknown while the path is silent.
    pub jitter_sent_ms: Option<f64>,
    /// How fast datagrams' copies come over it ...
    pub rate_received: RateView,
    /// ... and leave.
    pub rate_sent: RateView,
    /// Copies that have left over it since the start.
    pub copies_sent: u64,
    /// The octets of their packets.
    pub octets_sent: u64,
    /// Copies that it has brought since the start.
    pub copies: u64,
    /// The octets of their packets: what UDP carries, without its header.
    pub octets: u64,
    /// The part of all datagrams of which it brought the first copy.
    pub first_share: Option<f64>,
    /// Copies that came after one that was sent later.
    pub overtaken: u64,
    /// How much later than the first copy its copies come.
    pub lateness_ms: f64,
    /// Datagrams that it alone has brought: they would be lost without it.
    pub saved: u64,
    /// Datagrams whose fate is settled that were sent over it, whatever they were sent over besides ...
    pub tried: u64,
    /// ... and those of them that it has lost: without the others, they would be lost.
    pub lost: u64,
}

/// How fast something goes: the mean of the last 10 s. Unknown within the first second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RateView {
    /// Packets in a second.
    pub packets_per_s: Option<f64>,
    /// Their octets, without the headers of IP and UDP.
    pub octets_per_s: Option<f64>,
}

impl From<Option<Rate>> for RateView {
    fn from(rate: Option<Rate>) -> Self {
        Self { packets_per_s: rate.map(|rate| rate.packets), octets_per_s: rate.map(|rate| rate.octets) }
    }
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventView {
    /// Its number, from 0, by which it is known when one asks again.
    pub number: u64,
    /// When, since the start.
    pub at_s: f64,
    /// How long ago.
    pub ago_s: f64,
    /// What it is about ...
    pub kind: Kind,
    /// ... and whom: the [number](PeerView::number) of a peer. `None` where that is nobody in particular, or one
    /// that is none any more.
    pub peer: Option<usize>,
    /// The name that the client has, or had.
    pub peer_name: Option<String>,
    /// Whether it is about a client that is none any more.
    #[serde(default)]
    pub peer_gone: bool,
    /// What happened, and why: the line in the log.
    pub text: String,
}

impl PathView {
    /// Whether it works.
    pub fn is_up(&self) -> bool {
        matches!(self.status, Status::Up | Status::Lossy)
    }
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
    /// Its last probes are missing, so many that it has most likely died.
    Late,
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

/// The largest datagram that crosses a path in one piece, in the octets that an application sends. Unknown
/// until it was found out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WholeView {
    /// Of what this end sends.
    pub sent_octets: Option<usize>,
    /// Of what the other end sends.
    pub received_octets: Option<usize>,
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
    /// What it is tied to.
    pub interface: Option<String>,
    /// Its round trip.
    pub rtt: Option<RoundTrip>,
    /// What its probes say.
    pub signs: Signs,
}

/// What a path's probes say of it.
#[derive(Clone, Copy, Debug)]
pub struct Signs {
    /// How the path is doing, its losses and what is missing apart.
    pub status: Status,
    /// Probes in a row that were not answered, if it probes.
    pub unanswered: Option<u32>,
    /// Probes that should have come, if it is probed.
    pub overdue: Option<u32>,
}

//! Fills a [`Snapshot`] from what the tunnel counts and measures anyway.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::choice::BEARABLE;
use super::chronicle::{Entry, Whom};
use super::link::{PeerId, Target};
use super::peer::Peer;
use super::session::Session;
use super::set::PathSet;
use super::snapshot::*;
use super::steering::RECENT;
use super::{Side, Tunnel, journal};

/// Paths with a higher correlation of their losses fail together.
const TOGETHER: f64 = 0.2;
/// Probes in a row that are missing at least where a path is called late ...
const MISSING: u32 = 5;
/// ... and as many as a path that works loses in a row by this chance: at five probes a second, once in half an hour.
const BY_CHANCE: f64 = 1e-4;

/// Whether so many probes of a path are missing that it has most likely died. Its losses are asked for only
/// where some are: that takes long.
fn is_late(now: Instant, path: usize, peer: &Peer, signs: Signs) -> bool {
    let missing = signs.unanswered.or(signs.overdue).unwrap_or_default();
    if signs.status != Status::Up || missing < MISSING {
        return false;
    }
    let journal = peer.steering.journal();
    let received = |over| journal.lost_by(now, over, PathSet::one(path)).loss();
    // While nothing flows, what is known is older.
    let from = received(RECENT).or_else(|| received(journal::KEPT)).unwrap_or_default();
    let [last_10s, last_5min] = peer.steering.told(path);
    let to = last_10s.or(last_5min).unwrap_or_default();
    // An answer needs both ways.
    let loss = if signs.unanswered.is_some() { 1.0 - (1.0 - from) * (1.0 - to) } else { from };
    f64::from(missing) >= BY_CHANCE.ln() / loss.min(0.99).ln()
}

fn whole_view(peer: &Peer, path: usize) -> WholeView {
    let overhead = peer.sessions.current().map(Session::overhead_len);
    let datagram = |packet: usize| Some(packet.saturating_sub(overhead?));
    let mtu = &peer.paths[path].mtu;
    WholeView {
        sent_octets: mtu.sent().and_then(|found| datagram(found.len)),
        received_octets: mtu.received().and_then(datagram),
    }
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
            commit: crate::COMMIT.map(str::to_owned),
            uptime_s: now.saturating_duration_since(self.fabric.begun).as_secs_f64(),
            listen: self.listen.to_string(),
            target,
            encryption: fabric.security.encrypt,
            key: !fabric.security.keys.is_none(),
            reload_refused: fabric.reload_refused,
            peers: self.peers().map(|(number, peer)| self.peer_view(now, number, peer)).collect(),
            forwards: self.forward_views(),
            socks5: self.socks5_view(),
            counters: (&fabric.counters).into(),
            holdings: self.holdings(),
            events: self.event_views(now),
        }
    }

    /// The peers, but for clients that have left.
    pub(super) fn peers(&self) -> impl Iterator<Item = (usize, &Peer)> {
        self.fabric.peers.iter().filter(|(_, peer)| peer.left.is_none())
    }

    /// How many paths are up, of all peers: as many as [`Self::snapshot`] would say.
    pub(super) fn up(&self, now: Instant) -> usize {
        let peers = self.fabric.peers.iter();
        peers.map(|(_, peer)| (0..peer.paths.len()).filter(|path| self.is_up(now, *path, peer)).count()).sum()
    }

    fn is_up(&self, now: Instant, path: usize, peer: &Peer) -> bool {
        let signs = match &self.side {
            Side::Client(client) => client.signs(now, path, peer),
            Side::Server(_) => Some(peer.signs(now, path)),
        };
        signs.is_some_and(|signs| signs.status == Status::Up && !is_late(now, path, peer, signs))
    }

    fn event_views(&self, now: Instant) -> Vec<EventView> {
        let view = |(number, Entry { at, kind, whom, text }): (u64, &Entry)| {
            let (peer, name) = match whom {
                Whom::Nobody => (None, None),
                Whom::Peer(PeerId(number)) => {
                    let peer = &self.fabric.peers[*number];
                    (peer.left.is_none().then_some(*number), self.name_of(peer))
                }
                Whom::Gone(name) => (None, name.as_deref()),
            };
            EventView {
                number,
                at_s: at.saturating_duration_since(self.fabric.begun).as_secs_f64(),
                ago_s: now.saturating_duration_since(*at).as_secs_f64(),
                kind: *kind,
                peer,
                peer_name: name.map(str::to_owned),
                peer_gone: *whom != Whom::Nobody && peer.is_none(),
                text: text.clone(),
            }
        };
        self.fabric.chronicle.entries().map(view).collect()
    }

    fn name_of(&self, peer: &Peer) -> Option<&str> {
        self.fabric.security.keys.name(peer.key)
    }

    fn forward_views(&self) -> Vec<ForwardView> {
        let Side::Client(client) = &self.side else { return Vec::new() };
        let view = |(listen, target): (SocketAddr, &Target)| ForwardView {
            listen: listen.to_string(),
            target: target.to_string(),
        };
        client.forwarded().map(view).collect()
    }

    fn peer_view(&self, now: Instant, number: usize, peer: &Peer) -> PeerView {
        let age = |since| now.saturating_duration_since(since).as_secs_f64();
        let journal = peer.steering.journal();
        let total = journal.total();
        let paths: Vec<_> =
            (0..peer.paths.len()).filter_map(|path| self.path_view(now, path, peer)).collect();
        // A path that has brought nothing has lost all, if anything: that goes together with nothing.
        let numbers = || paths.iter().filter(|path| path.copies > 0).map(|path| path.number);
        let pairs = numbers().flat_map(|a| numbers().filter(move |b| a < *b).map(move |b| [a, b]));
        let pairs = pairs.filter_map(|[a, b]| {
            let correlation = journal.correlation(now, journal::KEPT, a, b)?;
            (correlation > TOGETHER).then_some(PairView { paths: [a, b], correlation })
        });
        PeerView {
            number,
            name: self.name_of(peer).map(str::to_owned),
            heard_ago_s: peer.sessions.current().map(|_| age(peer.heard)),
            session_age_s: peer.sessions.current().map(|session| age(session.since)),
            flows: peer.flows.count(),
            max_flows: Some(peer.flows.most()),
            copies: peer.steering.policy.copies.to_string(),
            received: ReceivedView {
                datagrams: total.sent,
                lost: total.lost,
                recovered: journal.recovered(),
                loss: LossView {
                    last_10s: journal.lost(now, RECENT).loss(),
                    last_5min: journal.lost(now, journal::KEPT).loss(),
                },
            },
            sent: SentView {
                loss_last_5min: paths
                    .iter()
                    .any(PathView::is_up)
                    .then(|| peer.steering.told_residual())
                    .flatten(),
            },
            pairs: pairs.collect(),
            paths,
        }
    }

    fn path_view(&self, now: Instant, number: usize, peer: &Peer) -> Option<PathView> {
        let outlook = match &self.side {
            Side::Client(client) => client.outlook(now, number, peer)?,
            Side::Server(_) => peer.outlook(now, number)?,
        };
        let steering = &peer.steering;
        let loss = |over| steering.journal().lost_by(now, over, PathSet::one(number)).loss();
        let loss_received = LossView { last_10s: loss(RECENT), last_5min: loss(journal::KEPT) };
        let up = outlook.signs.status == Status::Up;
        let late = is_late(now, number, peer, outlook.signs);
        let [last_10s, last_5min] = if up { steering.told(number) } else { [None; 2] };
        let lossy = [loss_received.last_10s, last_10s].into_iter().flatten().any(|loss| loss > BEARABLE);
        let first: u64 = steering.brought().iter().map(|path| path.first).sum();
        let brought = steering.brought().get(number).copied().unwrap_or_default();
        let path = &peer.paths[number];
        let (sent, received) = (peer.sent(number), peer.received(number));
        let since_start = steering.journal().since_start(number);
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        Some(PathView {
            number,
            bridge: outlook.bridge,
            interface: outlook.interface,
            state: if steering.policy.backups.has(number) { State::Backup } else { State::Use },
            status: match outlook.signs.status {
                Status::Up if late => Status::Late,
                Status::Up if lossy => Status::Lossy,
                status => status,
            },
            chosen: steering.chosen().has(number),
            rtt: outlook.rtt.map(RttView::from),
            unanswered: outlook.signs.unanswered,
            overdue: outlook.signs.overdue,
            loss_received,
            loss_sent: LossView { last_10s, last_5min },
            largest_whole: whole_view(peer, number),
            jitter_received_ms: steering.jitter(number).map(ms),
            jitter_sent_ms: steering.told_jitter(number).filter(|_| up).map(ms),
            rate_received: path.receiving.rate(now, received).into(),
            rate_sent: path.sending.rate(now, sent).into(),
            copies_sent: sent.packets,
            octets_sent: sent.octets,
            copies: received.packets,
            octets: received.octets,
            first_share: (first > 0).then(|| brought.first as f64 / first as f64),
            overtaken: brought.overtaken,
            lateness_ms: brought.lateness().as_secs_f64() * 1e3,
            saved: since_start.saved,
            tried: since_start.lost_by.sent,
            lost: since_start.lost_by.lost,
        })
    }
}

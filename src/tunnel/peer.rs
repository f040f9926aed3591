//! A peer: the other tunnel process, as one end sees it. It owns sessions (the one in use, the one
//! before it, the one that is being tried), paths and flows, and knows which paths carry a copy.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::choice::Policy;
use super::flow::Flows;
use super::keyring::KeyId;
use super::link::{Link, PeerId};
use super::meter::Amount;
use super::outbox::{Outbox, Reach, To};
use super::path::{BACKUP_USABLE_FOR, Path};
use super::session::Session;
use super::set::PathSet;
use super::snapshot::{Outlook, Status};
use super::steering::Steering;
use super::wire::{ClientId, FlowId, SessionId};

/// A session is used no longer than this, so that what one key protects is bounded.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// The session before the current one still opens what was sealed before the change.
const PREVIOUS_LIFETIME: Duration = Duration::from_secs(30);
/// To a server, a path is silent this long after its last probe: three of an idle client are missing.
const SILENT_AFTER: Duration = Duration::from_secs(4);
/// Datagrams that wait for a session or a usable path: enough for the start of every application,
/// too few to be felt.
const WAITING: usize = 256;
/// And their octets.
const WAITING_LEN: usize = 256 * 1024;
/// A datagram that waited longer is of no use to anybody.
const WAITING_FOR: Duration = Duration::from_secs(3);

/// See the module.
pub struct Peer {
    id: PeerId,
    /// The key that its handshakes are made with.
    pub key: KeyId,
    /// The client of the two, us or them.
    pub client: ClientId,
    current: Option<Session>,
    previous: Option<(Session, Instant)>,
    next: Option<Session>,
    /// The paths, by number.
    pub paths: Vec<Path>,
    /// The flows.
    pub flows: Flows,
    /// When something authentic last came.
    pub heard: Instant,
    /// Which paths carry, both ways.
    pub steering: Steering,
    chosen: Carriers,
    sampled: Carriers,
    waiting: VecDeque<(Instant, FlowId, Box<[u8]>)>,
    waiting_len: usize,
}

/// The links that a copy goes out on.
#[derive(Default)]
struct Carriers {
    links: Vec<Link>,
    /// The paths that they are ...
    paths: PathSet,
    /// ... and what has left over each since that was so.
    sent: Amount,
}

impl Peer {
    /// A peer without session or path.
    pub fn new(now: Instant, id: PeerId, key: KeyId, client: ClientId) -> Self {
        Self {
            id,
            key,
            client,
            current: None,
            previous: None,
            next: None,
            paths: Vec::new(),
            flows: Flows::default(),
            heard: now,
            steering: Steering::new(now, Policy::default()),
            chosen: Carriers::default(),
            sampled: Carriers::default(),
            waiting: VecDeque::new(),
            waiting_len: 0,
        }
    }

    /// The session that the other end names with this id.
    #[inline]
    pub fn session(&mut self, id: SessionId) -> Option<&mut Session> {
        let previous = self.previous.as_mut().map(|(session, _)| session);
        [self.current.as_mut(), self.next.as_mut(), previous].into_iter().flatten().find(|s| s.local_id == id)
    }

    /// The session that datagrams leave in.
    pub fn current(&self) -> Option<&Session> {
        self.current.as_ref()
    }

    /// Whether datagrams leave in this session.
    #[inline]
    pub fn is_current(&self, id: SessionId) -> bool {
        self.current.as_ref().is_some_and(|session| session.local_id == id)
    }

    /// The session that is being tried.
    pub fn next(&self) -> Option<&Session> {
        self.next.as_ref()
    }

    /// The session that probes leave in: a new one proves itself by them.
    pub fn newest(&mut self) -> Option<&mut Session> {
        self.next.as_mut().or(self.current.as_mut())
    }

    /// Whether this is the session that probes leave in. What comes in another is of the past.
    pub fn is_newest(&self, id: SessionId) -> bool {
        self.next.as_ref().or(self.current.as_ref()).is_some_and(|session| session.local_id == id)
    }

    /// Begins to try a session. Returns the id of the one it displaces.
    pub fn try_session(&mut self, session: Session) -> Option<SessionId> {
        self.next.replace(session).map(|session| session.local_id)
    }

    /// Gives the session that is being tried up.
    pub fn abandon_next(&mut self) -> Option<SessionId> {
        self.next.take().map(|session| session.local_id)
    }

    /// The session that was tried works: it becomes the current one. Returns the id of a session
    /// that is forgotten by that.
    pub fn confirm_next(&mut self, now: Instant) -> Option<SessionId> {
        let session = self.next.take()?;
        let forgotten = self.previous.take().map(|(session, _)| session.local_id);
        self.previous = self.current.replace(session).map(|session| (session, now));
        self.steering.begin_session();
        forgotten
    }

    /// Forgets sessions that are too old, and tells their ids.
    pub fn expire_sessions(&mut self, now: Instant) -> impl Iterator<Item = SessionId> + use<> {
        let age = |since| now.saturating_duration_since(since);
        let previous = self.previous.take_if(|(_, replaced)| age(*replaced) >= PREVIOUS_LIFETIME);
        let current = self.current.take_if(|session| age(session.since) >= SESSION_LIFETIME);
        [previous.map(|(session, _)| session), current].into_iter().flatten().map(|session| session.local_id)
    }

    /// All sessions' ids.
    pub fn session_ids(&self) -> impl Iterator<Item = SessionId> + '_ {
        let previous = self.previous.as_ref().map(|(session, _)| session);
        [self.current.as_ref(), self.next.as_ref(), previous]
            .into_iter()
            .flatten()
            .map(|session| session.local_id)
    }

    /// The links that a copy goes out on.
    #[inline]
    pub fn carriers(&self, reach: Reach) -> &[Link] {
        match reach {
            Reach::Chosen => &self.chosen.links,
            Reach::Sampled => &self.sampled.links,
        }
    }

    /// The path that this link is.
    #[inline]
    pub fn path_at(&self, link: Link) -> Option<usize> {
        let is = |ours: Link| ours.socket == link.socket && ours.remote == link.remote;
        self.paths.iter().position(|path| path.link.is_some_and(is))
    }

    /// The paths that are usable.
    pub fn usable(&self, now: Instant) -> PathSet {
        let backups = self.steering.policy.backups;
        let paths = self.paths.iter().enumerate();
        paths
            .filter(|(number, path)| path.usable(now, backups.has(*number)))
            .map(|(number, _)| number)
            .collect()
    }

    /// How the server sees a path: by the probes that come.
    pub fn outlook(&self, now: Instant, number: usize) -> Outlook {
        let path = &self.paths[number];
        let age = path.heard.map(|heard| now.saturating_duration_since(heard));
        // An idle backup is seldom probed.
        let limit = match self.steering.policy.backups.has(number) {
            true => BACKUP_USABLE_FOR,
            false => SILENT_AFTER,
        };
        let heard = age.is_some_and(|age| age < limit);
        let (bridge, status) = match path.link {
            None => ("not proven yet".to_owned(), Status::Probing),
            Some(link) if heard => (link.remote.to_string(), Status::Up),
            Some(link) => (link.remote.to_string(), Status::Silent),
        };
        Outlook { bridge, interface: None, status, rtt: None }
    }

    /// Finds out anew which paths carry copies, and sends what waited for one.
    pub fn update_carriers(&mut self, now: Instant, outbox: &mut Outbox) {
        let counter = self.current.as_ref().map_or(0, Session::next_counter);
        let heard = self.paths.iter().enumerate().filter_map(|(number, path)| Some((number, path.heard?)));
        let spread = self.steering.spread(now, counter, self.usable(now), heard);
        for (carriers, set) in [(&mut self.chosen, spread.chosen), (&mut self.sampled, spread.sampled)] {
            let sent = std::mem::take(&mut carriers.sent);
            carriers.paths.iter().for_each(|path| self.paths[path].sent.add(sent));
            carriers.paths = set;
            carriers.links.clear();
            let paths = self.paths.iter().enumerate().filter(|(number, _)| set.has(*number));
            carriers.links.extend(paths.filter_map(|(_, path)| path.link));
        }
        if self.current.is_some() && !self.chosen.links.is_empty() {
            self.waiting_len = 0;
            for (since, flow, datagram) in std::mem::take(&mut self.waiting) {
                if now.saturating_duration_since(since) < WAITING_FOR {
                    self.send(now, flow, &datagram, outbox);
                }
            }
        }
    }

    /// Sends a datagram over every path that carries: one seal, as many copies as there are.
    /// Without a session or a usable path it waits; returns how many older ones it pushed out.
    #[inline]
    pub fn send(&mut self, now: Instant, flow: FlowId, datagram: &[u8], outbox: &mut Outbox) -> usize {
        match &mut self.current {
            Some(session) if !self.chosen.links.is_empty() => {
                let reach = self.steering.reach(session.next_counter());
                let len = outbox.push(To::Peer(self.id, reach), |out| session.seal_data(flow, datagram, out));
                match reach {
                    Reach::Chosen => self.chosen.sent.count(len),
                    Reach::Sampled => self.sampled.sent.count(len),
                }
                0
            }
            _ => self.wait(now, flow, datagram),
        }
    }

    /// What has left over a path, probes apart.
    pub fn sent(&self, path: usize) -> Amount {
        let mut sent = self.paths[path].sent;
        let carriers = [&self.chosen, &self.sampled].into_iter().filter(|carriers| carriers.paths.has(path));
        carriers.for_each(|carriers| sent.add(carriers.sent));
        sent
    }

    /// What has arrived over a path, probes apart.
    pub fn received(&self, path: usize) -> Amount {
        let brought = self.steering.brought().get(path).copied().unwrap_or_default();
        Amount { packets: brought.copies, octets: brought.octets }
    }

    /// Notes how much there has been, to know how fast it is. To be called each second.
    pub fn mark(&mut self, now: Instant) {
        for path in 0..self.paths.len() {
            let (sent, received) = (self.sent(path), self.received(path));
            self.paths[path].sending.mark(now, sent);
            self.paths[path].receiving.mark(now, received);
        }
    }

    /// How many datagrams wait, and their octets.
    pub fn waiting(&self) -> (usize, usize) {
        (self.waiting.len(), self.waiting_len)
    }

    fn wait(&mut self, now: Instant, flow: FlowId, datagram: &[u8]) -> usize {
        let too_late = |since: Instant| now.saturating_duration_since(since) >= WAITING_FOR;
        while self.waiting.front().is_some_and(|(since, ..)| too_late(*since)) {
            let (.., datagram) = self.waiting.pop_front().expect("there is one in front");
            self.waiting_len -= datagram.len();
        }
        self.waiting.push_back((now, flow, datagram.into()));
        self.waiting_len += datagram.len();
        let mut pushed_out = 0;
        while self.waiting.len() > WAITING || self.waiting_len > WAITING_LEN {
            let (_, _, oldest) = self.waiting.pop_front().expect("what is too long is not empty");
            self.waiting_len -= oldest.len();
            pushed_out += 1;
        }
        pushed_out
    }
}

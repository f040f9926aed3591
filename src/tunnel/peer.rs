//! A peer: the other tunnel process, as one end sees it. It owns sessions, paths and flows, and knows
//! which paths carry a copy.

use std::time::{Duration, Instant};

use super::aead::TAG_LEN;
use super::choice::Policy;
use super::flow::{Flows, State};
use super::keyring::KeyId;
use super::link::{Link, PeerId};
use super::meter::Amount;
use super::outbox::{Outbox, Reach, To};
use super::pace::Pace;
use super::path::{BACKUP_USABLE_FOR, Path};
use super::probing::IDLE_AFTER;
use super::session::Session;
use super::sessions::Sessions;
use super::set::PathSet;
use super::snapshot::{Outlook, Signs, Status};
use super::steering::Steering;
use super::waiting::Waiting;
use super::wire::{ClientId, FlowId, HEADER_LEN, Header, MAX_UDP_LEN, Opened, Reject, SessionId, Whole};

/// To a server, a path is silent this long after its last probe: three of an idle client are missing.
const SILENT_AFTER: Duration = Duration::from_secs(4);
/// A client may know of datagrams that were lost, and the server of none: it may be idle so much sooner or later
/// than the server thinks.
const ACTIVE_MARGIN: Duration = Duration::from_secs(3);
/// In a new session flows are opened again, which is not asked for by datagrams.
const OPENING: Duration = Duration::from_secs(3);
/// The same is neither asked nor answered more often than this, where nothing else comes of it.
const SPEAK_EVERY: Duration = Duration::from_millis(50);
/// A peer is told this often that it has no such flow, and so many times at once.
const REFUSED_EVERY: Duration = Duration::from_millis(1);
const REFUSED_AT_ONCE: u32 = 64;

/// Whether something may be said again.
pub fn is_due(now: Instant, spoken: Option<Instant>) -> bool {
    spoken.is_none_or(|spoken| now.saturating_duration_since(spoken) >= SPEAK_EVERY)
}

/// See the module.
pub struct Peer {
    id: PeerId,
    /// When it first came.
    pub since: Instant,
    /// The key that its handshakes are made with.
    pub key: KeyId,
    /// At a server: when it has said that it ends. Its flows may be handed on.
    pub left: Option<Instant>,
    /// At a server: whether it has taken flows over from a process of the same client before it.
    pub has_taken_over: bool,
    /// The client of the two, us or them.
    pub client: ClientId,
    /// The sessions.
    pub sessions: Sessions,
    /// The paths, by number.
    pub paths: Vec<Path>,
    /// The flows.
    pub flows: Flows,
    /// When something authentic last came.
    pub heard: Instant,
    /// When datagrams were last seen to have passed, either way, if they ever were; that is looked at each
    /// second ...
    active: Option<Instant>,
    /// ... by how many copies of them there have been.
    passed: u64,
    /// Which paths carry, both ways.
    pub steering: Steering,
    chosen: Carriers,
    sampled: Carriers,
    /// Longer datagrams are cut on a path of which that was not told yet.
    pub cut_above: usize,
    /// Datagrams that wait for a session or a usable path.
    pub waiting: Waiting,
    /// What it may still be told of flows that it does not have.
    pub refusals: Pace,
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
    pub fn new(now: Instant, id: PeerId, key: KeyId, client: ClientId, flows: Flows) -> Self {
        Self {
            id,
            since: now,
            key,
            left: None,
            has_taken_over: false,
            client,
            sessions: Sessions::default(),
            paths: Vec::new(),
            flows,
            heard: now,
            active: None,
            passed: 0,
            steering: Steering::new(now, Policy::default()),
            chosen: Carriers::default(),
            sampled: Carriers::default(),
            cut_above: usize::MAX,
            waiting: Waiting::default(),
            refusals: Pace::new(REFUSED_EVERY, REFUSED_AT_ONCE),
        }
    }

    /// The session that was tried works: it becomes the current one. Returns the id of a session
    /// that is forgotten by that.
    pub fn confirm_next(&mut self, now: Instant) -> Option<SessionId> {
        self.sessions.next()?;
        self.steering.begin_session();
        self.paths.iter_mut().for_each(|path| path.mtu.begin_session());
        self.sessions.confirm_next(now)
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

    /// Whether a path is a backup that carries nothing.
    pub fn is_spare(&self, path: usize) -> bool {
        self.steering.policy.backups.has(path) && !self.steering.uses(path)
    }

    /// Takes what the other end says of what crosses a path in one piece.
    pub fn told_whole(&mut self, now: Instant, path: usize, whole: Whole) {
        let [loss, _] = self.steering.told(path);
        self.paths[path].mtu.told(now, whole, loss);
    }

    /// The longest datagram that is sent over a path in one piece, if a longer one is known not to be.
    pub fn longest_whole(&self, path: usize) -> Option<usize> {
        let found = self.paths[path].mtu.sent().filter(|found| found.is_limit)?;
        Some(found.len.saturating_sub(self.sessions.current()?.overhead_len()))
    }

    /// How the server sees a path: by the probes that come. `None` where its client does not use it.
    pub fn outlook(&self, now: Instant, number: usize) -> Option<Outlook> {
        let Path { in_use: true, link, .. } = self.paths[number] else { return None };
        let bridge = link.map_or_else(|| "not proven yet".to_owned(), |link| link.remote.to_string());
        Some(Outlook { bridge, interface: None, rtt: None, signs: self.signs(now, number) })
    }

    /// What the server concludes from the probes of a path that come.
    pub fn signs(&self, now: Instant, number: usize) -> Signs {
        let overdue = self.paths[number].overdue(now, self.may_be_idle(now));
        // A backup's pace changes with what it carries, of which each end knows a half.
        let overdue = Some(overdue).filter(|_| !self.steering.policy.backups.has(number));
        Signs { status: self.status(now, number), unanswered: None, overdue }
    }

    /// Whether a client may have gone over to the probes of an idle one: nothing flows either way. After a
    /// restart of ours it may have long since.
    fn may_be_idle(&self, now: Instant) -> bool {
        self.active.is_none_or(|active| now.saturating_duration_since(active) + ACTIVE_MARGIN >= IDLE_AFTER)
    }

    /// How a path of a server's is doing.
    pub fn status(&self, now: Instant, number: usize) -> Status {
        let path = &self.paths[number];
        let age = path.heard.map(|heard| now.saturating_duration_since(heard));
        // An idle backup is seldom probed.
        let limit = match self.steering.policy.backups.has(number) {
            true => BACKUP_USABLE_FOR,
            false => SILENT_AFTER,
        };
        match path.link {
            None => Status::Probing,
            Some(_) if age.is_some_and(|age| age < limit) => Status::Up,
            Some(_) => Status::Silent,
        }
    }

    /// Finds out anew which paths carry copies, and sends what waited for one.
    pub fn update_carriers(&mut self, now: Instant, outbox: &mut Outbox) {
        let counter = self.sessions.current().map_or(0, Session::next_counter);
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
        let untold = (0..self.paths.len()).filter(|path| spread.chosen.has(*path));
        let untold = untold.filter(|path| !self.paths[*path].mtu.cuts_told);
        self.cut_above = untold.filter_map(|path| self.longest_whole(path)).min().unwrap_or(usize::MAX);
        self.send_waiting(now, outbox);
    }

    /// Sends what waited, as far as it can go now.
    pub fn send_waiting(&mut self, now: Instant, outbox: &mut Outbox) {
        if self.waiting.is_empty() || !self.can_send() {
            return;
        }
        for (since, flow, datagram) in self.waiting.take(now) {
            if self.pass(now, flow, &datagram, outbox) == Ok(false) {
                self.waiting.push(since, flow, datagram);
            }
        }
    }

    /// Whether there are a session and a path to send anything.
    #[inline]
    fn can_send(&self) -> bool {
        self.sessions.current().is_some() && !self.chosen.links.is_empty()
    }

    /// Sends a datagram of a local link over every path that carries: one seal, as many copies as
    /// there are. Without a session or a usable path it waits; returns how many older ones it pushed
    /// out.
    ///
    /// # Errors
    /// There is no such flow, or the server has refused it.
    #[inline]
    pub fn send(
        &mut self,
        now: Instant,
        id: FlowId,
        local: Link,
        datagram: &[u8],
        outbox: &mut Outbox,
    ) -> Result<usize, Reject> {
        let flow = self.flows.get_mut(id).ok_or(Reject::UnknownFlow)?;
        flow.carries(now);
        // Answers leave from the address that was spoken to.
        flow.local = local;
        let sent = match flow.state {
            State::Open => self.carry(outbox, |session, _, out| session.seal_data(id, datagram, out)),
            _ => self.pass(now, id, datagram, outbox)?,
        };
        if sent {
            return Ok(0);
        }
        self.waiting.drop_late(now);
        Ok(self.waiting.push(now, id, datagram.into()))
    }

    /// Sends a datagram, if it can go now.
    fn pass(
        &mut self,
        now: Instant,
        id: FlowId,
        datagram: &[u8],
        outbox: &mut Outbox,
    ) -> Result<bool, Reject> {
        let flow = self.flows.get_mut(id).ok_or(Reject::UnknownFlow)?;
        if flow.state(now)? == State::Open {
            return Ok(self.carry(outbox, |session, _, out| session.seal_data(id, datagram, out)));
        }
        let fits = HEADER_LEN + flow.open.text_len() + datagram.len() + TAG_LEN <= MAX_UDP_LEN;
        if fits || is_due(now, flow.spoken) {
            let sent = self.request(now, id, fits.then_some(datagram), outbox);
            return Ok(sent && fits);
        }
        Ok(false)
    }

    /// Asks for a flow, with a datagram or without. Returns whether that could be sent.
    pub fn request(
        &mut self,
        now: Instant,
        id: FlowId,
        datagram: Option<&[u8]>,
        outbox: &mut Outbox,
    ) -> bool {
        self.carry(outbox, |session, flows, out| {
            let flow = flows.get_mut(id).expect("nobody asks for a flow that is not there");
            flow.spoken = Some(now);
            session.seal_open(&flow.open, datagram, out);
        })
    }

    /// Answers for a flow, if anything can be sent: only over paths that are proven.
    pub fn answer(&mut self, opened: Opened, outbox: &mut Outbox) -> bool {
        self.carry(outbox, |session, _, out| session.seal_opened(opened, out))
    }

    /// Sends the packet that is sealed over every path that carries, if there are a session and a
    /// path.
    #[inline]
    fn carry(
        &mut self,
        outbox: &mut Outbox,
        seal: impl FnOnce(&mut Session, &mut Flows, &mut Vec<u8>),
    ) -> bool {
        let Some(session) = self.sessions.current_mut().filter(|_| !self.chosen.links.is_empty()) else {
            return false;
        };
        let reach = self.steering.reach(session.next_counter());
        let flows = &mut self.flows;
        let len = outbox.push(To::Peer(self.id, reach), |out| seal(session, flows, out));
        match reach {
            Reach::Chosen => self.chosen.sent.count(len),
            Reach::Sampled => self.sampled.sent.count(len),
        }
        true
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
        let passed = self.passed;
        self.passed = 0;
        for path in 0..self.paths.len() {
            let (sent, received) = (self.sent(path), self.received(path));
            self.passed += sent.packets + received.packets;
            self.paths[path].sending.mark(now, sent);
            self.paths[path].receiving.mark(now, received);
        }
        let is_old = |session: &Session| now.saturating_duration_since(session.since) >= OPENING;
        if self.passed != passed && self.sessions.current().is_some_and(is_old) {
            self.active = Some(now);
        }
    }

    /// Opens a packet that has a data counter, as `open` does, and notes which path has brought a copy.
    ///
    /// # Errors
    /// [`Reject::UnknownSession`], and those of `open`.
    #[inline]
    pub fn take<'a, T>(
        &mut self,
        now: Instant,
        link: Link,
        header: Header,
        sealed: &'a mut [u8],
        open: impl FnOnce(&mut Session, Header, &'a mut [u8]) -> Result<T, Reject>,
    ) -> Result<T, Reject> {
        let len = HEADER_LEN + sealed.len();
        let session = self.sessions.get(header.session).ok_or(Reject::UnknownSession)?;
        let opened = open(session, header, sealed);
        // In the session before, what still comes is the end of it.
        if matches!(opened, Ok(_) | Err(Reject::Copy))
            && self.sessions.is_current(header.session)
            && let Some(path) = self.path_at(link)
        {
            self.steering.note(now, header.session, header.counter, path, len);
        }
        if opened.is_ok() {
            self.heard = now;
        }
        opened
    }
}

//! What only mpclient does: find the server through its bridges, begin handshakes, and probe its
//! paths.
//!
//! It starts with a handshake over every bridge that has an address; the first response wins. The
//! new session is used once a probe sealed with it was answered, so a replayed response or a server
//! that died in between costs nothing. From then on each path is probed: often while data flows,
//! seldom while nothing does. When no path answers any more, while one would have long since, the
//! server may have been restarted: a handshake begins, and the old session stays in use until the
//! new one works, or until it is answered after all. New keys are asked for the same way, at the
//! latest every [`REKEY_AFTER`](handshakes::REKEY_AFTER).

mod associations;
mod bridges;
pub mod flows;
mod handshakes;
mod leaving;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use log::Level;
use rand::RngExt;

use super::bridge::Way;
use super::change::Change;
use super::chronicle::Kind;
use super::fabric::{Fabric, HOUSEKEEPING, LISTENER};
use super::keyring::KeyId;
use super::link::{Link, NameId, PeerId, Target};
use super::outbox::To;
use super::path::USABLE_FOR;
use super::probing::{Probe, Probing, Standing};
use super::role::ClientRole;
use super::socks5::association::Associations;
use super::wire::{self, ClientId, Control, Header, Reject, Type, Verdict};
use flows::{Listener, Reopening};
use handshakes::Handshakes;
use leaving::Leaving;

/// A path is called silent no earlier than this long after its last reply.
const SILENT_AFTER: Duration = Duration::from_secs(3);

/// See the module.
pub struct Client {
    id: ClientId,
    peer: PeerId,
    /// The way of each path; none where a bridge was taken out and no other put in its place.
    ways: Vec<Option<Way>>,
    /// How many bridges there have ever been.
    named: u32,
    probing: Probing,
    handshakes: Handshakes,
    leaving: Leaving,
    housekeeping: Instant,
    /// When the paths are to be chosen anew.
    steer_at: Option<Instant>,
    /// What this machine is called.
    machine: String,
    /// Where applications send to.
    listeners: Vec<Listener>,
    reopening: Reopening,
    /// What it does for SOCKS5, if it is to.
    pub(super) associations: Option<Associations>,
    /// What was said of targets.
    told: HashSet<(Target, Verdict)>,
}

impl Client {
    /// A client whose bridges are yet to be looked up.
    pub fn new(now: Instant, role: ClientRole, fabric: &mut Fabric) -> Self {
        let id = ClientId(fabric.rng.random());
        let key = fabric.security.keys.shared().map_or(KeyId::NONE, KeyId::of);
        let peer = fabric.add_peer(now, key, id);
        let mut this = Self {
            id,
            peer,
            ways: Vec::new(),
            named: 0,
            probing: Probing::new(now),
            handshakes: Handshakes::default(),
            leaving: Leaving::default(),
            housekeeping: now,
            steer_at: None,
            machine: role.machine,
            listeners: vec![Listener { socket: LISTENER, address: role.listen, target: Target::Default }],
            reopening: Reopening::default(),
            associations: role.socks5.map(Associations::new),
            told: HashSet::new(),
        };
        for Change { text, level } in this.changed_forwards(&role.forwards) {
            fabric.chronicle.tell(now, level, Kind::Start, text);
        }
        this.listen(role.forwards, fabric);
        for (path, bridge) in role.bridges.into_iter().enumerate() {
            this.add(path, now, bridge, fabric);
        }
        this.set_policy(role.copies, fabric);
        this
    }

    /// Notes that a datagram passes, either way.
    #[inline]
    pub fn active(&mut self, now: Instant, fabric: &mut Fabric) {
        if self.probing.active(now) {
            fabric.wake_at(now);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, fabric: &mut Fabric) {
        for path in 0..self.ways.len() {
            self.doubt(path, now, fabric);
            if self.ways[path].as_mut().is_some_and(|way| way.retry(now, fabric)) {
                self.relink(path, now, fabric);
            }
        }
        if now >= self.housekeeping {
            self.housekeeping = now + HOUSEKEEPING;
            fabric.expire(now);
            if let Some(associations) = &mut self.associations {
                associations.prune(&fabric.peers[self.peer.0].flows);
            }
        }
        self.shake_hands(now, fabric);
        self.ask_due(now, fabric);
        self.steer_at = fabric.steer(now);
        for path in 0..self.ways.len() {
            if self.probe_due(path, now, fabric).is_some_and(|due| now >= due) {
                self.probe(path, now, fabric);
            }
        }
        fabric.timer = self.next_timeout(now, fabric);
    }

    fn next_timeout(&self, now: Instant, fabric: &Fabric) -> Instant {
        let mut next = self.steer_at.map_or(self.housekeeping, |at| at.min(self.housekeeping));
        for (path, way) in self.ways.iter().enumerate() {
            next = way.as_ref().and_then(Way::retry_at).map_or(next, |at| next.min(at));
            next = self.probe_due(path, now, fabric).map_or(next, |due| next.min(due));
        }
        next = self.reopening.at().map_or(next, |at| next.min(at));
        next = self.probing.next_change(now).map_or(next, |at| next.min(at));
        self.handshakes.due(now).map_or(next, |at| next.min(at))
    }

    /// When the path's next probe is due, if there are a session and a link to send it.
    fn probe_due(&self, path: usize, now: Instant, fabric: &Fabric) -> Option<Instant> {
        let peer = &fabric.peers[self.peer.0];
        peer.paths[path].link?;
        peer.sessions.next().or(peer.sessions.current())?;
        let backup = peer.steering.policy.backups.has(path);
        let standing = match peer.paths[path].usable(now, backup) {
            false => Standing::Unusable,
            true if peer.is_spare(path) => Standing::Spare,
            true => Standing::Usable,
        };
        Some(self.probing.due(now, path, standing, self.handshakes.phase()))
    }

    fn probe(&mut self, path: usize, now: Instant, fabric: &mut Fabric) {
        let peer = &mut fabric.peers[self.peer.0];
        let Some(link) = peer.paths[path].link else { return };
        let heard = peer.paths[path].heard;
        if heard.is_none_or(|heard| now.saturating_duration_since(heard) >= SILENT_AFTER)
            && let Some(lost) = self.probing.fallen_silent(path)
            && let Some(way) = &mut self.ways[path]
        {
            let text = format_args!("bridge {} is silent: {lost} probes were not answered", way.bridge());
            fabric.chronicle.tell_of_others(now, Level::Warn, Kind::PathSilent.of(self.peer), text);
            // To a new socket the server does not send yet. While the old one may be all there is, it is
            // stayed with as long as the server sends to it.
            let others_answer = peer.paths.iter().any(|path| path.is_heard(now));
            way.fallen_silent(if others_answer { now } else { now + USABLE_FOR });
        }
        let probe = self.probing.probe(now, path, fabric.rng.random_range(0.8..1.2));
        let spare = peer.is_spare(path);
        // A session that is yet to be proven proves nothing.
        let padded = if peer.sessions.next().is_none() { peer.paths[path].attempt(now, spare) } else { None };
        let whole = peer.paths[path].mtu.say();
        let Probe { number, count, token } = probe;
        let control = Control { number, count, token, whole, ..self.said_anyway(path, now, fabric) };
        let Some(session) = fabric.peers[self.peer.0].sessions.newest() else { return };
        if let Some(len) = padded {
            fabric.outbox.push(To::Whole(link), |out| session.seal_padded(Type::Probe, control, len, out));
        }
        fabric.outbox.push(To::Link(link), |out| session.seal_control(Type::Probe, control, out));
        self.tell_of_left_paths(now, link, fabric);
    }

    /// What each probe of a path says, whatever it is for.
    fn said_anyway(&self, path: usize, now: Instant, fabric: &Fabric) -> Control {
        let advice = fabric.peers[self.peer.0].steering.advice(path);
        Control { client: self.id, path: path as u8, clock: fabric.clock(now), advice, ..Control::default() }
    }

    /// Takes a reply.
    pub fn handle_reply(
        &mut self,
        now: Instant,
        link: Link,
        header: Header,
        sealed: &mut [u8],
        fabric: &mut Fabric,
    ) -> Result<(), Reject> {
        let peer = &mut fabric.peers[self.peer.0];
        let session = peer.sessions.get(header.session).ok_or(Reject::UnknownSession)?;
        let padded = wire::is_padded(sealed);
        let (control, copy) = session.open_control(header, sealed)?;
        if copy {
            return Err(Reject::Copy);
        }
        let path = usize::from(control.path);
        if control.left {
            self.leaving.confirmed(path, control.number);
            peer.heard = now;
            return Ok(());
        }
        self.leaving.tried();
        if self.leaving.has(path) {
            // A server that does not know what a path is left by takes that for a probe.
            return Ok(());
        }
        // Where a bridge was taken out, its last replies may still be under way.
        let way = self.ways.get_mut(path).and_then(Option::as_mut).ok_or(Reject::Malformed)?;
        if padded {
            peer.paths[path].mtu.arrived(control.whole.attempt);
            return Ok(());
        }
        if let Some(rtt) = self.probing.replied(now, path, &control) {
            peer.paths[path].search_anew(now);
            let (bridge, ms) = (way.bridge(), rtt.as_secs_f64() * 1e3);
            let text = format_args!("bridge {bridge} is up, round trip {ms:.1} ms");
            fabric.chronicle.tell_of_others(now, Level::Info, Kind::PathUp.of(self.peer), text);
        }
        peer.steering.note_control(now, header.session, path, control.clock);
        if way.answered(link.socket, &mut fabric.events) {
            self.relink(path, now, fabric);
        }
        let peer = &mut fabric.peers[self.peer.0];
        peer.paths[path].heard = Some(now);
        peer.heard = now;
        if peer.sessions.is_newest(header.session) {
            peer.steering.advised(header.session, header.counter, path, &control.advice);
            peer.told_whole(now, path, control.whole);
        }
        if peer.sessions.next().is_some_and(|session| session.local_id == header.session) {
            self.confirm(now, fabric);
        } else if !self.probing.lost(now)
            && let Some(text) = self.handshakes.answered()
        {
            fabric.chronicle.tell(now, Level::Info, Kind::Connected.of(self.peer), text);
        }
        fabric.peers[self.peer.0].update_carriers(now, &mut fabric.outbox);
        fabric.wake_at(now);
        Ok(())
    }

    /// What is different in this configuration.
    pub fn changes(&self, role: &ClientRole, fabric: &Fabric) -> Vec<Change> {
        let mut changes = self.changed_socks5(role.socks5.as_ref());
        changes.extend(self.changed_forwards(&role.forwards));
        // At the start, the configuration is warned of as a whole.
        changes.extend(self.newly_open(&role.forwards));
        let copies = fabric.peers[self.peer.0].steering.policy.copies;
        changes.extend(Change::of_value("copies", role.copies, copies));
        changes.extend(self.changed_bridges(&role.bridges));
        changes
    }

    /// A name for a bridge that no other had before it.
    fn next_name(&mut self) -> NameId {
        let number = self.named;
        self.named = number.wrapping_add(1);
        NameId::Bridge(number)
    }
}

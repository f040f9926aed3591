//! A client's way to one bridge: the addresses of its name, one of them in use, and a socket. A
//! name that does not resolve, an address that does not answer, a socket that cannot be opened or an
//! uplink that is gone costs this path alone, and is tried again. A bridge that answers is left
//! alone.
//!
//! Two things are tried again, each at intervals of its own that grow from 2 to 60 s. *Look-ups*
//! begin as soon as the bridge is in doubt: its name may have another address, which is then gone to
//! at once. *Addresses* are tried in rounds, each from a new socket, to which the server sends once it
//! is proven; so it begins later, and with the address that answered last. The socket that answered
//! last stays open meanwhile: on a path that has become slow its answers are only late, and it is gone
//! back to when one comes. Only a missing uplink is looked for every second, since that costs no
//! packet.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use log::Level;

use super::chronicle::Kind;
use super::fabric::Fabric;
use super::link::{Bind, Event, Host, Link, NameId, PeerId, SocketId, Uplink};
use super::role::Bridge;
use super::stats::may_be_said;

/// The first try after a failure; each further one waits twice as long.
const RETRY_FIRST: Duration = Duration::from_secs(2);
/// The longest wait.
const RETRY_LONGEST: Duration = Duration::from_secs(60);
/// Within a round, the next address's turn comes this soon.
const NEXT_ADDRESS: Duration = Duration::from_secs(2);
/// How often a missing uplink is looked for.
const UPLINK_INTERVAL: Duration = Duration::from_secs(1);
/// A bridge in doubt that answered after all is not looked up again sooner: on a lossy path that
/// would never end.
const LOOK_UP_GAP: Duration = Duration::from_secs(3);

/// See the module.
pub struct Way {
    /// Whom it leads to.
    peer: PeerId,
    bridge: Bridge,
    name: NameId,
    addresses: Vec<SocketAddr>,
    /// How many of them were tried in this round.
    tried: usize,
    link: Option<Link>,
    /// Whether anything was heard there.
    has_answered: bool,
    /// The link that answered last, while others are tried.
    kept: Option<Link>,
    next_address: Retry,
    look_up: Retry,
    looking_up: bool,
    looked_up: Option<Instant>,
    /// Whether the uplink was missing since the bridge last answered.
    uplink_missing: bool,
    /// When that was last said.
    complained: Option<Instant>,
}

impl Way {
    /// A bridge not yet looked up, towards this peer. Its look-ups' answers come under `name`.
    pub fn new(now: Instant, peer: PeerId, name: NameId, bridge: Bridge) -> Self {
        let (mut next_address, mut look_up) = (Retry::default(), Retry::default());
        let addresses = match bridge.endpoint.host {
            Host::Ip(ip) => {
                next_address.by(now);
                vec![SocketAddr::new(ip, bridge.endpoint.port)]
            }
            Host::Name(_) => {
                look_up.by(now);
                Vec::new()
            }
        };
        Self {
            peer,
            bridge,
            name,
            addresses,
            tried: 0,
            link: None,
            has_answered: false,
            kept: None,
            next_address,
            look_up,
            looking_up: false,
            looked_up: None,
            uplink_missing: false,
            complained: None,
        }
    }

    /// The bridge as the user named it.
    pub fn bridge(&self) -> &Bridge {
        &self.bridge
    }

    /// Makes the bridge a backup, or one in use from the start.
    pub fn set_backup(&mut self, backup: bool) {
        self.bridge.backup = backup;
    }

    /// The name under which it is looked up.
    pub fn name(&self) -> NameId {
        self.name
    }

    /// Whether its name has, or had, an address.
    pub fn is_resolved(&self) -> bool {
        !self.addresses.is_empty()
    }

    /// The addresses of its name, or its address.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where the path's packets go, if there is an address and a socket.
    pub fn link(&self) -> Option<Link> {
        self.link
    }

    /// Whether the socket is this bridge's.
    pub fn has(&self, socket: SocketId) -> bool {
        self.link.is_some_and(|link| link.socket == socket)
    }

    /// When the next try is due unless the bridge answers before.
    pub fn retry_at(&self) -> Option<Instant> {
        [self.next_address.at, self.look_up.at].into_iter().flatten().min()
    }

    /// The bridge answers at this socket: nothing needs to be tried. Returns whether the link is another one
    /// now: the one that was kept.
    pub fn answered(&mut self, socket: SocketId, events: &mut VecDeque<Event>) -> bool {
        let kept = self.kept.take();
        let back = kept.is_some_and(|kept| kept.socket == socket);
        let needless = if back { std::mem::replace(&mut self.link, kept) } else { kept };
        events.extend(needless.map(|link| Event::Close(link.socket)));
        self.has_answered = true;
        self.next_address.stop();
        self.look_up.stop();
        self.tried = 0;
        self.uplink_missing = false;
        let current = self.link.map(|link| link.remote);
        if current != self.addresses.first().copied()
            && let Some(at) = self.addresses.iter().position(|address| Some(*address) == current)
        {
            self.addresses[..=at].rotate_right(1);
        }
        back
    }

    /// The bridge owes answers: its name may have another address.
    pub fn doubt(&mut self, now: Instant) {
        if matches!(self.bridge.endpoint.host, Host::Name(_)) && !self.looking_up && self.look_up.at.is_none()
        {
            self.look_up.by(self.looked_up.map_or(now, |last| now.max(last + LOOK_UP_GAP)));
        }
    }

    /// The bridge has fallen silent: its addresses are tried from `when`, if it has not answered by
    /// then.
    pub fn fallen_silent(&mut self, when: Instant) {
        self.next_address.by(when);
    }

    /// Tries what is due. Returns whether the link is another one now.
    pub fn retry(&mut self, now: Instant, fabric: &mut Fabric) -> bool {
        if self.look_up.due(now) {
            self.look_up.at = None;
            self.looking_up = true;
            self.looked_up = Some(now);
            fabric.events.push_back(Event::Resolve(self.name, self.bridge.endpoint.clone()));
        }
        let due = self.next_address.due(now);
        if due {
            self.go_to_next_address(now, fabric);
        }
        due
    }

    /// Takes the answer to the look-up. `healthy` says that the path works as it is, and is not to
    /// be disturbed. Returns whether the link is another one now.
    pub fn resolved(
        &mut self,
        now: Instant,
        answer: Result<Vec<SocketAddr>, String>,
        healthy: bool,
        fabric: &mut Fabric,
    ) -> bool {
        self.looking_up = false;
        let first_failure = self.look_up.failures == 0;
        self.look_up.back_off(now);
        let addresses = match answer.and_then(|addresses| self.suitable(addresses)) {
            Ok(addresses) => addresses,
            Err(error) if first_failure => {
                let text = format!("bridge {} cannot be looked up: {error}; trying again", self.bridge);
                fabric.chronicle.tell(now, Level::Warn, Kind::Name.of(self.peer), text);
                return false;
            }
            Err(_) => return false,
        };
        let known = |link: Link| addresses.contains(&link.remote);
        let moved = !self.link.is_some_and(known);
        let news = addresses.iter().any(|address| !self.addresses.contains(address))
            || addresses.len() != self.addresses.len();
        if news {
            if moved {
                let text = format!("bridge {} is at {}", self.bridge, list(&addresses));
                fabric.chronicle.tell(now, Level::Info, Kind::Name.of(self.peer), text);
            }
            self.addresses = addresses;
            self.tried = 0;
        }
        if healthy {
            self.look_up.stop();
        } else if moved {
            self.go_to_next_address(now, fabric);
            return true;
        }
        false
    }

    /// The addresses that the uplink can reach.
    fn suitable(&self, mut addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, String> {
        if addresses.is_empty() {
            return Err("it has no address".to_owned());
        }
        if let Some(Uplink::Address(ours)) = self.bridge.bind {
            addresses.retain(|theirs| theirs.is_ipv4() == ours.is_ipv4());
            if addresses.is_empty() {
                return Err(format!("it has no address of the IP version of bind={ours}"));
            }
        }
        Ok(addresses)
    }

    /// The socket could not be opened: there is no link until the next try.
    pub fn socket_failed(&mut self, now: Instant, fabric: &mut Fabric) {
        self.close(fabric);
        self.next_address.back_off(now);
    }

    /// The uplink is gone, or another one by the same name: the socket on it is of no use.
    pub fn uplink_lost(&mut self, now: Instant, reason: &str, fabric: &mut Fabric) {
        self.close(fabric);
        self.tried = self.tried.saturating_sub(1);
        let known = std::mem::replace(&mut self.uplink_missing, true);
        // If it was replaced, the new one can be had at once.
        self.next_address.at = Some(if known { now + UPLINK_INTERVAL } else { now });
        if !known && may_be_said(now, self.complained) {
            self.complained = Some(now);
            let text = format!("bridge {}: {reason}; trying again each second", self.bridge);
            fabric.chronicle.tell(now, Level::Warn, Kind::Uplink.of(self.peer), text);
        }
    }

    /// Gives the bridge up.
    pub fn close(&mut self, fabric: &mut Fabric) {
        let links = [self.link.take(), self.kept.take()].into_iter().flatten();
        fabric.events.extend(links.map(|link| Event::Close(link.socket)));
        self.has_answered = false;
    }

    fn go_to_next_address(&mut self, now: Instant, fabric: &mut Fabric) {
        let last = if self.has_answered { self.link.take() } else { self.kept.take() };
        self.kept = last.filter(|last| self.addresses.contains(&last.remote));
        let needless = [self.link.take(), last.filter(|_| self.kept.is_none())].into_iter().flatten();
        fabric.events.extend(needless.map(|link| Event::Close(link.socket)));
        self.has_answered = false;
        if self.tried >= self.addresses.len() {
            self.tried = 0;
        }
        let remote = self.addresses[self.tried];
        self.tried += 1;
        let socket = fabric.open_socket(Bind::Towards { remote, over: self.bridge.bind.clone(), port: None });
        self.link = Some(Link { socket, remote, local: None });
        if self.tried < self.addresses.len() {
            self.next_address.at = Some(now + NEXT_ADDRESS);
        } else {
            self.next_address.back_off(now);
        }
    }
}

/// Something that is tried again and again, at growing intervals, until it succeeds.
#[derive(Debug, Default)]
struct Retry {
    /// When the next try is due, if one is.
    at: Option<Instant>,
    failures: u32,
}

impl Retry {
    fn due(&self, now: Instant) -> bool {
        self.at.is_some_and(|at| now >= at)
    }

    /// Has the next try come at `when` or earlier.
    fn by(&mut self, when: Instant) {
        self.at = Some(self.at.map_or(when, |at| at.min(when)));
    }

    fn back_off(&mut self, now: Instant) {
        let wait = RETRY_FIRST.saturating_mul(1 << self.failures.min(5)).min(RETRY_LONGEST);
        self.failures += 1;
        self.at = Some(now + wait);
    }

    fn stop(&mut self) {
        *self = Self::default();
    }
}

fn list(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
}

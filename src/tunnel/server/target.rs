//! Where flows lead: the server's own target, and those that clients name, as far as they are
//! allowed.
//!
//! A client's name is looked up when a flow to it opens, unless that was done a moment ago, and the
//! address that comes out is held against the allow list each time. What asks meanwhile is held, a
//! bounded number.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use log::{Level, debug};

use super::Server;
use super::flows::tell_refused;
use crate::tunnel::chronicle::Kind;
use crate::tunnel::fabric::Fabric;
use crate::tunnel::link::{Endpoint, Event, Host, NameId, PeerId, Target};
use crate::tunnel::wire::{Open, Reject};

/// The target's name is looked up again this often; new flows go to the new address.
const REFRESH: Duration = Duration::from_secs(60);
/// ... and this often while it has none.
const RETRY: Duration = Duration::from_secs(2);
/// What a client's name has meant a moment ago it still means.
const FRESH: Duration = Duration::from_secs(5);
/// Clients' names that are remembered, ...
const MAX_NAMES: usize = 1024;
/// ... and looked up at a time: each takes a thread.
const MAX_LOOK_UPS: usize = 32;
/// What waits for names, and its octets.
const MAX_HELD: usize = 256;
const MAX_HELD_LEN: usize = 256 * 1024;

/// The target that the server was started with.
pub(super) struct OwnTarget {
    pub(super) endpoint: Endpoint,
    pub(super) address: Option<SocketAddr>,
    /// When to look the name up; `None` for an address, and while an answer is awaited.
    pub(super) look_up_at: Option<Instant>,
    complained: bool,
}

impl OwnTarget {
    pub(super) fn new(now: Instant, endpoint: Endpoint) -> Self {
        let address = match endpoint.host {
            Host::Ip(ip) => Some(SocketAddr::new(ip.to_canonical(), endpoint.port)),
            Host::Name(_) => None,
        };
        Self { endpoint, address, look_up_at: address.is_none().then_some(now), complained: false }
    }

    /// Has the name looked up, if it is time.
    pub(super) fn look_up(&mut self, now: Instant, fabric: &mut Fabric) {
        if self.look_up_at.take_if(|at| now >= *at).is_some() {
            fabric.events.push_back(Event::Resolve(NameId::Target, self.endpoint.clone()));
        }
    }

    fn resolved(&mut self, now: Instant, answer: Result<Vec<SocketAddr>, String>, fabric: &mut Fabric) {
        // An address that is still the name's is kept, whatever order they come in.
        let kept = |addresses: &[SocketAddr]| self.address.filter(|address| addresses.contains(address));
        let found = answer.and_then(|addresses| {
            kept(&addresses).or_else(|| best(&addresses)).ok_or_else(|| "it has no address".to_owned())
        });
        self.look_up_at = Some(now + if found.is_ok() { REFRESH } else { RETRY });
        match found {
            Ok(address) if self.address == Some(address) => {}
            Ok(address) => {
                let text = format!("target {} is at {address}", self.endpoint);
                fabric.chronicle.tell(now, Level::Info, Kind::Name, text);
                self.address = Some(address);
            }
            Err(error) => match self.address {
                Some(address) => {
                    let text =
                        format!("target {} cannot be looked up: {error}; keeping {address}", self.endpoint);
                    fabric.chronicle.tell(now, Level::Debug, Kind::Name, text);
                }
                None if !self.complained => {
                    self.complained = true;
                    let text = format!("target {} cannot be looked up: {error}; trying again", self.endpoint);
                    fabric.chronicle.tell(now, Level::Warn, Kind::Name, text);
                }
                None => {}
            },
        }
    }
}

/// Where a target is.
pub(super) enum Found {
    /// Here.
    At(SocketAddr),
    /// That is known when the name with this number has been looked up.
    Soon(u32),
}

impl Server {
    /// Finds a flow's target, if it may lead there.
    pub(super) fn find(
        &mut self,
        now: Instant,
        id: PeerId,
        target: &Target,
        fabric: &mut Fabric,
    ) -> Result<Found, Reject> {
        let own = || self.target.address.map(Found::At).ok_or(Reject::NoTarget);
        let Target::Named(endpoint) = target else { return own() };
        let endpoint = endpoint.canonical();
        if endpoint == self.target.endpoint.canonical() {
            return own();
        }
        let found = match &endpoint.host {
            Host::Ip(ip) => {
                let address = SocketAddr::new(*ip, endpoint.port);
                self.allows(None, address).then_some(Found::At(address)).ok_or(Reject::NotAllowed)
            }
            Host::Name(name) if !self.allowed.could_allow(name, endpoint.port) => Err(Reject::NotAllowed),
            Host::Name(name) => match self.names.ask(now, name, fabric)? {
                Meaning::Soon(number) => Ok(Found::Soon(number)),
                Meaning::Known(ips) if ips.is_empty() => Err(Reject::NoTarget),
                Meaning::Known(ips) => {
                    let all = ips.iter().map(|ip| SocketAddr::new(*ip, endpoint.port));
                    let allowed: Vec<_> = all.filter(|address| self.allows(Some(name), *address)).collect();
                    best(&allowed).map(Found::At).ok_or(Reject::NotAllowed)
                }
            },
        };
        if matches!(found, Err(Reject::NotAllowed)) {
            tell_refused(now, id, target, fabric);
        }
        found
    }

    /// Whether a flow may lead to an address. Never back to the server itself.
    fn allows(&self, name: Option<&str>, address: SocketAddr) -> bool {
        let listen = self.listen;
        let ip = address.ip().to_canonical();
        let any = listen.ip().is_unspecified() && (ip.is_loopback() || ip.is_unspecified());
        let itself = address.port() == listen.port() && (any || ip == listen.ip().to_canonical());
        !itself && (self.target.address == Some(address) || self.allowed.allows(name, address))
    }

    /// Takes the answer to a look-up.
    pub fn handle_resolved(
        &mut self,
        now: Instant,
        name: NameId,
        answer: Result<Vec<SocketAddr>, String>,
        fabric: &mut Fabric,
    ) {
        match name {
            NameId::Target => self.target.resolved(now, answer, fabric),
            NameId::Named(number) => {
                self.names.resolved(now, number, answer);
                self.take_held(now, number, fabric);
            }
            NameId::Bridge(_) => debug_assert!(false, "a server has no bridges"),
        }
        fabric.wake_at(now);
    }
}

/// The address to use: the resolver's first, but 127.0.0.1 rather than ::1, since what listens on
/// this machine often listens for IPv4 alone and seldom for IPv6 alone.
fn best(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    let ours = addresses.iter().all(|address| address.ip().is_loopback());
    addresses.iter().find(|address| ours && address.is_ipv4()).or(addresses.first()).copied()
}

/// What a name means.
enum Meaning {
    /// These addresses; none where it has none.
    Known(Vec<IpAddr>),
    /// That is known when the name with this number has been looked up.
    Soon(u32),
}

/// The names that clients have asked for.
#[derive(Default)]
pub(super) struct Names {
    numbers: HashMap<String, u32>,
    names: HashMap<u32, Name>,
    next: u32,
    looking: usize,
    held: usize,
    held_len: usize,
}

struct Name {
    name: String,
    addresses: Vec<IpAddr>,
    /// When that was found out; `None` while it is being.
    since: Option<Instant>,
    held: Vec<Held>,
}

/// What waits for a name.
pub(super) struct Held {
    pub(super) peer: PeerId,
    pub(super) open: Open,
    pub(super) datagram: Option<Box<[u8]>>,
}

impl Names {
    fn ask(&mut self, now: Instant, name: &str, fabric: &mut Fabric) -> Result<Meaning, Reject> {
        let stale = |since: Instant| now.saturating_duration_since(since) >= FRESH;
        let known = self.numbers.get(name).copied();
        if let Some(number) = known {
            match self.names[&number].since {
                None => return Ok(Meaning::Soon(number)),
                Some(since) if !stale(since) => {
                    return Ok(Meaning::Known(self.names[&number].addresses.clone()));
                }
                Some(_) => {}
            }
        }
        if self.looking >= MAX_LOOK_UPS {
            return Err(Reject::NoTarget);
        }
        if known.is_none() && self.names.len() >= MAX_NAMES {
            self.names.retain(|_, known| known.since.is_none_or(|since| !stale(since)));
            let names = &self.names;
            self.numbers.retain(|_, number| names.contains_key(number));
            if self.names.len() >= MAX_NAMES {
                return Err(Reject::NoTarget);
            }
        }
        let number = known.unwrap_or_else(|| {
            self.next = self.next.wrapping_add(1);
            self.next
        });
        self.looking += 1;
        self.numbers.insert(name.to_owned(), number);
        let entry = self.names.entry(number).or_insert_with(|| Name {
            name: name.to_owned(),
            addresses: Vec::new(),
            since: None,
            held: Vec::new(),
        });
        entry.since = None;
        // The port is each flow's own.
        let endpoint = Endpoint { host: Host::Name(name.to_owned()), port: 0 };
        fabric.events.push_back(Event::Resolve(NameId::Named(number), endpoint));
        Ok(Meaning::Soon(number))
    }

    fn resolved(&mut self, now: Instant, number: u32, answer: Result<Vec<SocketAddr>, String>) {
        let Some(entry) = self.names.get_mut(&number).filter(|entry| entry.since.is_none()) else { return };
        self.looking -= 1;
        entry.since = Some(now);
        entry.addresses = match answer {
            Ok(addresses) => addresses.into_iter().map(|address| address.ip().to_canonical()).collect(),
            Err(error) => {
                debug!("a client's target {} cannot be looked up: {error}", entry.name);
                Vec::new()
            }
        };
    }

    /// Keeps what asks for a name until it is looked up.
    pub(super) fn hold(
        &mut self,
        number: u32,
        peer: PeerId,
        open: Open,
        datagram: Option<&[u8]>,
    ) -> Result<(), Reject> {
        let len = datagram.map_or(0, <[u8]>::len);
        if self.held >= MAX_HELD || self.held_len + len > MAX_HELD_LEN {
            return Err(Reject::QueueFull);
        }
        let entry = self.names.get_mut(&number).expect("it is being looked up");
        entry.held.push(Held { peer, open, datagram: datagram.map(Into::into) });
        self.held += 1;
        self.held_len += len;
        Ok(())
    }

    /// What waited for a name.
    pub(super) fn release(&mut self, number: u32) -> Vec<Held> {
        let held =
            self.names.get_mut(&number).map(|entry| std::mem::take(&mut entry.held)).unwrap_or_default();
        self.held -= held.len();
        self.held_len -= held
            .iter()
            .filter_map(|held| held.datagram.as_ref())
            .map(|datagram| datagram.len())
            .sum::<usize>();
        held
    }

    /// Drops what waits for a client that has gone.
    pub(super) fn forget(&mut self, peer: PeerId) {
        let (held, held_len) = (&mut self.held, &mut self.held_len);
        for entry in self.names.values_mut() {
            entry.held.retain(|waits| {
                let stays = waits.peer != peer;
                if !stays {
                    *held -= 1;
                    *held_len -= waits.datagram.as_ref().map_or(0, |datagram| datagram.len());
                }
                stays
            });
        }
    }

    /// How many datagrams and questions wait, and their octets.
    pub(super) fn held(&self) -> (usize, usize) {
        (self.held, self.held_len)
    }
}

//! A client's way to one bridge: the addresses of its name, one of them in use, and a socket. A
//! name that does not resolve, an address that does not answer or a socket that cannot be opened
//! costs this path alone, and is tried again with backoff: looked up again, at the next address,
//! from a new socket. A bridge that answers is left alone.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use log::{info, warn};

use super::fabric::Fabric;
use super::link::{Bind, Event, Host, Link, NameId, SocketId};
use super::role::Bridge;

/// The first try after a failure; each further one waits twice as long.
const RETRY_FIRST: Duration = Duration::from_secs(2);
/// The longest wait.
const RETRY_LONGEST: Duration = Duration::from_secs(60);
/// While a name has addresses that were not tried yet, the next one's turn comes this soon.
const NEXT_ADDRESS: Duration = Duration::from_secs(2);

/// See the module.
pub struct Way {
    bridge: Bridge,
    name: NameId,
    addresses: Vec<SocketAddr>,
    /// How many addresses were tried since the last answer.
    tried: usize,
    link: Option<Link>,
    looking_up: bool,
    failures: u32,
    retry_at: Instant,
}

impl Way {
    /// A bridge not yet looked up.
    pub fn new(now: Instant, path: u8, bridge: Bridge) -> Self {
        Self {
            bridge,
            name: NameId::Bridge(path),
            addresses: Vec::new(),
            tried: 0,
            link: None,
            looking_up: false,
            failures: 0,
            retry_at: now,
        }
    }

    /// The bridge as the user named it.
    pub fn bridge(&self) -> &Bridge {
        &self.bridge
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
    pub fn retry_at(&self) -> Instant {
        self.retry_at
    }

    /// The bridge answers: nothing needs to be tried for a while.
    pub fn answered(&mut self, now: Instant) {
        self.failures = 0;
        self.tried = 0;
        self.retry_at = now + RETRY_LONGEST;
    }

    /// The bridge has fallen silent: something is tried at `when`, if it has not answered by then.
    pub fn retry_by(&mut self, when: Instant) {
        self.retry_at = self.retry_at.min(when);
    }

    /// Tries what is due. Returns whether the link is another one now.
    pub fn retry(&mut self, now: Instant, fabric: &mut Fabric) -> bool {
        if now < self.retry_at {
            return false;
        }
        match self.bridge.endpoint.host {
            Host::Ip(ip) if self.addresses.is_empty() => {
                self.addresses = vec![SocketAddr::new(ip, self.bridge.endpoint.port)];
            }
            Host::Name(_) if !self.looking_up && self.tried >= self.addresses.len() => {
                self.looking_up = true;
                fabric.events.push_back(Event::Resolve(self.name, self.bridge.endpoint.clone()));
            }
            _ => {}
        }
        if self.addresses.is_empty() {
            // The answer to the look-up goes on from here.
            self.back_off(now);
            return false;
        }
        self.next_address(now, fabric);
        true
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
        let found = answer.and_then(|addresses| match addresses.is_empty() {
            true => Err("it has no address".to_owned()),
            false => Ok(addresses),
        });
        match found {
            Ok(addresses) => {
                if self.addresses.is_empty() {
                    info!("bridge {} is at {}", self.bridge.endpoint, list(&addresses));
                }
                let known = self.addresses == addresses && self.link.is_some();
                self.addresses = addresses;
                if healthy || known {
                    return false;
                }
                self.tried = 0;
                self.next_address(now, fabric);
                true
            }
            Err(error) => {
                if self.failures <= 1 {
                    warn!("bridge {} cannot be looked up: {error}; trying again", self.bridge.endpoint);
                }
                self.back_off(now);
                false
            }
        }
    }

    /// The socket could not be opened: there is no link until the next try.
    pub fn socket_failed(&mut self, now: Instant, fabric: &mut Fabric) {
        self.close(fabric);
        self.back_off(now);
    }

    fn next_address(&mut self, now: Instant, fabric: &mut Fabric) {
        self.close(fabric);
        let remote = self.addresses[self.tried % self.addresses.len()];
        self.tried += 1;
        let socket = fabric.open_socket(Bind::Towards(remote));
        self.link = Some(Link { socket, remote, local: None });
        if self.tried < self.addresses.len() {
            self.retry_at = now + NEXT_ADDRESS;
        } else {
            self.back_off(now);
        }
    }

    fn close(&mut self, fabric: &mut Fabric) {
        if let Some(link) = self.link.take() {
            fabric.events.push_back(Event::Close(link.socket));
        }
    }

    fn back_off(&mut self, now: Instant) {
        let wait = RETRY_FIRST.saturating_mul(1 << self.failures.min(5)).min(RETRY_LONGEST);
        self.failures += 1;
        self.retry_at = now + wait;
    }
}

fn list(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
}

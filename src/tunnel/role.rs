//! What a tunnel is told at its start: which of the two programs it is, and its keys.

use std::fmt;
use std::net::SocketAddr;

pub use super::allow::Allowed;
pub use super::client::flows::MAX_FORWARDS;
use super::flow::MAX_FLOWS;
use super::keyring::Keys;
use super::link::{Endpoint, Uplink};
pub use super::socks5::association::Socks5;

/// What a tunnel is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which program this is, and between what it stands.
    pub role: Role,
    /// Whether it encrypts, and with which keys.
    pub security: Security,
}

/// Which of the two programs this is. All in which they differ begins here.
#[derive(Clone, Debug)]
pub enum Role {
    /// mpclient: local sockets towards the applications, a path through each bridge.
    Client(ClientRole),
    /// mpserver: one socket towards the bridges, a local socket towards its target for each flow.
    Server(ServerRole),
}

impl From<ClientRole> for Role {
    fn from(role: ClientRole) -> Self {
        Self::Client(role)
    }
}

impl From<ServerRole> for Role {
    fn from(role: ServerRole) -> Self {
        Self::Server(role)
    }
}

/// What an mpclient is told.
#[derive(Clone, Debug)]
pub struct ClientRole {
    /// Where applications send their datagrams.
    pub listen: SocketAddr,
    /// The bridges, at most [`MAX_PATHS`](super::path::MAX_PATHS). A path has its bridge's index.
    pub bridges: Vec<Bridge>,
    /// How many of them carry a datagram.
    pub copies: Copies,
    /// Where else it listens, and for which targets. No address is there twice.
    pub forwards: Vec<Forward>,
    /// Flows at a time, at most [`MAX_MAX_FLOWS`](super::flow::MAX_MAX_FLOWS).
    pub max_flows: usize,
    /// Whether it serves SOCKS5 clients besides.
    pub socks5: Option<Socks5>,
    /// The machine's name. By it two machines that use one key are told apart: applications may have
    /// the same addresses there.
    pub machine: String,
}

impl ClientRole {
    /// All bridges carry every datagram, and nothing is forwarded but to the server's target.
    pub fn new(listen: SocketAddr, bridges: Vec<Bridge>) -> Self {
        Self {
            listen,
            bridges,
            copies: Copies::All,
            forwards: Vec::new(),
            max_flows: MAX_FLOWS,
            socks5: None,
            machine: String::new(),
        }
    }
}

/// What an mpserver is told.
#[derive(Clone, Debug)]
pub struct ServerRole {
    /// Where bridges send to. An unspecified IPv6 address takes both IP versions.
    pub listen: SocketAddr,
    /// Where datagrams go that name no target.
    pub target: Endpoint,
    /// Which targets clients may name besides.
    pub allowed: Allowed,
    /// Flows of a client at a time, as there.
    pub max_flows: usize,
}

impl ServerRole {
    /// Nothing is allowed but its target.
    pub fn new(listen: SocketAddr, target: Endpoint) -> Self {
        Self { listen, target, allowed: Allowed::default(), max_flows: MAX_FLOWS }
    }
}

/// An address of mpclient whose datagrams go to a target of their own (`forward =`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Where applications send to.
    pub listen: SocketAddr,
    /// Where that leads.
    pub target: Endpoint,
}

/// A relay that a path of mpclient goes through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// The uplink to reach it over (`bind=`). `None` leaves that to the system's routes.
    pub bind: Option<Uplink>,
    /// Whether it carries datagrams only while the others are too few or too bad.
    pub backup: bool,
}

impl Bridge {
    /// Whether both are one path: the same endpoint over the same uplink.
    pub fn is_same(&self, other: &Self) -> bool {
        self.endpoint == other.endpoint && self.bind == other.bind
    }
}

/// A bridge over whichever uplink, in use from the start.
impl<T: Into<Endpoint>> From<T> for Bridge {
    fn from(endpoint: T) -> Self {
        Self { endpoint: endpoint.into(), bind: None, backup: false }
    }
}

/// As it stands in the log.
impl fmt::Display for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.bind {
            Some(uplink) => write!(f, "{} over {uplink}", self.endpoint),
            None => self.endpoint.fmt(f),
        }
    }
}

/// How many copies of a datagram leave, each on a path of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Copies {
    /// One on every usable path.
    #[default]
    All,
    /// This many, on the best paths.
    Best(u8),
    /// As few as keep what all of them lose together under this.
    Target(LossTarget),
}

/// As the configuration has it: `all`, `2`, `target-loss 0.1 %`.
impl fmt::Display for Copies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Best(count) => count.fmt(f),
            Self::Target(target) => write!(f, "target-loss {} %", f64::from(target.0) / 1e4),
        }
    }
}

/// The part of all datagrams that may be lost, in parts per million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LossTarget(pub u32);

impl LossTarget {
    /// As a part of one.
    pub fn part(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

/// Whether and how packets are sealed. Both ends must agree.
#[derive(Clone, Debug)]
pub struct Security {
    /// Whether datagrams are encrypted (`MPTUNNEL_ENCRYPT`).
    pub encrypt: bool,
    /// The pre-shared keys. Without any, anybody may connect.
    pub keys: Keys,
}

//! The words the tunnel and the event loop speak with each other: sockets, links, packets to send,
//! and what the loop is asked to do.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

/// Names one of our sockets. The tunnel gives the number, the event loop owns the descriptor behind
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub u32);

impl SocketId {
    /// A client's listeners beside its first have this bit, so that packets and datagrams are told
    /// apart at a glance.
    pub const LISTENS: u32 = 1 << 31;
    /// Those of SOCKS5 associations have this bit too: their datagrams begin with a header.
    pub const RELAYS: u32 = 1 << 30;
}

/// Numbers the peers of one tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerId(pub usize);

/// One of our sockets and a remote address: where a packet came from or where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Link {
    /// Our socket.
    pub socket: SocketId,
    /// The other side's address.
    pub remote: SocketAddr,
    /// Our address that was spoken to. A machine with several addresses answers from this one, or
    /// NATs and firewalls on the way would not know the answer. `None` lets the system choose.
    pub local: Option<IpAddr>,
}

/// A run of packets for one link, as long as each other (the last may be shorter), back to back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// Where to.
    pub link: Link,
    /// The packets' octets.
    pub contents: &'a [u8],
    /// Octets of each packet but the last. Equal to `contents.len()` where there is only one.
    pub segment_len: usize,
    /// Whether the packet must not be cut into fragments, here or on the way. Where that cannot be had,
    /// or it is too long for the interface, it is not sent.
    pub whole: bool,
}

impl<'a> Transmit<'a> {
    /// The packets one by one. An empty datagram is a packet too.
    pub fn packets(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let empty = self.contents.is_empty().then_some(self.contents);
        empty.into_iter().chain(self.contents.chunks(self.segment_len.max(1)))
    }
}

/// What the tunnel asks of the event loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Open a UDP socket under this id. That it is open is told with `Tunnel::handle_socket_open`, a
    /// failure with `Tunnel::handle_socket_error`, and that the uplink is missing, now or later, with
    /// `Tunnel::handle_uplink_lost`.
    Open(SocketId, Bind),
    /// Close the socket.
    Close(SocketId),
    /// Look the endpoint's name up, without stopping the loop, and answer with
    /// `Tunnel::handle_resolved`.
    Resolve(NameId, Endpoint),
}

/// Which local address a socket wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// A listener's own address, which must be had.
    Listen(SocketAddr),
    /// A port from which the remote address can be reached.
    Towards {
        /// The one address to speak with.
        remote: SocketAddr,
        /// The uplink to leave by; otherwise the system's routes decide.
        over: Option<Uplink>,
        /// The port to have, if it is free; otherwise any.
        port: Option<NonZeroU16>,
    },
}

/// One of this machine's ways out, as the user names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Uplink {
    /// A network interface.
    Interface(String),
    /// The interface that has this address, as far as the system's routes go by source address.
    Address(IpAddr),
}

impl fmt::Display for Uplink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface(name) => f.write_str(name),
            Self::Address(ip) => ip.fmt(f),
        }
    }
}

/// Names an endpoint whose address is being looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NameId {
    /// The bridge that a client was given as the one of this number. No other is called so later, so that
    /// a late answer is no other bridge's.
    Bridge(u32),
    /// The server's target.
    Target,
    /// A target that clients name, by its number.
    Named(u32),
}

/// A host as a user writes it: an address, or a name to look up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// An IPv4 or IPv6 address.
    Ip(IpAddr),
    /// A name for the system's resolver.
    Name(String),
}

/// A host and a UDP port. Displayed as `host:port`, with brackets round an IPv6 address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The host.
    pub host: Host,
    /// The port, never 0.
    pub port: u16,
}

/// Where a flow leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// To the target that mpserver was started with.
    Default,
    /// To one that the client names.
    Named(Endpoint),
}

/// As it stands in the log.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("mpserver's own target"),
            Self::Named(endpoint) => endpoint.fmt(f),
        }
    }
}

impl Endpoint {
    /// The endpoint in the spelling that all spellings of it share.
    pub fn canonical(&self) -> Self {
        let host = match &self.host {
            Host::Ip(ip) => Host::Ip(ip.to_canonical()),
            Host::Name(name) => Host::Name(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()),
        };
        Self { host, port: self.port }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self { host: Host::Ip(address.ip()), port: address.port() }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

//! What a tunnel is told at its start: which of the two programs it is, and its keys.

use std::net::SocketAddr;

use super::key::Key;
use super::link::Endpoint;

/// What a tunnel is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which program this is, and between what it stands.
    pub role: Role,
    /// Whether it encrypts, and with which key.
    pub security: Security,
}

/// Which of the two programs this is. All in which they differ begins here.
#[derive(Clone, Debug)]
pub enum Role {
    /// mpclient: one local socket towards the applications, a path through each bridge.
    Client {
        /// Where applications send their datagrams.
        listen: SocketAddr,
        /// The bridges, at most [`MAX_PATHS`](super::path::MAX_PATHS). A path has its bridge's
        /// index.
        bridges: Vec<Bridge>,
    },
    /// mpserver: one socket towards the bridges, a local socket towards the target for each flow.
    Server {
        /// Where bridges send to. An unspecified IPv6 address takes both IP versions.
        listen: SocketAddr,
        /// Where datagrams go.
        target: Endpoint,
    },
}

/// A relay that a path of mpclient goes through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// Where it listens.
    pub endpoint: Endpoint,
}

/// Whether and how packets are sealed. Both ends must agree.
#[derive(Clone, Debug)]
pub struct Security {
    /// Whether datagrams are encrypted (`MPTUNNEL_ENCRYPT`).
    pub encrypt: bool,
    /// The pre-shared key. Without one, anybody may connect.
    pub key: Option<Key>,
}

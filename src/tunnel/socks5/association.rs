//! Associations: what a SOCKS5 client gets. Each has a socket of its own, whose datagrams begin with their
//! target, and a flow for each target. It lasts as long as the client's TCP connection.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::gate::Gate;
use super::negotiation::Failure;
use super::users::Users;
use super::wire::{self, Unsent};
use crate::tunnel::flow::Flows;
use crate::tunnel::link::{Endpoint, SocketId};
use crate::tunnel::stats::may_be_said;
use crate::tunnel::wire::{FlowId, Reject};

/// Associations at a time. Each is an open file, and its connection another.
pub const MAX_ASSOCIATIONS: usize = 256;

/// Where SOCKS5 clients connect to, and who may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socks5 {
    /// Where mpclient listens, by TCP.
    pub listen: SocketAddr,
    /// Who may log in. Without users no login is wanted.
    pub users: Option<Users>,
}

/// All that a client does for SOCKS5.
#[derive(Debug)]
pub struct Associations {
    /// As configured. Where it listens, it does so from the start to the end.
    pub config: Socks5,
    /// Associations since the start.
    pub associated: u64,
    /// Clients that were refused since the start.
    pub refused: Refusals,
    said: Option<Instant>,
    open: HashMap<SocketId, Association>,
}

/// One client's.
#[derive(Debug)]
struct Association {
    gate: Gate,
    /// Its flows. One that has ended may still be there.
    flows: HashMap<Endpoint, FlowId>,
}

/// Why a client is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// For what it has said.
    Failure(Failure),
    /// It has sent something behind its request.
    Excess,
    /// It has not said in time what it wants.
    Late,
    /// It has not said yet what it wants, and others wanted its place.
    Crowded,
    /// There are [`MAX_ASSOCIATIONS`].
    Limit,
    /// No socket could be opened for it.
    NoSocket,
}

/// Clients that were refused, by reason. Their datagrams are counted with all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusals {
    /// Connections that were not SOCKS5, or said something behind the request.
    pub malformed: u64,
    /// Clients that offered no method that is wanted.
    pub method: u64,
    /// Names and passwords that are no user's.
    pub login: u64,
    /// CONNECT, BIND and commands that do not exist.
    pub command: u64,
    /// Addresses of an unknown type.
    pub address_type: u64,
    /// Clients that took too long, or gave way to others.
    pub late: u64,
    /// Associations beyond the limit.
    pub limit: u64,
    /// Associations for which no socket could be opened.
    pub no_socket: u64,
}

impl Refusals {
    fn count(&mut self, refusal: Refusal) {
        *match refusal {
            Refusal::Failure(Failure::Malformed) | Refusal::Excess => &mut self.malformed,
            Refusal::Failure(Failure::Method) => &mut self.method,
            Refusal::Failure(Failure::Login) => &mut self.login,
            Refusal::Failure(Failure::Command) => &mut self.command,
            Refusal::Failure(Failure::AddressType) => &mut self.address_type,
            Refusal::Late | Refusal::Crowded => &mut self.late,
            Refusal::Limit => &mut self.limit,
            Refusal::NoSocket => &mut self.no_socket,
        } += 1;
    }
}

/// As it stands in the log.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failure(Failure::Malformed) => "it does not speak SOCKS5",
            Self::Failure(Failure::Method) => {
                "it offers no login where socks5-users wants one, or nothing but a login where none is wanted"
            }
            Self::Failure(Failure::Login) => "socks5-users has no such name with this password",
            Self::Failure(Failure::Command) => {
                "it asks for TCP (CONNECT or BIND), and only UDP (UDP ASSOCIATE) goes through the tunnel"
            }
            Self::Failure(Failure::AddressType) => "its request has an address of an unknown type",
            Self::Excess => "it has sent something behind its request",
            Self::Late => "it has not said in time what it wants",
            Self::Crowded => "it has not said yet what it wants, and others wanted its place",
            Self::Limit => return write!(f, "there are {MAX_ASSOCIATIONS} associations already"),
            Self::NoSocket => "no socket could be opened for it",
        })
    }
}

impl Associations {
    /// None yet.
    pub fn new(config: Socks5) -> Self {
        Self { config, associated: 0, refused: Refusals::default(), said: None, open: HashMap::new() }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.open.len()
    }

    /// Whether there is no room for another.
    pub fn is_full(&self) -> bool {
        self.open.len() >= MAX_ASSOCIATIONS
    }

    /// Begins the association of a client at this address, whose datagrams come from `port`, where it is known.
    pub fn insert(&mut self, socket: SocketId, client: IpAddr, port: Option<u16>) {
        let association = Association { gate: Gate::new(client, port), flows: HashMap::new() };
        self.open.insert(socket, association);
        self.associated += 1;
    }

    /// Counts that a client is refused. Returns whether that is to be said.
    pub fn refuse(&mut self, now: Instant, refusal: Refusal) -> bool {
        self.refused.count(refusal);
        let due = may_be_said(now, self.said);
        if due {
            self.said = Some(now);
        }
        due
    }

    /// The target and the data of a datagram that came to the socket of an association.
    ///
    /// # Errors
    /// Why it is dropped.
    pub fn read<'a>(
        &mut self,
        socket: SocketId,
        remote: SocketAddr,
        octets: &'a [u8],
    ) -> Result<(Endpoint, &'a [u8]), Reject> {
        let association = self.open.get_mut(&socket).ok_or(Reject::UnknownFlow)?;
        if !association.gate.admits(remote) {
            return Err(Reject::OtherSender);
        }
        let read = wire::datagram(octets).map_err(|unsent| match unsent {
            Unsent::Fragment => Reject::Fragment,
            Unsent::Malformed => Reject::NoHeader,
        })?;
        association.gate.settle(remote);
        Ok(read)
    }

    /// The flow of an association towards this target, if it has one that has not ended.
    pub fn flow(&self, socket: SocketId, target: &Endpoint, flows: &Flows) -> Option<FlowId> {
        let id = *self.open.get(&socket)?.flows.get(target)?;
        is_of(socket, id, flows).then_some(id)
    }

    /// Notes a new flow of an association.
    pub fn add_flow(&mut self, socket: SocketId, target: Endpoint, id: FlowId) {
        if let Some(association) = self.open.get_mut(&socket) {
            association.flows.insert(target, id);
        }
    }

    /// Forgets the flows that have ended.
    pub fn prune(&mut self, flows: &Flows) {
        for (socket, association) in &mut self.open {
            association.flows.retain(|_, id| is_of(*socket, *id, flows));
        }
    }

    /// Ends one, and tells its flows; some may have ended before. `None` if there is none with this socket.
    pub fn remove(&mut self, socket: SocketId) -> Option<impl Iterator<Item = FlowId> + use<>> {
        self.open.remove(&socket).map(|association| association.flows.into_values())
    }
}

/// Whether an association's flow has not ended. Ids are not taken again before all others were, so it still leads to the
/// same target.
fn is_of(socket: SocketId, id: FlowId, flows: &Flows) -> bool {
    flows.get(id).is_some_and(|flow| flow.local.socket == socket)
}

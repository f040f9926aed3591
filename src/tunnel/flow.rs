//! Flows: one application's datagrams, both ways. A flow has an id within its client, a target, and
//! at each end a local link: at mpclient the application's address behind a listener, at mpserver a
//! socket of its own towards the target, so that each application has its own address there.
//!
//! It starts with its first datagram, which asks the server for it, and ends when idle. The client
//! asks with every datagram until it is answered, and again in each new session, since the server
//! may be another process by then: so it is told which source port the flow had, and takes it
//! if it is free.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::link::{Link, Target};
use super::socks5::wire::Address;
use super::wire::{FlowId, Open, Reject, Verdict};

/// A flow that carries nothing for this long ends at the client. RFC 4787 (REQ-5) recommends five
/// minutes or more for NATs.
pub const FLOW_IDLE: Duration = Duration::from_secs(300);
/// At the server it ends so much later: a client that uses a flow again just in time finds it.
pub const FLOW_IDLE_AT_SERVER: Duration = Duration::from_secs(310);
/// Flows of one peer, unless the user says otherwise. Each is an open file at the server. A fuzzer that
/// has to open a thousand to see the limit sees little else.
pub const MAX_FLOWS: usize = if cfg!(fuzzing) { 96 } else { 1024 };
/// The most that a user can ask for: a server's address has no more ports towards one target.
pub const MAX_MAX_FLOWS: usize = 65_000;
const _: () = assert!(MAX_MAX_FLOWS < FlowId::LIMIT as usize);

/// What limits the flows of one peer.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many there may be.
    pub most: usize,
    /// One ends when it has been idle for this long.
    pub idle: Duration,
}

/// One flow.
#[derive(Debug)]
pub struct Flow {
    /// Where its datagrams come from and go to at this end.
    pub local: Link,
    /// What is asked for. Its port is the last one that the flow is known to have had at the server.
    pub open: Open,
    /// Whether its datagrams can go. At a server it is open.
    pub state: State,
    /// Where the server has found the target.
    pub address: Option<SocketAddr>,
    /// The client: when it was last asked for; the server: when that was last answered.
    pub spoken: Option<Instant>,
    /// The data counter of the newest answer in this session.
    pub newest: Option<u64>,
    used: Instant,
}

/// What a client knows of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is asked for with every datagram.
    Opening,
    /// The server has it.
    Open,
    /// The server has refused it, and is asked again after this time.
    Refused(Verdict, Instant),
}

impl Flow {
    /// A flow that begins.
    pub fn new(now: Instant, local: Link, open: Open, state: State) -> Self {
        Self { local, open, state, address: None, spoken: None, newest: None, used: now }
    }

    /// Where its datagrams come from, as a SOCKS5 client is told: where the server has found the target, or,
    /// before it has said so, the target itself.
    pub fn source(&self) -> Option<Address<'_>> {
        match (self.address, &self.open.target) {
            (Some(address), _) => Some(Address::Ip(address)),
            (None, Target::Named(target)) => Some(target.into()),
            (None, Target::Default) => None,
        }
    }

    /// Notes that it carries a datagram.
    #[inline]
    pub fn carries(&mut self, now: Instant) {
        self.used = now;
    }

    /// What becomes of a datagram that wants to go to the server.
    ///
    /// # Errors
    /// Why the server has refused the flow, and is not to be asked again yet.
    #[inline]
    pub fn state(&mut self, now: Instant) -> Result<State, Reject> {
        match self.state {
            State::Refused(verdict, until) if now < until => Err(reason(verdict)),
            State::Refused(..) => {
                self.state = State::Opening;
                Ok(State::Opening)
            }
            state => Ok(state),
        }
    }
}

/// The reason that is counted when a datagram cannot go because of this answer.
pub fn reason(verdict: Verdict) -> Reject {
    match verdict {
        Verdict::NotAllowed => Reject::NotAllowed,
        Verdict::NoAddress => Reject::NoTarget,
        Verdict::Limit => Reject::FlowLimit,
        Verdict::NoSocket => Reject::NoSocket,
        Verdict::Open | Verdict::Unknown => Reject::UnknownFlow,
    }
}

/// One peer's flows.
#[derive(Debug)]
pub struct Flows {
    flows: HashMap<FlowId, Flow>,
    next: u32,
    limits: Limits,
}

impl Flows {
    /// None yet.
    pub fn new(limits: Limits) -> Self {
        Self { flows: HashMap::new(), next: 0, limits }
    }

    /// Whether no flow can be added.
    pub fn is_full(&self) -> bool {
        self.flows.len() >= self.limits.most
    }

    /// How many there may be.
    pub fn most(&self) -> usize {
        self.limits.most
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.flows.len()
    }

    /// An id that no flow has. Ids are not taken again before all others were, so that a late
    /// packet of a flow that ended finds nobody. There is one unless [`Self::is_full`].
    pub fn free_id(&mut self) -> FlowId {
        loop {
            let id = FlowId(self.next);
            self.next = (self.next + 1) % FlowId::LIMIT;
            if !self.flows.contains_key(&id) {
                return id;
            }
        }
    }

    /// Starts a flow.
    pub fn insert(&mut self, flow: Flow) {
        self.flows.insert(flow.open.flow, flow);
    }

    /// The flow with this id.
    pub fn get(&self, id: FlowId) -> Option<&Flow> {
        self.flows.get(&id)
    }

    /// The flow with this id, to be changed.
    #[inline]
    pub fn get_mut(&mut self, id: FlowId) -> Option<&mut Flow> {
        self.flows.get_mut(&id)
    }

    /// Where a datagram for this flow goes.
    #[inline]
    pub fn deliver(&mut self, now: Instant, id: FlowId) -> Option<Link> {
        let flow = self.flows.get_mut(&id)?;
        flow.used = now;
        Some(flow.local)
    }

    /// Ends a flow.
    pub fn remove(&mut self, id: FlowId) -> Option<Flow> {
        self.flows.remove(&id)
    }

    /// Ends the flows of which this holds, and tells their local links.
    pub fn end(&mut self, mut ends: impl FnMut(&Flow) -> bool) -> Vec<Link> {
        let mut ended = Vec::new();
        self.flows.retain(|_, flow| {
            let ends = ends(flow);
            if ends {
                ended.push(flow.local);
            }
            !ends
        });
        ended
    }

    /// Ends the idle flows and tells their local links.
    pub fn expire(&mut self, now: Instant) -> Vec<Link> {
        let idle = self.limits.idle;
        self.end(|flow| now.saturating_duration_since(flow.used) >= idle)
    }

    /// Has all flows asked for again.
    pub fn reopen(&mut self) {
        for flow in self.flows.values_mut() {
            flow.state = State::Opening;
            flow.newest = None;
        }
    }

    /// All flows.
    pub fn iter(&self) -> impl Iterator<Item = &Flow> {
        self.flows.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_flow_that_has_ended_is_the_last_to_be_taken_again() {
        let mut flows = Flows::new(Limits { most: 2, idle: FLOW_IDLE });
        let first = flows.free_id();
        assert!((0..100_000).all(|_| flows.free_id() != first));
        flows.next = FlowId::LIMIT - 1;
        assert_eq!(flows.free_id(), FlowId(FlowId::LIMIT - 1));
        assert_eq!(flows.free_id(), first);
    }
}

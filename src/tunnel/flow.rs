//! Flows: one application's datagrams, both ways. A flow has an id within its client, and at each
//! end a local link: at mpclient the application's address behind the listener, at mpserver a
//! socket of its own towards the target, so that each application has its own address there. It
//! starts with its first datagram and ends when idle.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::link::Link;
use super::wire::FlowId;

/// A flow that carries nothing for this long ends. RFC 4787 (REQ-5) recommends five minutes or more
/// for NATs.
pub const FLOW_IDLE: Duration = Duration::from_secs(300);
/// Flows of one peer. Each is an open file at the server. A fuzzer that has to open a thousand to see
/// the limit sees little else.
pub const MAX_FLOWS: usize = if cfg!(fuzzing) { 96 } else { 1024 };
const _: () = assert!(MAX_FLOWS < FlowId::LIMIT as usize);

#[derive(Debug)]
struct Flow {
    local: Link,
    used: Instant,
}

/// One peer's flows.
#[derive(Debug, Default)]
pub struct Flows {
    flows: HashMap<FlowId, Flow>,
    next: u32,
}

impl Flows {
    /// Whether no flow can be added.
    pub fn is_full(&self) -> bool {
        self.flows.len() >= MAX_FLOWS
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
    pub fn insert(&mut self, now: Instant, id: FlowId, local: Link) {
        self.flows.insert(id, Flow { local, used: now });
    }

    /// Notes that a flow's local end has sent, over this link: answers leave from the address that
    /// it spoke to.
    #[inline]
    pub fn sent(&mut self, now: Instant, id: FlowId, local: Link) {
        if let Some(flow) = self.flows.get_mut(&id) {
            flow.used = now;
            flow.local = local;
        }
    }

    /// Where a datagram for this flow goes.
    #[inline]
    pub fn deliver(&mut self, now: Instant, id: FlowId) -> Option<Link> {
        let flow = self.flows.get_mut(&id)?;
        flow.used = now;
        Some(flow.local)
    }

    /// Ends a flow.
    pub fn remove(&mut self, id: FlowId) {
        self.flows.remove(&id);
    }

    /// Ends the idle flows and tells their local links.
    pub fn expire(&mut self, now: Instant) -> Vec<Link> {
        let mut ended = Vec::new();
        self.flows.retain(|_, flow| {
            let idle = now.saturating_duration_since(flow.used) >= FLOW_IDLE;
            if idle {
                ended.push(flow.local);
            }
            !idle
        });
        ended
    }

    /// All flows' local links.
    pub fn links(&self) -> impl Iterator<Item = Link> + '_ {
        self.flows.values().map(|flow| flow.local)
    }
}

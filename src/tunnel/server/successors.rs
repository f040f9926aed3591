//! A client that is started again goes on where it left off: the flows of its process before are handed
//! on to it, each with its socket, so that the target sees the application at the address that it knows.
//!
//! Only with a key for each client is it known that both are one client; with one key for all, or none,
//! anybody could say so. A flow is the same one if it has the same label (the machine, the listener and
//! the application's address) and leads to the same target. It goes from the older process to the
//! younger and never back: should both live, which takes two machines of one name with one key, the
//! older gets a new flow, and they do not tear at one.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use log::Level;

use super::Server;
use super::keys::who;
use crate::tunnel::chronicle::Kind;
use crate::tunnel::fabric::Fabric;
use crate::tunnel::keyring::KeyId;
use crate::tunnel::link::{Link, PeerId, Target};
use crate::tunnel::wire::{FlowId, Label, Open};

/// What a flow is known by in all processes of a client, and which it is.
pub(super) type Places = HashMap<(KeyId, Label, Target), (PeerId, FlowId)>;

impl Server {
    /// Remembers where a client's flow is, for its process after this one.
    pub(super) fn note_place(&mut self, id: PeerId, open: &Open, fabric: &Fabric) {
        let key = fabric.peers[id.0].key;
        if fabric.security.keys.name(key).is_some() {
            self.places.insert((key, open.label, open.target.clone()), (id, open.flow));
        }
    }

    /// Forgets the places of flows that have ended.
    pub(super) fn forget_places(&mut self, fabric: &Fabric) {
        self.places.retain(|(key, label, target), (id, flow)| {
            let peer = fabric.peers.get(id.0).filter(|peer| peer.key == *key);
            let flow = peer.and_then(|peer| peer.flows.get(*flow));
            flow.is_some_and(|flow| flow.open.label == *label && flow.open.target == *target)
        });
    }

    /// Hands the flow on that an older process of the client has left, if there is one to this address.
    pub(super) fn take_over(
        &mut self,
        now: Instant,
        id: PeerId,
        open: &Open,
        remote: SocketAddr,
        fabric: &mut Fabric,
    ) -> Option<Link> {
        let heir = &fabric.peers[id.0];
        let place = (heir.key, open.label, open.target.clone());
        let (before, left) = *self.places.get(&place)?;
        let older =
            fabric.peers.get(before.0).filter(|peer| peer.key == heir.key && peer.since < heir.since)?;
        let is_it = |label: Label, target: &Target| label == open.label && *target == open.target;
        older
            .flows
            .get(left)
            .filter(|flow| is_it(flow.open.label, &flow.open.target) && flow.local.remote == remote)?;
        let mut flow = fabric.peers[before.0].flows.remove(left)?;
        let local = flow.local;
        if let Some(opening) = self.opening.get_mut(&local.socket) {
            *opening = (id, open.flow);
        }
        flow.open.flow = open.flow;
        flow.spoken = None;
        flow.carries(now);
        fabric.add_flow(id, flow);
        let heir = &mut fabric.peers[id.0];
        if !std::mem::replace(&mut heir.has_taken_over, true) {
            let (keys, key) = (&fabric.security.keys, heir.key);
            let text =
                format_args!("{} goes on where {} left off", who(keys, id, key), who(keys, before, key));
            fabric.chronicle.tell_of_others(now, Level::Info, Kind::Connected.of(id), text);
        }
        Some(local)
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::tunnel::flow::{FLOW_IDLE_AT_SERVER, Flow, Limits, State};
    use crate::tunnel::key::Key;
    use crate::tunnel::keyring::{Keyring, Keys};
    use crate::tunnel::link::SocketId;
    use crate::tunnel::role::{Security, ServerRole};
    use crate::tunnel::wire::ClientId;

    #[test]
    fn the_place_of_a_flow_that_has_ended_is_forgotten() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        let now = Instant::now();
        let key = Key::generate(&mut StdRng::seed_from_u64(1));
        let id = KeyId::of(&key);
        let mut keyring = Keyring::default();
        keyring.add("home", key).expect("the first");
        let limits = Limits { most: 9, idle: FLOW_IDLE_AT_SERVER };
        let security = Security { encrypt: true, keys: Keys::Each(keyring) };
        let mut fabric = Fabric::new(now, security, limits, StdRng::seed_from_u64(2));
        let target: SocketAddr = ([192, 0, 2, 7], 1194).into();
        let mut server =
            Server::new(now, ServerRole::new(([0, 0, 0, 0], 2000).into(), target.into()), &mut fabric);
        let peer = fabric.add_peer(now, id, ClientId(1));
        for flow in [1, 2] {
            let open =
                Open { flow: FlowId(flow), label: Label(flow.into()), port: 0, target: Target::Default };
            server.note_place(peer, &open, &fabric);
            let local = Link { socket: SocketId(flow), remote: target, local: None };
            fabric.add_flow(peer, Flow::new(now, local, open, State::Open));
        }
        server.forget_places(&fabric);
        assert_eq!(server.places.len(), 2);
        fabric.peers[peer.0].flows.remove(FlowId(1));
        server.forget_places(&fabric);
        assert_eq!(server.places.into_values().collect::<Vec<_>>(), [(peer, FlowId(2))]);
    }
}

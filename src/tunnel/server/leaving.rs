//! What becomes of paths that their client does not use any more, and of a client that has ended.

use std::time::{Duration, Instant};

use log::Level;

use super::keys::who;
use super::{PEER_IDLE, Server};
use crate::tunnel::chronicle::Kind;
use crate::tunnel::fabric::Fabric;
use crate::tunnel::link::{Link, PeerId};
use crate::tunnel::outbox::To;
use crate::tunnel::path::MAX_PATHS;
use crate::tunnel::wire::{Control, Header, Reject, Type};

/// A client that has left is kept so long after the last packet of its session: slow paths may still bring
/// some.
const LINGER: Duration = Duration::from_secs(3);

impl Server {
    /// Takes an authentic probe which says that a path is not used any more, or that none is. The former is
    /// answered over the link that it came on; behind the latter there is nobody to hear it.
    pub(super) fn take_leave(
        &self,
        now: Instant,
        id: PeerId,
        link: Link,
        header: Header,
        control: Control,
        fabric: &mut Fabric,
    ) -> Result<(), Reject> {
        let clock = fabric.clock(now);
        let peer = &mut fabric.peers[id.0];
        let who = who(&fabric.security.keys, id, peer.key);
        peer.heard = now;
        if control.path == Control::ALL_PATHS {
            if !std::mem::replace(&mut peer.has_left, true) {
                for path in &mut peer.paths {
                    path.leave(u32::MAX);
                }
                let text = format_args!("{who} has left");
                fabric.chronicle.tell_of_others(now, Level::Info, Kind::Disconnected.of(id), text);
            }
        } else {
            let number = usize::from(control.path);
            if number >= MAX_PATHS {
                return Err(Reject::PathLimit);
            }
            if peer.paths.get_mut(number).is_some_and(|path| path.leave(control.number)) {
                let text = format_args!("{who}: path {number} was taken out");
                fabric.chronicle.tell_of_others(now, Level::Info, Kind::PathLeft.of(id), text);
            }
            let Control { client, path, number, .. } = control;
            let reply = Control { client, path, left: true, number, clock, ..Control::default() };
            let session = peer.sessions.get(header.session).ok_or(Reject::UnknownSession)?;
            fabric.outbox.push(To::Link(link), |out| session.seal_control(Type::Reply, reply, out));
        }
        peer.update_carriers(now, &mut fabric.outbox);
        Ok(())
    }

    /// Forgets the clients of which nothing more is to come: those that have left, once nobody can take
    /// over what they had, and those that have fallen silent.
    pub(super) fn forget_gone_clients(&mut self, now: Instant, fabric: &mut Fabric) {
        let gone: Vec<_> = fabric
            .peers
            .iter()
            .filter(|(_, peer)| {
                let silence = now.saturating_duration_since(peer.heard);
                silence >= PEER_IDLE || peer.has_left && peer.flows.count() == 0 && silence >= LINGER
            })
            .map(|(id, peer)| (PeerId(id), peer.has_left))
            .collect();
        for (id, has_left) in gone {
            if !has_left {
                let who = who(&fabric.security.keys, id, fabric.peers[id.0].key);
                let silent = PEER_IDLE.as_secs();
                let text = format_args!("{who} has been silent for {silent} s and is forgotten");
                fabric.chronicle.tell_of_others(now, Level::Info, Kind::Disconnected.of(id), text);
            }
            self.forget(id, fabric);
        }
    }
}

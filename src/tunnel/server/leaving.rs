//! What becomes of paths that their client does not use any more, and of a client that has ended.

use std::time::{Duration, Instant};

use log::Level;

use super::keys::who;
use super::{PEER_IDLE, Server};
use crate::tunnel::chronicle::Kind;
use crate::tunnel::fabric::Fabric;
use crate::tunnel::link::{Link, PeerId};
use crate::tunnel::outbox::To;
use crate::tunnel::path::{MAX_PATHS, Path};
use crate::tunnel::wire::{Control, Header, Reject, Type};

/// A client that has left is kept so long: slow paths may still bring what it has sent before. If it is heard
/// later, it goes on.
const LINGER: Duration = Duration::from_secs(3);

impl Server {
    /// Takes an authentic probe which says that a path is not used any more, or that none is since the client
    /// ends. The former is answered over the link that it came on; behind the latter there is nobody to hear it.
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
        if peer.left.is_some() {
            return Ok(());
        }
        if control.ended {
            peer.left = Some(now);
            for path in &mut peer.paths {
                path.leave(u32::MAX);
            }
            let text = format_args!("{who} has left");
            fabric.chronicle.tell_of_others(now, Level::Info, Kind::Disconnected.of(id), text);
        } else {
            let number = usize::from(control.path);
            if number >= MAX_PATHS {
                return Err(Reject::PathLimit);
            }
            if number >= peer.paths.len() {
                // Its probes are under way, and come to nothing.
                peer.paths.resize_with(number + 1, Path::default);
            }
            if peer.paths[number].leave(control.number) {
                let text = format_args!("{who}: path {number} was taken out");
                fabric.chronicle.tell_of_others(now, Level::Info, Kind::PathSilent.of(id), text);
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
        let mut gone = Vec::new();
        for (id, peer) in &mut fabric.peers {
            let who = who(&fabric.security.keys, PeerId(id), peer.key);
            let since = |moment: Instant| now.saturating_duration_since(moment);
            let text = match peer.left {
                Some(left) if peer.heard.saturating_duration_since(left) >= LINGER => {
                    // Who has the key and says that he leaves does not go on unseen.
                    peer.left = None;
                    Some(format!("{who} goes on, though it said that it leaves"))
                }
                Some(left) => {
                    let is_inherited =
                        peer.flows.count() > 0 && fabric.security.keys.name(peer.key).is_some();
                    if since(left) >= LINGER && !is_inherited || since(left) >= PEER_IDLE {
                        gone.push(PeerId(id));
                    }
                    None
                }
                None if since(peer.heard) >= PEER_IDLE => {
                    gone.push(PeerId(id));
                    Some(format!("{who} has been silent for {} s and is forgotten", PEER_IDLE.as_secs()))
                }
                None => None,
            };
            if let Some(text) = text {
                let topic = Kind::Disconnected.of(PeerId(id));
                fabric.chronicle.tell_of_others(now, Level::Info, topic, format_args!("{text}"));
            }
        }
        for id in gone {
            self.forget(id, fabric);
        }
    }
}

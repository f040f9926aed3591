//! SOCKS5 associations of a client: their sockets, and a flow for each target that one names.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::Client;
use super::flows::{label, new_flow};
use crate::tunnel::change::Change;
use crate::tunnel::fabric::Fabric;
use crate::tunnel::link::{Event, Link, PeerId, SocketId, Target};
use crate::tunnel::socks5::association::Socks5;
use crate::tunnel::wire::{FlowId, Reject};

impl Client {
    /// Begins the association of a SOCKS5 client at `theirs`, whose datagrams come from `port`, where it is known, with a socket
    /// of ours at `ours`. `None`
    /// where there are as many as there may be.
    pub fn open_association(
        &mut self,
        ours: SocketAddr,
        theirs: IpAddr,
        port: Option<u16>,
        fabric: &mut Fabric,
    ) -> Option<SocketId> {
        let associations = self.associations.as_mut().filter(|associations| !associations.is_full())?;
        let socket = fabric.open_relay(ours);
        associations.insert(socket, theirs, port);
        Some(socket)
    }

    /// Takes on who may log in from now on. What else is different takes a restart.
    pub fn serve_socks5(&mut self, config: Option<Socks5>) {
        if let (Some(associations), Some(Socks5 { users, .. })) = (&mut self.associations, config) {
            associations.config.users = users;
        }
    }

    /// What is different in this.
    pub(super) fn changed_socks5(&self, config: Option<&Socks5>) -> Vec<Change> {
        let running = self.associations.as_ref().map(|associations| &associations.config);
        let [asked, listens] = [config, running].map(|config| config.map(|config| config.listen));
        let address = Change::of_start("socks5", asked, listens);
        let users = match (config.map(|config| &config.users), running.map(|running| &running.users)) {
            (Some(Some(now)), Some(Some(before))) => now.change_from(before),
            (Some(Some(now)), Some(None)) => Some(Change::at_once(format!(
                "socks5-users: a login is asked for now, of {} known",
                now.count()
            ))),
            (Some(None), Some(Some(_))) => Some(Change::unsafe_at_once(
                "socks5-users is gone: no login is asked for any more, and whoever reaches socks5 can use it",
            )),
            _ => None,
        };
        address.into_iter().chain(users).collect()
    }

    /// Ends an association with its socket and its flows.
    pub fn close_association(&mut self, socket: SocketId, fabric: &mut Fabric) {
        let ended = self.associations.as_mut().and_then(|associations| associations.remove(socket));
        let Some(ended) = ended else { return };
        let flows = &mut fabric.peers[self.peer.0].flows;
        for id in ended {
            if flows.get(id).is_some_and(|flow| flow.local.socket == socket) {
                flows.remove(id);
            }
        }
        fabric.events.push_back(Event::Close(socket));
    }

    /// The flow of a datagram that an application has sent to its association, and the datagram without its
    /// header.
    ///
    /// # Errors
    /// Why it is dropped.
    pub fn named_flow<'a>(
        &mut self,
        now: Instant,
        local: Link,
        octets: &'a [u8],
        fabric: &mut Fabric,
    ) -> Result<(PeerId, FlowId, &'a [u8]), Reject> {
        let associations = self.associations.as_mut().ok_or(Reject::UnknownFlow)?;
        let (target, datagram) = associations.read(local.socket, local.remote, octets)?;
        let flows = &mut fabric.peers[self.peer.0].flows;
        if let Some(flow) = associations.flow(local.socket, &target, flows) {
            return Ok((self.peer, flow, datagram));
        }
        // Its socket has another port each time, so it is known by where SOCKS5 clients connect to.
        let label = label(&self.machine, associations.config.listen, local.remote);
        let flow = new_flow(now, local, label, Target::Named(target.clone()), flows)?;
        let id = flow.open.flow;
        flows.insert(flow);
        associations.add_flow(local.socket, target, id);
        Ok((self.peer, id, datagram))
    }
}

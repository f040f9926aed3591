//! A server's flows: what clients ask for, whether they may have it, and the socket towards the
//! target that each flow gets.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Instant;

use log::Level;

use super::Server;
use super::keys::who;
use super::target::Found;
use crate::tunnel::chronicle::Kind;
use crate::tunnel::fabric::Fabric;
use crate::tunnel::flow::{Flow, State};
use crate::tunnel::link::{Bind, Link, PeerId, SocketId, Target};
use crate::tunnel::outbox::To;
use crate::tunnel::peer::is_due;
use crate::tunnel::session::Session;
use crate::tunnel::wire::{FlowId, Header, Open, Opened, Reject, Verdict};

/// No client gets a source port below: those are for this machine's own services.
const LEAST_PORT: u16 = 1024;

impl Server {
    /// Takes a packet that asks for a flow, and its datagram.
    pub fn handle_open(
        &mut self,
        now: Instant,
        link: Link,
        header: Header,
        sealed: &mut [u8],
        fabric: &mut Fabric,
    ) -> Result<(), Reject> {
        let id = *fabric.routes.get(&header.session).ok_or_else(|| self.unknown_session(header.session))?;
        let peer = &mut fabric.peers[id.0];
        let (open, datagram) = peer.take(now, link, header, sealed, Session::take_open)?;
        if datagram.is_none() {
            fabric.counters.asked += 1;
        }
        self.take(now, id, open, datagram.as_deref(), fabric)
    }

    /// Gives a client the flow that it asks for, and the target its datagram.
    pub(super) fn take(
        &mut self,
        now: Instant,
        id: PeerId,
        open: Open,
        datagram: Option<&[u8]>,
        fabric: &mut Fabric,
    ) -> Result<(), Reject> {
        let flow = open.flow;
        let local = match fabric.peers[id.0].flows.get_mut(flow) {
            Some(known) if known.open.label != open.label || known.open.target != open.target => {
                // No client of ours gives two flows one number.
                return Err(Reject::Malformed);
            }
            Some(known) => {
                known.carries(now);
                let local = known.local;
                self.confirm_flow(now, id, flow, fabric);
                local
            }
            None => match self.open_flow(now, id, open, datagram, fabric) {
                Ok(Some(local)) => local,
                Ok(None) => return Ok(()),
                Err(reject) => {
                    self.refuse(now, id, flow, reject, fabric);
                    return Err(reject);
                }
            },
        };
        if let Some(datagram) = datagram {
            fabric.counters.datagrams_received += 1;
            fabric.outbox.push(To::Link(local), |out| out.extend_from_slice(datagram));
        }
        Ok(())
    }

    /// Opens a flow. None while its target's name is looked up: then it is taken again with the answer.
    fn open_flow(
        &mut self,
        now: Instant,
        id: PeerId,
        open: Open,
        datagram: Option<&[u8]>,
        fabric: &mut Fabric,
    ) -> Result<Option<Link>, Reject> {
        if fabric.peers[id.0].flows.is_full() {
            return Err(Reject::FlowLimit);
        }
        let remote = match self.find(now, id, &open.target, fabric)? {
            Found::At(remote) => remote,
            Found::Soon(name) => {
                self.names.hold(name, id, open, datagram)?;
                fabric.counters.held += u64::from(datagram.is_some());
                return Ok(None);
            }
        };
        if let Some(local) = self.take_over(now, id, &open, remote, fabric) {
            self.note_place(id, &open, fabric);
            self.confirm_flow(now, id, open.flow, fabric);
            return Ok(Some(local));
        }
        let port = NonZeroU16::new(open.port).filter(|port| port.get() >= LEAST_PORT);
        let socket = fabric.open_socket(Bind::Towards { remote, over: None, port });
        self.opening.insert(socket, (id, open.flow));
        let local = Link { socket, remote, local: None };
        self.note_place(id, &open, fabric);
        fabric.add_flow(id, Flow::new(now, local, Open { port: 0, ..open }, State::Open));
        Ok(Some(local))
    }

    /// A flow's socket is open, at this address.
    pub fn handle_socket_open(
        &mut self,
        now: Instant,
        socket: SocketId,
        address: SocketAddr,
        fabric: &mut Fabric,
    ) {
        let Some((id, flow)) = self.opening.remove(&socket) else { return };
        if let Some(known) = flow_with(socket, id, flow, fabric) {
            known.open.port = address.port();
            self.confirm_flow(now, id, flow, fabric);
        }
    }

    /// A flow's socket could not be opened: the flow ends, its next datagram tries again.
    pub fn handle_socket_error(&mut self, now: Instant, socket: SocketId, fabric: &mut Fabric) {
        let Some((id, flow)) = self.opening.remove(&socket) else { return };
        let Some(known) = flow_with(socket, id, flow, fabric) else { return };
        let remote = known.local.remote;
        fabric.peers[id.0].flows.remove(flow);
        fabric.locals.remove(&(socket, remote));
        fabric.counters.reject(Reject::NoSocket);
        self.refuse(now, id, flow, Reject::NoSocket, fabric);
    }

    /// Tells a client that its flow is open.
    fn confirm_flow(&self, now: Instant, id: PeerId, flow: FlowId, fabric: &mut Fabric) {
        let peer = &mut fabric.peers[id.0];
        let Some(known) = peer.flows.get_mut(flow).filter(|known| known.open.port != 0) else { return };
        if !is_due(now, known.spoken) {
            return;
        }
        let (port, address) = (known.open.port, Some(known.local.remote));
        if peer.answer(Opened { flow, verdict: Verdict::Open, port, address }, &mut fabric.outbox)
            && let Some(known) = peer.flows.get_mut(flow)
        {
            known.spoken = Some(now);
        }
    }

    /// Tells a client why it has no such flow, but not more often than it could ask in earnest.
    pub fn refuse(&mut self, now: Instant, id: PeerId, flow: FlowId, reject: Reject, fabric: &mut Fabric) {
        let verdict = match reject {
            Reject::NotAllowed => Verdict::NotAllowed,
            Reject::NoTarget => Verdict::NoAddress,
            Reject::FlowLimit => Verdict::Limit,
            Reject::NoSocket => Verdict::NoSocket,
            _ => Verdict::Unknown,
        };
        let peer = &mut fabric.peers[id.0];
        if !peer.refusals.is_busy(now) {
            peer.refusals.note(now);
            peer.answer(Opened { flow, verdict, port: 0, address: None }, &mut fabric.outbox);
        }
    }

    /// What waited for a name that is now looked up.
    pub(super) fn take_held(&mut self, now: Instant, name: u32, fabric: &mut Fabric) {
        for held in self.names.release(name) {
            if let Err(reject) = self.take(now, held.peer, held.open, held.datagram.as_deref(), fabric) {
                fabric.counters.reject(reject);
            }
        }
    }
}

/// Says in the log that a client asks for what it may not have.
pub(super) fn tell_refused(now: Instant, id: PeerId, target: &Target, fabric: &mut Fabric) {
    if fabric.counters.line_is_due(now, Reject::NotAllowed) {
        fabric.counters.line_was_written(now, Reject::NotAllowed);
        let count = fabric.counters.rejected(Reject::NotAllowed) + 1;
        let who = who(&fabric.security.keys, id, fabric.peers[id.0].key);
        let text = format!(
            "{who} asks for the target {target}, which is not allowed: --allow-target {target} would allow it \
             ({count} so far)"
        );
        fabric.chronicle.tell(now, Level::Warn, Kind::Refused.of(id), text);
    }
}

/// The flow that this socket was opened for, unless it has ended meanwhile.
fn flow_with(socket: SocketId, id: PeerId, flow: FlowId, fabric: &mut Fabric) -> Option<&mut Flow> {
    let flow = fabric.peers.get_mut(id.0)?.flows.get_mut(flow)?;
    (flow.local.socket == socket).then_some(flow)
}

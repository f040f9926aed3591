//! What the event loop asks a tunnel for SOCKS5 clients, and what a tunnel does for them besides.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use log::Level;

use super::association::Refusal;
use super::users::Users;
use crate::tunnel::chronicle::Kind;
use crate::tunnel::link::{Link, PeerId, SocketId};
use crate::tunnel::outbox::To;
use crate::tunnel::snapshot::Socks5View;
use crate::tunnel::wire::{FlowId, MAX_UDP_LEN, Reject};
use crate::tunnel::{Side, Tunnel};

impl Tunnel {
    /// Who may log in. `None` where no login is wanted.
    pub fn socks5_users(&self) -> Option<&Users> {
        match &self.side {
            Side::Client(client) => client.associations.as_ref()?.config.users.as_ref(),
            Side::Server(_) => None,
        }
    }

    /// Begins the association of a SOCKS5 client at `theirs`, with a socket of ours at `ours`, whose port is
    /// told with [`Self::handle_socket_open`]; `port` is the client's that datagrams come from, where it is known.
    /// `None` where there are as many as there may be.
    pub fn open_association(
        &mut self,
        ours: SocketAddr,
        theirs: IpAddr,
        port: Option<u16>,
    ) -> Option<SocketId> {
        match &mut self.side {
            Side::Client(client) => client.open_association(ours, theirs, port, &mut self.fabric),
            Side::Server(_) => None,
        }
    }

    /// Ends an association.
    pub fn close_association(&mut self, socket: SocketId) {
        if let Side::Client(client) = &mut self.side {
            client.close_association(socket, &mut self.fabric);
        }
    }

    /// Counts that a SOCKS5 client at this address is refused, and says so from time to time.
    pub fn refuse_socks5(&mut self, now: Instant, remote: IpAddr, refusal: Refusal) {
        let Side::Client(client) = &mut self.side else { return };
        let Some(associations) = &mut client.associations else { return };
        if associations.refuse(now, refusal) {
            let text = format!("a SOCKS5 client at {remote} was refused: {refusal}");
            self.fabric.chronicle.tell(now, Level::Warn, Kind::Refused, text);
        }
    }

    /// What is to be seen of SOCKS5.
    pub(in crate::tunnel) fn socks5_view(&self) -> Option<Socks5View> {
        let Side::Client(client) = &self.side else { return None };
        let associations = client.associations.as_ref()?;
        Some(Socks5View {
            listen: associations.config.listen.to_string(),
            login: associations.config.users.is_some(),
            associations: associations.count(),
            associated: associations.associated,
            refused: associations.refused,
        })
    }

    /// Hands a datagram to the application of an association, behind a header that says where it comes from.
    pub(in crate::tunnel) fn relay(
        &mut self,
        peer: PeerId,
        flow: FlowId,
        local: Link,
        datagram: &[u8],
    ) -> Result<(), Reject> {
        let fabric = &mut self.fabric;
        let flow = fabric.peers[peer.0].flows.get(flow);
        let source = flow.and_then(|flow| flow.source()).ok_or(Reject::UnknownFlow)?;
        if super::wire::header_len(&source) + datagram.len() > MAX_UDP_LEN {
            return Err(Reject::TooLarge);
        }
        fabric.outbox.push(To::Link(local), |out| {
            super::wire::write_header(source, out);
            out.extend_from_slice(datagram);
        });
        Ok(())
    }
}

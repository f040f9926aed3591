//! UDP sockets: open, receive and send in batches.
//!
//! Calls cost more than octets: where the system has them, one call takes many datagrams (recvmmsg,
//! receive coalescing) and gives many (segmentation offload), through quinn-udp. All sockets are
//! unconnected: a connected one keeps the source address it chose, and would not survive its
//! interface's next one.

mod sending;

use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Instant;

use log::{debug, info};
use mio::net::UdpSocket;
use mio::{Interest, Registry};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use socket2::SockRef;

use super::options::{self, BUFFER_LEN};
use super::{tokens, uplink};
use crate::tunnel::link::{Bind, Link, SocketId, Uplink};

/// Each receive slot takes the longest run that coalescing makes.
const SLOT_LEN: usize = 65_536;
/// What became of packets that could not be sent. Counted by the packet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SendCounters {
    /// The socket's buffer or the interface's queue was full.
    pub(super) would_block: u64,
    /// Anything else.
    pub(super) failed: u64,
}

/// What the system had to say about a link.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) link: Link,
    pub(super) error: io::Error,
    /// Whether packets could not be sent. Otherwise it is news about some that were, which a router
    /// or the other end gave (ICMP): anybody could, so it is for the log alone.
    pub(super) unsent: bool,
}

/// See the module.
pub(super) struct Sockets {
    registry: Registry,
    sockets: HashMap<SocketId, OpenSocket>,
    /// Where we listen.
    listeners: HashMap<SocketId, SocketAddr>,
    /// Receive slots, shared by all sockets.
    slots: Box<[u8]>,
    /// Routes with a shorter maximum than a run had: its segment length, and until when to believe
    /// it.
    oversize: HashMap<SocketAddr, (usize, Instant)>,
    pub(super) counters: SendCounters,
    /// The last trouble, for whoever takes it.
    pub(super) trouble: Option<Trouble>,
    buffers_told: bool,
}

struct OpenSocket {
    io: UdpSocket,
    state: UdpSocketState,
    ipv6: bool,
    /// With whom a socket speaks that is no listener.
    towards: Option<Towards>,
}

struct Towards {
    remote: SocketAddr,
    over: Option<Uplink>,
}

impl Sockets {
    /// No sockets yet; readiness is told to `registry`, the socket's id as token.
    pub(super) fn new(registry: Registry) -> Self {
        Self {
            registry,
            sockets: HashMap::new(),
            listeners: HashMap::new(),
            slots: vec![0; BATCH_SIZE * SLOT_LEN].into_boxed_slice(),
            oversize: HashMap::new(),
            counters: SendCounters::default(),
            trouble: None,
            buffers_told: false,
        }
    }

    /// Opens a socket.
    pub(super) fn open(&mut self, id: SocketId, bind: Bind) -> io::Result<()> {
        let (socket, towards) = match bind {
            Bind::Listen(address) => (listener(address)?, None),
            Bind::Towards { remote, over, port } => {
                (uplink::socket_towards(remote, over.as_ref(), port)?, Some(Towards { remote, over }))
            }
        };
        self.note_buffers(options::enlarge_buffers(&socket));
        let ipv6 = socket.local_addr()?.is_ipv6();
        let state = options::offload(SockRef::from(&socket), ipv6)?;
        if towards.is_some() {
            options::want_news(&socket, ipv6)?;
        }
        let mut io = UdpSocket::from_std(socket.into());
        self.registry.register(&mut io, tokens::of(id), Interest::READABLE)?;
        if towards.is_none() {
            self.listeners.insert(id, io.local_addr()?);
        }
        self.sockets.insert(id, OpenSocket { io, state, ipv6, towards });
        Ok(())
    }

    /// Whether what is sent there comes to a listener of ours, by whichever of this machine's addresses.
    pub(super) fn leads_back(&self, remote: SocketAddr) -> bool {
        let leads = |listener: &SocketAddr| {
            let any = listener.ip().is_unspecified() && (listener.is_ipv6() || remote.is_ipv4());
            // A socket can have our addresses alone; nobody has the unspecified one, which leads to us.
            let ours = || remote.ip().is_unspecified() || options::bound((remote.ip(), 0).into()).is_ok();
            remote.port() == listener.port() && (listener.ip() == remote.ip() || any && ours())
        };
        self.listeners.values().any(leads)
    }

    /// Closes a socket.
    pub(super) fn close(&mut self, id: SocketId) {
        self.listeners.remove(&id);
        if let Some(mut socket) = self.sockets.remove(&id)
            && let Err(error) = self.registry.deregister(&mut socket.io)
        {
            debug!("deregistering a socket: {error}");
        }
    }

    /// The sockets whose uplink is gone, each with what is wrong.
    pub(super) fn without_uplink(&self) -> Vec<(SocketId, String)> {
        let lost = |socket: &OpenSocket| uplink::lost(&socket.io, socket.towards.as_ref()?.over.as_ref()?);
        self.sockets.iter().filter_map(|(id, socket)| Some((*id, lost(socket)?))).collect()
    }

    /// The address that a socket has got.
    pub(super) fn local_addr(&self, id: SocketId) -> Option<SocketAddr> {
        self.sockets.get(&id)?.io.local_addr().ok()
    }

    /// One receive call: hands each datagram to `take`. Returns whether there may be more.
    #[inline]
    pub(super) fn receive(&mut self, id: SocketId, mut take: impl FnMut(Link, &mut [u8])) -> bool {
        let Some(socket) = self.sockets.get(&id) else { return false };
        let OpenSocket { io, state, .. } = socket;
        let mut chunks = self.slots.chunks_exact_mut(SLOT_LEN);
        let mut slots: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().expect("a slot for each of the batch")));
        let mut meta = [RecvMeta::default(); BATCH_SIZE];
        let count = match io.try_io(|| state.recv(io.into(), &mut slots, &mut meta)) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) => {
                // News about an earlier packet; the next call goes on.
                self.trouble = socket.news(id, error);
                return true;
            }
        };
        for (meta, slot) in meta.iter().zip(&mut slots).take(count) {
            // A reply leaves from the address that was spoken to. Our other sockets let the system choose
            // anew each time.
            let local = meta.dst_ip.filter(|_| id.listens()).map(|ip| ip.to_canonical());
            let Some(remote) = sender(meta.addr) else { continue };
            let link = Link { socket: id, remote, local };
            let octets = &mut slot[..meta.len];
            if octets.is_empty() {
                take(link, octets);
            }
            for datagram in octets.chunks_mut(meta.stride.max(1)) {
                take(link, datagram);
            }
        }
        count == BATCH_SIZE
    }

    fn note_buffers(&mut self, got: usize) {
        if got < BUFFER_LEN && !self.buffers_told {
            self.buffers_told = true;
            info!(
                "the system gives a socket {got} octets of receive buffer, {BUFFER_LEN} would take bursts \
                 of 100 ms at 1 Gbps: sysctl -w net.core.rmem_max={BUFFER_LEN} net.core.wmem_max={BUFFER_LEN}"
            );
        }
    }
}

impl OpenSocket {
    /// An IPv4 address as an IPv6 socket wants it.
    fn mapped(&self, address: SocketAddr) -> SocketAddr {
        match address.ip() {
            IpAddr::V4(ip) if self.ipv6 => (ip.to_ipv6_mapped(), address.port()).into(),
            _ => address,
        }
    }
}

/// A listener's socket. Where the system has no IPv6, one that was to take both IP versions takes
/// IPv4.
fn listener(address: SocketAddr) -> io::Result<socket2::Socket> {
    match options::bound(address) {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && options::lacks_ipv6(&error) => {
            info!("this machine has no IPv6: listening on 0.0.0.0");
            options::bound((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        result => result,
    }
}

/// Who sent a datagram. `None` for port 0, to which nothing can be sent: it is forged.
fn sender(address: SocketAddr) -> Option<SocketAddr> {
    Some(plain(address)).filter(|address| address.port() != 0)
}

/// An address of the system's without what is not part of it: an IPv4 address is told as such.
pub(super) fn plain(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(ip) => (ip, v6.port()).into(),
            // A link-local address is one with its interface; the flow label is not its owner's.
            None => SocketAddrV6::new(*v6.ip(), v6.port(), 0, v6.scope_id()).into(),
        },
        v4 => v4,
    }
}

/// Whether a packet was not sent because there is no room for it now.
pub(super) fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do")]
mod tests {
    use mio::Poll;

    use super::*;
    use crate::tunnel::LISTENER;
    use crate::tunnel::link::Transmit;

    const PATH: SocketId = SocketId(1);

    /// A listener on the loopback, and a socket towards it.
    fn sockets(loopback: impl Into<IpAddr>) -> (Poll, Sockets, SocketAddr) {
        let poll = Poll::new().expect("a poll");
        let mut sockets = Sockets::new(poll.registry().try_clone().expect("its registry"));
        sockets.open(LISTENER, Bind::Listen((loopback.into(), 0).into())).expect("a listener");
        let address = sockets.local_addr(LISTENER).expect("its address");
        sockets.open(PATH, Bind::Towards { remote: address, over: None, port: None }).expect("a socket");
        (poll, sockets, address)
    }

    fn run(link: Link) -> Transmit<'static> {
        Transmit { link, contents: &[7; 300], segment_len: 100, whole: false }
    }

    fn received(sockets: &mut Sockets) -> usize {
        let mut count = 0;
        while sockets.receive(LISTENER, |_, datagram| count += usize::from(datagram.len() == 100)) {}
        count
    }

    #[test]
    fn a_packet_is_sent_though_the_system_has_news_about_the_one_before() {
        let (_poll, mut sockets, address) = sockets(Ipv4Addr::LOCALHOST);
        let link = Link { socket: PATH, remote: address, local: None };
        sockets.close(LISTENER);
        sockets.send(Instant::now(), run(link));
        assert!(sockets.trouble.is_none(), "no news yet");
        sockets.open(LISTENER, Bind::Listen(address)).expect("the same address again");
        sockets.send(Instant::now(), run(link));
        assert_eq!(received(&mut sockets), 3);
        let trouble = sockets.trouble.take().expect("news");
        assert_eq!((trouble.link, trouble.unsent), (link, false));
        assert_eq!(trouble.error.kind(), io::ErrorKind::ConnectionRefused);
        sockets.send(Instant::now(), run(link));
        assert!(sockets.trouble.is_none(), "it is old");
    }

    #[test]
    fn the_way_back_to_a_listener_is_known_by_each_of_this_machines_addresses() {
        let leads_back = |listener: &str, remote: &str| {
            let poll = Poll::new().expect("a poll");
            let mut sockets = Sockets::new(poll.registry().try_clone().expect("its registry"));
            let listener = SocketAddr::new(listener.parse().expect(listener), 0);
            sockets.open(LISTENER, Bind::Listen(listener)).expect("a listener");
            let port = sockets.local_addr(LISTENER).expect("its address").port();
            let at = |port| sockets.leads_back(SocketAddr::new(remote.parse().expect(remote), port));
            assert!(!at(port ^ 1), "another port is another program's");
            let leads = at(port);
            sockets.close(LISTENER);
            assert!(
                !sockets.leads_back(SocketAddr::new(remote.parse().expect(remote), port)),
                "it is closed"
            );
            leads
        };
        for (listener, remote, expected) in [
            ("::", "127.0.0.1", true),
            ("::", "127.0.0.2", true),
            ("::", "::1", true),
            ("::", "0.0.0.0", true),
            ("::", "::", true),
            ("::", "192.0.2.7", false),
            ("::", "2001:db8::7", false),
            ("0.0.0.0", "127.0.0.1", true),
            ("0.0.0.0", "::1", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
        ] {
            assert_eq!(leads_back(listener, remote), expected, "{listener} {remote}");
        }
    }

    #[test]
    fn an_address_of_ours_that_is_gone_does_not_end_segmentation_offload() {
        let (_poll, mut sockets, address) = sockets(Ipv6Addr::LOCALHOST);
        let before = sockets.sockets[&PATH].state.max_gso_segments();
        let gone =
            Link { socket: PATH, remote: address, local: Some("2001:db8::99".parse().expect("an address")) };
        sockets.send(Instant::now(), run(gone));
        assert_eq!(sockets.counters.failed, 3);
        assert!(sockets.trouble.take().expect("trouble").unsent);
        assert_eq!(sockets.sockets[&PATH].state.max_gso_segments(), before);
        sockets.send(Instant::now(), run(Link { local: None, ..gone }));
        assert_eq!(received(&mut sockets), 3);
    }
}

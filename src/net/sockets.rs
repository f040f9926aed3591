//! UDP sockets: open, receive and send in batches.
//!
//! Calls cost more than octets: where the system has them, one call takes many datagrams (recvmmsg,
//! receive coalescing) and gives many (segmentation offload), through quinn-udp. All sockets are
//! unconnected: a connected one keeps the source address it chose, and would not survive its
//! interface's next one.

use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use log::{debug, info};
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};

use crate::tunnel::LISTENER;
use crate::tunnel::link::{Bind, Link, SocketId, Transmit};

/// What a socket is to buffer: 100 ms at 1 Gbps. The kernel doubles it for its own bookkeeping.
const BUFFER_LEN: usize = 12_500_000;
/// Each receive slot takes the longest run that coalescing makes.
const SLOT_LEN: usize = 65_536;
/// A run that was too long for a route is sent singly for this long; then the route may have
/// changed.
const OVERSIZE_FOR: Duration = Duration::from_secs(10);
/// Routes remembered for that, over all sockets.
const MAX_OVERSIZE: usize = 1024;

/// What became of packets that could not be sent. Counted by the packet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SendCounters {
    /// The socket's buffer was full.
    pub(super) would_block: u64,
    /// Anything else.
    pub(super) failed: u64,
}

/// See the module.
pub(super) struct Sockets {
    registry: Registry,
    sockets: HashMap<SocketId, OpenSocket>,
    /// Receive slots, shared by all sockets.
    slots: Box<[u8]>,
    /// Routes with a shorter maximum than a run had: its segment length, and until when to believe
    /// it.
    oversize: HashMap<SocketAddr, (usize, Instant)>,
    pub(super) counters: SendCounters,
    buffers_told: bool,
}

struct OpenSocket {
    io: UdpSocket,
    state: UdpSocketState,
    ipv6: bool,
}

impl Sockets {
    /// No sockets yet; readiness is told to `registry`, the socket's id as token.
    pub(super) fn new(registry: Registry) -> Self {
        Self {
            registry,
            sockets: HashMap::new(),
            slots: vec![0; BATCH_SIZE * SLOT_LEN].into_boxed_slice(),
            oversize: HashMap::new(),
            counters: SendCounters::default(),
            buffers_told: false,
        }
    }

    /// Opens a socket.
    pub(super) fn open(&mut self, id: SocketId, bind: Bind) -> io::Result<()> {
        let socket = match bind {
            Bind::Listen(address) => match bound(address) {
                Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && lacks_ipv6(&error) => {
                    info!("this machine has no IPv6: listening on 0.0.0.0");
                    bound((Ipv4Addr::UNSPECIFIED, address.port()).into())
                }
                result => result,
            },
            Bind::Towards(remote) if remote.is_ipv4() => bound((Ipv4Addr::UNSPECIFIED, 0).into()),
            Bind::Towards(_) => bound((Ipv6Addr::UNSPECIFIED, 0).into()),
        }?;
        self.enlarge_buffers(&socket);
        let ipv6 = socket.local_addr()?.is_ipv6();
        let state = offload(&socket, ipv6)?;
        let mut io = UdpSocket::from_std(socket.into());
        self.registry.register(&mut io, token(id), Interest::READABLE)?;
        self.sockets.insert(id, OpenSocket { io, state, ipv6 });
        Ok(())
    }

    /// Closes a socket.
    pub(super) fn close(&mut self, id: SocketId) {
        if let Some(mut socket) = self.sockets.remove(&id)
            && let Err(error) = self.registry.deregister(&mut socket.io)
        {
            debug!("deregistering a socket: {error}");
        }
    }

    /// The address that a socket has got.
    pub(super) fn local_addr(&self, id: SocketId) -> Option<SocketAddr> {
        self.sockets.get(&id)?.io.local_addr().ok()
    }

    /// One receive call: hands each datagram to `take`. Returns whether there may be more.
    #[inline]
    pub(super) fn receive(&mut self, id: SocketId, mut take: impl FnMut(Link, &mut [u8])) -> bool {
        let Some(OpenSocket { io, state, .. }) = self.sockets.get(&id) else { return false };
        let mut chunks = self.slots.chunks_exact_mut(SLOT_LEN);
        let mut slots: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().expect("a slot for each of the batch")));
        let mut meta = [RecvMeta::default(); BATCH_SIZE];
        let count = match io.try_io(|| state.recv(io.into(), &mut slots, &mut meta)) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) => {
                // News about an earlier packet; the next call goes on.
                debug!("receiving: {error}");
                return true;
            }
        };
        for (meta, slot) in meta.iter().zip(&mut slots).take(count) {
            // A reply leaves from the address that was spoken to. Our other sockets let the system choose
            // anew each time.
            let local = meta.dst_ip.filter(|_| id == LISTENER).map(|ip| ip.to_canonical());
            let remote = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
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

    /// Sends a run. A copy that cannot be sent is lost, on this link alone, and counted.
    ///
    /// # Errors
    /// The last error, where packets were lost for another reason than a full buffer.
    #[inline]
    pub(super) fn send(&mut self, now: Instant, transmit: Transmit<'_>) -> io::Result<()> {
        let Some(socket) = self.sockets.get(&transmit.link.socket) else { return Ok(()) };
        let remote = transmit.link.remote;
        let single = transmit.contents.len() <= transmit.segment_len;
        let packets = socket.state.max_gso_segments();
        if single || packets == 1 || self.is_oversize(now, remote, transmit.segment_len) {
            return self.send_singly(transmit);
        }
        for run in transmit.contents.chunks(packets * transmit.segment_len) {
            let run = Transmit { contents: run, ..transmit };
            match self.sockets[&transmit.link.socket].try_send(run) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.counters.would_block += run.packets().count() as u64;
                }
                Err(error) => {
                    // The run may be longer than the route's MTU where its packets, sent singly, are cut into
                    // fragments; or the interface cannot cut runs, which quinn-udp
                    // remembers.
                    if quinn_udp::is_msg_size_err(&error) {
                        self.note_oversize(now, remote, transmit.segment_len);
                    }
                    self.send_singly(run)?;
                }
            }
        }
        Ok(())
    }

    fn send_singly(&mut self, transmit: Transmit<'_>) -> io::Result<()> {
        let socket = &self.sockets[&transmit.link.socket];
        let mut result = Ok(());
        for packet in transmit.packets() {
            let single = Transmit { contents: packet, segment_len: packet.len(), ..transmit };
            // An error may be news about an earlier packet, told instead of sending this one: once more.
            let sent = socket.try_send(single).or_else(|error| match error.kind() {
                io::ErrorKind::WouldBlock => Err(error),
                _ if quinn_udp::is_msg_size_err(&error) => Err(error),
                _ => socket.try_send(single),
            });
            match sent {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.counters.would_block += 1,
                Err(error) => {
                    self.counters.failed += 1;
                    result = Err(error);
                }
            }
        }
        result
    }

    fn is_oversize(&self, now: Instant, remote: SocketAddr, segment_len: usize) -> bool {
        !self.oversize.is_empty()
            && self.oversize.get(&remote).is_some_and(|(len, until)| segment_len >= *len && now < *until)
    }

    fn note_oversize(&mut self, now: Instant, remote: SocketAddr, segment_len: usize) {
        self.oversize.retain(|_, (_, until)| now < *until);
        if self.oversize.len() < MAX_OVERSIZE {
            self.oversize.insert(remote, (segment_len, now + OVERSIZE_FOR));
        }
    }

    fn enlarge_buffers(&mut self, socket: &Socket) {
        let got = enlarge_buffers(socket);
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
    #[inline]
    fn try_send(&self, transmit: Transmit<'_>) -> io::Result<()> {
        let transmit = quinn_udp::Transmit {
            destination: self.mapped(transmit.link.remote),
            ecn: None,
            contents: transmit.contents,
            segment_size: Some(transmit.segment_len),
            src_ip: transmit.link.local.map(|ip| self.mapped(SocketAddr::new(ip, 0)).ip()),
        };
        self.io.try_io(|| self.state.try_send((&self.io).into(), &transmit))
    }

    /// An IPv4 address as an IPv6 socket wants it.
    fn mapped(&self, address: SocketAddr) -> SocketAddr {
        match address.ip() {
            IpAddr::V4(ip) if self.ipv6 => (ip.to_ipv6_mapped(), address.port()).into(),
            _ => address,
        }
    }
}

/// Lets this process open as many files as it may: each flow of a server is one.
///
/// # Errors
/// The system refused; the limit is as it was.
pub fn raise_open_files_limit() -> io::Result<()> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit)?;
    }
    Ok(())
}

/// The token under which a socket's readiness is told.
fn token(id: SocketId) -> Token {
    Token(id.0 as usize)
}

fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(address.ip() != Ipv6Addr::UNSPECIFIED)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn lacks_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

/// Makes a socket ready for batches, and undoes what quinn-udp sets for QUIC alone: datagrams
/// larger than the path's MTU must be cut into fragments, here or on the way, and not vanish.
fn offload(socket: &Socket, ipv6: bool) -> io::Result<UdpSocketState> {
    let state = UdpSocketState::new(socket.into())?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use nix::sys::socket::{setsockopt, sockopt};
        use rustix::net::sockopt::{
            Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
        };
        // IPv4 routers cut what is too large when they may, so that not even a route that swallows ICMP
        // loses it. IPv6 routers never do: there the kernel has to learn.
        set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::DONT)?;
        if ipv6 {
            set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::WANT)?;
            setsockopt(socket, sockopt::Ipv6DontFrag, &false)?;
        }
        // A time stamp on every packet costs, and nobody reads it.
        setsockopt(socket, sockopt::ReceiveTimestampns, &false)?;
    }
    Ok(state)
}

/// Asks for large buffers, beyond the system's limit where we may. Returns what the receive buffer
/// got, in octets.
fn enlarge_buffers(socket: &Socket) -> usize {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use nix::sys::socket::{setsockopt, sockopt};
        if setsockopt(socket, sockopt::RcvBufForce, &BUFFER_LEN).is_err() {
            let _ = socket.set_recv_buffer_size(BUFFER_LEN);
        }
        if setsockopt(socket, sockopt::SndBufForce, &BUFFER_LEN).is_err() {
            let _ = socket.set_send_buffer_size(BUFFER_LEN);
        }
        // Linux tells twice what it was asked for (socket(7)).
        socket.recv_buffer_size().unwrap_or(0) / 2
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = socket.set_recv_buffer_size(BUFFER_LEN);
        let _ = socket.set_send_buffer_size(BUFFER_LEN);
        socket.recv_buffer_size().unwrap_or(0)
    }
}

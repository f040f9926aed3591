//! A UDP relay that loses, delays, repeats and reorders packets, for tests and examples: what
//! `socat udp-listen:…,fork udp:…` is to a good line, this is to a bad one.
//!
//! Each client address gets a socket of its own towards the other side, so several clients can share one
//! bridge. A packet meets its fate when it arrives: it is dropped, or it gets the instant at which it
//! leaves. One thread receives for the listener and one for each client's socket; one thread for each
//! direction (a [`Line`]) sleeps until the next packet is due. What needs no delay is passed on at once by
//! the thread that received it. Dropping the bridge ends its threads.
//!
//! The two directions draw from generators of their own, forked from one seed, so losses there and back are
//! independent and a seed loses the same packets in each run.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test and example that includes this file uses a part of it"
)]
#![allow(clippy::disallowed_methods, reason = "a bridge is a part of the network: it has a clock of its own")]

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rand::{SeedableRng, rngs::StdRng};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

#[path = "lossy_line.rs"]
mod line;
pub use line::{Direction, Faults};
use line::{Line, NO_PANIC};

/// The longest datagram, and one octet more so that no length is mistaken for a cut one.
const BUFFER_LEN: usize = 65_536;
/// Asked for each socket's buffers: 1,800 packets of 1,400 octets, or 90 ms of 20,000 packets a second.
const SOCKET_BUFFER_LEN: usize = 4 << 20;
/// How long a receiving thread sleeps at most before it looks whether it is to end.
const RECV_TIMEOUT: Duration = Duration::from_millis(50);
/// Clients at most, each with a thread. Packets of any further one are dropped.
const CLIENT_LIMIT: usize = 256;
/// A client that has been silent both ways for this long is forgotten.
const CLIENT_IDLE: Duration = Duration::from_secs(180);

/// What has become of the packets of both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// From the clients to the other side.
    pub forward: Direction,
    /// From the other side to the clients.
    pub backward: Direction,
}

/// A running bridge. Ends when dropped.
pub struct LossyBridge {
    bridge: Arc<Bridge>,
    address: SocketAddr,
    threads: Vec<JoinHandle<()>>,
}

impl LossyBridge {
    /// Starts a bridge that listens at `listen` (port 0: any free one) and relays to `to`, with the same
    /// faults in each direction.
    pub fn start(listen: SocketAddr, to: SocketAddr, faults: Faults, seed: u64) -> io::Result<Self> {
        let listener = bind(listen)?;
        let address = listener.local_addr()?;
        let mut seeds = StdRng::seed_from_u64(seed);
        let bridge = Arc::new(Bridge {
            listener,
            to,
            forward: Line::new(faults, StdRng::from_rng(&mut seeds)),
            backward: Line::new(faults, StdRng::from_rng(&mut seeds)),
            clients: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let mut threads = Vec::new();
        for run in [Bridge::receive_forward, Bridge::send_forward, Bridge::send_backward] {
            let bridge = Arc::clone(&bridge);
            threads.push(thread::spawn(move || run(&bridge)));
        }
        Ok(Self { bridge, address, threads })
    }

    /// Where clients send to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has become of the packets since the start.
    pub fn counts(&self) -> Counts {
        Counts { forward: self.bridge.forward.counts(), backward: self.bridge.backward.counts() }
    }

    /// Changes the faults of both directions for the packets that arrive from now on.
    pub fn set_faults(&self, faults: Faults) {
        for line in [&self.bridge.forward, &self.bridge.backward] {
            line.lock().set_faults(faults);
        }
    }

    /// Kills the bridge, packets under way included, or brings it back. A dead bridge still counts.
    pub fn set_dead(&self, dead: bool) {
        for line in [&self.bridge.forward, &self.bridge.backward] {
            line.lock().set_dead(dead);
        }
    }

    /// Forgets every client, as a NAT does that has lost its table: a client's next packet opens a new socket,
    /// so that the other side sees another source port. What is sent to an old port is lost.
    pub fn rebind(&self) {
        for (_, client) in self.bridge.clients().by_address.drain() {
            client.forgotten.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for LossyBridge {
    fn drop(&mut self) {
        self.bridge.stop();
        // No client is added any more once the thread that receives for the listener has ended.
        let mut panicked = join_all(self.threads.drain(..));
        let receivers = std::mem::take(&mut self.bridge.clients().receivers);
        panicked |= join_all(receivers.into_iter());
        // A second panic while the first unwinds would abort a whole test run.
        assert!(
            !panicked || thread::panicking(),
            "a thread of the lossy bridge at {} panicked",
            self.address
        );
    }
}

/// Waits for each thread to end. Whether any of them has panicked.
fn join_all(threads: impl Iterator<Item = JoinHandle<()>>) -> bool {
    threads.fold(false, |panicked, thread| thread.join().is_err() | panicked)
}

/// What the threads of a bridge share.
struct Bridge {
    listener: UdpSocket,
    to: SocketAddr,
    forward: Line<Arc<Client>>,
    backward: Line<Arc<Client>>,
    clients: Mutex<Clients>,
    stopped: AtomicBool,
}

#[derive(Default)]
struct Clients {
    by_address: HashMap<SocketAddr, Arc<Client>>,
    receivers: Vec<JoinHandle<()>>,
}

/// One address that packets have come from.
struct Client {
    address: SocketAddr,
    /// The client's socket towards the other side.
    upstream: UdpSocket,
    /// Set when `upstream` is not to be heard any more.
    forgotten: AtomicBool,
    last_packet: Mutex<Instant>,
}

impl Bridge {
    fn clients(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().expect(NO_PANIC)
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.forward.stop();
        self.backward.stop();
    }

    /// The thread that receives from clients.
    fn receive_forward(self: &Arc<Self>) {
        let mut buffer = vec![0; BUFFER_LEN];
        while !self.is_stopped() {
            // An error here is a time-out, or news about a packet sent earlier that nobody waits for.
            let Ok((len, source)) = self.listener.recv_from(&mut buffer) else { continue };
            let now = Instant::now();
            match self.client_of(now, source) {
                Some(client) => self.forward.take(now, &client, &buffer[..len], send_to_other_side),
                None => self.forward.refuse(),
            }
        }
    }

    /// The thread that receives for one client from the other side.
    fn receive_backward(&self, client: &Arc<Client>) {
        let mut buffer = vec![0; BUFFER_LEN];
        while !self.is_stopped() && !client.is_forgotten() {
            let received = client.upstream.recv(&mut buffer);
            let now = Instant::now();
            match received {
                Ok(_) if client.is_forgotten() => {}
                Ok(len) => {
                    client.touch(now);
                    self.backward.take(now, client, &buffer[..len], |client, octets| {
                        self.send_to_client(client, octets)
                    });
                }
                // An error is a time-out, or says that the other side refused a packet: as good as lost.
                Err(_) if client.is_idle(now) => self.forget(client),
                Err(_) => {}
            }
        }
    }

    /// The thread that sends to the other side what is due.
    fn send_forward(self: &Arc<Self>) {
        self.forward.run(send_to_other_side);
    }

    /// The thread that sends to clients what is due.
    fn send_backward(self: &Arc<Self>) {
        self.backward.run(|client, octets| self.send_to_client(client, octets));
    }

    fn send_to_client(&self, client: &Client, octets: &[u8]) -> io::Result<()> {
        self.listener.send_to(octets, client.address).map(drop)
    }

    /// The client with this address, which may be new. `None` if there are too many, or no socket is left.
    fn client_of(self: &Arc<Self>, now: Instant, address: SocketAddr) -> Option<Arc<Client>> {
        let mut clients = self.clients();
        if let Some(client) = clients.by_address.get(&address) {
            client.touch(now);
            return Some(Arc::clone(client));
        }
        if clients.by_address.len() >= CLIENT_LIMIT {
            return None;
        }
        let client = Arc::new(Client {
            address,
            upstream: open_upstream(self.to).ok()?,
            forgotten: AtomicBool::new(false),
            last_packet: Mutex::new(now),
        });
        clients.by_address.insert(address, Arc::clone(&client));
        let (bridge, receiving) = (Arc::clone(self), Arc::clone(&client));
        clients.receivers.retain(|receiver| !receiver.is_finished());
        clients.receivers.push(thread::spawn(move || bridge.receive_backward(&receiving)));
        Some(client)
    }

    fn forget(&self, client: &Client) {
        let mut clients = self.clients();
        // Whoever forgot it before may have made room for a new client with this address.
        if !client.forgotten.swap(true, Ordering::Relaxed) {
            clients.by_address.remove(&client.address);
        }
    }
}

impl Client {
    fn touch(&self, now: Instant) {
        *self.last_packet.lock().expect(NO_PANIC) = now;
    }

    fn is_forgotten(&self) -> bool {
        self.forgotten.load(Ordering::Relaxed)
    }

    fn is_idle(&self, now: Instant) -> bool {
        now.saturating_duration_since(*self.last_packet.lock().expect(NO_PANIC)) > CLIENT_IDLE
    }
}

fn send_to_other_side(client: &Arc<Client>, octets: &[u8]) -> io::Result<()> {
    match client.upstream.send(octets) {
        // This says that an earlier packet was refused; the present one has not been sent.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => client.upstream.send(octets).map(drop),
        sent => sent.map(drop),
    }
}

/// Opens a socket that sends to and hears nobody but the other side.
fn open_upstream(to: SocketAddr) -> io::Result<UdpSocket> {
    let any = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = bind(SocketAddr::new(any, 0))?;
    socket.connect(to)?;
    Ok(socket)
}

/// Opens a UDP socket with large buffers.
fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind(&address.into())?;
    let socket = UdpSocket::from(socket);
    let options = SockRef::from(&socket);
    // Best effort: the system's limits hold, but for the superuser on Linux.
    options.set_recv_buffer_size(SOCKET_BUFFER_LEN).ok();
    options.set_send_buffer_size(SOCKET_BUFFER_LEN).ok();
    #[cfg(target_os = "linux")]
    {
        use rustix::net::sockopt::{set_socket_recv_buffer_size_force, set_socket_send_buffer_size_force};
        set_socket_recv_buffer_size_force(&socket, SOCKET_BUFFER_LEN).ok();
        set_socket_send_buffer_size_force(&socket, SOCKET_BUFFER_LEN).ok();
    }
    socket.set_read_timeout(Some(RECV_TIMEOUT))?;
    Ok(socket)
}

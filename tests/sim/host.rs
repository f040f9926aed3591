//! A process: a tunnel, its sockets, and what is left when it is killed and started again.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mptunnel::tunnel::Tunnel;
use mptunnel::tunnel::link::{Bind, Endpoint, Event, Link, NameId, SocketId};
use mptunnel::tunnel::role::Config;
use mptunnel::tunnel::wire::CONTROL_PACKET_LEN;
use rand::{SeedableRng, rngs::StdRng};

/// Numbers a process: 0 is the server, `client + 1` a client.
pub type HostId = usize;

/// The server.
pub const SERVER: HostId = 0;

/// Whether a socket is a process's towards its applications or the target.
pub fn is_local(host: HostId, socket: SocketId) -> bool {
    (host == SERVER) != socket.listens()
}

/// See the module.
pub struct Host {
    config: Config,
    /// Its IPv4 and its IPv6 address.
    ips: [IpAddr; 2],
    seed: u64,
    /// How often it was started.
    pub starts: u64,
    next_port: u16,
    /// The tunnel, while the process runs.
    pub tunnel: Option<Tunnel>,
    /// Whether its machine sleeps: nothing reaches it, and nothing is done.
    pub asleep: bool,
    /// How long its clock has stood still.
    pub behind: Duration,
    /// Its open sockets' addresses.
    pub sockets: HashMap<SocketId, SocketAddr>,
}

/// What a process wants after a turn.
#[derive(Default)]
pub struct Wishes {
    /// Names to look up.
    pub names: Vec<(NameId, Endpoint)>,
    /// Sockets opened.
    pub opened: Vec<(SocketId, SocketAddr)>,
    /// Sockets closed.
    pub closed: Vec<SocketAddr>,
    /// Packets to send.
    pub packets: Vec<(Link, Vec<u8>)>,
}

impl Host {
    /// A process that does not run yet.
    pub fn new(config: Config, ips: [IpAddr; 2], seed: u64) -> Self {
        let sockets = HashMap::new();
        Self {
            config,
            ips,
            seed,
            starts: 0,
            next_port: 30_000,
            tunnel: None,
            asleep: false,
            behind: Duration::ZERO,
            sockets,
        }
    }

    /// Starts the process, with other random numbers than before.
    pub fn start(&mut self, now: Instant) {
        self.starts += 1;
        let rng = StdRng::seed_from_u64(self.seed ^ self.starts << 48);
        self.tunnel = Some(Tunnel::new(now, self.config.clone(), rng));
    }

    /// Kills the process. Returns the addresses of the sockets that it had.
    pub fn kill(&mut self) -> Vec<SocketAddr> {
        self.tunnel = None;
        self.sockets.drain().map(|(_, address)| address).collect()
    }

    /// Does what the tunnel asks for as the event loop does: events first, then packets, runs taken apart.
    pub fn poll(&mut self, now: Instant) -> Wishes {
        let mut wishes = Wishes::default();
        let Some(tunnel) = &mut self.tunnel else { return wishes };
        while let Some(event) = tunnel.poll_event() {
            match event {
                Event::Open(id, bind) => {
                    let address = match bind {
                        Bind::Listen(address) => address,
                        Bind::Towards { remote, port, .. } => {
                            let ip = self.ips[usize::from(remote.is_ipv6())];
                            let wanted = port.map(|port| SocketAddr::new(ip, port.get()));
                            let free =
                                |wanted: &SocketAddr| !self.sockets.values().any(|used| used == wanted);
                            // No port is ever used twice, but by who asks for it: an address tells for all time
                            // whose it was.
                            wanted.filter(free).unwrap_or_else(|| {
                                self.next_port += 1;
                                SocketAddr::new(ip, self.next_port)
                            })
                        }
                    };
                    assert!(self.sockets.insert(id, address).is_none(), "{id:?} was opened twice");
                    assert_eq!(id.listens(), matches!(bind, Bind::Listen(_)));
                    tunnel.handle_socket_open(now, id, address);
                    wishes.opened.push((id, address));
                }
                Event::Close(id) => {
                    let closed = self.sockets.remove(&id);
                    wishes
                        .closed
                        .push(closed.unwrap_or_else(|| panic!("{id:?} was closed, but is not open")));
                }
                Event::Resolve(name, endpoint) => wishes.names.push((name, endpoint)),
            }
        }
        while let Some(run) = tunnel.poll_transmit() {
            assert!(run.segment_len > 0 || run.contents.is_empty(), "a run without a segment length");
            let padded = matches!(run.contents[..], [2 | 3, ..]) && run.segment_len > CONTROL_PACKET_LEN;
            assert_eq!(run.whole, padded, "only what is padded may not be cut");
            for packet in run.packets() {
                assert!(packet.len() <= 65_507, "{} octets in one packet", packet.len());
                wishes.packets.push((run.link, packet.to_vec()));
            }
        }
        wishes
    }

    /// When the tunnel wants to be woken.
    pub fn timer(&self, base: Instant) -> Option<Duration> {
        let tunnel = self.tunnel.as_ref().filter(|_| !self.asleep)?;
        Some(tunnel.poll_timeout().saturating_duration_since(base) + self.behind)
    }
}

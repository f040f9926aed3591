//! An attacker who floods mpserver from many addresses, and who sees what passes one of its bridges.

#![allow(dead_code, reason = "every test and example that includes this file uses a part of it")]
#![allow(clippy::disallowed_methods, reason = "an attacker has a clock of his own")]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mptunnel::tunnel::keyring::KeyId;
use mptunnel::tunnel::wire::{
    CONTROL_PACKET_LEN, Header, INIT_LEN, InitHeader, Mode, SessionId, Type, VERSION,
};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use socket2::SockRef;

use crate::stream::Listener;

/// Addresses that a flood comes from, each in 127.0.0.0/8.
const SOURCES: usize = 250;
/// The longest datagram that is made up.
const LONGEST: usize = 1_400;
/// Packets that an eavesdropper remembers.
const REMEMBERED: usize = 256;

/// A bridge for one mpclient whose owner remembers the last packets towards mpserver.
pub(crate) struct Eavesdropper {
    address: SocketAddr,
    overheard: Overheard,
    _listeners: [Listener; 2],
}

/// Packets as they were sent, the oldest overwritten first.
type Overheard = Arc<Mutex<Vec<Vec<u8>>>>;

impl Eavesdropper {
    /// Starts the bridge.
    pub(crate) fn start(server: SocketAddr) -> Self {
        let (listener, upstream) = (socket(Ipv4Addr::LOCALHOST), socket(Ipv4Addr::LOCALHOST));
        let address = listener.local_addr().expect("a bound socket has an address");
        let (forward, backward) = (clone(&upstream), clone(&listener));
        let overheard = Overheard::default();
        let client = Arc::new(Mutex::new(None));
        let (known, memory) = (Arc::clone(&client), Arc::clone(&overheard));
        let mut count = 0;
        let there = Listener::start(listener, move |_, octets, source| {
            *lock(&known) = Some(source);
            // What cannot be passed on is lost, as on any line.
            let _ = forward.send_to(octets, server);
            let mut memory = lock(&memory);
            match memory.get_mut(count % REMEMBERED) {
                Some(oldest) => octets.clone_into(oldest),
                None => memory.push(octets.to_vec()),
            }
            count += 1;
        });
        let back = Listener::start(upstream, move |_, octets, _| {
            if let Some(client) = *lock(&client) {
                let _ = backward.send_to(octets, client);
            }
        });
        Self { address, overheard, _listeners: [there, back] }
    }

    /// Where mpclient sends to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Whoever sends the flood.
pub(crate) struct Flooder {
    sources: Vec<UdpSocket>,
    target: SocketAddr,
    mode: Mode,
    overheard: Overheard,
    rng: StdRng,
}

impl Flooder {
    /// An attacker who knows what an eavesdropper hears. His handshakes ask for this mode.
    pub(crate) fn new(target: SocketAddr, mode: Mode, ally: &Eavesdropper, seed: u64) -> Self {
        let source = |number: usize| {
            let number = u8::try_from(number).expect("fewer than 256 sources");
            socket(Ipv4Addr::new(127, 200 + number / 50, number, 1 + number / 2))
        };
        let sources = (0..SOURCES).map(source).collect();
        let overheard = Arc::clone(&ally.overheard);
        Self { sources, target, mode, overheard, rng: StdRng::seed_from_u64(seed) }
    }

    /// Sends so many packets at this rate. Returns how long that took.
    pub(crate) fn send(&mut self, packets: u64, per_second: u32) -> Duration {
        let begin = Instant::now();
        for number in 0..packets {
            let due = Duration::from_secs(number) / per_second;
            // Some at once rather than a short sleep for each.
            if due > begin.elapsed() {
                thread::sleep(Duration::from_millis(1));
            }
            let packet = self.packet(number);
            let source = &self.sources[self.rng.random_range(0..self.sources.len())];
            // A flood that does not fit into a buffer is a flood all the same.
            let _ = source.send_to(&packet, self.target);
        }
        begin.elapsed()
    }

    /// Each kind in turn.
    fn packet(&mut self, number: u64) -> Vec<u8> {
        match number % 8 {
            0 => self.random_octets(1..LONGEST),
            // Any 32 octets are a public key, and without a pre-shared one nothing else must be right.
            1 | 2 => self.init(self.mode),
            3 => self.init(Mode { encrypt: self.mode.encrypt, keyed: !self.mode.keyed }),
            4 => {
                let session = SessionId(self.rng.random());
                self.sealed(Type::Data, session, LONGEST)
            }
            5 => match self.session() {
                Some(session) => self.sealed(Type::Data, session, LONGEST),
                None => self.random_octets(1..LONGEST),
            },
            6 => match self.session() {
                Some(session) => self.sealed(Type::Probe, session, CONTROL_PACKET_LEN),
                None => self.random_octets(CONTROL_PACKET_LEN..CONTROL_PACKET_LEN + 1),
            },
            // What was overheard, whole or cut short.
            _ => {
                let mut packet = self.replay().unwrap_or_default();
                if self.rng.random() {
                    packet.truncate(self.rng.random_range(0..=packet.len()));
                }
                packet
            }
        }
    }

    fn random_octets(&mut self, lens: std::ops::Range<usize>) -> Vec<u8> {
        let mut octets = vec![0; self.rng.random_range(lens)];
        self.rng.fill_bytes(&mut octets);
        octets
    }

    fn init(&mut self, mode: Mode) -> Vec<u8> {
        let mut packet = self.random_octets(INIT_LEN..INIT_LEN + 1);
        let key = KeyId(self.rng.random());
        let header = InitHeader { version: VERSION, mode, key }.to_octets();
        packet[..header.len()].copy_from_slice(&header);
        packet
    }

    /// A packet of this session, of any length up to `longest`, its seal made up.
    fn sealed(&mut self, kind: Type, session: SessionId, longest: usize) -> Vec<u8> {
        let shortest = if kind == Type::Data { 32 } else { longest };
        let mut packet = self.random_octets(shortest..longest + 1);
        // Ahead of the real ones: what advanced the window would shut them out.
        let header = Header { kind, session, counter: self.rng.random_range(0..1 << 40) }.to_octets();
        packet[..header.len()].copy_from_slice(&header);
        packet
    }

    /// A packet that was overheard.
    fn replay(&mut self) -> Option<Vec<u8>> {
        let overheard = lock(&self.overheard);
        let count = overheard.len();
        (count > 0).then(|| overheard[self.rng.random_range(0..count)].clone())
    }

    /// The session that a packet was overheard of.
    fn session(&mut self) -> Option<SessionId> {
        let packet = self.replay()?;
        let id = packet.get(1..5).filter(|_| [Type::Data as u8, Type::Probe as u8].contains(&packet[0]))?;
        Some(SessionId(u32::from_be_bytes(id.try_into().expect("four octets"))))
    }
}

fn socket(host: Ipv4Addr) -> UdpSocket {
    let socket = UdpSocket::bind((host, 0)).expect("Linux has all of 127.0.0.0/8");
    // Best effort: the system's limit holds.
    let _ = SockRef::from(&socket).set_recv_buffer_size(4 << 20);
    socket
}

fn clone(socket: &UdpSocket) -> UdpSocket {
    socket.try_clone().expect("a second descriptor")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

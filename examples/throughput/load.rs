//! A paced sender and a sink that counts and takes times.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use rustix::event::{PollFd, PollFlags, Timespec};
use socket2::SockRef;

use super::Result;

/// Datagrams in one call of the GSO sender.
const RUN: usize = 32;
/// Large enough that the sink loses nothing itself.
const BUFFER_LEN: usize = 12_500_000;
/// The sink waits this long for stragglers.
const STRAGGLERS: Duration = Duration::from_millis(200);

/// How datagrams leave the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sender {
    /// One call for each, as OpenVPN does.
    Plain,
    /// One call for 32, as QUIC and recent WireGuard do.
    Gso,
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "one send for each",
            Self::Gso => "GSO sender",
        })
    }
}

/// What a run showed.
pub struct Outcome {
    pub sent: u64,
    pub delivered: u64,
    pub elapsed: Duration,
    /// One-way times, sorted.
    latencies: Vec<u32>,
    /// Each daemon's processor time.
    pub cpu: Vec<Duration>,
}

impl Outcome {
    pub fn offered_per_s(&self) -> f64 {
        self.sent as f64 / self.elapsed.as_secs_f64()
    }

    pub fn delivered_per_s(&self) -> f64 {
        self.delivered as f64 / self.elapsed.as_secs_f64()
    }

    pub fn loss(&self) -> f64 {
        1.0 - self.delivered as f64 / self.sent as f64
    }

    pub fn p50(&self) -> Duration {
        self.quantile(0.5)
    }

    pub fn p99(&self) -> Duration {
        self.quantile(0.99)
    }

    fn quantile(&self, q: f64) -> Duration {
        let at = (self.latencies.len() as f64 * q) as usize;
        Duration::from_nanos(self.latencies.get(at).copied().unwrap_or(0).into())
    }
}

/// A sink, and datagrams to send to it.
pub struct Load {
    /// The one address that everything comes from: a socat that does not fork serves only the first.
    source: UdpSocket,
    sink: UdpSocket,
    state: UdpSocketState,
    octets: usize,
    /// What times in datagrams count from.
    start: Instant,
}

/// Octets of a datagram's run number and time.
const STAMP_LEN: usize = 16;

impl Load {
    pub fn new(octets: usize) -> Result<Self> {
        if !(STAMP_LEN..=65_507 - 32).contains(&octets) {
            return Err(format!("--octets {octets} is not between {STAMP_LEN} and 65475").into());
        }
        let sink = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        enlarge(&sink)?;
        let state = UdpSocketState::new((&sink).into())?;
        let source = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        enlarge(&source)?;
        Ok(Self { source, sink, state, octets, start: Instant::now() })
    }

    pub fn sink(&self) -> SocketAddr {
        self.sink.local_addr().expect("it is bound")
    }

    /// Waits until datagrams come through.
    pub fn wait_until_open(&self, entry: SocketAddr) -> Result<()> {
        let mut buffer = [0; 64];
        for _ in 0..50 {
            // A bridge that is not there yet refuses; the next try tells.
            let _ = self.source.send_to(&[0; STAMP_LEN], entry);
            if self.readable()? {
                while self.readable()? {
                    self.sink.recv(&mut buffer)?;
                }
                return Ok(());
            }
        }
        Err("nothing came through".into())
    }

    /// Waits for a datagram, as long as stragglers may take.
    fn readable(&self) -> io::Result<bool> {
        let mut poll = [PollFd::new(&self.sink, PollFlags::IN)];
        let timeout = Timespec::try_from(STRAGGLERS).expect("a short time");
        Ok(rustix::event::poll(&mut poll, Some(&timeout))? > 0)
    }

    /// Sends at `rate` for `length` and counts what arrives.
    pub fn run(&self, sender: Sender, entry: SocketAddr, rate: f64, length: Duration) -> Result<Outcome> {
        let run = Instant::now().duration_since(self.start).as_nanos() as u64 | 1;
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let sink = scope.spawn(|| self.receive(run, &done));
            let begin = Instant::now();
            let sent = self.send(sender, entry, run, rate, length);
            let elapsed = begin.elapsed();
            done.store(true, Ordering::Release);
            let (delivered, mut latencies) = sink.join().expect("the sink does not panic")?;
            latencies.sort_unstable();
            Ok(Outcome { sent: sent?, delivered, elapsed, latencies, cpu: Vec::new() })
        })
    }

    fn send(&self, sender: Sender, entry: SocketAddr, run: u64, rate: f64, length: Duration) -> Result<u64> {
        let socket = &self.source;
        let state = UdpSocketState::new(socket.into())?;
        socket.set_nonblocking(false)?;
        let at_once = if sender == Sender::Gso { RUN } else { 1 };
        let mut buffer = vec![0; self.octets * at_once];
        let (begin, mut sent) = (Instant::now(), 0);
        loop {
            let passed = begin.elapsed();
            if passed >= length {
                return Ok(sent);
            }
            let due = (passed.as_secs_f64() * rate) as u64;
            if due < sent + at_once as u64 {
                let next = Duration::from_secs_f64((sent + at_once as u64) as f64 / rate);
                thread::sleep(next.saturating_sub(passed));
                continue;
            }
            let now = (self.start.elapsed().as_nanos() as u64).to_le_bytes();
            for datagram in buffer.chunks_mut(self.octets) {
                datagram[..8].copy_from_slice(&run.to_le_bytes());
                datagram[8..STAMP_LEN].copy_from_slice(&now);
            }
            match sender {
                Sender::Plain => drop(socket.send_to(&buffer, entry)?),
                Sender::Gso => state.try_send(
                    socket.into(),
                    &Transmit {
                        destination: entry,
                        ecn: None,
                        contents: &buffer,
                        segment_size: Some(self.octets),
                        src_ip: None,
                    },
                )?,
            }
            sent += at_once as u64;
        }
    }

    fn receive(&self, run: u64, done: &AtomicBool) -> io::Result<(u64, Vec<u32>)> {
        let mut buffer = vec![0; BATCH_SIZE * 65_536];
        let mut latencies = Vec::new();
        let mut delivered = 0;
        loop {
            // recvmmsg, asked to wait, would wait for the whole batch.
            if !self.readable()? {
                if done.load(Ordering::Acquire) {
                    return Ok((delivered, latencies));
                }
                continue;
            }
            let mut slots: Vec<_> = buffer.chunks_mut(65_536).map(IoSliceMut::new).collect();
            let mut meta = [RecvMeta::default(); BATCH_SIZE];
            let count = self.state.recv((&self.sink).into(), &mut slots, &mut meta)?;
            let now = self.start.elapsed().as_nanos() as u64;
            for (meta, slot) in meta.iter().zip(&slots).take(count) {
                for datagram in slot[..meta.len].chunks(meta.stride.max(1)) {
                    if datagram.len() == self.octets && datagram[..8] == run.to_le_bytes() {
                        delivered += 1;
                        let sent =
                            u64::from_le_bytes(datagram[8..STAMP_LEN].try_into().expect("eight octets"));
                        latencies.push(now.saturating_sub(sent).min(u32::MAX.into()) as u32);
                    }
                }
            }
        }
    }
}

fn enlarge(socket: &UdpSocket) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_recv_buffer_size(BUFFER_LEN)?;
    socket.set_send_buffer_size(BUFFER_LEN)
}

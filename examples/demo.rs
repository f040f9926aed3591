//! The whole thing in one process: `cargo run --release --example demo`. Takes 12 seconds and no rights.
//!
//! ```text
//!                           .--- bridge 1 ---.
//!                          /                  \
//! application --- mpclient ----- bridge 2 ----- mpserver --- echo target
//!                          \                  /
//!                           '--- bridge 3 ---'
//! ```
//!
//! The bridges lose packets in bursts and take their time. The application sends numbered datagrams through
//! the tunnel and checks what comes back. At the end it prints what each bridge has lost and what came of
//! it; every figure is measured. `RUST_LOG=info` shows what the two ends of the tunnel say meanwhile.

#![allow(clippy::disallowed_methods, reason = "the demo stands outside the tunnel, where there are clocks")]

use std::error::Error;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mptunnel::net::{EventLoop, Stopper};
use mptunnel::tunnel::key::Key;
use mptunnel::tunnel::keyring::Keys;
use mptunnel::tunnel::role::{Bridge, ClientRole, Config, Security, ServerRole};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

use lossy_bridge::{Faults, LossyBridge};
use report::{Report, grouped};

#[path = "../tests/support/lossy_bridge.rs"]
mod lossy_bridge;
#[path = "demo/report.rs"]
mod report;

/// Each bridge's loss, mean number of packets lost in a row, and delay in milliseconds, each way alike.
const BRIDGES: [(f64, f64, u64); 3] = [(0.10, 2.0, 10), (0.15, 3.0, 25), (0.20, 4.0, 40)];
/// How many seconds the application sends for.
const SECONDS: usize = 10;
/// Datagrams sent in a second.
const RATE: usize = 500;
/// Datagrams sent in all.
const COUNT: usize = RATE * SECONDS;
/// How long the application waits for echoes after its last datagram: many times the slowest bridge's delay.
const LAST_ECHOES: Duration = Duration::from_secs(1);
/// How long the tunnel may take to get going over each bridge.
const START: Duration = Duration::from_secs(3);
/// Packets that a bridge must have carried each way before it counts: more than the tunnel needs to agree on
/// keys and to try the path out.
const START_PACKETS: u64 = 10;
/// Longer than any datagram of the demo.
const BUFFER_LEN: usize = 2_048;

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn main() -> ExitCode {
    env_logger::init();
    match run() {
        Ok(report) => {
            report.print();
            if report.is_faultless() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Sets everything up, sends the datagrams and measures.
fn run() -> Result<Report, Box<dyn Error>> {
    println!("mptunnel: every datagram over three bad lines at once. Setting up:\n");
    let echo_target = start_echo_target()?;
    println!("  echo target  {echo_target}  sends every datagram back");

    // Both ends of the tunnel hold this key, as if it had come from `mpserver genkey`.
    let key = Key::generate(&mut rand::rng());
    let security = Security { encrypt: true, keys: Keys::Shared(key) };

    let role = ServerRole::new(ANY_PORT, echo_target.into()).into();
    let mpserver = Daemon::start("mpserver", Config { role, security: security.clone() })?;
    println!("  mpserver     {}  passes datagrams on to the echo target", mpserver.address);

    let mut bridges = Vec::new();
    for (number, (loss, mean_burst, delay)) in (1..).zip(BRIDGES) {
        let faults = Faults { loss, mean_burst, delay: Duration::from_millis(delay), ..Faults::default() };
        let bridge = LossyBridge::start(ANY_PORT, mpserver.address, faults, rand::rng().random())?;
        let percent = loss * 100.0;
        let address = bridge.address();
        println!("  bridge {number}     {address}  loses {percent} % in bursts, takes {delay} ms each way");
        bridges.push(bridge);
    }

    let endpoints = bridges.iter().map(|bridge| Bridge::from(bridge.address())).collect();
    let role = ClientRole::new(ANY_PORT, endpoints).into();
    let mpclient = Daemon::start("mpclient", Config { role, security })?;
    println!("  mpclient     {}  takes the application's datagrams", mpclient.address);

    let took = wait_for_bridges(mpclient.address, &bridges)?;
    println!("\nAll bridges carry packets both ways, {} ms later.", took.as_millis());
    println!(
        "Now {} datagrams of 200 to 1,200 octets in {SECONDS} seconds, one dot a second:",
        grouped(COUNT)
    );

    let application = UdpSocket::bind(ANY_PORT)?;
    application.connect(mpclient.address)?;
    application.set_read_timeout(Some(Duration::from_millis(20)))?;
    let last_sent = OnceLock::new();
    let (sent, echoes) = thread::scope(|scope| {
        let receiver = scope.spawn(|| receive_echoes(&application, &last_sent));
        let sent = send_datagrams(&application);
        last_sent.get_or_init(Instant::now);
        (sent, receiver.join().expect("the receiving thread does not panic"))
    });
    let counts = bridges.iter().map(LossyBridge::counts).collect();
    println!();
    Ok(Report::new(counts, &sent, echoes))
}

/// What the application has got back.
#[derive(Default)]
struct Echoes {
    /// The number of each echo and when it came.
    unchanged: Vec<(usize, Instant)>,
    /// Datagrams that nobody has sent.
    altered: usize,
}

/// Datagram number `number`: its number, then noise. Its length and contents follow from the number, so that
/// the slightest change shows.
fn datagram(number: usize) -> Vec<u8> {
    let mut rng = StdRng::seed_from_u64(number as u64);
    let mut octets = vec![0; rng.random_range(200..=1_200)];
    rng.fill_bytes(&mut octets);
    octets[..8].copy_from_slice(&(number as u64).to_be_bytes());
    octets
}

/// Sends all datagrams, evenly spaced, and returns when each was sent.
fn send_datagrams(application: &UdpSocket) -> Vec<Instant> {
    let begin = Instant::now();
    let mut sent = Vec::with_capacity(COUNT);
    for number in 0..COUNT {
        let octets = datagram(number);
        let due = begin + Duration::from_secs(1) * number as u32 / RATE as u32;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        sent.push(Instant::now());
        if (number + 1).is_multiple_of(RATE) {
            print!(" .");
            io::stdout().flush().ok();
        }
        // A datagram that the system does not take is one that is lost: the report says so.
        application.send(&octets).ok();
    }
    sent
}

/// Receives echoes until `LAST_ECHOES` after the last datagram. Not only until all are there: a second copy
/// would come late.
fn receive_echoes(application: &UdpSocket, last_sent: &OnceLock<Instant>) -> Echoes {
    let mut echoes = Echoes::default();
    let mut buffer = [0; BUFFER_LEN];
    while last_sent.get().is_none_or(|last_sent| last_sent.elapsed() < LAST_ECHOES) {
        let Ok(len) = application.recv(&mut buffer) else { continue };
        let now = Instant::now();
        match number_of(&buffer[..len]) {
            Some(number) => echoes.unchanged.push((number, now)),
            None => echoes.altered += 1,
        }
    }
    echoes
}

/// The number of a datagram that is exactly as it was sent.
fn number_of(octets: &[u8]) -> Option<usize> {
    let number = u64::from_be_bytes(*octets.first_chunk()?);
    let number = usize::try_from(number).ok().filter(|number| *number < COUNT)?;
    (octets == datagram(number)).then_some(number)
}

/// Sends datagrams from a socket of its own until one has come back and each bridge carries packets both
/// ways, and returns how long that took.
fn wait_for_bridges(mpclient: SocketAddr, bridges: &[LossyBridge]) -> Result<Duration, Box<dyn Error>> {
    let application = UdpSocket::bind(ANY_PORT)?;
    application.connect(mpclient)?;
    application.set_read_timeout(Some(Duration::from_millis(50)))?;
    let carries = |bridge: &LossyBridge| {
        let counts = bridge.counts();
        counts.forward.forwarded >= START_PACKETS && counts.backward.forwarded >= START_PACKETS
    };
    let begin = Instant::now();
    let mut is_echoed = false;
    while begin.elapsed() < START {
        application.send(b"hello")?;
        is_echoed |= application.recv(&mut [0; BUFFER_LEN]).is_ok();
        if is_echoed && bridges.iter().all(carries) {
            return Ok(begin.elapsed());
        }
    }
    let silent: Vec<_> = (1..).zip(bridges).filter(|(_, bridge)| !carries(bridge)).collect();
    let silent: Vec<_> = silent.iter().map(|(number, _)| format!("bridge {number}")).collect();
    let silent = if silent.is_empty() { "the echo target".to_owned() } else { silent.join(", ") };
    Err(format!("too little came back from {silent} within {} s", START.as_secs()).into())
}

/// Starts a thread that sends every datagram back, for as long as the process runs.
fn start_echo_target() -> Result<SocketAddr, Box<dyn Error>> {
    let socket = UdpSocket::bind(ANY_PORT)?;
    let address = socket.local_addr()?;
    thread::spawn(move || {
        let mut buffer = [0; BUFFER_LEN];
        loop {
            // An error tells of an earlier echo that nobody took.
            let Ok((len, source)) = socket.recv_from(&mut buffer) else { continue };
            socket.send_to(&buffer[..len], source).ok();
        }
    });
    Ok(address)
}

/// mpclient or mpserver, on a thread of its own until it is dropped.
struct Daemon {
    address: SocketAddr,
    stopper: Stopper,
    thread: Option<JoinHandle<()>>,
}

impl Daemon {
    fn start(name: &'static str, config: Config) -> Result<Self, Box<dyn Error>> {
        let mut event_loop = EventLoop::new(config)?;
        let address = event_loop.listen_addr();
        let stopper = event_loop.stopper();
        let thread = thread::spawn(move || {
            if let Err(error) = event_loop.run() {
                eprintln!("demo: {name} has ended: {error}");
            }
        });
        Ok(Self { address, stopper, thread: Some(thread) })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stopper.stop();
        self.thread.take().map(JoinHandle::join);
    }
}

//! Ten thousand applications at one mpclient, each a socket of its own, and what they cost both programs.
//!
//! The bridge of this test is mpserver itself: what a bridge of ours could carry is not the question here.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mptunnel::net::{open_files_limit, raise_open_files_limit};
use mptunnel::tunnel::snapshot::Program;
use mptunnel::tunnel::wire::Reject;

use super::setup::{KEYED, Setup, V4, line};
use super::status::snapshot;
use super::usage::{memory_kib, processor_time};
use crate::process::PATIENCE;
use crate::stream::Listener;
use crate::wait::poll_until;

/// Addresses of this machine that applications send from, and ports that each of them uses: the ports are few, since
/// other tests want some.
const ADDRESSES: u8 = 100;
const PORTS: usize = 100;
const APPLICATIONS: usize = ADDRESSES as usize * PORTS;
/// Files that this process has open besides.
const OTHERS: u64 = 2_000;
/// How many send in a row, and how long until the next do: 5,000 a second.
const AT_ONCE: usize = 25;
const PAUSE: Duration = Duration::from_millis(5);
/// What memory may grow by for each application, in KiB: half as much was measured.
const GROWTH_KIB: u64 = 4;

/// Which of them each address is, that the target has seen.
type Seen = Arc<Mutex<HashMap<SocketAddr, u32>>>;

/// The applications, and what came back to each.
struct Crowd {
    sockets: Vec<UdpSocket>,
    answered: Vec<bool>,
    /// Datagrams that were sent again, for want of an answer.
    again: usize,
}

impl Crowd {
    fn new(mpclient: SocketAddr) -> Self {
        let ports: Vec<_> = (0..PORTS).map(|_| UdpSocket::bind((Ipv4Addr::new(127, 0, 8, 1), 0))).collect();
        let first: Vec<_> = ports.into_iter().map(|socket| socket.expect("a free port")).collect();
        let port = |socket: &UdpSocket| socket.local_addr().expect("a bound socket has an address").port();
        let others = (2..=ADDRESSES).flat_map(|host| {
            let bind = move |port| UdpSocket::bind((Ipv4Addr::new(127, 0, 8, host), port));
            first.iter().map(port).map(move |port| bind(port).expect("the port is ours at another address"))
        });
        let others: Vec<_> = others.collect();
        let sockets: Vec<_> = first.into_iter().chain(others).collect();
        for socket in &sockets {
            socket.connect(mpclient).expect("mpclient's address is one");
            socket.set_nonblocking(true).expect("a socket");
        }
        Self { answered: vec![false; sockets.len()], sockets, again: 0 }
    }

    /// Has each send its number and this round's, until all have their answers.
    fn ask(&mut self, round: u32) {
        self.answered.fill(false);
        let mut attempt = 0;
        let all_answered = || {
            let missing: Vec<_> = (0..self.sockets.len()).filter(|number| !self.answered[*number]).collect();
            self.again += if attempt > 0 { missing.len() } else { 0 };
            attempt += 1;
            for some in missing.chunks(AT_ONCE) {
                for number in some {
                    let question = [*number as u32, round].map(u32::to_be_bytes).concat();
                    self.sockets[*number].send(&question).expect("mpclient listens");
                }
                thread::sleep(PAUSE);
            }
            poll_until(Duration::from_secs(1), || {
                self.take(round);
                self.answered.iter().all(|answered| *answered)
            })
        };
        assert!(poll_until(PATIENCE, all_answered), "not all are answered");
    }

    /// Takes what has come: to each its own.
    fn take(&mut self, round: u32) {
        let mut buffer = [0; 64];
        for (number, socket) in self.sockets.iter().enumerate() {
            loop {
                match socket.recv(&mut buffer) {
                    Ok(len) => {
                        let (words, []) = buffer[..len].as_chunks::<4>() else { panic!("{len} octets") };
                        let [theirs, asked] = words else { panic!("{len} octets") };
                        assert_eq!(u32::from_be_bytes(*theirs), number as u32, "an answer to another");
                        let asked = u32::from_be_bytes(*asked);
                        assert!(asked <= round, "an answer to what was not asked");
                        self.answered[number] |= asked == round;
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("application {number}: {error}"),
                }
            }
        }
    }
}

/// A target that answers each datagram with the same, and notes from where which application's came.
fn target(socket: UdpSocket) -> (Seen, Listener) {
    let seen = Seen::default();
    let notes = Arc::clone(&seen);
    let listener = Listener::start(socket, move |socket, octets, source| {
        let Some(number) = octets.first_chunk().copied().map(u32::from_be_bytes) else { return };
        let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
        // Another application at the same address is not answered, and so found out.
        if *notes.entry(source).or_insert(number) == number {
            let _ = socket.send_to(octets, source);
        }
    });
    (seen, listener)
}

#[test]
fn ten_thousand_applications_each_have_their_own_answers() {
    const ROUNDS: u32 = 1;
    raise_open_files_limit().expect("up to the hard limit a process may go");
    if open_files_limit().is_some_and(|limit| limit < APPLICATIONS as u64 + OTHERS) {
        return eprintln!("SKIPPED: a process may not open {APPLICATIONS} files here (ulimit -Hn)");
    }
    let setup = Setup::new("crowd", V4);
    let most = APPLICATIONS.to_string();
    let mpserver = setup.mpserver_and(&["--max-flows", &most], KEYED);
    let lines = [line(setup.server), format!("max-flows = {}", APPLICATIONS + 1)];
    let mpclient = setup.mpclient(&lines, KEYED);
    mpclient.wait_for_lines(1, " is up, ");
    let (seen, _listener) = target(setup.target());
    let processes = [setup.mpclient_process(), setup.mpserver_process()];
    let memory = || processes.map(memory_kib);
    let used = || processes.map(processor_time);
    let mut crowd = Crowd::new(setup.applications);

    let before = memory();
    for round in 0..=ROUNDS {
        let (begin, used_before) = (Instant::now(), used());
        crowd.ask(round);
        let [client, server] = std::array::from_fn(|at| used()[at] - used_before[at]);
        println!(
            "round {round}: {APPLICATIONS} answered in {:?}, {} asked again so far; processor time of mpclient \
             {client:?}, of mpserver {server:?}",
            begin.elapsed(),
            crowd.again
        );
    }
    let after = memory();
    println!(
        "memory of mpclient and mpserver, KiB: {before:?} before, {after:?} with {APPLICATIONS} applications"
    );
    let (begin, used_before) = (Instant::now(), used());
    thread::sleep(Duration::from_secs(1));
    let idle: [_; 2] = std::array::from_fn(|at| {
        (used()[at] - used_before[at]).as_secs_f64() / begin.elapsed().as_secs_f64()
    });
    println!("processor time while nothing is sent, of one second: {idle:.3?}");

    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut numbers: Vec<_> = seen.into_values().collect();
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..APPLICATIONS as u32), "each has one address at the target");
    for (before, after) in std::iter::zip(before, after) {
        let growth = after.saturating_sub(before);
        assert!(growth <= GROWTH_KIB * APPLICATIONS as u64, "memory grew by {growth} KiB");
    }

    // One more is one too many for mpserver, and harms none of the others.
    let one_more = setup.application();
    let refused = || {
        one_more.send(b"let me in").expect("mpclient's address is one");
        let counters = snapshot(&mpserver, Program::Mpserver).counters;
        counters.rejected.get(&Reject::FlowLimit).is_some_and(|count| *count > 0)
    };
    assert!(poll_until(PATIENCE, refused), "mpserver's limit");
    assert!(one_more.recv(&mut [0; 64]).is_err(), "it is served");
    assert_eq!(snapshot(&mpserver, Program::Mpserver).peers[0].flows, APPLICATIONS);
    crowd.ask(ROUNDS + 1);
}

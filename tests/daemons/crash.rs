//! Either program is killed without a farewell and started again: datagrams flow again within a second of its
//! start, and nothing else is touched.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use super::setup::{KEYED, Setup, V4, lines, wait_until_all_carry};
use crate::lossy_bridge::{Faults, LossyBridge};
use crate::process::{PATIENCE, Running};
use crate::stream::Stream;
use crate::wait::poll_until;

/// The promise: so long after both programs run, datagrams flow.
const PROMISE: Duration = Duration::from_secs(1);
/// Datagrams a second.
const PER_SECOND: u32 = 500;
/// Datagrams under way at most: those of 50 ms.
const UNDER_WAY: u64 = 25;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Server,
    Client,
}
use Program::{Client, Server};

/// A tunnel with a stream through it, whose programs can be killed.
struct Tunnel {
    setup: Setup,
    bridges: Vec<String>,
    mpserver: Option<Running>,
    mpclient: Option<Running>,
    stream: Stream,
}

impl Tunnel {
    /// Sets it up under traffic. The caller keeps the bridges.
    fn new(setup: Setup, bridges: Vec<String>) -> Self {
        let mpserver = Some(setup.mpserver(KEYED));
        let mpclient = Some(setup.mpclient(&bridges, KEYED));
        let stream = setup.stream(PER_SECOND);
        Self { setup, bridges, mpserver, mpclient, stream }
    }

    fn kill(&mut self, program: Program) {
        let running = match program {
            Server => self.mpserver.take(),
            Client => self.mpclient.take(),
        };
        running.expect("a program is killed when it runs").kill();
    }

    fn start(&mut self, program: Program) {
        match program {
            Server => self.mpserver = Some(self.setup.mpserver(KEYED)),
            Client => self.mpclient = Some(self.setup.mpclient(&self.bridges, KEYED)),
        }
    }
}

/// What is killed together, and in which order it is started again.
struct Case {
    killed: &'static [Program],
    /// Before the first is started again.
    pause: Duration,
    /// Before the other one is.
    between: Duration,
    /// How often.
    times: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} started again {:?} later", self.killed, self.pause)
    }
}

impl Case {
    /// Kills and starts again in a running tunnel, and measures from the last start until a datagram sent after it has come
    /// back.
    fn run(&self, tunnel: &mut Tunnel) -> Duration {
        for program in self.killed {
            tunnel.kill(*program);
        }
        // Nothing can come through now; what was under way has arrived before the pause is over.
        thread::sleep(self.pause);
        for (number, program) in self.killed.iter().enumerate() {
            if number > 0 {
                thread::sleep(self.between);
            }
            tunnel.start(*program);
        }
        let took = tunnel.stream.wait_until_it_flows(PATIENCE);
        println!("{self}: flows {} ms after the start", took.as_millis());
        took
    }

    fn assert_promise(&self, name: &str) {
        let setup = Setup::new(name, V4);
        let bridges = setup.three_bridges(Faults::default());
        let mut tunnel = Tunnel::new(setup, lines(&bridges));
        let mut all_took = Vec::new();
        let mut outages = Vec::new();
        for _ in 0..self.times {
            let begin = wait_until_all_carry(&tunnel.stream, &bridges);
            all_took.push(self.run(&mut tunnel));
            // What was under way at the crash is lost with it.
            outages.push(begin.saturating_sub(UNDER_WAY)..tunnel.stream.sent());
        }
        let end = tunnel.stream.sent() + u64::from(PER_SECOND) / 2;
        assert!(poll_until(PATIENCE, || tunnel.stream.sent() >= end), "the stream has come to a halt");
        let (there, back) = tunnel.stream.finish();
        for direction in [&there, &back] {
            assert_eq!((direction.doubled, direction.altered), (0, 0), "{self}: {direction:?}");
            let lost = direction.missing.iter().find(|number| {
                **number > outages[0].start && !outages.iter().any(|outage| outage.contains(number))
            });
            assert_eq!(lost, None, "{self}: lost while all was well, not in {outages:?}");
        }
        all_took.sort();
        assert!(all_took[self.times / 2] <= PROMISE, "{self}: {all_took:?}");
        assert!(all_took[self.times - 1] <= PROMISE * 2, "{self}: {all_took:?}");
    }
}

/// A short absence is tried three times, a long one once.
const fn case(killed: &'static [Program], pause_ms: u64, between_ms: u64) -> Case {
    let times = if pause_ms > 10_000 { 1 } else { 3 };
    Case { killed, pause: Duration::from_millis(pause_ms), between: Duration::from_millis(between_ms), times }
}

/// All side by side, each in a tunnel of its own. A machine that is busy with them all may take longer for one start of
/// three; the promise is for the median.
#[test]
fn either_program_or_both_come_back_within_a_second_of_their_start() {
    let cases = [
        case(&[Server], 200, 0),
        case(&[Client], 200, 0),
        case(&[Server], 3_000, 0),
        case(&[Client], 3_000, 0),
        case(&[Server], 30_000, 0),
        case(&[Client], 30_000, 0),
        case(&[Server, Client], 500, 1_500),
        case(&[Client, Server], 500, 1_500),
    ];
    thread::scope(|scope| {
        for (number, case) in cases.iter().enumerate() {
            scope.spawn(move || case.assert_promise(&format!("crash-{number}")));
        }
    });
}

/// How long the slow bridge of the tests below takes.
const SLOW: Duration = Duration::from_millis(800);

#[test]
fn a_slow_path_does_not_hide_that_mpserver_has_crashed() {
    let took = |number| {
        let setup = Setup::new(&format!("crash-slow-path-{number}"), V4);
        let bridges = fast_and_slow(&setup);
        let mut tunnel = Tunnel::new(setup, lines(&bridges));
        wait_until_all_carry(&tunnel.stream, &bridges);
        case(&[Server], 200, 0).run(&mut tunnel)
    };
    let mut all_took = thread::scope(|scope| {
        let tunnels = [0, 1, 2].map(|number| scope.spawn(move || took(number)));
        tunnels.map(|tunnel| tunnel.join().expect("datagrams flow again"))
    });
    all_took.sort();
    assert!(all_took[1] <= PROMISE && all_took[2] <= PROMISE * 2, "{all_took:?}");
}

#[test]
fn a_datagram_of_before_a_crash_is_not_delivered_again_after_it() {
    thread::scope(|scope| {
        for program in [Server, Client] {
            scope.spawn(move || assert_no_late_copies(program));
        }
    });
}

/// Copies on the slow bridge come when the new program runs: none is delivered.
fn assert_no_late_copies(program: Program) {
    let setup = Setup::new(&format!("crash-late-copies-{program:?}"), V4);
    let bridges = fast_and_slow(&setup);
    let mut tunnel = Tunnel::new(setup, lines(&bridges));
    wait_until_all_carry(&tunnel.stream, &bridges);
    let crash = Instant::now();
    tunnel.kill(program);
    tunnel.start(program);
    let started = [&tunnel.mpserver, &tunnel.mpclient].into_iter().flatten();
    started.for_each(|running| running.wait_for_lines(1, "listening on"));
    assert!(crash.elapsed() < SLOW, "the late copies came before the new program ran: no test");
    let late = bridges[1].counts().forward.forwarded;
    let all_came = || bridges[1].counts().forward.forwarded > late && crash.elapsed() > SLOW * 5 / 4;
    assert!(poll_until(PATIENCE, all_came), "no late copies");
    wait_until_all_carry(&tunnel.stream, &bridges);
    let (there, back) = tunnel.stream.finish();
    for direction in [&there, &back] {
        assert_eq!((direction.doubled, direction.altered), (0, 0), "{program:?}: {direction:?}");
    }
}

/// A bridge without delay and one with much.
fn fast_and_slow(setup: &Setup) -> [LossyBridge; 2] {
    let slow = Faults { delay: SLOW, ..Faults::default() };
    [setup.bridge(Faults::default(), 1), setup.bridge(slow, 2)]
}

//! Faults of the host: no descriptors left, a target or a bridge where nobody listens, a program that stands still. Each is
//! got over without a restart, harms nothing else, and is said in the log once.

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::setup::{KEYED, Setup, V4, free_address, line, lines, socket, wait_until_all_carry};
use crate::lossy_bridge::{Faults, LossyBridge};
use crate::process::{MPSERVER, PATIENCE, Running};
use crate::stream::{Echo, Stream};
use crate::wait::poll_until;

/// The promise: so long after a fault is over, datagrams flow.
const PROMISE: Duration = Duration::from_secs(1);
/// Datagrams a second.
const PER_SECOND: u32 = 200;

/// Waits for half a second of datagrams more, and asserts that none since this number was lost, and none at all doubled.
fn finish_lossless_from(stream: Stream, first: u64) {
    let last = stream.sent() + u64::from(PER_SECOND) / 2;
    assert!(poll_until(PATIENCE, || stream.sent() >= last), "the stream has come to a halt");
    let (there, back) = stream.finish();
    for direction in [&there, &back] {
        let lost = direction.missing.iter().filter(|number| **number >= first).count();
        assert_eq!((lost, direction.doubled), (0, 0), "{direction:?}");
    }
}

/// How many lines of a program's log hold `text`.
fn lines_with(running: &Running, text: &str) -> usize {
    running.log().lines().filter(|line| line.contains(text)).count()
}

/// Whether a reply comes to a datagram of this application.
fn is_answered(application: &UdpSocket) -> bool {
    let _ = application.send(b"somebody there?");
    application.recv(&mut [0; 64]).is_ok()
}

// ---- descriptors ----

/// What a program says that may open no more files than so many.
fn no_descriptor(limit: u64) -> String {
    format!(
        "cannot open a socket: Too many open files (os error 24): this program may open {limit}, and each application \
         takes one at mpserver: start it with a higher limit (LimitNOFILE= in its unit, ulimit -n in a shell); trying \
         again for "
    )
}

/// Takes from a process the right to open files, until dropped. Those that it has stay open.
struct NoDescriptors {
    process: Pid,
    before: Rlimit,
}

impl NoDescriptors {
    fn of(process: Pid) -> Self {
        // Children have our hard limit; to lower it would be for good.
        let none = Rlimit { current: Some(0), maximum: getrlimit(Resource::Nofile).maximum };
        let before = prlimit(Some(process), Resource::Nofile, none).expect("our own child");
        Self { process, before }
    }
}

impl Drop for NoDescriptors {
    fn drop(&mut self) {
        // Fails only when the process has ended.
        let _ = prlimit(Some(self.process), Resource::Nofile, self.before);
    }
}

#[test]
fn without_descriptors_mpserver_refuses_new_applications_and_harms_no_other() {
    let setup = Setup::new("no-descriptors-mpserver", V4);
    let bridges = setup.three_bridges(Faults::default());
    let mpserver = setup.mpserver(KEYED);
    let _mpclient = setup.mpclient(&lines(&bridges), KEYED);
    let stream = setup.stream(PER_SECOND);
    let first = wait_until_all_carry(&stream, &bridges);
    let newcomers = [setup.application(), setup.application()];

    let fault = NoDescriptors::of(setup.mpserver_process());
    for newcomer in newcomers.iter().cycle().take(20) {
        assert!(!is_answered(newcomer), "an application was served without a descriptor");
    }
    drop(fault);
    for newcomer in &newcomers {
        let begin = Instant::now();
        assert!(poll_until(PATIENCE, || is_answered(newcomer)), "a refused application is refused for ever");
        println!(
            "a refused application is answered {} ms after the limit was raised",
            begin.elapsed().as_millis()
        );
    }
    assert_eq!(lines_with(&mpserver, &no_descriptor(0)), 1, "{}", mpserver.log());
    finish_lossless_from(stream, first);
}

#[test]
fn mpserver_takes_all_descriptors_that_it_may_have_and_says_where_those_are_too_few() {
    const SOFT: u64 = 60;
    const HARD: u64 = 200;
    const WITHIN: usize = 120;
    const BEYOND: usize = 120;
    let setup = Setup::new("few-descriptors", V4);
    let (port, target) = (setup.server.port().to_string(), setup.target_address().port().to_string());
    let script = format!(
        "ulimit -S -n {SOFT} && ulimit -H -n {HARD} && exec \"$0\" --max-flows 1000 --bind 127.0.0.1 \"$@\""
    );
    let mpserver = Running::start("sh", &["-c", &script, MPSERVER, &port, "127.0.0.1", &target], KEYED);
    mpserver.wait_for_lines(
        1,
        "--max-flows 1000, but this program may open 200 files, and each application takes one, besides some of its own: those beyond are refused",
    );
    let _mpclient = setup.mpclient(&[line(setup.server)], KEYED);
    let _echo = Echo::start(setup.target());
    let all_answered = |applications: &[UdpSocket]| {
        for application in applications {
            assert!(poll_until(PATIENCE, || is_answered(application)), "an application is not served");
        }
    };
    let within: Vec<_> = (0..WITHIN).map(|_| setup.application()).collect();
    all_answered(&within);
    let beyond: Vec<_> = (0..BEYOND).map(|_| setup.application()).collect();
    for application in &beyond {
        application.send(b"somebody there?").expect("mpclient's address is one");
    }
    mpserver.wait_for_lines(1, &no_descriptor(HARD));
    all_answered(&within);
    assert_eq!(lines_with(&mpserver, "cannot open a socket"), 1, "{}", mpserver.log());
}

#[test]
fn without_descriptors_mpclient_loses_a_dead_bridge_alone_until_there_are_some() {
    let setup = Setup::new("no-descriptors-mpclient", V4);
    let bridges = setup.three_bridges(Faults::default());
    let _mpserver = setup.mpserver(KEYED);
    let mpclient = setup.mpclient(&lines(&bridges), KEYED);
    let stream = setup.stream(PER_SECOND);
    let first = wait_until_all_carry(&stream, &bridges);

    let fault = NoDescriptors::of(setup.mpclient_process());
    // Its socket is to be replaced, and cannot be.
    bridges[0].set_dead(true);
    mpclient.wait_for_lines(1, &no_descriptor(0));
    bridges[0].set_dead(false);
    // Some tries more.
    thread::sleep(Duration::from_secs(5));
    drop(fault);
    let begin = Instant::now();
    wait_until_all_carry(&stream, &bridges);
    println!("the bridge carries {} ms after the limit was raised", begin.elapsed().as_millis());
    assert_eq!(lines_with(&mpclient, &no_descriptor(0)), 1, "{}", mpclient.log());
    finish_lossless_from(stream, first);
}

// ---- nobody listens ----

/// Opens a socket at an address that another one has just left.
fn reopen(address: SocketAddr) -> UdpSocket {
    let mut reopened = None;
    // A program that starts at this moment has the old socket for an instant.
    poll_until(PATIENCE, || {
        reopened = UdpSocket::bind(address).ok();
        reopened.is_some()
    });
    reopened.expect("the address is free again")
}

#[test]
fn a_target_gets_datagrams_as_soon_as_it_listens_at_first_and_after_a_restart() {
    let setup = Setup::new("target-away", V4);
    let bridges = setup.three_bridges(Faults::default());
    let target = free_address();
    let mpserver = setup.mpserver_towards(target, KEYED);
    let _mpclient = setup.mpclient(&lines(&bridges), KEYED);
    // The stream's own echo has nothing to do: the target is here.
    let stream = Stream::start(setup.application(), Echo::start(socket(V4)), PER_SECOND, 200);
    let refused = format!("target {target} cannot be reached: Connection refused (os error 111)");
    mpserver.wait_for_lines(1, &refused);
    for when in ["at first", "after a restart"] {
        let echo = Echo::start(reopen(target));
        let took = stream.wait_until_it_flows(PATIENCE);
        println!("the target is reached {} ms after it listens, {when}", took.as_millis());
        assert!(took <= PROMISE, "{when}: {took:?}");
        drop(echo);
        // Time enough for datagrams that nobody takes.
        thread::sleep(Duration::from_secs(1));
    }
    assert_eq!(lines_with(&mpserver, &refused), 1, "{}", mpserver.log());
    let (_, back) = stream.finish();
    assert_eq!((back.doubled, back.altered), (0, 0), "{back:?}");
}

#[test]
fn a_bridge_that_refuses_is_named_once_and_carries_as_soon_as_it_listens() {
    let setup = Setup::new("bridge-away", V4);
    let there = setup.bridge(Faults::default(), 1);
    let away = free_address();
    let _mpserver = setup.mpserver(KEYED);
    let mpclient = setup.mpclient(&[line(away), line(there.address())], KEYED);
    let stream = setup.stream(PER_SECOND);
    stream.wait_until_it_flows(PATIENCE);
    let first = stream.sent();
    let refused = format!("bridge {away} cannot be reached: Connection refused (os error 111)");
    mpclient.wait_for_lines(1, &refused);
    // Long enough for the socket to be replaced, twice.
    thread::sleep(Duration::from_secs(7));
    let late = LossyBridge::start(away, setup.server, Faults::default(), 2).expect("a bridge starts");
    let begin = Instant::now();
    let bridges = [late, there];
    wait_until_all_carry(&stream, &bridges);
    println!("the bridge carries {} ms after it listens", begin.elapsed().as_millis());
    assert_eq!(lines_with(&mpclient, &refused), 1, "{}", mpclient.log());
    finish_lossless_from(stream, first);
}

// ---- standing still ----

/// How long a program stands still.
const STOPPED: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug)]
enum Program {
    Server,
    Client,
}

/// Three tunnels for each program. A machine that is busy with them all may take longer for one; the promise is for the
/// median.
#[test]
fn a_program_that_stood_still_for_ten_seconds_goes_on_within_one_and_delivers_nothing_twice() {
    thread::scope(|scope| {
        for program in [Program::Server, Program::Client] {
            scope.spawn(move || {
                let mut all_took = thread::scope(|scope| {
                    let tunnels = [0, 1, 2].map(|number| scope.spawn(move || recovery(program, number)));
                    tunnels.map(|tunnel| tunnel.join().expect("datagrams flow again"))
                });
                all_took.sort();
                assert!(all_took[1] <= PROMISE && all_took[2] <= PROMISE * 2, "{program:?}: {all_took:?}");
            });
        }
    });
}

/// Stops a program in a tunnel of its own for a while, and measures from its going on until a datagram sent after that has
/// come back.
fn recovery(program: Program, number: usize) -> Duration {
    let setup = Setup::new(&format!("stopped-{program:?}-{number}"), V4);
    let bridges = setup.three_bridges(Faults::default());
    let mpserver = setup.mpserver(KEYED);
    let mpclient = setup.mpclient(&lines(&bridges), KEYED);
    let stream = setup.stream(PER_SECOND);
    wait_until_all_carry(&stream, &bridges);
    let stopped = match program {
        Program::Server => &mpserver,
        Program::Client => &mpclient,
    };
    stopped.signal("STOP");
    thread::sleep(STOPPED);
    stopped.signal("CONT");
    let took = stream.wait_until_it_flows(PATIENCE);
    println!("{program:?} stood still for {STOPPED:?}: flows {} ms after it goes on", took.as_millis());
    let first = wait_until_all_carry(&stream, &bridges);
    finish_lossless_from(stream, first);
    for bridge in &bridges {
        let silent = format!("bridge {} is silent", bridge.address());
        assert!(lines_with(&mpclient, &silent) <= 1, "{program:?}: {}", mpclient.log());
    }
    for running in [mpclient, mpserver] {
        running.signal("TERM");
        let finished = running.finish();
        assert_eq!(finished.code, Some(0), "{program:?}: {finished:?}");
    }
    took
}

//! Runs of datagrams, which leave in one call, where the network does not take them as they are: an MTU
//! that is too small or becomes so, a route that refuses runs, an interface that is full.
//!
//! The network is the one drawn in `netns.rs`, with two paths. Where the MTU changes, the middles route,
//! so that it changes behind a router too, and the server's own addresses stand in for bridges:
//!
//! ```text
//!  client            router, one for each path          server
//!  mpclient .1 ====== 10.77.1.0/24 | 10.78.1.0/24 ====== .1 mpserver, port 2000
//! ```

use std::collections::HashSet;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::UdpGsoSegment;

use super::lab::{Lab, Side, Version, address, bridge_address, service_address, skip};
use super::namespace::Namespace;
use super::process::{Process, Protocol};
use super::programs::{
    APPLICATIONS, SERVER_PORT, application, bridge_line, mpclient, mpclient_with, mpserver, socat_bridge,
    target,
};
use super::stream::datagram;

/// Datagrams of a run, and octets of each. In a packet of the tunnel over IPv4 they are 1,460.
const RUN: u64 = 32;
const LEN: usize = 1_400;

/// How long a run may take to arrive, until its missing datagrams count as lost.
const LIMIT: Duration = Duration::from_secs(2);

/// The smallest MTU that IPv6 allows.
const SMALLEST_MTU: u32 = 1_280;

/// An application and a target that send each other runs by turns, each in one call.
struct Rounds {
    application: UdpSocket,
    target: UdpSocket,
    next: u64,
}

impl Rounds {
    /// Opens both ends' sockets.
    fn new(lab: &Lab) -> Self {
        let (application, target) = (application(lab), target(lab));
        for socket in [&application, &target] {
            socket.set_read_timeout(Some(LIMIT)).expect("a time that is not zero");
            // What is sent in one call, the system takes for a run of datagrams of this length.
            let len = i32::try_from(LEN).expect("a length of UDP");
            setsockopt(socket, UdpGsoSegment, &len).expect("Linux can send runs");
        }
        Self { application, target, next: 0 }
    }

    /// One run to the target, and what arrived of it back. Says how many were lost there, and back.
    fn run(&mut self) -> (usize, usize) {
        let run: Vec<_> = (self.next..self.next + RUN).map(|number| datagram(number, LEN)).collect();
        self.next += RUN;
        self.application.send(&run.concat()).expect("the loopback takes runs");
        let (there, source) = receive(&self.target, &run);
        let lost = run.len() - there.len();
        let Some(source) = source else { return (lost, 0) };
        self.target.send_to(&there.concat(), source).expect("the loopback takes runs");
        let (back, _) = receive(&self.application, &there);
        (lost, there.len() - back.len())
    }

    /// Rounds of which nothing may be lost.
    fn run_complete(&mut self, count: u32) {
        for round in 0..count {
            assert_eq!(self.run(), (0, 0), "lost there and back in round {round} of {count}");
        }
    }

    /// Rounds for as long as something else is done. Says how many of them were not complete.
    fn run_during(&mut self, work: impl FnOnce() + Send) -> usize {
        thread::scope(|scope| {
            let working = scope.spawn(work);
            let mut incomplete = 0;
            while !working.is_finished() {
                incomplete += usize::from(self.run() != (0, 0));
            }
            incomplete
        })
    }
}

/// Receives a run, until it is complete or its time is up: what arrived, and from where. Each datagram comes
/// once, as it was sent, and no other comes.
fn receive(socket: &UdpSocket, run: &[Vec<u8>]) -> (Vec<Vec<u8>>, Option<SocketAddr>) {
    let mut expected: HashSet<&[u8]> = run.iter().map(Vec::as_slice).collect();
    let (mut received, mut source) = (Vec::new(), None);
    let mut buffer = vec![0; 1 << 16];
    while received.len() < run.len() {
        let Ok((len, from)) = socket.recv_from(&mut buffer) else { break };
        assert!(expected.remove(&buffer[..len]), "{len} octets that are doubled, merged, altered or late");
        received.push(buffer[..len].to_vec());
        source = Some(from);
    }
    (received, source)
}

/// Waits until both ends send over all these bridges.
fn wait_until_paths_carry(server: &mut Process, client: &mut Process, bridges: &[SocketAddr]) {
    for (path, bridge) in bridges.iter().enumerate() {
        client.wait_for_line(&format!("bridge {bridge} is up"), LIMIT * 5);
        server.wait_for_line(&format!("path {path} is up from"), LIMIT * 5);
    }
}

fn bridges(lab: &Lab, version: Version) -> (Vec<Process>, Vec<SocketAddr>) {
    let socat = lab.paths().map(|path| socat_bridge(lab, path, version, SERVER_PORT)).collect();
    (socat, lab.paths().map(|path| bridge_address(version, path)).collect())
}

// ---- a small MTU ----

fn runs_cross_a_small_mtu(test: &str, version: Version) {
    let Some(lab) = Lab::new(test, 2, &["socat"]) else { return };
    for path in lab.paths() {
        lab.set_mtu(path, Side::Client, 1_300);
        lab.set_mtu(path, Side::Server, 1_300);
    }
    let _bridges = bridges(&lab, version);
    let _server = mpserver(&lab);
    let _client = mpclient(&lab, version);
    Rounds::new(&lab).run_complete(50);
}

#[test]
fn runs_cross_ipv4_paths_with_a_small_mtu() {
    runs_cross_a_small_mtu("small-ipv4", Version::V4);
}

#[test]
fn runs_cross_ipv6_paths_with_a_small_mtu() {
    runs_cross_a_small_mtu("small-ipv6", Version::V6);
}

// ---- an MTU that changes ----

/// On `side` the MTU shrinks and grows again, so that one end sees it at its own interface, and the other one
/// behind a router: over IPv4 that router cuts packets, over IPv6 it drops them and tells the sender.
fn the_mtu_of_a_path_changes_in_use(test: &str, version: Version, side: Side) {
    let Some(lab) = Lab::new(test, 2, &[]) else { return };
    lab.lay_routes(version);
    let mut rounds = Rounds::new(&lab);
    let mut server = mpserver(&lab);
    let ways: Vec<_> = lab.paths().map(|path| service_address(version, path, SERVER_PORT)).collect();
    let lines: Vec<_> = ways.iter().copied().map(bridge_line).collect();
    let mut client = mpclient_with(&lab, &lines);
    wait_until_paths_carry(&mut server, &mut client, &ways);
    rounds.run_complete(20);

    // Together with another path nothing is lost, and the shrunken one still carries when it is alone.
    for mtu in [SMALLEST_MTU + 100, 1_500] {
        assert_eq!(rounds.run_during(|| lab.set_mtu(1, side, mtu)), 0, "incomplete with an MTU of {mtu}");
        rounds.run_complete(20);
        lab.set_forwarding(2, false);
        rounds.run_complete(20);
        lab.set_forwarding(2, true);
    }

    // Alone a path, here the one whose MTU has never changed so far, loses what is on its way: once while one
    // end of the cable has the new MTU and the other has not, and over IPv6 once more, to teach the sender.
    lab.set_forwarding(1, false);
    for mtu in [SMALLEST_MTU, 1_500] {
        let mut incomplete = rounds.run_during(|| lab.set_mtu(2, side, mtu));
        incomplete += (0..10).filter(|_| rounds.run() != (0, 0)).count();
        assert!(incomplete <= 2, "{incomplete} rounds were not complete with an MTU of {mtu}");
        rounds.run_complete(20);
    }
}

#[test]
fn the_mtu_of_an_ipv4_path_changes_in_use_at_the_client() {
    the_mtu_of_a_path_changes_in_use("mtu-client-ipv4", Version::V4, Side::Client);
}

#[test]
fn the_mtu_of_an_ipv6_path_changes_in_use_at_the_client() {
    the_mtu_of_a_path_changes_in_use("mtu-client-ipv6", Version::V6, Side::Client);
}

#[test]
fn the_mtu_of_an_ipv4_path_changes_in_use_at_the_server() {
    the_mtu_of_a_path_changes_in_use("mtu-server-ipv4", Version::V4, Side::Server);
}

#[test]
fn the_mtu_of_an_ipv6_path_changes_in_use_at_the_server() {
    the_mtu_of_a_path_changes_in_use("mtu-server-ipv6", Version::V6, Side::Server);
}

// ---- a route that refuses runs ----

/// A program for a route, which answers EINVAL to each run and lets single packets pass. (No interface would
/// do: newer kernels, such as Linux 6.18, cut runs themselves for those that cannot.)
fn refusal() -> Vec<u8> {
    // struct __sk_buff of linux/bpf.h: the packets of a run, 0 or 1 for a single one.
    const GSO_SEGS: u8 = 164;
    // In eight octets: operation, registers, offset (2), constant (4).
    let program: Vec<u8> = [
        [0x61, 0x10, GSO_SEGS, 0, 0, 0, 0, 0],      // r0 = context[GSO_SEGS]
        [0x25, 0x00, 2, 0, 1, 0, 0, 0],             // if r0 > 1, skip two
        [0xb7, 0x00, 0, 0, 0, 0, 0, 0],             // r0 = BPF_OK
        [0x95, 0, 0, 0, 0, 0, 0, 0],                // return r0
        [0xb7, 0x00, 0, 0, 0xff, 0xff, 0xff, 0xff], // r0 = -1, no verdict that there is: EINVAL
        [0x95, 0, 0, 0, 0, 0, 0, 0],                // return r0
    ]
    .concat();
    object_file(&program)
}

/// An ELF object of 64 bits, in which `ip` finds a BPF program as the function and the section `refuse`.
fn object_file(program: &[u8]) -> Vec<u8> {
    const HEADER_LEN: u64 = 64;
    const NAMES: &[u8] = b"\0refuse\0.symtab\0.strtab\0";
    let words = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let pair = |low: u64, high: u64| high << 32 | low;

    // The first symbol is void by definition; the second is global (1), a function (2), in section 1.
    let symbols = words(&[0, 0, 0, 1 | 0x12 << 32 | 1 << 48, 0, program.len() as u64]);
    let mut contents = Vec::new();
    let mut place = |octets: &[u8]| {
        let start = HEADER_LEN + contents.len() as u64;
        contents.extend(octets);
        contents.resize(contents.len().next_multiple_of(8), 0);
        (start, octets.len() as u64)
    };
    let (program, symbols, names) = (place(program), place(&symbols), place(NAMES));
    // Each: name and type, flags, address, start, length, link and info, alignment, length of an entry.
    let sections = [
        words(&[0; 8]),
        words(&[pair(1, 1), 6, 0, program.0, program.1, 0, 8, 0]),
        words(&[pair(8, 2), 0, 0, symbols.0, symbols.1, pair(3, 1), 8, 24]),
        words(&[pair(16, 3), 0, 0, names.0, names.1, 0, 1, 0]),
    ];
    // 64 bits, little-endian, version 1; relocatable (1), for BPF (247); where the sections are; lengths of
    // this header (64) and of a section's (64); four sections, the last of which (3) has the names.
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend(words(&[1 | 247 << 16 | 1 << 32, 0, 0, HEADER_LEN + contents.len() as u64]));
    file.extend(words(&[64 << 32, 64 << 16 | 4 << 32 | 3 << 48]));
    [file, contents, sections.concat()].concat()
}

/// Packets that an interface has sent. A run that it has taken as such is one.
fn packets_sent(namespace: &Namespace, interface: &str) -> u64 {
    let table = namespace.enter(|| fs::read_to_string("/proc/thread-self/net/dev")).expect("the table");
    let line = table.lines().find_map(|line| line.trim().strip_prefix(interface)?.strip_prefix(':'));
    let packets = line.and_then(|line| line.split_whitespace().nth(9)).expect("the tenth column");
    packets.parse().expect("a number")
}

fn a_refused_run_is_sent_singly(test: &str, version: Version) {
    let Some(lab) = Lab::new(test, 2, &["socat"]) else { return };
    let file = lab.directory().join("refuse.o");
    fs::write(&file, refusal()).expect("writing the program");
    let program = format!("encap bpf out obj {} section refuse", file.display());
    let refusing = [(&lab.client, Side::Client), (&lab.server, Side::Server)]
        .map(|(end, side)| (end, format!("{} dev p1", address(side, version, 1, 2))));
    for (end, route) in &refusing {
        if let Err(reason) = end.try_ip(&format!("route add {route} {program}")) {
            return skip(test, &format!("the kernel has no programs for routes: {reason}"));
        }
    }
    for path in lab.paths() {
        // A run that leaves as one stays one on these cables.
        lab.client.ip(&format!("link set p{path} gso_max_segs 64"));
    }
    let (mut socat, ways) = bridges(&lab, version);
    let mut rounds = Rounds::new(&lab);
    let mut server = mpserver(&lab);
    let mut client = mpclient(&lab, version);
    wait_until_paths_carry(&mut server, &mut client, &ways);

    // Nobody else carries what is refused.
    socat[1].kill();
    rounds.run_complete(20);
    socat[1] = socat_bridge(&lab, 2, version, SERVER_PORT);

    // The socket of path 1 remembers, though nothing refuses runs any more; that of path 2 has no reason to.
    for (end, route) in &refusing {
        end.ip(&format!("route del {route}"));
    }
    let sent = |interface: &str| packets_sent(&lab.client, interface);
    let (before_1, before_2) = (sent("p1"), sent("p2"));
    rounds.run_complete(20);
    let (singly, in_runs) = (sent("p1") - before_1, sent("p2") - before_2);
    let remembered = singly >= 20 * RUN && (20..10 * RUN).contains(&in_runs);
    assert!(remembered, "20 runs left in {singly} packets on path 1, in {in_runs} on path 2");
}

#[test]
fn a_run_that_an_ipv4_route_refuses_is_sent_singly_as_are_all_after_it() {
    a_refused_run_is_sent_singly("refusal-ipv4", Version::V4);
}

#[test]
fn a_run_that_an_ipv6_route_refuses_is_sent_singly_as_are_all_after_it() {
    a_refused_run_is_sent_singly("refusal-ipv6", Version::V6);
}

// ---- a full interface ----

/// Starts mpclient as a user who may not go beyond the system's limits for a socket's buffers.
fn mpclient_within_limits(lab: &Lab, bridges: &[SocketAddr]) -> Process {
    let configuration = lab.directory().join("mpclient.conf");
    let mut text = format!("listen = {APPLICATIONS}\nkey-file = key\n");
    for bridge in bridges {
        text += &format!("{}\n", bridge_line(*bridge));
    }
    fs::write(&configuration, text).expect("writing the configuration");
    let mut command = lab.client.command("setpriv");
    command.args(["--bounding-set", "-net_admin", env!("CARGO_BIN_EXE_mpclient")]).arg(configuration);
    command.env("RUST_LOG", "debug");
    let mut client = Process::start("mpclient", &mut command, lab.directory());
    client.wait_for_port(Protocol::Udp, 3000);
    client
}

/// A slow interface with a queue that is never full: what fills up is the socket's buffer.
#[test]
fn a_full_interface_loses_its_own_copies_and_delays_no_others() {
    let Some(lab) = Lab::new("full", 2, &["socat", "setpriv", "tc"]) else { return };
    let (mut socat, ways) = bridges(&lab, Version::V4);
    let mut rounds = Rounds::new(&lab);
    let mut server = mpserver(&lab);
    let mut client = mpclient_within_limits(&lab, &ways);
    wait_until_paths_carry(&mut server, &mut client, &ways);

    lab.client.tc("qdisc add dev p1 root tbf rate 500kbit burst 5kb limit 100mb");
    let mut times = Vec::new();
    let (begin, first) = (Instant::now(), rounds.next);
    let lost = loop {
        for _ in 0..20 {
            let start = Instant::now();
            rounds.run_complete(1);
            times.push(start.elapsed());
        }
        // Probes, and what waited before, make it a few more.
        let queue = lab.client.tc("-s -j qdisc show dev p1");
        assert_eq!(number(&queue, "drops"), 0, "the queue is never full");
        let taken = number(&queue, "packets") + number(&queue, "qlen");
        let lost = (rounds.next - first).saturating_sub(taken);
        if lost >= 20 * RUN || begin.elapsed() > LIMIT * 3 {
            break lost;
        }
    };
    assert!(lost >= 20 * RUN, "the buffer takes all: only {lost} copies were lost");
    client.wait_for_line(&format!("the way to bridge {} is full", ways[0]), LIMIT);
    // The slow interface takes 800 ms for a run.
    times.sort();
    let median = times[times.len() / 2];
    assert!(median < Duration::from_millis(100), "a run took {median:?}");

    // It carries again once it is fast.
    lab.client.tc("qdisc del dev p1 root");
    socat[1].kill();
    rounds.run_complete(20);
}

/// The first number of this name in JSON.
fn number(json: &str, name: &str) -> u64 {
    let (_, rest) = json.split_once(&format!("\"{name}\":")).unwrap_or_else(|| panic!("no {name}: {json}"));
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().unwrap_or_else(|_| panic!("{name} is no number: {json}"))
}

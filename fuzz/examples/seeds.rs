//! Writes the seeds of the targets that take no text: `cargo run --example seeds`, in this folder. The configurations in
//! seeds/config are written by hand.

use std::fs;
use std::path::Path;
use std::time::Instant;

use mptunnel::tunnel::link::{Bind, Event, Link};
use mptunnel::tunnel::{LISTENER, Tunnel};
use mptunnel_fuzz::scenario::Step::{self, *};
use mptunnel_fuzz::setup::Setup;
use mptunnel_fuzz::world::{CLIENT, SERVER};
use rand::{SeedableRng, rngs::StdRng};

const OPEN: u8 = 0;
const KEYED: u8 = 1;
const PLAIN: u8 = 2;
const OTHER_KEY: u8 = 7;
const THREE_BRIDGES: u8 = 2 << 3;
const CROWDED: u8 = 0x20;
const CONNECTED: u8 = 0x40;
const NAMES: u8 = 0x80;

fn main() {
    packets("keyed", KEYED);
    packets("plain", PLAIN);
    windows();
    scenarios();
}

fn write(target: &str, name: &str, octets: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    fs::write(folder.join(name), octets).expect("a seed that can be written");
}

/// One packet of each type, of a client that connects and sends a datagram.
fn packets(mode: &str, octet: u8) {
    let now = Instant::now();
    let setup = Setup::new(octet);
    let mut ends =
        [CLIENT, SERVER].map(|end| Tunnel::new(now, setup.config(end), StdRng::seed_from_u64(end as u64)));
    let path = Link { socket: LISTENER, remote: ([198, 51, 100, 1], 1).into(), local: None };
    let application = Link { socket: LISTENER, remote: ([127, 0, 0, 1], 10_000).into(), local: None };
    ends[CLIENT].handle_input(now, application, &mut b"a datagram".to_vec());
    let mut behind = path;
    for turn in 0..12 {
        let (from, to) = ([CLIENT, SERVER][turn % 2], [SERVER, CLIENT][turn % 2]);
        ends[from].handle_timeout(now);
        while let Some(event) = ends[from].poll_event() {
            if let Event::Open(socket, Bind::Towards { .. }) = event {
                ends[from].handle_socket_open(now, socket, ([192, 0, 2, 1], 40_000).into());
            }
        }
        let mut sent = Vec::new();
        while let Some(run) = ends[from].poll_transmit() {
            sent.extend(run.packets().map(|packet| (run.link, packet.to_vec())));
        }
        for (link, mut packet) in sent {
            if from == CLIENT {
                behind = link;
            } else if link.socket != LISTENER {
                continue;
            }
            let kind =
                ["data", "probe", "reply", "init", "response", "open", "opened"][usize::from(packet[0]) - 1];
            write("parse", &format!("{mode}-{kind}"), &packet);
            ends[to].handle_input(now, if to == SERVER { path } else { behind }, &mut packet);
        }
    }
}

fn windows() {
    let steps = |steps: &[(u8, i16)]| -> Vec<u8> {
        steps.iter().flat_map(|(place, by)| [&[*place][..], &by.to_be_bytes()].concat()).collect()
    };
    write("window", "in-order", &steps(&[(0, 1); 70]));
    write("window", "copies", &steps(&[(0, 1), (0, 0), (0, 5), (0, -3), (0, 0), (5, 0), (5, 0)]));
    write("window", "far-edge", &steps(&[(3, 0), (2, 0), (2, 1), (2, 2), (3, 1), (2, 64), (2, -1)]));
    write("window", "jumps", &steps(&[(4, 0), (0, -1), (4, -1), (2, 1), (6, 0), (6, 63), (0, -64), (3, 64)]));
    write("window", "forged-ahead", &steps(&[(0, 1), (0x83, 0), (0x87, -1), (0, 1), (0, 0)]));
    write("window", "the-end", &steps(&[(7, -2), (7, 0), (7, -1), (0, 0), (2, 1), (2, 0)]));
}

/// From the start and from a session in use, in each mode.
fn scenarios() {
    let seed = |name: &str, setup: u8, steps: &[(Step, &[u8])]| {
        let steps = steps.iter().flat_map(|(step, how)| [&[*step as u8][..], how].concat());
        write("input", name, &[setup].into_iter().chain(steps).collect::<Vec<_>>());
    };
    let second = 10;
    let minutes = 18;
    let packets = [(Deliver, &[0][..]), (Deliver, &[0]), (Deliver, &[0]), (Deliver, &[0])];
    for (mode, name) in [(OPEN, "open"), (KEYED, "keyed"), (PLAIN, "plain")] {
        seed(&format!("{name}-handshake"), mode, &[&packets[..], &[(Up, &[0, 40])], &packets].concat());
        let traffic: &[(Step, &[u8])] =
            &[(Up, &[0, 40]), (Up, &[1, 0]), (Up, &[1, 250]), (Run, &[1]), (Down, &[0, 100]), (Run, &[1])];
        seed(&format!("{name}-traffic"), mode | CONNECTED | THREE_BRIDGES, traffic);
        let insider: &[(Step, &[u8])] = &[
            (Init, &[0, 1]),
            (Probe, &[0, 0, 0, 1, 0]),
            (Probe, &[0, 0, 0, 2, 1]),
            (Data, &[0, 7, 50]),
            (Ask, &[0, 7, 0, 50]),
            (Data, &[0, 7, 50]),
            (Ask, &[0, 8, 4, 50]),
            (Ask, &[0, 9, 7, 50]),
            (Ask, &[0, 10, 6, 0]),
            (Down, &[1, 0]),
            (Probe, &[1, 0, 0, 3, 1]),
            (Probe, &[1, 0, 39, 0xff, 0]),
            (Probe, &[1, 0, 0, 4, 2]),
            (Probe, &[1, 0, 0, 5, 4]),
        ];
        seed(&format!("{name}-insider"), mode | CONNECTED, insider);
    }
    seed(
        "rekey",
        KEYED | CONNECTED,
        &[
            (Sleep, &[minutes]),
            (Run, &[8]),
            (Sleep, &[minutes]),
            (Run, &[8]),
            (Sleep, &[minutes]),
            (Run, &[8]),
            (Up, &[0, 40]),
            (Run, &[8]),
        ],
    );
    seed(
        "silent",
        KEYED | CONNECTED,
        &[(Up, &[0, 40]), (Sleep, &[second + 1]), (Sleep, &[14]), (Up, &[0, 40])],
    );
    seed(
        "ends",
        KEYED | CONNECTED,
        &[(Up, &[0, 40]), (Restart, &[2]), (Run, &[9]), (Up, &[0, 40]), (Restart, &[2])],
    );
    seed("restarts", KEYED | CONNECTED, &[(Restart, &[1]), (Up, &[0, 40]), (Run, &[9]), (Restart, &[0])]);
    seed("moved", KEYED | CONNECTED, &[(Rebind, &[]), (Run, &[9]), (Down, &[0, 40]), (Repeat, &[0, 1])]);
    seed(
        "altered",
        KEYED | CONNECTED,
        &[
            (Up, &[0, 40]),
            (Alter, &[63, 0, 12, 1]),
            (Alter, &[63, 0, 0xf0, 12]),
            (Repeat, &[63, 0]),
            (Repeat, &[62, 1]),
            (Inject, &[1, 0, 16, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            (Astray, &[0, 2, 1, 1]),
            (Lose, &[0]),
        ],
    );
    seed(
        "names",
        KEYED | NAMES | THREE_BRIDGES,
        &[
            (Answer, &[3]),
            (Answer, &[1]),
            (FailSockets, &[1]),
            (Answer, &[0]),
            (Sleep, &[12]),
            (Answer, &[2]),
            (Up, &[3, 40]),
            (Answer, &[1]),
            (Run, &[9]),
            (Up, &[3, 40]),
        ],
    );
    seed("crowd", OPEN | CONNECTED | CROWDED, &[(Flood, &[0xff]), (Run, &[1])]);
    seed(
        "crowded-insider",
        OPEN | CONNECTED | CROWDED,
        &[(Init, &[0, 1]), (Probe, &[0, 0, 0, 1, 0]), (Ask, &[0, 0xff, 0, 10])],
    );
    let more_than_wait = [(Flood, &[63][..]); 4].into_iter().chain([(Up, &[0, 40][..]); 5]);
    seed("waiting", KEYED, &more_than_wait.collect::<Vec<_>>());
    seed("another-key", OTHER_KEY, &[(Up, &[0, 40]), (Run, &[second])]);
}

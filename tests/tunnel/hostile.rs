//! Strangers who see and send what they like: they block nothing, move nothing, create nothing and gain nothing.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

use crate::sim::attacker::{Attack, Attacker, Seen};
use crate::sim::network::Faults;
use crate::sim::seeds::seeds;
use crate::sim::setup::{Setup, encrypted, keyed, plain};
use crate::sim::traffic::{APP, App, Way};
use crate::sim::{Sim, Stream};

const SECOND: Duration = Duration::from_secs(1);
/// Just after what was seen has arrived.
const BEHIND: Duration = Duration::from_micros(1);

/// What is done to every packet that is seen.
type Trick = fn(&mut StdRng, &Seen<'_>, &Known) -> Vec<Attack>;

/// Addresses that the attacker has seen.
#[derive(Default)]
struct Known {
    server: Option<SocketAddr>,
    clients: Vec<SocketAddr>,
    bridges: Vec<SocketAddr>,
}

struct Villain {
    rng: StdRng,
    trick: Trick,
    known: Known,
    done: HashMap<(Way, u8), u32>,
    thoroughly: u32,
    /// Packets that the server sent to strangers' addresses.
    got: Rc<RefCell<Vec<Vec<u8>>>>,
}

/// So many packets of each kind and direction a trick is played with, and then with every thirtieth.
const THOROUGHLY: u32 = 40;

impl Villain {
    fn new(seed: u64, trick: Trick, thoroughly: u32) -> Self {
        let (known, done, got) = Default::default();
        Self { rng: StdRng::seed_from_u64(seed), trick, known, done, thoroughly, got }
    }
}

impl Attacker for Villain {
    fn sees(&mut self, seen: &Seen<'_>) -> Vec<Attack> {
        let (known, other) = match seen.way {
            Way::Up => {
                self.known.server = Some(seen.to);
                (&mut self.known.bridges, seen.from)
            }
            Way::Down => (&mut self.known.clients, seen.to),
        };
        if !known.contains(&other) {
            known.push(other);
        }
        let done = self.done.entry((seen.way, seen.octets[0])).or_default();
        *done += 1;
        if *done > self.thoroughly && !done.is_multiple_of(30) {
            return Vec::new();
        }
        (self.trick)(&mut self.rng, seen, &self.known)
    }

    fn gets(&mut self, _now: Duration, _to: SocketAddr, octets: &[u8]) {
        self.got.borrow_mut().push(octets.to_vec());
    }
}

fn stranger(rng: &mut StdRng) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, rng.random()], rng.random_range(1..=u16::MAX)))
}

/// An address that is not the packet's own: a stranger's or, worse, another path's.
fn elsewhere(rng: &mut StdRng, seen: &Seen<'_>, known: &Known) -> SocketAddr {
    let others: Vec<_> = known.bridges.iter().filter(|bridge| **bridge != seen.from).collect();
    if seen.way == Way::Down || others.is_empty() || rng.random() {
        stranger(rng)
    } else {
        *others[rng.random_range(0..others.len())]
    }
}

/// Altered packets, before and after the real one, from its own address and others.
fn alter(rng: &mut StdRng, seen: &Seen<'_>, known: &Known) -> Vec<Attack> {
    let mut altered = Vec::new();
    for _ in 0..6 {
        altered.push(seen.octets[..rng.random_range(0..seen.octets.len())].to_vec());
        let mut flipped = seen.octets.to_vec();
        flipped[rng.random_range(0..seen.octets.len())] ^= 1 << rng.random_range(0..8);
        altered.push(flipped);
    }
    altered.push([seen.octets, &[0]].concat());
    for kind in 1..6 {
        // As another kind of packet; not as what it is.
        if kind != seen.octets[0] {
            altered.push([&[kind], &seen.octets[1..]].concat());
        }
    }
    let mut ahead = seen.octets.to_vec();
    if ahead.len() > 13 {
        ahead[5..13].fill(0x7f);
        altered.push(ahead);
    }
    let to = seen.to;
    let mut attacks = Vec::new();
    for octets in altered {
        for after in [seen.delay / 2, seen.delay + BEHIND] {
            for from in [seen.from, elsewhere(rng, seen, known)] {
                attacks.push(Attack::Send { after, from, to, octets: octets.clone() });
            }
        }
    }
    attacks
}

/// The packet itself again, at once and later, from its own address and others.
fn replay(rng: &mut StdRng, seen: &Seen<'_>, known: &Known) -> Vec<Attack> {
    let later = [BEHIND, Duration::from_millis(300), 3 * SECOND, 20 * SECOND];
    let mut attacks = Vec::new();
    for after in later.map(|time| seen.delay + time) {
        for from in [seen.from, elsewhere(rng, seen, known)] {
            attacks.push(Attack::Send { after, from, to: seen.to, octets: seen.octets.to_vec() });
        }
    }
    attacks
}

/// The packet before it arrives by itself, but from elsewhere.
fn overtake(rng: &mut StdRng, seen: &Seen<'_>, known: &Known) -> Vec<Attack> {
    let from = elsewhere(rng, seen, known);
    vec![Attack::Send { after: seen.delay / 2, from, to: seen.to, octets: seen.octets.to_vec() }]
}

/// The packet back to its sender, as it is and as what a sender would expect.
fn reflect(rng: &mut StdRng, seen: &Seen<'_>, known: &Known) -> Vec<Attack> {
    let mut attacks = Vec::new();
    let receivers = match seen.way {
        Way::Up => known.clients.clone(),
        Way::Down => known.server.into_iter().collect(),
    };
    for to in receivers {
        for kind in [seen.octets[0], seen.octets[0] ^ 1] {
            let from = elsewhere(rng, seen, known);
            let octets = [&[kind], &seen.octets[1..]].concat();
            attacks.push(Attack::Send { after: Duration::from_millis(1), from, to, octets });
        }
    }
    attacks
}

/// Noise that looks like packets, for everybody.
fn noise(rng: &mut StdRng, seen: &Seen<'_>, known: &Known) -> Vec<Attack> {
    let mut attacks = Vec::new();
    for to in known.clients.iter().copied().chain(known.server) {
        let len = [1, 13, 16, 40, 96, 128][rng.random_range(0..6)];
        let mut octets = vec![0; len];
        rng.fill_bytes(&mut octets);
        octets[0] = rng.random_range(0..7);
        if len >= 5 && rng.random() {
            octets[1..5].copy_from_slice(&seen.octets[1..5]);
        }
        attacks.push(Attack::Send {
            after: Duration::from_millis(1),
            from: seen.from,
            to,
            octets: octets.clone(),
        });
        attacks.push(Attack::Send { after: Duration::from_millis(2), from: stranger(rng), to, octets });
    }
    attacks
}

/// Two clients connect and talk under a trick. Returns what strangers got.
fn under_attack(setup: &Setup, seed: u64, trick: Trick) -> (Sim, Vec<Vec<u8>>) {
    let mut sim = Setup { clients: 2, ..setup.clone() }.start(seed);
    let villain = Villain::new(seed, trick, THOROUGHLY);
    let got = Rc::clone(&villain.got);
    sim.attacker = Some(Box::new(villain));
    sim.warm_up();
    let carried =
        |sim: &Sim| -> Vec<u64> { sim.bridges.iter().flat_map(|b| [b.up.carried, b.down.carried]).collect() };
    let before = carried(&sim);
    let start = sim.now;
    let apps = [APP, App { client: 1, number: 0 }];
    let streams = apps.map(|app| [Way::Up, Way::Down].map(|way| sim.stream(Stream::new(app, way, 25))));
    sim.run_for(30 * SECOND);
    for streams in streams {
        sim.stop(streams);
    }
    sim.run_for(SECOND);
    let mut sent_in_all = [0; 2];
    for app in apps {
        for way in [Way::Up, Way::Down] {
            let (sent, lost) = sim.record(app, way).lost(start, Duration::MAX);
            assert!(sent >= 700 && lost == 0, "{app:?}, {way:?}: {lost} of {sent} lost under attack");
            assert_eq!(sim.flow_addresses(app).len(), 1);
            sent_in_all[way as usize] += sent as u64;
        }
    }
    // Not only did each datagram arrive: every path carried every one of them. Who is faster from a path's
    // beginning may have it go through another bridge, until its own has missed nothing for a while.
    let carried: Vec<_> = carried(&sim).iter().zip(before).map(|(now, before)| now - before).collect();
    for way in 0..2 {
        let carried = carried.iter().skip(way).step_by(2);
        assert_eq!(carried.clone().sum::<u64>(), 3 * sent_in_all[way], "copies, up or down: {carried:?}");
        assert!(carried.clone().all(|copies| 20 * copies >= 19 * sent_in_all[way]), "{carried:?}");
    }
    let got = got.borrow().clone();
    assert!(
        got.iter().all(|octets| [3, 5].contains(&octets[0])),
        "strangers get replies and responses at most"
    );
    (sim, got)
}

fn setups() -> [Setup; 3] {
    let bridges = Setup::new([20, 26, 34].map(|rtt| Faults::new(Duration::from_millis(rtt), 0.0)));
    [bridges.clone().with(encrypted()), bridges.clone().with(keyed(1)), bridges.with(plain())]
}

#[test]
fn altered_packets_harm_nobody() {
    // Without encryption nothing tells an altered datagram from a real one; that is what the variable's name says.
    let [encrypted, keyed, _] = setups();
    seeds(3, |seed| {
        under_attack(&encrypted, seed, alter);
        let (_, got) = under_attack(&keyed, seed, alter);
        assert!(got.is_empty(), "with a key, what is altered is not answered");
    });
}

#[test]
fn replayed_packets_harm_nobody() {
    seeds(3, |seed| {
        for setup in setups() {
            under_attack(&setup, seed, replay);
        }
    });
}

#[test]
fn a_packet_that_overtakes_itself_from_another_address_harms_nobody() {
    seeds(3, |seed| {
        for setup in setups() {
            under_attack(&setup, seed, overtake);
        }
    });
}

#[test]
fn reflected_packets_harm_nobody() {
    seeds(3, |seed| {
        for setup in setups() {
            under_attack(&setup, seed, reflect);
        }
    });
}

#[test]
fn noise_harms_nobody() {
    seeds(3, |seed| {
        for setup in &setups()[..2] {
            under_attack(setup, seed, noise);
        }
    });
}

/// A manipulator who owns one bridge: it swallows, holds back, alters and repeats what goes through it.
fn own_one_bridge(rng: &mut StdRng, seen: &Seen<'_>, _known: &Known) -> Vec<Attack> {
    if seen.bridge != 0 {
        return Vec::new();
    }
    let mut octets = seen.octets.to_vec();
    if rng.random_bool(0.3) {
        octets[rng.random_range(0..seen.octets.len())] ^= 1 << rng.random_range(0..8);
    }
    let after = SECOND.mul_f64(rng.random());
    let again = Attack::Forward { after: 2 * after, octets: seen.octets.to_vec() };
    vec![Attack::Swallow, Attack::Forward { after, octets }, again]
}

#[test]
fn whoever_owns_one_bridge_harms_no_other() {
    seeds(3, |seed| {
        for setup in &setups()[..2] {
            let mut sim = setup.start(seed);
            let villain = Villain::new(seed, own_one_bridge, u32::MAX);
            sim.attacker = Some(Box::new(villain));
            sim.warm_up();
            let start = sim.now;
            sim.streams(APP, 50);
            sim.run_for(60 * SECOND);
            for way in [Way::Up, Way::Down] {
                let (sent, lost) = sim.record(APP, way).lost(start, sim.now - SECOND);
                assert!(sent > 2000 && lost == 0, "{way:?}: {lost} of {sent} lost");
            }
        }
    });
}

/// As [`overtake`], and nobody hands on what is answered.
fn overtake_from_nowhere(rng: &mut StdRng, seen: &Seen<'_>, _known: &Known) -> Vec<Attack> {
    let from = stranger(rng);
    vec![Attack::Send { after: seen.delay / 2, from, to: seen.to, octets: seen.octets.to_vec() }]
}

#[test]
fn an_observer_who_is_always_faster_stops_nothing() {
    seeds(3, |seed| {
        for setup in setups() {
            let mut sim = setup.connect(seed);
            sim.attacker = Some(Box::new(Villain::new(seed, overtake_from_nowhere, u32::MAX)));
            let start = sim.now;
            sim.streams(APP, 50);
            sim.run_for(60 * SECOND);
            for way in [Way::Up, Way::Down] {
                let (sent, lost) = sim.record(APP, way).lost(start, sim.now - SECOND);
                assert!(sent > 2000 && lost == 0, "{way:?}: {lost} of {sent} lost");
            }
        }
    });
}

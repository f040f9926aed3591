//! Keys: who has others is not heard and not answered, and nobody keeps the same for long.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use mptunnel::tunnel::wire::Reject;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

use crate::sim::attacker::{Attack, Attacker, Seen};
use crate::sim::host::SERVER;
use crate::sim::network::Faults;
use crate::sim::seeds::{plausible, seeds};
use crate::sim::setup::{Setup, encrypted, keyed, plain};
use crate::sim::traffic::{APP, Way};
use mptunnel::tunnel::role::Security;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn bridges(loss: f64) -> Setup {
    Setup::new([20, 30, 40].map(|rtt| Faults::new(Duration::from_millis(rtt), loss)))
}

#[test]
fn ends_that_do_not_agree_deliver_nothing_and_the_server_does_not_answer() {
    let keyed_plain = Security { encrypt: false, ..keyed(1) };
    let cases = [
        ("another key", keyed(1), keyed(2), Reject::OtherKey),
        ("no key against a key", keyed(1), encrypted(), Reject::OtherMode),
        ("a key against none", encrypted(), keyed(1), Reject::OtherMode),
        ("off against on", encrypted(), plain(), Reject::OtherMode),
        ("on against off", plain(), encrypted(), Reject::OtherMode),
        ("off against on, the same key", keyed(1), keyed_plain.clone(), Reject::OtherMode),
        ("on against off, the same key", keyed_plain, keyed(1), Reject::OtherMode),
    ];
    for (what, server, client, reason) in cases {
        let mut sim = Setup { server, client, echo: true, ..bridges(0.0) }.start(1);
        sim.streams(APP, 20);
        sim.run_for(20 * SECOND);
        assert_eq!(sim.record(APP, Way::Up).count, 0, "{what}");
        assert_eq!(sim.account.packets_sent, 0, "{what}");
        let counters = sim.counters(SERVER);
        assert!(counters.rejected(reason) >= 20, "{what}: {counters:?}");
        assert_eq!(counters.handshakes, 0, "{what}");
    }
}

#[test]
fn a_server_with_a_key_is_silent_towards_strangers() {
    let mut sim = Setup { clients: 0, ..bridges(0.0) }.with(keyed(1)).start(1);
    let mut rng = StdRng::seed_from_u64(1);
    let to = sim.server_address();
    for number in 0..20_000u32 {
        let len =
            [0, 1, 4, 12, 13, 16, 95, 96, 97, 99, 100, 101, 127, 128, 129, 500][rng.random_range(0..16)];
        let mut octets = vec![0; len];
        rng.fill_bytes(&mut octets);
        if let Some(first) = octets.first_mut() {
            *first = rng.random_range(0..8);
        }
        if number.is_multiple_of(3) && len >= 4 {
            // An init that looks right.
            octets[..4].copy_from_slice(&[4, 1, 3, 0]);
        }
        let from = SocketAddr::from(([203, 0, 113, rng.random()], rng.random_range(1..=u16::MAX)));
        sim.inject(sim.now, from, to, octets);
        if number.is_multiple_of(100) {
            sim.run_for(SECOND / 10);
        }
    }
    sim.run_for(SECOND);
    assert_eq!(sim.account.packets_sent, 0);
    let counters = sim.counters(SERVER);
    assert!(counters.rejected(Reject::OtherKey) > 300 && counters.rejected(Reject::UnknownSession) > 300);
}

/// When each session id was first and last seen in a data packet.
type Times = BTreeMap<u32, (Duration, Duration)>;

/// Sessions, each way.
#[derive(Clone, Default)]
struct Ids(Rc<RefCell<[Times; 2]>>);

impl Attacker for Ids {
    fn sees(&mut self, seen: &Seen<'_>) -> Vec<Attack> {
        if let [1, a, b, c, d, ..] = *seen.octets {
            let mut ids = self.0.borrow_mut();
            let times = ids[seen.way as usize]
                .entry(u32::from_be_bytes([a, b, c, d]))
                .or_insert((seen.now, seen.now));
            times.1 = seen.now;
        }
        Vec::new()
    }
}

#[test]
fn keys_are_renewed_every_fifteen_minutes_without_losing_a_datagram() {
    for (seed, loss) in (0..).zip([0.0, 0.1]) {
        let mut sim = bridges(loss).connect(seed);
        let ids = Ids::default();
        sim.attacker = Some(Box::new(ids.clone()));
        sim.streams(APP, 5);
        let start = sim.now;
        sim.run_for(60 * MINUTE);
        for (way, ids) in [Way::Up, Way::Down].into_iter().zip(ids.0.borrow().iter()) {
            let ages: Vec<_> = ids.values().map(|(first, last)| (*last - *first).as_secs()).collect();
            println!("loss {loss}, {way:?}: sessions of {ages:?} s");
            assert!(ids.len() >= 5, "{way:?}: {} sessions in an hour", ids.len());
            assert!(ages.iter().all(|age| *age <= 15 * 60), "{way:?}: {ages:?}");
            let (sent, lost) = sim.record(APP, way).lost(start, sim.now - SECOND);
            assert!(plausible(lost, sent, loss.powi(3), 0.9999), "{way:?}: {lost} of {sent} lost");
        }
        assert!(
            sim.counters(SERVER).handshakes <= 8,
            "{} handshakes in an hour",
            sim.counters(SERVER).handshakes
        );
    }
}

#[test]
fn keys_are_renewed_where_paths_are_so_bad_that_handshakes_fail() {
    seeds(3, |seed| {
        let mut sim = Setup::new([Faults::new(Duration::from_millis(300), 0.5); 2]).connect(seed);
        let ids = Ids::default();
        sim.attacker = Some(Box::new(ids.clone()));
        sim.streams(APP, 5);
        let start = sim.now;
        sim.run_for(60 * MINUTE);
        for (way, ids) in [Way::Up, Way::Down].into_iter().zip(ids.0.borrow().iter()) {
            assert!(ids.values().all(|(first, last)| *last - *first <= 15 * MINUTE + SECOND));
            let (sent, lost) = sim.record(APP, way).lost(start, sim.now - SECOND);
            println!("two paths losing half, {way:?}: {lost} of {sent} lost, {} sessions", ids.len());
            assert!(plausible(lost, sent, 0.25, 0.9999), "{way:?}: {lost} of {sent} lost");
        }
    });
}

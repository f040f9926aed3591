//! Bridges that are put in and taken out while the tunnel runs.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use log::Level;
use mptunnel::tunnel::Tunnel;
use mptunnel::tunnel::link::{Endpoint, Host};
use mptunnel::tunnel::role::{ClientRole, Config, Forward, Socks5};
use mptunnel::tunnel::socks5::users::Users;
use mptunnel::tunnel::socks5::wire::Login;
use rand::{SeedableRng, rngs::StdRng};

use crate::sim::Sim;
use crate::sim::network::Faults;
use crate::sim::seeds::{ms, seeds};
use crate::sim::setup::{Setup, encrypted};
use crate::sim::traffic::{APP, Way};

const SECOND: Duration = Duration::from_secs(1);
const RTT: Duration = Duration::from_millis(30);

/// A world of five bridges whose client has the first three.
fn three_of_five(seed: u64) -> (Setup, Sim) {
    let setup = Setup::new([Faults::new(RTT, 0.0); 5]);
    let mut sim = setup.connect(seed);
    sim.reconfigure_to(0, &setup, &[0, 1, 2]);
    // Until the server has forgotten the other two.
    sim.run_for(11 * SECOND);
    (setup, sim)
}

fn assert_lossless(sim: &Sim, start: Duration, what: &str) {
    for way in [Way::Up, Way::Down] {
        let (sent, lost) = sim.record(APP, way).lost(start, sim.now - RTT);
        assert!(sent > 0 && lost == 0, "{what}: {lost} of {sent} lost, {way:?}");
    }
}

fn carried(sim: &Sim, bridge: usize) -> [u64; 2] {
    [sim.bridges[bridge].up.carried, sim.bridges[bridge].down.carried]
}

/// Lets nothing through but these bridges.
fn leave_alone(sim: &mut Sim, bridges: &[usize]) {
    for number in 0..sim.bridges.len() {
        sim.bridges[number].set_dead(!bridges.contains(&number));
    }
}

#[test]
fn two_of_three_bridges_are_swapped_under_traffic_and_nothing_is_lost() {
    let mut slowest = Duration::ZERO;
    seeds(10, |seed| {
        let (setup, mut sim) = three_of_five(seed);
        let start = sim.now;
        sim.streams(APP, 100);
        sim.run_for(SECOND);
        let before = [3, 4].map(|bridge| carried(&sim, bridge));
        sim.reconfigure_to(0, &setup, &[0, 3, 4]);
        let took = sim.run_until(2 * SECOND, |sim| {
            let after = [3, 4].map(|bridge| carried(sim, bridge));
            (0..2).all(|new| (0..2).all(|way| after[new][way] > before[new][way]))
        });
        slowest = slowest.max(took.expect("the new bridges carry both ways within 2 s"));
        assert_eq!(sim.sockets_of(0), 4, "a listener and one for each bridge");
        assert_lossless(&sim, start, "during the swap");
        // The new ones use the numbers of the old paths, and carry by themselves all the same.
        for bridge in [3, 4, 0] {
            leave_alone(&mut sim, &[bridge]);
            let alone = sim.now;
            sim.run_for(2 * SECOND);
            assert_lossless(&sim, alone, &format!("bridge {bridge} alone"));
            leave_alone(&mut sim, &[0, 1, 2, 3, 4]);
            sim.run_for(2 * SECOND);
        }
        let taken_out = [1, 2].map(|bridge| carried(&sim, bridge));
        sim.run_for(2 * SECOND);
        assert_eq!([1, 2].map(|bridge| carried(&sim, bridge)), taken_out, "what was taken out is not used");
    });
    println!("new bridges carry both ways after {}", ms(slowest));
}

#[test]
fn a_bridge_that_stays_is_not_disturbed() {
    let (setup, mut sim) = three_of_five(1);
    sim.streams(APP, 100);
    sim.run_for(SECOND);
    let start = sim.now;
    // Only bridge 0 lives. Whatever a reload did to it would be seen.
    leave_alone(&mut sim, &[0]);
    for bridges in [&[0, 3][..], &[4, 0], &[0], &[3, 2, 1, 0, 4]] {
        sim.reconfigure_to(0, &setup, bridges);
        sim.run_for(SECOND / 2);
    }
    assert_lossless(&sim, start, "the one that stays alone");
}

#[test]
fn all_bridges_may_be_swapped_at_once() {
    seeds(5, |seed| {
        let (setup, mut sim) = three_of_five(seed);
        sim.streams(APP, 100);
        sim.run_for(SECOND);
        sim.reconfigure_to(0, &setup, &[3, 4]);
        let start = sim.now;
        leave_alone(&mut sim, &[3, 4]);
        sim.run_for(2 * SECOND);
        // What the applications send waits for the new paths. What the target sends has none to take.
        let (sent, lost) = sim.record(APP, Way::Up).lost(start, sim.now - RTT);
        assert!(sent > 100 && lost == 0, "{lost} of {sent} lost");
        let (sent, lost) = sim.record(APP, Way::Down).lost(start + SECOND / 2, sim.now - RTT);
        assert!(sent > 100 && lost == 0, "{lost} of {sent} lost");
    });
}

#[test]
fn whether_a_login_is_asked_for_is_told_and_louder_where_it_is_not_any_more() {
    let listen = SocketAddr::from(([127, 0, 0, 1], 1080));
    let mut ann = Users::default();
    ann.add(Login { name: b"ann", password: b"secret" }).expect("the first");
    let config = |socks5| {
        let role = ClientRole { socks5, ..ClientRole::new(listen, vec![listen.into()]) };
        Config { role: role.into(), security: encrypted() }
    };
    let told = |running: Option<Socks5>, read: Option<Socks5>| {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        let tunnel = Tunnel::new(Instant::now(), config(running), StdRng::seed_from_u64(1));
        let changes = tunnel.changes(&config(read)).into_iter();
        changes.map(|change| (change.level, change.text)).collect::<Vec<_>>()
    };
    let [open, closed] = [None, Some(ann)].map(|users| Some(Socks5 { listen, users }));
    assert_eq!(told(closed.clone(), closed.clone()), []);
    let asked = "socks5-users: a login is asked for now, of 1 known";
    assert_eq!(told(open.clone(), closed.clone()), [(Level::Info, asked.to_owned())]);
    let gone = "socks5-users is gone: no login is asked for any more, and whoever reaches socks5 can use it";
    assert_eq!(told(closed, open.clone()), [(Level::Warn, gone.to_owned())]);
    let off = "socks5 is off now, which takes a restart: until then it is 127.0.0.1:1080";
    assert_eq!(told(open, None), [(Level::Warn, off.to_owned())]);
}

#[test]
fn a_new_forward_that_others_can_reach_is_warned_of() {
    let listen = SocketAddr::from(([127, 0, 0, 1], 3000));
    let config = |forwards: &[&str]| {
        let forward = |listen: &&str| Forward {
            listen: listen.parse().expect(listen),
            target: "192.0.2.8:53".parse::<SocketAddr>().expect("an address").into(),
        };
        let forwards = forwards.iter().map(forward).collect();
        let role = ClientRole { forwards, ..ClientRole::new(listen, vec![listen.into()]) };
        Config { role: role.into(), security: encrypted() }
    };
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    let tunnel = Tunnel::new(Instant::now(), config(&["0.0.0.0:53"]), StdRng::seed_from_u64(1));
    for (read, warned) in [
        (&["0.0.0.0:53"][..], &[][..]),
        (&["127.0.0.1:54", "0.0.0.0:53"], &[]),
        (
            &["0.0.0.0:53", "192.0.2.1:54"],
            &["listening on 192.0.2.1:54: whoever reaches this address can use the tunnel"],
        ),
    ] {
        let changes = tunnel.changes(&config(read));
        let warnings = changes.iter().filter(|change| change.level == Level::Warn);
        assert_eq!(warnings.map(|change| &*change.text).collect::<Vec<_>>(), warned, "{read:?}");
    }
}

#[test]
fn a_late_answer_for_a_bridge_that_was_taken_out_is_not_taken_for_the_one_in_its_place() {
    let mut setup = Setup { name_delay: 20 * SECOND, ..Setup::new([Faults::new(RTT, 0.0); 3]) };
    let name = |name: &str| Endpoint { host: Host::Name(name.into()), port: 4000 };
    let at = |bridge: usize| vec![(Duration::ZERO, Ok(vec![setup.bridge_address(bridge)]))];
    setup.names = HashMap::from([("old".to_owned(), at(1)), ("new".to_owned(), at(2))]);
    let mut sim = setup.connect(1);
    sim.reconfigure(0, [setup.bridge_address(0).into(), name("old")]);
    sim.run_for(15 * SECOND);
    sim.reconfigure(0, [setup.bridge_address(0).into(), name("new")]);
    let before = carried(&sim, 1);
    sim.streams(APP, 50);
    sim.run_for(40 * SECOND);
    assert_eq!(carried(&sim, 1), before, "the old bridge's address");
    assert!(carried(&sim, 2)[1] > 500, "the new bridge's address");
}

//! What a snapshot says, against what the simulated network did.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use mptunnel::tunnel::chronicle::Kind;
use mptunnel::tunnel::snapshot::{
    ForwardView, PathView, Program, SCHEMA, Snapshot, Socks5View, State, Status,
};
use serde_json::Value;

use crate::sim::setup::Setup;
use crate::sim::traffic::{APP, Way};

const SECOND: Duration = Duration::from_secs(1);
/// Datagrams a second, each way, and for how long.
const PER_SECOND: u32 = 500;
const SECONDS: u32 = 100;

fn statuses(snapshot: &Snapshot) -> Vec<Status> {
    snapshot.peers[0].paths.iter().map(|path| path.status).collect()
}

/// Asserts that a part of `count` is what it should be, within four standard errors and half a unit of what
/// the other end can say.
fn assert_part(what: &str, part: Option<f64>, expected: f64, count: u32) {
    let error = 4.0 * (expected * (1.0 - expected) / f64::from(count)).sqrt() + 1e-5;
    let part = part.unwrap_or(f64::NAN);
    assert!((part - expected).abs() <= error, "{what}: {part} is not {expected} within {error}");
}

#[test]
fn both_ends_say_what_each_path_loses_each_way_and_what_it_saves() {
    let (up, down) = ([0.1, 0.2, 0.3], [0.3, 0.02, 0.0]);
    let rtts = [20, 40, 60];
    let mut sim = Setup::paths(&rtts.map(|rtt| (rtt, 0.0))).connect(1);
    for (path, bridge) in sim.bridges.iter_mut().enumerate() {
        (bridge.up.faults.loss, bridge.down.faults.loss) = (up[path], down[path]);
    }
    sim.streams(APP, PER_SECOND);
    sim.run_for(SECOND * SECONDS);
    let [client, server] = sim.snapshots();
    assert_eq!((client.program, server.program), (Program::Mpclient, Program::Mpserver));

    let (recent, all) = (PER_SECOND * 9, PER_SECOND * (SECONDS - 5));
    for (end, received, sent) in [(&client, down, up), (&server, up, down)] {
        let peer = &end.peers[0];
        assert_eq!((end.peers.len(), peer.paths.len(), peer.flows), (1, 3, 1));
        for (number, path) in peer.paths.iter().enumerate() {
            let name = format!("{} path {number}", end.program.name());
            assert_eq!((path.number, path.state, path.chosen), (number, State::Use, true), "{name}");
            assert_eq!(path.status, Status::Lossy, "{name}");
            assert_part(&name, path.loss_received.last_10s, received[number], recent);
            assert_part(&name, path.loss_received.last_5min, received[number], all);
            assert_part(&name, path.loss_sent.last_10s, sent[number], recent);
            assert_part(&name, path.loss_sent.last_5min, sent[number], all);
            let [a, b] = [(number + 1) % 3, (number + 2) % 3].map(|other| received[other]);
            let saved = path.saved as f64 / peer.received.datagrams as f64;
            assert_part(&format!("{name}, saved"), Some(saved), (1.0 - received[number]) * a * b, all);
            let came = path.copies as f64 / f64::from(PER_SECOND * SECONDS);
            // The newest are under way.
            assert!((came - (1.0 - received[number])).abs() < 0.01, "{name}, copies: {came}");
        }
        // The fastest comes first wherever it comes at all, the next where that one does not.
        let residual: f64 = received.iter().product();
        let lost = peer.received.lost as f64 / peer.received.datagrams as f64;
        assert_part("residual", Some(lost), residual, all);
        let delivered = 1.0 - residual;
        let mut missed = 1.0;
        for (path, loss) in peer.paths.iter().zip(received) {
            assert_part("first", path.first_share, missed * (1.0 - loss) / delivered, all);
            missed *= loss;
        }
        assert_eq!(peer.pairs, [], "losses are independent");
        assert_part("residual, 10 s", peer.received.loss.last_10s, residual, recent);
        assert_part("residual, 5 min", peer.received.loss.last_5min, residual, all);
        assert_part("residual there", peer.sent.loss_last_5min, sent.iter().product(), all);
        let recovered = peer.received.recovered as f64 / peer.received.datagrams as f64;
        let none_lost: f64 = received.iter().map(|loss| 1.0 - loss).product();
        assert_part("recovered", Some(recovered), 1.0 - residual - none_lost, all);
        for (path, loss) in peer.paths.iter().zip(received) {
            assert_part("alone", Some(path.lost as f64 / path.tried as f64), loss, all);
        }
    }
    for (path, rtt) in client.peers[0].paths.iter().zip(rtts) {
        let measured = path.rtt.expect("mpclient measures it");
        assert!((measured.min_ms - rtt as f64).abs() < 2.0, "{measured:?}, not {rtt} ms");
        assert!((measured.smoothed_ms - rtt as f64).abs() < 5.0, "{measured:?}, not {rtt} ms");
    }
    assert!(server.peers[0].paths.iter().all(|path| path.rtt.is_none()), "mpserver measures none");
    let [sent, got] = [client.counters.datagrams_sent, server.counters.datagrams_received];
    let (ledger_sent, ledger_lost) = sim.record(APP, Way::Up).lost(Duration::ZERO, sim.now);
    assert_eq!(sent, ledger_sent as u64);
    assert_eq!(got, (ledger_sent - ledger_lost) as u64);

    // The other way round, the last 10 s are soon another thing than the last 5 minutes.
    for (path, bridge) in sim.bridges.iter_mut().enumerate() {
        (bridge.up.faults.loss, bridge.down.faults.loss) = (down[path], up[path]);
    }
    sim.run_for(SECOND * 16);
    let [client, server] = sim.snapshots();
    for (end, received, sent) in [(&client, up, down), (&server, down, up)] {
        for (number, path) in end.peers[0].paths.iter().enumerate() {
            let name = format!("{} path {number}, turned", end.program.name());
            assert_part(&name, path.loss_received.last_10s, received[number], recent);
            assert_part(&name, path.loss_sent.last_10s, sent[number], recent);
        }
    }
}

#[test]
fn both_ends_say_how_fast_and_how_evenly_each_path_goes_each_way() {
    const LOSS: f64 = 0.2;
    let jitters = [0, 10, 30];
    let mut sim = Setup::paths(&[(20, LOSS), (40, LOSS), (60, LOSS)]).connect(6);
    for (bridge, jitter) in sim.bridges.iter_mut().zip(jitters) {
        for line in [&mut bridge.up, &mut bridge.down] {
            (line.faults.jitter, line.faults.reorder) = (Duration::from_millis(jitter), true);
        }
    }
    sim.streams(APP, PER_SECOND);
    let about = |figure: Option<f64>, expected: f64, part: f64, what: &str| {
        let figure = figure.unwrap_or(f64::NAN);
        assert!((figure - expected).abs() <= expected * part + 0.05, "{what}: {figure}, not {expected}");
    };
    // A smoothed figure is what the last moments were: the mean of many has a smaller error.
    let mut means = [[[0.0; 2]; 3]; 2];
    const TIMES: u32 = 30;
    for _ in 0..TIMES {
        sim.run_for(SECOND * 4);
        for (means, snapshot) in means.iter_mut().zip(sim.snapshots()) {
            for (means, path) in means.iter_mut().zip(&snapshot.peers[0].paths) {
                for (mean, jitter) in means.iter_mut().zip([path.jitter_received_ms, path.jitter_sent_ms]) {
                    *mean += jitter.unwrap_or(f64::NAN) / f64::from(TIMES);
                }
            }
        }
    }
    for (means, snapshot) in means.iter().zip(sim.snapshots()) {
        for ((path, means), jitter) in snapshot.peers[0].paths.iter().zip(means).zip(jitters) {
            let what = format!("{} path {}", snapshot.program.name(), path.number);
            // Two that are equally likely anywhere within a span are a third of it apart.
            means.iter().for_each(|mean| about(Some(*mean), jitter as f64 / 3.0, 0.2, &what));
            let rate = f64::from(PER_SECOND);
            about(path.rate_sent.packets_per_s, rate, 0.01, &what);
            // Four standard errors of 5,000 packets.
            about(path.rate_received.packets_per_s, rate * (1.0 - LOSS), 0.03, &what);
            // 40 to 120 octets, and 32 of ours.
            about(path.rate_sent.octets_per_s, rate * 112.0, 0.02, &what);
            about(path.rate_received.octets_per_s, rate * (1.0 - LOSS) * 112.0, 0.05, &what);
        }
    }
    for (number, bridge) in sim.bridges.iter().enumerate() {
        let [client, server] = sim.snapshots();
        let sent = [&client, &server].map(|end| end.peers[0].paths[number].copies_sent);
        assert_eq!(sent, [bridge.up.offered, bridge.down.offered], "copies that left");
    }
}

#[test]
fn what_happens_to_a_path_is_told_with_its_reason_and_its_time() {
    let mut sim = Setup::paths(&[(20, 0.0), (40, 0.0)]).connect(7);
    sim.streams(APP, 100);
    sim.run_for(SECOND * 20);
    let begin = sim.now;
    sim.bridges[1].set_dead(true);
    sim.run_for(SECOND * 20);
    sim.bridges[1].set_dead(false);
    sim.run_for(SECOND * 10);
    let [client, server] = sim.snapshots();
    let bridge = sim.bridges[1].address;
    let told = |snapshot: &Snapshot, kind: Kind, begins: &str, after: Range<u64>| {
        let event = snapshot.events.iter().find(|event| {
            let since = Duration::from_secs_f64(event.at_s).saturating_sub(begin);
            event.kind == kind && event.text.starts_with(begins) && after.contains(&since.as_secs())
        });
        let event = event.unwrap_or_else(|| panic!("no {begins:?} {after:?} in {:#?}", snapshot.events));
        assert!((event.at_s + event.ago_s - snapshot.uptime_s).abs() < 1e-6, "{event:?}");
    };
    told(&client, Kind::PathSilent, &format!("bridge {bridge} is silent: 9 probes were not answered"), 3..5);
    told(&client, Kind::PathUp, &format!("bridge {bridge} is up, round trip 40."), 20..22);
    told(&server, Kind::PathSilent, "client 0: path 1 is silent: no probe has come for 4 s", 3..6);
    told(&server, Kind::PathUp, "client 0: path 1 is up from ", 20..22);
    for snapshot in [&client, &server] {
        let numbers: Vec<_> = snapshot.events.iter().map(|event| event.number).collect();
        assert_eq!(numbers, (0..snapshot.events.len() as u64).collect::<Vec<_>>());
        assert_eq!(snapshot.events.iter().filter(|event| event.kind == Kind::PathSilent).count(), 1);
        assert_eq!(snapshot.events.iter().filter(|event| event.kind == Kind::PathUp).count(), 3);
        assert_eq!(snapshot.events.iter().filter(|event| event.kind == Kind::Connected).count(), 1);
    }
}

#[test]
fn a_restart_of_the_server_is_told_with_the_time_in_which_nothing_came_from_it() {
    for (away_ms, told) in [(1, ["0.4 s", "0.5 s", "0.6 s"]), (2_000, ["2.0 s", "2.1 s", "2.2 s"])] {
        let mut sim = Setup::paths(&[(20, 0.0), (40, 0.0)]).connect(8);
        sim.streams(APP, 100);
        sim.run_for(SECOND * 20);
        sim.kill_server();
        sim.run_for(Duration::from_millis(away_ms));
        sim.start_server();
        sim.run_for(SECOND * 2);
        let snapshot = sim.client(0).snapshot(sim.instant());
        let told = told.map(|time| {
            format!("connected to mpserver anew: nothing had come from it for {time}; it was restarted, or out of reach")
        });
        let last =
            snapshot.events.iter().rfind(|event| event.kind == Kind::Connected).expect("it is connected");
        assert!(told.contains(&last.text), "{last:?}");
    }
}

#[test]
fn two_paths_behind_one_cable_are_told_as_a_pair() {
    let mut sim = Setup::paths(&[(20, 0.0), (30, 0.0), (40, 0.05)]).connect(2);
    sim.streams(APP, 200);
    for _ in 0..60 {
        for dead in [true, false] {
            sim.bridges[0].set_dead(dead);
            sim.bridges[1].set_dead(dead);
            sim.run_for(if dead { SECOND / 10 } else { SECOND });
        }
    }
    for snapshot in sim.snapshots() {
        let pairs = &snapshot.peers[0].pairs;
        assert_eq!(pairs.iter().map(|pair| pair.paths).collect::<Vec<_>>(), [[0, 1]], "{pairs:?}");
        assert!(pairs[0].correlation > 0.9, "{pairs:?}");
    }
}

#[test]
fn a_path_is_probing_then_up_then_silent_and_a_name_is_resolving() {
    let mut setup = Setup::paths(&[(20, 0.0), (30, 0.0), (40, 0.0), (50, 0.0)]);
    setup.bridge_names.insert(2, "nowhere.example.org");
    setup.backups = vec![3];
    let mut sim = setup.start(3);
    sim.run_for(Duration::from_millis(1));
    let [client, server] = sim.snapshots();
    let begun = [Status::Probing, Status::Probing, Status::Resolving, Status::Probing];
    assert_eq!(statuses(&client), begun);
    assert_eq!(client.peers[0].heard_ago_s, None);
    assert_eq!(server.peers, []);

    sim.warm_up();
    sim.streams(APP, 100);
    sim.run_for(SECOND * 60);
    let [client, server] = sim.snapshots();
    let up = [Status::Up, Status::Up, Status::Resolving, Status::Up];
    assert_eq!(statuses(&client), up);
    let numbers = |snapshot: &Snapshot, is: fn(&PathView) -> bool| -> Vec<usize> {
        snapshot.peers[0].paths.iter().filter(|path| is(path)).map(|path| path.number).collect()
    };
    for snapshot in [&client, &server] {
        assert_eq!(numbers(snapshot, |path| path.chosen), [0, 1]);
        assert_eq!(numbers(snapshot, |path| path.state == State::Backup), [3]);
        assert_eq!(numbers(snapshot, |path| path.status == Status::Up), [0, 1, 3]);
        assert!((60.0..70.0).contains(&snapshot.uptime_s), "{}", snapshot.uptime_s);
    }

    sim.bridges[1].set_dead(true);
    sim.run_for(SECOND * 6);
    for snapshot in sim.snapshots() {
        let path = &snapshot.peers[0].paths[1];
        assert_eq!(path.status, Status::Silent, "{}", snapshot.program.name());
        if snapshot.program == Program::Mpserver {
            // mpserver knows of no path without an address.
            let overdue: Vec<_> = snapshot.peers[0].paths.iter().map(|path| path.overdue).collect();
            assert!(
                (24..=30).contains(&overdue[1].expect("it waits for them")),
                "6 s at 5 a second: {overdue:?}"
            );
            assert_eq!(overdue[2..], [None], "a backup's are not counted");
        }
        assert_eq!(path.loss_sent.last_10s, None, "nobody can tell");
    }
    let [client, server] = sim.snapshots();
    let unanswered: Vec<_> = client.peers[0].paths.iter().map(|path| path.unanswered).collect();
    assert!(unanswered[1] >= Some(5) && unanswered[0] < Some(5), "{unanswered:?}");
    assert!(server.peers[0].paths.iter().all(|path| path.unanswered.is_none()), "mpserver asks none");
}

/// Every name in the JSON, with the names above it; the members of lists are all called `[]`.
fn names(value: &Value, above: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let name = format!("{above}{name}");
                found.insert(name.clone());
                names(member, &format!("{name}."), found);
            }
        }
        Value::Array(members) => members.iter().for_each(|member| {
            names(member, &format!("{}[].", above.trim_end_matches('.')), found);
        }),
        _ => {}
    }
}

#[test]
fn the_json_has_the_names_that_docs_status_md_lists_for_this_schema() {
    let mut sim = Setup::paths(&[(20, 0.0), (30, 0.0), (40, 0.0)]).connect(4);
    sim.streams(APP, 100);
    for _ in 0..10 {
        for dead in [true, false] {
            sim.bridges[0].set_dead(dead);
            sim.bridges[1].set_dead(dead);
            sim.run_for(if dead { SECOND / 10 } else { SECOND });
        }
    }
    let text = include_str!("../../docs/status.md");
    assert!(text.contains(&format!("Schema {SCHEMA}.")), "docs/status.md describes schema {SCHEMA}");
    // The other tables are of something else.
    let (_, text) = text.split_once("\n## The snapshot\n").expect("its section");
    let (text, _) = text.split_once("\n## ").unwrap_or((text, ""));
    let documented: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name.to_owned()))
        .collect();
    for mut snapshot in sim.snapshots() {
        if snapshot.program == Program::Mpclient {
            snapshot.socks5 = Some(Socks5View {
                listen: "127.0.0.1:1080".to_owned(),
                login: true,
                associations: 1,
                associated: 2,
                refused: Default::default(),
            });
            let [listen, target] = ["127.0.0.1:5353", "10.0.0.53:53"].map(str::to_owned);
            snapshot.forwards.push(ForwardView { listen, target });
        }
        let json = serde_json::to_value(&snapshot).expect("a snapshot is JSON");
        let mut found = BTreeSet::new();
        names(&json, "", &mut found);
        // Only mpclient measures round trips, has forwards and serves SOCKS5.
        let clients = |name: &&String| {
            name.contains(".rtt.") || name.starts_with("forwards[].") || name.starts_with("socks5.")
        };
        let mut expected = documented.clone();
        expected.retain(|name| snapshot.program == Program::Mpclient || !clients(&name));
        let missing: Vec<_> = expected.difference(&found).collect();
        let undocumented: Vec<_> = found.difference(&expected).collect();
        assert!(
            missing.is_empty() && undocumented.is_empty(),
            "a name that is new goes into docs/status.md; where one goes or changes its meaning, SCHEMA grows \
             too. Missing: {missing:?}, undocumented: {undocumented:?}"
        );
        let read: Snapshot = serde_json::from_value(json).expect("it is read as it was written");
        assert_eq!(read.peers[0].paths.len(), snapshot.peers[0].paths.len());
    }
}

//! The status table against the snapshot that it shows.

use std::time::Duration;

use jiff::Zoned;
use mptunnel::status::{Look, Summary, WIDTH, table};
use mptunnel::tunnel::snapshot::{
    ForwardView, LossView, PairView, PathView, Program, RateView, RttView, Snapshot, Socks5View, State,
    Status, WholeView,
};
use mptunnel::tunnel::wire::Reject;

use crate::sim::setup::Setup;
use crate::sim::traffic::APP;

const LONG_ADDRESS: &str = "2001:db8:1111:2222:3333:4444:5555:6666";
const SECOND: Duration = Duration::from_secs(1);

pub(super) fn look() -> Look {
    let now: Zoned = "2026-11-25T12:34:56+01[+01]".parse().expect("a time");
    Look { colour: false, now, peers: usize::MAX, in_full: false }
}

/// Both ends' snapshots of a tunnel that has lost, recovered and told things.
pub(super) fn eventful() -> [Snapshot; 2] {
    let mut setup = Setup::paths(&[(20, 0.1), (40, 0.2), (60, 0.0), (80, 0.0)]);
    setup.bridge_names.insert(3, "a-bridge-with-a-name-that-is-far-too-long.nowhere.example.org");
    setup.backups = vec![2];
    let mut sim = setup.connect(5);
    sim.streams(APP, 500);
    sim.run_for(SECOND * 20);
    sim.bridges[1].set_dead(true);
    sim.run_for(SECOND * 6);
    sim.snapshots()
}

#[test]
fn the_table_shows_the_figures_of_the_snapshot_with_their_units() {
    for snapshot in eventful() {
        let shown = table(&snapshot, &look());
        let line = |begin: &str| {
            let line = shown.lines().find(|line| line.starts_with(begin));
            line.unwrap_or_else(|| panic!("no line begins with {begin:?} in\n{shown}"))
        };
        let peer = &snapshot.peers[0];
        assert!(line(snapshot.program.name()).contains("up 28 s since 2026-11-25 12:34:27 +01, encrypted"));
        assert!(shown.contains("1 application, copies: all"), "{shown}");
        let recovered = peer.received.recovered.to_string();
        assert!(line("of ").replace(',', "").contains(&format!(" {recovered} recovered: ")), "{shown}");
        assert!(line("lost on all paths: ").ends_with(" % to there in 5 min"), "{shown}");

        let rows: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        for path in &peer.paths {
            let name = format!("path {} in\n{shown}", path.number);
            let number = path.number.to_string();
            let mut of_path = rows.iter().filter(|row| row.first() == Some(&number.as_str()));
            let (state, worth) = (of_path.next().expect(&name), of_path.next().expect(&name));
            let status = format!("{:?}", path.status).to_lowercase();
            assert_eq!(state[3], status, "{name}");
            if let Some(rtt) = path.rtt {
                let shown: f64 = state[4].parse().expect(&name);
                assert!((shown - rtt.smoothed_ms).abs() <= rtt.smoothed_ms / 100.0, "{name}");
                assert_eq!(state[5], "ms", "{name}");
            }
            if let Some(loss) = path.loss_received.last_5min.filter(|loss| *loss > 0.01) {
                assert!(worth.contains(&format!("{:.1}", loss * 100.0).as_str()), "{name}");
            }
            let alone = path.lost as f64 / path.tried as f64;
            if path.tried > 0 && alone > 0.01 {
                assert!(worth.contains(&format!("{:.1}", alone * 100.0).as_str()), "{name}");
            }
            if path.rate_sent.octets_per_s.is_some_and(|rate| rate > 1e4) {
                assert!(worth.contains(&"kB/s"), "{name}");
            }
            assert_eq!(worth.last().expect(&name).replace(',', ""), path.saved.to_string(), "{name}");
        }
        let whole = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(whole.contains("in one piece, datagrams of up to so many octets: "), "{shown}");
        assert!(peer.paths[0].largest_whole.sent_octets.is_some(), "it was found out");
        for path in &peer.paths {
            let (from, to) = (path.largest_whole.received_octets, path.largest_whole.sent_octets);
            let Some(octets) = to else { continue };
            let words = format!("{octets} over path");
            assert!(from != to || whole.contains(&words), "no {words:?} in\n{shown}");
        }
        let silent = snapshot.events.last().expect("there was one");
        let second = 56.0 - silent.ago_s.ceil();
        assert!(shown.ends_with(&format!("12:34:{second:02} {}\n", silent.text)), "{shown}");
    }
}

#[test]
fn the_last_ten_events_have_their_times_and_the_day_where_it_is_another() {
    let [mut snapshot, _] = eventful();
    let event = snapshot.events[0].clone();
    snapshot.events = (0..25)
        .map(|number| {
            let mut event = event.clone();
            (event.number, event.ago_s) = (number, 3_600.0 * (24 - number) as f64);
            event.text = format!("event {number}");
            event
        })
        .collect();
    let mut look = look();
    look.now = "2026-11-25T07:00:00+00[+00]".parse().expect("a time");
    let shown = table(&snapshot, &look);
    let events: Vec<_> = shown.lines().filter(|line| line.contains(" event ")).collect();
    assert_eq!(events.len(), 10, "{shown}");
    assert_eq!(events[0], "2026-11-24 22:00:00 event 15");
    assert_eq!(events[1..3], ["2026-11-24 23:00:00 event 16", "00:00:00 event 17"]);
    assert_eq!(events[9], "07:00:00 event 24");
}

/// A snapshot with sixteen paths, every figure of which is as wide as it gets.
fn widest(mut snapshot: Snapshot, interface: Option<&str>) -> Snapshot {
    snapshot.uptime_s = 1e9;
    snapshot.listen = format!("[{LONG_ADDRESS}]:65535");
    snapshot.target = snapshot.target.map(|_| "t".repeat(253));
    snapshot.counters.datagrams_sent = u64::MAX >> 8;
    snapshot.counters.rejected.values_mut().for_each(|number| *number = u64::MAX >> 8);
    let event = snapshot.events.last_mut().expect("there was one");
    event.text = format!("bridge {} is silent: {}", "b".repeat(253), "a reason ".repeat(30));
    let peer = &mut snapshot.peers[0];
    peer.copies = "target-loss 0.0001 %".to_owned();
    (peer.received.datagrams, peer.received.lost, peer.received.recovered) =
        (u64::MAX >> 20, u64::MAX >> 24, u64::MAX >> 24);
    peer.pairs = vec![PairView { paths: [14, 15], correlation: -0.999 }];
    (peer.number, peer.name) = (4_095, Some("a-name-of-thirty-two-characters.".to_owned()));
    (peer.flows, peer.max_flows) = (65_000, Some(65_000));
    let small = Some(0.000_01);
    let loss = LossView { last_10s: small, last_5min: small };
    (peer.received.loss, peer.sent.loss_last_5min) = (loss, small);
    let rate = RateView { packets_per_s: Some(1e7), octets_per_s: Some(1.11e9) };
    let path = PathView {
        bridge: "a-name-that-is-far-too-long.for-any-table.nowhere.example.org:65535".to_owned(),
        interface: interface.map(str::to_owned),
        status: Status::Resolving,
        rtt: Some(RttView { smoothed_ms: 9_999.0, variation_ms: 9_999.0, min_ms: 9_999.0 }),
        loss_received: loss,
        loss_sent: loss,
        jitter_received_ms: Some(9_999.0),
        jitter_sent_ms: Some(655.3),
        rate_received: rate,
        rate_sent: rate,
        copies: 999_999_999_999,
        first_share: small,
        overtaken: 1,
        lateness_ms: 2_999.0,
        saved: 999_999_999,
        tried: 1_000_000_000_000,
        lost: 1,
        ..peer.paths[0].clone()
    };
    peer.paths = (0..16).map(|number| PathView { number: 16 + number, ..path.clone() }).collect();
    snapshot
}

#[test]
fn the_table_fits_its_width_with_sixteen_paths_and_the_largest_figures_and_names() {
    for snapshot in eventful() {
        for interface in [None, Some("fifteen-letters"), Some("192.168.100.100"), Some(LONG_ADDRESS)] {
            let shown = table(&widest(snapshot.clone(), interface), &look());
            for line in shown.lines() {
                assert!(line.chars().count() <= WIDTH, "{} columns: {line}\n{shown}", line.chars().count());
            }
            let rows: Vec<_> = shown.lines().filter(|line| line.contains("resolving")).collect();
            assert_eq!(rows.len(), 16, "{shown}");
            for row in rows {
                assert!(row.contains("a-name") && row.contains(":65535"), "a name keeps both ends: {row}");
                let whole = interface.filter(|interface| *interface != LONG_ADDRESS);
                assert!(whole.is_none_or(|interface| row.contains(interface)), "{row}");
                assert!(interface.is_none_or(|interface| row.contains(&interface[..4])), "{row}");
            }
        }
    }
}

#[test]
fn figures_that_there_are_none_of_yet_have_no_lines() {
    let mut sim = Setup::paths(&[(20, 0.0), (40, 0.0)]).start(5);
    sim.run_for(SECOND * 20);
    for mut snapshot in sim.snapshots() {
        snapshot.peers[0].paths.iter_mut().for_each(|path| path.largest_whole = WholeView::default());
        let shown = table(&snapshot, &look());
        let lines: Vec<_> = shown.lines().take(9).collect();
        let [_, ends, counts, "", peer, head, below, first, second] = lines[..] else {
            panic!("other lines:\n{shown}")
        };
        assert!(ends.starts_with("listens on "), "{ends}");
        assert_eq!(counts, "0 datagrams sent, 0 received, 1 handshake");
        assert!(
            peer.contains(": heard ") && head.starts_with("path  bridge") && below.contains("from there")
        );
        assert!(first.starts_with("   0  ") && second.starts_with("   1  "), "{shown}");
    }
}

#[test]
fn a_summary_tells_what_was_carried_since_the_one_before() {
    let mut sim = Setup::paths(&[(20, 0.5), (40, 0.5), (60, 0.0)]).connect(9);
    sim.bridges[2].set_dead(true);
    sim.streams(APP, 100);
    sim.run_for(SECOND * 60);
    let mut summaries = [Summary::default(), Summary::default()];
    sim.snapshots().iter().zip(&mut summaries).for_each(|(snapshot, summary)| drop(summary.line(snapshot)));
    let before = sim.snapshots();
    sim.run_for(SECOND * 600);
    for ((summary, snapshot), before) in summaries.iter_mut().zip(sim.snapshots()).zip(before) {
        let line = summary.line(&snapshot).replace(',', "");
        let [now, then] = [&snapshot, &before].map(|snapshot| snapshot.peers[0].received);
        let received = snapshot.counters.datagrams_received - before.counters.datagrams_received;
        assert!((44_000..46_000).contains(&received), "a quarter of 60000 is lost: {received}");
        assert!(
            line.starts_with(&format!("in 10 min: 60000 datagrams sent {received} received; of ")),
            "{line}"
        );
        let lost = now.lost - then.lost;
        assert!(line.contains(&format!(" {lost} were lost on all paths (2")), "{line}");
        assert!(
            line.contains(&format!(" {} were recovered; 2 of 3 paths up", now.recovered - then.recovered))
        );
        let end = match snapshot.program {
            Program::Mpclient => format!("not {}", sim.bridges[2].address),
            Program::Mpserver => "1 client".to_owned(),
        };
        assert!(line.ends_with(&end), "{line}");
    }
}

/// A snapshot in which no two figures are alike.
pub(super) fn known(mut snapshot: Snapshot) -> Snapshot {
    let part = |part: f64| Some(part);
    let loss = |last_10s, last_5min| LossView { last_10s: part(last_10s), last_5min: part(last_5min) };
    let rate = |octets| RateView { packets_per_s: Some(1.0), octets_per_s: Some(octets) };
    snapshot.version = "9.8.7".to_owned();
    (snapshot.uptime_s, snapshot.listen) = (7_322.0, "192.0.2.1:2000".to_owned());
    snapshot.target = Some("vpn.example.org:1194".to_owned());
    (snapshot.encryption, snapshot.key) = (true, true);
    let counters = &mut snapshot.counters;
    (counters.datagrams_sent, counters.datagrams_received, counters.handshakes) = (1_001, 2_002, 3);
    counters.rejected.values_mut().for_each(|number| *number = 0);
    counters.rejected.insert(Reject::Copy, 4);
    counters.rejected.insert(Reject::Forged, 5);
    let peer = &mut snapshot.peers[0];
    (peer.number, peer.name, peer.flows) = (7, Some("home".to_owned()), 8);
    (peer.heard_ago_s, peer.session_age_s) = (Some(0.31), Some(90.0));
    peer.copies = "2".to_owned();
    (peer.received.datagrams, peer.received.lost, peer.received.recovered) = (60_006, 61, 6_200);
    (peer.received.loss, peer.sent.loss_last_5min) = (loss(0.011, 0.012), part(0.013));
    let path = PathView {
        number: 0,
        bridge: "192.0.2.10:4000".to_owned(),
        interface: Some("wan".to_owned()),
        state: State::Use,
        status: Status::Late,
        chosen: true,
        rtt: Some(RttView { smoothed_ms: 20.1, variation_ms: 20.2, min_ms: 20.3 }),
        unanswered: Some(6),
        overdue: Some(7),
        loss_received: loss(0.021, 0.022),
        loss_sent: loss(0.023, 0.024),
        largest_whole: WholeView { sent_octets: Some(1_400), received_octets: Some(1_300) },
        jitter_received_ms: Some(2.5),
        jitter_sent_ms: Some(2.6),
        rate_received: rate(27_000.0),
        rate_sent: rate(28_000.0),
        copies_sent: 2_900,
        octets_sent: 290_000,
        copies: 10_000,
        octets: 1_000_000,
        first_share: part(0.31),
        overtaken: 320,
        lateness_ms: 33.0,
        saved: 3_400,
        tried: 1_000,
        lost: 35,
    };
    let other = PathView {
        number: 1,
        state: State::Backup,
        status: Status::Resolving,
        chosen: false,
        rtt: None,
        largest_whole: WholeView::default(),
        jitter_sent_ms: None,
        loss_sent: LossView::default(),
        first_share: None,
        tried: 0,
        copies: 0,
        ..path.clone()
    };
    let helps = PathView { number: 2, state: State::Backup, status: Status::Lossy, ..path.clone() };
    let unused = PathView { number: 3, status: Status::Up, chosen: false, interface: None, ..path.clone() };
    let silent = PathView { number: 4, status: Status::Silent, ..path.clone() };
    peer.paths = vec![path, other, helps, unused, silent];
    peer.pairs = vec![PairView { paths: [0, 2], correlation: 0.87 }];
    snapshot.events.truncate(1);
    let event = &mut snapshot.events[0];
    (event.ago_s, event.at_s, event.text) = (61.0, 1.0, "something has happened".to_owned());
    snapshot
}

#[test]
fn each_figure_has_its_place_in_the_table() {
    let [_, server] = eventful();
    let shown = table(&known(server), &look());
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tunnel/table.txt");
    let expected = std::fs::read_to_string(file).expect("it is a file of the repository");
    assert_eq!(shown, expected, "what is shown is\n{shown}");
}

#[test]
fn the_limit_of_applications_is_shown_once_it_is_near() {
    let [_, mut server] = eventful();
    for (flows, most, shown) in [
        // Who allows one, for one VPN, has that one.
        (1, Some(1), "1 application"),
        (9, Some(10), "9 of 10 applications"),
        (819, Some(1_024), "819 applications"),
        (820, Some(1_024), "820 of 1,024 applications"),
        // An older program does not tell it.
        (1_024, None, "1,024 applications"),
    ] {
        (server.peers[0].flows, server.peers[0].max_flows) = (flows, most);
        let table = table(&server, &look());
        assert!(table.contains(&format!(" old, {shown}, copies: all\n")), "{shown}:\n{table}");
    }
}

#[test]
fn what_is_not_encrypted_and_has_no_key_is_told_at_the_top() {
    let [client, server] = eventful();
    for (mut snapshot, encryption, key, told) in [
        (client, true, false, "encrypted, without a key\n"),
        (server.clone(), false, true, "NOT encrypted, with a key\n"),
        (server, false, false, "NOT encrypted, without a key\n"),
    ] {
        (snapshot.encryption, snapshot.key) = (encryption, key);
        let shown = table(&snapshot, &look());
        let top = shown.split_inclusive('\n').next().expect("a line");
        assert!(top.ends_with(&format!(", {told}")), "{top}");
    }
}

#[test]
fn a_summary_counts_a_client_that_has_anothers_number_from_its_begin() {
    let [_, mut snapshot] = eventful();
    let mut summary = Summary::default();
    summary.line(&snapshot);
    let received = &mut snapshot.peers[0].received;
    (received.datagrams, received.lost, received.recovered) = (100, 40, 30);
    let line = summary.line(&snapshot);
    assert!(
        line.contains("of 100 that came or should have, 40 were lost on all paths (40.0 %), and 30 were"),
        "{line}"
    );
}

#[test]
fn where_mpclient_can_be_reached_besides_is_shown_and_of_many_forwards_how_many_there_are() {
    let mut sim = Setup::paths(&[(20, 0.0)]).connect(4);
    sim.run_for(SECOND);
    let [mut client, server] = sim.snapshots();
    assert_eq!((&client.forwards, &server.forwards), (&vec![], &vec![]));
    let target = format!("{}.example:53", "long".repeat(40));
    let forward = |port| ForwardView { listen: format!("127.0.0.1:{port}"), target: target.clone() };
    client.forwards = (5353..5359).map(forward).collect();
    client.forwards[0].target = "10.0.0.53:53".to_owned();
    client.socks5 = Some(Socks5View {
        listen: "127.0.0.1:1080".to_owned(),
        login: true,
        associations: 2,
        associated: 7,
        refused: Default::default(),
    });
    let shown = table(&client, &look());
    let lines: Vec<_> = shown.lines().skip(2).take(7).collect();
    assert_eq!(lines[0], "127.0.0.1:5353 leads to 10.0.0.53:53");
    assert!(
        lines[4].starts_with("127.0.0.1:5357 leads to longlong") && lines[4].ends_with(".example:53"),
        "{shown}"
    );
    assert!(
        lines[5..] == ["and 1 more forward", "SOCKS5 at 127.0.0.1:1080, with a login, 2 associations"],
        "{shown}"
    );
    assert!(shown.lines().all(|line| line.chars().count() <= WIDTH), "{shown}");
}

//! What is kept of the past.

use std::time::Duration;

use mptunnel::web::history::{History, PATHS_MAX, POINTS};
use serde_json::{Value, json};

use crate::sim::network::Faults;
use crate::sim::setup::Setup;
use crate::sim::traffic::APP;

fn view(history: &History) -> Value {
    serde_json::to_value(history.view()).expect("it is JSON")
}

#[test]
fn a_point_says_what_the_snapshot_says_and_a_path_that_comes_later_was_unknown_before() {
    let paths = [(20, 0.0), (40, 0.2)].map(|(rtt, loss)| Faults::new(Duration::from_millis(rtt), loss));
    let mut sim = Setup::new(paths).connect(1);
    sim.streams(APP, 200);
    sim.run_for(Duration::from_secs(20));
    let snapshot = sim.client(0).snapshot(sim.instant());
    let mut before = snapshot.clone();
    before.peers[0].paths.truncate(1);
    before.uptime_s = 15.0;
    let mut history = History::default();
    history.note(&before);
    history.note(&snapshot);
    let view = view(&history);
    assert_eq!(view["interval_s"], 5);
    assert_eq!(view["at_s"].as_array().expect("a list").len(), 2);
    let (path, shown) = (&snapshot.peers[0].paths[1], &view["paths"][1]);
    assert_eq!(
        (&shown["peer"], &shown["path"], &shown["bridge"]),
        (&json!(0), &json!(1), &json!(path.bridge))
    );
    let rate = |rate: Option<f64>| rate.expect("datagrams flow").round();
    for (column, expected, error) in [
        ("rtt_ms", path.rtt.expect("mpclient measures it").smoothed_ms, 0.01),
        ("loss_received", path.loss_received.last_10s.expect("datagrams flow"), 1e-4),
        ("loss_sent", path.loss_sent.last_10s.expect("datagrams flow"), 1e-4),
        ("octets_received_per_s", rate(path.rate_received.octets_per_s), 1.0),
        ("octets_sent_per_s", rate(path.rate_sent.octets_per_s), 1.0),
    ] {
        assert_eq!(shown[column][0], Value::Null, "{column} was unknown");
        let value = shown[column][1].as_f64().expect("a number");
        assert!((value - expected).abs() <= error, "{column}: {value}, not {expected}");
    }
    let tunnel = snapshot.peers[0].received.loss.last_10s.expect("datagrams flow");
    let shown = view["peers"][0]["loss_received"][1].as_f64().expect("a number");
    assert!((shown - tunnel).abs() < 1e-5, "{shown}, not {tunnel}");
}

#[test]
fn the_history_ends_after_a_quarter_of_an_hour_and_holds_so_many_paths() {
    let mut sim = Setup::new([Faults::new(Duration::from_millis(20), 0.0)]).connect(1);
    sim.streams(APP, 100);
    sim.run_for(Duration::from_secs(12));
    let snapshot = sim.client(0).snapshot(sim.instant());
    let peer = &snapshot.peers[0];
    let mut crowd = snapshot.clone();
    crowd.peers = (0..PATHS_MAX + 10)
        .map(|number| {
            let mut peer = peer.clone();
            peer.number = number;
            peer
        })
        .collect();
    let mut history = History::default();
    for _ in 0..POINTS + 5 {
        history.note(&crowd);
    }
    let lengths = |view: &Value| {
        let len = |value: &Value| value.as_array().expect("a list").len();
        let columns = |name: &str, column: &str| -> Vec<_> {
            view[name].as_array().expect("a list").iter().map(|one| len(&one[column])).collect()
        };
        assert_eq!(len(&view["at_s"]), POINTS);
        (columns("paths", "rtt_ms"), columns("peers", "loss_received"))
    };
    let full = vec![POINTS; PATHS_MAX];
    assert_eq!(lengths(&view(&history)), (full.clone(), full));
    // Those that are gone are forgotten with their last point.
    for _ in 0..POINTS - 1 {
        history.note(&snapshot);
    }
    assert_eq!(lengths(&view(&history)).0.len(), PATHS_MAX);
    history.note(&snapshot);
    assert_eq!(lengths(&view(&history)), (vec![POINTS], vec![POINTS]));
}

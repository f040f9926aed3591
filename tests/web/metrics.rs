//! The metrics, against their description and against the snapshot that they are made of.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mptunnel::tunnel::snapshot::Snapshot;
use mptunnel::web::metrics;
use serde_json::Value;

use crate::sim::network::Faults;
use crate::sim::setup::Setup;
use crate::sim::traffic::APP;

const SECOND: Duration = Duration::from_secs(1);

/// An mpclient of which everything is known: two of its paths fail together, the third loses.
pub(super) fn snapshot() -> Snapshot {
    let paths = [(20, 0.0), (30, 0.0), (40, 0.05)];
    let paths = paths.map(|(rtt, loss)| Faults::new(Duration::from_millis(rtt), loss));
    let mut sim = Setup::new(paths).connect(1);
    sim.streams(APP, 200);
    for _ in 0..30 {
        for dead in [true, false] {
            sim.bridges[0].set_dead(dead);
            sim.bridges[1].set_dead(dead);
            sim.run_for(if dead { SECOND / 10 } else { SECOND });
        }
    }
    let mut snapshot = sim.client(0).snapshot(sim.instant());
    // As an mpserver's client.
    snapshot.peers[0].name = Some("a \"b\"".to_owned());
    snapshot
}

/// The metrics' types and labels, by name.
type Described = BTreeMap<String, (String, BTreeSet<String>)>;

fn served(text: &str) -> Described {
    let mut served = Described::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a type");
            assert_eq!(served.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new())), None);
        } else if !line.starts_with('#') {
            let (name, rest) = line.split_at(line.find(['{', ' ']).expect("a value"));
            let labels = rest.split("=\"").map(|before| before.rsplit(['{', ',']).next().unwrap_or_default());
            let count = rest.matches("=\"").count();
            let known = &mut served.get_mut(name).expect("its type comes first").1;
            known.extend(labels.take(count).map(str::to_owned));
        }
    }
    served
}

/// The metrics' names.
pub(super) fn names(text: &str) -> BTreeSet<String> {
    served(text).into_keys().collect()
}

/// What the table in docs/metrics.md says.
fn documented() -> Described {
    let rows = include_str!("../../docs/metrics.md").lines().filter(|line| line.starts_with("| `mptunnel_"));
    let described = rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, _] = cells[..] else { panic!("four columns: {row}") };
        let words =
            |cell: &str| -> Vec<_> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
        (words(name).remove(0), (kind.to_owned(), words(labels).into_iter().collect()))
    });
    described.collect()
}

#[test]
fn every_metric_is_documented_with_its_type_and_its_labels() {
    assert_eq!(served(&metrics::text(&snapshot())), documented());
}

/// What each metric with one sample per program, peer or path is, in the snapshot's JSON, and how much of it.
const VALUES: [(&str, &str, f64); 35] = [
    ("mptunnel_uptime_seconds", "uptime_s", 1.0),
    ("mptunnel_datagrams_sent_total", "counters.datagrams_sent", 1.0),
    ("mptunnel_datagrams_received_total", "counters.datagrams_received", 1.0),
    ("mptunnel_handshakes_total", "counters.handshakes", 1.0),
    ("mptunnel_peers", "holdings.peers", 1.0),
    ("mptunnel_sessions", "holdings.sessions", 1.0),
    ("mptunnel_half_open_handshakes", "holdings.half_open", 1.0),
    ("mptunnel_paths", "holdings.paths", 1.0),
    ("mptunnel_flows", "holdings.flows", 1.0),
    ("mptunnel_waiting_datagrams", "holdings.waiting", 1.0),
    ("mptunnel_waiting_bytes", "holdings.waiting_octets", 1.0),
    ("mptunnel_peer_silence_seconds", "peers.0.heard_ago_s", 1.0),
    ("mptunnel_peer_session_age_seconds", "peers.0.session_age_s", 1.0),
    ("mptunnel_peer_flows", "peers.0.flows", 1.0),
    ("mptunnel_peer_max_flows", "peers.0.max_flows", 1.0),
    ("mptunnel_peer_settled_datagrams_total", "peers.0.received.datagrams", 1.0),
    ("mptunnel_peer_lost_datagrams_total", "peers.0.received.lost", 1.0),
    ("mptunnel_peer_recovered_datagrams_total", "peers.0.received.recovered", 1.0),
    ("mptunnel_path_rtt_seconds", "peers.0.paths.0.rtt.smoothed_ms", 1e-3),
    ("mptunnel_path_rtt_variation_seconds", "peers.0.paths.0.rtt.variation_ms", 1e-3),
    ("mptunnel_path_rtt_min_seconds", "peers.0.paths.0.rtt.min_ms", 1e-3),
    ("mptunnel_path_received_copies_total", "peers.0.paths.0.copies", 1.0),
    ("mptunnel_path_received_bytes_total", "peers.0.paths.0.octets", 1.0),
    ("mptunnel_path_sent_copies_total", "peers.0.paths.0.copies_sent", 1.0),
    ("mptunnel_path_sent_bytes_total", "peers.0.paths.0.octets_sent", 1.0),
    ("mptunnel_path_first_ratio", "peers.0.paths.0.first_share", 1.0),
    ("mptunnel_path_overtaken_total", "peers.0.paths.0.overtaken", 1.0),
    ("mptunnel_path_lateness_seconds", "peers.0.paths.0.lateness_ms", 1e-3),
    ("mptunnel_path_saved_datagrams_total", "peers.0.paths.0.saved", 1.0),
    ("mptunnel_path_tried_datagrams_total", "peers.0.paths.0.tried", 1.0),
    ("mptunnel_path_lost_datagrams_total", "peers.0.paths.0.lost", 1.0),
    ("mptunnel_encryption_enabled", "encryption", 1.0),
    ("mptunnel_key_in_use", "key", 1.0),
    ("mptunnel_reload_refused", "reload_refused", 1.0),
    ("mptunnel_path_chosen", "peers.0.paths.0.chosen", 1.0),
];

/// Gives each number in the JSON another value: every one is told from all the others.
fn number(value: &mut Value, next: &mut u64) {
    match value {
        Value::Object(members) => members.values_mut().for_each(|member| number(member, next)),
        Value::Array(members) => members.iter_mut().for_each(|member| number(member, next)),
        Value::Number(_) => {
            *next += 1;
            *value = (*next).into();
        }
        _ => {}
    }
}

#[test]
fn every_metric_tells_the_figure_of_the_snapshot_that_it_is_named_after() {
    let mut json = serde_json::to_value(snapshot()).expect("a snapshot is JSON");
    number(&mut json, &mut 100);
    let snapshot: Snapshot = serde_json::from_value(json.clone()).expect("a number is a number");
    let text = metrics::text(&snapshot);
    // The peer's and the path's own numbers are other ones by now: the first sample is that of the first.
    let sample = |name: &str| {
        let mut lines = text
            .lines()
            .filter(|line| line.starts_with(&format!("{name}{{")) || line.starts_with(&format!("{name} ")));
        let line = lines.next().unwrap_or_else(|| panic!("{name} is not in\n{text}"));
        line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).expect("a value")
    };
    for (name, member, part) in VALUES {
        let pointer = format!("/{}", member.replace('.', "/"));
        let value = json.pointer(&pointer).unwrap_or_else(|| panic!("no {member}"));
        let expected = value.as_f64().unwrap_or_else(|| f64::from(value == true)) * part;
        assert!(
            (sample(name) - expected).abs() < 1e-9,
            "{name} is {}, not {expected}: {member}",
            sample(name)
        );
    }
    let one_each = served(&text).into_iter().filter(|(name, (_, labels))| {
        let more = ["direction", "status", "reason", "other_path", "version", "name"];
        name != "mptunnel_path_backup" && !more.iter().any(|label| labels.contains(*label))
    });
    let named: BTreeSet<_> = VALUES.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(one_each.map(|(name, _)| name).collect::<BTreeSet<_>>(), named, "each is checked");
    // Those with a direction.
    for (name, labels, member) in [
        (
            "mptunnel_path_loss_ratio",
            r#"direction="received",window="10s""#,
            "paths/0/loss_received/last_10s",
        ),
        (
            "mptunnel_path_loss_ratio",
            r#"direction="received",window="5m""#,
            "paths/0/loss_received/last_5min",
        ),
        ("mptunnel_path_loss_ratio", r#"direction="sent",window="10s""#, "paths/0/loss_sent/last_10s"),
        ("mptunnel_path_loss_ratio", r#"direction="sent",window="5m""#, "paths/0/loss_sent/last_5min"),
        ("mptunnel_peer_loss_ratio", r#"direction="received",window="10s""#, "received/loss/last_10s"),
        ("mptunnel_peer_loss_ratio", r#"direction="received",window="5m""#, "received/loss/last_5min"),
        ("mptunnel_peer_loss_ratio", r#"direction="sent",window="5m""#, "sent/loss_last_5min"),
    ] {
        let value = json.pointer(&format!("/peers/0/{member}")).and_then(Value::as_f64).expect(member);
        let line = text.lines().find(|line| line.starts_with(name) && line.contains(labels)).expect(name);
        assert!(line.ends_with(&format!(" {value}")), "{line}, not {value}: {member}");
    }
    for (direction, member) in [("received", "jitter_received_ms"), ("sent", "jitter_sent_ms")] {
        let value =
            json.pointer(&format!("/peers/0/paths/0/{member}")).and_then(Value::as_f64).expect(member);
        let begin = "mptunnel_path_jitter_seconds{";
        let labels = format!("direction=\"{direction}\"");
        let line = text.lines().find(|line| line.starts_with(begin) && line.contains(&labels)).expect(member);
        assert!(line.ends_with(&format!(" {}", value / 1e3)), "{line}, not {value} ms: {member}");
    }
    let correlation = json.pointer("/peers/0/pairs/0/correlation").and_then(Value::as_f64).expect("a pair");
    assert_eq!(sample("mptunnel_path_pair_loss_correlation"), correlation);
}

#[test]
fn what_is_known_is_told_in_base_units_and_what_is_not_is_left_out() {
    let mut snapshot = snapshot();
    let path = &mut snapshot.peers[0].paths[2];
    path.bridge = "a \"b\"\\c\nd".to_owned();
    path.rtt.as_mut().expect("mpclient measures it").smoothed_ms = 20.5;
    path.loss_received.last_10s = Some(0.125);
    path.loss_received.last_5min = None;
    path.loss_sent.last_10s = None;
    path.loss_sent.last_5min = None;
    (path.saved, path.first_share) = (5, None);
    let text = metrics::text(&snapshot);
    let labels = r#"peer="0",path="2",bridge="a \"b\"\\c\nd""#;
    for expected in [
        format!("mptunnel_path_rtt_seconds{{{labels}}} 0.0205"),
        format!("mptunnel_path_saved_datagrams_total{{{labels}}} 5"),
        format!("mptunnel_path_loss_ratio{{{labels},direction=\"received\",window=\"10s\"}} 0.125"),
        format!("mptunnel_path_status{{{labels},status=\"lossy\"}} 1"),
        format!("mptunnel_path_status{{{labels},status=\"up\"}} 0"),
        r#"mptunnel_peer_info{peer="0",name="a \"b\""} 1"#.to_owned(),
    ] {
        assert!(text.lines().any(|line| line == expected), "{expected} is in\n{text}");
    }
    assert_eq!(text.matches(&format!("mptunnel_path_loss_ratio{{{labels}")).count(), 1, "{text}");
    assert_eq!(text.matches("mptunnel_path_first_ratio{").count(), 2, "of the others it is known\n{text}");
}

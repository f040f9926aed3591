//! The metrics, against their description and against the snapshot that they are made of.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mptunnel::tunnel::snapshot::Snapshot;
use mptunnel::web::metrics;

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
    sim.client(0).snapshot(sim.instant())
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
    ] {
        assert!(text.lines().any(|line| line == expected), "{expected} is in\n{text}");
    }
    assert_eq!(text.matches(&format!("mptunnel_path_loss_ratio{{{labels}")).count(), 1, "{text}");
    assert_eq!(text.matches("mptunnel_path_first_ratio{").count(), 2, "of the others it is known\n{text}");
}

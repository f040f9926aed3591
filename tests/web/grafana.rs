//! The dashboard and the configuration in `examples/grafana`.

use std::collections::BTreeSet;
use std::process::Command;

use mptunnel::web::metrics;
use serde_json::Value;

use super::metrics::{names, snapshot};
use crate::programs::{TOOLS, find};

const DASHBOARD: &str = include_str!("../../examples/grafana/mptunnel.json");

/// What the dashboard asks Prometheus for, its variables replaced as Grafana does, and what `docs/metrics.md` shows.
fn expressions() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("it is JSON");
    let panels = dashboard["panels"].as_array().expect("a list").iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().expect("a list"));
    let expressions = targets.map(|target| target["expr"].as_str().expect("a text"));
    let replaced = |text: &str| {
        text.replace("$instance", "a:1").replace("$__rate_interval", "1m").replace("$__range", "1h")
    };
    let page = include_str!("../../docs/metrics.md");
    let shown = page.split("\n```promql\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    expressions.map(replaced).chain(shown.map(str::to_owned)).collect()
}

#[test]
fn the_dashboard_asks_for_metrics_that_are_served_and_in_the_language_of_prometheus() {
    let served = names(&metrics::text(&snapshot()));
    let expressions = expressions();
    let words =
        expressions.iter().flat_map(|text| text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    let asked: BTreeSet<_> = words.filter(|word| word.starts_with("mptunnel_")).map(str::to_owned).collect();
    assert!(asked.len() > 10, "{asked:?}");
    assert!(asked.is_subset(&served), "not served: {:?}", asked.difference(&served));
    if find("promtool", TOOLS).is_none() {
        return;
    }
    // Rules are what promtool reads expressions in.
    let rules: String = expressions
        .iter()
        .map(|text| format!("  - {{ record: a, expr: {} }}\n", Value::from(&**text)))
        .collect();
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join("grafana-rules.yml");
    std::fs::write(&file, format!("groups:\n- name: dashboard\n  rules:\n{rules}"))
        .expect("a file is written");
    let check = |args: &[&str]| {
        let check = Command::new("promtool").args(args).output().expect("promtool starts");
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    };
    check(&["check", "rules", "--lint=none", file.to_str().expect("test files have plain names")]);
    check(&["check", "config", concat!(env!("CARGO_MANIFEST_DIR"), "/examples/grafana/prometheus.yml")]);
}

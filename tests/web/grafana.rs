//! The dashboard, the alarms and the configuration in `examples/grafana`.

use std::collections::BTreeSet;
use std::process::Command;

use mptunnel::web::metrics;
use serde_json::Value;

use super::metrics::{names, snapshot};
use crate::programs::{TOOLS, find};

const DASHBOARD: &str = include_str!("../../examples/grafana/mptunnel.json");
const RULES: [&str; 2] = [
    include_str!("../../examples/grafana/rules.yml"),
    include_str!("../../examples/grafana/rules-clients.yml"),
];

/// A file of the source.
macro_rules! source {
    ($path:literal) => {
        concat!(env!("CARGO_MANIFEST_DIR"), "/", $path)
    };
}

/// The metrics that a text names.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    words.filter(|word| word.starts_with("mptunnel_")).map(str::to_owned).collect()
}

fn promtool(args: &[&str]) {
    let output = Command::new("promtool").args(args).output().expect("promtool starts");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What a panel asks Prometheus for.
pub(crate) struct Target {
    /// The panel's title.
    pub(crate) panel: String,
    /// The query, with Grafana's variables.
    expression: String,
    /// What a curve is called; empty where nothing is.
    legend: String,
}

impl Target {
    /// The query as Grafana sends it, where all programs and all other ends are chosen.
    pub(crate) fn query(&self, rate_interval: &str, range: &str) -> String {
        let query = self.expression.replace("$instance", ".+").replace("$peer", ".+");
        let query = query.replace("$__rate_interval", rate_interval).replace("$__range", range);
        assert!(!query.contains('$'), "a variable that nobody knows: {query}");
        query
    }

    /// What the curve with these labels is called, or all its labels. `None`: it has not all that the legend names.
    pub(crate) fn called(&self, labels: &Value) -> Option<String> {
        if self.legend.is_empty() {
            return Some(labels.to_string());
        }
        let mut parts = self.legend.split("{{");
        let mut called = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (label, rest) = part.split_once("}}").expect("a label ends");
            called.push_str(labels[label].as_str()?);
            called.push_str(rest);
        }
        Some(called)
    }
}

/// All that the dashboard asks for.
pub(crate) fn targets() -> Vec<Target> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("it is JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let panels = dashboard["panels"].as_array().expect("a list").iter();
    let targets = panels.flat_map(|panel| {
        let targets = panel["targets"].as_array().expect("a list").iter();
        targets.map(|target| Target {
            panel: text(&panel["title"]),
            expression: text(&target["expr"]),
            legend: text(&target["legendFormat"]),
        })
    });
    targets.collect()
}

/// The dashboard's queries, and those that `docs/metrics.md` shows.
fn expressions() -> Vec<String> {
    let page = include_str!("../../docs/metrics.md");
    let shown = page.split("\n```promql\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    targets().iter().map(|target| target.query("1m", "1h")).chain(shown.map(str::to_owned)).collect()
}

#[test]
fn the_dashboard_asks_for_metrics_that_are_served_and_in_the_language_of_prometheus() {
    let served = names(&metrics::text(&snapshot()));
    let expressions = expressions();
    let asked = metrics_in(&expressions.join("\n"));
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
    promtool(&["check", "rules", "--lint=none", file.to_str().expect("test files have plain names")]);
    promtool(&["check", "config", source!("examples/grafana/prometheus.yml")]);
}

#[test]
fn each_alarm_fires_in_its_case_and_not_in_others() {
    let served = names(&metrics::text(&snapshot()));
    let cases = include_str!("alarms.yml");
    // A case without `exp_alerts`, which would be on a line of its own, is one in which nothing fires.
    let named = |line: &str| {
        line.trim_start().trim_start_matches("- ").strip_prefix("alertname: ").map(str::to_owned)
    };
    let fire: BTreeSet<_> = cases.lines().filter_map(named).collect();
    let quiet =
        |line: &str| Some(line.split_once(", alertname: ")?.1.trim_end_matches([' ', '}']).to_owned());
    let quiet: BTreeSet<_> = cases.lines().filter_map(quiet).collect();
    let mut alarms = BTreeSet::new();
    for rules in RULES {
        let asked = metrics_in(rules);
        assert!(asked.is_subset(&served), "not served: {:?}", asked.difference(&served));
        alarms.extend(
            rules.lines().filter_map(|line| line.split_once("alert: ")).map(|(_, name)| name.to_owned()),
        );
    }
    assert_eq!(
        (&fire, &quiet),
        (&alarms, &alarms),
        "each has a case in which it fires, and one in which not"
    );
    if find("promtool", TOOLS).is_none() {
        return;
    }
    for rules in [source!("examples/grafana/rules.yml"), source!("examples/grafana/rules-clients.yml")] {
        promtool(&["check", "rules", rules]);
    }
    promtool(&["test", "rules", source!("tests/web/alarms.yml")]);
}

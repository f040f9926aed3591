//! The rules of `examples/grafana`, in a Prometheus that asks real programs.

use std::collections::BTreeSet;

use super::metrics::Tunnel;
use super::prometheus::Prometheus;
use crate::process::PATIENCE;
use crate::programs::{TOOLS, find};
use crate::wait::poll_until;

const RULES: [(&str, &str); 2] = [
    ("rules.yml", include_str!("../../examples/grafana/rules.yml")),
    ("rules-clients.yml", include_str!("../../examples/grafana/rules-clients.yml")),
];

/// The same rules, which wait 2 s where those of the file wait for minutes.
fn impatient(rules: &str) -> String {
    let lines = rules.lines().map(|line| match line.split_once("for: ") {
        Some((before, _)) if before.trim().is_empty() => format!("{before}for: 2s\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

#[test]
fn bridges_that_die_are_told_of_by_their_alarms_and_an_idle_tunnel_by_none() {
    if find("prometheus", TOOLS).is_none() {
        return;
    }
    let tunnel = Tunnel::start("alarms", 0.0);
    for bridge in &tunnel.bridges {
        tunnel.mpclient.wait_for_lines(1, &format!("bridge {} is up", bridge.address()));
    }
    let rules = RULES.map(|(name, rules)| tunnel.setup.write(name, &impatient(rules)));
    let prometheus = Prometheus::start(&tunnel.setup, tunnel.at, &rules);
    let both_ends = || prometheus.results("sum_over_time(mptunnel:path_works[1m]) >= 5").len() == 6;
    assert!(poll_until(PATIENCE, both_ends), "{:?}", prometheus.results("mptunnel:path_works"));
    let firing = "ALERTS{alertstate=\"firing\"}";
    assert_eq!(prometheus.results(firing), Vec::<serde_json::Value>::new(), "nothing is wrong");

    let [dead @ .., alive] = &tunnel.bridges;
    dead.iter().for_each(|bridge| bridge.set_dead(true));
    let told = || -> BTreeSet<String> {
        let word = |alarm: &serde_json::Value, name| alarm["metric"][name].as_str().unwrap_or("-").to_owned();
        let alarms = prometheus.results(firing);
        let named = |alarm| ["alertname", "instance", "name", "path"].map(|name| word(alarm, name)).join(" ");
        alarms.iter().map(named).collect()
    };
    let [client, server] = tunnel.at;
    let expected = BTreeSet::from([
        format!("MptunnelOnePathLeft {client} - -"),
        format!("MptunnelPathDown {client} - 0"),
        format!("MptunnelPathDown {client} - 1"),
        format!("MptunnelClientPathDown {server} home 0"),
        format!("MptunnelClientPathDown {server} home 1"),
    ]);
    assert!(poll_until(PATIENCE, || told() == expected), "{:?}", told());

    alive.set_dead(true);
    let no_path = format!("MptunnelNotConnected {client} - -");
    assert!(poll_until(PATIENCE, || told().contains(&no_path)), "{:?}", told());
    tunnel.bridges.iter().for_each(|bridge| bridge.set_dead(false));
    assert!(poll_until(PATIENCE, || told().is_empty()), "{:?}", told());
}

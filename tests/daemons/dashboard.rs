//! The dashboard of `examples/grafana`: what it asks for, of real programs.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use super::metrics::Tunnel;
use super::prometheus::Prometheus;
use super::setup::wait_until_all_carry;
use crate::process::PATIENCE;
use crate::programs::{TOOLS, find};
use crate::web::grafana::targets;

#[test]
fn each_panel_shows_something_and_calls_its_curves_by_different_names() {
    if find("prometheus", TOOLS).is_none() {
        return;
    }
    let tunnel = Tunnel::start("dashboard", 0.1);
    let prometheus = Prometheus::start(&tunnel.setup, tunnel.at, &[]);
    let stream = tunnel.setup.stream(300);
    wait_until_all_carry(&stream, &tunnel.bridges);
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a free port");

    let mut missing = targets();
    assert!(missing.len() > 20);
    let until = Instant::now() + 2 * PATIENCE;
    loop {
        missing.retain(|target| {
            let results = prometheus.results(&target.query("10s", "1m"));
            let names: Vec<_> =
                results.iter().filter_map(|result| target.called(&result["metric"])).collect();
            let different: BTreeSet<_> = names.iter().collect();
            assert_eq!(names.len(), different.len(), "{}: {names:?}", target.panel);
            different.is_empty()
        });
        let panels: Vec<_> = missing.iter().map(|target| &target.panel).collect();
        if panels.is_empty() {
            break;
        }
        assert!(Instant::now() < until, "nothing is shown of {panels:?}");
        // Two of the paths fail together, and something comes that is not taken.
        let [first, second, _] = &tunnel.bridges;
        for dead in [true, false] {
            [first, second].iter().for_each(|bridge| bridge.set_dead(dead));
            stranger.send_to(b"nothing that is known", tunnel.setup.server).expect("it is sent");
            thread::sleep(Duration::from_millis(if dead { 100 } else { 400 }));
        }
    }
    let tunnels = targets().into_iter().filter(|target| target.panel == "Tunnels");
    for target in tunnels {
        for result in prometheus.results(&target.query("10s", "1m")) {
            let labels = result["metric"].as_object().expect("labels");
            let allowed = ["instance", "peer", "name"];
            assert!(
                labels.keys().all(|label| allowed.contains(&&**label)),
                "a row for each tunnel: {result}"
            );
        }
    }
    stream.finish();
}

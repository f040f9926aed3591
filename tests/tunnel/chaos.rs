//! Everything at once: scenarios drawn from seeds, in which whatever can go wrong does, and after which everything flows
//! again. What must hold at every step is checked by the simulator itself.

use std::time::Duration;

use crate::sim::scenario::Scenario;
use crate::sim::seeds::seeds_at_once;
use crate::sim::traffic::Way;

const SECOND: Duration = Duration::from_secs(1);
const SEEDS: u64 = 2000;

/// Shows what was drawn when a check fails.
struct Shown(Scenario);

impl Drop for Shown {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:#?}", self.0);
        }
    }
}

#[test]
fn whatever_goes_wrong_everything_flows_a_second_after_the_last_fault() {
    seeds_at_once(SEEDS, |seed| {
        let shown = Shown(Scenario::draw(seed));
        let scenario = &shown.0;
        let mut sim = scenario.play();
        // What the network's own slowness costs is not the tunnel's. A server that was started again is missed after
        // two round trips where these are longer than 0.4 s; then a handshake takes one, its proof one, and the first
        // datagram a half.
        let allowed = SECOND + 3 * scenario.rtt;
        sim.run_for(allowed);
        for app in scenario.apps() {
            for way in [Way::Up, Way::Down] {
                let first = sim.record(app, way).first_after(scenario.end);
                assert!(first.is_some(), "{app:?}, {way:?}: nothing {allowed:?} after the last fault");
            }
        }
        // From then on nothing is lost.
        let start = sim.now;
        sim.run_for(SECOND / 2);
        let until = sim.now;
        sim.run_for(scenario.rtt);
        for app in scenario.apps() {
            for way in [Way::Up, Way::Down] {
                let (sent, lost) = sim.record(app, way).lost(start, until);
                assert!(
                    sent > 0 && lost == 0,
                    "{app:?}, {way:?}: {lost} of {sent} lost after all has recovered"
                );
            }
        }
    });
}

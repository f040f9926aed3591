//! Every figure of a snapshot against what the simulated network did. A figure that nothing here checks fails
//! the test: one that is added is to come with its truth.

use std::collections::BTreeSet;
use std::time::Duration;

use mptunnel::tunnel::Tunnel;
use mptunnel::tunnel::snapshot::{PathView, Program, SCHEMA, Snapshot};
use mptunnel::tunnel::wire::Reject;
use serde_json::Value;

use crate::sim::Sim;
use crate::sim::network::{Crossing, Faults};
use crate::sim::setup::Setup;
use crate::sim::traffic::{APP, Way};

const SECOND: Duration = Duration::from_secs(1);
const PER_SECOND: u32 = 500;
const SECONDS: u32 = 60;
/// What happens in the last of them is different, so that what is said of it is told from what is said of all.
const LAST: u32 = 16;
const MORE_PER_SECOND: u32 = 250;
const RTTS: [u64; 3] = [20, 40, 60];
const MOST_FLOWS: usize = 77;
const JITTERS: [u64; 3] = [0, 10, 30];
/// What is not settled yet, and what began before the truth was written down, in datagrams.
const MARGIN: f64 = 150.0;
/// The same in octets.
const MARGIN_OCTETS: f64 = MARGIN * 120.0;

/// The figures that were checked, and those that were wrong.
#[derive(Default)]
struct Checks {
    checked: BTreeSet<String>,
    wrong: Vec<String>,
}

impl Checks {
    /// A figure is this, within an error.
    fn about(&mut self, name: &str, figure: impl Into<Option<f64>>, expected: f64, error: f64) {
        self.checked.insert(name.to_owned());
        let figure = figure.into().unwrap_or(f64::NAN);
        if (figure - expected).abs() <= error {
            return;
        }
        self.wrong.push(format!("{name} is {figure}, not {expected} within {error}"));
    }

    fn exactly(&mut self, name: &str, figure: u64, expected: u64) {
        self.about(name, figure as f64, expected as f64, 0.0);
    }
}

/// The names of all figures in the JSON; the members of lists are all called `[]`.
fn figures(value: &Value, name: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(member, value)| {
            let name = if name.is_empty() { member.clone() } else { format!("{name}.{member}") };
            figures(value, &name, found);
        }),
        Value::Array(members) => {
            members.iter().for_each(|member| figures(member, &format!("{name}[]"), found))
        }
        Value::Number(_) => drop(found.insert(name.to_owned())),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// What became of one direction's datagrams: for each, how it crossed each path.
struct Truth {
    now: Duration,
    lines: [Vec<Crossing>; 3],
}

impl Truth {
    fn new(sim: &mut Sim, way: Way) -> Self {
        let now = sim.now;
        let lines = [0, 1, 2].map(|path| sim.bridges[path].line(way).log.clone().expect("it was asked for"));
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "each datagram goes over each path");
        Self { now, lines }
    }

    /// Which paths brought each of those that were sent this long ago.
    fn arrived(&self, oldest: Duration, newest: Duration) -> Vec<[bool; 3]> {
        let datagrams = 0..self.lines[0].len();
        let age = |datagram: usize| self.now - self.lines[0][datagram].sent;
        let aged = datagrams.filter(|datagram| (newest..oldest).contains(&age(*datagram)));
        aged.map(|datagram| [0, 1, 2].map(|path| self.lines[path][datagram].arrived.is_some())).collect()
    }

    /// Those whose fate is settled.
    fn settled(&self) -> Vec<[bool; 3]> {
        self.arrived(Duration::MAX, SECOND * 3)
    }

    /// Those that were settled in the last 10 s.
    fn recent(&self) -> Vec<[bool; 3]> {
        self.arrived(SECOND * 13, SECOND * 3)
    }

    /// What one path has brought by now.
    fn brought(&self, path: usize) -> impl Iterator<Item = (&Crossing, Duration)> {
        let arrived = |crossing: &&Crossing| crossing.arrived.is_some_and(|at| at <= self.now);
        self.lines[path]
            .iter()
            .filter(arrived)
            .map(|crossing| (crossing, crossing.arrived.unwrap_or_default()))
    }

    /// When the first copy of a datagram came.
    fn first(&self, datagram: usize) -> Option<Duration> {
        self.lines.iter().filter_map(|line| line[datagram].arrived).min()
    }
}

fn part(of: &[[bool; 3]], is: impl Fn(&[bool; 3]) -> bool) -> f64 {
    number(of, is) / of.len() as f64
}

fn number(of: &[[bool; 3]], is: impl Fn(&[bool; 3]) -> bool) -> f64 {
    of.iter().filter(|arrived| is(arrived)).count() as f64
}

fn by_none(arrived: &[bool; 3]) -> bool {
    !arrived.contains(&true)
}

/// Checks what an end says of a path that its datagrams take by `sent`, and the other end's by `received`.
fn check_path(checks: &mut Checks, path: &PathView, received: &Truth, sent: &Truth) {
    let (number_, rtt, jitter) = (path.number, RTTS[path.number] as f64, JITTERS[path.number] as f64);
    let mut about = |name: &str, figure: Option<f64>, expected, error| {
        checks.about(&format!("peers[].paths[].{name}"), figure, expected, error);
    };
    let lost_by = |arrived: &[bool; 3]| !arrived[number_];
    let [settled, recent] = [received.settled(), received.recent()];
    about("loss_received.last_10s", path.loss_received.last_10s, part(&recent, lost_by), 0.02);
    about("loss_received.last_5min", path.loss_received.last_5min, part(&settled, lost_by), 0.01);
    about("loss_sent.last_10s", path.loss_sent.last_10s, part(&sent.recent(), lost_by), 0.03);
    about("loss_sent.last_5min", path.loss_sent.last_5min, part(&sent.settled(), lost_by), 0.01);
    about("tried", Some(path.tried as f64), settled.len() as f64, MARGIN);
    about("lost", Some(path.lost as f64), number(&settled, lost_by), MARGIN);
    let alone = |arrived: &[bool; 3]| arrived[number_] && arrived.iter().filter(|came| **came).count() == 1;
    about("saved", Some(path.saved as f64), number(&settled, alone), MARGIN);

    // Nothing limits these lines but what is tried: 9,000 octets, of which IPv4, UDP and the tunnel take 60.
    about(
        "largest_whole.received_octets",
        path.largest_whole.received_octets.map(|octets| octets as f64),
        8940.0,
        0.0,
    );
    about(
        "largest_whole.sent_octets",
        path.largest_whole.sent_octets.map(|octets| octets as f64),
        8940.0,
        0.0,
    );
    if let Some(overdue) = path.overdue {
        about("overdue", Some(f64::from(overdue)), 0.0, 4.0);
    }
    if let Some(unanswered) = path.unanswered {
        // Each is lost on its way in one of a few cases; five in a row are rare.
        about("unanswered", Some(f64::from(unanswered)), 0.0, 5.0);
    }

    // Two that are equally likely anywhere within a span are a third of it apart; both ways together they
    // are a third of it from their mean. Each error is four standard errors of what is smoothed over 4, 8
    // or 16 of them.
    about("jitter_received_ms", path.jitter_received_ms, jitter / 3.0, 0.05 + jitter * 0.2);
    about("jitter_sent_ms", path.jitter_sent_ms, jitter / 3.0, 0.05 + jitter * 0.2);
    if let Some(measured) = path.rtt {
        about("rtt.smoothed_ms", Some(measured.smoothed_ms), rtt + jitter, 1.0 + jitter * 0.45);
        about("rtt.variation_ms", Some(measured.variation_ms), jitter / 3.0, 0.5 + jitter * 0.4);
        about("rtt.min_ms", Some(measured.min_ms), rtt, 1.0 + jitter * 0.3);
    }

    let brought: Vec<_> = received.brought(number_).collect();
    about("copies", Some(path.copies as f64), brought.len() as f64, MARGIN);
    let octets: usize = brought.iter().map(|(crossing, _)| crossing.len).sum();
    about("octets", Some(path.octets as f64), octets as f64, MARGIN_OCTETS);
    let left = &sent.lines[number_];
    about("copies_sent", Some(path.copies_sent as f64), left.len() as f64, MARGIN);
    let octets: usize = left.iter().map(|crossing| crossing.len).sum();
    about("octets_sent", Some(path.octets_sent as f64), octets as f64, MARGIN_OCTETS);
    let ten = |at: Duration, now: Duration| now - at <= SECOND * 10;
    let rate = |lens: Vec<usize>| [lens.len() as f64 / 10.0, lens.iter().sum::<usize>() as f64 / 10.0];
    let arriving = brought.iter().filter(|(_, at)| ten(*at, received.now));
    let [packets, octets] = rate(arriving.map(|(crossing, _)| crossing.len).collect());
    about("rate_received.packets_per_s", path.rate_received.packets_per_s, packets, packets * 0.04);
    about("rate_received.octets_per_s", path.rate_received.octets_per_s, octets, octets * 0.05);
    let leaving = left.iter().filter(|crossing| ten(crossing.sent, sent.now));
    let [packets, octets] = rate(leaving.map(|crossing| crossing.len).collect());
    about("rate_sent.packets_per_s", path.rate_sent.packets_per_s, packets, packets * 0.02);
    about("rate_sent.octets_per_s", path.rate_sent.octets_per_s, octets, octets * 0.03);

    let mut latest_first = Duration::MAX;
    let overtaken = brought.iter().rev().filter(|(_, at)| {
        let overtaken = *at > latest_first;
        latest_first = latest_first.min(*at);
        overtaken
    });
    about("overtaken", Some(path.overtaken as f64), overtaken.count() as f64, MARGIN);
    let datagrams = || 0..received.lines[0].len();
    let arrived = |datagram: usize| received.lines[number_][datagram].arrived;
    let firsts = datagrams().filter(|datagram| received.first(*datagram).is_some());
    let came_first = datagrams().filter(|datagram| {
        let at = arrived(*datagram);
        at.is_some() && at == received.first(*datagram)
    });
    let share = came_first.count() as f64 / firsts.count() as f64;
    about("first_share", path.first_share, share, 0.02);
    let late = datagrams().rev().filter_map(|datagram| Some(arrived(datagram)? - received.first(datagram)?));
    let late: Vec<_> = late.take(64).map(|late| late.as_secs_f64() * 1e3).collect();
    let mean = late.iter().sum::<f64>() / late.len() as f64;
    about("lateness_ms", Some(path.lateness_ms), mean, 3.0 + mean * 0.3);
    about("number", Some(path.number as f64), number_ as f64, 0.0);
}

fn check_peer(checks: &mut Checks, snapshot: &Snapshot, received: &Truth, sent: &Truth) {
    let peer = &snapshot.peers[0];
    let settled = received.settled();
    let recovered = |arrived: &[bool; 3]| !by_none(arrived) && arrived.contains(&false);
    checks.exactly("peers[].number", peer.number as u64, 0);
    checks.exactly("peers[].flows", peer.flows as u64, 1);
    checks.about("peers[].max_flows", peer.max_flows.map(|most| most as f64), MOST_FLOWS as f64, 0.0);
    checks.about("peers[].heard_ago_s", peer.heard_ago_s, 0.0, 0.1);
    checks.about("peers[].session_age_s", peer.session_age_s, snapshot.uptime_s, 0.5);
    let datagrams = peer.received.datagrams as f64;
    checks.about("peers[].received.datagrams", datagrams, settled.len() as f64, MARGIN);
    checks.about("peers[].received.lost", peer.received.lost as f64, number(&settled, by_none), MARGIN);
    let figure = peer.received.recovered as f64;
    checks.about("peers[].received.recovered", figure, number(&settled, recovered), MARGIN);
    let loss = peer.received.loss;
    checks.about("peers[].received.loss.last_10s", loss.last_10s, part(&received.recent(), by_none), 0.01);
    checks.about("peers[].received.loss.last_5min", loss.last_5min, part(&settled, by_none), 0.005);
    let theirs = part(&sent.settled(), by_none);
    checks.about("peers[].sent.loss_last_5min", peer.sent.loss_last_5min, theirs, 0.005);
    for path in &peer.paths {
        check_path(checks, path, received, sent);
    }

    // The two that were dead at the same times.
    assert_eq!(peer.pairs.len(), 1, "{:?}", peer.pairs);
    let [a, b] = peer.pairs[0].paths;
    checks.exactly("peers[].pairs[].paths[]", a as u64 * 10 + b as u64, 12);
    let lost = |path: usize| part(&settled, |arrived| !arrived[path]);
    let (p, q, both) = (lost(1), lost(2), part(&settled, |arrived| !arrived[1] && !arrived[2]));
    let expected = (both - p * q) / (p * (1.0 - p) * q * (1.0 - q)).sqrt();
    checks.about("peers[].pairs[].correlation", peer.pairs[0].correlation, expected, 0.03);
}

fn check_program(checks: &mut Checks, sim: &Sim, snapshot: &Snapshot, received: &Truth) {
    checks.exactly("schema", snapshot.schema.into(), SCHEMA.into());
    checks.about("uptime_s", snapshot.uptime_s, sim.now.as_secs_f64(), 0.001);
    let (out, back) = match snapshot.program {
        Program::Mpclient => (Way::Up, Way::Down),
        Program::Mpserver => (Way::Down, Way::Up),
    };
    let counters = &snapshot.counters;
    let (sent, delivered) = (sim.record(APP, out).sent.len(), sim.record(APP, back).count);
    checks.exactly("counters.datagrams_sent", counters.datagrams_sent, sent as u64);
    checks.exactly("counters.datagrams_received", counters.datagrams_received, delivered as u64);
    checks.exactly("counters.handshakes", counters.handshakes, 1);
    let copies: usize = (0..3).map(|path| received.brought(path).count()).sum();
    // The answer to the handshake comes over all three, too.
    let answers = if snapshot.program == Program::Mpclient { 2 } else { 0 };
    for (reject, figure) in &counters.rejected {
        let name = serde_json::to_value(reject).expect("a reason is a word");
        let name = format!("counters.rejected.{}", name.as_str().expect("a word"));
        match reject {
            Reject::Copy => {
                checks.about(&name, *figure as f64, (copies + answers - delivered) as f64, MARGIN)
            }
            // Nobody does any harm here; who does is for the tests of limits and of hostile packets.
            _ => checks.exactly(&name, *figure, 0),
        }
    }
    let holdings = serde_json::to_value(snapshot.holdings).expect("holdings are JSON");
    for (name, expected) in [
        ("peers", 1),
        ("sessions", 1),
        ("half_open", 0),
        ("paths", 3),
        ("flows", 1),
        ("waiting", 0),
        ("waiting_octets", 0),
    ] {
        checks.exactly(&format!("holdings.{name}"), holdings[name].as_u64().expect(name), expected);
    }
    for (number, event) in snapshot.events.iter().enumerate() {
        checks.exactly("events[].number", event.number, number as u64);
        // There is one peer, with the number 0, and this is about it.
        checks.about("events[].peer", event.peer.map(|number| number as f64), 0.0, 0.0);
        // All that has happened happened at the start.
        checks.about("events[].at_s", event.at_s, 1.0, 1.0);
        checks.about("events[].ago_s", event.ago_s, snapshot.uptime_s - event.at_s, 1e-6);
    }
}

#[test]
fn every_figure_of_a_snapshot_is_what_the_network_did() {
    let faults = RTTS.map(|rtt| Faults::new(Duration::from_millis(rtt), 0.0));
    let mut sim = Setup { max_flows: MOST_FLOWS, ..Setup::new(faults) }.connect(11);
    let (up, down) = ([0.1, 0.2, 0.3], [0.3, 0.02, 0.05]);
    for (path, bridge) in sim.bridges.iter_mut().enumerate() {
        for (line, losses) in [(&mut bridge.up, up), (&mut bridge.down, down)] {
            line.faults.loss = losses[path];
            line.faults.jitter = Duration::from_millis(JITTERS[path]);
            line.faults.reorder = true;
            line.log = Some(Vec::new());
        }
    }
    sim.streams(APP, PER_SECOND);
    for second in 0..SECONDS {
        if second == SECONDS - LAST {
            for line in sim.bridges.iter_mut().flat_map(|bridge| [&mut bridge.up, &mut bridge.down]) {
                line.faults.loss += 0.15;
            }
            sim.streams(APP, MORE_PER_SECOND);
        }
        for dead in [true, false] {
            sim.bridges[1].set_dead(dead);
            sim.bridges[2].set_dead(dead);
            sim.run_for(if dead { SECOND / 5 } else { SECOND * 4 / 5 });
        }
    }
    let [up, down] = [Way::Up, Way::Down].map(|way| Truth::new(&mut sim, way));
    let snapshot = |tunnel: &Tunnel| tunnel.snapshot(sim.instant());
    let (client, server) = (snapshot(sim.client(0)), snapshot(sim.server()));
    for (end, received, sent) in [(client, &down, &up), (server, &up, &down)] {
        let mut checks = Checks::default();
        check_program(&mut checks, &sim, &end, received);
        check_peer(&mut checks, &end, received, sent);
        let name = end.program.name();
        assert!(checks.wrong.is_empty(), "{name}:\n{}", checks.wrong.join("\n"));
        let mut all = BTreeSet::new();
        figures(&serde_json::to_value(&end).expect("a snapshot is JSON"), "", &mut all);
        let unchecked: Vec<_> = all.difference(&checks.checked).collect();
        assert!(unchecked.is_empty(), "{name} tells figures that nothing checks: {unchecked:?}");
    }
}

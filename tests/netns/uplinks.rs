//! `bind=`: bridges that are reached over a certain interface or address, which comes and goes while
//! datagrams flow. Another path carries them meanwhile, and nothing may be lost.

use std::thread;
use std::time::{Duration, Instant};

use super::lab::{Lab, Side, Version, address, announce, bridge_address, service_address};
use super::lossy_bridge::{Faults, LossyBridge};
use super::process::Process;
use super::programs::{SERVER_PORT, application, bridge_line, mpclient_with, mpserver, target};
use super::stream::{Echo, Stream};
use super::wait::poll_until;

/// Datagrams a second, and octets of each.
const RATE: u32 = 1000;
const LEN: usize = 200;

/// How soon a path is to carry again once its uplink is back: 2 s, and as much for a busy machine.
const REJOINED: Duration = Duration::from_secs(4);

/// How soon a path is called silent, with room for a busy machine.
const SILENT: Duration = Duration::from_secs(8);

/// How long a path is left without its uplink: long enough for intervals to have grown.
const WHILE: Duration = Duration::from_secs(6);

/// Both daemons with a stream through bridges at the usual places, the first of them over the uplink in
/// question.
struct Scene {
    client: Process,
    /// What the log calls the first path, and how often it was said to be up.
    path: String,
    ups: usize,
    stream: Stream,
    _bridges: Vec<LossyBridge>,
    _server: Process,
    lab: Lab,
}

impl Scene {
    fn new(test: &str, options: &str) -> Option<Self> {
        let lab = Lab::new(test, 2, &[])?;
        let bridges = lab.paths().map(|path| bridge(&lab, path, bridge_address(Version::V4, path))).collect();
        let line =
            |path, options: &str| format!("{}{options}", bridge_line(bridge_address(Version::V4, path)));
        let server = mpserver(&lab);
        let client = mpclient_with(&lab, &[line(1, options), line(2, " bind=p2")]);
        let stream = Stream::start(application(&lab), Echo::start(target(&lab)), RATE, LEN);
        stream.wait_until_it_flows(REJOINED);
        let over = options.replace(" bind=", " over ");
        let path = format!("bridge {}{over}", bridge_address(Version::V4, 1));
        let mut scene = Self { client, path, ups: 0, stream, _bridges: bridges, _server: server, lab };
        scene.rejoins("at the start");
        Some(scene)
    }

    /// Waits until the first path has been answered anew.
    fn rejoins(&mut self, what: &str) {
        let start = Instant::now();
        self.ups += 1;
        self.logs(self.ups, &format!("{} is up, round trip", self.path));
        announce(&format!("{what}: the path is up after {:?}", start.elapsed()));
    }

    /// Waits until so many lines of mpclient's log hold `text`.
    fn logs(&self, count: usize, text: &str) {
        let found = || self.client.log().lines().filter(|line| line.contains(text)).count();
        let limit = if text.contains("is silent") { SILENT } else { REJOINED };
        assert!(poll_until(limit, || found() >= count), "{} lines with {text:?}", found());
    }

    /// Leaves the first path alone for a while, then ends: nothing may have been lost.
    fn finish(self) {
        // mpserver sends to a new address once that has returned a token, some milliseconds later.
        thread::sleep(Duration::from_secs(1));
        self.lab.client.ip("link set p2 down");
        thread::sleep(Duration::from_secs(1));
        self.stream.finish_complete();
    }
}

/// A bridge in the middle of a path that loses nothing.
fn bridge(lab: &Lab, path: usize, listen: std::net::SocketAddr) -> LossyBridge {
    let to = service_address(Version::V4, path, SERVER_PORT);
    let started = lab.middle(path).enter(|| LossyBridge::start(listen, to, Faults::default(), 0));
    started.unwrap_or_else(|error| panic!("the bridge of path {path}: {error}"))
}

#[test]
fn an_interface_that_is_deleted_and_made_again_costs_its_own_path_alone() {
    let Some(mut scene) = Scene::new("made-again", " bind=p1") else { return };
    scene.lab.client.ip("link delete p1");
    scene.logs(1, "over p1: there is no interface p1; trying again each second");
    thread::sleep(WHILE);
    scene.lab.lay_link(1, Side::Client).expect("a cable that was there before");
    scene.rejoins("an interface made again");
    // Made again before anybody looks: the name is there all the time, the interface is another one.
    scene.lab.client.ip("link delete p1");
    scene.lab.lay_link(1, Side::Client).expect("a cable that was there before");
    scene.rejoins("an interface replaced");
    let complaints = scene.client.log().matches("over p1: ").count();
    assert_eq!(complaints, 1, "once a minute at most");
    scene.finish();
}

#[test]
fn an_interface_that_is_down_or_renamed_for_a_while_costs_its_own_path_alone() {
    let Some(mut scene) = Scene::new("down", " bind=p1") else { return };
    scene.lab.client.ip("link set p1 down");
    scene.logs(1, "over p1 is silent");
    thread::sleep(WHILE);
    scene.lab.client.ip("link set p1 up");
    scene.rejoins("an interface up again");
    scene.lab.client.ip("link set p1 down");
    scene.lab.client.ip("link set p1 name other");
    scene.lab.client.ip("link set other up");
    scene.logs(1, "over p1: there is no interface p1; trying again each second");
    thread::sleep(WHILE);
    scene.lab.client.ip("link set other down");
    scene.lab.client.ip("link set other name p1");
    scene.lab.client.ip("link set p1 up");
    scene.rejoins("an interface with its name again");
    scene.finish();
}

#[test]
fn an_interface_may_change_its_address() {
    let Some(mut scene) = Scene::new("address", " bind=p1") else { return };
    let ours = address(Side::Client, Version::V4, 1, 1);
    let other = address(Side::Client, Version::V4, 1, 7);
    scene.lab.client.ip(&format!("address del {ours}/24 dev p1"));
    scene.logs(1, "over p1 is silent");
    thread::sleep(WHILE);
    scene.lab.client.ip(&format!("address add {other}/24 dev p1"));
    scene.rejoins("another address");
    scene.finish();
}

/// Not on a bound interface: without a route, Linux takes everybody for a neighbour there.
#[test]
fn a_route_that_is_lost_for_a_while_costs_its_own_path_alone() {
    let Some(mut scene) = Scene::new("route", "") else { return };
    let ours = address(Side::Client, Version::V4, 1, 1);
    scene.lab.client.ip("route del 10.77.1.0/24 dev p1");
    scene.logs(1, "bridge 10.77.1.2:4000 is silent");
    thread::sleep(WHILE);
    scene.lab.client.ip(&format!("route add 10.77.1.0/24 dev p1 src {ours}"));
    scene.rejoins("the route back");
    scene.finish();
}

#[test]
fn an_address_to_bind_to_may_be_missing_for_a_while() {
    let ours = address(Side::Client, Version::V4, 1, 1);
    let Some(mut scene) = Scene::new("bound-address", &format!(" bind={ours}")) else { return };
    scene.lab.client.ip(&format!("address del {ours}/24 dev p1"));
    scene.logs(1, &format!("no interface has the address {ours}; trying again each second"));
    thread::sleep(WHILE);
    scene.lab.client.ip(&format!("address add {ours}/24 dev p1"));
    scene.rejoins("the address back");
    scene.finish();
}

#[test]
fn one_bridge_over_two_interfaces_is_two_paths() {
    let Some(lab) = Lab::new("two-uplinks", 2, &[]) else { return };
    let shared = "10.99.0.1";
    let bridges: Vec<_> = lab
        .paths()
        .map(|path| {
            lab.middle(path).ip(&format!("address add {shared}/32 dev lo"));
            let gateway = address(Side::Client, Version::V4, path, 2);
            lab.client.ip(&format!("route add {shared}/32 via {gateway} dev p{path} metric {path}"));
            bridge(&lab, path, (shared.parse::<std::net::IpAddr>().expect("an address"), 4000).into())
        })
        .collect();
    let _server = mpserver(&lab);
    let line = |path| format!("{shared} 4000 bind=p{path}");
    let mut client = mpclient_with(&lab, &[line(1), line(2)]);
    let stream = Stream::start(application(&lab), Echo::start(target(&lab)), RATE, LEN);
    stream.wait_until_it_flows(REJOINED);
    for path in lab.paths() {
        client.wait_for_line(&format!("bridge {shared}:4000 over p{path} is up"), REJOINED);
    }
    assert!(!client.log().contains("twice"), "no warning of a bridge that is there twice");
    for silent in lab.paths() {
        bridges[silent - 1].set_dead(true);
        let before = stream.sent();
        thread::sleep(Duration::from_secs(1));
        assert!(stream.sent() > before);
        bridges[silent - 1].set_dead(false);
        thread::sleep(REJOINED / 2);
    }
    stream.finish_complete();
}

//! A real OpenVPN over the tunnel: it outlives the death of every part of it, and it is fast where one
//! bridge alone is not.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use super::lab::{Lab, Version, announce, bridge_address};
use super::lossy_bridge::LossyBridge;
use super::openvpn::{Measurement, Throughput, Vpn};
use super::process::Process;
use super::programs::{
    APPLICATIONS, SERVER_PORT, TARGET_PORT, lossy_bridge, mpclient, mpserver, mpserver_with_names,
    socat_bridge,
};

const PROGRAMS: [&str; 5] = ["nft", "socat", "openvpn", "openssl", "iperf3"];

/// How long a killed part stays dead, and how long the others then have before the next one dies.
const OUTAGE: Duration = Duration::from_millis(500);
const RECOVERY: Duration = Duration::from_millis(2000);

/// What each lossy bridge of our own does to a datagram, each way.
const LOSS: f64 = 0.05;
const DELAY: Duration = Duration::from_millis(20);

fn through_mpclient() -> SocketAddr {
    APPLICATIONS.parse().expect("an address")
}

#[test]
fn a_vpn_outlives_mpserver_and_every_bridge() {
    let Some(lab) = Lab::new("outlives", 3, &PROGRAMS) else { return };
    for path in lab.paths() {
        lab.lose(path, 5);
    }
    let bridge = |path| socat_bridge(&lab, path, Version::V4, SERVER_PORT);
    let mut bridges: Vec<Process> = lab.paths().map(bridge).collect();
    let mut server = mpserver(&lab);
    let _client = mpclient(&lab, Version::V4);
    let vpn = Vpn::start(&lab, through_mpclient());

    let measurement = Measurement::start(&lab, 14);
    thread::sleep(RECOVERY);
    server.kill();
    thread::sleep(OUTAGE);
    let _server = mpserver(&lab);
    for path in lab.paths() {
        thread::sleep(RECOVERY);
        bridges[path - 1].kill();
        thread::sleep(OUTAGE);
        bridges[path - 1] = bridge(path);
    }
    let throughput = measurement.finish();

    announce(&format!(
        "OpenVPN over three socat bridges that lose 5 %, while mpserver and each bridge died: {:.1} Mbps",
        throughput.megabits_per_second
    ));
    vpn.assert_passes(&lab);
    vpn.assert_never_interrupted();
}

#[test]
fn a_vpn_that_knows_its_client_by_its_address_outlives_mpclient() {
    let Some(lab) = Lab::new("keeps-address", 3, &PROGRAMS) else { return };
    for path in lab.paths() {
        lab.lose(path, 5);
    }
    let _bridges: Vec<Process> =
        lab.paths().map(|path| socat_bridge(&lab, path, Version::V4, SERVER_PORT)).collect();
    let _server = mpserver_with_names(&lab);
    let mut client = mpclient(&lab, Version::V4);
    let vpn = Vpn::start_without_float(&lab, through_mpclient());
    let address = vpn.client_address(&lab);

    let measurement = Measurement::start(&lab, 9);
    for _ in 0..3 {
        thread::sleep(RECOVERY);
        client.kill();
        thread::sleep(OUTAGE);
        client = mpclient(&lab, Version::V4);
    }
    let throughput = measurement.finish();

    announce(&format!(
        "OpenVPN without float over three socat bridges that lose 5 %, while mpclient died three times: {:.1} Mbps",
        throughput.megabits_per_second
    ));
    vpn.assert_passes(&lab);
    vpn.assert_never_interrupted();
    assert_eq!(vpn.client_address(&lab), address, "OpenVPN's server has seen its client move");
}

#[test]
fn a_vpn_moves_twenty_times_the_octets_of_one_lossy_bridge() {
    let Some(lab) = Lab::new("throughput", 3, &PROGRAMS) else { return };
    let alone = {
        let _bridge = lossy_bridge(&lab, 1, TARGET_PORT, LOSS, DELAY);
        let _vpn = Vpn::start(&lab, bridge_address(Version::V4, 1));
        measure(&lab)
    };
    let together = {
        let bridge = |path| lossy_bridge(&lab, path, SERVER_PORT, LOSS, DELAY);
        let _bridges: Vec<LossyBridge> = lab.paths().map(bridge).collect();
        let _server = mpserver(&lab);
        let _client = mpclient(&lab, Version::V4);
        let _vpn = Vpn::start(&lab, through_mpclient());
        measure(&lab)
    };
    let ratio = together.octets / alone.octets;
    announce(&format!("the tunnel moved {ratio:.1} times the octets of one bridge alone"));
    assert!(ratio >= 20.0, "only {ratio:.1} times the octets: {together:?} against {alone:?}");
    assert!(together.megabits_per_second >= 25.0, "only {together:?}");
}

/// The middle one of three measurements of 8 seconds.
fn measure(lab: &Lab) -> Throughput {
    let mut runs: Vec<Throughput> = (0..3).map(|_| Measurement::start(lab, 8).finish()).collect();
    runs.sort_by(|one, other| one.octets.total_cmp(&other.octets));
    let shown: Vec<String> = runs.iter().map(|run| format!("{:.2}", run.megabits_per_second)).collect();
    announce(&format!("OpenVPN moved {} Mbps", shown.join(", ")));
    runs[1]
}

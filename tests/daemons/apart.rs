//! Many applications at one mpclient, many mpclients at one mpserver: each gets its own replies only.

use std::collections::{HashMap, HashSet};
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use super::setup::{KEYED, Setup, V4, lines};
use crate::lossy_bridge::Faults;
use crate::process::PATIENCE;
use crate::stream::Listener;
use crate::wait::poll_until;

/// Datagrams of each application.
const DATAGRAMS: u32 = 300;

/// A target that answers each datagram with the datagram and the address that it saw.
fn start_target(socket: UdpSocket) -> Listener {
    Listener::start(socket, |socket, octets, source| {
        let reply = [octets, source.to_string().as_bytes()].concat();
        let _ = socket.send_to(&reply, source);
    })
}

/// Sends from all applications in turn, and asserts that each gets all its own replies once, and nothing else. Returns the
/// addresses under which the target knows them.
fn assert_own_replies(applications: &[UdpSocket]) -> Vec<SocketAddr> {
    const HEAD_LEN: usize = 8;
    let head = |application: usize, number: u32| {
        let application = u32::try_from(application).expect("there are few applications");
        [application.to_be_bytes(), number.to_be_bytes()].concat()
    };
    wait_for_the_first(applications);
    thread::scope(|scope| {
        let receivers: Vec<_> = applications
            .iter()
            .enumerate()
            .map(|(index, application)| {
                scope.spawn(move || {
                    let mut awaited: HashSet<Vec<u8>> =
                        (0..DATAGRAMS).map(|number| head(index, number)).collect();
                    let mut seen_as = HashSet::new();
                    let deadline = Instant::now() + PATIENCE;
                    let mut quiet_since = Instant::now();
                    let mut buffer = [0; 256];
                    // The last bit of waiting is for replies that should not come.
                    while !awaited.is_empty() || quiet_since.elapsed() < Duration::from_millis(300) {
                        assert!(
                            Instant::now() < deadline,
                            "application {index}: {} did not come",
                            awaited.len()
                        );
                        let Ok(len) = application.recv(&mut buffer) else { continue };
                        if buffer[..len].starts_with(b"first") {
                            continue;
                        }
                        quiet_since = Instant::now();
                        let (head, address) = buffer[..len].split_at(HEAD_LEN);
                        assert!(
                            awaited.remove(head),
                            "application {index} got {head:?}: another's, or twice"
                        );
                        seen_as.insert(String::from_utf8_lossy(address).into_owned());
                    }
                    assert_eq!(
                        seen_as.len(),
                        1,
                        "application {index} has one address at the target: {seen_as:?}"
                    );
                    seen_as
                        .iter()
                        .next()
                        .and_then(|address| address.parse().ok())
                        .expect("the target sends an address")
                })
            })
            .collect();
        for number in 0..DATAGRAMS {
            for (index, application) in applications.iter().enumerate() {
                application.send(&head(index, number)).expect("mpclient listens");
            }
            // Some hundred datagrams a tenth of a second: no buffer overflows.
            thread::sleep(Duration::from_millis(5));
        }
        receivers
            .into_iter()
            .map(|receiver| receiver.join().expect("an application's assertions hold"))
            .collect()
    })
}

/// Waits until each application has had a reply, so that what follows meets a tunnel that is up.
fn wait_for_the_first(applications: &[UdpSocket]) {
    for application in applications {
        let replied = poll_until(PATIENCE, || {
            let _ = application.send(b"first");
            application.recv(&mut [0; 256]).is_ok()
        });
        assert!(replied, "an application gets no reply within {PATIENCE:?}");
    }
}

fn assert_all_different(addresses: &[SocketAddr]) {
    let mut applications = HashMap::new();
    for (index, address) in addresses.iter().enumerate() {
        let other = applications.insert(address, index);
        assert_eq!(other, None, "application {index} and another one are {address} at the target");
    }
}

#[test]
fn ten_applications_at_one_mpclient_get_their_own_replies() {
    let setup = Setup::new("apart-applications", V4);
    let bridges = setup.three_bridges(Faults::default());
    let _target = start_target(setup.target());
    let _mpserver = setup.mpserver(KEYED);
    let _mpclient = setup.mpclient(&lines(&bridges), KEYED);
    let applications: Vec<_> = (0..10).map(|_| setup.application()).collect();
    assert_all_different(&assert_own_replies(&applications));
}

#[test]
fn three_mpclients_at_one_mpserver_get_their_own_replies() {
    let setup = Setup::new("apart-clients", V4);
    // All three use the same bridges.
    let bridges = setup.three_bridges(Faults::default());
    let _target = start_target(setup.target());
    let _mpserver = setup.mpserver(KEYED);
    let mut clients = Vec::new();
    let mut applications = Vec::new();
    for number in 0..3 {
        let client = Setup::new(&format!("apart-client-{number}"), V4);
        clients.push(client.mpclient(&lines(&bridges), KEYED));
        applications.extend([client.application(), client.application()]);
    }
    assert_all_different(&assert_own_replies(&applications));
}

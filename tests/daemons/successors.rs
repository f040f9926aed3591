//! mpclient with a key of its own is killed and started again: its target does not notice.

use std::net::{SocketAddr, UdpSocket};

use super::setup::{KEYED, Setup, V4, lines};
use crate::lossy_bridge::Faults;
use crate::process::{PATIENCE, Running};
use crate::wait::poll_until;

const KEY: &str = KEYED[0].1;

/// Where the target sees an application whose datagrams come through, and answers it.
fn seen_at(application: &UdpSocket, target: &UdpSocket) -> SocketAddr {
    let mut octets = [0; 64];
    let mut source = None;
    let comes = || {
        // It may be refused while mpclient is away.
        let _ = application.send(b"hello");
        source = target.recv_from(&mut octets).ok().map(|(_, source)| source);
        source.is_some()
    };
    assert!(poll_until(PATIENCE, comes), "nothing comes to the target");
    let source = source.expect("it has come");
    let answered = || target.send_to(b"welcome", source).is_ok() && application.recv(&mut [0; 64]).is_ok();
    assert!(poll_until(PATIENCE, answered), "nothing comes to the application");
    // What is still under way belongs to this life of mpclient.
    while target.recv_from(&mut octets).is_ok() {}
    source
}

/// Where the target sees an application in four lives of its mpclient.
fn four_lives(setup: &Setup, mpserver: &Running) -> [SocketAddr; 4] {
    let bridges = setup.three_bridges(Faults { loss: 0.05, ..Faults::default() });
    let (application, target) = (setup.application(), setup.target());
    let lives = [0, 1, 2, 3].map(|_| {
        let mpclient = setup.mpclient(&lines(&bridges), KEYED);
        let source = seen_at(&application, &target);
        mpclient.kill();
        source
    });
    mpserver.wait_for_lines(4, "has connected from");
    lives
}

#[test]
fn a_killed_mpclient_with_its_own_key_keeps_the_address_that_the_target_knows() {
    let setup = Setup::new("successors-keys", V4);
    let keys = setup.write("keys", &format!("home {KEY}\n"));
    let mpserver = setup.mpserver_and(&["--keys", &keys], &[]);
    let lives = four_lives(&setup, &mpserver);
    assert_eq!(lives, [lives[0]; 4], "{}", mpserver.log());
    mpserver.wait_for_lines(3, "(home) goes on where client");
}

#[test]
fn a_killed_mpclient_with_a_key_for_all_comes_from_elsewhere() {
    let setup = Setup::new("successors-key", V4);
    let mpserver = setup.mpserver(KEYED);
    let [first, rest @ ..] = four_lives(&setup, &mpserver);
    assert!(rest.iter().all(|source| *source != first), "{first} and then {rest:?}");
}

//! SIGHUP: what is changed, what takes a restart, and what a wrong file changes (nothing).

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use super::{folder, taken_port, write};
use crate::process::{MPCLIENT, MPSERVER, Running};

/// Two keys as `mpserver genkey` prints them.
const KEYS: [&str; 2] =
    ["AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "bXB0dW5uZWwgdGVzdHMgdXNlIHRoaXMga2V5IG9ubHk="];

/// A running mpclient with its file and its key file.
struct Client {
    folder: std::path::PathBuf,
    listen: SocketAddr,
    running: Running,
}

impl Client {
    /// Starts it with one bridge that nobody listens at. Once that is said, it takes signals.
    fn start(test: &str) -> Self {
        let folder = folder(test);
        let listen = taken_port().1;
        write(&folder, "key", KEYS[0]);
        let file = write(&folder, "mpclient.conf", &format!("{}\n{}", settings(listen), bridge(free_port())));
        let running = Running::start(MPCLIENT, &[&file], &[]);
        running.wait_for_lines(1, "cannot be reached");
        Self { folder, listen, running }
    }

    /// Has it read other contents. Its log holds all of these afterwards.
    fn reads(&self, contents: &str, expected: &[&str]) {
        write(&self.folder, "mpclient.conf", contents);
        self.running.signal("HUP");
        expected.iter().for_each(|text| self.running.wait_for_lines(1, text));
    }
}

fn free_port() -> u16 {
    taken_port().1.port()
}

fn settings(listen: SocketAddr) -> String {
    format!("listen = {listen}\nkey-file = key")
}

fn bridge(port: u16) -> String {
    format!("127.0.0.1 {port}")
}

#[test]
fn a_wrong_file_changes_nothing_and_all_its_mistakes_are_told() {
    let client = Client::start("reload_mistakes");
    client.reads(
        "1.2.3.4\n1.2.3.4 4000 bind=::1\nkey-file = nowhere\n",
        &[
            "mpclient.conf:1: bridge \"1.2.3.4\" has no port",
            "mpclient.conf:2: bind ::1 is an IPv6 address",
            "mpclient.conf was read again, and has mistakes: nothing is changed",
        ],
    );
    assert!(!client.running.log().contains("as before"), "{}", client.running.log());
    // What it needs for another try is there.
    let text = format!("{}\n{}", settings(client.listen), bridge(free_port()));
    client.reads(&text, &["bridges: 0 as before, 1 new, 1 taken out"]);
}

#[test]
fn what_takes_a_restart_is_named() {
    let client = Client::start("reload_restart");
    let other = taken_port().1;
    write(&client.folder, "key", KEYS[1]);
    client.reads(
        &format!("{}\n{}", settings(other), bridge(free_port())),
        &[
            &format!("listen is {other} now, which takes a restart: until then it is {}", client.listen),
            "the key is another one now, which takes a restart of both ends",
            "bridges: 0 as before, 1 new, 1 taken out",
        ],
    );
    let log = client.running.log();
    assert!(!KEYS.iter().any(|key| log.contains(&key[..8])), "a key is shown: {log}");
}

#[test]
fn mpserver_says_that_it_has_nothing_to_read_again() {
    let target = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let target_port = target.local_addr().expect("an address").port().to_string();
    let (port, folder) = (free_port(), folder("reload_server"));
    let server =
        Running::start(MPSERVER, &["--bind", "127.0.0.1", &port.to_string(), "127.0.0.1", &target_port], &[]);
    let file = write(&folder, "mpclient.conf", &format!("{}\nlisten = {}", bridge(port), taken_port().1));
    let client = Running::start(MPCLIENT, &[&file], &[]);
    // A server that answers takes signals.
    client.wait_for_lines(1, "connected to mpserver");
    server.signal("HUP");
    server.wait_for_lines(1, "SIGHUP changes nothing here");
    server.signal("TERM");
    assert_eq!(server.finish().code, Some(0));
}

/// A running mpserver with a key for each client.
fn server_with_keys(test: &str, keys: &str) -> (std::path::PathBuf, Running) {
    let folder = folder(test);
    let file = write(&folder, "keys", keys);
    let args = ["--keys", &file, "--bind", "127.0.0.1", &free_port().to_string(), "192.0.2.1", "9"];
    let running = Running::start(MPSERVER, &args, &[]);
    running.wait_for_lines(1, "a key for each client from --keys");
    (folder, running)
}

#[test]
fn a_keys_file_with_mistakes_changes_nothing_and_all_its_mistakes_are_told() {
    let [alice, bob] = KEYS;
    let (folder, server) = server_with_keys("reload_keys_mistakes", &format!("alice {alice}\n"));
    let reads = |contents: &str, expected: &[&str]| {
        write(&folder, "keys", contents);
        server.signal("HUP");
        expected.iter().for_each(|text| server.wait_for_lines(1, text));
    };
    reads(
        &format!("alice {alice}\nalice {bob}\n\n# and\nbob {}\n", &bob[..40]),
        &[
            "keys:2: the name alice is in line 1 already",
            "keys:5: the key of bob is not a key: it has 40 characters",
            "keys was read again, and has mistakes: nothing is changed",
        ],
    );
    assert!(!server.log().contains("as before"), "{}", server.log());
    reads("# nobody any more\n", &["holds no key, so nobody could connect"]);
    reads(
        &format!("alice {alice}\nbob {bob}\n"),
        &["keys was read again", "keys: 1 as before, 1 new, 0 taken out"],
    );
    reads(&format!("bob {bob}\n"), &["keys: 1 as before, 0 new, 1 taken out"]);
    assert!(!KEYS.iter().any(|key| server.log().contains(&key[..8])), "a key is shown: {}", server.log());
}

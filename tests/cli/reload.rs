//! SIGHUP: what is changed, what takes a restart, and what a wrong file changes (nothing).

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use mptunnel::tunnel::snapshot::Program;

use super::{folder, taken_port, write};
use crate::daemons::status::snapshot;
use crate::process::{MPCLIENT, MPSERVER, PATIENCE, Running};
use crate::wait::poll_until;

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
            "SIGHUP changed nothing: ",
            "mpclient.conf:1: bridge \"1.2.3.4\" has no port: write \"HOST PORT\" (and 1 more mistake, which the log names)",
            "mpclient.conf:2: bind ::1 is an IPv6 address",
        ],
    );
    assert!(!client.running.log().contains("as before"), "{}", client.running.log());
    let refused = || snapshot(&client.running, Program::Mpclient).reload_refused;
    assert!(refused(), "what runs is older than the file");
    // What it needs for another try is there.
    let text = format!("{}\n{}", settings(client.listen), bridge(free_port()));
    client.reads(&text, &["bridges: 0 as before; new: 127.0.0.1:"]);
    // A snapshot is shown for a fifth of a second.
    assert!(poll_until(PATIENCE, || !refused()), "the file is in use");
}

#[test]
fn what_is_different_is_named_with_what_it_was_and_nothing_where_nothing_is() {
    let client = Client::start("reload_changes");
    let [stays, other] = [free_port(), free_port()];
    let text = |more: &str| format!("{}\n{}\n{more}", settings(client.listen), bridge(stays));
    client.reads(&text(""), &["bridges: 0 as before; new: 127.0.0.1:"]);
    client.reads(&text(""), &["mpclient.conf was read again: nothing is different"]);
    write(&client.folder, "users", "ann secret\nbob secret\n");
    let (forward, socks5) = (taken_port().1, taken_port().1);
    client.reads(
        &text(&format!(
            "{} backup\ncopies = 2\nsummary = 90s\nmax-flows = 7\nmetrics = 127.0.0.1:9\nforward = {forward} a:1\n\
             socks5 = {socks5}\nsocks5-users = users\n",
            bridge(other)
        )),
        &[
            "metrics is 127.0.0.1:9 now, which takes a restart: until then it is off",
            "summary: 90s now, 10min before",
            "max-flows is 7 now, which takes a restart: until then it is 1024",
            &format!("socks5 is {socks5} now, which takes a restart: until then it is off"),
            &format!("{forward} is forwarded to a:1"),
            "copies: 2 now, all before",
            &format!("bridges: 1 as before; new: 127.0.0.1:{other}"),
        ],
    );
    let swapped =
        format!("{}\n{} backup\n{}\ntarget-loss = 1%", settings(client.listen), bridge(stays), bridge(other));
    client.reads(
        &swapped,
        &[
            "summary: 10min now, 90s before",
            "copies: target-loss 1 % now, 2 before",
            &format!("{forward} is no longer forwarded to a:1"),
            &format!(
                "bridges: 0 as before; backup from now on: 127.0.0.1:{stays}; backup no longer: 127.0.0.1:{other}"
            ),
        ],
    );
    assert_eq!(client.running.log().matches("nothing is different").count(), 1, "{}", client.running.log());
}

#[test]
fn a_forward_that_cannot_listen_is_told_and_tried_again_at_the_next_reload() {
    let client = Client::start("reload_forward");
    let (taken, forward) = taken_port();
    let text = format!("{}\n{}\nforward = {forward} a:1\n", settings(client.listen), bridge(free_port()));
    client.reads(
        &text,
        &[
            &format!("{forward} is forwarded to a:1"),
            &format!("cannot listen on {forward}: Address already in use"),
            "; SIGHUP tries again",
        ],
    );
    drop(taken);
    client.running.signal("HUP");
    client.running.wait_for_lines(2, &format!("{forward} is forwarded to a:1"));
    client.running.signal("HUP");
    client.running.wait_for_lines(1, "was read again: nothing is different");
    assert_eq!(client.running.log().matches("SIGHUP tries again").count(), 1, "{}", client.running.log());
}

#[test]
fn a_file_that_is_gone_is_no_mistake_in_it_and_changes_nothing() {
    let client = Client::start("reload_gone");
    let path = client.folder.join("mpclient.conf");
    std::fs::remove_file(&path).expect("it was written");
    client.running.signal("HUP");
    let expected = format!(
        "SIGHUP changed nothing: the configuration file {} cannot be read any more: No such file or directory \
         (os error 2); put it back, and send SIGHUP again",
        path.display()
    );
    client.running.wait_for_lines(1, &expected);
    let (folder, server) = server_with_keys("reload_keys_gone", &format!("alice {}\n", KEYS[0]));
    std::fs::remove_file(folder.join("keys")).expect("it was written");
    server.signal("HUP");
    server.wait_for_lines(1, "keys cannot be read any more: No such file or directory");
    server.wait_for_lines(1, "put it back, and send SIGHUP again");
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
            "the key is another one now, which takes a restart of mpclient",
            "bridges: 0 as before; new: 127.0.0.1:",
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
            "SIGHUP changed nothing: ",
        ],
    );
    assert!(!server.log().contains("as before"), "{}", server.log());
    reads("# nobody any more\n", &["holds no key, so nobody could connect"]);
    reads(&format!("alice {alice}\nbob {bob}\n"), &["keys was read again", "keys: 1 as before; new: bob"]);
    reads(&format!("bob {bob}\n"), &["keys: 1 as before; taken out: alice"]);
    reads(&format!("bob {alice}\n"), &["keys: 0 as before; another key: bob"]);
    reads(&format!("# the same\nbob {alice}\n"), &["keys was read again: nothing is different"]);
    assert!(!KEYS.iter().any(|key| server.log().contains(&key[..8])), "a key is shown: {}", server.log());
}

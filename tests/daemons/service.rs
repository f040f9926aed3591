//! What a service manager is told (sd_notify(3)). This process plays the manager.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use super::setup::{KEYED, Setup, V4, line};
use crate::process::{MPCLIENT, PATIENCE, Running, RuntimeFolder};

/// How often the watchdog must be heard of in these tests.
const WATCHDOG: Duration = Duration::from_millis(800);

/// The manager's end: a socket that services write to.
struct Manager {
    socket: UnixDatagram,
    folder: RuntimeFolder,
    told: Vec<String>,
}

impl Manager {
    fn new() -> Self {
        let folder = RuntimeFolder::new();
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
        Self { socket, folder, told: Vec::new() }
    }

    /// The variables that a service gets, with those that any program here gets.
    fn variables(&self) -> Vec<(String, String)> {
        let path = self.folder.path().join("notify").display().to_string();
        let ours = [("NOTIFY_SOCKET", path.as_str()), ("WATCHDOG_USEC", &WATCHDOG.as_micros().to_string())]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let keyed = KEYED.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        ours.into_iter().chain(keyed).collect()
    }

    /// The next line that is there within this time.
    fn next(&mut self, within: Duration) -> Option<String> {
        if self.told.is_empty() {
            self.socket.set_read_timeout(Some(within)).expect("a time that is not zero");
            let mut message = [0; 4096];
            let len = match self.socket.recv(&mut message) {
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) => panic!("the manager's socket fails: {error}"),
            };
            let text = String::from_utf8_lossy(&message[..len]);
            self.told = text.lines().rev().map(str::to_owned).collect();
        }
        self.told.pop()
    }

    /// Waits for this line. Returns those before it.
    fn wait_for(&mut self, expected: &str) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut before = Vec::new();
        while Instant::now() < deadline {
            match self.next(Duration::from_millis(100)) {
                Some(line) if line == expected => return before,
                line => before.extend(line),
            }
        }
        panic!("the manager is not told {expected}: {before:?}");
    }

    /// Takes all that has been told by now.
    fn forget(&mut self) {
        while self.next(Duration::from_millis(1)).is_some() {}
    }
}

fn borrowed(variables: &[(String, String)]) -> Vec<(&str, &str)> {
    variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[test]
fn mpserver_is_ready_when_it_listens_and_mpclient_when_its_first_path_is_up() {
    let setup = Setup::new("service-ready", V4);
    let mut of_client = Manager::new();
    let variables = of_client.variables();
    let _mpclient = setup.mpclient(&[line(setup.server)], &borrowed(&variables));
    // With the first time, a second one: the loop has turned, and nothing came of it.
    let mut before = of_client.wait_for("WATCHDOG=1");
    before.extend(of_client.wait_for("WATCHDOG=1"));
    assert_eq!(before, ["STATUS=no path is up, of 1 bridge"]);

    let mut of_server = Manager::new();
    let variables = of_server.variables();
    let _mpserver = setup.mpserver(&borrowed(&variables));
    assert_eq!(of_server.wait_for("READY=1"), [""; 0]);
    of_server.wait_for("STATUS=0 clients, 0 paths up");
    of_server.wait_for("STATUS=1 client, 1 path up");

    let before = of_client.wait_for("READY=1");
    assert!(before.iter().all(|line| line == "WATCHDOG=1"), "{before:?}");
    of_client.wait_for("STATUS=1 of 1 path up");
}

#[test]
fn the_watchdog_is_silent_while_the_loop_stands_still() {
    let setup = Setup::new("service-watchdog", V4);
    let mut manager = Manager::new();
    let variables = manager.variables();
    let mpserver = setup.mpserver(&borrowed(&variables));
    manager.wait_for("READY=1");
    for _ in 0..3 {
        let asked = Instant::now();
        manager.wait_for("WATCHDOG=1");
        // Half of what the manager takes, and some for a busy machine; idle, the loop turns once a second.
        assert!(asked.elapsed() < WATCHDOG, "{:?}", asked.elapsed());
    }
    mpserver.signal("STOP");
    manager.forget();
    assert_eq!(manager.next(WATCHDOG * 2), None);
    mpserver.signal("CONT");
    manager.wait_for("WATCHDOG=1");
}

#[test]
fn reading_the_configuration_again_and_the_end_are_told() {
    let setup = Setup::new("service-reload", V4);
    let mut manager = Manager::new();
    let variables = manager.variables();
    let _mpserver = setup.mpserver(KEYED);
    let configuration = setup.configure(&[line(setup.server)]);
    let mpclient = Running::start(MPCLIENT, &[&configuration], &borrowed(&variables));
    manager.wait_for("READY=1");
    setup.configure(&[line(setup.server), "127.0.0.1 1".to_owned()]);
    mpclient.signal("HUP");
    manager.wait_for("RELOADING=1");
    let time = manager.next(PATIENCE).expect("the time");
    assert!(time.starts_with("MONOTONIC_USEC="), "{time}");
    manager.wait_for("READY=1");
    manager.wait_for("STATUS=1 of 2 paths up");
    // systemctl reload succeeds whatever comes of it.
    setup.configure(&["127.0.0.1".to_owned()]);
    mpclient.signal("HUP");
    manager.wait_for("READY=1");
    let status = manager.next(PATIENCE).expect("a status");
    let begin = format!(
        "STATUS=1 of 2 paths up; SIGHUP changed nothing: {configuration}:1: bridge \"127.0.0.1\" has no port"
    );
    assert!(status.starts_with(&begin), "{status}");
    setup.configure(&[line(setup.server)]);
    mpclient.signal("HUP");
    manager.wait_for("READY=1");
    manager.wait_for("STATUS=1 of 1 path up");
    mpclient.signal("TERM");
    manager.wait_for("STOPPING=1");
    assert_eq!(mpclient.finish().code, Some(0));
}

#[test]
fn a_manager_that_is_gone_is_told_of_in_one_line() {
    let setup = Setup::new("service-gone", V4);
    let manager = Manager::new();
    let variables = manager.variables();
    drop(manager);
    let mpserver = setup.mpserver(&borrowed(&variables));
    mpserver.wait_for_lines(1, "cannot tell the service manager at NOTIFY_SOCKET how it goes: ");
    mpserver.signal("TERM");
    let finished = mpserver.finish();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(finished.stderr.matches("NOTIFY_SOCKET").count(), 1, "{finished:?}");
}

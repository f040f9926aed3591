//! The programs of the tunnel, started as their users start them: both daemons, and bridges.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mptunnel::tunnel::snapshot::Snapshot;
use rustix::net::sockopt::set_socket_recv_buffer_size_force;

use super::lab::{Lab, Version, bridge_address, printed, service_address};
use super::lossy_bridge::{Faults, LossyBridge};
use super::process::{Process, Protocol};

/// Where mpclient takes the applications' datagrams.
pub(crate) const APPLICATIONS: &str = "127.0.0.1:3000";

/// Where mpserver takes bridges' datagrams.
pub(crate) const SERVER_PORT: u16 = 2000;

/// Where mpserver's target listens.
pub(crate) const TARGET_PORT: u16 = 1194;

/// Octets of receive buffer at the ends and in bridges.
const BUFFER_LEN: usize = 4 << 20;

/// A key as `mpserver genkey` prints it. Any 32 octets will do.
const KEY: &str = "bXB0dW5uZWwgdGVzdHMgdXNlIHRoaXMga2V5IG9ubHk=";

/// Starts mpserver and waits until it listens.
pub(crate) fn mpserver(lab: &Lab) -> Process {
    start_mpserver(lab, "--key-file", &key_file(lab))
}

/// Starts mpserver with a key for each client, of whom there is one, and waits until it listens.
pub(crate) fn mpserver_with_names(lab: &Lab) -> Process {
    start_mpserver(lab, "--keys", &secret_file(lab, "keys", &format!("home {KEY}")))
}

fn start_mpserver(lab: &Lab, key_option: &str, key_file: &Path) -> Process {
    let mut command = lab.server.command(env!("CARGO_BIN_EXE_mpserver"));
    command.env("RUST_LOG", "debug");
    command.arg(key_option).arg(key_file);
    command.args([&SERVER_PORT.to_string(), "127.0.0.1", &TARGET_PORT.to_string()]);
    let mut mpserver = Process::start("mpserver", &mut command, lab.directory());
    mpserver.wait_for_port(Protocol::Udp, SERVER_PORT);
    mpserver
}

/// Starts mpclient with a bridge for each path of the lab.
pub(crate) fn mpclient(lab: &Lab, version: Version) -> Process {
    let bridges: Vec<String> = lab.paths().map(|path| bridge_line(bridge_address(version, path))).collect();
    mpclient_with(lab, &bridges)
}

/// Starts mpclient with these bridges, lines of its configuration, and waits until it listens.
pub(crate) fn mpclient_with(lab: &Lab, bridges: &[String]) -> Process {
    let configuration = lab.directory().join("mpclient.conf");
    let text =
        format!("{}\nlisten = {APPLICATIONS}\nkey-file = {}\n", bridges.join("\n"), key_file(lab).display());
    fs::write(&configuration, text).expect("writing the configuration");
    let mut command = lab.client.command(env!("CARGO_BIN_EXE_mpclient"));
    command.env("RUST_LOG", "debug");
    let mut mpclient = Process::start("mpclient", command.arg(&configuration), lab.directory());
    mpclient.wait_for_port(Protocol::Udp, 3000);
    mpclient
}

/// What mpclient and mpserver tell of themselves.
pub(crate) fn snapshots(lab: &Lab) -> [Snapshot; 2] {
    let ends = [(&lab.client, env!("CARGO_BIN_EXE_mpclient")), (&lab.server, env!("CARGO_BIN_EXE_mpserver"))];
    ends.map(|(namespace, program)| {
        let mut command = namespace.command(program);
        let printed = printed(command.args(["status", "--json"]).env("XDG_RUNTIME_DIR", lab.directory()));
        serde_json::from_str(&printed).expect("a snapshot")
    })
}

/// An application's socket in the client's namespace, connected to mpclient.
pub(crate) fn application(lab: &Lab) -> UdpSocket {
    let socket = lab.client.socket(SocketAddr::from(([127, 0, 0, 1], 0)));
    enlarge_buffer(&socket);
    socket.connect(APPLICATIONS).expect("mpclient's address");
    socket
}

/// The target's socket in the server's namespace.
pub(crate) fn target(lab: &Lab) -> UdpSocket {
    let socket = lab.server.socket(SocketAddr::from(([127, 0, 0, 1], TARGET_PORT)));
    enlarge_buffer(&socket);
    socket
}

/// A busy machine may stop a program for a second, and then what waited for it comes at once: that is not to
/// be lost at the ends, where it would be booked as the tunnel's loss.
fn enlarge_buffer(socket: &UdpSocket) {
    set_socket_recv_buffer_size_force(socket, BUFFER_LEN).expect("root may have any receive buffer");
}

/// A bridge's line in the configuration.
pub(crate) fn bridge_line(bridge: SocketAddr) -> String {
    format!("{} {}", bridge.ip(), bridge.port())
}

/// A PATH in which our programs come first.
pub(crate) fn search_path() -> String {
    let programs = Path::new(env!("CARGO_BIN_EXE_mpserver")).parent().expect("a folder of programs");
    format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default())
}

/// The file with the key, which nobody but its owner may read.
pub(crate) fn key_file(lab: &Lab) -> PathBuf {
    secret_file(lab, "key", KEY)
}

fn secret_file(lab: &Lab, name: &str, contents: &str) -> PathBuf {
    let path = lab.directory().join(name);
    let mut options = OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
    opened.and_then(|mut file| file.write_all(contents.as_bytes())).expect("writing a key");
    path
}

/// Starts socat as the bridge of a path, towards this port of the server.
pub(crate) fn socat_bridge(lab: &Lab, path: usize, version: Version, port: u16) -> Process {
    socat_bridge_to(lab, path, service_address(version, path, port))
}

/// Starts socat as the bridge of a path, towards this address.
pub(crate) fn socat_bridge_to(lab: &Lab, path: usize, to: SocketAddr) -> Process {
    let version = if to.is_ipv4() { 4 } else { 6 };
    let mut command = lab.middle(path).command("socat");
    // socat cuts datagrams to its buffer, 8,192 octets unless told otherwise.
    command.args(["-b", "65536", "-T", "60"]);
    command.arg(format!("udp{version}-listen:4000,fork,reuseaddr,rcvbuf={BUFFER_LEN}"));
    command.arg(format!("udp{version}:{to},rcvbuf={BUFFER_LEN}"));
    let mut socat = Process::start(&format!("socat{path}"), &mut command, lab.directory());
    socat.wait_for_port(Protocol::Udp, 4000);
    socat
}

/// Starts a lossy bridge of our own on a path, towards this port of the server. Its threads and sockets
/// stay in the namespace in which it was started.
pub(crate) fn lossy_bridge(lab: &Lab, path: usize, port: u16, loss: f64, delay: Duration) -> LossyBridge {
    let listen = bridge_address(Version::V4, path);
    let to = service_address(Version::V4, path, port);
    let faults = Faults { loss, delay, ..Faults::default() };
    lab.middle(path)
        .enter(|| LossyBridge::start(listen, to, faults, path as u64))
        .unwrap_or_else(|error| panic!("the lossy bridge of path {path}: {error}"))
}

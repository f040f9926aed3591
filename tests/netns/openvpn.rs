//! A real VPN: Debian's OpenVPN at both ends, each trusting the other's certificate by its fingerprint.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use super::lab::{Lab, printed};
use super::namespace::Namespace;
use super::process::{Process, Protocol};
use super::programs::TARGET_PORT;
use super::stream::{Echo, Stream};
use super::wait::poll_until;

/// The server's address inside the VPN.
pub(crate) const INSIDE: Ipv4Addr = Ipv4Addr::new(10, 8, 0, 1);

/// What a client's or server's log holds when the VPN had to be set up again.
const RESTART_MARKS: [&str; 5] =
    ["Inactivity timeout", "SIGUSR1", "TLS Error", "Restart pause", "Connection reset"];

/// Where OpenVPN's server writes down who its clients are.
const STATUS: &str = "openvpn-status";

/// Both ends of the VPN.
pub(crate) struct Vpn {
    server: Process,
    client: Process,
}

impl Vpn {
    /// Starts both ends, the client towards this address, and waits until the VPN is up. `float` has the
    /// server take the client's packets from wherever they come: a restarted mpserver speaks to it from a new
    /// port.
    pub(crate) fn start(lab: &Lab, remote: SocketAddr) -> Self {
        Self::start_with(lab, remote, "float\n")
    }

    /// The same without `float`.
    pub(crate) fn start_without_float(lab: &Lab, remote: SocketAddr) -> Self {
        Self::start_with(lab, remote, "")
    }

    fn start_with(lab: &Lab, remote: SocketAddr, float: &str) -> Self {
        let server_print = certificate(lab, "server");
        let client_print = certificate(lab, "client");
        let status = lab.directory().join(STATUS);
        let status = status.display();
        let server_options = format!(
            "server 10.8.0.0 255.255.255.0\ntopology subnet\nport {TARGET_PORT}\ndh none\n{float}status {status} 1\n\
             keepalive 10 60\npeer-fingerprint {client_print}\n"
        );
        let client_options = format!(
            "client\nnobind\nremote {} {}\nremote-cert-tls server\npeer-fingerprint {server_print}\n",
            remote.ip(),
            remote.port()
        );
        let mut server = start(lab, "server", &server_options);
        server.wait_for_line("Initialization Sequence Completed", Duration::from_secs(10));
        let mut client = start(lab, "client", &client_options);
        client.wait_for_line("Initialization Sequence Completed", Duration::from_secs(30));
        Self { server, client }
    }

    /// The VPN has been up from its start on, without a reconnect.
    pub(crate) fn assert_never_interrupted(&self) {
        for (end, log) in [("server", self.server.log()), ("client", self.client.log())] {
            let starts = log.matches("Initialization Sequence Completed").count();
            assert_eq!(starts, 1, "OpenVPN's {end} started {starts} times");
            for line in log.lines() {
                let marked = RESTART_MARKS.iter().any(|mark| line.contains(mark));
                assert!(!marked, "OpenVPN's {end} was interrupted: {line}");
            }
        }
    }

    /// Where the server has its client now. Without `float` too, it follows data packets that name their
    /// client to another address, in silence.
    pub(crate) fn client_address(&self, lab: &Lab) -> String {
        let read = || fs::read_to_string(lab.directory().join(STATUS)).unwrap_or_default();
        let before = read();
        let mut address = None;
        let is_told = || {
            let status = read();
            let client =
                status.lines().find_map(|line| line.strip_prefix("client,")).filter(|_| status != before);
            address = client.and_then(|client| client.split(',').next()).map(str::to_owned);
            address.is_some()
        };
        assert!(poll_until(Duration::from_secs(10), is_told), "OpenVPN's server tells where its client is");
        address.expect("it is told")
    }

    /// Datagrams pass through the VPN both ways.
    pub(crate) fn assert_passes(&self, lab: &Lab) {
        assert_passes(lab, INSIDE, Duration::from_secs(5));
    }
}

/// Datagrams cross from the client to an echo at this address of the server inside a VPN, and back, within this time.
pub(crate) fn assert_passes(lab: &Lab, inside: Ipv4Addr, limit: Duration) {
    assert_passes_to(lab, &lab.server, inside, limit);
}

/// The same to this address of another machine.
pub(crate) fn assert_passes_to(lab: &Lab, machine: &Namespace, address: Ipv4Addr, limit: Duration) {
    let echo = Echo::start(machine.socket(SocketAddr::from((address, 7))));
    let socket = lab.client.socket(SocketAddr::from(([0, 0, 0, 0], 0)));
    socket.connect((address, 7)).expect("an address that the VPN leads to");
    Stream::start(socket, echo, 100, 200).wait_until_it_flows(limit);
}

fn start(lab: &Lab, end: &str, options: &str) -> Process {
    let directory = lab.directory();
    let file = directory.join(format!("openvpn-{end}.conf"));
    // 1,420: with the tunnel's 32 octets and the headers of UDP and IPv6, a full datagram fits in one
    // packet of 1,500.
    let common = format!(
        "dev tun\nproto udp4\ncert {0}/{end}.crt\nkey {0}/{end}.key\ndata-ciphers AES-256-GCM\nmssfix 1420\n\
         disable-dco\nverb 3\n",
        directory.display()
    );
    fs::write(&file, common + options).expect("writing OpenVPN's configuration");
    let namespace = if end == "server" { &lab.server } else { &lab.client };
    let mut command = namespace.command("openvpn");
    Process::start(&format!("openvpn-{end}"), command.arg("--config").arg(&file), directory)
}

/// Makes a certificate that lives for a day; returns its fingerprint.
fn certificate(lab: &Lab, end: &str) -> String {
    let (key, certificate) =
        (lab.directory().join(format!("{end}.key")), lab.directory().join(format!("{end}.crt")));
    let usage = if end == "server" { "serverAuth" } else { "clientAuth" };
    let mut make = Command::new("openssl");
    make.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    make.args(["-days", "1", "-subj", &format!("/CN={end}")]);
    make.args(["-addext", &format!("extendedKeyUsage = {usage}")]);
    make.args(["-addext", "keyUsage = digitalSignature"]);
    printed(make.arg("-keyout").arg(&key).arg("-out").arg(&certificate));
    let mut show = Command::new("openssl");
    let shown = printed(show.args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(&certificate));
    shown.trim().rsplit('=').next().expect("`sha256 Fingerprint=...`").to_owned()
}

/// A measurement with iperf3 through the VPN, from its client to its server: TCP with CUBIC, the
/// congestion control that takes loss as most of the world's machines do.
pub(crate) struct Measurement {
    server: Process,
    client: Process,
    seconds: u64,
}

impl Measurement {
    /// Starts to measure for so many seconds.
    pub(crate) fn start(lab: &Lab, seconds: u64) -> Self {
        let mut command = lab.server.command("iperf3");
        let mut server = Process::start(
            "iperf3-server",
            command.args(["-s", "-1", "-B", &INSIDE.to_string()]),
            lab.directory(),
        );
        server.wait_for_port(Protocol::Tcp, 5201);
        let mut command = lab.client.command("iperf3");
        command.args(["-c", &INSIDE.to_string(), "-C", "cubic", "-J", "-t", &seconds.to_string()]);
        let client = Process::start("iperf3-client", &mut command, lab.directory());
        Self { server, client, seconds }
    }

    /// Waits for its end: what the far end has received.
    pub(crate) fn finish(mut self) -> Throughput {
        let status = self.client.wait_for_end(Duration::from_secs(self.seconds + 30));
        assert!(status.success(), "iperf3 ended with {status}");
        self.server.wait_for_end(Duration::from_secs(30));
        let report = self.client.log();
        let summary = report.split_once("\"sum_received\"").expect("iperf3's summary").1;
        let bits_per_second = field(summary, "bits_per_second");
        Throughput { octets: field(summary, "bytes"), megabits_per_second: bits_per_second / 1e6 }
    }
}

/// What passed through the VPN.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Throughput {
    pub(crate) octets: f64,
    pub(crate) megabits_per_second: f64,
}

/// The first field of this name in a piece of iperf3's report.
fn field(report: &str, name: &str) -> f64 {
    let value = report.split_once(&format!("\"{name}\":")).map(|(_, rest)| rest.trim_start());
    let number = value.and_then(|value| value.split([',', '\n', '}']).next());
    number.and_then(|number| number.trim().parse().ok()).expect("iperf3's field holds a number")
}

//! The files below `examples/`, run as they are. Their addresses are given to the lab: `203.0.113.10` to the server, `192.0.2.11`
//! and `198.51.100.22` to the middles of paths 1 and 2; path 3 is the direct way, whose middle forwards.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::lab::{Lab, printed};
use super::openvpn::assert_passes;
use super::process::{Process, Protocol};
use super::programs::{SERVER_PORT, mpclient_with, mpserver, search_path, socat_bridge_to, target};
use super::stream::{Echo, Stream, datagram};
use super::wait::poll_until;

const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const BRIDGES: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 11), Ipv4Addr::new(198, 51, 100, 22)];

/// How long anything that is waited for may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Gives the lab the addresses of the examples.
pub(crate) fn settle(lab: &Lab) {
    lab.server.ip(&format!("address add {SERVER}/32 dev lo"));
    for path in lab.paths() {
        lab.middle(path).ip(&format!("route add {SERVER} via 10.78.{path}.1"));
    }
    for (path, bridge) in lab.paths().zip(BRIDGES) {
        lab.middle(path).ip(&format!("address add {bridge}/32 dev lo"));
        // Its first address, as it would be on a machine that has one: socat's children answer from that.
        lab.middle(path).ip(&format!("route replace 10.77.{path}.0/24 dev c src {bridge}"));
        lab.client.ip(&format!("route add {bridge} via 10.77.{path}.2"));
    }
    if lab.paths().count() == 3 {
        lab.client.ip(&format!("route add {SERVER} via 10.77.3.2"));
        lab.server.ip("route add 10.77.3.0/24 via 10.78.3.2");
        lab.set_forwarding(3, true);
    }
}

/// A folder of examples, copied to where its scripts may write.
pub(crate) fn copied(lab: &Lab, example: &str) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example);
    let to = lab.directory().join(example.replace('/', "-"));
    printed(Command::new("cp").arg("-r").arg(&from).arg(&to));
    to
}

/// Replaces words of an example's file that its user has to replace too.
fn fill_in(file: &Path, words: &[(&str, &str)]) {
    let mut text = fs::read_to_string(file).expect("the example's file");
    for (word, value) in words {
        assert!(text.contains(word), "{} has no {word} to be replaced", file.display());
        text = text.replace(word, value);
    }
    fs::write(file, text).expect("writing the example's file");
}

/// Starts the bridges of paths 1 and 2.
pub(crate) fn start_bridges(lab: &Lab) -> [Process; 2] {
    [1, 2].map(|path| socat_bridge_to(lab, path, SocketAddr::from((SERVER, SERVER_PORT))))
}

/// Starts the bridges of paths 1 and 2, and both ends of an example in its folder as its user would.
fn both_ends(lab: &Lab, folder: &Path, applications: u16) -> Vec<Process> {
    let mut running: Vec<Process> = start_bridges(lab).into();

    let mut command = lab.server.command(folder.join("server/mpserver.sh"));
    let mut mpserver = Process::start("mpserver.sh", command.env("PATH", search_path()), lab.directory());
    mpserver.wait_for_port(Protocol::Udp, SERVER_PORT);
    running.push(mpserver);

    fs::copy(folder.join("server/key"), folder.join("client/key")).expect("mpserver.sh has made a key");
    let mut command = lab.client.command(env!("CARGO_BIN_EXE_mpclient"));
    command.arg(folder.join("client/mpclient.conf"));
    let mut mpclient = Process::start("mpclient", &mut command, lab.directory());
    mpclient.wait_for_port(Protocol::Udp, applications);
    for bridge in ["192.0.2.11:4000", "198.51.100.22:4000", "203.0.113.10:2000"] {
        mpclient.wait_for_line(&format!("bridge {bridge} is up"), PATIENCE);
    }
    running.push(mpclient);
    running
}

/// Starts OpenVPN's server and client in the example's folder, each with its certificate, whose fingerprint the other is told.
pub(crate) fn start_openvpn(lab: &Lab, folder: &Path, prints: &[String; 2]) -> [Process; 2] {
    let [server_print, client_print] = prints;
    fill_in(&folder.join("server/server.conf"), &[("CLIENT_FINGERPRINT", client_print)]);
    fill_in(&folder.join("client/client.conf"), &[("SERVER_FINGERPRINT", server_print)]);
    [("server", &lab.server), ("client", &lab.client)].map(|(end, namespace)| {
        let mut command = namespace.command("openvpn");
        command.arg("--cd").arg(folder.join(end)).args(["--config", &format!("{end}.conf"), "--disable-dco"]);
        let mut openvpn = Process::start(&format!("openvpn-{end}"), &mut command, lab.directory());
        openvpn.wait_for_line("Initialization Sequence Completed", PATIENCE);
        openvpn
    })
}

#[test]
fn the_openvpn_example_comes_up() {
    let Some(lab) = Lab::new("openvpn-example", 3, &["socat", "openvpn", "openssl"]) else { return };
    settle(&lab);
    let folder = copied(&lab, "openvpn");
    let fingerprint = |end: &str| {
        let mut script = Command::new(folder.join("certificate.sh"));
        printed(script.arg(end).current_dir(folder.join(end))).trim().to_owned()
    };
    let prints = ["server", "client"].map(fingerprint);
    let _tunnel = both_ends(&lab, &folder, 3000);
    let _vpn = start_openvpn(&lab, &folder, &prints);
    assert_passes(&lab, Ipv4Addr::new(10, 8, 0, 1), PATIENCE);
}

#[test]
fn the_wireguard_example_comes_up() {
    const PROGRAMS: [&str; 4] = ["socat", "wg", "wg-quick", "wireguard-go"];
    let Some(lab) = Lab::new("wireguard-example", 3, &PROGRAMS) else { return };
    settle(&lab);
    let folder = copied(&lab, "wireguard");
    let pair = || {
        let private = printed(Command::new("wg").arg("genkey")).trim().to_owned();
        let public = printed(Command::new("sh").args(["-c", &format!("echo {private} | wg pubkey")]));
        (private, public.trim().to_owned())
    };
    let (server, client) = (pair(), pair());
    fill_in(
        &folder.join("server/wg0.conf"),
        &[("SERVER_PRIVATE_KEY", &server.0), ("CLIENT_PUBLIC_KEY", &client.1)],
    );
    fill_in(
        &folder.join("client/wg0.conf"),
        &[("CLIENT_PRIVATE_KEY", &client.0), ("SERVER_PUBLIC_KEY", &server.1)],
    );
    let _tunnel = both_ends(&lab, &folder, 3000);
    // An interface has the name of its file. wireguard-go's sockets are named after it, in one folder for the whole
    // machine, hence a name that no other run has. It goes away with its namespace.
    let id = std::process::id();
    for (end, namespace) in [("server", &lab.server), ("client", &lab.client)] {
        let file = folder.join(end).join(format!("mpt{}{id}.conf", &end[..1]));
        fs::rename(folder.join(end).join("wg0.conf"), &file).expect("renaming the example's file");
        let mut command = namespace.command("wg-quick");
        command.arg("up").arg(&file).env("WG_QUICK_USERSPACE_IMPLEMENTATION", "wireguard-go");
        // wireguard-go stays behind, and keeps the output open.
        let mut up = Process::start("wg-quick", command.env("LOG_LEVEL", "error"), lab.directory());
        assert!(up.wait_for_end(PATIENCE).success(), "{}", up.log());
    }
    assert_passes(&lab, Ipv4Addr::new(10, 9, 0, 1), PATIENCE);
}

#[test]
fn the_dns_example_answers_dig() {
    let Some(lab) = Lab::new("dns-example", 3, &["socat", "dnsmasq", "dig"]) else { return };
    settle(&lab);
    let folder = copied(&lab, "dns");
    let mut command = lab.server.command("dnsmasq");
    command.args(["--keep-in-foreground", "--user=root", "--pid-file="]);
    command.arg(format!("--conf-file={}", folder.join("server/dnsmasq.conf").display()));
    // There is nobody to ask in the lab: it knows this one name by itself.
    let mut dnsmasq =
        Process::start("dnsmasq", command.arg("--host-record=a.example,192.0.2.77"), lab.directory());
    dnsmasq.wait_for_port(Protocol::Udp, 53);
    let _tunnel = both_ends(&lab, &folder, 53);
    let mut dig = lab.client.command("dig");
    dig.args(["@127.0.0.1", "a.example", "A", "+short", "+notcp", "+tries=5", "+time=2"]);
    assert_eq!(printed(&mut dig).trim(), "192.0.2.77");
}

#[test]
fn the_game_server_example_answers() {
    let Some(lab) = Lab::new("game-example", 3, &["socat"]) else { return };
    settle(&lab);
    // Somebody else's server, near ours.
    let game = Ipv4Addr::new(198, 18, 0, 1);
    lab.server.ip(&format!("address add {game}/32 dev lo"));
    lab.server.set_etc("hosts", &format!("{game} game.example.org\n"));
    let _game = Echo::start(lab.server.socket(SocketAddr::from((game, 30_000))));
    let _tunnel = both_ends(&lab, &copied(&lab, "game-server"), 30_000);
    let player = lab.client.socket(SocketAddr::from(([127, 0, 0, 1], 0)));
    player.connect("127.0.0.1:30000").expect("mpclient's address");
    let shot = datagram(1, 100);
    assert!(poll_until(PATIENCE, || comes_back(&player, &shot)), "the game does not answer");
}

/// One path, whose bridge is that of an example.
fn the_bridge_example_carries(name: &str, programs: &[&str], start: impl Fn(&Lab, &Path) -> Option<Process>) {
    the_bridge_carries(&format!("{name}-example"), programs, |lab| {
        start(lab, &copied(lab, &format!("bridges/{name}")))
    });
}

/// One path, with a bridge that is started so: everything up to the largest datagram crosses.
pub(crate) fn the_bridge_carries(test: &str, programs: &[&str], start: impl Fn(&Lab) -> Option<Process>) {
    let Some(lab) = Lab::new(test, 1, programs) else { return };
    settle(&lab);
    let _bridge = start(&lab);
    let _server = mpserver(&lab);
    let mut client = mpclient_with(&lab, &[format!("{} 4000", BRIDGES[0])]);
    client.wait_for_line("bridge 192.0.2.11:4000 is up", PATIENCE);
    let echo = Echo::start(target(&lab));
    let application = super::programs::application(&lab);
    let largest = datagram(1, 65_475);
    let crossed = poll_until(PATIENCE, || comes_back(&application, &largest));
    assert!(crossed, "no datagram of {} octets comes back", largest.len());
    Stream::start(application, echo, 500, 1_400).wait_until_it_flows(PATIENCE);
}

/// Sends a datagram once and says whether it comes back.
fn comes_back(socket: &UdpSocket, datagram: &[u8]) -> bool {
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a time that is not zero");
    socket.send(datagram).expect("a datagram that UDP can carry");
    let mut answer = vec![0; 65_536];
    socket.recv(&mut answer).is_ok_and(|len| answer[..len] == *datagram)
}

#[test]
fn the_bridge_example_of_socat_carries() {
    the_bridge_example_carries("socat", &["socat"], |lab, folder| {
        let mut command = lab.middle(1).command(folder.join("bridge.sh"));
        let mut socat = Process::start("bridge", &mut command, lab.directory());
        socat.wait_for_port(Protocol::Udp, 4000);
        Some(socat)
    });
}

#[test]
fn the_bridge_example_of_nftables_carries() {
    the_bridge_example_carries("nftables", &["nft", "sysctl"], |lab, folder| {
        // Twice: read again, it replaces what it made before.
        for _ in 0..2 {
            printed(&mut lab.middle(1).command(folder.join("bridge.sh")));
        }
        None
    });
}

#[test]
fn the_bridge_example_of_nginx_carries() {
    const MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
    the_bridge_example_carries("nginx", &["nginx"], |lab, folder| {
        let directory = lab.directory().display();
        let main = lab.directory().join("nginx.conf");
        let module =
            if Path::new(MODULE).exists() { format!("load_module {MODULE};\n") } else { String::new() };
        let text = format!(
            "{module}daemon off;\npid {directory}/nginx.pid;\nerror_log stderr;\nevents {{}}\ninclude {}/stream.conf;\n",
            folder.display()
        );
        fs::write(&main, text).expect("writing nginx's configuration");
        let mut command = lab.middle(1).command("nginx");
        let mut nginx = Process::start("nginx", command.arg("-c").arg(&main), lab.directory());
        nginx.wait_for_port(Protocol::Udp, 4000);
        Some(nginx)
    });
}

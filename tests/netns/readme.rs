//! README.md's commands and files, run as they stand, as its readers would: each at its machine, in a folder of its own. The
//! addresses are those of the examples.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::examples::{PATIENCE, copied, settle, start_bridges, start_openvpn, the_bridge_carries};
use super::lab::{Lab, Side, Version, address, printed};
use super::markdown::{Block, Document};
use super::namespace::Namespace;
use super::openvpn::{assert_passes, assert_passes_to};
use super::process::{Process, Protocol};
use super::programs::{SERVER_PORT, key_file, mpserver, search_path};
use super::stream::Echo;

/// The sections with commands or configurations that are run here.
const HERE: [&str; 14] = [
    "Try it on one machine",
    "Quick start",
    "A first check, without a VPN",
    "OpenVPN, from end to end",
    "The routing trap",
    "WireGuard",
    "A game server",
    "DNS",
    "More than one target",
    "Bridges",
    "Several uplinks",
    "With routes instead",
    "A key for each client",
    "Fewer copies",
];

/// Those that `.ci/run` runs.
const ELSEWHERE: [&str; 1] = ["What it looks like"];

/// What the README's readers see at the tunnel when it works.
const UP: [&str; 4] = [
    "connected to mpserver",
    "bridge 192.0.2.11:4000 is up",
    "bridge 198.51.100.22:4000 is up",
    "bridge 203.0.113.10:2000 is up",
];

/// README.md's blocks that somebody types or copies: commands, and configurations of mpclient. Those of another kind, such as
/// `sh install`, are run by the tests below `packaging/`; `tests/documents/blocks.rs` sees to that.
fn readme() -> Vec<Block> {
    let mut blocks = Document::parse("README.md", &read("README.md")).blocks;
    blocks.retain(|block| ["sh", "sh root", "conf mpclient.conf"].contains(&block.info.as_str()));
    blocks
}

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name))
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The texts of a section's blocks, of which there must be so many.
fn blocks<const COUNT: usize>(section: &str) -> [String; COUNT] {
    let of_section: Vec<String> =
        readme().into_iter().filter(|block| block.section == section).map(|block| block.text).collect();
    of_section.try_into().unwrap_or_else(|blocks: Vec<_>| {
        panic!("the section {section:?} has {} blocks to run, not {COUNT}", blocks.len())
    })
}

#[test]
fn every_block_of_the_readme_is_run_by_a_test() {
    let tests = include_str!("readme.rs");
    let mut sections: Vec<String> = readme().into_iter().map(|block| block.section).collect();
    sections.dedup();
    for section in &sections {
        let here = HERE.contains(&section.as_str());
        assert!(here || ELSEWHERE.contains(&section.as_str()), "nothing runs the commands of {section:?}");
        assert!(!here || tests.contains(&format!("(\"{section}\")")), "no test here runs {section:?}");
    }
    for section in HERE.iter().chain(&ELSEWHERE) {
        assert!(sections.iter().any(|known| known == section), "README.md has no commands in {section:?}");
    }
}

/// A user at a machine, in a folder, with our programs in the PATH.
struct Shell<'a> {
    machine: &'a Namespace,
    folder: PathBuf,
}

impl<'a> Shell<'a> {
    /// At this machine of the lab, in a new folder of this name.
    fn new(lab: &Lab, machine: &'a Namespace, folder: &str) -> Self {
        let folder = lab.directory().join(folder);
        fs::create_dir(&folder).expect("a new folder");
        Self { machine, folder }
    }

    fn command(&self, commands: &str) -> Command {
        let mut command = self.machine.command("sh");
        command.args(["-e", "-c", commands]).env("PATH", search_path()).current_dir(&self.folder);
        command.env("XDG_RUNTIME_DIR", &self.folder);
        command
    }

    /// Starts what goes on until it is stopped.
    fn start(&self, name: &str, commands: &str) -> Process {
        Process::start(name, &mut self.command(commands), &self.folder)
    }

    /// What commands print that end by themselves.
    fn run(&self, commands: &str) -> String {
        printed(&mut self.command(commands))
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.folder.join(file), text).expect("a file in one's own folder");
    }
}

/// The key goes from one end to the other.
fn copy_key(from: &Shell, to: &Shell) {
    fs::copy(from.folder.join("key"), to.folder.join("key")).expect("the server has made a key");
}

/// Starts mpclient with this file, and waits until it has said so much.
fn start_client(client: &Shell, command: &str, configuration: &str, said: &[&str]) -> Process {
    client.write("mpclient.conf", configuration);
    let mut mpclient = client.start("mpclient", command);
    said.iter().for_each(|line| mpclient.wait_for_line(line, PATIENCE));
    mpclient
}

#[test]
fn the_trial_on_one_machine_says_hello() {
    let Some(lab) = Lab::new("readme-trial", 0, &["socat"]) else { return };
    let [trial] = blocks("Try it on one machine");
    let machine = Namespace::new("machine").unwrap_or_else(|error| panic!("{error}"));
    let shell = Shell::new(&lab, &machine, "trial");
    let said = shell.run(&trial);
    assert!(said.lines().any(|line| line == "hello"), "{said}");
}

#[test]
fn the_quick_start_works_and_its_first_check_as_long_as_one_bridge_does() {
    let Some(lab) = Lab::new("readme-start", 3, &["socat"]) else { return };
    settle(&lab);
    let [server_commands, bridge_command, configuration, client_command] = blocks("Quick start");
    let [check] = blocks("A first check, without a VPN");
    let (at_server, at_client) = check.split_once('\n').expect("a line for each end");

    let server = Shell::new(&lab, &lab.server, "server");
    let mut mpserver = server.start("mpserver", &server_commands);
    mpserver.wait_for_port(Protocol::Udp, SERVER_PORT);
    let mut bridges = [1, 2].map(|path| {
        let mut bridge =
            Shell::new(&lab, lab.middle(path), &format!("bridge{path}")).start("socat", &bridge_command);
        bridge.wait_for_port(Protocol::Udp, 4000);
        bridge
    });
    let client = Shell::new(&lab, &lab.client, "client");
    copy_key(&server, &client);
    let _mpclient = start_client(&client, &client_command, &configuration, &UP);
    for path in 0..3 {
        mpserver.wait_for_line(&format!("client 0: path {path} is up from"), PATIENCE);
    }

    let mut target = server.start("target", at_server);
    target.wait_for_port(Protocol::Udp, 1194);
    assert_eq!(client.run(at_client), "hello\n");
    let report = client.run("mpclient check mpclient.conf");
    assert!(report.contains("3 of 3 bridges work"), "{report}");
    assert!(client.run("mpclient status").contains("198.51.100.22:4000"));
    for bridge in &mut bridges {
        bridge.kill();
        assert_eq!(client.run(at_client), "hello\n");
    }
}

#[test]
fn a_vpn_by_the_readme_leads_to_the_internet() {
    let Some(lab) = Lab::new("readme-openvpn", 3, &["socat", "openvpn", "openssl", "nft", "sysctl"]) else {
        return;
    };
    settle(&lab);
    let [certificate] = blocks("OpenVPN, from end to end");
    let [masquerade] = blocks("The routing trap");
    let folder = copied(&lab, "openvpn");
    let shells = [("server", &lab.server), ("client", &lab.client)]
        .map(|(end, machine)| (end, Shell { machine, folder: folder.join(end) }));
    // "Once as it stands, once with `client` in place of `server`."
    let prints = shells.each_ref().map(|(end, shell)| {
        let said = shell.run(&certificate.replace("server", end));
        said.trim().rsplit_once('=').expect("a fingerprint behind the =").1.to_owned()
    });
    let _bridges = start_bridges(&lab);
    let [(_, server), (_, client)] = &shells;
    let [server_commands, _, configuration, client_command] = blocks("Quick start");
    let mut mpserver = server.start("mpserver", &server_commands);
    mpserver.wait_for_port(Protocol::Udp, SERVER_PORT);
    copy_key(server, client);
    let _mpclient = start_client(client, &client_command, &configuration, &UP);
    let _vpn = start_openvpn(&lab, &folder, &prints);
    assert_passes(&lab, Ipv4Addr::new(10, 8, 0, 1), PATIENCE);

    // A machine of the Internet, which knows no way back to 10.8.0.0/24.
    let outside = Namespace::new("outside").unwrap_or_else(|error| panic!("{error}"));
    lab.server.ip(&format!("link add eth0 type veth peer name eth0 netns {}", outside.name()));
    for (machine, host) in [(&lab.server, 1), (&outside, 2)] {
        machine.ip(&format!("address add 100.64.9.{host}/24 dev eth0"));
        machine.ip("link set eth0 up");
    }
    lab.client.ip("route add 100.64.9.2 via 10.8.0.1");
    server.run(&masquerade);
    assert_passes_to(&lab, &outside, Ipv4Addr::new(100, 64, 9, 2), PATIENCE);
}

/// These sections have a command that stands in a script, which `examples.rs` runs.
#[test]
fn the_servers_of_wireguard_a_game_and_dns_are_those_of_the_examples() {
    let of_section = [
        ("wireguard", blocks::<1>("WireGuard")),
        ("game-server", blocks::<1>("A game server")),
        ("dns", blocks::<1>("DNS")),
    ];
    for (example, [command]) in of_section {
        let script = read(&format!("examples/{example}/server/mpserver.sh"));
        assert!(script.contains(&format!("\nexec {command}")), "{example}: {command}");
    }
}

#[test]
fn each_target_of_more_than_one_is_reached() {
    const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 53);
    let Some(lab) = Lab::new("readme-targets", 3, &["socat"]) else { return };
    settle(&lab);
    let [configuration, server_command] = blocks("More than one target");
    lab.server.ip(&format!("address add {NAME_SERVER}/32 dev lo"));
    let _targets = [SocketAddr::from((NAME_SERVER, 53)), SocketAddr::from(([127, 0, 0, 1], 1194))]
        .map(|address| Echo::start(lab.server.socket(address)));
    let server = Shell::new(&lab, &lab.server, "server");
    fs::copy(key_file(&lab), server.folder.join("key")).expect("the lab's key");
    let client = Shell::new(&lab, &lab.client, "client");
    copy_key(&server, &client);
    let _bridges = start_bridges(&lab);
    let _mpserver = server.start("mpserver", &server_command);
    let _mpclient = start_client(&client, "exec mpclient mpclient.conf", &configuration, &UP[..2]);
    for port in [3000, 5353] {
        assert_eq!(client.run(&format!("echo hello | socat -t 2 - udp4:127.0.0.1:{port}")), "hello\n");
    }
    let listening = client.run("ss --no-header --tcp --listening --numeric 'sport = 1080'");
    assert!(listening.contains("127.0.0.1:1080"), "{listening}");
}

#[test]
fn the_bridge_of_the_readme_in_the_kernel_carries() {
    the_bridge_carries("readme-nftables", &["nft", "sysctl"], |lab| {
        let [commands] = blocks("Bridges");
        Shell::new(lab, lab.middle(1), "bridge").run(&commands);
        None
    });
}

/// A client with a cable and a modem, at the README's addresses: `eth0` leads to the first bridge, `wwan0` to the second, and
/// both to the server. Behind each is a router, which knows the way; the client itself has the cable's default route alone.
fn two_uplinks(test: &str) -> Option<Lab> {
    let lab = Lab::new(test, 2, &["socat", "sysctl"])?;
    settle(&lab);
    let uplinks = [("eth0", "192.168.1", 2), ("wwan0", "10.64.0", 2)];
    for (path, (interface, net, host)) in lab.paths().zip(uplinks) {
        lab.client.ip(&format!("link set p{path} down"));
        lab.client.ip(&format!("link set p{path} name {interface}"));
        lab.client.ip(&format!("address flush dev {interface}"));
        lab.client.ip(&format!("address add {net}.{host}/24 dev {interface}"));
        lab.client.ip(&format!("link set {interface} up"));
        lab.middle(path).ip(&format!("address add {net}.1/24 dev c"));
        lab.set_forwarding(path, true);
        lab.server.ip(&format!("route add {net}.0/24 via {}", address(Side::Server, Version::V4, path, 2)));
    }
    lab.client.ip("route add default via 192.168.1.1 dev eth0");
    // What most distributions set; a namespace may begin with something else.
    lab.client.enter(|| {
        for interface in ["all", "eth0", "wwan0"] {
            fs::write(format!("/proc/sys/net/ipv4/conf/{interface}/rp_filter"), "1")
                .expect("a setting of root's");
        }
    });
    Some(lab)
}

#[test]
fn several_uplinks_are_used_by_bind() {
    let Some(lab) = two_uplinks("readme-uplinks") else { return };
    let [configuration, by_interface, by_address] = blocks("Several uplinks");
    let client = Shell::new(&lab, &lab.client, "client");
    fs::copy(key_file(&lab), client.folder.join("key")).expect("the lab's key");
    let _server = mpserver(&lab);
    let _bridges = start_bridges(&lab);
    client.run(&by_interface);
    let configuration = format!("{configuration}key-file = key\n");
    let said = ["192.0.2.11:4000 over eth0", "198.51.100.22:4000 over wwan0", "203.0.113.10:2000 over eth0"];
    let said = [said.as_slice(), &["203.0.113.10:2000 over wwan0"]].concat();
    let said: Vec<String> = said.iter().map(|bridge| format!("bridge {bridge} is up")).collect();
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    drop(start_client(&client, "exec mpclient mpclient.conf", &configuration, &said));

    // The same by addresses, without the route that the interface had.
    lab.client.ip("route del default via 10.64.0.1 dev wwan0 metric 700");
    client.run(&by_address);
    let configuration = configuration.replace("eth0", "192.168.1.2").replace("wwan0", "10.64.0.2");
    let said: Vec<String> =
        said.iter().map(|line| line.replace("eth0", "192.168.1.2").replace("wwan0", "10.64.0.2")).collect();
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    start_client(&client, "exec mpclient mpclient.conf", &configuration, &said);
}

#[test]
fn several_uplinks_are_used_by_routes() {
    let Some(lab) = two_uplinks("readme-routes") else { return };
    let [routes] = blocks("With routes instead");
    let [.., configuration, _] = blocks::<4>("Quick start");
    let client = Shell::new(&lab, &lab.client, "client");
    fs::copy(key_file(&lab), client.folder.join("key")).expect("the lab's key");
    let said = client.run(&routes);
    assert!(said.contains("via 10.64.0.1 dev wwan0"), "{said}");
    let _server = mpserver(&lab);
    let _bridges = start_bridges(&lab);
    start_client(&client, "exec mpclient mpclient.conf", &configuration, &UP);
}

#[test]
fn a_new_client_is_let_in_by_the_readmes_commands() {
    let Some(lab) = Lab::new("readme-keys", 3, &["socat", "unshare", "pidof"]) else { return };
    settle(&lab);
    let [new_client] = blocks("A key for each client");
    let server = Shell::new(&lab, &lab.server, "server");
    server.run("umask 077; echo \"alice $(mpserver genkey)\" > keys");
    // pidof is to find this mpserver alone.
    server.write("new-client.sh", &new_client);
    let command = "exec unshare --fork --pid --mount-proc --kill-child sh -ec '
        mpserver --keys keys 2000 127.0.0.1 1194 &
        while read -r line; do sh -e new-client.sh && echo done > answers; done < orders
        wait'";
    server.run("mkfifo orders answers");
    let mut mpserver = server.start("mpserver", command);
    mpserver.wait_for_port(Protocol::Udp, SERVER_PORT);
    server.run("echo now > orders; cat answers");
    let client = Shell::new(&lab, &lab.client, "client");
    fs::copy(server.folder.join("carol.key"), client.folder.join("key")).expect("carol's key");
    let _bridges = start_bridges(&lab);
    let [.., configuration, client_command] = blocks::<4>("Quick start");
    start_client(&client, &client_command, &configuration, &UP);
}

#[test]
fn fewer_copies_come_by_the_readmes_file() {
    let Some(lab) = Lab::new("readme-copies", 3, &["socat"]) else { return };
    settle(&lab);
    let [configuration] = blocks("Fewer copies");
    let client = Shell::new(&lab, &lab.client, "client");
    fs::copy(key_file(&lab), client.folder.join("key")).expect("the lab's key");
    let _server = mpserver(&lab);
    let _bridges = start_bridges(&lab);
    let configuration = format!("{configuration}key-file = key\n");
    let _mpclient = start_client(&client, "exec mpclient mpclient.conf", &configuration, &UP);
    let status = client.run("mpclient status");
    assert!(status.contains("copies: target-loss 0.1 %") && status.contains("backup"), "{status}");
}

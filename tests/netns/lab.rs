//! The network that a test runs in: a client and a server namespace, joined by paths that each have a
//! namespace of their own in the middle, where the bridge stands. `netns.rs` draws it.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::namespace::{Namespace, output};

/// Turns "skipped" into "failed", for machines that are meant to have everything.
const REQUIRE: &str = "MPTUNNEL_REQUIRE_NETNS";

/// One lab at a time: the tests measure, and would take each other's processor time.
static TURN: Mutex<()> = Mutex::new(());

/// Which IP version to speak on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V4,
    V6,
}

/// The whole network, removed when dropped.
pub(crate) struct Lab {
    pub(crate) client: Namespace,
    pub(crate) server: Namespace,
    /// Where each path's bridge stands; path 1 comes first.
    middles: Vec<Namespace>,
    /// Logs, keys and configuration files.
    directory: PathBuf,
    /// Held by one of the networks of a test.
    _turn: Option<MutexGuard<'static, ()>>,
}

impl Lab {
    /// Builds the network for the test of this name, which needs these programs besides `ip`. `None`: it
    /// cannot be had here, and the test is over; the reason has been printed.
    pub(crate) fn new(test: &str, paths: usize, programs: &[&str]) -> Option<Self> {
        Self::several(test, 1, paths, programs)?.pop()
    }

    /// Builds so many networks for one test, which have nothing in common but the processors.
    pub(crate) fn several(test: &str, count: usize, paths: usize, programs: &[&str]) -> Option<Vec<Self>> {
        let mut turn = Some(TURN.lock().unwrap_or_else(PoisonError::into_inner));
        let labs: Result<_, _> =
            (0..count).map(|_| Self::build(test, paths, programs, turn.take())).collect();
        match labs {
            Ok(labs) => Some(labs),
            Err(reason) => {
                skip(test, &reason);
                None
            }
        }
    }

    fn build(
        test: &str,
        paths: usize,
        programs: &[&str],
        turn: Option<MutexGuard<'static, ()>>,
    ) -> Result<Self, String> {
        for program in programs {
            // Whatever it thinks of the option: only whether it can be started at all counts.
            if let Err(error) = Command::new(program).arg("--version").output() {
                return Err(format!("`{program}` cannot be run ({error})"));
            }
        }
        if programs.contains(&"openvpn") && !Path::new("/dev/net/tun").exists() {
            return Err("there is no /dev/net/tun for openvpn".to_owned());
        }
        let client = Namespace::new("client")?;
        let server = Namespace::new("server")?;
        let middles =
            (1..=paths).map(|path| Namespace::new(format!("middle{path}"))).collect::<Result<_, _>>()?;
        let directory = env::temp_dir().join(format!("{}-{test}", client.name()));
        fs::create_dir(&directory).map_err(|error| format!("creating {}: {error}", directory.display()))?;
        let lab = Self { client, server, middles, directory, _turn: turn };
        for path in 1..=paths {
            lab.lay_link(path, Side::Client)?;
            lab.lay_link(path, Side::Server)?;
        }
        Ok(lab)
    }

    /// How many paths there are. They are numbered from 1.
    pub(crate) fn paths(&self) -> std::ops::RangeInclusive<usize> {
        1..=self.middles.len()
    }

    /// The namespace in the middle of a path.
    pub(crate) fn middle(&self, path: usize) -> &Namespace {
        &self.middles[path - 1]
    }

    /// Where logs, keys and configuration files go.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Lays one of the two cables of a path and gives both its ends their addresses.
    pub(crate) fn lay_link(&self, path: usize, side: Side) -> Result<(), String> {
        let (end, far, inside) = match side {
            Side::Client => (&self.client, self.middle(path), "c"),
            Side::Server => (&self.server, self.middle(path), "s"),
        };
        let (near_name, far_name) = (format!("p{path}"), far.name());
        end.try_ip(&format!(
            "link add {near_name} mtu 1500 type veth peer name {inside} mtu 1500 netns {far_name}"
        ))?;
        for (namespace, interface, host) in [(end, near_name.as_str(), 1), (far, inside, 2)] {
            // A bridge far away gets datagrams one by one: without this, one random drop would take a
            // whole offload run of up to 45 of them.
            namespace.try_ip(&format!("link set {interface} gso_max_segs 1 up"))?;
            for version in [Version::V4, Version::V6] {
                let prefix_len = if version == Version::V4 { 24 } else { 64 };
                let address = address(side, version, path, host);
                let nodad = if version == Version::V4 { "" } else { "nodad" };
                namespace.try_ip(&format!("address add {address}/{prefix_len} dev {interface} {nodad}"))?;
            }
        }
        Ok(())
    }

    /// Lets a path lose this many of a hundred UDP datagrams each way, at random, before its bridge sees
    /// them. (Bridges are processes, so what they receive passes the input hook.)
    pub(crate) fn lose(&self, path: usize, percent: u32) {
        self.filter(path, "input", &format!("meta l4proto udp numgen random mod 100 < {percent} drop"));
    }

    /// Gives the middle of a path one more rule for what passes this hook.
    pub(crate) fn filter(&self, path: usize, hook: &str, rule: &str) {
        for command in [
            "add table inet lab".to_owned(),
            format!("add chain inet lab {hook} {{ type filter hook {hook} priority 0; }}"),
            format!("add rule inet lab {hook} {rule}"),
        ] {
            self.middle(path).try_nft(&command).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// Takes all rules out of the middle of a path again.
    pub(crate) fn clear_filters(&self, path: usize) {
        self.middle(path).try_nft("delete table inet lab").unwrap_or_else(|error| panic!("{error}"));
    }

    /// Has all cables carry runs of datagrams in one piece, as far as there are no bridges that take them apart.
    pub(crate) fn let_runs_pass(&self) {
        for path in self.paths() {
            let near = format!("p{path}");
            for (namespace, interface) in [
                (&self.client, near.as_str()),
                (&self.server, near.as_str()),
                (self.middle(path), "c"),
                (self.middle(path), "s"),
            ] {
                namespace.ip(&format!("link set {interface} gso_max_segs 64"));
            }
        }
    }

    /// Gives both ends of one of a path's cables this MTU.
    pub(crate) fn set_mtu(&self, path: usize, side: Side, mtu: u32) {
        let (end, inside) = match side {
            Side::Client => (&self.client, "c"),
            Side::Server => (&self.server, "s"),
        };
        end.ip(&format!("link set p{path} mtu {mtu}"));
        self.middle(path).ip(&format!("link set {inside} mtu {mtu}"));
    }

    /// Lets the middle of a path route packets, or drop them.
    pub(crate) fn set_forwarding(&self, path: usize, on: bool) {
        self.middle(path).enter(|| {
            for setting in ["ipv4/conf/all/forwarding", "ipv6/conf/all/forwarding"] {
                let path = format!("/proc/sys/net/{setting}");
                fs::write(&path, if on { "1" } else { "0" })
                    .unwrap_or_else(|error| panic!("{path}: {error}"));
            }
        });
    }

    /// Makes routers of the middles, and tells the ends the way: the server's own addresses stand in for
    /// bridges.
    pub(crate) fn lay_routes(&self, version: Version) {
        for path in self.paths() {
            self.set_forwarding(path, true);
            for (end, near, far) in
                [(&self.client, Side::Client, Side::Server), (&self.server, Side::Server, Side::Client)]
            {
                let (to, via) = (address(far, version, path, 1), address(near, version, path, 2));
                end.ip(&format!("route add {to} via {via}"));
            }
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // After a failure the logs stay, for whoever looks for the reason.
        if std::thread::panicking() {
            eprintln!("the logs are kept in {}", self.directory.display());
        } else if let Err(error) = fs::remove_dir_all(&self.directory) {
            eprintln!("removing {}: {error}", self.directory.display());
        }
    }
}

/// The two cables of a path: from the client to the middle, and from there to the server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Client,
    Server,
}

/// An address on one of a path's cables. Host 1 is the end, host 2 the middle.
pub(crate) fn address(side: Side, version: Version, path: usize, host: u8) -> IpAddr {
    let path = u8::try_from(path).expect("few paths");
    match (side, version) {
        (Side::Client, Version::V4) => Ipv4Addr::new(10, 77, path, host).into(),
        (Side::Server, Version::V4) => Ipv4Addr::new(10, 78, path, host).into(),
        (Side::Client, Version::V6) => Ipv6Addr::new(0xfd77, path.into(), 0, 0, 0, 0, 0, host.into()).into(),
        (Side::Server, Version::V6) => Ipv6Addr::new(0xfd78, path.into(), 0, 0, 0, 0, 0, host.into()).into(),
    }
}

/// Where mpclient finds the bridge of a path.
pub(crate) fn bridge_address(version: Version, path: usize) -> SocketAddr {
    SocketAddr::new(address(Side::Client, version, path, 2), 4000)
}

/// Where the bridge of a path finds a service of the server.
pub(crate) fn service_address(version: Version, path: usize, port: u16) -> SocketAddr {
    SocketAddr::new(address(Side::Server, version, path, 1), port)
}

/// Says that a test cannot be had here, and why; where nothing may be missing, the test fails.
pub(crate) fn skip(test: &str, reason: &str) {
    let forbidden = env::var_os(REQUIRE).is_some_and(|value| value == "1");
    assert!(!forbidden, "{reason} ({REQUIRE}=1 forbids skipping)");
    announce(&format!("SKIPPED {test}: {reason}"));
}

/// Tells whoever started the tests something, past the capturing of a passing test's output.
pub(crate) fn announce(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// What a program prints; the test fails, and says why, if the program does.
pub(crate) fn printed(command: &mut Command) -> String {
    output(command).unwrap_or_else(|error| panic!("{error}"))
}

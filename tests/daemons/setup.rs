//! One tunnel under test: its ports, its files, its processes.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

#[cfg(target_os = "linux")]
use rustix::process::Pid;
use socket2::SockRef;

use crate::lossy_bridge::{Faults, LossyBridge};
use crate::process::{MPCLIENT, MPSERVER, PATIENCE, Running, lock_starts};
use crate::stream::{Echo, Stream};
use crate::wait::poll_until;

pub(crate) const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(super) const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Variables of both programs: encrypted with a key, encrypted without one, and not encrypted.
pub(super) const KEYED: &[(&str, &str)] = &[("MPTUNNEL_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")];
pub(super) const UNKEYED: &[(&str, &str)] = &[];
pub(super) const PLAIN: &[(&str, &str)] = &[("MPTUNNEL_ENCRYPT", "0")];

/// Octets of the datagrams of a stream.
pub(super) const DATAGRAM_LEN: usize = 200;

/// A port that is free now, and that nobody else here takes while its program is away: systems give sockets
/// that ask for any port higher ones (from 32,768 on Linux, from 49,152 elsewhere).
pub(crate) fn free_port(host: IpAddr) -> u16 {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 22_000;
    /// More than one run of all tests takes: test processes that run at the same time begin that far from one another.
    const OF_ONE_PROCESS: u32 = 200;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..COUNT {
        let first = process::id() % (COUNT / OF_ONE_PROCESS) * OF_ONE_PROCESS;
        let number = first + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(FIRST + number % COUNT).expect("the last port is below 65,536");
        let _none_starts = lock_starts();
        if UdpSocket::bind((host, port)).is_ok() {
            return port;
        }
    }
    panic!("no port from {FIRST} on is free");
}

/// An address of this machine with such a port.
pub(super) fn free_address() -> SocketAddr {
    (V4, free_port(V4)).into()
}

/// A socket at any port, with room for what a busy machine leaves unread for a while.
pub(super) fn socket(host: IpAddr) -> UdpSocket {
    let socket = UdpSocket::bind((host, 0)).expect("a free port");
    // Best effort: the system's limit holds.
    let _ = SockRef::from(&socket).set_recv_buffer_size(4 << 20);
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a time that is not zero");
    socket
}

pub(super) fn address(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().expect("a bound socket has an address")
}

/// A bridge's line in mpclient.conf.
pub(super) fn line(bridge: SocketAddr) -> String {
    format!("{} {}", bridge.ip(), bridge.port())
}

/// The addresses and files of one tunnel.
pub(super) struct Setup {
    folder: PathBuf,
    host: IpAddr,
    /// Where mpserver listens.
    pub(super) server: SocketAddr,
    /// Where mpclient listens.
    pub(super) applications: SocketAddr,
    target: UdpSocket,
}

impl Setup {
    /// Ports on this loopback address, and a folder with this name.
    pub(super) fn new(name: &str, host: IpAddr) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("daemons").join(name);
        fs::create_dir_all(&folder).expect("a folder for a test's files");
        let server = SocketAddr::new(host, free_port(host));
        let applications = SocketAddr::new(host, free_port(host));
        Self { folder, host, server, applications, target: socket(host) }
    }

    /// The target's socket.
    pub(super) fn target(&self) -> UdpSocket {
        self.target.try_clone().expect("a second descriptor")
    }

    /// The target's address.
    pub(super) fn target_address(&self) -> SocketAddr {
        address(&self.target)
    }

    /// Starts mpserver.
    pub(super) fn mpserver(&self, variables: &[(&str, &str)]) -> Running {
        self.mpserver_and(&[], variables)
    }

    /// Starts mpserver with these options besides.
    pub(super) fn mpserver_and(&self, options: &[&str], variables: &[(&str, &str)]) -> Running {
        let host = self.host.to_string();
        self.mpserver_with(&[&["--bind", &host], options].concat(), &host, variables)
    }

    /// Starts mpserver with its target at another address than [`Self::target_address`].
    pub(super) fn mpserver_towards(&self, target: SocketAddr, variables: &[(&str, &str)]) -> Running {
        let (bind, port) = (self.host.to_string(), self.server.port().to_string());
        let (target, target_port) = (target.ip().to_string(), target.port().to_string());
        Running::start(MPSERVER, &["--bind", &bind, &port, &target, &target_port], variables)
    }

    /// The process of the mpserver that was started.
    #[cfg(target_os = "linux")]
    pub(super) fn mpserver_process(&self) -> Pid {
        process_with(&self.server.port().to_string())
    }

    /// The process of the mpclient that was started.
    #[cfg(target_os = "linux")]
    pub(super) fn mpclient_process(&self) -> Pid {
        let configuration = self.folder.join("mpclient.conf");
        process_with(configuration.to_str().expect("test files have plain names"))
    }

    /// Starts mpserver with these options alone, its target at this host.
    pub(super) fn mpserver_with(
        &self,
        options: &[&str],
        target: &str,
        variables: &[(&str, &str)],
    ) -> Running {
        let (port, target_port) = (self.server.port().to_string(), self.target_address().port().to_string());
        let args = [options, &[&port, target, &target_port]].concat();
        Running::start(MPSERVER, &args, variables)
    }

    /// Starts mpclient with these lines in its configuration.
    pub(super) fn mpclient(&self, bridges: &[String], variables: &[(&str, &str)]) -> Running {
        Running::start(MPCLIENT, &[&self.configure(bridges)], variables)
    }

    /// Writes mpclient's configuration with these lines. Returns where.
    pub(super) fn configure(&self, bridges: &[String]) -> String {
        let text = format!("{}\nlisten = {}\n", bridges.join("\n"), self.applications);
        self.write("mpclient.conf", &text)
    }

    /// Writes a file. Returns where.
    pub(super) fn write(&self, name: &str, contents: &str) -> String {
        let path = self.folder.join(name);
        fs::write(&path, contents).expect("a test's file is written");
        path.to_str().expect("test files have plain names").to_owned()
    }

    /// A folder of this name that is empty.
    pub(super) fn folder(&self, name: &str) -> String {
        let path = self.folder.join(name);
        // From a run before, if at all.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder for a test's files");
        path.to_str().expect("test files have plain names").to_owned()
    }

    /// Starts a bridge to mpserver.
    pub(super) fn bridge(&self, faults: Faults, seed: u64) -> LossyBridge {
        LossyBridge::start(SocketAddr::new(self.host, 0), self.server, faults, seed).expect("a bridge starts")
    }

    /// Starts three bridges to mpserver; each loses others than its neighbours.
    pub(super) fn three_bridges(&self, faults: Faults) -> [LossyBridge; 3] {
        [1, 2, 3].map(|seed| self.bridge(faults, seed))
    }

    /// A new application's socket, connected to mpclient.
    pub(super) fn application(&self) -> UdpSocket {
        let application = socket(self.host);
        application.connect(self.applications).expect("mpclient's address is one");
        application
    }

    /// Starts a stream from a new application to the target and back.
    pub(super) fn stream(&self, per_second: u32) -> Stream {
        Stream::start(self.application(), Echo::start(self.target()), per_second, DATAGRAM_LEN)
    }
}

/// The lines of mpclient.conf for these bridges.
pub(super) fn lines(bridges: &[LossyBridge]) -> Vec<String> {
    bridges.iter().map(|bridge| line(bridge.address())).collect()
}

/// Waits until every datagram of a stream goes over all of these bridges, both ways. Returns the number of
/// datagrams sent by then.
pub(super) fn wait_until_all_carry(stream: &Stream, bridges: &[LossyBridge]) -> u64 {
    const DATAGRAMS: u64 = 100;
    let all_carry = || {
        let received = || -> Vec<u64> {
            let counts = bridges.iter().map(LossyBridge::counts);
            counts.flat_map(|counts| [counts.forward.received, counts.backward.received]).collect()
        };
        let (sent, before) = (stream.sent(), received());
        assert!(poll_until(PATIENCE, || stream.sent() >= sent + DATAGRAMS), "the stream has come to a halt");
        // What is under way at the end has been in the bridges or will be; probes are few.
        before.iter().zip(received()).all(|(before, after)| after - before >= DATAGRAMS * 8 / 10)
    };
    assert!(poll_until(PATIENCE, all_carry), "not every bridge carries datagrams within {PATIENCE:?}");
    stream.sent()
}

/// The one process that has this among its arguments.
#[cfg(target_os = "linux")]
fn process_with(argument: &str) -> Pid {
    let has_it = |process: &Pid| {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        line.split(|octet| *octet == 0).any(|word| word == argument.as_bytes())
    };
    let processes = fs::read_dir("/proc").expect("Linux has /proc");
    let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let found: Vec<_> = ids.filter_map(Pid::from_raw).filter(has_it).collect();
    let [process] = found[..] else { panic!("{} processes have the argument {argument}", found.len()) };
    process
}

/// Skips a test, aloud, where this machine has no IPv6.
pub(super) fn has_ipv6() -> bool {
    let has = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    if !has {
        eprintln!("SKIPPED: this machine has no IPv6 loopback address");
    }
    has
}

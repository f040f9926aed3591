//! A network namespace of our own: made, entered, and taken down with everything that runs in it.

use std::fmt::Display;
use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::process::kill;
use super::wait::poll_until;

/// A named network namespace, removed when dropped.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace with a name that no other test run has, its loopback interface up.
    pub(crate) fn new(purpose: impl Display) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("mptunnel-{}-{count}-{purpose}", std::process::id());
        output(Command::new("ip").args(["netns", "add", &name]))?;
        let namespace = Self { name };
        namespace.try_ip("link set lo up")?;
        // Duplicate address detection would hold new IPv6 addresses back for a second or two.
        namespace
            .enter(|| fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0"))
            .map_err(|error| format!("the kernel has no IPv6: {error}"))?;
        Ok(namespace)
    }

    /// The name under which `ip` knows it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A command that will run inside. `ip netns exec` replaces itself with the program, so the child's
    /// process id is the program's own.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program.as_ref());
        command
    }

    /// Runs `ip` with these words inside.
    pub(crate) fn try_ip(&self, words: &str) -> Result<String, String> {
        output(Command::new("ip").args(["-n", &self.name]).args(words.split_whitespace()))
    }

    /// Runs `ip` with these words inside; it must succeed.
    pub(crate) fn ip(&self, words: &str) {
        if let Err(error) = self.try_ip(words) {
            panic!("{error}");
        }
    }

    /// Runs `tc` with these words inside; it must succeed.
    pub(crate) fn tc(&self, words: &str) -> String {
        output(self.command("tc").args(words.split_whitespace())).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Runs `nft` with this one command inside.
    pub(crate) fn try_nft(&self, command: &str) -> Result<String, String> {
        output(self.command("nft").arg(command))
    }

    /// Calls `work` on a thread of its own that has moved into the namespace. A socket opened there stays
    /// in the namespace, whichever thread uses it afterwards.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(Path::new("/run/netns").join(&self.name)).expect("the namespace was made");
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("who may make a namespace may enter it");
                work()
            });
            inside.join().expect("the work inside the namespace")
        })
    }

    /// A UDP socket inside, bound to this address.
    pub(crate) fn socket(&self, address: SocketAddr) -> UdpSocket {
        self.enter(|| UdpSocket::bind(address))
            .unwrap_or_else(|error| panic!("binding {address} in {}: {error}", self.name))
    }

    /// Lets the programs that start inside from now on ask this name server.
    pub(crate) fn set_name_server(&self, address: IpAddr) {
        self.set_etc("resolv.conf", &format!("nameserver {address}\n"));
    }

    /// Gives the programs that start inside from now on a file of their own in place of the one in /etc. (`ip netns exec`
    /// shows them what lies in the namespace's own folder.)
    pub(crate) fn set_etc(&self, name: &str, text: &str) {
        let folder = self.own_etc();
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(folder.join(name), text))
            .unwrap_or_else(|error| panic!("writing into {}: {error}", folder.display()));
    }

    fn own_etc(&self) -> PathBuf {
        Path::new("/etc/netns").join(&self.name)
    }

    /// The ids of the processes inside.
    fn processes(&self) -> Vec<String> {
        let listed = output(Command::new("ip").args(["netns", "pids", &self.name])).unwrap_or_default();
        listed.split_whitespace().map(str::to_owned).collect()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let emptied = poll_until(Duration::from_secs(5), || {
            let running = self.processes();
            for process in &running {
                kill(process);
            }
            running.is_empty()
        });
        if fs::remove_dir_all(self.own_etc()).is_ok() {
            // Fails, as it should, while the folder of another namespace is still in it.
            let _ = fs::remove_dir("/etc/netns");
        }
        let removed = output(Command::new("ip").args(["netns", "del", &self.name]));
        if !emptied || removed.is_err() {
            eprintln!("the namespace {} could not be cleared away: {removed:?}", self.name);
        }
    }
}

/// Runs a command to its end: what it printed, or a sentence that says how it failed.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let shown = format!("{command:?}").replace('"', "");
    match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) => {
            let complaint = String::from_utf8_lossy(&output.stderr);
            Err(format!("`{shown}` ended with {}: {}", output.status, complaint.trim()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(format!("`{}` is not installed (or not in PATH)", command.get_program().to_string_lossy()))
        }
        Err(error) => Err(format!("`{shown}` did not start: {error}")),
    }
}

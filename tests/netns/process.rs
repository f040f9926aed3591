//! A program that a test starts: its output in a file, waits with a deadline, ended with all its
//! children when dropped.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use super::namespace::output;

use super::wait::poll_until;

/// Octets of a log's end that a failing test shows.
const SHOWN_LEN: usize = 4000;

/// A running program. Its process group holds the children that it forks, as socat does.
pub(crate) struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts the command; what it prints goes to a new file in `directory`.
    pub(crate) fn start(name: &str, command: &mut Command, directory: &Path) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let log = directory.join(format!("{count}-{name}.log"));
        let file = File::create(&log).expect("a log file in the temporary directory");
        let same_file = file.try_clone().expect("a second descriptor");
        let child = command
            .env("XDG_RUNTIME_DIR", directory)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(same_file)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} did not start: {error}"));
        Self { child, name: name.to_owned(), log }
    }

    /// Everything printed so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until a line holds `text`; the test fails if that takes longer, or the program ends first.
    pub(crate) fn wait_for_line(&mut self, text: &str, limit: Duration) {
        self.wait_until(&format!("a line with {text:?}"), limit, |process| process.log().contains(text));
    }

    /// Waits until a listening socket with this port is open in the program's namespace.
    pub(crate) fn wait_for_port(&mut self, protocol: Protocol, port: u16) {
        let what = format!("a {protocol:?} socket on port {port}");
        self.wait_until(&what, Duration::from_secs(10), |process| {
            listens(process.child.id(), protocol, port)
        });
    }

    fn wait_until(&mut self, what: &str, limit: Duration, mut reached: impl FnMut(&Self) -> bool) {
        let mut ended = None;
        let held = poll_until(limit, || {
            // Asked before looking, so that what a program did just before it ended still counts.
            ended = self.child.try_wait().expect("our own child");
            reached(self) || ended.is_some()
        });
        let name = &self.name;
        assert!(held, "{name}: no {what} within {limit:?}");
        assert!(ended.is_none() || reached(self), "{name} ended ({ended:?}) without {what}");
    }

    /// Sends the program a signal, such as `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} {}", self.child.id());
        output(Command::new("sh").args(["-c", &kill])).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Waits for the program's own end.
    pub(crate) fn wait_for_end(&mut self, limit: Duration) -> ExitStatus {
        let mut status = None;
        poll_until(limit, || {
            status = self.child.try_wait().expect("our own child");
            status.is_some()
        });
        status.unwrap_or_else(|| panic!("{} did not end within {limit:?}", self.name))
    }

    /// Ends the program and its children with SIGKILL, as a crash would: no farewell to anybody.
    pub(crate) fn kill(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // The group has the id of its first process.
            kill(&format!("-{}", self.child.id()));
            let _ = self.child.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let log = self.log();
            let start = log.len().saturating_sub(SHOWN_LEN);
            let end = log.get(start..).unwrap_or(&log);
            eprintln!("---- the end of what {} printed:\n{end}", self.name);
        }
    }
}

/// Sends SIGKILL to a process, or with a `-` in front of the id to a process group. Through the shell, as the
/// standard library can only kill a child, not its children.
pub(crate) fn kill(id: &str) {
    // It fails if whoever it is meant for has ended meanwhile.
    let _ = output(Command::new("sh").args(["-c", &format!("kill -s KILL -- {id}")]));
}

/// The transport of a listening socket.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
}

/// Whether the kernel's table of sockets, as this process sees it, has one with this port that is not
/// connected. (A socat child keeps its parent's port, but is connected.)
fn listens(process: u32, protocol: Protocol, port: u16) -> bool {
    let tables = match protocol {
        Protocol::Tcp => ["tcp", "tcp6"],
        Protocol::Udp => ["udp", "udp6"],
    };
    let local_end = format!(":{port:04X}");
    tables.iter().any(|table| {
        let sockets = fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default();
        sockets.lines().skip(1).any(|line| {
            let mut words = line.split_whitespace().skip(1);
            let (local, remote) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
            local.ends_with(&local_end) && remote.ends_with(":0000")
        })
    })
}

//! Runs the real programs, none of which outlives its test.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

pub(super) const MPCLIENT: &str = env!("CARGO_BIN_EXE_mpclient");
pub(super) const MPSERVER: &str = env!("CARGO_BIN_EXE_mpserver");

/// How long anything that a test waits for may take on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A program that has ended.
#[derive(Debug)]
pub(super) struct Finished {
    /// The exit status; `None` if a signal ended it.
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// A program that runs, and is killed when dropped.
pub(super) struct Running {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Running {
    /// Starts a program with these variables and without those that this process happens to have.
    pub(super) fn start(program: &str, args: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program);
        for name in ["MPTUNNEL_ENCRYPT", "MPTUNNEL_KEY", "RUST_LOG", "RUST_LOG_STYLE"] {
            command.env_remove(name);
        }
        let mut child = command
            .args(args)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = read_to_end(child.stdout.take().expect("standard output is a pipe"));
        let stderr = read_to_end(child.stderr.take().expect("standard error is a pipe"));
        Self { child, stdout, stderr }
    }

    /// Sends it a signal, such as `TERM`.
    pub(super) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status().expect("sh starts");
        assert!(status.success(), "{kill}");
    }

    /// Waits for its end.
    pub(super) fn finish(mut self) -> Finished {
        // Its pipes are closed when it ends, so this waits for the end, but not for ever.
        let stdout = self.stdout.recv_timeout(PATIENCE).expect("the program ends in time");
        let stderr = self.stderr.recv_timeout(PATIENCE).expect("the program ends in time");
        let code = self.child.wait().expect("the program's exit status").code();
        Finished { code, stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_to_end(mut pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut octets = Vec::new();
        let _ = pipe.read_to_end(&mut octets);
        let _ = sender.send(String::from_utf8_lossy(&octets).into_owned());
    });
    receiver
}

/// Runs a program to its end.
pub(super) fn run(program: &str, args: &[&str]) -> Finished {
    run_with(program, args, &[])
}

/// Runs a program to its end with these variables.
pub(super) fn run_with(program: &str, args: &[&str], variables: &[(&str, &str)]) -> Finished {
    Running::start(program, args, variables).finish()
}

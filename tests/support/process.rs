//! Runs the real programs, none of which outlives its test.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use std::{env, fs};

use super::wait::poll_until;

pub(crate) const MPCLIENT: &str = env!("CARGO_BIN_EXE_mpclient");
pub(crate) const MPSERVER: &str = env!("CARGO_BIN_EXE_mpserver");

/// How long anything that a test waits for may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Keeps programs from being started. One that starts has a copy of all our sockets for a moment, so a port that is closed
/// here at that moment is not free yet.
pub(crate) fn lock_starts() -> MutexGuard<'static, ()> {
    static STARTS: Mutex<()> = Mutex::new(());
    STARTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The exit status; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A program that runs, and is killed when dropped.
pub(crate) struct Running {
    name: String,
    child: Child,
    runtime: RuntimeFolder,
    stdout: Output,
    stderr: Output,
}

impl Running {
    /// Starts a program with these variables and without those that this process happens to have.
    pub(crate) fn start(program: &str, args: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::start_in(RuntimeFolder::new(), program, args, variables)
    }

    /// Starts a program whose sockets are in this folder.
    pub(crate) fn start_in(
        runtime: RuntimeFolder,
        program: &str,
        args: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let mut command = Command::new(program);
        command.env("XDG_RUNTIME_DIR", &runtime.0);
        for name in ["MPTUNNEL_ENCRYPT", "MPTUNNEL_KEY", "RUST_LOG", "RUST_LOG_STYLE", "NOTIFY_SOCKET"] {
            command.env_remove(name);
        }
        let starting = lock_starts();
        let mut child = command
            .args(args)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        drop(starting);
        let stdout = Output::of(child.stdout.take().expect("standard output is a pipe"));
        let stderr = Output::of(child.stderr.take().expect("standard error is a pipe"));
        let name = format!("{program} {}", args.join(" "));
        Self { name, child, runtime, stdout, stderr }
    }

    /// What it has written to standard error so far.
    pub(crate) fn log(&self) -> String {
        self.stderr.text()
    }

    /// Where its sockets are.
    pub(crate) fn runtime_folder(&self) -> &Path {
        &self.runtime.0
    }

    /// What it has written to standard output so far.
    pub(crate) fn output(&self) -> String {
        self.stdout.text()
    }

    /// Waits until its log holds so many lines with `text`.
    pub(crate) fn wait_for_lines(&self, count: usize, text: &str) {
        let said = || self.log().lines().filter(|line| line.contains(text)).count() >= count;
        assert!(
            poll_until(PATIENCE, said),
            "{}: no {count} lines with {text:?} within {PATIENCE:?}",
            self.name
        );
    }

    /// Sends it a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status().expect("sh starts");
        assert!(status.success(), "{kill}");
    }

    /// Ends it as a crash would: no farewell to anybody. Its sockets are closed when this returns.
    pub(crate) fn kill(mut self) {
        let running = self.child.try_wait().expect("our own child").is_none();
        assert!(running, "{} has ended by itself: {}", self.name, self.log());
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Finished {
        // Its pipes are closed when it ends, so this waits for the end, but not for ever.
        let stdout = self.stdout.whole();
        let stderr = self.stderr.whole();
        let code = self.child.wait().expect("the program's exit status").code();
        Finished { code, stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("---- {} wrote:\n{}", self.name, self.log());
        }
    }
}

/// Where a program's sockets are, so that no other's are in their place.
pub(crate) struct RuntimeFolder(PathBuf);

impl RuntimeFolder {
    /// A folder that is empty. Its name is short, as addresses of sockets are.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("mptunnel-{}-{count}", process::id()));
        fs::create_dir_all(&path).expect("a folder for sockets");
        Self(path)
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for RuntimeFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a program writes to a pipe.
struct Output {
    octets: Arc<Mutex<Vec<u8>>>,
    /// Hung up when the pipe is closed.
    end: Receiver<()>,
}

impl Output {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let (sender, end) = mpsc::channel();
        let octets = Arc::<Mutex<Vec<u8>>>::default();
        let written = Arc::clone(&octets);
        thread::spawn(move || {
            let _hung_up_at_the_end = sender;
            let mut buffer = [0; 4096];
            while let Ok(len @ 1..) = pipe.read(&mut buffer) {
                written.lock().unwrap_or_else(PoisonError::into_inner).extend(&buffer[..len]);
            }
        });
        Self { octets, end }
    }

    fn text(&self) -> String {
        let octets = self.octets.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&octets).into_owned()
    }

    /// Everything, once the pipe is closed.
    fn whole(&self) -> String {
        let ended = self.end.recv_timeout(PATIENCE);
        assert_eq!(ended, Err(mpsc::RecvTimeoutError::Disconnected), "the program ends in time");
        self.text()
    }
}

/// Runs a program to its end.
pub(crate) fn run(program: &str, args: &[&str]) -> Finished {
    run_with(program, args, &[])
}

/// Runs a program to its end with these variables.
pub(crate) fn run_with(program: &str, args: &[&str], variables: &[(&str, &str)]) -> Finished {
    Running::start(program, args, variables).finish()
}

//! The control socket: whoever connects is sent one snapshot, and the connection is closed.
//!
//! A Unix stream socket that only its owner may connect to. Nothing is read from a connection, and
//! what it does not take at once waits for it, for a while: nobody who stalls holds the next one up, and nobody
//! who asks all the time has more than so many snapshots taken.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::debug;
use mio::net::{UnixListener, UnixStream};
use mio::{Registry, Token};
use socket2::{Domain, SockAddr, Socket, Type};

use super::control_error::ControlError;
use super::conversations::{Conversations, Door, Fresh};

/// A snapshot serves all that ask within this time.
const FRESH_FOR: Duration = Duration::from_millis(50);
/// Connections that wait to be accepted: the system's usual limit.
const BACKLOG: i32 = 128;

/// Makes the folder of a control socket, for its owner alone, unless it is there.
///
/// # Errors
/// The system refused.
pub fn make_folder(path: &Path) -> io::Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// See the module.
#[derive(Debug)]
pub struct Control {
    /// Those who ask.
    pub(super) conversations: Conversations<UnixListener>,
    path: PathBuf,
    /// Device and inode, by which the socket is told from another's in its place.
    identity: (u64, u64),
    latest: Fresh,
}

impl Door for UnixListener {
    const NAME: &str = "control socket";
    const AT_A_TIME: usize = 8;
    const PATIENCE: Duration = Duration::from_secs(1);
    const HEARS: bool = false;
    type Stream = UnixStream;

    fn accept(&self) -> io::Result<UnixStream> {
        Ok(Self::accept(self)?.0)
    }

    fn finish(_: &UnixStream) -> io::Result<()> {
        Ok(())
    }
}

impl Control {
    /// Opens the socket, in place of one that nobody answers at.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn open(path: &Path) -> Result<Self, ControlError> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        let address = SockAddr::unix(path)?;
        if let Err(error) = socket.bind(&address) {
            if error.kind() != ErrorKind::AddrInUse {
                return Err(error.into());
            }
            remove_stale(path, &address)?;
            socket.bind(&address)?;
        }
        // Nobody can connect before it listens.
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let metadata = fs::symlink_metadata(path)?;
        let listener = UnixListener::from_std(std::os::unix::net::UnixListener::from(OwnedFd::from(socket)));
        Ok(Self {
            conversations: Conversations::new(listener),
            path: path.to_owned(),
            identity: (metadata.dev(), metadata.ino()),
            latest: Fresh::new(FRESH_FOR),
        })
    }

    /// Goes on with the answers under way, and begins new ones.
    pub(super) fn serve(
        &mut self,
        now: Instant,
        registry: &Registry,
        token: Token,
        snapshot: impl Fn() -> Option<Vec<u8>>,
    ) {
        let latest = &mut self.latest;
        // At the program's end there is none any more.
        let answer = |_: &[u8]| Some(latest.or_else(now, &snapshot).unwrap_or_else(|| Arc::new([])));
        self.conversations.serve(now, registry, token, answer);
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            debug!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// Removes a socket that its process has left behind.
fn remove_stale(path: &Path, address: &SockAddr) -> Result<(), ControlError> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(ControlError::NoSocket);
    }
    let question = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A process that is slow to accept is there all the same: nothing is waited for.
    question.set_nonblocking(true)?;
    match question.connect(address) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(fs::remove_file(path)?),
        _ => Err(ControlError::InUse),
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::io::Read;
    use std::os::unix::net::UnixStream as Client;

    use mio::{Events, Poll};

    use super::*;

    const TOKEN: Token = Token(1);
    const AT_A_TIME: usize = UnixListener::AT_A_TIME;
    const PATIENCE: Duration = UnixListener::PATIENCE;

    fn path(test: &str) -> PathBuf {
        let path = env::temp_dir().join(format!("mptunnel-{}-{test}.sock", std::process::id()));
        let _ = fs::remove_file(&path);
        path
    }

    struct Loop {
        poll: Poll,
        control: Control,
        now: Instant,
    }

    impl Loop {
        fn new(path: &Path) -> Self {
            let poll = Poll::new().expect("a poll");
            let mut control = Control::open(path).expect("nothing is in the way");
            control.conversations.register(poll.registry(), TOKEN).expect("a registered socket");
            #[expect(clippy::disallowed_methods, reason = "any instant will do")]
            let now = Instant::now();
            Self { poll, control, now }
        }

        fn serve(&mut self, len: usize) {
            self.control.conversations.note();
            while self.control.conversations.are_asked() {
                self.control.serve(self.now, self.poll.registry(), TOKEN, || Some(vec![b'x'; len]));
            }
        }
    }

    #[test]
    fn who_connects_gets_one_snapshot_and_the_end_and_only_the_owner_may() {
        let path = path("one");
        let mut turn = Loop::new(&path);
        let mode = fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut client = Client::connect(&path).expect("it listens");
        let mut events = Events::with_capacity(8);
        turn.poll.poll(&mut events, Some(Duration::from_secs(20))).expect("a poll");
        assert!(events.iter().any(|event| event.token() == TOKEN), "the loop is told");
        turn.serve(3);
        let mut text = String::new();
        client.read_to_string(&mut text).expect("an answer, and its end");
        assert_eq!(text, "xxx");
        assert_eq!(turn.control.conversations.deadline(), None);
        drop(turn);
        assert!(!path.exists(), "it is removed at the end");
    }

    #[test]
    fn clients_that_stall_hold_nobody_up_and_are_dropped_after_a_second() {
        const LONG: usize = 8 << 20;
        let path = path("stall");
        let mut turn = Loop::new(&path);
        let stalling: Vec<_> = (0..AT_A_TIME).map(|_| Client::connect(&path).expect("room")).collect();
        turn.serve(LONG);
        assert_eq!(turn.control.conversations.count(), AT_A_TIME);
        let mut waiting = Client::connect(&path).expect("the system queues it");
        turn.serve(LONG);
        assert_eq!(turn.control.conversations.count(), AT_A_TIME, "no more at a time");
        assert_eq!(turn.control.conversations.deadline(), Some(turn.now + PATIENCE));

        turn.now += PATIENCE;
        turn.serve(3);
        assert_eq!(turn.control.conversations.count(), 0);
        let mut text = String::new();
        waiting.read_to_string(&mut text).expect("an answer, and its end");
        assert_eq!(text, "xxx", "a snapshot of then");
        for mut client in stalling {
            let mut octets = Vec::new();
            client.read_to_end(&mut octets).expect("what fitted into the socket");
            assert!(octets.len() < LONG);
        }
    }

    #[test]
    fn an_answer_that_is_read_slowly_arrives_whole() {
        const LONG: usize = 2 << 20;
        let path = path("slow");
        let mut turn = Loop::new(&path);
        let mut client = Client::connect(&path).expect("it listens");
        turn.serve(LONG);
        client.set_nonblocking(true).expect("a socket");
        let mut octets = 0;
        let mut buffer = vec![0; 1 << 16];
        loop {
            match client.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => octets += len,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    turn.serve(LONG);
                }
            }
        }
        assert_eq!(octets, LONG);
    }

    #[test]
    fn a_stale_socket_is_replaced_a_live_one_and_other_files_are_left_alone() {
        let path = path("stale");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
        assert!(path.exists(), "it is left behind");
        let live = Control::open(&path).expect("nobody answers at the old one");
        assert!(matches!(Control::open(&path), Err(ControlError::InUse)));
        assert!(path.exists(), "whoever was refused has not removed it");
        Client::connect(&path).expect("it still listens");

        // Another one in its place is not removed with it.
        fs::remove_file(&path).expect("it is there");
        let other = Control::open(&path).expect("nothing is in the way");
        drop(live);
        Client::connect(&path).expect("it still listens");
        drop(other);

        fs::write(&path, "a file").expect("a file can be written");
        assert!(matches!(Control::open(&path), Err(ControlError::NoSocket)));
        fs::remove_file(&path).expect("it is still there");
    }
}

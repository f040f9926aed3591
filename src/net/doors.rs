//! Where others may ask what the tunnel does: the control socket and the HTTP door, in a thread of their own.
//!
//! The loop gives a snapshot when one is asked for, and nothing more: what is made of it, and whoever asks,
//! costs the packets nothing. The thread begins with the loop and ends with it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use log::{error, warn};
use mio::{Events, Poll, Token, Waker};

use super::control::Control;
use super::event_loop::clock;
use super::http::{HttpDoor, Site};
use crate::tunnel::snapshot::Snapshot;

/// What is said where those who ask are left alone, with the reason behind it.
pub(super) const UNANSWERED: &str =
    "the tunnel goes on, but status and metrics are not answered before a restart";

const CONTROL: Token = Token(0);
const HTTP: Token = Token(1);
const END: Token = Token(2);
/// Readiness events taken at a time.
const EVENTS: usize = 64;

/// The loop's side.
#[derive(Default)]
pub(super) struct Doors {
    control: Option<Control>,
    site: Option<(HttpDoor, Box<dyn Site>)>,
    thread: Option<Thread>,
}

struct Thread {
    handle: Option<JoinHandle<()>>,
    wanted: Arc<AtomicBool>,
    /// Gone: the thread waits for no more.
    snapshots: Option<Sender<Snapshot>>,
    ended: Arc<AtomicBool>,
    waker: Waker,
}

impl Doors {
    pub(super) fn open_control(&mut self, control: Control) {
        self.control = Some(control);
    }

    pub(super) fn open_http(&mut self, door: HttpDoor, site: Box<dyn Site>) {
        self.site = Some((door, site));
    }

    /// Begins to answer, if there is a door. The loop is woken when a snapshot is wanted.
    ///
    /// # Errors
    /// The system refused.
    pub(super) fn begin(&mut self, wake_loop: &Arc<Waker>) -> io::Result<()> {
        if self.control.is_none() && self.site.is_none() {
            return Ok(());
        }
        let poll = Poll::new()?;
        let (mut control, mut site) = (self.control.take(), self.site.take());
        if let Some(control) = &mut control {
            control.conversations.register(poll.registry(), CONTROL)?;
        }
        if let Some((door, _)) = &mut site {
            door.conversations.register(poll.registry(), HTTP)?;
        }
        let waker = Waker::new(poll.registry(), END)?;
        let (sender, snapshots) = channel();
        let (wanted, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let wishes = Wishes { wanted: Arc::clone(&wanted), wake_loop: Arc::clone(wake_loop), snapshots };
        let answering = Answering { poll, control, site, wishes, ended: Arc::clone(&ended) };
        let handle = thread::Builder::new().name("doors".to_owned()).spawn(move || answering.run())?;
        self.thread = Some(Thread { handle: Some(handle), wanted, snapshots: Some(sender), ended, waker });
        Ok(())
    }

    /// Gives a snapshot, if one is wanted. To be called each turn.
    pub(super) fn turn(&mut self, snapshot: impl FnOnce() -> Snapshot) {
        if self.thread.as_ref().is_some_and(Thread::has_ended) {
            // What it ended by is told as it is dropped.
            self.thread = None;
        }
        if let Some(Thread { wanted, snapshots: Some(sender), .. }) = &self.thread
            && wanted.load(Ordering::Acquire)
            && wanted.swap(false, Ordering::AcqRel)
            && sender.send(snapshot()).is_err()
        {
            warn!("{UNANSWERED}: nobody takes a snapshot that was asked for");
        }
    }
}

impl Thread {
    /// Whether it has, though the loop goes on.
    fn has_ended(&self) -> bool {
        self.handle.as_ref().is_some_and(JoinHandle::is_finished)
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.snapshots = None;
        self.ended.store(true, Ordering::Release);
        let woken = self.waker.wake();
        if let (Ok(()), Some(handle)) = (woken, self.handle.take())
            && handle.join().is_err()
        {
            error!("{UNANSWERED}: what answered has panicked, which is a bug to be reported");
        }
    }
}

/// How the thread gets its snapshots.
struct Wishes {
    wanted: Arc<AtomicBool>,
    wake_loop: Arc<Waker>,
    snapshots: Receiver<Snapshot>,
}

impl Wishes {
    /// Waits for the loop's next turn. Nothing: there is none any more.
    fn snapshot(&self) -> Option<Snapshot> {
        self.wanted.store(true, Ordering::Release);
        if let Err(error) = self.wake_loop.wake() {
            // It has a turn each second all the same.
            warn!("cannot wake the event loop: {error}");
        }
        self.snapshots.recv().ok()
    }
}

/// The thread's side.
struct Answering {
    poll: Poll,
    control: Option<Control>,
    site: Option<(HttpDoor, Box<dyn Site>)>,
    wishes: Wishes,
    ended: Arc<AtomicBool>,
}

impl Answering {
    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        while !self.ended.load(Ordering::Acquire) {
            match self.poll.poll(&mut events, self.wait(clock())) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return error!("{UNANSWERED}: {error}");
                }
                _ => {}
            }
            for event in &events {
                self.note(event.token());
            }
            self.answer(clock());
        }
    }

    /// How long nothing may be to do.
    fn wait(&self, now: Instant) -> Option<Duration> {
        let control = self.control.as_ref().map(|control| &control.conversations);
        let http = self.site.as_ref().map(|(door, _)| &door.conversations);
        let busy = control.is_some_and(|all| all.are_asked()) || http.is_some_and(|all| all.are_asked());
        if busy {
            return Some(Duration::ZERO);
        }
        let deadlines = [control.and_then(|all| all.deadline()), http.and_then(|all| all.deadline())];
        let point = self.site.as_ref().map(|(_, site)| site.due().unwrap_or(now));
        let next = deadlines.into_iter().flatten().chain(point).min();
        next.map(|next| next.saturating_duration_since(now))
    }

    /// Notes what the system tells.
    fn note(&mut self, token: Token) {
        match (token, &mut self.control, &mut self.site) {
            (CONTROL, Some(control), _) => control.conversations.note(),
            (HTTP, _, Some((door, _))) => door.conversations.note(),
            _ => {}
        }
    }

    /// Answers whoever asks.
    fn answer(&mut self, now: Instant) {
        let (registry, wishes) = (self.poll.registry(), &self.wishes);
        if let Some(control) = &mut self.control {
            control.serve(now, registry, CONTROL, || {
                let mut json = serde_json::to_vec(&wishes.snapshot()?).expect("a snapshot is JSON");
                json.push(b'\n');
                Some(json)
            });
        }
        if let Some((door, site)) = &mut self.site {
            if site.due().is_none_or(|due| now >= due)
                && let Some(snapshot) = wishes.snapshot()
            {
                site.note(now, &snapshot);
            }
            door.serve(now, registry, HTTP, |path| site.content(now, path, &|| wishes.snapshot()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpStream};

    use super::super::http::{Content, Missing};
    use super::*;
    use crate::tunnel::Tunnel;

    /// A site that takes long to make something of a snapshot.
    struct Slow {
        begun: Sender<()>,
        go_on: Receiver<()>,
    }

    impl Site for Slow {
        fn content(
            &mut self,
            _: Instant,
            _: &str,
            snapshot: &dyn Fn() -> Option<Snapshot>,
        ) -> Result<Content, Missing> {
            let snapshot = snapshot().ok_or(Missing::Snapshot)?;
            self.begun.send(()).expect("the test waits");
            self.go_on.recv().expect("the test goes on");
            let body = snapshot.listen.into_bytes().into();
            Ok(Content { media_type: "text/plain", policy: "default-src 'none'", body })
        }

        fn due(&self) -> Option<Instant> {
            Some(clock() + Duration::from_secs(60))
        }

        fn note(&mut self, _: Instant, _: &Snapshot) {}
    }

    /// A site that cannot make anything of a snapshot.
    struct Broken;

    impl Site for Broken {
        fn content(
            &mut self,
            _: Instant,
            _: &str,
            _: &dyn Fn() -> Option<Snapshot>,
        ) -> Result<Content, Missing> {
            Err(Missing::Path)
        }

        fn due(&self) -> Option<Instant> {
            None
        }

        fn note(&mut self, _: Instant, _: &Snapshot) {
            panic!("this panic is part of the test");
        }
    }

    #[test]
    fn a_thread_that_has_panicked_is_noticed_in_a_turn() {
        let tunnel = Tunnel::quiet_server(clock());
        let poll = Poll::new().expect("a poll");
        let waker = Arc::new(Waker::new(poll.registry(), END).expect("a waker"));
        let mut doors = Doors::default();
        doors.open_http(
            HttpDoor::open((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port"),
            Box::new(Broken),
        );
        doors.begin(&waker).expect("a thread");
        let begin = clock();
        while doors.thread.is_some() {
            doors.turn(|| tunnel.snapshot(clock()));
            assert!(clock() - begin < Duration::from_secs(20), "it is not noticed");
            thread::yield_now();
        }
    }

    #[test]
    fn the_loop_goes_on_while_something_is_made_of_a_snapshot_and_ends_whoever_waits() {
        let tunnel = Tunnel::quiet_server(clock());
        let mut poll = Poll::new().expect("a poll");
        let waker = Arc::new(Waker::new(poll.registry(), END).expect("a waker"));
        let door = HttpDoor::open((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
        let at = door.address();
        let ((begun, has_begun), (let_it, go_on)) = (channel(), channel());
        let mut doors = Doors::default();
        doors.open_http(door, Box::new(Slow { begun, go_on }));
        doors.begin(&waker).expect("a thread");

        let ask = || {
            let mut client = TcpStream::connect(at).expect("it listens");
            client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it listens");
            client
        };
        let mut events = Events::with_capacity(8);
        let mut wait = || poll.poll(&mut events, Some(Duration::from_secs(20))).expect("a poll");
        let mut client = ask();
        wait();
        doors.turn(|| tunnel.snapshot(clock()));
        has_begun.recv().expect("it has got its snapshot");
        // It is busy with it; the loop has its turns.
        doors.turn(|| unreachable!("nothing is wanted"));
        let_it.send(()).expect("it waits");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("an answer, and its end");
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("127.0.0.1:1"), "{answer}");

        // The next one waits for a snapshot that the loop does not give any more.
        let mut client = ask();
        wait();
        drop(doors);
        answer.clear();
        client.read_to_string(&mut answer).expect("an answer, and its end");
        assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable"), "{answer}");
    }
}

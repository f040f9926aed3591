//! The poll loop: the tunnel's one clock. It hands the tunnel what was received and the time,
//! and does what the tunnel asks. What comes of opening a socket is in `opening`, what a signal asks in `orders`.

mod opening;
mod orders;

use std::collections::{HashSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use log::{Level, warn};
use mio::{Events, Poll, Waker};
use rand::{SeedableRng, rngs::StdRng};

use super::control::Control;
use super::doors::{Doors, UNANSWERED};
use super::gather::{self, Gather};
use super::http::{HttpDoor, Site};
use super::reports::{Occasion, Reports};
use super::reread::{Reload, Reread};
use super::resolver::Resolver;
use super::service::Service;
use super::signals::Signals;
use super::sockets::{Sockets, Trouble};
use super::socks5::Socks5;
use super::start::StartError;
use super::tokens::{self, SIGNALS, SOCKS5, WAKER};
use super::troubles::{self, About, Troubles};
use crate::tunnel::chronicle::Kind;
use crate::tunnel::link::{Bind, Event, SocketId};
use crate::tunnel::role::{ClientRole, Config, Role};
use crate::tunnel::snapshot::Snapshot;
use crate::tunnel::{LISTENER, Tunnel};

/// Receive calls on one socket before the next one's turn: a flooded socket must not keep the
/// others waiting.
const RECEIVE_CALLS: usize = 4;
/// Readiness events taken at a time.
const EVENTS: usize = 256;
/// How often is looked whether sockets still have their uplinks.
const UPLINK_INTERVAL: Duration = Duration::from_secs(1);

/// Ends a loop from another thread.
#[derive(Clone, Debug)]
pub struct Stopper {
    stopped: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

impl Stopper {
    /// Has [`EventLoop::run`] return.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        if let Err(error) = self.waker.wake() {
            warn!("cannot wake the event loop: {error}");
        }
    }
}

/// One tunnel with its sockets and its clock.
pub struct EventLoop {
    poll: Poll,
    tunnel: Tunnel,
    sockets: Sockets,
    resolver: Resolver,
    signals: Option<(Signals, Reload)>,
    doors: Doors,
    socks5: Option<Socks5>,
    service: Service,
    reports: Reports,
    stopper: Stopper,
    /// Sockets that may have something to receive.
    ready: VecDeque<SocketId>,
    /// The same, to be found: each flow of a server has a socket.
    is_ready: HashSet<SocketId>,
    troubles: Troubles,
    uplinks_seen: Instant,
}

impl EventLoop {
    /// Opens the listener and is ready to run.
    ///
    /// # Errors
    /// [`StartError`].
    #[expect(clippy::disallowed_methods, reason = "this is where the clock and the seed come from")]
    pub fn new(config: Config) -> Result<Self, StartError> {
        let poll = Poll::new().map_err(|error| StartError::System("create a poll", error))?;
        let registry = poll.registry().try_clone();
        let registry = registry.map_err(|error| StartError::System("clone a poll", error))?;
        let waker = Waker::new(poll.registry(), WAKER);
        let waker = Arc::new(waker.map_err(|error| StartError::System("create a waker", error))?);
        let now = Instant::now();
        let socks5 = match &config.role {
            Role::Client(ClientRole { socks5: Some(socks5), .. }) => {
                let address = socks5.listen;
                let opened = Socks5::open(address, poll.registry(), SOCKS5);
                Some(opened.map_err(|error| StartError::Socks5(address, error))?)
            }
            _ => None,
        };
        let mut this = Self {
            poll,
            tunnel: Tunnel::new(now, config, StdRng::from_rng(&mut rand::rng())),
            sockets: Sockets::new(registry),
            resolver: Resolver::new(Arc::clone(&waker)),
            signals: None,
            doors: Doors::default(),
            socks5,
            service: Service::default(),
            reports: Reports::none(),
            stopper: Stopper { stopped: Arc::default(), waker },
            ready: VecDeque::new(),
            is_ready: HashSet::new(),
            troubles: Troubles::default(),
            uplinks_seen: now,
        };
        while let Some(event) = this.tunnel.poll_event() {
            match event {
                Event::Open(id, Bind::Listen(address)) => {
                    let opened = this.sockets.open(id, Bind::Listen(address));
                    opened.map_err(|error| StartError::Listen(address, error))?;
                    this.note_ready(id);
                }
                event => this.obey(now, event),
            }
        }
        Ok(this)
    }

    /// The address that the listener has got.
    pub fn listen_addr(&self) -> SocketAddr {
        self.sockets.local_addr(LISTENER).expect("the listener is open as long as the loop")
    }

    /// The handle that ends the loop.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// The tunnel.
    pub fn tunnel(&self) -> &Tunnel {
        &self.tunnel
    }

    /// The time by which the tunnel goes.
    pub fn now(&self) -> Instant {
        clock()
    }

    /// The last thing that the system had to say against a packet's being sent or delivered.
    pub fn trouble(&self) -> Option<&io::Error> {
        self.troubles.last()
    }

    /// Has the service manager told how it goes, where there is one.
    pub fn tell_service_manager(&mut self) {
        self.service = Service::from_env(clock());
    }

    /// Has SIGINT and SIGTERM end the loop, SIGHUP change it to what `reload` returns, if anything, and
    /// SIGUSR1 report.
    ///
    /// # Errors
    /// The system refused.
    pub fn obey_signals(&mut self, reload: impl FnMut() -> Reread + Send + 'static) -> io::Result<()> {
        let signals = Signals::new(self.poll.registry(), SIGNALS)?;
        self.signals = Some((signals, Box::new(reload)));
        Ok(())
    }

    /// Has a control socket answered with snapshots of the tunnel.
    pub fn answer_at(&mut self, control: Control) {
        self.doors.open_control(control);
    }

    /// Has a site shown to those who come to an HTTP door.
    pub fn show_at(&mut self, door: HttpDoor, site: Box<dyn Site>) {
        self.doors.open_http(door, site);
    }

    /// Has the log told of the whole: at SIGUSR1, and this often.
    pub fn report(
        &mut self,
        every: Option<Duration>,
        tell: impl FnMut(Occasion, &Snapshot) + Send + 'static,
    ) {
        self.reports.tell_with(tell);
        self.reports.set_every(clock(), every);
    }

    /// Something has happened to the program that neither the loop nor the tunnel knows of.
    pub fn tell(&mut self, level: Level, kind: Kind, text: String) {
        self.tunnel.tell(clock(), level, kind, text);
    }

    /// Runs until stopped.
    ///
    /// # Errors
    /// Polling failed, which the system does not do for a reason that we could mend.
    pub fn run(&mut self) -> io::Result<()> {
        self.run_while(|_, _| true)
    }

    /// Runs until stopped, or until `go_on` says no: it is asked each turn, and they come at least each second.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_while(&mut self, mut go_on: impl FnMut(Instant, &Tunnel) -> bool) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        if let Err(error) = self.doors.begin(&self.stopper.waker) {
            warn!("{UNANSWERED}: {error}");
        }
        let mut now = clock();
        let mut gather = Gather::new(now);
        while !self.stopper.stopped.load(Ordering::Acquire) && go_on(now, &self.tunnel) {
            let busy = self.socks5.as_ref().is_some_and(Socks5::is_busy);
            let wait = match self.ready.is_empty() && !busy {
                true => self.next_timeout().saturating_duration_since(now),
                false => Duration::ZERO,
            };
            if gather.pays(now, self.tunnel.counters().datagrams()) {
                std::thread::sleep(gather::WAIT);
            }
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            now = clock();
            for event in &events {
                match event.token() {
                    WAKER => {}
                    SIGNALS => self.take_signals(now),
                    SOCKS5 => self.socks5.iter_mut().for_each(Socks5::knocked),
                    token if Socks5::is_client(token) => {
                        if let Some(socks5) = &mut self.socks5 {
                            socks5.ready(now, token, &mut self.tunnel);
                        }
                    }
                    token => self.note_ready(tokens::socket(token)),
                }
            }
            self.turn(now);
        }
        self.service.stopping();
        self.tunnel.leave(now);
        self.flush(now);
        Ok(())
    }

    fn next_timeout(&self) -> Instant {
        let socks5 = self.socks5.as_ref().and_then(Socks5::deadline);
        let others = self.service.deadline().into_iter().chain(socks5);
        others.chain(self.reports.deadline()).fold(self.tunnel.poll_timeout(), Instant::min)
    }

    fn turn(&mut self, now: Instant) {
        while let Some((name, answer)) = self.resolver.answer() {
            self.tunnel.handle_resolved(now, name, answer);
        }
        // The tunnel ages things every second, so the loop comes by often enough.
        if now.saturating_duration_since(self.uplinks_seen) >= UPLINK_INTERVAL {
            self.look_for_uplinks(now, None);
        }
        self.tunnel.handle_timeout(now);
        if let Some(socks5) = &mut self.socks5 {
            socks5.go_on(now, self.poll.registry(), &mut self.tunnel);
        }
        self.flush(now);
        self.doors.turn(|| self.tunnel.snapshot(now));
        self.service.turn(now, || self.tunnel.health(now));
        self.reports.turn(now, || self.tunnel.snapshot(now));
        for _ in 0..self.ready.len() {
            let Some(id) = self.ready.pop_front() else { break };
            match self.receive(now, id) {
                true => self.ready.push_back(id),
                false => drop(self.is_ready.remove(&id)),
            }
        }
    }

    /// Receives on one socket. Returns whether there may be more.
    fn receive(&mut self, now: Instant, id: SocketId) -> bool {
        for _ in 0..RECEIVE_CALLS {
            let tunnel = &mut self.tunnel;
            let more = self.sockets.receive(id, |link, octets| tunnel.handle_input(now, link, octets));
            self.flush(now);
            if !more {
                return false;
            }
        }
        true
    }

    /// Does what the tunnel asks, and sends what it has.
    fn flush(&mut self, now: Instant) {
        while let Some(event) = self.tunnel.poll_event() {
            self.obey(now, event);
        }
        while let Some(transmit) = self.tunnel.poll_transmit() {
            self.sockets.send(now, transmit);
        }
        if let Some(trouble) = self.sockets.trouble.take() {
            self.complain(now, &trouble);
            self.troubles.note(trouble.error);
        }
    }

    fn obey(&mut self, now: Instant, event: Event) {
        match event {
            Event::Open(id, bind) => self.open(now, id, bind),
            Event::Close(id) => self.sockets.close(id),
            Event::Resolve(name, endpoint) => self.resolver.look_up(name, endpoint),
        }
    }

    /// Tells the tunnel which sockets have lost their uplink. Returns whether this one has.
    fn look_for_uplinks(&mut self, now: Instant, asked: Option<SocketId>) -> bool {
        self.uplinks_seen = now;
        let lost = self.sockets.without_uplink();
        for (id, reason) in &lost {
            self.tunnel.handle_uplink_lost(now, *id, reason);
        }
        lost.iter().any(|(id, _)| Some(*id) == asked)
    }

    fn note_ready(&mut self, id: SocketId) {
        if self.is_ready.insert(id) {
            self.ready.push_back(id);
        }
    }

    #[cold]
    fn complain(&mut self, now: Instant, trouble: &Trouble) {
        if !self.troubles.deserves_line(now, About::packet(trouble.link)) {
            return;
        }
        if trouble.unsent && self.look_for_uplinks(now, Some(trouble.link.socket)) {
            // The tunnel has a better word for it.
            return;
        }
        let who = self.tunnel.describe(trouble.link);
        let line = troubles::line(trouble, &who, &self.sockets.counters);
        self.tunnel.tell_of_others(now, Level::Warn, Kind::System, format_args!("{line}"));
    }
}

#[expect(clippy::disallowed_methods, reason = "the one clock")]
pub(super) fn clock() -> Instant {
    Instant::now()
}

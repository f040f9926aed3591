//! When mpclient begins a handshake, and what becomes of it.

use std::time::{Duration, Instant};

use log::Level;
use rand::RngExt;

use super::Client;
use crate::tunnel::chronicle::Kind;
use crate::tunnel::fabric::Fabric;
use crate::tunnel::handshake::Initiator;
use crate::tunnel::link::Link;
use crate::tunnel::outbox::To;
use crate::tunnel::probing::Phase;
use crate::tunnel::session::Session;
use crate::tunnel::silence::{Missing, Silence};
use crate::tunnel::wire::{Reject, SessionId};

/// New keys are asked for when the old ones are this old: early enough before
/// [`SESSION_LIFETIME`](crate::tunnel::sessions::SESSION_LIFETIME) to survive minutes in which nothing
/// gets through.
const REKEY_AFTER: Duration = Duration::from_secs(12 * 60);
/// The first repetition of an init; each further one comes after twice as long ...
const INIT_FIRST: Duration = Duration::from_millis(100);
/// ... up to this: a server that starts is to be found within a second, however long it was away.
const INIT_LONGEST: Duration = Duration::from_millis(350);
/// An init is made anew when it was not answered for this long: long enough for any round trip.
const INIT_LIFETIME: Duration = Duration::from_secs(10);
/// How long a new session may take to prove itself: long enough for any round trip.
const CONFIRM_WITHIN: Duration = Duration::from_secs(10);

/// What is under way to a new session.
#[derive(Default)]
pub(super) struct Handshakes {
    current: Option<Handshake>,
    /// The proof that a new session waits for.
    proof: Option<Proof>,
    /// Why a new session is wanted, over all inits that this takes.
    trying: Option<Trying>,
    silence: Silence,
}

struct Handshake {
    initiator: Initiator,
    since: Instant,
    attempts: u32,
    /// When the init last left, and when it is to leave next.
    sent: Instant,
    next: Instant,
    why: Why,
}

struct Proof {
    /// When it is late: the server may have died after its response, and another handshake begins
    /// beside.
    late_at: Instant,
    /// When the session is given up.
    by: Instant,
}

/// A new session is wanted.
struct Trying {
    since: Instant,
    why: Why,
    /// When something authentic last came from the server before.
    heard: Instant,
    /// Whether it has answered a handshake since.
    is_answered: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// There is no session.
    Start,
    /// The server does not answer.
    Lost,
    /// The keys are old.
    Rekey,
}

impl Handshakes {
    /// What probes are needed for.
    pub(super) fn phase(&self) -> Phase {
        match (&self.proof, &self.current) {
            (Some(_), _) => Phase::Proving,
            (None, Some(handshake)) if handshake.why != Why::Rekey => Phase::Seeking,
            (None, _) => Phase::Steady,
        }
    }

    /// When something is due.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let init = self.current.as_ref().map(|handshake| handshake.next);
        let proof =
            self.proof.as_ref().map(|proof| if now < proof.late_at { proof.late_at } else { proof.by });
        init.into_iter().chain(proof).min()
    }

    /// There is another way to the server: an init that waits for an answer leaves at once.
    pub(super) fn hurry(&mut self, now: Instant) {
        if let Some(handshake) = &mut self.current {
            handshake.next = now;
        }
    }

    /// The server answers in the session that there is. Returns the line that is due, if it was missed.
    pub(super) fn answered(&mut self) -> Option<&'static str> {
        // Old keys stay old.
        self.current.take_if(|handshake| handshake.why == Why::Lost)?;
        self.trying = None;
        self.silence.over()
    }
}

impl Client {
    /// Begins what is wanted, sends what is due, and says what is to be said of it.
    pub(super) fn shake_hands(&mut self, now: Instant, fabric: &mut Fabric) {
        if self.handshakes.proof.take_if(|proof| now >= proof.by).is_some()
            && let Some(id) = fabric.peers[self.peer.0].sessions.abandon_next()
        {
            fabric.routes.remove(&id);
        }
        if self.handshakes.proof.as_ref().is_some_and(|proof| now < proof.late_at) {
            return;
        }
        self.begin_handshake(now, fabric);
        self.send_init(now, fabric);
        self.complain(now, fabric);
    }

    fn begin_handshake(&mut self, now: Instant, fabric: &mut Fabric) {
        let why = match fabric.peers[self.peer.0].sessions.current() {
            _ if self.handshakes.proof.is_some() => Why::Lost,
            None => Why::Start,
            Some(_) if self.probing.lost(now) => Why::Lost,
            Some(session) if now.saturating_duration_since(session.since) >= REKEY_AFTER => Why::Rekey,
            Some(_) => return,
        };
        let is_stale =
            |handshake: &Handshake| now.saturating_duration_since(handshake.since) >= INIT_LIFETIME;
        if !self.handshakes.current.as_ref().is_none_or(is_stale) {
            return;
        }
        let id = fabric.new_session_id(|_| false);
        let initiator = Initiator::new(&fabric.security, id, &mut fabric.rng);
        fabric.forget_randomness();
        self.handshakes.current =
            Some(Handshake { initiator, since: now, attempts: 0, sent: now, next: now, why });
        let heard = fabric.peers[self.peer.0].heard;
        self.handshakes.trying.get_or_insert(Trying { since: now, why, heard, is_answered: false });
    }

    fn send_init(&mut self, now: Instant, fabric: &mut Fabric) {
        let Some(handshake) = self.handshakes.current.as_mut().filter(|handshake| now >= handshake.next)
        else {
            return;
        };
        let wait = INIT_FIRST.saturating_mul(1 << handshake.attempts.min(8)).min(INIT_LONGEST);
        handshake.attempts = handshake.attempts.saturating_add(1);
        handshake.sent = now;
        // Some spread, so that a server's clients do not all come at once after it was restarted.
        handshake.next = now + wait.mul_f64(fabric.rng.random_range(0.8..1.0));
        for link in fabric.peers[self.peer.0].paths.iter().filter_map(|path| path.link) {
            fabric.outbox.push(To::Link(link), |out| out.extend_from_slice(handshake.initiator.init()));
        }
    }

    fn complain(&mut self, now: Instant, fabric: &mut Fabric) {
        let bridges = self.ways.iter().flatten().count();
        let Handshakes { trying: Some(Trying { since, is_answered, .. }), silence, .. } =
            &mut self.handshakes
        else {
            return;
        };
        // Where a slow path is all that is left, a handshake takes longer than its datagrams' being there.
        let since = fabric.peers[self.peer.0].heard.max(*since);
        let missing = if *is_answered { Missing::Probes } else { Missing::All };
        if let Some(text) = silence.complaint(now, since, missing, bridges, &fabric.security) {
            fabric.chronicle.tell(now, Level::Warn, Kind::Disconnected.of(self.peer), text);
        }
    }

    /// Takes a response that came over `link`. The first one ends its handshake, and names the session that came
    /// of it; those that the other paths bring are copies for as long as there is that session.
    ///
    /// # Errors
    /// [`Reject::Copy`], or [`Reject::UnknownSession`] where it answers nothing that was asked, and those of
    /// [`Initiator::finish`].
    pub fn handle_response(
        &mut self,
        now: Instant,
        link: Link,
        id: SessionId,
        noise: &[u8],
        fabric: &mut Fabric,
    ) -> Result<(), Reject> {
        let handshake = self.handshakes.current.as_mut();
        let handshake = handshake.filter(|handshake| handshake.initiator.local_id() == id);
        let Some(handshake) = handshake else {
            // Nothing is opened for it, and nothing else is done: whoever makes one up gains nothing.
            let late = fabric.routes.contains_key(&id);
            return Err(if late { Reject::Copy } else { Reject::UnknownSession });
        };
        let keys = handshake.initiator.finish(noise)?;
        // Longer than any round trip that a probe has measured, perhaps.
        let took = now.saturating_duration_since(handshake.sent);
        self.handshakes.proof =
            Some(Proof { late_at: now + self.probing.patience().max(2 * took), by: now + CONFIRM_WITHIN });
        self.handshakes.current = None;
        self.handshakes.trying.iter_mut().for_each(|trying| trying.is_answered = true);
        let session = Session::new(now, &keys, fabric.security.encrypt);
        fabric.routes.insert(keys.local_id, self.peer);
        let peer = &mut fabric.peers[self.peer.0];
        if let Some(displaced) = peer.sessions.begin(session) {
            fabric.routes.remove(&displaced);
        }
        if let Some(path) =
            peer.paths.iter_mut().find(|path| path.link.is_some_and(|ours| ours.socket == link.socket))
        {
            path.heard = Some(now);
        }
        self.probing.begin();
        fabric.wake_at(now);
        Ok(())
    }

    /// The new session works.
    pub(super) fn confirm(&mut self, now: Instant, fabric: &mut Fabric) {
        let peer = &mut fabric.peers[self.peer.0];
        if let Some(forgotten) = peer.confirm_next(now) {
            fabric.routes.remove(&forgotten);
        }
        self.reopen_all(now, fabric);
        fabric.counters.handshakes += 1;
        let Handshakes { current, proof, trying, silence } = &mut self.handshakes;
        *proof = None;
        *current = None;
        match trying.take() {
            // Where keys were asked for in vain for long, that was said.
            Some(Trying { why: Why::Rekey, .. }) => {
                fabric.chronicle.tell(now, Level::Debug, Kind::Keys.of(self.peer), "new keys are in use");
                if let Some(text) = silence.over() {
                    fabric.chronicle.tell(now, Level::Info, Kind::Connected.of(self.peer), text);
                }
            }
            trying => {
                let heard = trying.map_or(now, |trying| trying.heard);
                let text = silence.connected(now, heard);
                fabric.chronicle.tell(now, Level::Info, Kind::Connected.of(self.peer), text);
            }
        }
    }
}

//! Which paths carry copies, in both directions of a peer. For what we receive: what each path has
//! brought, and so which paths we want used. For what we send: which paths the other end wants, and
//! which therefore carry.
//!
//! Each end tells the other in every control packet. A few datagrams go over all paths, whatever is
//! wanted, so that those not in use stay measured.

use std::time::{Duration, Instant};

use super::arrivals::{Arrivals, Brought};
use super::choice::{Choice, Policy};
use super::journal::{self, Journal};
use super::meter::Jitter;
use super::outbox::Reach;
use super::set::PathSet;
use super::wire::{Advice, Clock, SessionId, Spread};

/// How often the choice is looked at while datagrams flow.
pub const INTERVAL: Duration = Duration::from_millis(100);
/// What the other end wants is followed this long after it was last heard over a path that it may
/// want: longer than the longest pause between probes, and a round trip.
const ADVICE_LASTS: Duration = Duration::from_millis(1500);
/// Samples may make up to this part of all copies more: 1/16.
const SAMPLES_COST: u32 = 16;
/// Nothing is watched when nothing has come for this long.
const REST_AFTER: Duration = Duration::from_secs(60);
/// What is said of recent loss; in the long run it is that of [`journal::KEPT`].
pub const RECENT: Duration = Duration::from_secs(10);
/// How often that is found out.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub struct Steering {
    /// What the user wants: the client's configuration, which its server is told.
    pub policy: Policy,
    arrivals: Arrivals,
    journal: Journal,
    choice: Choice,
    wanted: PathSet,
    last_data: Instant,
    last_choice: Instant,
    /// The counter of the newest control packet heard.
    newest: Option<(SessionId, u64)>,
    /// What the other end wants us to use.
    advised: PathSet,
    /// The set the other end samples over.
    sampled: PathSet,
    /// How our datagrams go.
    spread: Spread,
    /// How evenly control packets come, by path.
    jitter: Vec<Jitter>,
    /// Losses by path, recent and in the long run, and of all paths together: what we say.
    saying: Vec<[u16; 2]>,
    saying_residual: u16,
    said: Instant,
    /// What the other end says, by path, and of all paths together.
    told: Vec<Told>,
    told_residual: u16,
}

/// What the other end says of a path.
#[derive(Clone, Copy, Debug)]
struct Told {
    loss: [u16; 2],
    jitter: u16,
}

impl Told {
    const NOTHING: Self = Self { loss: [Advice::UNKNOWN; 2], jitter: Advice::UNKNOWN };
}

impl Steering {
    /// Nothing has come, nothing is wanted.
    pub fn new(now: Instant, policy: Policy) -> Self {
        Self {
            policy,
            arrivals: Arrivals::default(),
            journal: Journal::default(),
            choice: Choice::default(),
            wanted: PathSet::NONE,
            last_data: now,
            last_choice: now,
            newest: None,
            advised: PathSet::NONE,
            sampled: PathSet::NONE,
            spread: Spread::default(),
            jitter: Vec::new(),
            saying: Vec::new(),
            saying_residual: Advice::UNKNOWN,
            said: now,
            told: Vec::new(),
            told_residual: Advice::UNKNOWN,
        }
    }

    // ---- what we receive ----

    /// Notes that a path has brought a copy of an authentic packet.
    #[inline]
    pub fn note(&mut self, now: Instant, session: SessionId, counter: u64, path: usize, len: usize) {
        self.last_data = now;
        self.arrivals.note(now, session, counter, path, len);
    }

    /// Notes that a path has brought a control packet, which left at this time by its sender's clock.
    pub fn note_control(&mut self, now: Instant, session: SessionId, path: usize, clock: Clock) {
        if path >= self.jitter.len() {
            self.jitter.resize_with(path + 1, Jitter::default);
        }
        self.jitter[path].note(now, session, clock);
    }

    /// The jitter of what a path brings.
    pub fn jitter(&self, path: usize) -> Option<Duration> {
        self.jitter.get(path)?.smoothed()
    }

    /// What each path has brought.
    pub fn brought(&self) -> &[Brought] {
        self.arrivals.brought()
    }

    /// What became of the other end's datagrams.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Settles what has had its time and chooses anew. Returns when to look again, if the choice is
    /// to be quick.
    pub fn look(&mut self, now: Instant) -> Option<Instant> {
        let Self { arrivals, journal, .. } = self;
        arrivals.settle(now, |outcome| journal.add(now, outcome));
        journal.forget(now);
        if now.saturating_duration_since(self.said) >= SAY_EVERY {
            self.update_losses(now);
        }
        let idle = now.saturating_duration_since(self.last_data);
        if idle >= REST_AFTER {
            self.arrivals.rest();
        }
        if self.policy.is_everything() {
            self.wanted = PathSet::NONE;
            return None;
        }
        if now.saturating_duration_since(self.last_choice) >= INTERVAL {
            self.last_choice = now;
            self.wanted = self.choice.choose(now, self.policy, self.sampled, &self.arrivals, &self.journal);
        }
        (idle < REST_AFTER).then_some(now + INTERVAL)
    }

    // ---- control packets ----

    /// What we say on a path.
    pub fn advice(&self, path: usize) -> Advice {
        let loss = self.saying.get(path).copied().unwrap_or([Advice::UNKNOWN; 2]);
        let jitter = self.jitter(path).map_or(Advice::UNKNOWN, |jitter| {
            let units = jitter.as_micros() / Advice::JITTER_UNIT.as_micros();
            units.min(u128::from(Advice::UNKNOWN - 1)) as u16
        });
        let Self { spread, wanted, policy, saying_residual: residual, .. } = *self;
        Advice { spread, wanted, policy, loss, residual, jitter }
    }

    /// Finds out what to say of losses.
    fn update_losses(&mut self, now: Instant) {
        let say = |loss: Option<f64>| {
            loss.map_or(Advice::UNKNOWN, |loss| (loss * f64::from(Advice::WHOLE)).round() as u16)
        };
        let part = |path, over| say(self.journal.lost_by(now, over, PathSet::one(path)).loss());
        self.saying = (0..self.arrivals.brought().len())
            .map(|path| [part(path, RECENT), part(path, journal::KEPT)])
            .collect();
        self.saying_residual = say(self.journal.lost(now, journal::KEPT).loss());
        self.said = now;
    }

    /// What a path has lost of what we sent, in the last 10 s and the last 5 min, as the other end said
    /// when it was last heard over it.
    pub fn told(&self, path: usize) -> [Option<f64>; 2] {
        self.told.get(path).unwrap_or(&Told::NOTHING).loss.map(understand)
    }

    /// What nothing has brought of what we sent in the last 5 min, as the other end said last.
    pub fn told_residual(&self) -> Option<f64> {
        understand(self.told_residual)
    }

    /// The jitter of what we send over a path, as the other end said when it was last heard over it.
    pub fn told_jitter(&self, path: usize) -> Option<Duration> {
        let jitter = self.told.get(path)?.jitter;
        (jitter != Advice::UNKNOWN).then(|| Advice::JITTER_UNIT * jitter.into())
    }

    /// Takes what the other end says on a path, in the control packet of this counter. Returns whether
    /// it is the newest.
    pub fn advised(&mut self, session: SessionId, counter: u64, path: usize, advice: &Advice) -> bool {
        if path >= self.told.len() {
            self.told.resize(path + 1, Told::NOTHING);
        }
        self.told[path] = Told { loss: advice.loss, jitter: advice.jitter };
        if self.newest.is_some_and(|(known, newest)| known == session && counter < newest) {
            return false;
        }
        self.newest = Some((session, counter));
        self.told_residual = advice.residual;
        self.advised = advice.wanted;
        self.sampled = advice.spread.sampled;
        self.arrivals.announce(session, advice.spread);
        true
    }

    // ---- what we send ----

    /// Chooses the paths that carry from the usable ones; `heard` are those over which the other end
    /// was heard, and when. `counter` is the next datagram's.
    pub fn spread(
        &mut self,
        now: Instant,
        counter: u64,
        usable: PathSet,
        heard: impl Iterator<Item = (usize, Instant)>,
    ) -> Spread {
        let ordinary = self.policy.ordinary(usable);
        let fresh = heard
            .filter(|(path, _)| ordinary.has(*path))
            .any(|(_, heard)| now.saturating_duration_since(heard) < ADVICE_LASTS);
        let advised = self.advised & usable;
        let chosen = match (self.policy.is_everything(), fresh) {
            (true, _) | (_, false) => usable,
            (false, true) if advised.is_empty() => ordinary,
            (false, true) => advised,
        };
        let sampled = ordinary | chosen;
        let idle = (sampled - chosen).len();
        let every = (SAMPLES_COST * idle).div_ceil(chosen.len().max(1)).max(2);
        let sample = if idle == 0 { 0 } else { every.next_power_of_two().trailing_zeros() as u8 };
        if (sampled, chosen, sample) != (self.spread.sampled, self.spread.chosen, self.spread.sample) {
            self.spread = Spread { sampled, chosen, since: counter, sample };
        }
        self.spread
    }

    /// The paths that our datagrams go over, samples apart.
    pub fn chosen(&self) -> PathSet {
        self.spread.chosen
    }

    /// Whether a path is in use, either way.
    pub fn uses(&self, path: usize) -> bool {
        (self.spread.chosen | self.wanted).has(path)
    }

    /// How far the datagram with this counter goes.
    #[inline]
    pub fn reach(&self, counter: u64) -> Reach {
        if self.spread.samples(counter) { Reach::Sampled } else { Reach::Chosen }
    }

    /// How our datagrams go in a new session.
    pub fn begin_session(&mut self) {
        self.spread.since = 0;
    }
}

/// A loss as it was told.
fn understand(told: u16) -> Option<f64> {
    (told != Advice::UNKNOWN).then(|| f64::from(told) / f64::from(Advice::WHOLE))
}

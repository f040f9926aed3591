//! A client's probing: when each path is asked, what the answers say of it, and what it means when
//! none come.
//!
//! Often while data flows, seldom while nothing does, and in a hurry while an answer is late: then
//! either a packet was lost or the server was, and a few more probes tell which.

mod prober;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::wire::Control;
pub use prober::Probe;
use prober::{Prober, Rtt};

/// Probes while datagrams flow. With `LOST_AFTER` and one try of a handshake this keeps the
/// promise that a restarted server is found within a second.
pub const PROBE_INTERVAL: Duration = Duration::from_millis(200);
/// Probes while a probe is late, and while a new session waits for its proof.
const PROBE_FAST: Duration = Duration::from_millis(100);
/// Probes on a path that does not answer while others do: what came back carries again soon.
const PROBE_SILENT: Duration = Duration::from_millis(500);
/// Probes while nothing flows; NATs forget a mapping after 30 seconds and more.
pub const PROBE_IDLE: Duration = Duration::from_secs(1);
/// A probe that must leave at once still waits this long after the one before it.
const PROBE_GAP: Duration = Duration::from_millis(10);
/// Probes on a backup that carries nothing: as seldom as the NATs on its way allow. 3,456 a day, with
/// their replies 884,736 octets over IPv4.
const PROBE_SPARE: Duration = Duration::from_secs(25);
/// Nothing flows when nothing has for this long.
pub const IDLE_AFTER: Duration = Duration::from_secs(30);
/// The server seems lost when no path has answered for this long (or twice the best path's round
/// trip, if that is longer) ...
const LOST_AFTER: Duration = Duration::from_millis(400);
/// ... and this many probes: one lost packet is no lost server.
const LOST_PROBES: usize = 3;
/// Unanswered probes remembered, over all paths: far more than [`LOST_PROBES`].
const UNANSWERED: usize = 256;
/// A path does not answer when this many probes in a row were not answered.
const SILENT_PROBES: u32 = 5;

/// What the client is doing besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A session is in use.
    Steady,
    /// A new session waits for its proof, which a probe brings.
    Proving,
    /// There is no session, or no answer: handshakes are under way, and ask often enough.
    Seeking,
}

/// What a path is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It carries datagrams, or could.
    Usable,
    /// It is a backup that carries none.
    Spare,
    /// Nothing was heard over it for a while.
    Unusable,
}

/// See the module.
#[derive(Debug)]
pub struct Probing {
    paths: Vec<Prober>,
    /// When probes left, on any path, that were sent after the newest probe that was answered. What
    /// an older reply says of the server is no longer news: on a slow path, replies of a server
    /// that was killed keep coming.
    unanswered: VecDeque<Instant>,
    last_data: Instant,
}

impl Probing {
    /// No paths yet.
    pub fn new(now: Instant) -> Self {
        Self { paths: Vec::new(), unanswered: VecDeque::new(), last_data: now }
    }

    /// One path more, to be probed at once.
    pub fn add(&mut self) {
        self.paths.push(Prober::default());
        self.begin_path(self.paths.len() - 1);
    }

    /// The path's bridge was taken out. Whichever comes in its place, probes and replies are counted on:
    /// to the server, it is the same path, and numbers that it has had are copies. Returns the number that
    /// the next probe would have had, which none will have.
    pub fn restart(&mut self, path: usize) -> u32 {
        self.paths[path].restart()
    }

    /// The number that the path's next probe will have.
    pub fn next_number(&self, path: usize) -> u32 {
        self.paths[path].next_number
    }

    /// The path has no socket, which was said: it does not answer.
    pub fn gone(&mut self, path: usize) {
        self.paths[path].up = false;
    }

    /// Notes that a datagram passes, either way. After a pause the paths are probed at once, since
    /// who knows what has become of the server; returns whether that is so.
    #[inline]
    pub fn active(&mut self, now: Instant) -> bool {
        let paused = self.idle(now);
        if paused {
            self.hurry();
        }
        self.last_data = now;
        paused
    }

    /// Has all paths probed at once.
    fn hurry(&mut self) {
        self.paths.iter_mut().for_each(|path| path.sent = None);
    }

    /// Begins anew with all paths, and at once: there is a new session.
    pub fn begin(&mut self) {
        self.paths.iter_mut().for_each(Prober::begin);
    }

    /// Begins anew with one path: it has another link.
    pub fn begin_path(&mut self, path: usize) {
        self.paths[path].begin();
    }

    /// When a path's next probe is due.
    pub fn due(&self, now: Instant, path: usize, standing: Standing, phase: Phase) -> Instant {
        let path = &self.paths[path];
        let Some(sent) = path.sent else { return now };
        if path.urgent() {
            return sent + PROBE_GAP;
        }
        let late = self.unanswered.front().is_some_and(|since| now >= self.late_at(*since));
        let interval = match phase {
            Phase::Proving => PROBE_FAST,
            Phase::Seeking => PROBE_IDLE,
            Phase::Steady if standing == Standing::Spare => PROBE_SPARE,
            Phase::Steady if late => PROBE_FAST,
            Phase::Steady if path.lost >= SILENT_PROBES || standing == Standing::Unusable => PROBE_SILENT,
            Phase::Steady if self.idle(now) => PROBE_IDLE,
            Phase::Steady => PROBE_INTERVAL,
        };
        sent + interval.mul_f64(path.spread)
    }

    /// The next moment at which missing answers change what is due.
    pub fn next_change(&self, now: Instant) -> Option<Instant> {
        let since = *self.unanswered.front()?;
        [self.late_at(since), since + self.patience()].into_iter().filter(|at| *at > now).min()
    }

    /// A probe leaves. `spread` is what the interval to the next is multiplied by: paths that are
    /// probed in step would be disturbed in step.
    pub fn probe(&mut self, now: Instant, path: usize, spread: f64) -> Probe {
        if self.unanswered.len() < UNANSWERED {
            self.unanswered.push_back(now);
        }
        self.paths[path].probe(now, spread)
    }

    /// Takes a reply to a probe of this path. Returns the path's round trip if it has not answered
    /// before, or not for a while.
    pub fn replied(&mut self, now: Instant, path: usize, reply: &Control) -> Option<Duration> {
        let path = self.paths.get_mut(path)?;
        let sent = path.replied(now, reply);
        let news = !std::mem::replace(&mut path.up, true);
        let rtt = news.then(|| path.rtt.smoothed.unwrap_or_default());
        if let Some(sent) = sent {
            let older = self.unanswered.partition_point(|probe| *probe <= sent);
            self.unanswered.drain(..older);
        }
        rtt
    }

    /// What a path's round trip is, once it was measured.
    pub fn round_trip(&self, path: usize) -> Option<RoundTrip> {
        let Rtt { smoothed, variation, minimum } = self.paths[path].rtt;
        Some(RoundTrip { smoothed: smoothed?, variation, minimum: minimum? })
    }

    /// What became of a path's probes. Those that may still be answered in time are not among them.
    pub fn counts(&self, now: Instant, path: usize) -> Probes {
        let Prober { replies_received, unanswered, rtt, .. } = &self.paths[path];
        let limit = rtt.timeout().unwrap_or_default().max(LOST_AFTER);
        let late = |sent: Instant| now.saturating_duration_since(sent) >= limit;
        let lost = unanswered.iter().filter(|(_, sent)| late(*sent)).count();
        Probes { answered: *replies_received, lost: lost as u32 }
    }

    /// Whether a path owes so many answers that it seems not to answer at all.
    pub fn is_silent(&self, path: usize) -> bool {
        self.paths[path].lost >= SILENT_PROBES
    }

    /// How many probes in a row were not answered on a path.
    pub fn unanswered_in_a_row(&self, path: usize) -> u32 {
        self.paths[path].lost
    }

    /// How many probes in a row a path that used to answer has left unanswered, if it is time to
    /// say so; said once.
    pub fn fallen_silent(&mut self, path: usize) -> Option<u32> {
        let path = &mut self.paths[path];
        let silent = path.up && path.lost >= SILENT_PROBES;
        path.up &= !silent;
        silent.then_some(path.lost)
    }

    /// Whether no path answers, while one would have long since.
    pub fn lost(&self, now: Instant) -> bool {
        let since = self.unanswered.front().filter(|_| self.unanswered.len() >= LOST_PROBES);
        since.is_some_and(|since| now >= *since + self.patience())
    }

    fn idle(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last_data) >= IDLE_AFTER
    }

    /// How long the server may take to answer before it seems lost.
    pub fn patience(&self) -> Duration {
        let best = self.answering().filter_map(|path| path.rtt.smoothed).min();
        LOST_AFTER.max(2 * best.unwrap_or_default())
    }

    /// When the oldest unanswered probe is late.
    fn late_at(&self, since: Instant) -> Instant {
        let best = self.answering().filter_map(|path| path.rtt.timeout()).min();
        since + best.unwrap_or(PROBE_INTERVAL) + PROBE_FAST / 2
    }

    /// The paths whose round trip says something about the next one: those that answered when the newest
    /// answer came. The probes since then tell nothing of a path, since no other was answered either: when
    /// the server is lost, the fastest path is still the one that would have answered first.
    fn answering(&self) -> impl Iterator<Item = &Prober> {
        let since = self.unanswered.front();
        self.paths.iter().filter(move |path| {
            path.lost.saturating_sub(since.map_or(0, |since| path.sent_since(*since))) < SILENT_PROBES
        })
    }
}

/// What became of a path's probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probes {
    /// Replies that came.
    pub answered: u32,
    /// Probes of the last 10 s to which none came in time.
    pub lost: u32,
}

/// What the replies say of a path's round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrip {
    /// Smoothed, as in RFC 6298 section 2.
    pub smoothed: Duration,
    /// Its variation.
    pub variation: Duration,
    /// The shortest.
    pub minimum: Duration,
}

#[cfg(test)]
mod tests {
    use super::prober::URGENT_PROBES;
    use super::*;

    fn reply(number: u32, validated: bool) -> Control {
        Control { number, validated, ..Control::default() }
    }

    /// Two paths, and the moment so many milliseconds after their beginning.
    fn two_paths() -> (Probing, impl Fn(u64) -> Instant) {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        let begin = Instant::now();
        let mut probing = Probing::new(begin);
        probing.add();
        probing.add();
        (probing, move |ms| begin + Duration::from_millis(ms))
    }

    #[test]
    fn a_path_that_dies_before_it_is_proven_is_not_hurried_for_ever() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        let begin = Instant::now();
        let mut probing = Probing::new(begin);
        probing.add();
        probing.probe(begin, 0, 1.0);
        probing.replied(begin, 0, &reply(0, false));
        let mut now = begin;
        let mut sent = 0;
        while now < begin + Duration::from_secs(10) {
            now = probing.due(now, 0, Standing::Usable, Phase::Steady);
            probing.probe(now, 0, 1.0);
            sent += 1;
        }
        // Those after them are only late: one each 100 ms.
        assert!(sent <= URGENT_PROBES + 101, "{sent} probes in 10 s");
    }

    #[test]
    fn only_a_probe_sent_since_tells_that_the_server_is_there() {
        let (mut probing, at) = two_paths();
        // Path 0 answers within a millisecond, path 1 within 800. The server dies at 200 ms.
        for (ms, number) in [(0, 0), (100, 1)] {
            probing.probe(at(ms), 0, 1.0);
            probing.probe(at(ms), 1, 1.0);
            probing.replied(at(ms + 1), 0, &reply(number, true));
        }
        for ms in [200, 300, 400] {
            probing.probe(at(ms), 0, 1.0);
        }
        assert!(!probing.lost(at(599)));
        assert!(probing.lost(at(600)));
        // What it answered while it lived still comes in over path 1.
        probing.replied(at(800), 1, &reply(0, true));
        assert!(probing.lost(at(800)));
        probing.replied(at(801), 0, &reply(3, true));
        assert!(!probing.lost(at(801)));
    }

    #[test]
    fn the_fastest_path_is_what_answers_are_waited_for_by_until_another_one_answers() {
        let (mut probing, at) = two_paths();
        probing.probe(at(0), 0, 1.0);
        probing.replied(at(1), 0, &reply(0, true));
        probing.probe(at(1), 1, 1.0);
        probing.probe(at(200), 1, 1.0);
        // The server dies. So many probes in a row say that the fast path is silent, but not that it would not have been
        // the first to answer.
        for ms in [300, 380, 460, 540, 620, 690] {
            probing.probe(at(ms), 0, 1.0);
        }
        probing.replied(at(691), 1, &reply(0, true));
        assert!(probing.is_silent(0) && probing.lost(at(691)));
        // It was the path: the other one goes on answering, and it alone says how long that takes.
        probing.replied(at(890), 1, &reply(1, true));
        probing.probe(at(891), 1, 1.0);
        probing.replied(at(1_581), 1, &reply(2, true));
        assert!(probing.patience() > LOST_AFTER && !probing.lost(at(1_990)));
    }
}

//! How long a packet may be to cross a path in one piece: path MTU discovery by the tunnel's own
//! packets (RFC 8899), for what we send, and the other end's findings about what it sends.
//!
//! An *attempt* is a control packet padded to the length in question, which no router may cut,
//! followed at once by an ordinary one that names the attempt. From then on the other end says in each
//! control packet which attempt it has heard of, and whether the padded packet came. So what is
//! lost on a path that is down decides nothing, an attempt takes a round trip, and no ICMP is needed.
//! Nobody answers a padded packet.
//!
//! One attempt that came settles a length; one that did not is repeated, more often where the path
//! loses much. The search begins with what is expected, and one octet more: on most paths that is all.
//! Otherwise it goes through the MTUs that are common, and between two of them octet by octet.
//! Data packets are never part of it: they may always be cut.

use std::time::{Duration, Instant};

use super::wire::{CONTROL_PACKET_LEN, PADDED_PACKET_LEN, Whole};

/// A search is repeated after this long (RFC 8899 section 5.1.1, PMTU_RAISE_TIMER): the Internet's routes
/// change seldom, and what does not fit is cut, not lost.
const AGAIN_AFTER: Duration = Duration::from_secs(10 * 60);
/// Attempts at one length, at least (RFC 8899 section 5.1.2, MAX_PROBES) ...
const TRIES: f64 = 3.0;
/// ... and at most, however much the path loses.
const TRIES_LIMIT: f64 = 10.0;
/// A length that crosses is given up in at most this part of the cases.
const MISTAKEN: f64 = 0.001;
/// An attempt has failed when the other end has said so often that it did not come: the first time, it
/// may have been overtaken by the packet that names it.
const DENIALS: u32 = 2;
/// What is expected of an unknown path: Ethernet's.
const USUAL: usize = 1500;
/// MTUs that are common: of tunnels, DSL, IPv6's least, Ethernet's jumbo frames.
const COMMON: [usize; 12] = [1280, 1320, 1360, 1400, 1420, 1440, 1452, 1460, 1472, 1480, 1492, LARGEST];
/// Nothing larger is looked for.
const LARGEST: usize = 9000;

/// Octets of IP and UDP headers in front of a packet.
pub fn headers(ipv6: bool) -> usize {
    if ipv6 { 40 + 8 } else { 20 + 8 }
}

/// See the module. One path's, at one end.
#[derive(Debug, Default)]
pub struct Mtu {
    search: Option<Search>,
    found: Option<Found>,
    /// When to search again.
    again: Option<Instant>,
    /// The last attempt's number. From 1; 0 is none.
    attempt: u8,
    /// Its outcome, while we wait for it.
    pending: Option<Pending>,
    /// The other end's last attempt that we have heard of, and whether its padded packet came.
    heard: u8,
    arrived: bool,
    /// What the other end has found for what it sends.
    told: u16,
    /// Whether the log was told that datagrams are cut here.
    pub cuts_told: bool,
}

/// What a search has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Octets of the longest packet that crosses whole.
    pub len: usize,
    /// Whether a longer one is known not to. Otherwise none was tried.
    pub is_limit: bool,
}

#[derive(Debug)]
struct Pending {
    len: usize,
    denials: u32,
}

impl Mtu {
    /// The path is another one: what was found counts no more.
    pub fn begin(&mut self) {
        self.search = None;
        self.found = None;
        self.pending = None;
    }

    /// The path may be another one: what was found is looked at anew.
    pub fn doubt(&mut self, now: Instant) {
        self.again = Some(now);
    }

    /// There is a new session, perhaps of another process, which counts its attempts from 1.
    pub fn begin_session(&mut self) {
        self.heard = 0;
    }

    /// Octets of the padded packet that is to leave now, if one is. A path that is `spare` is searched
    /// once. `headers` are those in front of a packet.
    pub fn attempt(&mut self, now: Instant, headers: usize, spare: bool) -> Option<usize> {
        if self.pending.is_some() {
            return None;
        }
        if self.search.is_none() && self.found.is_some() && (spare || self.again.is_some_and(|at| now < at)) {
            return None;
        }
        let found = self.found;
        let search = self.search.get_or_insert_with(|| Search::new(headers, found.map(|found| found.len)));
        let len = search.candidate()?;
        self.attempt = self.attempt.checked_add(1).unwrap_or(1);
        self.pending = Some(Pending { len, denials: 0 });
        Some(len)
    }

    /// What is said in each control packet.
    pub fn say(&self) -> Whole {
        let known = self.found.map_or(0, |found| found.len as u16);
        Whole { known, attempt: self.attempt, heard: self.heard, arrived: self.arrived }
    }

    /// The padded packet of an attempt came.
    pub fn arrived(&mut self, attempt: u8) {
        self.hear(attempt);
        self.arrived |= attempt == self.heard;
    }

    /// Takes what the other end says. `loss` is what the path loses of what we send, as far as known.
    pub fn told(&mut self, now: Instant, whole: Whole, loss: Option<f64>) {
        self.told = whole.known;
        self.hear(whole.attempt);
        let Some(pending) = self.pending.as_mut().filter(|_| whole.heard == self.attempt) else { return };
        let Some(search) = &mut self.search else { return };
        pending.denials += 1;
        if whole.arrived {
            search.crossed(pending.len);
        } else if pending.denials < DENIALS {
            return;
        } else {
            search.missed(pending.len, tries(loss));
        }
        self.pending = None;
        if search.candidate().is_none() {
            self.found = Some(Found { len: search.low, is_limit: search.high < search.beyond });
            self.search = None;
            self.again = Some(now + AGAIN_AFTER);
        }
    }

    /// An attempt of the other end is heard of, perhaps late.
    fn hear(&mut self, attempt: u8) {
        let newer = self.heard == 0 || (attempt.wrapping_sub(self.heard) as i8) > 0;
        if attempt != 0 && newer {
            self.heard = attempt;
            self.arrived = false;
        }
    }

    /// What is known of packets that we send.
    pub fn sent(&self) -> Option<Found> {
        self.found
    }

    /// Octets of the longest packet that reaches us whole, as the other end has found.
    pub fn received(&self) -> Option<usize> {
        (self.told > 0).then_some(self.told.into())
    }
}

/// Attempts at a length until it is given up.
fn tries(loss: Option<f64>) -> u32 {
    let wanted = loss.map_or(0.0, |loss| (MISTAKEN.ln() / loss.min(0.999).ln()).ceil());
    wanted.clamp(TRIES, TRIES_LIMIT) as u32
}

/// A search for the longest packet.
#[derive(Debug)]
struct Search {
    headers: usize,
    /// What is tried first.
    expected: usize,
    /// The longest that has crossed.
    low: usize,
    /// The shortest that has not.
    high: usize,
    /// What is too long to be tried.
    beyond: usize,
    /// Attempts in vain at the length in question.
    misses: u32,
}

impl Search {
    fn new(headers: usize, expected: Option<usize>) -> Self {
        let beyond = LARGEST - headers + 1;
        let expected = expected.unwrap_or(USUAL - headers);
        Self { headers, expected, low: CONTROL_PACKET_LEN, high: beyond, beyond, misses: 0 }
    }

    /// The length to try next; none, when all is known.
    fn candidate(&self) -> Option<usize> {
        let Self { headers, expected, low, high, .. } = *self;
        let open = |len: &usize| low < *len && *len < high;
        if low + 1 == high {
            return None;
        }
        if open(&expected) {
            return Some(expected);
        }
        let common = || COMMON.iter().map(|mtu| mtu - headers);
        let middle = common().filter(open).nth(common().filter(open).count() / 2);
        match middle {
            // What crosses is often all that does.
            _ if low == expected => Some(low + 1),
            Some(middle) => Some(middle),
            None if common().any(|len| len == low) => Some(low + 1),
            None => Some(low.midpoint(high)),
        }
    }

    fn crossed(&mut self, len: usize) {
        self.low = len;
        self.misses = 0;
    }

    fn missed(&mut self, len: usize, tries: u32) {
        self.misses += 1;
        if self.misses >= tries {
            self.high = len;
            self.misses = 0;
        }
    }
}

const _: () = assert!(LARGEST - (20 + 8) == PADDED_PACKET_LEN && PADDED_PACKET_LEN <= u16::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn begin() -> Instant {
        Instant::now()
    }

    /// Both ends of a path on which what `crosses` says gets through, one way; searches as long as there is
    /// something to do. Returns the lengths that were tried.
    fn search(ours: &mut Mtu, theirs: &mut Mtu, now: Instant, crosses: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut tried = Vec::new();
        for _ in 0..1000 {
            if let Some(len) = ours.attempt(now, headers(false), false) {
                tried.push(len);
                if crosses(len) {
                    theirs.arrived(ours.say().attempt);
                }
            }
            theirs.told(now, ours.say(), None);
            ours.told(now, theirs.say(), None);
            if ours.search.is_none() {
                return tried;
            }
        }
        panic!("no end after {tried:?}");
    }

    #[test]
    fn a_search_finds_each_length_to_the_octet() {
        for headers in [headers(false), headers(true)] {
            for longest in CONTROL_PACKET_LEN..=LARGEST - headers {
                let mut search = Search::new(headers, None);
                let mut steps = 0;
                while let Some(len) = search.candidate() {
                    if len <= longest {
                        search.crossed(len)
                    } else {
                        search.missed(len, 1)
                    }
                    steps += 1;
                }
                assert_eq!(search.low, longest);
                let usual = if longest + headers == USUAL { 2 } else { 20 };
                assert!(steps <= usual, "{steps} steps for {longest}");
            }
        }
    }

    #[test]
    fn what_is_expected_takes_two_lengths_and_what_has_changed_is_found() {
        let now = begin();
        let (mut ours, mut theirs) = (Mtu::default(), Mtu::default());
        let up_to = |longest| move |len| len <= longest;
        assert_eq!(search(&mut ours, &mut theirs, now, up_to(1472)), [1472, 1473, 1473, 1473]);
        assert_eq!(ours.sent(), Some(Found { len: 1472, is_limit: true }));
        let later = now + AGAIN_AFTER;
        assert_eq!(ours.attempt(later - Duration::from_secs(1), headers(false), false), None, "not yet");
        assert_eq!(ours.attempt(later, headers(false), true), None, "it is spare");
        search(&mut ours, &mut theirs, later, up_to(1411));
        assert_eq!(ours.sent(), Some(Found { len: 1411, is_limit: true }));
        assert_eq!(search(&mut ours, &mut theirs, later + AGAIN_AFTER, up_to(1411))[..2], [1411, 1412]);
        ours.begin();
        assert_eq!(ours.sent(), None);
        search(&mut ours, &mut theirs, later, |_| true);
        let longest = LARGEST - headers(false);
        assert_eq!(ours.sent(), Some(Found { len: longest, is_limit: false }), "no longer one was tried");
        assert_eq!(theirs.received(), None, "it was not said yet");
        theirs.told(later, ours.say(), None);
        assert_eq!(theirs.received(), Some(longest));
    }

    #[test]
    fn nothing_is_concluded_from_silence_nor_from_what_was_overtaken_once() {
        let now = begin();
        let (mut ours, mut theirs) = (Mtu::default(), Mtu::default());
        let len = ours.attempt(now, headers(false), false);
        assert_eq!(len, Some(1472));
        let before = theirs.say();
        for _ in 0..100 {
            ours.told(now, before, None);
            assert_eq!(ours.attempt(now, headers(false), false), None, "nothing was heard of the attempt");
        }
        theirs.told(now, ours.say(), None);
        ours.told(now, theirs.say(), None);
        theirs.arrived(ours.say().attempt);
        ours.told(now, theirs.say(), None);
        assert_eq!(ours.attempt(now, headers(false), false), Some(1473));
    }

    #[test]
    fn another_process_at_the_other_end_counts_from_one() {
        let now = begin();
        let (mut ours, mut old) = (Mtu::default(), Mtu::default());
        for _ in 0..100 {
            search(&mut old, &mut ours, now, |len| len <= 1400);
            old.begin();
        }
        let mut new = Mtu::default();
        ours.begin_session();
        search(&mut new, &mut ours, now, |len| len <= 1400);
        assert_eq!(new.sent(), Some(Found { len: 1400, is_limit: true }));
    }

    #[test]
    fn where_much_is_lost_more_is_tried() {
        for (loss, expected) in [(None, 3), (Some(0.0), 3), (Some(0.01), 3), (Some(0.3), 6), (Some(1.0), 10)]
        {
            assert_eq!(tries(loss), expected, "{loss:?}");
        }
    }
}

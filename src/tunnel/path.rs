//! A path: where its packets go, and how it is doing.
//!
//! Only probes know about paths: copies of data are never opened, so data vouches for the fastest
//! path alone. A client's path exists from its start; its link is its bridge's address, and it
//! carries data as soon as a reply came over it. A server's path begins with an authentic probe;
//! its link is the address that the probe came from, once that address has returned the token that
//! was sent there. A probe from elsewhere with the same path number (a NAT that forgot, a bridge
//! that restarted, an uplink that was redialled) moves the path in the same way: the new address
//! replaces the old one once it has returned its token, and not before.

use std::time::{Duration, Instant};

use super::link::Link;
use super::meter::{Amount, Meter};
use super::mtu::{self, Mtu};
use super::probing::{PROBE_IDLE, PROBE_INTERVAL};
use super::wire::Reject;

/// Paths of one peer, and bridges of one client.
pub const MAX_PATHS: usize = 32;
/// A path that nothing authentic came over for this long carries no more data: long enough for one
/// direction that is down for a while, since the other may still deliver; short enough not to flood
/// a bridge that is gone.
pub const USABLE_FOR: Duration = Duration::from_secs(10);

/// The same for a backup, which is seldom probed while it is idle.
pub const BACKUP_USABLE_FOR: Duration = Duration::from_secs(80);
/// What crosses a path in one piece is looked for so long after it has come up: what a link that has just
/// come back has room for is wanted by datagrams, and a long packet takes that of several.
const SEARCH_AFTER: Duration = Duration::from_secs(3);
/// An address that has returned its token is not asked again for as long: the client may be
/// returning one that somebody else was sent.
const STAYS_PROVEN: Duration = Duration::from_secs(60);
/// Probes in a row that a path's link may miss before the path moves away: lost, or overtaken.
const MISSED: u32 = 2;
/// A path that was not heard for this long is in doubt: long enough for any round trip.
pub const DOUBT_AFTER: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug, Default)]
pub struct Path {
    /// Where copies go.
    pub link: Option<Link>,
    /// When something authentic last came from `link`: a reply at the client, a probe at the
    /// server.
    pub heard: Option<Instant>,
    /// Whether its client uses it: a probe has come, and none since says that it was left. Only at the server.
    pub in_use: bool,
    /// What crosses it in one piece.
    pub mtu: Mtu,
    /// From when on that is looked for; `None` after it was new, moved, or came back, until one is asked for.
    search_from: Option<Instant>,
    /// One past the highest probe number received. Only at the server, like what follows up to
    /// [`Self::said_silent`].
    next_number: u32,
    /// The last probe that came over `link`.
    heard_number: Option<u32>,
    /// How far apart the last two probes left that came over `link`.
    pace: Duration,
    /// When `link` last returned its token.
    proven: Option<Instant>,
    /// Where the path went before it moved, and when that was last proven.
    former: Option<(Link, Option<Instant>)>,
    probes_received: u32,
    /// Whether it was said to be silent. Only at the server.
    pub said_silent: bool,
    /// What has left over it.
    pub sent: Amount,
    /// How fast that is, and what arrives over it.
    pub sending: Meter,
    /// See [`Self::sending`].
    pub receiving: Meter,
}

/// A probe as it reached the server.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Over which link.
    pub link: Link,
    /// Its number on its path.
    pub number: u32,
    /// Whether it has come before, from wherever.
    pub copy: bool,
    /// Whether it returns the token that was sent to `link`.
    pub proven: bool,
    /// Whether its path is a backup.
    pub backup: bool,
}

/// What a probe told the server about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probed {
    /// Whether the path now goes to where the probe came from.
    pub validated: bool,
    /// Whether that is new.
    pub moved: bool,
    /// Whether the path carries copies again, or for the first time.
    pub up: bool,
    /// Probes received on this path.
    pub count: u32,
}

impl Path {
    /// Whether copies can go over this path.
    pub fn usable(&self, now: Instant, backup: bool) -> bool {
        let limit = if backup { BACKUP_USABLE_FOR } else { USABLE_FOR };
        self.link.is_some() && self.heard.is_some_and(|heard| now.saturating_duration_since(heard) < limit)
    }

    /// Whether something authentic came over this path lately. Otherwise it is in doubt.
    pub fn is_heard(&self, now: Instant) -> bool {
        self.heard.is_some_and(|heard| now.saturating_duration_since(heard) < DOUBT_AFTER)
    }

    /// How many probes should have come since the last one, by the pace of those before; by that of an idle
    /// client if it may be one.
    pub fn overdue(&self, now: Instant, idle: bool) -> u32 {
        let pace = self.pace.max(if idle { PROBE_IDLE } else { PROBE_INTERVAL });
        let silence = self.heard.map_or(Duration::ZERO, |heard| now.saturating_duration_since(heard));
        (silence.as_secs_f64() / pace.as_secs_f64()) as u32
    }

    /// Gives the path another link. What was heard from another address says nothing about the new
    /// one; behind the same address is the same bridge, which may still carry one way.
    pub fn relink(&mut self, link: Option<Link>) {
        if self.link.map(|link| link.remote) != link.map(|link| link.remote) {
            self.heard = None;
        }
        if link.is_some() {
            self.mtu.begin();
            self.search_from = None;
        }
        self.link = link;
    }

    /// What crosses it may be something else by now: it has come back.
    pub fn search_anew(&mut self, now: Instant) {
        self.mtu.doubt(now);
        self.search_from = None;
    }

    /// Octets of the padded packet with which an attempt is to be made now, if one is: none in the first
    /// three seconds.
    pub fn attempt(&mut self, now: Instant, spare: bool) -> Option<usize> {
        if now < *self.search_from.get_or_insert(now + SEARCH_AFTER) {
            return None;
        }
        let headers = mtu::headers(self.link?.remote.is_ipv6());
        self.mtu.attempt(now, headers, spare)
    }

    /// Its client does not use it any more, as a probe with this number says. Numbers and what was counted go
    /// on, should it use it again, which takes a probe with a higher number. Returns whether it was in use until
    /// now; it stays so if a probe has come that was sent later.
    pub fn leave(&mut self, number: u32) -> bool {
        if number < self.next_number {
            return false;
        }
        let was_in_use = self.in_use;
        let Self { probes_received, sent, sending, receiving, .. } = std::mem::take(self);
        let next_number = number.saturating_add(1);
        *self = Self { next_number, probes_received, sent, sending, receiving, ..Self::default() };
        was_in_use
    }

    /// Takes an authentic probe.
    ///
    /// Only the newest probe says where the path is: an overtaken one is the past. But somebody who
    /// sees probes can send them on from elsewhere, before the bridge does or after it, and carry
    /// the replies back, which proves his address. So a path stays where it is while probes come
    /// from there, and goes back when they do again (RFC 9000 section 9.3.3):
    ///
    /// | the newest probe comes | and returns its token | and not |
    /// |---|---|---|
    /// | over the path's link | it stays | it stays, for `STAYS_PROVEN` |
    /// | over the link before | it goes back | it goes back, for `STAYS_PROVEN`, if the probe is no copy |
    /// | from elsewhere, and the link missed more than `MISSED` | it moves | |
    ///
    /// # Errors
    /// [`Reject::Copy`]: it says nothing new.
    pub fn probed(&mut self, now: Instant, probe: Arrival) -> Result<Probed, Reject> {
        if probe.number >= self.next_number {
            // What was under way when the path was left has a lower one.
            self.in_use |= !probe.copy;
            self.next_number = probe.number.saturating_add(1);
        }
        let newest = probe.number.saturating_add(1) == self.next_number;
        let here = self.link == Some(probe.link);
        let was_usable = self.usable(now, probe.backup);
        let former = self.former.filter(|(link, _)| *link == probe.link);
        let delivered = self.heard_number == Some(probe.number);
        if probe.copy && (!newest || delivered && former.is_none()) {
            return Err(Reject::Copy);
        }
        if !probe.copy {
            self.probes_received = self.probes_received.wrapping_add(1);
        }
        let stays_proven =
            |at: Option<Instant>| at.is_some_and(|at| now.saturating_duration_since(at) < STAYS_PROVEN);
        let missed = self.heard_number.is_none_or(|heard| probe.number.saturating_sub(heard) > MISSED);
        let validated = match former {
            _ if here => probe.proven || stays_proven(self.proven),
            Some((_, proven)) => newest && (probe.proven || !probe.copy && stays_proven(proven)),
            None => newest && probe.proven && missed,
        };
        if validated {
            if !here {
                let left = self.link.map(|link| (link, self.proven));
                self.former = if former.is_some() { None } else { left };
                self.link = Some(probe.link);
                self.mtu.begin();
                self.search_from = None;
            }
            if probe.proven {
                self.proven = Some(now);
            }
            if let (Some(heard), Some(before)) = (self.heard, self.heard_number)
                && probe.number > before
            {
                self.pace = now.saturating_duration_since(heard) / (probe.number - before);
            }
            self.heard = Some(now);
            self.heard_number = self.heard_number.max(Some(probe.number));
        }
        let was_silent = validated && std::mem::take(&mut self.said_silent);
        let up = validated && !was_usable || was_silent;
        let moved = validated && !here;
        if up {
            self.search_anew(now);
        }
        Ok(Probed { validated, moved, up, count: self.probes_received })
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do")]
mod tests {
    use super::*;
    use crate::tunnel::link::SocketId;

    fn link(port: u16) -> Link {
        Link { socket: SocketId(0), remote: ([192, 0, 2, 1], port).into(), local: None }
    }

    /// Has a path probed; tells what came of it and where the path goes then.
    fn probe(
        path: &mut Path,
        port: u16,
        number: u32,
        copy: bool,
        proven: bool,
    ) -> (Option<bool>, Option<Link>) {
        let arrival = Arrival { link: link(port), number, copy, proven, backup: false };
        let probed = path.probed(Instant::now(), arrival);
        (probed.ok().map(|probed| probed.validated), path.link)
    }

    #[test]
    fn an_address_is_used_once_it_has_returned_its_token() {
        let mut path = Path::default();
        assert_eq!(probe(&mut path, 1, 0, false, false), (Some(false), None));
        assert_eq!(probe(&mut path, 1, 1, false, true), (Some(true), Some(link(1))));
        assert!(path.usable(Instant::now(), false));
        assert!(!path.usable(Instant::now() + USABLE_FOR, false));
    }

    #[test]
    fn a_path_comes_up_once_and_again_after_it_was_silent() {
        for (backup, lasts) in [(false, USABLE_FOR), (true, BACKUP_USABLE_FOR)] {
            let begin = Instant::now();
            let mut path = Path::default();
            let mut up = |port, number, proven, now| {
                let arrival = Arrival { link: link(port), number, copy: false, proven, backup };
                path.probed(now, arrival).expect("a new probe").up
            };
            assert!(!up(1, 0, false, begin), "it is not proven yet");
            assert!(up(1, 1, true, begin));
            assert!(!up(1, 2, true, begin), "it is up");
            assert!(!up(2, 5, true, begin), "it has moved");
            let later = begin + lasts - Duration::from_secs(1);
            assert!(!up(2, 6, true, later), "it is up still");
            assert!(up(2, 7, true, later + lasts));
            assert!(!up(2, 8, true, later + lasts));
        }
    }

    #[test]
    fn probes_are_overdue_by_the_pace_of_those_before_and_an_idle_clients_later() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut path = Path::default();
        assert_eq!(path.overdue(at(0), false), 0, "nothing was ever heard");
        for (number, ms) in [(0, 0), (1, 200), (2, 400)] {
            let arrival = Arrival { link: link(1), number, copy: false, proven: true, backup: false };
            path.probed(at(ms), arrival).expect("a new probe");
        }
        assert_eq!([500, 700, 1_450].map(|ms| path.overdue(at(ms), false)), [0, 1, 5]);
        assert_eq!([1_300, 3_450].map(|ms| path.overdue(at(ms), true)), [0, 3]);
        // A second between two of which the one between was lost is one each 500 ms.
        let arrival = Arrival { link: link(1), number: 4, copy: false, proven: true, backup: false };
        path.probed(at(1_400), arrival).expect("a new probe");
        assert_eq!(path.overdue(at(3_000), false), 3);
    }

    #[test]
    fn a_path_moves_to_a_proven_address_once_its_own_has_missed_three_probes() {
        let mut path = Path::default();
        probe(&mut path, 1, 0, false, true);
        for number in 1..=2 {
            assert_eq!(probe(&mut path, 2, number, false, true), (Some(false), Some(link(1))));
        }
        assert_eq!(probe(&mut path, 2, 3, false, false), (Some(false), Some(link(1))));
        assert_eq!(probe(&mut path, 2, 4, false, true), (Some(true), Some(link(2))));
    }

    #[test]
    fn a_path_stays_where_its_probes_come_though_somebody_else_sends_them_on() {
        let mut path = Path::default();
        probe(&mut path, 1, 0, false, true);
        for number in 1..10 {
            // Somebody is faster, and his token is the one that the client returns.
            assert_eq!(probe(&mut path, 6, number, false, true), (Some(false), Some(link(1))));
            assert_eq!(probe(&mut path, 1, number, true, false), (Some(true), Some(link(1))));
            // Or slower.
            assert_eq!(probe(&mut path, 7, number, true, true), (None, Some(link(1))));
        }
    }

    #[test]
    fn a_path_goes_back_as_soon_as_the_link_before_brings_a_probe_again() {
        let mut path = Path::default();
        probe(&mut path, 1, 0, false, true);
        assert_eq!(probe(&mut path, 6, 5, false, true), (Some(true), Some(link(6))));
        assert_eq!(probe(&mut path, 6, 6, false, true), (Some(true), Some(link(6))));
        assert_eq!(probe(&mut path, 1, 6, true, false), (Some(false), Some(link(6))), "perhaps a replay");
        assert_eq!(probe(&mut path, 1, 7, false, false), (Some(true), Some(link(1))));
        assert_eq!(probe(&mut path, 6, 8, false, true), (Some(false), Some(link(1))));
    }

    #[test]
    fn an_overtaken_probe_does_not_move_a_path_back() {
        let mut path = Path::default();
        probe(&mut path, 2, 5, false, true);
        assert_eq!(probe(&mut path, 1, 4, false, true), (Some(false), Some(link(2))));
    }

    #[test]
    fn a_probe_that_was_overtaken_by_its_own_copy_still_counts() {
        let mut path = Path::default();
        probe(&mut path, 1, 0, false, true);
        assert_eq!(probe(&mut path, 6, 1, false, false), (Some(false), Some(link(1))));
        assert_eq!(probe(&mut path, 1, 1, true, true), (Some(true), Some(link(1))));
        assert_eq!(probe(&mut path, 1, 1, true, true), (None, Some(link(1))), "once for each link");
        assert_eq!(probe(&mut path, 6, 0, true, true), (None, Some(link(1))), "an old one never");
    }
}

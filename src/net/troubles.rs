//! What the system has against packets and sockets: the last of it, and what the log says, about each thing
//! once a minute, and only about so many things.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use super::sockets::{SendCounters, Trouble, is_full};
use crate::tunnel::link::Link;
use crate::tunnel::stats::may_be_said;

/// Of so many things is known when they were last logged. A server's clients choose whom it sends to, so there
/// may be any number; beyond these none is logged within the minute.
const KNOWN: usize = 1024;

/// What trouble is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum About {
    /// A socket that cannot be opened.
    Opening,
    /// The listener, whose remote addresses are many.
    Listener,
    /// The remote address of another socket.
    Address(SocketAddr),
}

impl About {
    /// A packet's sending or delivery.
    pub(super) fn packet(link: Link) -> Self {
        if link.socket.listens() { Self::Listener } else { Self::Address(link.remote) }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    /// When each was last logged.
    logged: HashMap<About, Instant>,
    last: Option<io::Error>,
}

impl Troubles {
    /// Notes that there was trouble.
    pub(super) fn note(&mut self, error: io::Error) {
        self.last = Some(error);
    }

    /// The last that there was.
    pub(super) fn last(&self) -> Option<&io::Error> {
        self.last.as_ref()
    }

    /// Whether the log is to have a line about it. It is taken to get one.
    pub(super) fn deserves_line(&mut self, now: Instant, about: About) -> bool {
        if !may_be_said(now, self.logged.get(&about).copied()) {
            return false;
        }
        if self.logged.len() >= KNOWN {
            self.logged.retain(|_, last| !may_be_said(now, Some(*last)));
        }
        let due = self.logged.len() < KNOWN;
        if due {
            self.logged.insert(about, now);
        }
        due
    }
}

/// The line about a packet for or from `who`; the counters are of all packets so far.
pub(super) fn line(trouble: &Trouble, who: &str, counters: &SendCounters) -> String {
    let Trouble { error, unsent, .. } = trouble;
    if is_full(error) {
        let lost = counters.would_block;
        format!(
            "the way to {who} is full: what does not fit is not sent ({lost} packets so far); fewer copies or a lower \
             rate would fit"
        )
    } else if *unsent {
        format!("cannot send to {who}: {error}{} ({} so far)", remedy(error), counters.failed)
    } else {
        format!("{who} cannot be reached: {error}{}", remedy(error))
    }
}

/// What to look at, where the error tells more than one thing might.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ": nobody listens there",
        io::ErrorKind::PermissionDenied => ": this machine forbids it (a firewall, or a broadcast address)",
        io::ErrorKind::NetworkUnreachable => ": this machine has no route there (ip route get ADDRESS)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tunnel::link::SocketId;

    #[test]
    fn a_line_says_what_to_look_at_where_the_error_tells() {
        let link = Link { socket: SocketId(7), remote: ([192, 0, 2, 1], 4000).into(), local: None };
        let counters = SendCounters { would_block: 5, failed: 3 };
        for (kind, unsent, begin, end) in [
            (io::ErrorKind::ConnectionRefused, false, "bridge cannot be reached: ", ": nobody listens there"),
            (
                io::ErrorKind::PermissionDenied,
                true,
                "cannot send to bridge: ",
                "a broadcast address) (3 so far)",
            ),
            (
                io::ErrorKind::NetworkUnreachable,
                true,
                "cannot send to bridge: ",
                "(ip route get ADDRESS) (3 so far)",
            ),
            (io::ErrorKind::OutOfMemory, true, "cannot send to bridge: ", "out of memory (3 so far)"),
            (
                io::ErrorKind::WouldBlock,
                true,
                "the way to bridge is full: ",
                "(5 packets so far); fewer copies or a lower rate would fit",
            ),
        ] {
            let line = line(&Trouble { link, error: kind.into(), unsent }, "bridge", &counters);
            assert!(line.starts_with(begin) && line.ends_with(end), "{line}");
        }
    }

    #[test]
    fn each_thing_has_a_line_a_minute() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        let begin = Instant::now();
        let mut troubles = Troubles::default();
        let [one, other] = [1, 2].map(|port| About::Address(([192, 0, 2, 1], port).into()));
        for (seconds, about, due) in [
            (0, one, true),
            (59, one, false),
            (59, other, true),
            (60, one, true),
            (100, one, false),
            (100, other, false),
            (119, other, true),
        ] {
            let at = begin + Duration::from_secs(seconds);
            assert_eq!(troubles.deserves_line(at, about), due, "{about:?} after {seconds} s");
        }
    }

    #[test]
    fn of_any_number_of_things_only_so_many_are_kept() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        let begin = Instant::now();
        let mut troubles = Troubles::default();
        let about = |port| About::Address(([192, 0, 2, 1], port).into());
        let lines = |troubles: &mut Troubles, at| {
            (1..=5000).filter(|port| troubles.deserves_line(at, about(*port))).count()
        };
        assert_eq!(lines(&mut troubles, begin), KNOWN);
        assert_eq!(lines(&mut troubles, begin + Duration::from_secs(59)), 0);
        assert_eq!(lines(&mut troubles, begin + Duration::from_secs(60)), KNOWN);
        assert_eq!(troubles.logged.len(), KNOWN);
    }
}

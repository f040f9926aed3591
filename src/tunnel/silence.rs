//! What mpclient's log says of a server that does not answer, once a minute, and of one that does again.

use std::time::{Duration, Instant};

use super::role::Security;
use super::stats::{Spoken, may_be_said};

/// No answer at all for this long is worth a line.
const COMPLAIN_AFTER: Duration = Duration::from_secs(3);

/// What the server does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Anything.
    All,
    /// The probes that follow a handshake.
    Probes,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Silence {
    /// When it was last said, of the silence that lasts.
    said: Option<Instant>,
    /// Whether the server has ever answered.
    was_connected: bool,
}

impl Silence {
    /// The line that is due while the server has not answered since `since`.
    pub fn complaint(
        &mut self,
        now: Instant,
        since: Instant,
        missing: Missing,
        bridges: usize,
        security: &Security,
    ) -> Option<String> {
        let silence = now.saturating_duration_since(since);
        if silence < COMPLAIN_AFTER || !may_be_said(now, self.said) {
            return None;
        }
        self.said = Some(now);
        let bridges = match bridges {
            1 => "the one bridge".to_owned(),
            bridges => format!("any of {bridges} bridges"),
        };
        if missing == Missing::Probes {
            // So it runs, and the key and the encryption are right.
            return Some(format!(
                "no answer to a probe through {bridges} for {}, though mpserver answers handshakes: it takes no \
                 further client (its log tells if it does not), or what follows a handshake is lost; trying on",
                Spoken(silence)
            ));
        }
        let keyed = !security.keys.is_none();
        let reason = match (self.was_connected, keyed) {
            (true, true) => {
                "it has stopped, or no bridge leads to it any more, or this key is gone from its file of --keys; if it \
                 was started anew,"
            }
            (true, false) => "it has stopped, or no bridge leads to it any more; if it was started anew,",
            (false, _) => "check that it runs and that the bridges lead to it;",
        };
        Some(format!(
            "no answer from mpserver through {bridges} for {}: {reason} it must have {} and {} (its log tells \
             if it does not); trying on",
            Spoken(silence),
            if keyed { "the same key" } else { "no key" },
            if security.encrypt { "encryption on" } else { "MPTUNNEL_ENCRYPT=0" },
        ))
    }

    /// The line about a new session with a server from which nothing had come since `heard`.
    pub fn connected(&mut self, now: Instant, heard: Instant) -> String {
        self.said = None;
        match std::mem::replace(&mut self.was_connected, true) {
            false => "connected to mpserver".to_owned(),
            true => {
                let silence = Spoken(now.saturating_duration_since(heard));
                format!(
                    "connected to mpserver anew: nothing had come from it for {silence}; it was restarted, or out \
                     of reach"
                )
            }
        }
    }

    /// The line that is due when the server answers in the session that there was.
    pub fn over(&mut self) -> Option<&'static str> {
        self.said.take().map(|_| "mpserver answers again")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::key::Key;
    use crate::tunnel::keyring::Keys;

    const SECURITY: Security = Security { encrypt: true, keys: Keys::None };

    fn begin() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        Instant::now()
    }

    /// What is said in this many seconds of silence, and when.
    fn complaints(silence: &mut Silence, bridges: usize, seconds: u64) -> Vec<(u64, String)> {
        let begin = begin();
        let line = |second| {
            let now = begin + Duration::from_secs(second);
            Some((second, silence.complaint(now, begin, Missing::All, bridges, &SECURITY)?))
        };
        (0..seconds).filter_map(line).collect()
    }

    #[test]
    fn silence_is_told_once_a_minute_with_its_length() {
        let lines = complaints(&mut Silence::default(), 3, 130);
        assert_eq!(lines.iter().map(|(second, _)| *second).collect::<Vec<_>>(), [3, 63, 123]);
        for ((_, line), length) in lines.iter().zip(["3 s", "63 s", "2 minutes"]) {
            let begin =
                format!("no answer from mpserver through any of 3 bridges for {length}: check that it runs");
            assert!(line.starts_with(&begin), "{line}");
            assert!(line.contains("it must have no key and encryption on"), "{line}");
        }
        let (_, line) = &complaints(&mut Silence::default(), 1, 4)[0];
        assert!(line.contains("through the one bridge for"), "{line}");
    }

    #[test]
    fn a_server_that_has_answered_before_is_told_to_have_stopped() {
        let mut silence = Silence::default();
        let now = begin();
        assert_eq!(silence.connected(now, now), "connected to mpserver");
        let (_, line) = &complaints(&mut silence, 3, 4)[0];
        assert!(line.contains("it has stopped, or no bridge leads to it any more"), "{line}");
        assert!(!line.contains("check that it runs") && !line.contains("--keys"), "{line}");
        let security = Security { encrypt: true, keys: Keys::Shared(Key::from_octets([1; 32])) };
        let line = silence
            .complaint(now + 2 * Duration::from_secs(60), now, Missing::All, 3, &security)
            .expect("a minute later");
        assert!(line.contains("or this key is gone from its file of --keys"), "{line}");
    }

    #[test]
    fn a_server_that_answers_handshakes_alone_is_not_said_to_be_away() {
        let begin = begin();
        let line = Silence::default().complaint(begin + COMPLAIN_AFTER, begin, Missing::Probes, 3, &SECURITY);
        let begins = "no answer to a probe through any of 3 bridges for 3 s, though mpserver answers handshakes: \
                      it takes no further client (";
        assert!(line.as_ref().is_some_and(|line| line.starts_with(begins)), "{line:?}");
    }

    #[test]
    fn the_end_of_a_silence_is_one_line() {
        let (mut silence, now) = (Silence::default(), begin());
        let later = now + Duration::from_secs(40);
        complaints(&mut silence, 3, 4);
        assert_eq!(silence.connected(later, now), "connected to mpserver", "it never was before");
        assert_eq!(silence.over(), None);
        complaints(&mut silence, 3, 4);
        assert_eq!(silence.over(), Some("mpserver answers again"));
        assert_eq!(silence.over(), None);
        complaints(&mut silence, 3, 4);
        let line = "connected to mpserver anew: nothing had come from it for 40 s; it was restarted, or out of reach";
        assert_eq!(silence.connected(later, now), line);
        assert_eq!(silence.over(), None);
    }
}

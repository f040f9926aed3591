//! What has happened to the tunnel, in words: each event is a line in the log and, by the same sentence,
//! an entry here, of which the last are kept for whoever asks.

use std::collections::VecDeque;
use std::fmt;
use std::time::Instant;

use log::{Level, log};
use serde::{Deserialize, Serialize};

use super::stats::LineBudget;

/// Events that are kept.
pub const KEPT: usize = 100;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The program began.
    Start,
    /// A session with the other end, where there was none.
    Connected,
    /// The other end does not answer, or has left.
    Disconnected,
    /// New keys are in use.
    Keys,
    /// A path works.
    PathUp,
    /// A path does not work any more.
    PathSilent,
    /// A path comes from another address.
    PathMoved,
    /// Datagrams are cut into fragments on a path.
    Cut,
    /// An uplink is missing.
    Uplink,
    /// What a name's addresses are, or that it has none.
    Name,
    /// The configuration was read anew.
    Reload,
    /// Something was not taken.
    Refused,
    /// The system refused something.
    System,
}

/// Something that has happened.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When.
    pub at: Instant,
    /// What it is about.
    pub kind: Kind,
    /// What stands in the log.
    pub text: String,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Chronicle {
    entries: VecDeque<Entry>,
    /// How many there have ever been.
    count: u64,
    /// What may still be said of others' doings.
    lines: LineBudget,
}

impl Chronicle {
    /// Something has happened.
    #[cold]
    pub fn tell(&mut self, now: Instant, level: Level, kind: Kind, text: impl Into<String>) {
        let text = text.into();
        log!(level, "{text}");
        if self.entries.len() == KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { at: now, kind, text });
        self.count += 1;
    }

    /// The same of what others do as often as they like. Of too much within a minute, nothing is told
    /// but how much it was.
    #[cold]
    pub fn tell_of_others(&mut self, now: Instant, level: Level, kind: Kind, text: fmt::Arguments<'_>) {
        if let Some(left_out) = self.lines.line(now) {
            self.tell(now, level, kind, format!("{text}{left_out}"));
        }
    }

    /// The last events with their numbers, which begin with 0, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = (u64, &Entry)> {
        (self.count - self.entries.len() as u64..).zip(&self.entries)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tunnel::stats::LINES_A_MINUTE;

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn begin() -> Instant {
        Instant::now()
    }

    #[test]
    fn the_last_events_are_kept_with_their_numbers() {
        let (begin, mut chronicle) = (begin(), Chronicle::default());
        for number in 0..KEPT as u32 + 20 {
            let now = begin + Duration::from_secs(number.into());
            chronicle.tell(now, Level::Info, Kind::Name, format!("number {number}"));
        }
        let kept: Vec<_> = chronicle.entries().collect();
        assert_eq!(kept.len(), KEPT);
        for (number, entry) in kept {
            assert_eq!(entry.text, format!("number {number}"));
            assert_eq!(entry.at, begin + Duration::from_secs(number));
        }
    }

    #[test]
    fn what_others_do_too_often_is_not_kept_either() {
        let (begin, mut chronicle) = (begin(), Chronicle::default());
        let mut tell = |second| {
            let now = begin + Duration::from_secs(second);
            chronicle.tell_of_others(now, Level::Info, Kind::PathUp, format_args!("up"));
        };
        (0..=LINES_A_MINUTE).for_each(|_| tell(0));
        tell(60);
        let texts: Vec<_> = chronicle.entries().map(|(_, entry)| entry.text.as_str()).collect();
        assert_eq!(texts[..texts.len() - 1], vec!["up"; LINES_A_MINUTE as usize]);
        assert_eq!(texts.last(), Some(&"up (1 such lines were left out)"));
    }
}

//! What has happened to the tunnel, in words: each event is a line in the log and, by the same sentence,
//! an entry here, of which the last are kept for whoever asks.

use std::collections::VecDeque;
use std::fmt;
use std::time::Instant;

use log::{Level, log};
use serde::{Deserialize, Serialize};

use super::link::PeerId;
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

impl Kind {
    /// The same of one peer: at mpserver a client, at mpclient mpserver or a path to it.
    pub fn of(self, peer: impl Into<Option<PeerId>>) -> Topic {
        Topic { kind: self, peer: peer.into() }
    }
}

/// What an event is about, and whom. A [`Kind`] alone is about nobody in particular.
#[derive(Clone, Copy, Debug)]
pub struct Topic {
    kind: Kind,
    peer: Option<PeerId>,
}

impl From<Kind> for Topic {
    fn from(kind: Kind) -> Self {
        kind.of(None)
    }
}

/// Whom an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Nobody in particular: it may matter to all.
    Nobody,
    /// This peer.
    Peer(PeerId),
    /// One that is none any more, with the name that it had. Its number is free for another one.
    Gone(Option<String>),
}

/// Something that has happened.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When.
    pub at: Instant,
    /// What it is about ...
    pub kind: Kind,
    /// ... and whom.
    pub whom: Whom,
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
    pub fn tell(&mut self, now: Instant, level: Level, topic: impl Into<Topic>, text: impl Into<String>) {
        let (Topic { kind, peer }, text) = (topic.into(), text.into());
        log!(level, "{text}");
        if self.entries.len() == KEPT {
            self.entries.pop_front();
        }
        let whom = peer.map_or(Whom::Nobody, Whom::Peer);
        self.entries.push_back(Entry { at: now, kind, whom, text });
        self.count += 1;
    }

    /// The same of what others do as often as they like. Of too much within a minute, nothing is told
    /// but how much it was.
    #[cold]
    pub fn tell_of_others(
        &mut self,
        now: Instant,
        level: Level,
        topic: impl Into<Topic>,
        text: fmt::Arguments<'_>,
    ) {
        if let Some(left_out) = self.lines.line(now) {
            self.tell(now, level, topic, format!("{text}{left_out}"));
        }
    }

    /// A peer is none any more: whoever has its number next is another one, whom nothing of this is about.
    pub fn forget(&mut self, peer: PeerId, name: Option<&str>) {
        for entry in self.entries.iter_mut().filter(|entry| entry.whom == Whom::Peer(peer)) {
            entry.whom = Whom::Gone(name.map(str::to_owned));
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
    fn what_is_about_a_peer_is_not_about_the_next_one_with_its_number() {
        let (begin, mut chronicle) = (begin(), Chronicle::default());
        let [own, other] = [3, 4].map(PeerId);
        for topic in [Kind::Reload.into(), Kind::PathUp.of(own), Kind::PathUp.of(other)] {
            chronicle.tell(begin, Level::Info, topic, "before");
        }
        chronicle.forget(own, Some("home"));
        chronicle.tell(begin, Level::Info, Kind::Connected.of(own), "after");
        // The second one has no name, and takes nothing from the first.
        chronicle.forget(own, None);
        let whom: Vec<_> = chronicle.entries().map(|(_, entry)| entry.whom.clone()).collect();
        let gone = |name: Option<&str>| Whom::Gone(name.map(str::to_owned));
        assert_eq!(whom, [Whom::Nobody, gone(Some("home")), Whom::Peer(other), gone(None)]);
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

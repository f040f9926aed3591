//! What is different in a configuration that was read anew, in words: a line for each setting, which says whether
//! it counts from now on or takes a restart.

use std::fmt::{self, Display};

use log::Level;

/// Bridges or clients that a line names; of more, it says how many there are.
const NAMED: usize = 5;

/// A setting that is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What the log says ...
    pub text: String,
    /// ... and how loud: what the user has to act upon is a warning.
    pub level: Level,
}

impl Change {
    /// It counts from now on.
    pub(crate) fn at_once(text: impl Into<String>) -> Self {
        Self { text: text.into(), level: Level::Info }
    }

    /// It counts from now on, and is less safe than before.
    pub(crate) fn unsafe_at_once(text: impl Into<String>) -> Self {
        Self { text: text.into(), level: Level::Warn }
    }

    /// A value that counts from now on, if it is another one.
    pub(crate) fn of_value<T: Display + PartialEq>(setting: &str, now: T, before: T) -> Option<Self> {
        (now != before).then(|| Self::at_once(format!("{setting}: {now} now, {before} before")))
    }

    /// A value that does not count before a restart, if it is another one. `None`: the setting is off.
    pub(crate) fn of_start<T: Display + PartialEq>(
        setting: &str,
        now: Option<T>,
        before: Option<T>,
    ) -> Option<Self> {
        let text = || {
            let [now, before] = [&now, &before].map(OrOff);
            format!("{setting} is {now} now, which takes a restart: until then it is {before}")
        };
        (now != before).then(|| Self { text: text(), level: Level::Warn })
    }

    /// mpclient's key is another one, which is not shown.
    pub(crate) fn of_the_key() -> Self {
        let text = "the key is another one now, which takes a restart of mpclient, and of mpserver unless it has --keys: until then the old one counts";
        Self { text: text.into(), level: Level::Warn }
    }

    /// A list, if anything in it is different: how many in it are `as_before`, and which are not, in what way.
    pub(crate) fn of_list(setting: &str, as_before: usize, others: &[(&str, Vec<String>)]) -> Option<Self> {
        let mut text = format!("{setting}: {as_before} as before");
        let mut others = others.iter().filter(|(_, names)| !names.is_empty()).peekable();
        others.peek()?;
        for (what, names) in others {
            text += &format!("; {what}: {}", names[..names.len().min(NAMED)].join(", "));
            if let Some(more) = names.len().checked_sub(NAMED).filter(|more| *more > 0) {
                text += &format!(" and {more} more");
            }
        }
        Some(Self::at_once(text))
    }
}

/// A value, or that there is none.
struct OrOff<'a, T>(&'a Option<T>);

impl<T: Display> Display for OrOff<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(change: Option<Change>) -> Option<String> {
        change.map(|change| change.text)
    }

    #[test]
    fn what_is_the_same_is_no_change() {
        assert_eq!(Change::of_value("copies", 2, 2), None);
        assert_eq!(Change::of_start("metrics", None::<u8>, None), None);
        assert_eq!(Change::of_list("keys", 7, &[("new", vec![]), ("taken out", vec![])]), None);
    }

    #[test]
    fn a_value_is_told_with_the_one_before() {
        assert_eq!(text(Change::of_value("copies", 3, 2)).as_deref(), Some("copies: 3 now, 2 before"));
        for (now, before, expected) in [
            (Some(2), Some(1), "metrics is 2 now, which takes a restart: until then it is 1"),
            (None, Some(1), "metrics is off now, which takes a restart: until then it is 1"),
            (Some(2), None, "metrics is 2 now, which takes a restart: until then it is off"),
        ] {
            let change = Change::of_start("metrics", now, before).expect(expected);
            assert_eq!((&*change.text, change.level), (expected, Level::Warn));
        }
    }

    #[test]
    fn a_list_names_what_is_different_and_of_many_how_many_there_are() {
        let names = |count: usize| (1..=count).map(|number| format!("n{number}")).collect::<Vec<_>>();
        let told =
            |new, gone| text(Change::of_list("keys", 4, &[("new", names(new)), ("taken out", names(gone))]));
        assert_eq!(told(1, 0).as_deref(), Some("keys: 4 as before; new: n1"));
        assert_eq!(told(0, 2).as_deref(), Some("keys: 4 as before; taken out: n1, n2"));
        let both = "keys: 4 as before; new: n1, n2, n3, n4, n5; taken out: n1, n2, n3, n4, n5 and 2 more";
        assert_eq!(told(5, 7).as_deref(), Some(both));
    }
}

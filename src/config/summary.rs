//! How often the log sums up what was carried: what `--summary` and `summary =` say.

use std::fmt;
use std::time::Duration;

use super::values::Quoted;

const DEFAULT: Duration = Duration::from_secs(10 * 60);
/// More often, nobody could read it; less often, nobody would.
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(7 * 24 * 3600);

/// The time between two summaries. `None`: there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Every(pub Option<Duration>);

impl Default for Every {
    fn default() -> Self {
        Self(Some(DEFAULT))
    }
}

/// As it is written.
impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.map(|every| every.as_secs()) {
            None => f.write_str("off"),
            Some(seconds) if seconds % 3_600 == 0 => write!(f, "{}h", seconds / 3_600),
            Some(seconds) if seconds % 60 == 0 => write!(f, "{}min", seconds / 60),
            Some(seconds) => write!(f, "{seconds}s"),
        }
    }
}

/// A number and its unit, or `off`.
pub(super) fn every(word: &str) -> Result<Every, String> {
    if matches!(word, "0" | "off") {
        return Ok(Every(None));
    }
    let unit_at = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    let (number, unit) = word.split_at(unit_at);
    let seconds = match unit.trim_start() {
        "s" => Some(1),
        "m" | "min" => Some(60),
        "h" => Some(3_600),
        _ => None,
    };
    let time = number.parse::<u64>().ok().zip(seconds).and_then(|(number, unit)| number.checked_mul(unit));
    match time.map(Duration::from_secs) {
        Some(time) if (LEAST..=MOST).contains(&time) => Ok(Every(Some(time))),
        _ => Err(format!(
            "{} is neither a time from 1s to 168h with its unit, such as 90s, 10min or 1h, nor \"off\"",
            Quoted(word)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_its_unit_and_off_is_never() {
        for (word, seconds) in
            [("1s", 1), ("90s", 90), ("10min", 600), ("10 m", 600), ("1h", 3_600), ("168h", 604_800)]
        {
            let time = Every(Some(Duration::from_secs(seconds)));
            assert_eq!(every(word), Ok(time), "{word}");
            assert_eq!(every(&time.to_string()), Ok(time), "{word}: {time}");
        }
        for never in ["0", "off"] {
            assert_eq!(every(never).map(|every| (every, every.to_string())), Ok((Every(None), "off".into())));
        }
        for word in
            ["10", "0s", "-1s", "1.5h", "169h", "s", "", "10 minutes", "99999999999999999999h", "never"]
        {
            let error = every(word).expect_err(word);
            assert!(error.starts_with(&format!("{word:?} is neither a time from 1s to 168h")), "{error}");
        }
    }
}

//! What `RUST_LOG` says is to be logged. A word that the logger would take for the name of some
//! module is a mistake here: nothing at all would be logged, not even that.

use std::ffi::OsStr;

use log::LevelFilter;

use super::Mistake;
use super::values::Quoted;

/// What is logged unless told otherwise.
/// quinn-udp tells of each packet that could not be sent, which our own lines do more seldom.
pub(super) const DEFAULT: &str = "info,quinn_udp=warn";

/// This program's modules begin with it.
const OURS: &str = env!("CARGO_CRATE_NAME");

/// The directives that the logger is to read.
pub(super) fn directives(value: Option<&OsStr>) -> Result<String, Mistake> {
    let value = value.unwrap_or_default().to_string_lossy();
    let (words, pattern) = match value.split_once('/') {
        Some((words, pattern)) => (words, format!("/{pattern}")),
        None => (&*value, String::new()),
    };
    let words: Vec<_> = words.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        return Ok(format!("{DEFAULT}{pattern}"));
    }
    let concerns_us = |word: &&str| word.starts_with(OURS) || word.parse::<LevelFilter>().is_ok();
    let right = words.iter().any(concerns_us)
        && words.iter().all(|word| word.contains('=') || concerns_us(word))
        && env_filter::Builder::new().try_parse(&value).is_ok();
    if right {
        return Ok(value.into_owned());
    }
    let text = format!(
        "RUST_LOG is {}: set it to error, warn, info, debug, trace or off; or to such a word and others for \
         single modules, such as info,{OURS}::net=debug",
        Quoted(&value)
    );
    Err(Mistake { place: None, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<String, String> {
        directives(Some(OsStr::new(value))).map_err(|mistake| mistake.text)
    }

    #[test]
    fn what_the_logger_reads_is_left_as_it_is() {
        for value in [
            "error",
            "WARN",
            "off",
            "mptunnel=debug,warn",
            " mptunnel::net = trace , info ",
            "mptunnel",
            "info,mio=trace",
            "debug/bridge",
        ] {
            assert_eq!(read(value), Ok(value.to_owned()));
        }
    }

    #[test]
    fn what_is_empty_means_the_default() {
        assert_eq!(directives(None), Ok(DEFAULT.to_owned()));
        for (value, rest) in [("", ""), (" ", ""), (",", ""), ("/bridge", "/bridge")] {
            assert_eq!(read(value), Ok(format!("{DEFAULT}{rest}")), "{value:?}");
        }
    }

    #[test]
    fn what_would_leave_the_program_silent_is_refused() {
        for value in [
            "inof",
            "bogus",
            "2",
            "warn,debgu",
            "mio=debug",
            "mptunnel=loud",
            "info=debug=x",
            "info,quinn_udp=warn/a/b",
        ] {
            let error = read(value).expect_err(value);
            assert!(
                error.starts_with(&format!("RUST_LOG is {value:?}: set it to error, warn, info,")),
                "{error}"
            );
        }
    }
}

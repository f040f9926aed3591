//! Log lines that outsiders have a part in: each is one line, and a terminal that shows it is safe.

use log::{LevelFilter, Log, Metadata, Record};

/// Has every log line formatted and checked from now on.
pub fn check() {
    // A target calls this before each run; the first call counts.
    if log::set_logger(&Checker).is_ok() {
        log::set_max_level(LevelFilter::Trace);
    }
}

/// # Panics
/// Where a text has a control character, or is endless.
pub fn check_text(text: &str) {
    assert!(!text.chars().any(char::is_control), "a control character in {text:?}");
    assert!(text.len() < 2000, "{} octets in one line: {text:.200?}", text.len());
}

struct Checker;

impl Log for Checker {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("mptunnel")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            check_text(&record.args().to_string());
        }
    }

    fn flush(&self) {}
}

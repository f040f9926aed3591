//! The configuration that is read again at SIGHUP, as the loop takes it. Reading it is the caller's matter.

use std::time::Duration;

use crate::tunnel::change::Change;
use crate::tunnel::role::Config;

/// What came of reading the configuration anew.
#[derive(Debug)]
pub enum Reread {
    /// It is this now.
    News {
        /// The name of the file.
        file: String,
        /// The tunnel's part.
        config: Box<Config>,
        /// How often the log sums up.
        report_every: Option<Duration>,
        /// What is different in it, besides the tunnel's part.
        changes: Vec<Change>,
    },
    /// It has mistakes, so nothing is changed.
    Refused {
        /// What is to be said of it, with the first mistake.
        text: String,
        /// The others, for the log alone.
        more: Vec<String>,
    },
    /// There is nothing that could be read, for this reason.
    Nothing(String),
}

/// Reads it.
pub(super) type Reload = Box<dyn FnMut() -> Reread + Send>;

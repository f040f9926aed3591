//! The configuration that is read again at SIGHUP, as the loop takes it. Reading it is the caller's matter.

use std::time::Duration;

use log::Level;

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
    /// Nothing is changed, for this reason.
    Nothing {
        /// What is to be said of it ...
        text: String,
        /// ... and how loud.
        level: Level,
        /// What the log says besides.
        more: Vec<String>,
    },
}

/// Reads it.
pub(super) type Reload = Box<dyn FnMut() -> Reread + Send>;

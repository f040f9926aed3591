//! Why there is no control socket.

use std::{fmt, io};

/// What is said where the system has none, with what shows the same there.
pub const NO_CONTROL: &str = "this system has no control socket; the status is on a page, with --metrics ADDRESS:PORT (metrics = \
                              in mpclient.conf)";

/// Why there is no control socket.
#[derive(Debug)]
pub enum ControlError {
    /// A process answers there.
    InUse,
    /// Something is there that is no socket.
    NoSocket,
    /// The system refused.
    System(io::Error),
}

impl From<io::Error> for ControlError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => {
                f.write_str("another process answers there: give this one its own with --control PATH")
            }
            Self::NoSocket => f.write_str(
                "there is a file that is no socket: take it away, or name another place with --control PATH",
            ),
            Self::System(error) => error.fmt(f),
        }
    }
}

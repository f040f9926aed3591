//! In place of the control socket where the system has no Unix sockets that a poll can wait for.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::time::Instant;

use mio::net::TcpListener;
use mio::{Registry, Token};

use super::control_error::{ControlError, NO_CONTROL};
use super::conversations::Conversations;

/// A control socket, of which there is none.
#[derive(Debug)]
pub struct Control {
    /// Those who would ask.
    pub(super) conversations: Conversations<TcpListener>,
    none: Infallible,
}

/// Makes no folder, since nothing would be in it.
///
/// # Errors
/// Always.
pub fn make_folder(_: &Path) -> io::Result<()> {
    Err(unsupported())
}

impl Control {
    /// Opens none.
    ///
    /// # Errors
    /// Always.
    pub fn open(_: &Path) -> Result<Self, ControlError> {
        Err(unsupported().into())
    }

    pub(super) fn serve(&mut self, _: Instant, _: &Registry, _: Token, _: impl Fn() -> Option<Vec<u8>>) {
        match self.none {}
    }
}

fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, NO_CONTROL)
}

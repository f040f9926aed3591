//! In place of the control socket where the system has no Unix sockets that a poll can wait for.

use std::io;
use std::path::Path;
use std::time::Instant;

use mio::{Registry, Token};

use super::control_error::ControlError;

/// A control socket, of which there is none.
#[derive(Debug)]
pub enum Control {}

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

    pub(super) fn register(&mut self, _: &Registry, _: Token) -> io::Result<()> {
        match *self {}
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match *self {}
    }

    pub(super) fn serve(&mut self, _: Instant, _: &Registry, _: Token, _: impl Fn() -> Vec<u8>) -> bool {
        match *self {}
    }
}

fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "there is no control socket on this system")
}

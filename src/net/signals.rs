//! What the system tells a program besides packets: to end, to read its configuration again, and to report.

use std::io;

use mio::{Registry, Token};

/// What the program is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(unix), expect(dead_code, reason = "nothing tells it there"))]
pub(super) enum Signal {
    /// To end, by the signal of this name.
    Stop(&'static str),
    /// To read its configuration again.
    Reload,
    /// To write to its log all there is to see.
    Report,
}

/// The signals that have come.
pub(super) struct Signals(system::Signals);

impl Signals {
    /// Has signals wake the poll under this token, instead of ending the process.
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        system::new(registry, token).map(Self)
    }

    /// Those that have come since.
    pub(super) fn pending(&mut self) -> impl Iterator<Item = Signal> + '_ {
        system::pending(&mut self.0)
    }
}

#[cfg(unix)]
mod system {
    use std::io;

    use mio::{Interest, Registry, Token};
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
    use signal_hook::low_level::signal_name;
    pub(super) use signal_hook_mio::v1_0::Signals;

    use super::Signal;

    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Signals> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1])?;
        registry.register(&mut signals, token, Interest::READABLE)?;
        Ok(signals)
    }

    pub(super) fn pending(signals: &mut Signals) -> impl Iterator<Item = Signal> + '_ {
        signals.pending().map(|signal| match signal {
            SIGHUP => Signal::Reload,
            SIGUSR1 => Signal::Report,
            signal => Signal::Stop(signal_name(signal).unwrap_or("a signal")),
        })
    }
}

/// Elsewhere the system ends the process by itself, and nothing has it read anything again.
#[cfg(not(unix))]
mod system {
    use std::io;

    use mio::{Registry, Token};

    use super::Signal;

    pub(super) struct Signals;

    pub(super) fn new(_: &Registry, _: Token) -> io::Result<Signals> {
        Ok(Signals)
    }

    pub(super) fn pending(_: &mut Signals) -> impl Iterator<Item = Signal> + '_ {
        std::iter::empty()
    }
}

//! Connections of those who ask a running program: accepted, heard, answered and closed without waiting for
//! anybody, so that nobody who stalls holds the next one up.
//!
//! So many are served at a time, each for so long; the next wait in the system's queue. Whoever is late
//! is dropped, whatever the reason. All of them share the listener's token: they are few, so each event
//! goes through all.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::debug;
use mio::event::Source;
use mio::{Interest, Registry, Token};

/// Connections accepted in one turn, so that what else there is has its own.
pub(super) const ACCEPTED_IN_A_TURN: usize = 8;
/// Where the system refuses a connection, it is asked again after this time: it tells only once of those that
/// wait.
pub(super) const RETRY: Duration = Duration::from_secs(1);
/// Octets heard in one call.
const HEARD_AT_A_TIME: usize = 4096;
/// Calls that hear what is said after the answer.
const HEARD_AFTERWARDS: usize = 16;

/// Where connections come from, and how they are treated.
pub(super) trait Door: Source {
    /// What the log calls it.
    const NAME: &str;
    /// Connections that are served at a time.
    const AT_A_TIME: usize;
    /// Who has not asked and taken the answer within this time gets no more of it.
    const PATIENCE: Duration;
    /// Whether there is a question to hear. Otherwise the answer comes without one.
    const HEARS: bool;
    /// A connection.
    type Stream: Source + Read + Write;

    /// The next connection.
    fn accept(&self) -> io::Result<Self::Stream>;

    /// Says that the answer is complete, where that takes more than closing the connection.
    fn finish(stream: &Self::Stream) -> io::Result<()>;
}

/// See the module.
#[derive(Debug)]
pub(super) struct Conversations<D: Door> {
    door: D,
    open: Vec<Conversation<D::Stream>>,
    /// Whether something may be to do.
    asked: bool,
    /// When to try again to accept, where the system has refused it.
    retry_at: Option<Instant>,
}

#[derive(Debug)]
struct Conversation<S> {
    stream: S,
    heard: Vec<u8>,
    answer: Option<Arc<[u8]>>,
    written: usize,
    until: Instant,
}

impl<D: Door> Conversations<D> {
    pub(super) const fn new(door: D) -> Self {
        Self { door, open: Vec::new(), asked: false, retry_at: None }
    }

    /// Has the poll tell of connections, under this token.
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.door, token, Interest::READABLE)
    }

    /// Notes that something may be to do.
    pub(super) const fn note(&mut self) {
        self.asked = true;
    }

    /// Whether something may be to do at once.
    pub(super) const fn are_asked(&self) -> bool {
        self.asked
    }

    /// When [`Self::serve`] is due, whatever happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.open.iter().map(|conversation| conversation.until).chain(self.retry_at).min()
    }

    /// Goes on with the conversations under way, and begins new ones, where something may be to do or is
    /// due. `answer` is given what was heard so far, and returns nothing as long as that is no question yet.
    pub(super) fn serve(
        &mut self,
        now: Instant,
        registry: &Registry,
        token: Token,
        answer: impl FnMut(&[u8]) -> Option<Arc<[u8]>>,
    ) {
        if self.asked || self.deadline().is_some_and(|deadline| now >= deadline) {
            self.asked = self.go_on(now, registry, token, answer);
        }
    }

    /// Goes on with all of them. Returns whether there may be more to begin at once.
    fn go_on(
        &mut self,
        now: Instant,
        registry: &Registry,
        token: Token,
        mut answer: impl FnMut(&[u8]) -> Option<Arc<[u8]>>,
    ) -> bool {
        self.retry_at = None;
        self.open.retain_mut(|open| now < open.until && open.go_on::<D>(&mut answer));
        for _ in 0..ACCEPTED_IN_A_TURN {
            if self.open.len() >= D::AT_A_TIME {
                // The end of one of them is an event, or the deadline.
                return false;
            }
            let stream = match next(|| self.door.accept()) {
                Ok(Some(stream)) => stream,
                Ok(None) => return false,
                Err(error) => {
                    debug!("cannot accept a connection at the {}: {error}", D::NAME);
                    self.retry_at = Some(now + RETRY);
                    return false;
                }
            };
            let until = now + D::PATIENCE;
            let mut new = Conversation { stream, heard: Vec::new(), answer: None, written: 0, until };
            let interest =
                if D::HEARS { Interest::READABLE | Interest::WRITABLE } else { Interest::WRITABLE };
            if new.go_on::<D>(&mut answer) && registry.register(&mut new.stream, token, interest).is_ok() {
                self.open.push(new);
            }
        }
        true
    }

    #[cfg(test)]
    pub(super) const fn count(&self) -> usize {
        self.open.len()
    }
}

impl<S: Read + Write> Conversation<S> {
    /// Does what can be done. Returns whether there is more to do.
    fn go_on<D: Door<Stream = S>>(&mut self, answer: &mut impl FnMut(&[u8]) -> Option<Arc<[u8]>>) -> bool {
        match self.try_to_go_on::<D>(answer) {
            Ok(()) => false,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }

    /// Goes on to the end, or to where it would have to wait.
    fn try_to_go_on<D: Door<Stream = S>>(
        &mut self,
        answer: &mut impl FnMut(&[u8]) -> Option<Arc<[u8]>>,
    ) -> io::Result<()> {
        while self.answer.is_none() {
            if D::HEARS && self.hear()? == 0 {
                return Ok(());
            }
            self.answer = answer(&self.heard);
        }
        let answer = self.answer.as_deref().unwrap_or_default();
        while self.written < answer.len() {
            match self.stream.write(&answer[self.written..]) {
                Ok(0) => return Ok(()),
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if self.written == answer.len() {
                D::finish(&self.stream)?;
            }
        }
        // Closing a connection before all was heard may take the answer from its reader (RFC 9112 section
        // 9.6). What comes now is not kept, and who goes on talking is cut off.
        for _ in 0..HEARD_AFTERWARDS {
            self.heard.clear();
            if !D::HEARS || self.hear()? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Takes what has come. Returns how much; nothing at the end.
    fn hear(&mut self) -> io::Result<usize> {
        let before = self.heard.len();
        self.heard.resize(before + HEARD_AT_A_TIME, 0);
        let heard = loop {
            match self.stream.read(&mut self.heard[before..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                heard => break heard,
            }
        };
        self.heard.truncate(before + heard.as_ref().map_or(0, |heard| *heard));
        heard
    }
}

/// The next connection that waits, if one does.
///
/// # Errors
/// The system refused. Others may wait, of which it tells no more: it has to be asked again.
pub(super) fn next<S>(accept: impl Fn() -> io::Result<S>) -> io::Result<Option<S>> {
    loop {
        match accept() {
            Ok(stream) => return Ok(Some(stream)),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => return Ok(None),
                // It has gone again, or a signal came.
                ErrorKind::ConnectionAborted | ErrorKind::Interrupted => {}
                _ => return Err(error),
            },
        }
    }
}

/// An answer that serves all who ask within a time.
#[derive(Debug)]
pub(crate) struct Fresh {
    lasts: Duration,
    latest: Option<(Instant, Arc<[u8]>)>,
}

impl Fresh {
    pub(crate) const fn new(lasts: Duration) -> Self {
        Self { lasts, latest: None }
    }

    /// The latest answer, or what `make` returns where that is too old.
    pub(crate) fn or_else(
        &mut self,
        now: Instant,
        make: impl FnOnce() -> Option<Vec<u8>>,
    ) -> Option<Arc<[u8]>> {
        match &self.latest {
            Some((at, octets)) if now.saturating_duration_since(*at) < self.lasts => Some(Arc::clone(octets)),
            _ => Some(Arc::clone(&self.latest.insert((now, make()?.into())).1)),
        }
    }
}

#[cfg(test)]
mod tests;

//! The sessions with one peer: the one in use, the one before it, the one that is being tried.

use std::time::{Duration, Instant};

use super::session::Session;
use super::wire::SessionId;

/// A session is used no longer than this, so that what one key protects is bounded.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// The session before the current one still opens what was sealed before the change.
const PREVIOUS_LIFETIME: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Default)]
pub struct Sessions {
    current: Option<Session>,
    /// And when it was replaced.
    previous: Option<(Session, Instant)>,
    next: Option<Session>,
}

impl Sessions {
    /// The session that the other end names with this id.
    #[inline]
    pub fn get(&mut self, id: SessionId) -> Option<&mut Session> {
        let previous = self.previous.as_mut().map(|(session, _)| session);
        let all = [self.current.as_mut(), self.next.as_mut(), previous];
        all.into_iter().flatten().find(|session| session.local_id == id)
    }

    /// All sessions' ids.
    pub fn ids(&self) -> impl Iterator<Item = SessionId> + '_ {
        let previous = self.previous.as_ref().map(|(session, _)| session);
        let all = [self.current.as_ref(), self.next.as_ref(), previous];
        all.into_iter().flatten().map(|session| session.local_id)
    }

    /// The session that datagrams leave in.
    pub fn current(&self) -> Option<&Session> {
        self.current.as_ref()
    }

    /// The same, to seal a datagram.
    #[inline]
    pub fn current_mut(&mut self) -> Option<&mut Session> {
        self.current.as_mut()
    }

    /// Whether it is the session that datagrams leave in.
    #[inline]
    pub fn is_current(&self, id: SessionId) -> bool {
        self.current.as_ref().is_some_and(|session| session.local_id == id)
    }

    /// The session that is being tried.
    pub fn next(&self) -> Option<&Session> {
        self.next.as_ref()
    }

    /// The session that probes leave in: a new one proves itself by them.
    pub fn newest(&mut self) -> Option<&mut Session> {
        self.next.as_mut().or(self.current.as_mut())
    }

    /// Whether this is the session that probes leave in. What comes in another is of the past.
    pub fn is_newest(&self, id: SessionId) -> bool {
        self.next.as_ref().or(self.current.as_ref()).is_some_and(|session| session.local_id == id)
    }

    /// Begins to try a session. Returns the id of the one it displaces.
    pub fn begin(&mut self, session: Session) -> Option<SessionId> {
        self.next.replace(session).map(|session| session.local_id)
    }

    /// Gives the session that is being tried up.
    pub fn abandon_next(&mut self) -> Option<SessionId> {
        self.next.take().map(|session| session.local_id)
    }

    /// The session that was tried works: it becomes the current one. Returns the id of the session that is
    /// forgotten by that.
    pub fn confirm_next(&mut self, now: Instant) -> Option<SessionId> {
        let session = self.next.take()?;
        let forgotten = self.previous.take().map(|(session, _)| session.local_id);
        self.previous = self.current.replace(session).map(|session| (session, now));
        forgotten
    }

    /// Forgets sessions that are too old, and tells their ids.
    pub fn expire(&mut self, now: Instant) -> impl Iterator<Item = SessionId> + use<> {
        let age = |since| now.saturating_duration_since(since);
        let previous = self.previous.take_if(|(_, replaced)| age(*replaced) >= PREVIOUS_LIFETIME);
        let current = self.current.take_if(|session| age(session.since) >= SESSION_LIFETIME);
        [previous.map(|(session, _)| session), current].into_iter().flatten().map(|session| session.local_id)
    }
}

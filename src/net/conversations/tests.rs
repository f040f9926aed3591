use std::cell::RefCell;
use std::collections::VecDeque;

use mio::Poll;

use super::*;

const TOKEN: Token = Token(1);

/// A door at which the system has these answers, and then nobody.
struct Scripted(RefCell<VecDeque<io::Result<Asker>>>);

/// Who takes any answer at once.
struct Asker;

impl Door for Scripted {
    const NAME: &str = "scripted door";
    const AT_A_TIME: usize = 4;
    const PATIENCE: Duration = Duration::from_secs(20);
    const HEARS: bool = false;
    type Stream = Asker;

    fn accept(&self) -> io::Result<Asker> {
        self.0.borrow_mut().pop_front().unwrap_or_else(|| Err(ErrorKind::WouldBlock.into()))
    }

    fn finish(_: &Asker) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Asker {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
}

impl Write for Asker {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// No descriptor that a poll could watch.
macro_rules! unwatched {
    ($($kind:ty),*) => {$(
        impl Source for $kind {
            fn register(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
                Ok(())
            }

            fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
                Ok(())
            }

            fn deregister(&mut self, _: &Registry) -> io::Result<()> {
                Ok(())
            }
        }
    )*};
}

unwatched!(Scripted, Asker);

struct Loop {
    poll: Poll,
    conversations: Conversations<Scripted>,
    now: Instant,
}

impl Loop {
    fn new(accepts: impl Into<VecDeque<io::Result<Asker>>>) -> Self {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        let now = Instant::now();
        let mut conversations = Conversations::new(Scripted(RefCell::new(accepts.into())));
        conversations.note();
        Self { poll: Poll::new().expect("a poll"), conversations, now }
    }

    /// How many are answered in the turns that follow each other at once.
    fn answered(&mut self) -> usize {
        let mut answered = 0;
        let mut answer = |_: &[u8]| {
            answered += 1;
            Some(Arc::from(&b"x"[..]))
        };
        loop {
            self.conversations.serve(self.now, self.poll.registry(), TOKEN, &mut answer);
            if !self.conversations.are_asked() {
                return answered;
            }
        }
    }
}

#[test]
fn a_connection_that_is_gone_again_keeps_nobody_behind_it_waiting() {
    let gone = |kind: ErrorKind| Err(io::Error::from(kind));
    let accepts = [gone(ErrorKind::ConnectionAborted), gone(ErrorKind::Interrupted), Ok(Asker), Ok(Asker)];
    let mut turn = Loop::new(accepts);
    assert_eq!(turn.answered(), 2);
    assert_eq!(turn.conversations.deadline(), None);
}

#[test]
fn where_the_system_refuses_a_connection_it_is_asked_again_without_another_knock() {
    let refused = || Err(io::Error::from(ErrorKind::OutOfMemory));
    let mut turn = Loop::new([refused(), refused(), Ok(Asker)]);
    for _ in 0..2 {
        assert_eq!(turn.answered(), 0);
        assert_eq!(turn.conversations.deadline(), Some(turn.now + RETRY));
        turn.now += RETRY;
    }
    assert_eq!(turn.answered(), 1);
    assert_eq!(turn.conversations.deadline(), None);
}

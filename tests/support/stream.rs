//! A steady stream of numbered, checksummed datagrams from an application to the target and back, and
//! the books that are kept about it: what was lost, doubled or altered, and how long each was on its way.

#![allow(dead_code, reason = "every test that includes this file uses a part of it")]

use std::fmt;
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::wait::poll_until;

/// Octets of the number in front and of the checksum at the end of a datagram.
const NUMBER_LEN: usize = 8;
const CHECKSUM_LEN: usize = 8;

/// How long a datagram may be on its way before it counts as lost, once the stream has ended.
const STRAGGLERS: Duration = Duration::from_secs(2);

/// How long a receiving thread listens before it looks whether it should end.
pub(crate) const LISTENING_TURN: Duration = Duration::from_millis(20);

/// Makes datagram `number`: the number, octets that depend on it, a checksum of both.
pub(crate) fn datagram(number: u64, len: usize) -> Vec<u8> {
    let mut octets = number.to_be_bytes().to_vec();
    let mut filler = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    octets.resize_with(len - CHECKSUM_LEN, || {
        // xorshift64: any octets will do that a shifted or mixed-up datagram would not have in place.
        filler ^= filler << 13;
        filler ^= filler >> 7;
        filler ^= filler << 17;
        filler.to_le_bytes()[0]
    });
    octets.extend(checksum(&octets).to_be_bytes());
    octets
}

/// What sets a stream apart from others that run beside it: what comes of another one counts as altered.
#[derive(Clone, Default)]
pub(crate) struct Mark {
    /// Another one for each stream.
    pub(crate) stream: u16,
    /// What each datagram begins with between the application and mpclient, both ways.
    pub(crate) header: Vec<u8>,
}

impl Mark {
    /// The least number of the stream's datagrams.
    fn base(&self) -> u64 {
        u64::from(self.stream) << 32
    }
}

/// The number of a datagram that is just as it was made, `None` if anything in it has changed.
fn number_of(octets: &[u8]) -> Option<u64> {
    let (contents, sum) = octets.split_last_chunk::<CHECKSUM_LEN>()?;
    let number = contents.first_chunk::<NUMBER_LEN>()?;
    (checksum(contents) == u64::from_be_bytes(*sum)).then(|| u64::from_be_bytes(*number))
}

/// FNV-1a, 64 bits.
fn checksum(octets: &[u8]) -> u64 {
    octets.iter().fold(0xcbf2_9ce4_8422_2325, |sum, octet| {
        (sum ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// What one end has received of a stream.
#[derive(Default)]
struct Received {
    /// What its numbers begin with.
    base: u64,
    /// What came of each datagram, by number.
    arrivals: Vec<Arrivals>,
    altered: u64,
}

/// How often a datagram arrived, and when for the first time.
#[derive(Clone, Copy, Default)]
struct Arrivals {
    times: u32,
    first: Option<Instant>,
}

impl Received {
    fn of(mark: &Mark) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self { base: mark.base(), ..Self::default() }))
    }

    fn enter(&mut self, octets: &[u8]) {
        let number = number_of(octets).and_then(|number| number.checked_sub(self.base));
        let known = number.and_then(|number| usize::try_from(number).ok());
        // No stream here comes near a million: a larger number is an altered one, checksum or not.
        let Some(number) = known.filter(|number| *number < 1_000_000) else {
            self.altered += 1;
            return;
        };
        if self.arrivals.len() <= number {
            self.arrivals.resize(number + 1, Arrivals::default());
        }
        let arrivals = &mut self.arrivals[number];
        arrivals.times += 1;
        arrivals.first.get_or_insert_with(Instant::now);
    }

    /// When a datagram arrived for the first time.
    fn first(&self, number: u64) -> Option<Instant> {
        self.arrivals.get(usize::try_from(number).ok()?)?.first
    }

    fn has(&self, number: u64) -> bool {
        self.first(number).is_some()
    }

    /// The books, given when each datagram left: `None`, if it did not.
    fn direction(&self, left: &[Option<Instant>]) -> Direction {
        let delay = |(number, left): (u64, &Option<Instant>)| {
            Some(self.first(number)?.saturating_duration_since((*left)?))
        };
        let sent = left.len() as u64;
        Direction {
            sent,
            missing: (0..sent).filter(|number| !self.has(*number)).collect(),
            doubled: self.arrivals.iter().map(|arrivals| u64::from(arrivals.times.saturating_sub(1))).sum(),
            altered: self.altered,
            delays: (0..).zip(left).map(delay).collect(),
        }
    }
}

/// The books about one direction of a finished stream.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Direction {
    pub(crate) sent: u64,
    /// The numbers of the datagrams that never arrived.
    pub(crate) missing: Vec<u64>,
    pub(crate) doubled: u64,
    pub(crate) altered: u64,
    /// How long each datagram was on its way, by number; `None` if it never arrived.
    delays: Vec<Option<Duration>>,
}

/// What became of some of a direction's datagrams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Excerpt {
    pub(crate) sent: usize,
    pub(crate) lost: usize,
    /// What half of those that arrived took at most, and what 99 of 100 took at most; `None` if none arrived.
    pub(crate) median: Option<Duration>,
    pub(crate) p99: Option<Duration>,
}

impl Direction {
    /// What became of the datagrams with these numbers.
    pub(crate) fn excerpt(&self, numbers: Range<u64>) -> Excerpt {
        let index = |number| usize::try_from(number).expect("as many as there are delays at most");
        let mut delays: Vec<_> =
            self.delays[index(numbers.start)..index(numbers.end)].iter().flatten().copied().collect();
        delays.sort_unstable();
        let quantile = |percent: usize| {
            let rank = (delays.len() * percent).div_ceil(100);
            delays.get(rank.checked_sub(1)?).copied()
        };
        Excerpt {
            sent: index(numbers.end - numbers.start),
            lost: self.missing.iter().filter(|number| numbers.contains(number)).count(),
            median: quantile(50),
            p99: quantile(99),
        }
    }
}

impl fmt::Debug for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, missing, doubled, altered, delays: _ } = self;
        write!(f, "{sent} sent, {} lost, {doubled} doubled, {altered} altered", missing.len())?;
        match (missing.first(), missing.last()) {
            (Some(first), Some(last)) => write!(f, " (lost ones between numbers {first} and {last})"),
            _ => Ok(()),
        }
    }
}

/// A target that sends every datagram back, and keeps books about those of a stream.
pub(crate) struct Echo {
    received: Arc<Mutex<Received>>,
    _listener: Listener,
}

impl Echo {
    /// Starts the target on a socket.
    pub(crate) fn start(socket: UdpSocket) -> Self {
        Self::of(&Mark::default(), socket)
    }

    /// Starts the target of the stream with this mark.
    pub(crate) fn of(mark: &Mark, socket: UdpSocket) -> Self {
        let received = Received::of(mark);
        let books = Arc::clone(&received);
        let listener = Listener::start(socket, move |socket, octets, source| {
            lock(&books).enter(octets);
            // An echo that cannot leave is lost, and shows in the books of the way back.
            let _ = socket.send_to(octets, source);
        });
        Self { received, _listener: listener }
    }
}

/// A running stream.
pub(crate) struct Stream {
    echo: Echo,
    /// When each datagram left, by number.
    sent: Arc<Mutex<Vec<Instant>>>,
    received: Arc<Mutex<Received>>,
    sending_ended: Arc<AtomicBool>,
    sender: Option<JoinHandle<()>>,
    receiver: Listener,
}

impl Stream {
    /// Starts to send so many datagrams of `len` octets a second from a connected socket to an echo.
    pub(crate) fn start(socket: UdpSocket, echo: Echo, per_second: u32, len: usize) -> Self {
        Self::marked(&Mark::default(), socket, echo, per_second, len)
    }

    /// Starts a stream with this mark, to an echo of the same.
    pub(crate) fn marked(mark: &Mark, socket: UdpSocket, echo: Echo, per_second: u32, len: usize) -> Self {
        let sending = socket.try_clone().expect("a second descriptor");
        let (sent, sending_ended) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (books, end) = (Arc::<Mutex<Vec<_>>>::clone(&sent), Arc::clone(&sending_ended));
        let (base, header) = (mark.base(), mark.header.clone());
        let sender = thread::spawn(move || {
            let start = Instant::now();
            for number in 0_u64.. {
                let due = start + Duration::from_secs(number) / per_second;
                thread::sleep(due.saturating_duration_since(Instant::now()));
                if end.load(Ordering::Relaxed) {
                    return;
                }
                let datagram = [&header[..], &datagram(base + number, len)].concat();
                let left = Instant::now();
                // A refused or full socket is a lost datagram, and shows in the books.
                let _ = sending.send(&datagram);
                lock(&books).push(left);
            }
        });
        let received = Received::of(mark);
        let (books, header) = (Arc::clone(&received), mark.header.clone());
        let receiver = Listener::start(socket, move |_, octets, _| {
            // Behind another header it is another's.
            lock(&books).enter(octets.strip_prefix(&header[..]).unwrap_or_default());
        });
        Self { echo, sent, received, sending_ended, sender: Some(sender), receiver }
    }

    /// How many datagrams have been sent so far.
    pub(crate) fn sent(&self) -> u64 {
        lock(&self.sent).len() as u64
    }

    /// How long it takes from now until a datagram that is still to be sent has come back.
    pub(crate) fn wait_until_it_flows(&self, limit: Duration) -> Duration {
        let (start, next) = (Instant::now(), self.sent());
        let flows = poll_until(limit, || (next..self.sent()).any(|number| lock(&self.received).has(number)));
        assert!(flows, "no datagram came back within {limit:?}");
        start.elapsed()
    }

    /// Sends nothing more.
    pub(crate) fn stop(&mut self) {
        end(&self.sending_ended, &mut self.sender);
    }

    /// Whether all that was sent so far has come back.
    pub(crate) fn is_complete(&self) -> bool {
        (0..self.sent()).rev().all(|number| lock(&self.received).has(number))
    }

    /// Ends the stream: the books about the way there and the way back.
    pub(crate) fn finish(mut self) -> (Direction, Direction) {
        self.stop();
        let left: Vec<_> = lock(&self.sent).iter().copied().map(Some).collect();
        let sent = left.len() as u64;
        poll_until(STRAGGLERS, || self.is_complete());
        // Copies that come after the first ones would come now.
        thread::sleep(LISTENING_TURN * 5);
        self.receiver.end();
        let there = lock(&self.echo.received).direction(&left);
        let returned: Vec<_> = (0..sent).map(|number| lock(&self.echo.received).first(number)).collect();
        let mut back = lock(&self.received).direction(&returned);
        // What never reached the target could not come back: it is booked on the way there.
        back.missing.retain(|number| there.missing.binary_search(number).is_err());
        (there, back)
    }

    /// Ends the stream, of which nothing may have been lost, doubled or altered.
    pub(crate) fn finish_complete(self) {
        let (there, back) = self.finish();
        assert!(there.sent > 0, "a stream that never ran proves nothing");
        for direction in [&there, &back] {
            let flawless = direction.missing.is_empty() && direction.doubled == 0 && direction.altered == 0;
            assert!(flawless, "there: {there:?}; back: {back:?}");
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A thread that hands every datagram of a socket to a function, until this is dropped.
pub(crate) struct Listener {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Starts the thread.
    pub(crate) fn start(
        socket: UdpSocket,
        mut take: impl FnMut(&UdpSocket, &[u8], SocketAddr) + Send + 'static,
    ) -> Self {
        socket.set_read_timeout(Some(LISTENING_TURN)).expect("a time that is not zero");
        let ended = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while !told.load(Ordering::Relaxed) {
                // Errors are timeouts, or refusals while nobody listens at the other end.
                if let Ok((len, source)) = socket.recv_from(&mut buffer) {
                    take(&socket, &buffer[..len], source);
                }
            }
        });
        Self { ended, thread: Some(thread) }
    }

    fn end(&mut self) {
        end(&self.ended, &mut self.thread);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.end();
    }
}

/// Ends a thread by its flag.
fn end(flag: &AtomicBool, thread: &mut Option<JoinHandle<()>>) {
    flag.store(true, Ordering::Relaxed);
    if let Some(thread) = thread.take() {
        // What a thread had to complain about, it has said in its panic.
        let _ = thread.join();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! What applications and the target send, and the ledger that every delivery is checked against.
//!
//! A datagram says who sent it to whom and which of theirs it is; the rest of it follows from that, so that a changed octet, a
//! second delivery, a wrong receiver or an invention is seen at once.

use std::collections::HashMap;
use std::time::Duration;

/// The shortest datagram that has room for its number.
pub const LEAST_LEN: usize = 12;

/// A direction through the tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// From an application to the target.
    Up,
    /// From the target to an application.
    Down,
}

/// An application: its client, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct App {
    /// The client.
    pub client: usize,
    /// Its number at this client.
    pub number: u16,
}

/// The first application of the first client.
pub const APP: App = App { client: 0, number: 0 };

/// What became of the datagrams of one application in one direction.
#[derive(Debug, Default)]
pub struct Record {
    /// When each was sent, and how long it is.
    pub sent: Vec<(Duration, usize)>,
    /// When each was delivered.
    pub delivered: Vec<Option<Duration>>,
    /// How many were delivered.
    pub count: usize,
}

impl Record {
    /// How many of those sent in this time were sent, and how many of them were not delivered.
    pub fn lost(&self, from: Duration, until: Duration) -> (usize, usize) {
        let during = |at: &Duration| (from..until).contains(at);
        let sent = self.sent.iter().zip(&self.delivered).filter(|((at, _), _)| during(at));
        sent.fold((0, 0), |(sent, lost), (_, at)| (sent + 1, lost + usize::from(at.is_none())))
    }

    /// When the first of those that were sent at this time or later was delivered.
    pub fn first_after(&self, from: Duration) -> Option<Duration> {
        self.sent
            .iter()
            .zip(&self.delivered)
            .filter(|((at, _), _)| *at >= from)
            .filter_map(|(_, at)| *at)
            .min()
    }
}

/// All datagrams of a run.
#[derive(Debug, Default)]
pub struct Ledger {
    records: HashMap<(App, Way), Record>,
}

impl Ledger {
    /// The record of one application and direction.
    pub fn record(&self, app: App, way: Way) -> &Record {
        static NOTHING: Record = Record { sent: Vec::new(), delivered: Vec::new(), count: 0 };
        self.records.get(&(app, way)).unwrap_or(&NOTHING)
    }

    /// Writes a new datagram.
    pub fn send(&mut self, now: Duration, app: App, way: Way, len: usize) -> Vec<u8> {
        let record = self.records.entry((app, way)).or_default();
        let number = record.sent.len();
        let len = len.max(LEAST_LEN);
        record.sent.push((now, len));
        record.delivered.push(None);
        write(app, way, number as u64, len)
    }

    /// Checks a datagram that came out at an application (`Some`) or at the target. Tells whose it is, and when it was
    /// sent.
    pub fn receive(&mut self, now: Duration, at: Option<App>, datagram: &[u8]) -> (App, Duration) {
        let len = datagram.len();
        let (app, way, number) =
            read(datagram).unwrap_or_else(|| panic!("{len} octets that nobody sent: {datagram:02x?}"));
        let what = format!("datagram {number} of {app:?}, {way:?}");
        match at {
            Some(receiver) => {
                assert_eq!((app, way), (receiver, Way::Down), "{what} was delivered to {receiver:?}")
            }
            None => assert_eq!(way, Way::Up, "{what} was delivered to the target"),
        }
        let record = self.records.get_mut(&(app, way)).unwrap_or_else(|| panic!("{what} was never sent"));
        let index = number as usize;
        let sent = *record.sent.get(index).unwrap_or_else(|| panic!("{what} was never sent"));
        assert!(datagram == write(app, way, number, sent.1), "{what} was changed");
        assert_eq!(record.delivered[index], None, "{what} was delivered a second time");
        record.delivered[index] = Some(now);
        record.count += 1;
        (app, sent.0)
    }
}

fn write(app: App, way: Way, number: u64, len: usize) -> Vec<u8> {
    let mut octets = Vec::with_capacity(len + 8);
    octets.extend([way as u8, app.client as u8]);
    octets.extend(app.number.to_be_bytes());
    octets.extend(number.to_be_bytes());
    let mut state = number ^ u64::from(app.number) << 40 ^ (way as u64) << 60;
    while octets.len() < len {
        // SplitMix64's step: neighbouring numbers give unlike octets.
        state = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(0x9e37_79b9_7f4a_7c15);
        octets.extend(state.to_be_bytes());
    }
    octets.truncate(len);
    octets
}

fn read(datagram: &[u8]) -> Option<(App, Way, u64)> {
    let (head, rest) = datagram.split_first_chunk::<4>()?;
    let way = [Way::Up, Way::Down].into_iter().find(|way| *way as u8 == head[0])?;
    let app = App { client: head[1].into(), number: u16::from_be_bytes([head[2], head[3]]) };
    Some((app, way, u64::from_be_bytes(*rest.first_chunk()?)))
}

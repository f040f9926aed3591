//! mptunnel sends every UDP datagram over several paths at once and delivers the first copy.
//!
//! Who owns what, and a datagram's way through it:
//!
//! ```text
//!  application                                                               target
//!  net: sockets ──> tunnel: flow, seal ══> … ══> net ──> tunnel: window, open ──> net: sockets
//!  '------ mpclient: one EventLoop -----'      '-------- mpserver: one EventLoop -------'
//! ```
//!
//! * [`tunnel`]: the packet switch, the same for both programs: sessions, paths, flows, and which packet goes where. No

#![warn(clippy::disallowed_methods)]

pub mod tunnel;

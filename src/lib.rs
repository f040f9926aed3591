//! mptunnel sends every UDP datagram over several paths at once and delivers the first copy.
//!
//! Who owns what, and a datagram's way through it:
//!
//! ```text
//!  application                                                               target
//!      |                                                                       |
//!   local link           [path links through bridges]                      local link
//!      |                                                                       |
//!  net: sockets ──> tunnel: flow, seal ══> … ══> net ──> tunnel: window, open ──> net: sockets
//!  '------ mpclient: one EventLoop -----'      '-------- mpserver: one EventLoop -------'
//! ```
//!
//! * [`config`]: what the user typed, checked, as the [`Config`](tunnel::role::Config) of a tunnel.
//! * [`tunnel`]: the packet switch, the same for both programs: sessions, paths, flows, and which
//!   packet goes where. No sockets, no clock, no randomness that was not passed in.
//! * [`net`]: the poll loop with descriptors and time, which knows nothing of roles, and the threads beside it.
//! * [`check`]: `mpclient check`, which tries each bridge by a tunnel of its own.
//! * [`status`]: a running program's snapshot, as `mpclient status` shows it.
//! * [`web`]: the same for Prometheus, by HTTP.
//! * [`program`]: what both `main` functions share.

#![warn(clippy::disallowed_methods)]

/// The version, with the commit and its day where the program was not made of what was released: `0.1.0 (6540b03 2026-11-25)`.
pub const VERSION: &str = env!("MPTUNNEL_VERSION");

/// That commit, if there is one. `build.rs` tells when.
pub const COMMIT: Option<&str> = {
    let id = env!("MPTUNNEL_COMMIT");
    if id.is_empty() { None } else { Some(id) }
};

pub mod check;
pub mod config;
pub mod net;
pub mod program;
pub mod status;
pub mod tunnel;
pub mod web;

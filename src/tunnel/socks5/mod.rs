//! SOCKS5 for datagrams (RFC 1928, UDP ASSOCIATE): an application names the target of each datagram
//! itself. Here is what can be said without a socket; docs/socks5.md has what is taken and what not.
//!
//! ```text
//!  application ── TCP: greeting, login, request ──> negotiation ──> an association
//!  application ── UDP: header ‖ datagram ──> association ──> a flow for each target
//! ```
//!
//! * [`wire`]: the messages' octets.
//! * [`negotiation`]: what one TCP connection has said so far, and what it is answered.
//! * [`users`]: who may log in.
//! * [`gate`]: whose datagrams an association takes.
//! * [`association`]: what a client gets, until its TCP connection ends.

pub mod association;
pub mod gate;
pub mod negotiation;
mod tunnel;
pub mod users;
pub mod wire;

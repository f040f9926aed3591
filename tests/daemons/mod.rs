//! Both programs as real processes over the loopback interface, in real time, without any rights. What needs
//! many runs is for the simulator and its virtual clock; this shows that the programs keep the promises too.
//!
//! ```text
//!                              .--- bridge ---.
//!  application --- mpclient ---+--- bridge ---+--- mpserver --- target
//!  (this process)  (a process)  '-- bridge --'   (a process)    (this process)
//! ```
//!
//! The tests run side by side and may be starved by one another: each measures and prints its figure, and
//! promises are asserted as they stand.

#![allow(clippy::disallowed_methods, reason = "these tests run in real time")]

mod alarms;
mod apart;
mod bridges;
mod check;
mod copies;
mod crash;
#[cfg(target_os = "linux")]
mod crowd;
mod dashboard;
#[cfg(target_os = "linux")]
mod faults;
#[cfg(target_os = "linux")]
mod flood;
#[cfg(target_os = "linux")]
#[path = "../support/flooder.rs"]
mod flooder;
mod forged;
mod forwards;
mod keys;
mod load;
mod logs;
mod loss;
mod metrics;
mod mismatch;
#[cfg(target_os = "linux")]
mod new_client;
mod overview;
mod page;
mod prometheus;
mod returning;
#[cfg(target_os = "linux")]
mod secrets;
#[cfg(unix)]
mod service;
pub(crate) mod setup;
mod socks5;
pub(crate) mod status;
mod successors;
mod together;
mod told;
#[cfg(target_os = "linux")]
mod usage;

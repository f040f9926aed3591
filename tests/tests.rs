//! The tests that use the tunnel and its programs from outside.

mod cli;
#[path = "support/lossy_bridge.rs"]
mod lossy_bridge;
#[path = "support/lossy_bridge_tests.rs"]
mod lossy_bridge_tests;

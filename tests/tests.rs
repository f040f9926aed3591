//! The tests that use the tunnel and its programs from outside.

#[path = "support/browser.rs"]
mod browser;
mod cli;
mod config;
mod daemons;
mod documents;
#[path = "support/http.rs"]
mod http;
#[path = "support/lossy_bridge.rs"]
mod lossy_bridge;
#[path = "support/lossy_bridge_tests.rs"]
mod lossy_bridge_tests;
#[path = "../examples/manuals"]
mod manuals {
    mod completions;
    pub(crate) mod files;
    mod pages;
}
mod packages;
#[path = "support/process.rs"]
mod process;
#[path = "support/programs.rs"]
mod programs;
mod sim;
#[path = "support/stream.rs"]
mod stream;
mod tunnel;
#[path = "support/wait.rs"]
mod wait;
mod web;

//! Programs of others that tests use where they are there.

use std::env;

/// The variable that turns a skipped test into a failure: on the machine that runs all of them, nothing
/// may be missing.
const REQUIRED: &str = "MPTUNNEL_REQUIRE_BROWSER";

/// Whether the program can be started. Where not, says aloud that the test is skipped.
pub(crate) fn is_there(program: &str) -> bool {
    let folders = env::var_os("PATH").unwrap_or_default();
    let there = env::split_paths(&folders).any(|folder| folder.join(program).is_file());
    if !there {
        assert!(env::var_os(REQUIRED).is_none(), "{program} is not installed, and {REQUIRED} is set");
        eprintln!("SKIPPED: {program} is not installed");
    }
    there
}

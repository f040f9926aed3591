//! Programs of others that tests use where they are there.
//!
//! A test whose program is missing prints `SKIPPED` and passes, unless the variable is set that makes that a
//! failure: on the machine that runs all of them, nothing may be missing.

use std::env;

/// The variable for tools.
pub(crate) const TOOLS: &str = "MPTUNNEL_REQUIRE_TOOLS";

/// The variable for a browser and what drives it, which are large.
pub(crate) const BROWSER: &str = "MPTUNNEL_REQUIRE_BROWSER";

/// Where programs of this name are.
pub(crate) fn all(name: &str) -> Vec<String> {
    let folders = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = env::split_paths(&folders).collect();
    // Daemons are where only root looks.
    folders.push("/usr/sbin".into());
    let paths = folders.iter().map(|folder| folder.join(name)).filter(|path| path.is_file());
    paths.map(|path| path.to_str().expect("a path of plain characters").to_owned()).collect()
}

/// Where a program is. `None`: it is not installed, which [`missing`] has told.
pub(crate) fn find(name: &str, required: &str) -> Option<String> {
    let found = all(name).into_iter().next();
    if found.is_none() {
        missing(&format!("{name} is not installed"), required);
    }
    found
}

/// Says aloud that the test is skipped for this reason, or fails where this variable is set.
pub(crate) fn missing(reason: &str, required: &str) {
    assert!(env::var_os(required).is_none(), "{reason}, and {required} is set");
    eprintln!("SKIPPED: {reason}");
}

//! What is installed besides the programs: manual pages and completions, as the tools see them that use them.
//!
//! A test whose tool is missing prints `SKIPPED` and passes, unless `MPTUNNEL_REQUIRE_TOOLS=1` makes that a
//! failure.

mod deb;
mod manuals;
mod shells;
mod units;

use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::manuals::files;
use crate::process::{Finished, run};

const REQUIRE: &str = "MPTUNNEL_REQUIRE_TOOLS";

/// Runs a tool to its end. `None`: it is not installed.
fn tool(name: &str, args: &[&str]) -> Option<Finished> {
    let folders = env::var_os("PATH").unwrap_or_default();
    if env::split_paths(&folders).any(|folder| folder.join(name).is_file()) {
        return Some(run(name, args));
    }
    let reason = format!("{name} is not installed");
    assert!(env::var_os(REQUIRE).is_none_or(|value| value != "1"), "{reason} ({REQUIRE}=1)");
    eprintln!("SKIPPED: {reason}");
    None
}

/// A folder with the files as they are installed below `/usr/share`.
fn share(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("share").join(test);
    let _ = fs::remove_dir_all(&folder);
    for (name, contents) in files::all() {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("files are in folders")).expect("a folder");
        fs::write(path, contents).expect("a file is written");
    }
    folder
}

//! What is installed besides the programs: manual pages and completions, as the tools see them that use them; and which
//! version of it all that is.

mod deb;
mod manuals;
mod shells;
mod units;
mod versions;

use std::fs;
use std::path::{Path, PathBuf};

use crate::manuals::files;
use crate::process::{Finished, run};
use crate::programs::{TOOLS, find};

/// Runs a tool to its end. `None`: it is not installed.
fn tool(name: &str, args: &[&str]) -> Option<Finished> {
    find(name, TOOLS).map(|path| run(&path, args))
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

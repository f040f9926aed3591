//! What `--version` says: 0.1.0, and of which commit, unless that is the one that was released as 0.1.0.
//!
//! Without git, or from an archive of the sources, there is no commit to tell, which is no failure. Nor is there one in a
//! debug build, which would have to be made anew after each commit for that alone.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let version = variable("CARGO_PKG_VERSION");
    let checkout = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let commit = match variable("PROFILE").as_str() {
        "release" => {
            watched(&checkout).iter().for_each(|path| println!("cargo::rerun-if-changed={}", path.display()));
            commit(&checkout, &version)
        }
        _ => None,
    };
    let (id, shown) = match commit {
        Some(Commit { id, date }) => (id.clone(), format!("{version} ({id} {date})")),
        None => (String::new(), version),
    };
    println!("cargo::rustc-env=MPTUNNEL_COMMIT={id}");
    println!("cargo::rustc-env=MPTUNNEL_VERSION={shown}");
}

/// A commit that is not a release.
#[derive(Debug, PartialEq)]
pub struct Commit {
    /// Its number, abbreviated.
    pub id: String,
    /// The day on which it was made, in UTC.
    pub date: String,
}

/// The commit that is checked out in this folder, if its number says more than the version does.
pub fn commit(checkout: &Path, version: &str) -> Option<Commit> {
    // A copy of the sources may lie in a checkout of something else.
    let top = git(checkout, &["rev-parse", "--show-toplevel"])?;
    if fs::canonicalize(top).ok()? != fs::canonicalize(checkout).ok()? {
        return None;
    }
    let release = format!("v{version}");
    if git(checkout, &["tag", "--points-at", "HEAD"])?.lines().any(|tag| tag == release) {
        return None;
    }
    let format = ["--abbrev=7", "--date=format-local:%Y-%m-%d", "--format=%h %cd"];
    let told = git(checkout, &[&["-c", "log.showSignature=false", "log", "-1"][..], &format].concat())?;
    let (id, date) = told.split_once(' ')?;
    Some(Commit { id: id.to_owned(), date: date.to_owned() })
}

/// The files and folders of git that another commit or tag changes.
fn watched(checkout: &Path) -> Vec<PathBuf> {
    let branch = git(checkout, &["symbolic-ref", "--quiet", "HEAD"]);
    // A branch that git has packed has no file of its own; what is checked out is always logged.
    let names =
        ["HEAD", "logs/HEAD", "packed-refs", "refs/tags"].map(str::to_owned).into_iter().chain(branch);
    let paths = names.filter_map(|name| git(checkout, &["rev-parse", "--git-path", &name]));
    // Cargo would take one that is not there for one that has changed.
    paths.map(|path| checkout.join(path)).filter(|path| path.exists()).collect()
}

/// What leads git to another repository than that of the folder where it runs: a hook of one has these.
pub const ELSEWHERE: [&str; 5] =
    ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY"];

/// What git prints, if it is there and has no complaint.
fn git(checkout: &Path, args: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    for name in ELSEWHERE {
        git.env_remove(name);
    }
    let output = git.current_dir(checkout).env("TZ", "UTC").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

//! Which version a build and a package of a checkout have, in checkouts made for that.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::tool;
use crate::documents::read;

/// What `cargo` runs before it builds.
#[allow(dead_code)]
#[path = "../../build.rs"]
mod build;

use build::{Commit, ELSEWHERE, commit};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A checkout with nothing but what says which version it is of.
struct Checkout(PathBuf);

impl Checkout {
    /// Not one yet: no commit, no git.
    fn new(test: &str) -> Self {
        // Outside of this repository, which is a checkout itself.
        let folder = std::env::temp_dir().join(format!("mptunnel-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("Cargo.toml"), read("Cargo.toml")).expect("a file is written");
        Self(folder)
    }

    /// Runs git in it, at this second of the year 2026's November 25th, 23:59 UTC, in a time zone where it is the 26th.
    fn git(&self, second: u8, args: &[&str]) -> String {
        let date = format!("2026-11-26T07:59:{second:02}+08:00");
        let mut git = Command::new("git");
        for name in ELSEWHERE {
            git.env_remove(name);
        }
        let output = git
            .current_dir(&self.0)
            .args(["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgSign=false"])
            .args([
                "-c",
                "tag.gpgSign=false",
                "-c",
                "init.defaultBranch=main",
                "-c",
                "core.hooksPath=/dev/null",
            ])
            .args(args)
            .envs([("GIT_AUTHOR_DATE", &date), ("GIT_COMMITTER_DATE", &date)])
            .output()
            .expect("git is there, where there is a checkout");
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Makes a commit; its abbreviated number.
    fn commit(&self, second: u8) -> String {
        self.git(second, &["commit", "--quiet", "--allow-empty", "--message", "a change"]);
        self.git(second, &["rev-parse", "--short=7", "HEAD"])
    }

    /// The package's version, by `packaging/deb/version`.
    fn of_package(&self) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/deb/version");
        // Where it is another hour, and from midnight on another day.
        let output = Command::new(script)
            .arg(&self.0)
            .env("TZ", "CST-8")
            // As in a hook of another repository.
            .env("GIT_DIR", "elsewhere")
            .output();
        let output = output.expect("a script that can be run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        // What is left is in the folder for what is temporary.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A checkout with one commit. `None`: there is no git.
fn checkout(test: &str) -> Option<(Checkout, String)> {
    tool("git", &["--version"])?;
    let checkout = Checkout::new(test);
    checkout.git(0, &["init", "--quiet"]);
    let id = checkout.commit(1);
    Some((checkout, id))
}

#[test]
fn a_build_between_releases_names_its_commit_and_a_release_does_not() {
    let Some((checkout, first)) = checkout("commit") else { return };
    let expected = |id: &str| Some(Commit { id: id.to_owned(), date: "2026-11-25".to_owned() });
    assert_eq!(commit(&checkout.0, VERSION), expected(&first));
    checkout.git(2, &["tag", "--annotate", "--message", "a release", &format!("v{VERSION}")]);
    assert_eq!(commit(&checkout.0, VERSION), None, "it is the release");
    assert_eq!(commit(&checkout.0, "9.9.9"), expected(&first), "it is another release");
    let next = checkout.commit(3);
    assert_eq!(commit(&checkout.0, VERSION), expected(&next), "it is beyond the release");
}

#[test]
fn a_build_of_a_work_tree_names_its_own_commit() {
    let Some((checkout, _)) = checkout("work-tree") else { return };
    let tree = Checkout(checkout.0.with_extension("tree"));
    checkout.git(2, &["worktree", "add", "--quiet", "-b", "other", tree.0.to_str().expect("a plain name")]);
    assert!(tree.0.join(".git").is_file());
    let id = tree.commit(3);
    assert_eq!(commit(&tree.0, VERSION).map(|commit| commit.id), Some(id));
}

#[test]
fn a_build_of_an_archive_names_no_commit_wherever_it_lies() {
    let archive = Checkout::new("archive");
    assert_eq!(commit(&archive.0, VERSION), None);
    assert_eq!(archive.of_package(), format!("{VERSION}-1"));
    let Some((checkout, _)) = checkout("around") else { return };
    let inside = Checkout(checkout.0.join("inside"));
    fs::create_dir(&inside.0).expect("a folder");
    fs::write(inside.0.join("Cargo.toml"), read("Cargo.toml")).expect("a file is written");
    assert_eq!(commit(&inside.0, VERSION), None, "the commit is another program's");
    assert_eq!(inside.of_package(), format!("{VERSION}-1"));
}

#[test]
fn the_packages_version_grows_with_each_commit_and_release() {
    let Some((checkout, first)) = checkout("package") else { return };
    let mut versions = vec![checkout.of_package()];
    assert_eq!(versions[0], format!("{VERSION}+git20261125235901.{first}-1"));
    checkout.git(2, &["tag", &format!("v{VERSION}")]);
    versions.insert(0, checkout.of_package());
    assert_eq!(versions[0], format!("{VERSION}-1"));
    for second in [3, 10] {
        checkout.commit(second);
        versions.push(checkout.of_package());
    }
    let text = read("Cargo.toml").replacen(&format!("\nversion = \"{VERSION}\""), "\nversion = \"9.9.9\"", 1);
    fs::write(checkout.0.join("Cargo.toml"), text).expect("a file is written");
    checkout.git(11, &["tag", "v9.9.9"]);
    versions.push(checkout.of_package());
    assert_eq!(versions[4], "9.9.9-1");
    for pair in versions.windows(2) {
        let Some(compared) = tool("dpkg", &["--compare-versions", &pair[0], "lt", &pair[1]]) else { return };
        assert_eq!(compared.code, Some(0), "dpkg takes {} for no older than {}", pair[0], pair[1]);
    }
}

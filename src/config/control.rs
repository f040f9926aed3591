//! Where a program's control socket is: where `--control` says, or at one of the usual places.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Where folders for sockets are made that root's daemons use.
const SYSTEM_FOLDER: &str = "/run";

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlPath {
    /// Where the user says.
    Given(PathBuf),
    /// The first of these that can be had. Their folders are ours.
    Usual(Vec<PathBuf>),
}

impl ControlPath {
    /// The place of this program's socket. `runtime` is `XDG_RUNTIME_DIR`, which counts only if it is
    /// absolute (XDG Base Directory Specification).
    pub(super) fn new(program: &str, argument: Option<&Path>, runtime: Option<&OsStr>) -> Self {
        if let Some(path) = argument {
            return Self::Given(path.to_owned());
        }
        let runtime = runtime.map(Path::new).filter(|folder| folder.is_absolute());
        let folders = runtime.into_iter().chain([Path::new(SYSTEM_FOLDER)]);
        let name = format!("{program}.sock");
        Self::Usual(folders.map(|folder| folder.join("mptunnel").join(&name)).collect())
    }

    /// All places, the likeliest first.
    pub fn paths(&self) -> &[PathBuf] {
        match self {
            Self::Given(path) => std::slice::from_ref(path),
            Self::Usual(paths) => paths,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_goes_before_the_users_folder_and_that_before_the_systems() {
        let paths = |argument: Option<&str>, runtime: Option<&str>| -> Vec<String> {
            let control = ControlPath::new("mpclient", argument.map(Path::new), runtime.map(OsStr::new));
            control.paths().iter().map(|path| path.display().to_string()).collect()
        };
        let system = "/run/mptunnel/mpclient.sock";
        assert_eq!(paths(Some("here"), Some("/run/user/1")), ["here"]);
        assert_eq!(paths(None, Some("/run/user/1")), ["/run/user/1/mptunnel/mpclient.sock", system]);
        for none in [None, Some(""), Some("relative")] {
            assert_eq!(paths(None, none), [system]);
        }
    }
}

//! What the repository shows its users — examples, READMEs, documents — is what the programs take and do.

mod blocks;
mod checks;
mod examples;
mod literals;
mod markdown;
mod readme;
mod shell;

use std::path::{Path, PathBuf};
use std::{fs, io};

/// The repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A text file of the repository.
pub(crate) fn read(name: &str) -> String {
    let path = root().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()))
}

/// Every file below a folder of the repository, named from there, in order.
fn files_below(folder: &str) -> Vec<String> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                walk(&path, found)?;
            } else {
                found.push(path);
            }
        }
        Ok(())
    }
    let folder = root().join(folder);
    let mut found = Vec::new();
    walk(&folder, &mut found).unwrap_or_else(|error| panic!("reading {}: {error}", folder.display()));
    let mut names: Vec<String> = found
        .iter()
        .map(|path| path.strip_prefix(&folder).expect("it was found there").to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

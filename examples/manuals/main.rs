//! Writes the manual pages and the completions for shells, made from what `--help` prints:
//!
//! ```text
//! cargo run --example manuals -- ~/.local/share
//! ```
//!
//! The folder is laid out as `/usr/share` is, where `man` and the shells look for such files.

mod completions;
mod files;
mod pages;

use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs};

fn main() -> ExitCode {
    let mut args = env::args_os().skip(1);
    let (Some(folder), None) = (args.next().map(PathBuf::from), args.next()) else {
        eprintln!("usage: manuals FOLDER, such as ~/.local/share");
        return ExitCode::from(2);
    };
    for (name, contents) in files::all() {
        let path = folder.join(name);
        let parent = path.parent().expect("files are in folders");
        if let Err(error) = fs::create_dir_all(parent).and_then(|()| fs::write(&path, contents)) {
            eprintln!("manuals: {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
        println!("{}", path.display());
    }
    ExitCode::SUCCESS
}

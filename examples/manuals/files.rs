//! All files, and where they belong below a `share` folder.

use clap::CommandFactory;
use mptunnel::config::args::{ClientCommandLine, ServerArgs};
use mptunnel::config::notes;

use super::{completions, pages};

/// The files with their names, relative to a folder such as `/usr/share`.
pub(crate) fn all() -> Vec<(String, Vec<u8>)> {
    let programs = [
        ("mpclient", ClientCommandLine::command(), notes::client()),
        ("mpserver", ServerArgs::command(), notes::server()),
    ];
    let mut files = vec![("man/man5/mpclient.conf.5".to_owned(), pages::configuration())];
    for (name, command, notes) in programs {
        files.push((format!("man/man1/{name}.1"), pages::program(&command, &notes)));
        files.extend(completions::of(name, &command));
    }
    files
}

//! `mpclient status` and `mpserver status`: asks a running program at its control socket, and shows
//! what it answers. Nothing of the tunnel is in here: all comes from the [`Snapshot`].

mod grid;
mod overview;
mod paths;
mod select;
mod summary;
mod table;
mod words;

use std::env;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use jiff::Zoned;
use select::select;
pub use summary::Summary;
pub use table::{Look, table};
pub(crate) use words::plural;

use crate::config::args::StatusArgs;
use crate::tunnel::snapshot::{Program, SCHEMA, Snapshot};

/// What fits on every terminal that people use.
pub const WIDTH: usize = 100;
/// Between two questions of `--watch`.
const INTERVAL: Duration = Duration::from_secs(1);

/// What begins a drawing in place: the cursor goes to the upper left.
const HOME: &str = "\x1b[H";
/// What ends each of its lines, and the whole: nothing is left of what was there before.
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";
/// On a narrow terminal, lines are cut off meanwhile.
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";

/// Shows the status of the program that answers at one of these paths, of all its clients or of one.
///
/// # Errors
/// What is to be told when there is nothing to show, or no such client. With `--watch` it is shown in the table's place,
/// and asked on.
pub fn run(
    program: Program,
    args: &StatusArgs,
    client: Option<&str>,
    paths: &[PathBuf],
) -> Result<(), String> {
    let terminal = io::stdout().is_terminal();
    let colour = terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let show = |json: String| {
        let json = match client {
            Some(client) => select(&json, client)?,
            None => json,
        };
        if args.json { Ok(json) } else { read(&json, colour, client.is_some()) }
    };
    let ask = || ask(program, paths).and_then(show);
    if !args.watch {
        return print(&line(&ask()?)).or_else(until_closed);
    }
    loop {
        let shown = ask();
        let printed = match shown {
            Ok(text) | Err(text) if terminal && !args.json => print(&in_place(&text, rows())),
            Ok(text) => print(&line(&text)),
            Err(text) => {
                // Whoever reads the output of a program gets nothing but objects, or tables.
                let _ = writeln!(io::stderr(), "{} status: {text}", program.name());
                Ok(())
            }
        };
        if let Err(error) = printed {
            return until_closed(error);
        }
        thread::sleep(INTERVAL);
    }
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// With one end of line behind it.
fn line(text: &str) -> String {
    format!("{}\n", text.trim_end())
}

/// Whoever closes the output has seen enough.
fn until_closed(error: io::Error) -> Result<(), String> {
    match error.kind() {
        ErrorKind::BrokenPipe => Ok(()),
        _ => Err(format!("cannot print: {error}")),
    }
}

/// How many lines the terminal has, if it tells.
#[cfg(unix)]
fn rows() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(size.ws_row.into()).filter(|rows| *rows > 1)
}

#[cfg(not(unix))]
fn rows() -> Option<usize> {
    None
}

/// The text over the one that is there. What a terminal has no room for would scroll the rest away.
fn in_place(text: &str, rows: Option<usize>) -> String {
    let lines: Vec<_> = text.trim_end().lines().collect();
    // The cursor is below the last one.
    let room = rows.map_or(usize::MAX, |rows| rows - 1);
    let shown = if lines.len() > room { room - 1 } else { lines.len() };
    let mut drawn = format!("{HOME}{NO_WRAP}");
    for line in &lines[..shown] {
        let _ = writeln!(drawn, "{line}{CLEAR_LINE}");
    }
    if shown < lines.len() {
        let _ = writeln!(drawn, "{} more lines: the terminal is too small{CLEAR_LINE}", lines.len() - shown);
    }
    drawn + WRAP + CLEAR_BELOW
}

fn read(json: &str, colour: bool, in_full: bool) -> Result<String, String> {
    match serde_json::from_str::<Snapshot>(json) {
        Ok(snapshot) if snapshot.schema == SCHEMA => {
            let look = Look { colour, now: Zoned::now(), peers: usize::MAX, in_full };
            Ok(table(&snapshot, &look))
        }
        Ok(Snapshot { version, schema, .. }) => Err(format!(
            "the program that answers is of version {version}, with schema {schema}, not {SCHEMA}: ask \
             with its own, or with --json"
        )),
        Err(error) => Err(format!("what answers is not understood ({error}): is it of another version?")),
    }
}

/// Asks at each path until one answers.
fn ask(program: Program, paths: &[PathBuf]) -> Result<String, String> {
    let mut failures = Vec::new();
    for path in paths {
        match ask_at(path) {
            Ok(json) => return Ok(json),
            // Another place would not help.
            Err(error) if error.kind() == ErrorKind::Unsupported => return Err(error.to_string()),
            Err(error) => failures.push(format!("at {}: {error}", path.display())),
        }
    }
    Err(format!(
        "no {} answers {}. Does it run? One of another user answers to him and to root; for one with --control PATH \
         (a unit of systemd has /run/{0}-NAME/control), give the same here",
        program.name(),
        failures.join("; nor ")
    ))
}

#[cfg(unix)]
fn ask_at(path: &Path) -> io::Result<String> {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    /// A program that has not answered by then is stuck.
    const PATIENCE: Duration = Duration::from_secs(2);

    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut json = String::new();
    match stream.read_to_string(&mut json) {
        Ok(0) => Err(io::Error::new(ErrorKind::UnexpectedEof, "it says nothing")),
        Ok(_) => Ok(json),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            let seconds = PATIENCE.as_secs();
            Err(io::Error::new(ErrorKind::TimedOut, format!("it says nothing for {seconds} s")))
        }
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
fn ask_at(_: &Path) -> io::Result<String> {
    Err(io::Error::new(ErrorKind::Unsupported, crate::net::NO_CONTROL))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::tunnel::Tunnel;

    #[test]
    fn what_is_drawn_in_place_leaves_nothing_of_what_was_there() {
        for rows in [None, Some(3)] {
            let drawn = "\x1b[H\x1b[?7lone\x1b[K\ntwo\x1b[K\n\x1b[?7h\x1b[J";
            assert_eq!(in_place("one\ntwo\n", rows), drawn);
        }
        let cut = in_place("one\ntwo\nthree\nfour", Some(4));
        assert_eq!(cut.matches('\n').count(), 3);
        assert!(cut.contains("two\x1b[K\n2 more lines: the terminal is too small\x1b[K\n"), "{cut:?}");
    }

    #[test]
    fn another_version_is_told_from_rubbish() {
        let error = read("{}", false, false).expect_err("nothing is in it");
        assert!(error.starts_with("what answers is not understood"), "{error}");
    }

    #[test]
    fn a_snapshot_of_another_schema_is_not_shown_as_if_it_were_of_this_one() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        let now = Instant::now();
        let mut snapshot = Tunnel::quiet_server(now).snapshot(now);
        let json = |snapshot: &Snapshot| serde_json::to_string(snapshot).expect("a snapshot is JSON");
        assert!(read(&json(&snapshot), false, false).is_ok());
        (snapshot.schema, snapshot.version) = (SCHEMA + 1, "9.9.9".to_owned());
        let error = read(&json(&snapshot), false, false).expect_err("it means something else");
        assert!(error.contains("of version 9.9.9, with schema"), "{error}");
    }
}

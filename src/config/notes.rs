//! What there is to say of the programs besides their arguments. `--help` prints it below the options, and
//! the manual pages have a section for each part.

use super::DEFAULT_LISTEN;

/// A part of the notes.
#[derive(Clone, Debug)]
pub struct Note {
    /// Its title, as `--help` writes it.
    pub title: &'static str,
    /// What it says.
    pub body: Body,
}

/// How a part is laid out.
#[derive(Clone, Debug)]
pub enum Body {
    /// Words and what they mean.
    List(Vec<(&'static str, &'static str)>),
    /// Sentences, broken as they fit a terminal.
    Text(String),
    /// Lines that stay as they are.
    Verbatim(String),
}

/// What both programs do at this signal.
const USR1: (&str, &str) = ("SIGUSR1", "Writes the table that \"status\" shows to the log");

fn environment() -> Note {
    let variables = vec![
        (
            "MPTUNNEL_ENCRYPT",
            "0, false, no, off: no encryption; 1, true, yes, on, or not set: encryption.\nBoth ends must agree",
        ),
        ("MPTUNNEL_KEY", "The pre-shared key itself, as \"mpserver genkey\" prints it"),
        ("RUST_LOG", "What to log: error, warn, info (the default), debug, trace or off"),
    ];
    Note { title: "Environment", body: Body::List(variables) }
}

fn exit_status(good: (&'static str, &'static str), bad: (&'static str, &'static str)) -> Note {
    let statuses = vec![good, bad, ("2", "Wrong use: arguments, variables, configuration or key")];
    Note { title: "Exit status", body: Body::List(statuses) }
}

/// What there is to say of mpclient.
pub fn client() -> Vec<Note> {
    let key = "\
The key is that of --key-file, or else of MPTUNNEL_KEY, or else of the file's \"key-file\".
Without any, traffic is encrypted, but nothing proves that the other end is your mpserver.";
    let example = format!(
        "\
mpclient mpclient.conf, where mpclient.conf holds
    1.2.3.4 4000
    bridge.example.org 4000
    key-file = key
takes datagrams at {DEFAULT_LISTEN} and sends each through both."
    );
    let signals = vec![
        ("SIGHUP", "Reads the file again; one with mistakes changes nothing"),
        USR1,
        ("SIGINT, SIGTERM", "End it"),
    ];
    vec![
        environment(),
        Note { title: "Key", body: Body::Text(key.into()) },
        Note { title: "Example", body: Body::Verbatim(example) },
        Note { title: "Signals", body: Body::List(signals) },
        exit_status(
            ("0", "Stopped by SIGINT or SIGTERM; check: all bridges work"),
            ("1", "Something keeps it from starting, such as a port in use; check: a bridge does not work"),
        ),
    ]
}

/// What there is to say of mpserver.
pub fn server() -> Vec<Note> {
    let key = "\
The key is that of --key-file, or else of MPTUNNEL_KEY. Without any, traffic is encrypted, but
anybody may connect. With --keys, each client has a key of its own, and is known by its name.";
    let examples = "\
(umask 077; mpserver genkey > key)
    makes a key that only you can read
mpserver --key-file key 2000 127.0.0.1 1194
    listens on port 2000; the target is OpenVPN on this machine
(umask 077; echo \"alice $(mpserver genkey)\" >> keys)
    adds a client to a file in which each has a line
mpserver --keys keys 2000 127.0.0.1 1194
    serves them all";
    let signals = vec![
        (
            "SIGHUP",
            "Reads the file of --keys again: who is not in it any more is out at once;\none with mistakes changes nothing",
        ),
        USR1,
        ("SIGINT, SIGTERM", "End it"),
    ];
    vec![
        environment(),
        Note { title: "Key", body: Body::Text(key.into()) },
        Note { title: "Examples", body: Body::Verbatim(examples.into()) },
        Note { title: "Signals", body: Body::List(signals) },
        exit_status(
            ("0", "Stopped by SIGINT or SIGTERM"),
            ("1", "Something keeps it from starting, such as a port in use"),
        ),
    ]
}

/// The notes as `--help` prints them.
pub(super) fn help(notes: &[Note]) -> String {
    notes.iter().map(Note::for_help).collect::<Vec<_>>().join("\n\n")
}

impl Note {
    fn for_help(&self) -> String {
        let lines = match &self.body {
            Body::List(items) => list(items),
            Body::Text(text) | Body::Verbatim(text) => text.clone(),
        };
        let lines: Vec<String> = lines.lines().map(|line| format!("  {line}")).collect();
        format!("{}:\n{}", self.title, lines.join("\n"))
    }
}

/// Two columns, the first as wide as its widest word.
fn list(items: &[(&str, &str)]) -> String {
    let width = items.iter().map(|(word, _)| word.len()).max().unwrap_or_default();
    let mut lines = Vec::new();
    for (word, text) in items {
        for (index, line) in text.lines().enumerate() {
            let word = if index == 0 { *word } else { "" };
            lines.push(format!("{word:width$}  {line}"));
        }
    }
    lines.join("\n")
}

//! `mpclient.conf`: the bridges and settings of an mpclient.
//!
//! ```text
//! # a remark, here or behind a line
//! 1.2.3.4 4000                    a bridge: HOST PORT [OPTION ...]
//! listen = 127.0.0.1:3000         a setting: NAME = VALUE
//! forward = 127.0.0.1:53 dns:53   the one setting that may come more than once
//! ```
//!
//! A line is a setting if nothing but its name stands before the first `=`, otherwise a bridge; so
//! the lists of bridges that the program of 2014 read (`HOST PORT`, remarks, empty lines) are files
//! of this kind. Remarks in an old file may be in any encoding: what is no UTF-8 is a mistake elsewhere only.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::steering::{self, Options};
use super::values::{self, Quoted};
use super::words::{self, SETTINGS};
use super::{Every, Mistake, Mistakes, Place, file, slips, summary, targets};
use crate::tunnel::link::{Endpoint, Host, Uplink};
use crate::tunnel::path::MAX_PATHS;
use crate::tunnel::role::{Bridge, Copies, Forward, MAX_FORWARDS};

/// What a file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ClientFile {
    pub(super) bridges: Vec<Bridge>,
    /// Where each bridge is written.
    pub(super) places: Vec<Place>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) metrics: Option<SocketAddr>,
    /// The key's file, and the line that names it.
    pub(super) key_file: Option<(Place, PathBuf)>,
    pub(super) copies: Copies,
    pub(super) max_flows: Option<usize>,
    /// Where SOCKS5 clients connect to.
    pub(super) socks5: Option<SocketAddr>,
    /// The file of those who may, and the line that names it.
    pub(super) socks5_users: Option<(Place, PathBuf)>,
    pub(super) forwards: Vec<Forward>,
    /// Where each forward is written.
    pub(super) forward_places: Vec<Place>,
    pub(super) summary: Option<Every>,
    /// What is taken, as the program of 2014 took it, but hardly meant.
    pub(super) warnings: Vec<Mistake>,
}

/// What is said of a configuration file that cannot be read.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> Mistake {
    let text = format!(
        "cannot read the configuration file {}: {error}; name a file that has a line \"HOST PORT\" for each bridge",
        path.display()
    );
    Mistake { place: None, text }
}

/// Reads the contents of the configuration file of this name.
pub(super) fn parse(path: &Path, octets: &[u8]) -> Result<ClientFile, Mistakes> {
    let text = String::from_utf8_lossy(file::without_byte_order_mark(octets));
    let mut parser = Parser {
        path,
        line: 0,
        may_be_of_2014: !text
            .lines()
            .filter_map(setting)
            .any(|(name, _)| setting_names().any(|known| known == name)),
        file: ClientFile::default(),
        seen: Seen::default(),
        mistakes: Mistakes::default(),
    };
    for line in text.split('\n') {
        parser.line += 1;
        let line = without_remark(line);
        if !line.is_empty() {
            parser.line(line);
        }
    }
    if parser.seen.bridge_lines == 0 {
        parser.mistake("no bridge: add a line \"HOST PORT\" for each, such as \"1.2.3.4 4000\"");
    }
    if parser.mistakes.is_empty() { Ok(parser.file) } else { Err(parser.mistakes) }
}

/// The line without its remark and the white space round it. Within a word, `#` begins no remark:
/// file names may hold one.
fn without_remark(line: &str) -> &str {
    let mut before = ' ';
    let begins_remark = |(at, c): (usize, char)| {
        let begins = c == '#' && before.is_whitespace();
        before = c;
        begins.then_some(at)
    };
    let end = line.char_indices().find_map(begins_remark).unwrap_or(line.len());
    line[..end].trim()
}

/// The name and the value of a line that is a setting, known or not.
fn setting(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    (!name.contains(char::is_whitespace)).then_some((name, value.trim_start()))
}

struct Parser<'a> {
    path: &'a Path,
    /// The number of the line being read.
    line: usize,
    /// Whether the file has no setting, as one for the program of 2014 had none.
    may_be_of_2014: bool,
    file: ClientFile,
    seen: Seen,
    mistakes: Mistakes,
}

/// What came in which line, to find what comes twice.
#[derive(Default)]
struct Seen {
    /// Lines that are bridges or were meant to be.
    bridge_lines: usize,
    good_bridges: usize,
    bridges: HashMap<(Endpoint, Option<Uplink>), usize>,
    settings: Vec<(&'static str, usize)>,
}

impl Parser<'_> {
    fn place(&self) -> Place {
        Place { file: self.path.display().to_string(), line: self.line }
    }

    fn mistake(&mut self, text: impl Into<String>) {
        self.mistakes.add(Some(self.place()), text);
    }

    fn warn(&mut self, text: String) {
        let place = Some(self.place());
        self.file.warnings.push(Mistake { place, text });
    }

    /// The value if it is one, and otherwise a mistake about what the name names.
    fn keep<T>(&mut self, name: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|error| self.mistake(format!("{name} {error}"))).ok()
    }

    fn line(&mut self, line: &str) {
        if line.starts_with(';') || line.starts_with("//") {
            self.mistake("remarks begin with \"#\"");
            return;
        }
        match setting(line) {
            Some((name, value)) => self.setting(name, value),
            None => self.bridge(line),
        }
    }

    fn setting(&mut self, name: &str, value: &str) {
        if name == "bind" {
            self.mistake("bind belongs to a bridge: write \"HOST PORT bind=...\"");
            return;
        }
        let Some(name) = setting_names().find(|known| *known == name) else {
            let remedy = match slips::nearest(name, setting_names()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("there are {}", setting_names().collect::<Vec<_>>().join(", ")),
            };
            self.mistake(format!("unknown setting {}: {remedy}", Quoted(name)));
            return;
        };
        let once = |line: &&(&str, usize)| line.0 == name && name != "forward";
        if let Some((_, line)) = self.seen.settings.iter().find(once) {
            self.mistake(format!("{name} is set in line {line} already: take one of the two out"));
            return;
        }
        let rival = match name {
            "copies" => "target-loss",
            "target-loss" => "copies",
            _ => "",
        };
        if let Some((_, line)) = self.seen.settings.iter().find(|(seen, _)| *seen == rival) {
            self.mistake(format!(
                "{name} and {rival} (line {line}) each say how many copies leave: take one of the two out"
            ));
        }
        self.seen.settings.push((name, self.line));
        if value.is_empty() {
            self.mistake(format!("{name} has no value: write \"{name} = VALUE\", or take the line out"));
            return;
        }
        if value.len() > 1 && value.starts_with('"') && value.ends_with('"') {
            self.mistake(format!("{name} has its value in quotes: write it without"));
            return;
        }
        match name {
            "listen" => self.file.listen = self.keep(name, values::listen(value)),
            "metrics" => self.file.metrics = self.keep(name, values::listen(value)),
            "key-file" if values::is_key(value) && !self.beside(value).1.exists() => {
                self.mistake(
                    "key-file has the key itself: write it to a file of its own, and name that here",
                );
            }
            "key-file" => self.file.key_file = Some(self.beside(value)),
            "socks5" => self.file.socks5 = self.keep(name, values::listen(value)),
            "socks5-users" => self.file.socks5_users = Some(self.beside(value)),
            "copies" => {
                self.file.copies = self.keep(name, steering::copies(value)).unwrap_or_default();
            }
            "target-loss" => {
                let target = self.keep(name, steering::target_loss(value));
                self.file.copies = target.map_or_else(Copies::default, Copies::Target);
            }
            "max-flows" => self.file.max_flows = self.keep(name, values::max_flows(value)),
            "forward" => {
                if let Some(forward) = self.keep(name, targets::forward(value)) {
                    self.add_forward(forward);
                }
            }
            "summary" => self.file.summary = self.keep(name, summary::every(value)),
            _ => unreachable!("SETTINGS lists the names above"),
        }
    }

    /// The file that this line names, looked up beside this one: so both can be moved together.
    fn beside(&self, name: &str) -> (Place, PathBuf) {
        (self.place(), self.path.parent().unwrap_or(Path::new("")).join(name))
    }

    fn add_forward(&mut self, forward: Forward) {
        let listen = forward.listen;
        let mut both = self.file.forwards.iter().zip(&self.file.forward_places);
        if let Some((_, place)) = both.find(|(other, _)| other.listen == listen) {
            let line = place.line;
            self.mistake(format!("forward from {listen} is in line {line} already: take one of the two out"));
        } else if self.file.forwards.len() == MAX_FORWARDS {
            self.mistake(format!("forward from {listen} is one too many: at most {MAX_FORWARDS} are taken"));
        } else {
            self.file.forwards.push(forward);
            self.file.forward_places.push(self.place());
        }
    }

    fn bridge(&mut self, line: &str) {
        self.seen.bridge_lines += 1;
        // No host, port or option holds a "#"; the program of 2014 took "4000#remark".
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let (Some(host), port) = (words.next(), words.next()) else {
            self.mistake("no host before the \"#\": write \"HOST PORT\"");
            return;
        };
        if setting_names().any(|name| name == host) {
            self.mistake(format!("{host} is a setting: write \"{host} = VALUE\""));
            return;
        }
        let host = match (values::host(host), port) {
            (Ok(_), None) => {
                self.mistake(format!("bridge {} has no port: write \"HOST PORT\"", Quoted(host)));
                return;
            }
            (host, _) => self.keep("host", host),
        };
        let port = port.and_then(|port| self.keep("port", values::port(port)));
        let options = self.options(host.as_ref(), words);
        if let (Some(host), Some(port), Some(Options { bind, backup })) = (host, port, options) {
            self.add_bridge(Bridge { endpoint: Endpoint { host, port }, bind, backup });
        }
    }

    /// Reads the options of a bridge. `None` if there is a mistake among them.
    fn options<'a>(
        &mut self,
        host: Option<&Host>,
        words: impl Iterator<Item = &'a str> + Clone,
    ) -> Option<Options> {
        let read = Options::read(host, words);
        if let Some(word) = read.ignored {
            let options = words::bridge_options();
            self.warn(format!(
                "{} and what follows is ignored: remarks go after \"#\", and options ({options}) before them",
                Quoted(word)
            ));
        }
        let mut mistakes = read.mistakes;
        match read.slip {
            // A copy too many is better than no tunnel at all where a file has served for years.
            Some(slip) if self.may_be_of_2014 => self.warn(slip),
            slip => mistakes.extend(slip),
        }
        let right = mistakes.is_empty();
        mistakes.into_iter().for_each(|mistake| self.mistake(mistake));
        right.then_some(read.options)
    }

    fn add_bridge(&mut self, bridge: Bridge) {
        let same = (bridge.endpoint.canonical(), bridge.bind.clone());
        if let Some(line) = self.seen.bridges.insert(same, self.line) {
            self.warn(format!("bridge {bridge} is in line {line} too: it carries every datagram twice"));
        }
        self.seen.good_bridges += 1;
        // The first bridge too many is told, those behind it are not.
        match self.seen.good_bridges {
            ..=MAX_PATHS => {
                self.file.bridges.push(bridge);
                self.file.places.push(self.place());
            }
            count if count == MAX_PATHS + 1 => {
                self.mistake(format!("bridge {bridge} is one too many: at most {MAX_PATHS} are taken"));
            }
            _ => {}
        }
    }
}

fn setting_names() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|word| word.name)
}

#[cfg(test)]
mod tests;

//! Files with keys: that of `--key-file`, which holds one, and that of `--keys`, which holds one for each
//! client.
//!
//! ```text
//! # the keys of our clients           a remark, here or behind a line
//! alice AAECAwQFBgcICQoLDA0ODx...     NAME KEY
//! ```
//! No message shows a key, nor a word that stands where one belongs.

use std::collections::HashMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use super::values;
use super::{Mistake, Mistakes, Place, file};
use crate::tunnel::key::Key;
use crate::tunnel::keyring::Keyring;

/// The longest name of a client: it stands in log lines and tables.
const NAME_LEN_MAX: usize = 32;

/// Which end needs a key: mpserver's user makes a new one, mpclient's needs that of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Client,
    Server,
}

impl End {
    /// How to come by a file with the key.
    fn remedy(self) -> &'static str {
        match self {
            Self::Client => "copy mpserver's key file here",
            Self::Server => "make one with \"(umask 077; mpserver genkey > FILE)\"",
        }
    }
}

/// Reads a key file: one key, and remarks in lines that begin with `#`.
pub(super) fn read_key(path: &Path, end: End) -> Result<Key, String> {
    refuse_key(path)?;
    let name = path.display();
    let (file, octets) =
        file::read(path).map_err(|error| cannot_read("key file", path, &error, end.remedy()))?;
    let key = parse_key(&octets, end).map_err(|error| format!("key file {name}: {error}"))?;
    warn_of_readers("key file", path, &file);
    Ok(key)
}

/// Refuses a file's name that is a key. That of a file that there is may look like one: `/` is a digit of keys.
fn refuse_key(path: &Path) -> Result<(), String> {
    match path.to_str().is_some_and(values::is_key) && !path.exists() {
        true => {
            Err("the key itself stands where the name of its file belongs (and is no secret any more if \
                     others saw it there)"
                .into())
        }
        false => Ok(()),
    }
}

fn cannot_read(what: &str, path: &Path, error: &std::io::Error, remedy: &str) -> String {
    let remedy = match error.kind() {
        ErrorKind::NotFound => format!(": {remedy}"),
        ErrorKind::PermissionDenied => {
            ": it must belong to the user that runs this program (chown)".to_owned()
        }
        _ => String::new(),
    };
    format!("cannot read the {what} {}: {error}{remedy}", path.display())
}

fn parse_key(octets: &[u8], end: End) -> Result<Key, String> {
    let Ok(text) = str::from_utf8(file::without_byte_order_mark(octets)) else {
        return Err("it is no text, so it holds no key as \"mpserver genkey\" prints them".into());
    };
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    match (lines.next(), lines.count()) {
        (None, _) => Err(format!("it holds no key: {}", end.remedy())),
        (Some(line), 0) => Key::from_base64(line).map_err(|error| error.to_string()),
        (Some(_), more) => Err(format!("it holds {} lines besides remarks; a key is one", more + 1)),
    }
}

#[cfg(unix)]
pub(super) fn warn_of_readers(what: &str, path: &Path, file: &File) {
    use std::os::unix::fs::PermissionsExt;

    // What is no plain file, such as a pipe from a password store, has no lasting mode.
    let Ok(metadata) = file.metadata() else { return };
    let mode = metadata.permissions().mode() & 0o7777;
    if metadata.is_file() && mode & 0o066 != 0 {
        let name = path.display();
        log::warn!(
            "others than its owner can read or change the {what} {name} (mode {mode:04o}): run chmod 600 {name}"
        );
    }
}

#[cfg(not(unix))]
pub(super) fn warn_of_readers(_: &str, _: &Path, _: &File) {}

/// Reads a file with a line `NAME KEY` for each client, for the first time or again.
pub(super) fn read_keyring(path: &Path, again: bool) -> Result<Keyring, Mistakes> {
    let remedy = "write a line \"NAME KEY\" for each client, with a key of \"mpserver genkey\"";
    let at_start = |text| Mistake { place: None, text };
    refuse_key(path).map_err(at_start)?;
    let (file, octets) = file::read(path).map_err(|error| match again {
        true => file::unreadable_again("keys file", path, &error),
        false => at_start(cannot_read("keys file", path, &error, remedy)),
    })?;
    let keyring = parse_keyring(path, &octets)?;
    warn_of_readers("keys file", path, &file);
    if !octets.ends_with(b"\n") {
        log::warn!(
            "the last line of the keys file {} has no end: what is added with \">>\" would become part of it",
            path.display()
        );
    }
    Ok(keyring)
}

fn parse_keyring(path: &Path, octets: &[u8]) -> Result<Keyring, Mistakes> {
    let mut keyring = Keyring::default();
    let mut mistakes = Mistakes::default();
    // The names that were seen, and the lines that they are in.
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut empty = true;
    for (line, octets) in file::lines(octets) {
        empty = false;
        let text = str::from_utf8(octets).map_err(|_| "the line is no text".to_owned());
        let added = text.and_then(client).and_then(|(name, key)| {
            if let Some(first) = seen.get(name) {
                return Err(format!(
                    "the name {name} is in line {first} already: each client has a name of its own"
                ));
            }
            seen.insert(name, line);
            keyring.add(name, key).map_err(|other| {
                let line = seen[&*other];
                format!(
                    "{name} has the key of {other} (line {line}): each client has a key of its own, of \
                     \"mpserver genkey\""
                )
            })
        });
        if let Err(text) = added {
            mistakes.add(Some(Place { file: path.display().to_string(), line }), text);
        }
    }
    if empty {
        let text = format!(
            "the keys file {} holds no key, so nobody could connect: write a line \"NAME KEY\" for each client",
            path.display()
        );
        mistakes.add(None, text);
    }
    if mistakes.is_empty() { Ok(keyring) } else { Err(mistakes) }
}

/// Reads a line with a client's name and key.
fn client(line: &str) -> Result<(&str, Key), String> {
    let words: Vec<_> = line.split_whitespace().take_while(|word| !word.starts_with('#')).collect();
    match words[..] {
        [word] if values::is_key(word) => Err("no name before the key: write \"NAME KEY\"".into()),
        [_] => Err("no key behind the name: write \"NAME KEY\", with a key of \"mpserver genkey\"".into()),
        [key, name] if values::is_key(key) && !values::is_key(name) => {
            Err("the key stands before the name: write \"NAME KEY\"".into())
        }
        [name, key] => {
            check_name(name)?;
            Ok((name, Key::from_base64(key).map_err(|error| format!("the key of {name} is {error}"))?))
        }
        _ => Err(format!(
            "{} words: a line is \"NAME KEY\", and a remark behind it begins with \"#\"",
            words.len()
        )),
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let characters = name.chars().count();
    if characters > NAME_LEN_MAX {
        return Err(format!("the name has {characters} characters, {NAME_LEN_MAX} is the most"));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
    match name.chars().find(|c| !allowed(*c)) {
        Some(c) => Err(format!(
            "the name has {c:?} in it: it takes letters a to z, digits, \".\", \"_\", \"-\" and \"@\""
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::keyring::{KeyId, Keys};
    use rand::{SeedableRng, rngs::StdRng};

    fn key(seed: u64) -> Key {
        Key::generate(&mut StdRng::seed_from_u64(seed))
    }

    fn keyring(text: &str) -> Result<Keyring, Vec<String>> {
        parse_keyring(Path::new("keys"), text.as_bytes())
            .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
    }

    /// An absolute path of letters and `/` may have the length of a key.
    #[test]
    #[cfg(unix)]
    fn a_file_that_there_is_is_one_though_its_path_looks_like_a_key() {
        let path = format!("/tmp/{:0>37}A", std::process::id());
        assert!(values::is_key(&path) && refuse_key(Path::new(&path)).is_err(), "{path}");
        std::fs::write(&path, "").expect("a file is written");
        let taken = refuse_key(Path::new(&path));
        std::fs::remove_file(&path).expect("the file is removed");
        assert_eq!(taken, Ok(()));
    }

    #[test]
    fn a_key_file_holds_one_key_and_remarks() {
        let key = key(1);
        let text = key.to_base64();
        for contents in
            [text.clone(), format!("{text}\n"), format!("\u{feff}# ours\r\n\r\n  # of 2026\r\n\t{text} \r\n")]
        {
            assert_eq!(parse_key(contents.as_bytes(), End::Client), Ok(key.clone()), "{contents:?}");
        }
    }

    #[test]
    fn a_key_file_that_holds_something_else_is_refused_without_being_shown() {
        let text = key(1).to_base64();
        let two = format!("{text}\n{text}\n");
        let cut = &text.as_bytes()[..43];
        for (contents, reason) in [
            (&b""[..], "holds no key"),
            (b"# nothing\n", "holds no key"),
            (b"\xff\xfe", "no text"),
            (two.as_bytes(), "holds 2 lines"),
            (cut, "not a key"),
        ] {
            let error = parse_key(contents, End::Server).expect_err(reason);
            assert!(error.contains(reason), "{error}");
            assert!(!error.contains(&text[..8]), "{error}");
        }
    }

    #[test]
    fn a_keys_file_holds_a_name_and_a_key_in_each_line_and_remarks() {
        let [alice, bob] = [1, 2].map(|seed| key(seed).to_base64());
        let text = format!(
            "\u{feff}# our clients\r\n\r\nalice\t{alice}\r\n  bob@home-2.example_org   {bob}  # since May\n#"
        );
        let keys = Keys::Each(keyring(&text).expect("a good file"));
        assert_eq!(keys.name(KeyId::of(&key(1))), Some("alice"));
        assert_eq!(keys.name(KeyId::of(&key(2))), Some("bob@home-2.example_org"));
    }

    #[test]
    fn every_mistake_in_a_keys_file_is_told_with_its_line_and_without_any_key() {
        let [alice, bob] = [1, 2].map(|seed| key(seed).to_base64());
        let cut = &alice[..43];
        let long = "a".repeat(33);
        let text = [
            format!("alice {alice}"),
            format!("alice {bob}"),
            format!("bob {alice}"),
            alice.clone(),
            "bob".to_owned(),
            format!("{bob} bob"),
            format!("bob {bob} and more"),
            format!("bob = {bob}"),
            format!("b,ob {bob}"),
            format!("bob {cut}"),
            format!("{cut} {bob}"),
            format!("{long} {bob}"),
            cut.to_owned(),
        ];
        let mistakes = keyring(&text.join("\n")).expect_err("a mistake in each line but one");
        let expected = [
            "keys:2: the name alice is in line 1 already",
            "keys:3: bob has the key of alice (line 1)",
            "keys:4: no name before the key",
            "keys:5: no key behind the name",
            "keys:6: the key stands before the name",
            "keys:7: 4 words",
            "keys:8: 3 words",
            "keys:9: the name has ',' in it",
            "keys:10: the key of bob is not a key: it has 43 characters",
            "keys:11: the name has 43 characters, 32 is the most",
            "keys:12: the name has 33 characters, 32 is the most",
            "keys:13: no name before the key",
        ];
        for (mistake, expected) in mistakes.iter().zip(expected) {
            assert!(mistake.starts_with(expected), "{mistake}");
            assert!(![&alice, &bob].iter().any(|key| mistake.contains(&key[..8])), "{mistake}");
        }
        assert_eq!(mistakes.len(), expected.len(), "{mistakes:?}");
        for text in ["", "# none\n", "\n\n"] {
            assert!(keyring(text).expect_err("no key")[0].contains("keys file keys holds no key"));
        }
    }
}

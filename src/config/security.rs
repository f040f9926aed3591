//! Whether to encrypt, and with which key.
//!
//! Of several keys the one named nearest to the start counts, as with other options: that of
//! `--key-file` goes before `MPTUNNEL_KEY`, which goes before the configuration file's `key-file`.
//! A source that does not count is not even read. What is set but empty is an error and not "no
//! key": a script whose secret has not arrived must not open the tunnel to anybody.
//!
//! `--keys` is another matter: with a key for each client there is none for all, so it stands alone.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use super::key_files::{self, End};
use super::values::Quoted;
use super::{Mistake, Mistakes, Place, file};
use crate::tunnel::key::Key;
use crate::tunnel::keyring::Keys;
use crate::tunnel::role::{ClientRole, Config, Role, Security, Socks5};

const ENCRYPT: &str = "MPTUNNEL_ENCRYPT";
const KEY: &str = "MPTUNNEL_KEY";
const LOG: &str = "RUST_LOG";
const RUNTIME_FOLDER: &str = "XDG_RUNTIME_DIR";

/// The environment variables that count.
#[derive(Clone, Default)]
pub struct Variables {
    /// `MPTUNNEL_ENCRYPT`
    pub encrypt: Option<OsString>,
    /// `MPTUNNEL_KEY`
    pub key: Option<OsString>,
    /// `RUST_LOG`
    pub log: Option<OsString>,
    /// `XDG_RUNTIME_DIR`
    pub runtime_folder: Option<OsString>,
}

impl Variables {
    /// The variables of this process.
    pub fn from_env() -> Self {
        Self {
            encrypt: env::var_os(ENCRYPT),
            key: env::var_os(KEY),
            log: env::var_os(LOG),
            runtime_folder: env::var_os(RUNTIME_FOLDER),
        }
    }
}

/// Where a key may come from.
pub(super) struct KeySources<'a> {
    /// Which end looks for it.
    pub(super) end: End,
    /// `--keys`, and whether its file is read again.
    pub(super) keyring: Option<(&'a Path, bool)>,
    /// `--key-file`
    pub(super) argument: Option<&'a Path>,
    /// `MPTUNNEL_KEY`
    pub(super) variable: Option<&'a OsStr>,
    /// `key-file` in a configuration file, and where it is written.
    pub(super) setting: Option<&'a (Place, PathBuf)>,
    /// What is in use, where mpclient reads all this again.
    pub(super) running: Option<&'a Security>,
}

impl fmt::Display for KeySources<'_> {
    /// The source that counts, for the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((path, _)) = self.keyring {
            return write!(f, "a key for each client from --keys {}", path.display());
        }
        match (self.argument, self.variable, self.setting) {
            (Some(path), ..) => write!(f, "key from --key-file {}", path.display()),
            (None, Some(_), _) => write!(f, "key from {KEY}"),
            (None, None, Some((place, path))) => write!(f, "key from the file {} ({place})", path.display()),
            (None, None, None) => f.write_str("no key"),
        }
    }
}

/// Reads the variables and the keys that count.
pub(super) fn resolve(encrypt: &Option<OsString>, sources: &KeySources<'_>) -> Result<Security, Mistakes> {
    let mut mistakes = Mistakes::default();
    let encrypt =
        mistakes.keep(parse_encrypt(encrypt.as_deref()).map_err(|text| Mistake { place: None, text }.into()));
    let keys = mistakes.keep(find_keys(sources));
    match (encrypt, keys) {
        (Some(encrypt), Some(keys)) => Ok(Security { encrypt, keys }),
        _ => Err(mistakes),
    }
}

fn parse_encrypt(value: Option<&OsStr>) -> Result<bool, String> {
    let Some(value) = value else { return Ok(true) };
    let value = value.to_string_lossy();
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(format!(
            "{ENCRYPT} is {}: set it to 0, false, no or off for no encryption, to 1, true, yes or on for \
             encryption, or unset it for encryption",
            Quoted(&value)
        )),
    }
}

fn find_keys(sources: &KeySources<'_>) -> Result<Keys, Mistakes> {
    let Some((path, again)) = sources.keyring else { return Ok(find_key(sources)?) };
    let rival = match (sources.argument, sources.variable) {
        (Some(_), _) => "--key-file",
        (None, Some(_)) => KEY,
        (None, None) => return key_files::read_keyring(path, again).map(Keys::Each),
    };
    let text = format!("--keys has a key for each client, {rival} one for all: take one of the two away");
    Err(Mistake { place: None, text }.into())
}

/// The key that all share, if there is one.
fn find_key(sources: &KeySources<'_>) -> Result<Keys, Mistake> {
    let at = |place: Option<&Place>| {
        let place = place.cloned();
        move |text| Mistake { place, text }
    };
    let read_key = |path: &Path| match sources.running {
        Some(running) if file::is_pipe(path) => Ok(running.keys.clone()),
        _ => key_files::read_key(path, sources.end).map(Keys::Shared),
    };
    if let Some(path) = sources.argument {
        return read_key(path).map_err(at(None));
    }
    if let Some(value) = sources.variable {
        return parse_variable(value, sources.end).map(Keys::Shared).map_err(at(None));
    }
    if let Some((place, path)) = sources.setting {
        return read_key(path).map_err(at(Some(place)));
    }
    Ok(Keys::None)
}

fn parse_variable(value: &OsStr, end: End) -> Result<Key, String> {
    if value.is_empty() {
        let key = match end {
            End::Client => "mpserver's key",
            End::Server => "a key (\"mpserver genkey\" prints one)",
        };
        return Err(format!("{KEY} is set but empty: give it {key}, or unset it"));
    }
    Key::from_base64(&value.to_string_lossy()).map_err(|error| format!("{KEY} is {error}"))
}

/// Says in the log what this configuration does not protect from: in one line for the packets on the way,
/// in another for mpclient's own listener.
pub(super) fn warn(config: &Config) {
    for warning in [warning(config), listener_warning(config), socks5_warning(config)].into_iter().flatten() {
        log::warn!("{warning}");
    }
}

fn listener_warning(config: &Config) -> Option<String> {
    let Role::Client(role) = &config.role else { return None };
    let listeners = std::iter::once(role.listen).chain(role.forwards.iter().map(|forward| forward.listen));
    let open: Vec<_> = listeners
        .filter(|listen| !listen.ip().to_canonical().is_loopback())
        .map(|listen| listen.to_string())
        .collect();
    let reaches = if open.len() == 1 { "this address" } else { "these addresses" };
    (!open.is_empty())
        .then(|| format!("listening on {}: whoever reaches {reaches} can use the tunnel", open.join(", ")))
}

/// Whoever reaches it can send wherever mpserver allows, so a login is asked for more than at the other
/// listener.
fn socks5_warning(config: &Config) -> Option<String> {
    let Role::Client(ClientRole { socks5: Some(Socks5 { listen, users }), .. }) = &config.role else {
        return None;
    };
    (users.is_none() && !listen.ip().to_canonical().is_loopback()).then(|| {
        format!(
            "socks5 is on {listen} without socks5-users: whoever reaches this address can send to all that \
             mpserver allows"
        )
    })
}

fn warning(config: &Config) -> Option<String> {
    let (stranger, remedy) = match config.role {
        Role::Client(_) => (
            "the server is not authenticated: anybody on the way may pose as it",
            "copy mpserver's key file here and name it with --key-file FILE",
        ),
        Role::Server(_) => (
            "anybody may connect",
            "make a key with \"(umask 077; mpserver genkey > FILE)\" and give it to both ends with \
             --key-file FILE",
        ),
    };
    match (config.security.encrypt, config.security.keys.is_none()) {
        (true, false) => None,
        (true, true) => Some(format!("no key, so {stranger}; {remedy}")),
        (false, false) => Some(format!(
            "{ENCRYPT} turns encryption off: the key proves who connects and over which paths, but anybody \
             on the way can read, change and forge datagrams"
        )),
        (false, true) => Some(format!(
            "{ENCRYPT} turns encryption off: anybody on the way can read, change and forge datagrams; and no \
             key, so {stranger}; {remedy}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::link::{Endpoint, Host};
    use crate::tunnel::role::ServerRole;
    use rand::{SeedableRng, rngs::StdRng};

    fn key(seed: u64) -> Key {
        Key::generate(&mut StdRng::seed_from_u64(seed))
    }

    #[test]
    fn encryption_is_off_only_when_the_variable_says_so() {
        assert_eq!(parse_encrypt(None), Ok(true));
        for (words, expected) in [(["1", "true", "Yes", "ON"], true), (["0", "False", "NO", "off"], false)] {
            for word in words {
                assert_eq!(parse_encrypt(Some(OsStr::new(word))), Ok(expected), "{word}");
            }
        }
        for word in ["", " 0", "00", "2", "-1", "n", "disabled", "null"] {
            let error = parse_encrypt(Some(OsStr::new(word))).expect_err(word);
            assert!(error.starts_with(&format!("MPTUNNEL_ENCRYPT is {word:?}: set it to 0,")), "{error}");
        }
    }

    #[test]
    fn a_variable_that_is_no_key_is_refused_without_being_shown() {
        assert_eq!(parse_variable(key(1).to_base64().as_ref(), End::Client), Ok(key(1)));
        for (value, reason) in
            [("", "MPTUNNEL_KEY is set but empty"), ("hunter2", "MPTUNNEL_KEY is not a key")]
        {
            let error = parse_variable(value.as_ref(), End::Client).expect_err(value);
            assert!(error.contains(reason) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_key_that_came_through_a_pipe_is_not_asked_for_again() {
        // A device is no file either, and gives nothing.
        let null = Path::new("/dev/null");
        let running = Security { encrypt: true, keys: Keys::Shared(key(1)) };
        let sources = |running| KeySources {
            end: End::Client,
            keyring: None,
            argument: Some(null),
            variable: None,
            setting: None,
            running,
        };
        assert!(resolve(&None, &sources(None)).is_err());
        let again = resolve(&None, &sources(Some(&running))).expect("the key that is in use");
        assert_eq!(again.keys.shared(), running.keys.shared());
    }

    #[test]
    fn the_source_that_counts_is_named_and_its_key_is_not() {
        let text = key(1).to_base64();
        let place = Place { file: "mpclient.conf".into(), line: 4 };
        let setting = (place, PathBuf::from("dir/key"));
        let (argument, variable) = (Some(Path::new("other")), Some(OsStr::new(&text)));
        for (argument, variable, setting, expected) in [
            (argument, variable, Some(&setting), "key from --key-file other"),
            (None, variable, Some(&setting), "key from MPTUNNEL_KEY"),
            (None, None, Some(&setting), "key from the file dir/key (mpclient.conf:4)"),
            (None, None, None, "no key"),
        ] {
            let sources =
                KeySources { end: End::Client, keyring: None, argument, variable, setting, running: None };
            assert_eq!(sources.to_string(), expected);
        }
    }

    #[test]
    fn a_configuration_is_warned_of_for_what_it_leaves_open_and_only_for_that() {
        let target = Endpoint { host: Host::Name("target".into()), port: 1 };
        let server = Role::from(ServerRole::new(super::super::DEFAULT_LISTEN, target));
        let client = Role::from(ClientRole::new(super::super::DEFAULT_LISTEN, Vec::new()));
        let warning_of = |role: &Role, encrypt, key: Option<Key>| {
            warning(&Config { role: role.clone(), security: Security { encrypt, keys: key.into() } })
        };
        assert_eq!(warning_of(&server, true, Some(key(1))), None);
        for (role, encrypt, with_key, said, unsaid) in [
            (&server, true, false, "anybody may connect", "MPTUNNEL_ENCRYPT"),
            (&client, true, false, "the server is not authenticated", "anybody may connect"),
            (&server, false, true, "MPTUNNEL_ENCRYPT turns encryption off", "genkey"),
            (&client, false, true, "can read, change and forge datagrams", "not authenticated"),
            (&server, false, false, "anybody may connect", "not authenticated"),
        ] {
            let text = warning_of(role, encrypt, with_key.then(|| key(1))).expect(said);
            assert!(text.contains(said) && !text.contains(unsaid), "{text}");
        }
    }
}

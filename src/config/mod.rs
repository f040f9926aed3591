//! From the command line, the environment and files to the tunnel's [`Config`].
//!
//! [`args`] holds the arguments as typed, `values` reads the words that they share with
//! `mpclient.conf`, `client_file` reads that file, `steering` what it says of paths, `security` finds the key and what
//! `MPTUNNEL_ENCRYPT` says. Here they meet: arguments as typed become a `Config` as meant.
//!
//! What is wrong is collected instead of ending the search, so that a user who corrects everything
//! that one start complains of gets it running with the next.

pub mod args;
mod client_file;
mod file;
mod security;
mod steering;
mod values;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use log::warn;
pub use security::Variables;
pub(crate) use values::without_keys;

use crate::tunnel::link::Endpoint;
use crate::tunnel::role::{Config, Role, Security};
use args::{ClientArgs, ServeArgs};
use security::KeySources;

/// Where mpclient listens unless told otherwise: for this machine's applications alone, at the port
/// that the program of 2014 used.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 3000);

/// Where mpserver listens unless told otherwise: all addresses of both IP versions. The event loop
/// takes `0.0.0.0` for it where a machine has no IPv6.
pub const DEFAULT_BIND: &str = "[::]";

/// The configuration of an mpclient. Warnings about it go to the log.
///
/// # Errors
/// All that is wrong with the configuration file, the variables and the key.
pub fn client(args: &ClientArgs, variables: &Variables) -> Result<Config, Mistakes> {
    let config = read_client(args, variables, None)?;
    security::warn(&config);
    Ok(config)
}

/// The configuration of an mpclient, read again while it runs with this key. What it leaves open was said
/// at the start.
///
/// # Errors
/// As with [`client`].
pub fn client_again(
    args: &ClientArgs,
    variables: &Variables,
    running: &Security,
) -> Result<Config, Mistakes> {
    if file::is_pipe(&args.config) {
        let text = format!("{} is no file that could be read again: restart instead", args.config.display());
        return Err(Mistake { place: None, text }.into());
    }
    read_client(args, variables, Some(running))
}

fn read_client(
    args: &ClientArgs,
    variables: &Variables,
    running: Option<&Security>,
) -> Result<Config, Mistakes> {
    let mut mistakes = Mistakes::default();
    let file = mistakes.keep(client_file::read(&args.config));
    let sources = KeySources {
        argument: args.shared.key_file.as_deref(),
        variable: variables.key.as_deref(),
        setting: file.as_ref().and_then(|file| file.key_file.as_ref()),
        running,
    };
    let security = mistakes.keep(security::resolve(&variables.encrypt, &sources));
    if let (Some(file), Some(security)) = (file, security)
        && mistakes.is_empty()
    {
        let listen = args.listen.or(file.listen).unwrap_or(DEFAULT_LISTEN);
        let role = Role::Client { listen, bridges: file.bridges, copies: file.copies };
        let config = Config { role, security };
        file.warnings.iter().for_each(|warning| warn!("{warning}"));
        return Ok(config);
    }
    Err(mistakes)
}

/// The configuration of an mpserver. Warnings about it go to the log.
///
/// # Errors
/// All that is wrong with the variables and the key.
pub fn server(args: &ServeArgs, variables: &Variables) -> Result<Config, Mistakes> {
    let sources = KeySources {
        argument: args.shared.key_file.as_deref(),
        variable: variables.key.as_deref(),
        setting: None,
        running: None,
    };
    let security = security::resolve(&variables.encrypt, &sources)?;
    let listen = SocketAddr::new(args.bind, args.listen_port);
    let target = Endpoint { host: args.target_host.clone(), port: args.target_port };
    let config = Config { role: Role::Server { listen, target }, security };
    security::warn(&config);
    Ok(config)
}

/// One thing that a user has to correct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it is, if it is in a configuration file.
    pub place: Option<Place>,
    /// What is wrong, and what would be right.
    pub text: String,
}

/// A line of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's name, as the user gave it.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.text)
    }
}

/// All that a user has to correct, in the order in which it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    fn add(&mut self, place: Option<Place>, text: impl Into<String>) {
        self.0.push(Mistake { place, text: text.into() });
    }

    /// The value if it is one, and otherwise its mistakes are added to these.
    fn keep<T>(&mut self, result: Result<T, Mistakes>) -> Option<T> {
        result.map_err(|more| self.0.extend(more.0)).ok()
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The mistakes, one by one.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }
}

impl From<Mistake> for Mistakes {
    fn from(mistake: Mistake) -> Self {
        Self(vec![mistake])
    }
}

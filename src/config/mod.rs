//! From the command line, the environment and files to the tunnel's [`Config`].
//!
//! [`args`] holds the arguments as typed, `values` reads the words that they share with
//! `mpclient.conf`, `client_file` reads that file, whose words are in [`words`], `steering` what it says of
//! paths, `targets` where flows may lead, `security` finds the keys (`key_files` reads their files) and what
//! `MPTUNNEL_ENCRYPT` says, `logging` what `RUST_LOG` does, `summary` how often the log sums up; `slips` knows misspelt words, `wishes`
//! those that belong elsewhere. [`notes`] has
//! what `--help` says besides. Here they meet: arguments as typed become a
//! `Config` as meant.
//!
//! What is wrong is collected instead of ending the search, so that a user who corrects everything
//! that one start complains of gets it running with the next.

pub mod args;
mod client_file;
mod control;
mod file;
mod key_files;
mod logging;
pub mod notes;
mod security;
mod slips;
mod socks5;
mod steering;
mod summary;
mod targets;
mod values;
mod wishes;
pub mod words;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

pub use control::ControlPath;
use log::warn;
pub use security::Variables;
pub use summary::Every;
pub(crate) use values::without_keys;
pub(crate) use wishes::answer_to;

use crate::tunnel::flow::MAX_FLOWS;
use crate::tunnel::link::{Endpoint, Host};
use crate::tunnel::role::{Allowed, ClientRole, Config, Role, Security, ServerRole, Socks5};
use crate::tunnel::snapshot::Program;
use args::{ClientArgs, ServeArgs};
use key_files::End;
use security::KeySources;

/// Where mpclient listens unless told otherwise: for this machine's applications alone, at the port
/// that the program of 2014 used.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 3000);

/// Where mpserver listens unless told otherwise: all addresses of both IP versions. The event loop
/// takes `0.0.0.0` for it where a machine has no IPv6.
pub const DEFAULT_BIND: &str = "[::]";

/// What a program starts with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The tunnel's part.
    pub config: Config,
    /// What the tunnel leads to and how it is protected, for the log; never a key.
    pub summary: String,
    /// Where it answers questions.
    pub control: ControlPath,
    /// Where it serves metrics, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// How often its log sums up what it carried.
    pub report_every: Every,
}

impl Settings {
    fn new(
        config: Config,
        key_source: &str,
        control: ControlPath,
        metrics: Option<SocketAddr>,
        report_every: Option<Every>,
    ) -> Self {
        let leads_to = match &config.role {
            Role::Client(ClientRole { bridges, .. }) if bridges.len() == 1 => "1 bridge".to_owned(),
            Role::Client(ClientRole { bridges, .. }) => format!("{} bridges", bridges.len()),
            Role::Server(ServerRole { target, .. }) => format!("target {target}"),
        };
        let socks5 = match &config.role {
            Role::Client(ClientRole { socks5: Some(Socks5 { listen, .. }), .. }) => {
                format!(", SOCKS5 on {listen}")
            }
            _ => String::new(),
        };
        let encryption = if config.security.encrypt { "on" } else { "off" };
        let summary = format!("{leads_to}{socks5}, {key_source}, encryption {encryption}");
        Self { config, summary, control, metrics, report_every: report_every.unwrap_or_default() }
    }
}

/// What the logger is to read as its directives: what `RUST_LOG` says, or else the default. A mistake in it
/// is told by [`client`] and [`server`].
pub fn log_directives(variables: &Variables) -> String {
    logging::directives(variables.log.as_deref()).unwrap_or_else(|_| logging::DEFAULT.to_owned())
}

/// The configuration of an mpclient. Warnings about it go to the log.
///
/// # Errors
/// All that is wrong with the configuration file, the variables and the key.
pub fn client(args: &ClientArgs, variables: &Variables) -> Result<Settings, Mistakes> {
    let settings = read_client(args, variables, None)?;
    security::warn(&settings.config);
    Ok(settings)
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
) -> Result<Settings, Mistakes> {
    if file::is_pipe(&args.config) {
        return Err(file::not_read_again(&args.config).into());
    }
    read_client(args, variables, Some(running))
}

fn read_client(
    args: &ClientArgs,
    variables: &Variables,
    running: Option<&Security>,
) -> Result<Settings, Mistakes> {
    let mut mistakes = Mistakes::default();
    let file = match file::read(&args.config) {
        Ok((_, octets)) => client_file::parse(&args.config, &octets),
        Err(error) if running.is_some() => {
            Err(file::unreadable_again("configuration file", &args.config, &error).into())
        }
        Err(error) => {
            Err(meant(&args.config).unwrap_or_else(|| client_file::unreadable(&args.config, &error)).into())
        }
    };
    let file = mistakes.keep(file);
    mistakes.keep(logging::directives(variables.log.as_deref()).map_err(Mistakes::from));
    let sources = KeySources {
        end: End::Client,
        keyring: None,
        argument: args.shared.key_file.as_deref(),
        variable: variables.key.as_deref(),
        setting: file.as_ref().and_then(|file| file.key_file.as_ref()),
        running,
    };
    let security = mistakes.keep(security::resolve(&variables.encrypt, &sources));
    let key_source = sources.to_string();
    let listen = args.listen.or(file.as_ref().and_then(|file| file.listen)).unwrap_or(DEFAULT_LISTEN);
    let bridges = file.iter().flat_map(|file| file.bridges.iter().zip(&file.places));
    for (bridge, place) in bridges.filter(|(bridge, _)| is_itself(listen, &bridge.endpoint)) {
        let itself = &bridge.endpoint;
        let text = format!("bridge {itself} is mpclient itself, which listens there: name another address");
        mistakes.add(Some(place.clone()), text);
    }
    for (forward, place) in file.iter().flat_map(|file| file.forwards.iter().zip(&file.forward_places)) {
        if forward.listen == listen {
            let text =
                format!("{listen} is where mpclient listens anyway: name another address or port to forward");
            mistakes.add(Some(place.clone()), text);
        }
    }
    let socks5 = file.as_ref().and_then(|file| mistakes.keep(socks5::resolve(file))).flatten();
    if let (Some(file), Some(security)) = (file, security)
        && mistakes.is_empty()
    {
        let role = ClientRole {
            copies: file.copies,
            forwards: file.forwards,
            max_flows: file.max_flows.unwrap_or(MAX_FLOWS),
            socks5,
            machine: machine(),
            ..ClientRole::new(listen, file.bridges)
        };
        let config = Config { role: role.into(), security };
        file.warnings.iter().for_each(|warning| warn!("{warning}"));
        let control = control_path(Program::Mpclient, args.shared.control.as_deref(), variables);
        let (metrics, report_every) =
            (args.shared.metrics.or(file.metrics), args.shared.summary.or(file.summary));
        return Ok(Settings::new(config, &key_source, control, metrics, report_every));
    }
    Err(mistakes)
}

/// The configuration of an mpserver. Warnings about it go to the log.
///
/// # Errors
/// All that is wrong with the variables and the keys.
pub fn server(args: &ServeArgs, variables: &Variables) -> Result<Settings, Mistakes> {
    let settings = read_server(args, variables, false)?;
    security::warn(&settings.config);
    Ok(settings)
}

/// The configuration of an mpserver with `--keys`, read again while it runs: the file is all that can
/// have changed.
///
/// # Errors
/// As with [`server`].
pub fn server_again(args: &ServeArgs, variables: &Variables) -> Result<Settings, Mistakes> {
    if let Some(keys) = args.keys.as_deref().filter(|keys| file::is_pipe(keys)) {
        return Err(file::not_read_again(keys).into());
    }
    read_server(args, variables, true)
}

fn read_server(args: &ServeArgs, variables: &Variables, again: bool) -> Result<Settings, Mistakes> {
    let mut mistakes = Mistakes::default();
    let listen = SocketAddr::new(args.bind, args.listen_port);
    let target = Endpoint { host: args.target_host.clone(), port: args.target_port };
    if is_itself(listen, &target) {
        let text = format!(
            "target {target} is mpserver itself, which listens there: the order is LISTEN_PORT TARGET_HOST \
             TARGET_PORT"
        );
        mistakes.add(None, text);
    }
    mistakes.keep(logging::directives(variables.log.as_deref()).map_err(Mistakes::from));
    let sources = KeySources {
        end: End::Server,
        keyring: args.keys.as_deref().map(|path| (path, again)),
        argument: args.shared.key_file.as_deref(),
        variable: variables.key.as_deref(),
        setting: None,
        running: None,
    };
    let security = mistakes.keep(security::resolve(&variables.encrypt, &sources));
    let Some(security) = security.filter(|_| mistakes.is_empty()) else { return Err(mistakes) };
    let role = ServerRole {
        allowed: Allowed(args.allow_target.clone()),
        max_flows: args.max_flows,
        ..ServerRole::new(listen, target)
    };
    let config = Config { role: role.into(), security };
    let control = control_path(Program::Mpserver, args.shared.control.as_deref(), variables);
    let (metrics, report_every) = (args.shared.metrics, args.shared.summary);
    Ok(Settings::new(config, &sources.to_string(), control, metrics, report_every))
}

/// What this machine calls itself.
fn machine() -> String {
    #[cfg(unix)]
    return rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

/// Where a program answers questions, if `--control` says this.
pub fn control_path(program: Program, argument: Option<&Path>, variables: &Variables) -> ControlPath {
    ControlPath::new(program.name(), argument, variables.runtime_folder.as_deref())
}

/// Whether what is sent to this endpoint comes to this listener. A name that needs looking up is taken for
/// another machine's.
fn is_itself(listen: SocketAddr, endpoint: &Endpoint) -> bool {
    let ip = match &endpoint.host {
        Host::Ip(ip) => ip.to_canonical(),
        Host::Name(name) if name == "localhost" => Ipv4Addr::LOCALHOST.into(),
        Host::Name(_) => return false,
    };
    // Linux takes what is sent to no address in particular for its own.
    let ours = ip.is_loopback() || ip.is_unspecified();
    let any = listen.ip().is_unspecified() && (listen.is_ipv6() || ip.is_ipv4());
    endpoint.port == listen.port() && (ip == listen.ip().to_canonical() || any && ours)
}

/// What a user meant whose configuration file is none.
fn meant(config: &Path) -> Option<Mistake> {
    let word = config.to_str()?;
    let text = wishes::answer(Program::Mpclient, word)?;
    // As the first argument, these are commands even where there is a file of the name.
    let file = if matches!(word, "check" | "status") {
        format!("; a file of this name is ./{word}")
    } else {
        String::new()
    };
    Some(Mistake { place: None, text: text + &file })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_the_listener_itself_if_what_is_sent_there_comes_back() {
        for (listen, host, itself) in [
            ("[::]:1", "127.0.0.1", true),
            ("[::]:1", "::1", true),
            ("[::]:1", "localhost", true),
            ("[::]:1", "0.0.0.0", true),
            ("[::]:2", "127.0.0.1", false),
            ("[::]:1", "192.0.2.1", false),
            ("[::]:1", "target", false),
            ("0.0.0.0:1", "127.0.0.1", true),
            ("0.0.0.0:1", "::1", false),
            ("127.0.0.1:1", "127.0.0.1", true),
            ("127.0.0.1:1", "127.0.0.2", false),
            ("192.0.2.1:1", "192.0.2.1", true),
            ("192.0.2.1:1", "::ffff:192.0.2.1", true),
            ("192.0.2.1:1", "127.0.0.1", false),
        ] {
            let endpoint = Endpoint { host: values::host(host).expect(host), port: 1 };
            let listen = listen.parse().expect(listen);
            assert_eq!(is_itself(listen, &endpoint), itself, "{listen} {host}");
        }
    }
}

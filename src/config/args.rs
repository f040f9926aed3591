//! The arguments of both programs, as typed. The texts here are what `--help` prints.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::{DEFAULT_BIND, Every, notes, summary, targets, values};
use crate::tunnel::allow::Rule;
use crate::tunnel::flow::MAX_FLOWS;
use crate::tunnel::link::Host;

/// What both programs take.
#[derive(Args, Debug, Default)]
pub struct SharedArgs {
    /// File with the pre-shared key
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,

    /// Socket at which "status" asks [default: below $XDG_RUNTIME_DIR or /run]
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,

    /// Where to show a status page and metrics for Prometheus [default: nowhere]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = values::listen)]
    pub metrics: Option<SocketAddr>,

    /// How often the log sums up what was carried, or "off" [default: 10min]
    #[arg(long, value_name = "DURATION", value_parser = summary::every)]
    pub summary: Option<Every>,
}

/// How a program's status is shown.
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Print one JSON object instead of a table (docs/status.md describes it)
    #[arg(long)]
    pub json: bool,

    /// Ask and print anew each second, until interrupted
    #[arg(long)]
    pub watch: bool,

    /// The socket that the program was given, where that is not the default
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,
}

/// How an mpserver's status is shown.
#[derive(Args, Debug)]
pub struct ServerStatusArgs {
    /// Show only this client, and in full: its name or its number; of the events, none of other clients
    #[arg(long, value_name = "NAME|NUMBER")]
    pub client: Option<String>,

    /// What is the same at both programs.
    #[command(flatten)]
    pub shared: StatusArgs,
}

/// Takes applications' datagrams and sends each through all bridges
#[derive(Parser, Debug)]
#[command(
    name = "mpclient",
    version = crate::VERSION,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = notes::help(&notes::client())
)]
pub struct ClientCommandLine {
    /// What to do instead of carrying datagrams.
    #[command(subcommand)]
    pub command: Option<ClientCommand>,

    /// How to carry them; there unless there is a command.
    #[command(flatten)]
    pub carry: Option<ClientArgs>,
}

/// What mpclient does besides carrying datagrams.
#[derive(Subcommand, Debug)]
pub enum ClientCommand {
    /// Show what a running mpclient does: its paths, their losses and delays
    Status(StatusArgs),
    /// Try each bridge of a configuration, and say what to do about those that do not work
    Check(CheckArgs),
}

/// Which bridges are tried, and with which key.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// The file that mpclient is given, with a line "HOST PORT" for each bridge
    pub config: PathBuf,

    /// File with the pre-shared key
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,

    /// Print one JSON object for each bridge instead of sentences (docs/status.md describes it)
    #[arg(long)]
    pub json: bool,
}

impl From<CheckArgs> for ClientArgs {
    fn from(CheckArgs { config, key_file, json: _ }: CheckArgs) -> Self {
        let shared = SharedArgs { key_file, ..SharedArgs::default() };
        Self { config, excess: None, listen: None, shared }
    }
}

/// How an mpclient carries datagrams.
// The group as with [`ServeArgs`].
#[derive(Args, Debug)]
#[group(args = ["config"])]
pub struct ClientArgs {
    /// File with a line "HOST PORT" for each bridge, and settings "NAME = VALUE"
    pub config: PathBuf,

    /// Nothing: what comes second is refused here, because clap would call it a wrong subcommand.
    #[arg(hide = true, value_parser = values::excess)]
    pub excess: Option<Infallible>,

    /// Where applications send their datagrams [default: 127.0.0.1:3000]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = values::listen)]
    pub listen: Option<SocketAddr>,

    /// The options of both programs.
    #[command(flatten)]
    pub shared: SharedArgs,
}

/// Takes datagrams from the bridges and hands the first copy of each to the target
#[derive(Parser, Debug)]
#[command(
    name = "mpserver",
    version = crate::VERSION,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = notes::help(&notes::server())
)]
pub struct ServerArgs {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<ServerCommand>,

    /// How to serve; there unless there is a command.
    #[command(flatten)]
    pub serve: Option<ServeArgs>,
}

/// What mpserver does besides serving.
#[derive(Subcommand, Debug)]
pub enum ServerCommand {
    /// Print a new pre-shared key, to be kept secret and given to both ends
    Genkey,
    /// Show what a running mpserver does: its clients, their paths, losses and delays
    Status(ServerStatusArgs),
}

/// How an mpserver serves.
// The group decides whether there is anything to serve. clap leaves it empty where arguments are flattened.
#[derive(Args, Debug)]
#[group(args = ["listen_port", "target_host", "target_port"])]
pub struct ServeArgs {
    /// Where the bridges send to
    #[arg(value_parser = values::listen_port)]
    pub listen_port: u16,

    /// Where datagrams go: a name or an address
    #[arg(value_parser = values::host)]
    pub target_host: Host,

    /// The port there
    #[arg(value_parser = values::port_argument)]
    pub target_port: u16,

    /// Nothing: what comes fourth is refused here, because clap would call it a wrong subcommand.
    #[arg(hide = true, value_parser = values::excess)]
    pub excess: Option<Infallible>,

    /// File with a line "NAME KEY" for each client
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,

    /// Address to listen on; the default takes both IP versions
    #[arg(long, value_name = "ADDRESS", value_parser = values::bind, default_value = DEFAULT_BIND)]
    pub bind: IpAddr,

    /// Let clients forward here too: HOST|CIDR[:PORT[-PORT]]; may be repeated
    #[arg(long, value_name = "TARGET", value_parser = targets::rule)]
    pub allow_target: Vec<Rule>,

    /// Applications of each client at a time
    #[arg(long, value_name = "N", value_parser = values::max_flows, default_value_t = MAX_FLOWS)]
    pub max_flows: usize,

    /// The options of both programs.
    #[command(flatten)]
    pub shared: SharedArgs,
}

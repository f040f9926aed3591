//! The end of the tunnel that stands before the target.

use std::io::{self, Write};
use std::process::ExitCode;

use mptunnel::config::args::{ServerArgs, ServerCommand};
use mptunnel::config::{self, Variables};
use mptunnel::program::{self, Failure};
use mptunnel::tunnel::key::Key;
use mptunnel::tunnel::snapshot::Program;

fn main() -> ExitCode {
    program::main(Program::Mpserver, |args: ServerArgs| match (args.command, args.serve) {
        (Some(ServerCommand::Genkey), _) => print_new_key(),
        (Some(ServerCommand::Status(args)), _) => {
            program::show_status(Program::Mpserver, &args.shared, args.client.as_deref())
        }
        (None, Some(serve)) => {
            let settings = config::server(&serve, &Variables::from_env())?;
            program::serve(settings, move || program::reload_keys(&serve))
        }
        (None, None) => unreachable!("clap asks for the port and the target where there is no command"),
    })
}

fn print_new_key() -> Result<(), Failure> {
    let key = Key::generate(&mut rand::rng());
    writeln!(io::stdout(), "{}", key.to_base64())
        .map_err(|error| Failure::Failed(format!("cannot print the key: {error}")))
}

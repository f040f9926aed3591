//! The end of the tunnel that stands before the applications.

use std::process::ExitCode;

use mptunnel::config::args::{ClientCommand, ClientCommandLine};
use mptunnel::config::{self, Variables};
use mptunnel::program::{self, Running};
use mptunnel::tunnel::snapshot::Program;

fn main() -> ExitCode {
    program::main(Program::Mpclient, |line: ClientCommandLine| match (line.command, line.carry) {
        (Some(ClientCommand::Status(args)), _) => program::show_status(Program::Mpclient, &args, None),
        (Some(ClientCommand::Check(args)), _) => program::check(args),
        (None, Some(args)) => {
            let settings = config::client(&args, &Variables::from_env())?;
            let mut running = Running::with(&settings);
            program::serve(settings, move || running.reload(&args))
        }
        (None, None) => unreachable!("clap asks for the file where there is no command"),
    })
}

//! The end of the tunnel that stands before the applications.

use std::process::ExitCode;

use mptunnel::config::args::ClientArgs;
use mptunnel::config::{self, Variables};
use mptunnel::program;

fn main() -> ExitCode {
    program::main(|args: ClientArgs| program::serve(config::client(&args, &Variables::from_env())?))
}

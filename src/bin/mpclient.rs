//! The end of the tunnel that stands before the applications.

use std::process::ExitCode;

use mptunnel::config::args::ClientArgs;
use mptunnel::config::{self, Variables};
use mptunnel::program;

fn main() -> ExitCode {
    program::main(|args: ClientArgs| {
        let config = config::client(&args, &Variables::from_env())?;
        let security = config.security.clone();
        program::serve(config, move || program::reload(&args, &security))
    })
}

//! The end of the tunnel that stands before the applications.

use std::process::ExitCode;

use mptunnel::config::args::ClientArgs;
use mptunnel::config::{self, Variables};
use mptunnel::program;

fn main() -> ExitCode {
    program::main(|args: ClientArgs| {
        let settings = config::client(&args, &Variables::from_env())?;
        let security = settings.config.security.clone();
        program::serve(settings, move || program::reload(&args, &security))
    })
}

//! What both programs share round their work: reading arguments, logging, telling what went wrong,
//! and the exit status by which a service manager tells wrong use (2) from a passing trouble (1).

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use env_logger::Env;
use log::{error, info, warn};

use crate::config::args::ClientArgs;
use crate::config::{self, Mistakes, Variables};
use crate::net::{self, EventLoop, StartError};
use crate::tunnel::role::{Config, Security};

/// Wrong use: another start will fail in the same way until the user changes something.
const WRONG_USE: u8 = 2;

/// Anything else that keeps a program from its work.
const FAILED: u8 = 1;

/// Why a program ends, other than because it was told to.
pub enum Failure {
    /// The user has something to correct.
    Misuse(Mistakes),
    /// Something else, told in a sentence.
    Failed(String),
}

impl From<Mistakes> for Failure {
    fn from(mistakes: Mistakes) -> Self {
        Self::Misuse(mistakes)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// A program from its arguments to its exit status.
pub fn main<Args: Parser>(run: impl FnOnce(Args) -> Result<(), Failure>) -> ExitCode {
    let name = Args::command().get_name().to_owned();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) => {
            let text = error.render().to_string();
            tell(&format!("{name}: {}", text.strip_prefix("error: ").unwrap_or(&text).trim_end()));
            return WRONG_USE.into();
        }
    };
    // quinn-udp tells of each packet that could not be sent, which our own lines do more seldom.
    env_logger::init_from_env(Env::default().default_filter_or("info,quinn_udp=warn"));
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Misuse(mistakes)) => {
            for mistake in mistakes.iter() {
                // A mistake in a file begins with the file's name and line, as editors look for them.
                let prefix = if mistake.place.is_none() { format!("{name}: ") } else { String::new() };
                tell(&format!("{prefix}{mistake}"));
            }
            WRONG_USE.into()
        }
        Err(Failure::Failed(text)) => {
            tell(&format!("{name}: {text}"));
            FAILED.into()
        }
    }
}

/// Carries datagrams until SIGINT or SIGTERM. At SIGHUP it takes what `reload` returns.
///
/// # Errors
/// What keeps the tunnel from starting or from going on.
pub fn serve(config: Config, reload: impl FnMut() -> Option<Config> + Send + 'static) -> Result<(), Failure> {
    if let Err(error) = net::raise_open_files_limit() {
        warn!("cannot raise the limit of open files: {error}; the number of applications is limited by it");
    }
    keep_memory_private();
    let mut event_loop = EventLoop::new(config)?;
    event_loop
        .obey_signals(reload)
        .map_err(|error| Failure::Failed(format!("cannot wait for signals: {error}")))?;
    event_loop.run().map_err(|error| Failure::Failed(format!("cannot wait for packets: {error}")))
}

/// Reads an mpclient's configuration again, while it runs with this key. `None`: there are mistakes, which
/// are in the log.
pub fn reload(args: &ClientArgs, running: &Security) -> Option<Config> {
    let file = args.config.display();
    match config::client_again(args, &Variables::from_env(), running) {
        Ok(config) => {
            info!("{file} was read again");
            Some(config)
        }
        Err(mistakes) => {
            mistakes.iter().for_each(|mistake| error!("{mistake}"));
            error!("{file} was read again, and has mistakes: nothing is changed");
            None
        }
    }
}

/// Keeps keys out of core dumps, and out of reach of other processes of the same user (ptrace).
fn keep_memory_private() {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            warn!("cannot keep this process out of core dumps: {error}; they would hold its keys");
        }
    }
}

/// Prints a line, where there is somebody to read it: `eprintln!` panics where standard error is
/// closed. A key that was put in the wrong place is not repeated.
fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{}", config::without_keys(line));
}

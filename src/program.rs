//! What both programs share round their work: reading arguments, logging, telling what went wrong,
//! and the exit status by which a service manager tells wrong use (2) from a passing trouble (1).

use std::env;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ContextKind;
use jiff::Zoned;
use log::{Level, LevelFilter, info, warn};

use crate::check::{self, Form};
use crate::config::args::{CheckArgs, ClientArgs, ServeArgs, StatusArgs};
use crate::config::{self, ControlPath, Every, Mistakes, Settings, Variables};
use crate::net::{self, Control, ControlError, EventLoop, HttpDoor, Occasion, Reread, StartError};
use crate::status::{self, Look, Summary, plural};
use crate::tunnel::change::Change;
use crate::tunnel::chronicle::Kind;
use crate::tunnel::role::{Role, Security};
use crate::tunnel::snapshot::{Program, Snapshot};
use crate::web::Web;

/// Wrong use: another start will fail in the same way until the user changes something.
const WRONG_USE: u8 = 2;

/// Clients that have a line in the log when it is asked for them: those with trouble are the first.
const PEERS_IN_THE_LOG: usize = 100;

/// Files that a server opens besides one for each application: for itself and for those who ask what it does.
const OTHER_FILES: u64 = 64;

/// Anything else that keeps a program from its work.
const FAILED: u8 = 1;

/// Why a program ends, other than because it was told to.
pub enum Failure {
    /// The user has something to correct.
    Misuse(Mistakes),
    /// Something else, told in a sentence.
    Failed(String),
    /// The command of this name could not be carried out.
    Command(&'static str, String),
    /// A command has printed what is wrong.
    Told,
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
pub fn main<Args: Parser>(program: Program, run: impl FnOnce(Args) -> Result<(), Failure>) -> ExitCode {
    let name = program.name();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) if !error.use_stderr() => error.exit(),
        Err(mut error) => {
            if let Some(answer) = config::answer_to(program, &Args::command(), &error) {
                tell(&format!("{name}: {answer}"));
                return WRONG_USE.into();
            }
            // No argument of ours could be such a word, so the tip to pass it behind "--" leads nowhere.
            error.remove(ContextKind::Suggested);
            let text = error.render().to_string();
            tell(&format!("{name}: {}", text.strip_prefix("error: ").unwrap_or(&text).trim_end()));
            return WRONG_USE.into();
        }
    };
    start_logging(&config::log_directives(&Variables::from_env()));
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
        Err(Failure::Command(command, text)) => {
            tell(&format!("{name} {command}: {text}"));
            FAILED.into()
        }
        Err(Failure::Told) => FAILED.into(),
    }
}

/// Has lines written to standard error: time, level, text. Names of modules help only who asks for more
/// than what concerns an operator.
fn start_logging(directives: &str) {
    let mut logger = env_logger::Builder::new();
    logger.parse_filters(directives);
    if let Ok(style) = env::var("RUST_LOG_STYLE") {
        logger.parse_write_style(&style);
    }
    let logger = logger.format(|out, record| {
        let (time, level) = (out.timestamp(), record.level());
        let style = out.default_level_style(level);
        let verbose = log::max_level() > LevelFilter::Info;
        let module = if verbose { format!("{}: ", record.target()) } else { String::new() };
        writeln!(out, "{time} {style}{level:<5}{style:#} {module}{}", record.args())
    });
    logger.init();
}

/// Carries datagrams until SIGINT or SIGTERM. At SIGHUP it takes what `reload` returns.
///
/// # Errors
/// What keeps the tunnel from starting or from going on.
pub fn serve(settings: Settings, reload: impl FnMut() -> Reread + Send + 'static) -> Result<(), Failure> {
    if let Err(error) = net::raise_open_files_limit() {
        warn!("cannot raise the limit of open files: {error}; the number of applications is limited by it");
    }
    keep_memory_private();
    let Settings { config, summary, control, metrics, report_every } = settings;
    if let Role::Server(role) = &config.role
        && let Some(limit) =
            net::open_files_limit().filter(|limit| role.max_flows as u64 + OTHER_FILES > *limit)
    {
        warn!(
            "--max-flows {}, but this program may open {limit} files, and each application takes one, besides some of \
             its own: those beyond are refused until it is started with a higher limit ({})",
            role.max_flows,
            net::RAISE_OPEN_FILES
        );
    }
    let name = match config.role {
        Role::Client(_) => Program::Mpclient.name(),
        Role::Server(_) => Program::Mpserver.name(),
    };
    let mut event_loop = EventLoop::new(config)?;
    event_loop.tell_service_manager();
    event_loop
        .obey_signals(reload)
        .map_err(|error| Failure::Failed(format!("cannot wait for signals: {error}")))?;
    if let Some(control) = open_control(name, &control)? {
        event_loop.answer_at(control);
    }
    if let Some(address) = metrics {
        show_metrics(&mut event_loop, address).map_err(|error| StartError::Metrics(address, error))?;
    }
    let text = format!("{name} {}: listening on {}, {summary}", crate::VERSION, event_loop.listen_addr());
    event_loop.tell(Level::Info, Kind::Start, text);
    event_loop.report(report_every.0, report());
    event_loop.run().map_err(|error| Failure::Failed(format!("cannot wait for packets: {error}")))
}

/// Has the loop serve metrics at this address.
fn show_metrics(event_loop: &mut EventLoop, address: SocketAddr) -> io::Result<()> {
    event_loop.show_at(HttpDoor::open(address)?, Box::<Web>::default());
    info!("the status page is at http://{address}/, metrics are at http://{address}/metrics");
    if !address.ip().to_canonical().is_loopback() {
        warn!(
            "whoever reaches {address} can read the status, in which are the addresses of bridges and peers: \
             with 127.0.0.1:{} only this machine can",
            address.port()
        );
    }
    Ok(())
}

/// How the log is told of the whole.
fn report() -> impl FnMut(Occasion, &Snapshot) + Send + 'static {
    let mut summary = Summary::default();
    move |occasion, snapshot| match occasion {
        Occasion::Interval => info!("{}", summary.line(snapshot)),
        Occasion::Asked => {
            let look = Look { colour: false, now: Zoned::now(), peers: PEERS_IN_THE_LOG, in_full: false };
            let table = status::table(snapshot, &look);
            table.lines().filter(|line| !line.is_empty()).for_each(|line| info!("{line}"));
        }
    }
}

/// Opens the control socket. Without one at the usual place a tunnel is as good.
fn open_control(name: &str, control: &ControlPath) -> Result<Option<Control>, Failure> {
    let paths = match control {
        ControlPath::Given(path) => {
            let failed = |error| {
                let text = format!("cannot make the control socket {} (--control): {error}", path.display());
                Failure::Failed(text)
            };
            return Control::open(path).map(Some).map_err(failed);
        }
        ControlPath::Usual(paths) => paths,
    };
    let mut failures = Vec::new();
    for path in paths {
        let shown = path.display();
        match net::make_folder(path).map_err(ControlError::from).and_then(|()| Control::open(path)) {
            Ok(control) => return Ok(Some(control)),
            Err(error @ ControlError::InUse) => {
                warn!("\"{name} status\" will not see this one at {shown}: {error}");
                return Ok(None);
            }
            // Another place would not help.
            Err(ControlError::System(error)) if error.kind() == io::ErrorKind::Unsupported => {
                info!("\"{name} status\" will not see this one: {error}");
                return Ok(None);
            }
            Err(error) => failures.push(format!("{shown}: {error}")),
        }
    }
    let failures = failures.join("; ");
    info!("\"{name} status\" will not see this one: {failures}. --control PATH gives it another place");
    Ok(None)
}

/// Shows what a running program does, for all its clients or for one.
///
/// # Errors
/// There is none, or it does not answer, or it has no such client.
pub fn show_status(program: Program, args: &StatusArgs, client: Option<&str>) -> Result<(), Failure> {
    let control = config::control_path(program, args.control.as_deref(), &Variables::from_env());
    status::run(program, args, client, control.paths()).map_err(|text| Failure::Command("status", text))
}

/// Tries each bridge of an mpclient's configuration.
///
/// # Errors
/// What is wrong with the configuration, or how many bridges do not work.
pub fn check(args: CheckArgs) -> Result<(), Failure> {
    let variables = Variables::from_env();
    let form = if args.json { Form::Json } else { Form::Words };
    let Settings { config, .. } = config::client(&args.into(), &variables)?;
    keep_memory_private();
    if variables.log.is_none() {
        // What the bridges' log would say is in the report.
        log::set_max_level(LevelFilter::Off);
    }
    let Role::Client(role) = config.role else { unreachable!("a client's configuration is one") };
    match check::run(&role.bridges, &config.security, form) {
        Ok((works, all)) if works == all => Ok(()),
        Ok(_) => Err(Failure::Told),
        Err(text) => Err(Failure::Command("check", text)),
    }
}

/// What an mpclient runs with that its tunnel does not know.
pub struct Running {
    security: Security,
    metrics: Option<SocketAddr>,
    report_every: Every,
}

impl Running {
    /// As it starts.
    pub fn with(settings: &Settings) -> Self {
        let Settings { config, metrics, report_every, .. } = settings;
        Self { security: config.security.clone(), metrics: *metrics, report_every: *report_every }
    }

    /// Reads the configuration again. Mistakes go to the log.
    pub fn reload(&mut self, args: &ClientArgs) -> Reread {
        let read = config::client_again(args, &Variables::from_env(), &self.security);
        let mut changes = Vec::new();
        if let Ok(Settings { metrics, report_every, .. }) = read {
            changes.extend(Change::of_start("metrics", metrics, self.metrics));
            changes.extend(Change::of_value("summary", report_every, self.report_every));
            self.report_every = report_every;
        }
        tell_of_reading(&args.config, read, changes)
    }
}

/// Reads an mpserver's keys again, while it runs, if it has a file of them. Mistakes go to the log.
pub fn reload_keys(args: &ServeArgs) -> Reread {
    let Some(keys) = &args.keys else {
        let text = "SIGHUP changes nothing here: without --keys, mpserver's settings are its arguments, which \
                    take a restart";
        return Reread::Nothing(text.to_owned());
    };
    tell_of_reading(keys, config::server_again(args, &Variables::from_env()), Vec::new())
}

/// What is to be said of reading a file again.
fn tell_of_reading(file: &Path, read: Result<Settings, Mistakes>, changes: Vec<Change>) -> Reread {
    match read {
        Ok(Settings { config, report_every, .. }) => {
            let file = file.display().to_string();
            Reread::News { file, config: Box::new(config), report_every: report_every.0, changes }
        }
        Err(mistakes) => {
            let mut mistakes = mistakes.iter().map(ToString::to_string);
            let first = mistakes.next().unwrap_or_default();
            let more: Vec<_> = mistakes.collect();
            let behind = match more.len() {
                0 => String::new(),
                count => format!(" (and {}, which the log names)", plural(count as u64, "more mistake")),
            };
            Reread::Refused { text: format!("SIGHUP changed nothing: {first}{behind}"), more }
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

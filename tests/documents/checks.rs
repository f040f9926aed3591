//! Whether what a document or example shows would be taken by the program that it is for.

use std::cell::RefCell;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, io};

use clap::Parser;
use log::{LevelFilter, Log, Metadata, Record};
use mptunnel::config::args::{ClientCommandLine, ServerArgs};
use mptunnel::config::{self, Mistakes, Variables};

use super::shell;

/// A key as `mpserver genkey` prints it.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The configuration of an mpclient: no mistakes, and nothing to warn of.
pub(super) fn client_configuration(text: &str) {
    // A key's place on the user's machine is taken for the one here.
    assert_taken(&text.replace("/etc/mptunnel/key", "key"), |file| {
        let line = ClientCommandLine::try_parse_from(["mpclient", file]).expect("a file's name");
        config::client(&line.carry.expect("it is no command"), &Variables::default()).map(drop)
    });
}

/// The keys of an mpserver: no mistakes, and nothing to warn of.
pub(super) fn keys(text: &str) {
    assert_taken(text, |file| {
        let line = ["mpserver", "--keys", file, "2000", "127.0.0.1", "1194"];
        let line = ServerArgs::try_parse_from(line).expect("options that there are");
        config::server(&line.serve.expect("it is no command"), &Variables::default()).map(drop)
    });
}

/// A file with this text, beside a key, is read without a mistake and without a warning.
fn assert_taken(text: &str, read: impl FnOnce(&str) -> Result<(), Mistakes>) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("documents-{}", std::process::id()));
    let folder = folder.join(number.to_string());
    fs::create_dir_all(&folder).expect("a folder for a test's files");
    write_secret(&folder.join("key"), KEY);
    let file = folder.join("file");
    write_secret(&file, text);
    let (taken, warnings) = heard(|| read(file.to_str().expect("test files have plain names")));
    taken.unwrap_or_else(|mistakes| panic!("{mistakes:?}\n{text}"));
    assert!(warnings.is_empty(), "{warnings:?}\n{text}");
    fs::remove_dir_all(&folder).expect("it was made above");
}

/// A file that its owner alone can read.
fn write_secret(path: &Path, text: &str) {
    fs::write(path, text).expect("a test's file is written");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("a mode is set");
    }
}

/// A shell text: the shell can read it, and our programs would take what it gives them.
pub(super) fn shell(text: &str) {
    shell_syntax(text).unwrap_or_else(|complaint| panic!("{complaint}\n{text}"));
    shell::commands(text).iter().for_each(|words| command(words));
}

/// Whether the shell can read a text.
pub(super) fn shell_syntax(text: &str) -> Result<(), String> {
    let mut sh = Command::new("sh");
    sh.args(["-n", "-c", text]).stdin(Stdio::null());
    match sh.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// A command: if it is one of our programs, it would take these words.
pub(super) fn command(words: &[String]) {
    let Some(program) = words.first().and_then(|word| word.rsplit('/').next()) else { return };
    let taken = match program {
        "mpclient" => ClientCommandLine::try_parse_from(words).map(drop),
        "mpserver" => ServerArgs::try_parse_from(words).map(drop),
        _ => return,
    };
    if let Err(error) = taken {
        assert!(!error.use_stderr(), "{}: {error}", words.join(" "));
    }
}

/// A unit of systemd: our programs would take what its `Exec...` lines give them, with the arguments that a remark in it gives
/// as an example.
pub(super) fn unit(text: &str) {
    let example = |variable: &str| {
        let line = text.lines().find_map(|line| line.trim_start_matches(['#', ' ']).strip_prefix(variable));
        line.and_then(|line| line.strip_prefix('=')).unwrap_or_default().trim_matches('"')
    };
    let text = text.replace("$ARGUMENTS", example("ARGUMENTS")).replace("$OPTIONS", example("OPTIONS"));
    let commands =
        text.lines().filter(|line| line.starts_with("Exec")).filter_map(|line| line.split_once('='));
    for (_, line) in commands {
        shell::commands(line.trim_start_matches(['-', '@', '+', '!']))
            .iter()
            .for_each(|words| command(words));
    }
}

thread_local! {
    static HEARD: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Keeps what the thread that listens has logged.
struct Listener;

impl Log for Listener {
    fn enabled(&self, _: &Metadata) -> bool {
        true
    }

    fn log(&self, record: &Record) {
        HEARD.with_borrow_mut(|heard| {
            if let Some(heard) = heard {
                heard.push(record.args().to_string());
            }
        });
    }

    fn flush(&self) {}
}

/// What `work` returns, and the warnings that it has logged meanwhile.
fn heard<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    static LISTENER: Once = Once::new();
    LISTENER.call_once(|| {
        log::set_logger(&Listener).expect("no other test of this program has a logger");
        log::set_max_level(LevelFilter::Warn);
    });
    HEARD.set(Some(Vec::new()));
    let done = work();
    (done, HEARD.take().unwrap_or_default())
}

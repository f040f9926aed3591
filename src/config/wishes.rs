//! Words that users type because another program has them, or the other end: `mpserver check`, `--key KEY`, `help`.
//! Each is answered with how to get what it stands for.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Error};

use super::slips;
use super::values::Quoted;
use super::words::{BRIDGE_OPTIONS, SETTINGS};
use crate::tunnel::snapshot::Program;

/// The commands, and one that some would like to be one: these are known with a slip in them too.
const COMMANDS: [&str; 4] = ["status", "check", "genkey", "reload"];

/// What may be wanted of a program without a sign that it is an option. Other words may be names of files.
const VERBS: [&str; 13] = [
    "check", "genkey", "help", "kill", "quit", "reload", "restart", "run", "start", "status", "stop",
    "usage", "version",
];

/// What to say to a user of this program whose arguments clap could not read, if it is known what was meant.
pub(crate) fn answer_to(program: Program, command: &Command, error: &Error) -> Option<String> {
    let word = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.as_str()),
        _ => None,
    };
    match (error.kind(), word(ContextKind::InvalidArg)?) {
        (ErrorKind::UnknownArgument, option) => {
            let long = option.strip_prefix("--");
            // An option that is there, but not behind this command, is clap's to explain.
            let is_there = long.is_some() && command.get_arguments().any(|arg| arg.get_long() == long);
            if is_there { None } else { answer(program, option) }
        }
        (ErrorKind::ValueValidation, "<LISTEN_PORT>") => answer(program, word(ContextKind::InvalidValue)?),
        (ErrorKind::ValueValidation, "[EXCESS]") => {
            let excess = word(ContextKind::InvalidValue)?;
            let all = match program {
                Program::Mpclient => {
                    "mpclient takes the name of one configuration file, in which is all else"
                }
                Program::Mpserver => "mpserver takes LISTEN_PORT TARGET_HOST TARGET_PORT",
            };
            let meant = answer(program, excess).unwrap_or_else(|| all.to_owned());
            Some(format!("{} is one argument too many: {meant}", Quoted(excess)))
        }
        _ => None,
    }
}

/// What to say to a user of this program who typed this word, as an option or as an argument, where it is none.
/// `None`: it is not known what it stands for.
pub(super) fn answer(program: Program, typed: &str) -> Option<String> {
    let bare = typed.trim_start_matches('-').split('=').next().unwrap_or_default();
    let word = match slips::nearest(bare, COMMANDS).filter(|_| !bare.contains(['/', '.'])) {
        Some(command) => command,
        None => bare,
    };
    if !typed.starts_with('-') && !VERBS.contains(&word) {
        return None;
    }
    let answer = match program {
        Program::Mpclient => of_mpclient(word),
        Program::Mpserver => of_mpserver(word),
    };
    answer.or_else(|| of_both(program.name(), word))
}

fn of_mpclient(word: &str) -> Option<String> {
    let text = match word {
        "check" => "check is a command, which takes the name of a configuration file: mpclient check CONFIG",
        "genkey" => "genkey is a command of mpserver: mpserver genkey",
        "keys" => "--keys is an option of mpserver; mpclient has one key, that of --key-file FILE",
        "allow-target" => "--allow-target is an option of mpserver",
        "c" | "conf" | "config" | "f" | "file" => {
            "the configuration file is named without an option: mpclient CONFIG"
        }
        "reload" => {
            "a running mpclient reads its file again at SIGHUP: systemctl reload mpclient@NAME, or kill -HUP PROCESS"
        }
        "run" | "start" => "mpclient starts with the name of its configuration file alone: mpclient CONFIG",
        _ if SETTINGS.iter().any(|setting| setting.name == word) => {
            return Some(format!(
                "{word} is a setting of the configuration file: write \"{word} = VALUE\" there"
            ));
        }
        _ => {
            let option = BRIDGE_OPTIONS.iter().find(|option| option.name == word)?.usage();
            return Some(format!(
                "{word} belongs to a bridge in the configuration file: write \"HOST PORT {option}\" there"
            ));
        }
    };
    Some(text.to_owned())
}

fn of_mpserver(word: &str) -> Option<String> {
    let text = match word {
        "check" => "check is a command of mpclient, which tries its bridges: mpclient check CONFIG",
        "genkey" => "genkey is a command, which stands alone: mpserver genkey",
        "c" | "conf" | "config" | "f" | "file" => {
            "mpserver has no configuration file: its settings are options, which mpserver --help lists"
        }
        "listen" | "p" | "port" => {
            "mpserver listens at the port that comes first, and at the address of --bind: mpserver --bind ADDRESS \
             LISTEN_PORT TARGET_HOST TARGET_PORT"
        }
        "reload" => {
            "a running mpserver reads the file of --keys again at SIGHUP: systemctl reload mpserver@NAME, or kill -HUP \
             PROCESS; its other settings take a restart"
        }
        "run" | "start" => {
            "mpserver starts with its port and the target alone, such as mpserver 2000 127.0.0.1 1194"
        }
        _ if SETTINGS.iter().any(|setting| setting.name == word) => {
            return Some(format!("{word} is mpclient's: write \"{word} = VALUE\" in its configuration file"));
        }
        _ => return None,
    };
    Some(text.to_owned())
}

fn of_both(name: &str, word: &str) -> Option<String> {
    Some(match word {
        "status" => format!("status is a command, which stands alone: {name} status"),
        "json" | "watch" => format!("--{word} is an option of status: {name} status --{word}"),
        "?" | "help" | "usage" => format!("help is an option: {name} --help"),
        "version" => format!("version is an option: {name} --version"),
        "v" | "verbose" | "debug" | "log" | "log-level" | "loglevel" | "q" | "quiet" => {
            format!("how much {name} logs is set by a variable, such as RUST_LOG=debug; its version is told by --version")
        }
        "key" | "psk" | "password" | "secret" => {
            "a key is read from the file of --key-file, or from the variable MPTUNNEL_KEY: as an argument, every \
             user of this machine could read it"
                .to_owned()
        }
        "kill" | "quit" | "stop" => {
            format!("a running {name} ends at SIGTERM: systemctl stop {name}@NAME, kill PROCESS, or Ctrl-C where it runs")
        }
        "restart" => format!("{name} is started again by whatever started it: systemctl restart {name}@NAME"),
        "b" | "background" | "d" | "daemon" | "daemonize" | "fork" => {
            format!("{name} stays in the foreground; systemd runs it for good: systemctl start {name}@NAME")
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Program::{Mpclient, Mpserver};

    #[test]
    fn a_word_is_answered_by_how_to_get_what_it_stands_for() {
        for (program, typed, expected) in [
            (Mpclient, "help", "mpclient --help"),
            (Mpclient, "--check", "mpclient check CONFIG"),
            (Mpclient, "chekc", "mpclient check CONFIG"),
            (Mpclient, "--genkey", "mpserver genkey"),
            (Mpclient, "--copies=2", "\"copies = VALUE\""),
            (Mpclient, "--backup", "\"HOST PORT backup\""),
            (Mpclient, "--bind", "\"HOST PORT bind=INTERFACE\""),
            (Mpclient, "stauts", "mpclient status"),
            (Mpserver, "--key", "--key-file, or from the variable MPTUNNEL_KEY"),
            (Mpserver, "check", "mpclient check CONFIG"),
            (Mpserver, "reload", "SIGHUP"),
            (Mpserver, "--copies", "is mpclient's"),
            (Mpserver, "--listen", "--bind ADDRESS LISTEN_PORT"),
            (Mpserver, "-d", "foreground"),
        ] {
            let answer = answer(program, typed).expect(typed);
            assert!(answer.contains(expected), "{typed}: {answer}");
        }
        for (program, typed) in [
            (Mpclient, "config"),
            (Mpclient, "backup"),
            (Mpclient, "mpclient.conf"),
            (Mpclient, "/etc/status"),
            (Mpclient, "--colour"),
            (Mpserver, "127.0.0.1"),
        ] {
            assert_eq!(answer(program, typed), None, "{typed}");
        }
    }
}

//! Completions for shells.

use clap::{Command, ValueHint};
use clap_complete::{Shell, generate};

/// A program's completions for each shell, and where each shell looks for them.
pub(super) fn of(name: &'static str, command: &Command) -> Vec<(String, Vec<u8>)> {
    vec![
        (format!("bash-completion/completions/{name}"), script(Shell::Bash, command.clone()).into_bytes()),
        (format!("zsh/site-functions/_{name}"), for_zsh(name, command).into_bytes()),
        (format!("fish/vendor_completions.d/{name}.fish"), script(Shell::Fish, command.clone()).into_bytes()),
    ]
}

/// Our programs take either arguments or a command. The generator for zsh expects the command behind the
/// arguments, and shows hidden ones; so it gets none, and files are offered beside the commands.
fn for_zsh(name: &'static str, command: &Command) -> String {
    let mut built = command.clone();
    built.build();
    let takes_files = built.get_positionals().any(|arg| arg.get_value_hint() == ValueHint::AnyPath);
    let options = command.get_arguments().filter(|arg| !arg.is_positional()).cloned();
    let bare = Command::new(name).version("").args(options).subcommands(command.get_subcommands().cloned());
    let script = script(Shell::Zsh, bare);
    if !takes_files {
        return script;
    }
    let offer = format!("_describe -t commands '{name} commands' commands \"$@\"\n");
    assert!(script.contains(&offer), "the script for zsh looks different from what it did: adapt this");
    script.replace(&offer, &format!("{offer}    _files\n"))
}

fn script(shell: Shell, mut command: Command) -> String {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    generate(shell, &mut command, name, &mut script);
    String::from_utf8(script).expect("scripts are text")
}

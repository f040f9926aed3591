//! Completions, as each shell makes them.

use super::{share, tool};

/// Has a shell run this script with the folder of completions as its first argument.
fn answer(shell: &str, test: &str, args: &[&str], script: &str) -> Option<String> {
    let share = share(test);
    let folder = share.to_str().expect("test files have plain names");
    let finished = tool(shell, &[args, &["-c", script, shell, folder]].concat())?;
    assert_eq!(finished.stderr, "", "{shell}");
    Some(finished.stdout)
}

fn assert_offers(shell: &str, said: &str, expected: &[&str]) {
    for word in expected {
        assert!(said.contains(word), "{shell} does not offer {word}: {said}");
    }
}

#[test]
fn bash_completes_options_and_commands() {
    let script = r#"
        for program in mpclient mpserver; do
            source "$1/bash-completion/completions/$program" || exit
            COMP_WORDS=("$program" "") COMP_CWORD=1
            "_$program" "$program" "" "$program"
            printf '%s ' "${COMPREPLY[@]}"
        done"#;
    let Some(said) = answer("bash", "bash", &["--norc"], script) else { return };
    assert_offers("bash", &said, &["--listen", "--key-file", "--bind", "genkey", "status"]);
}

#[test]
fn fish_completes_options_and_commands() {
    // fish counts the folder as the first argument, other shells as what follows their own name.
    let script = r"
        for program in mpclient mpserver
            source $argv[2]/fish/vendor_completions.d/$program.fish
            complete --do-complete $program' '
            complete --do-complete $program' --'
        end";
    let Some(said) = answer("fish", "fish", &["--no-config"], script) else { return };
    assert_offers("fish", &said, &["--listen", "--key-file", "--bind", "genkey", "status"]);
}

#[test]
fn zsh_completes_options_commands_and_files() {
    // zsh completes at a terminal alone, so it gets one, with words typed that have one completion each.
    let script = r#"
        zmodload zsh/zpty
        zpty terminal 'TERM=dumb zsh -f -i'
        expect() { zpty -r -m terminal said "*$1*" || exit; print -r -- "$said" }
        zpty -w terminal "cd '$1'; fpath=('$1/zsh/site-functions' \$fpath)"
        zpty -w terminal 'autoload -U compinit && compinit -u -D && echo compl''etes'
        expect completes
        touch "$1/bridges.conf"
        typed() { zpty -n -w terminal "$1"$'\t'; expect "$2"; zpty -n -w terminal $'\C-u' }
        typed 'mpclient --lis' --listen
        typed 'mpclient sta' status
        typed 'mpclient status --wat' --watch
        typed 'mpclient bridg' bridges.conf
        typed 'mpserver gen' genkey
        typed 'mpserver --key-file bridg' bridges.conf"#;
    let Some(said) = answer("zsh", "zsh", &["-f"], script) else { return };
    assert_offers("zsh", &said, &["--listen", "status", "--watch", "bridges.conf", "genkey"]);
}

//! What each kind of block of code in a document is checked against. A block's first line says its kind: the language, for
//! whoever colours it, then what it shows.
//!
//! | first line | what is checked |
//! |---|---|
//! | `sh` | the shell can read it; each command is one that [`known`] knows, with words that it takes. In README.md, tests run it as it stands: `tests/netns/readme.rs` says which |
//! | `sh root` | the same, for root |
//! | `sh install`, `sh systemd ...` | the same; one of the tests in `packaging/` runs it as it stands |
//! | `conf mpclient.conf` | mpclient would take it as its configuration, without a warning |
//! | `conf keys` | mpserver would take it as the keys of its clients |
//! | `conf examples/FILE` | it is that file, remarks aside |
//! | `conf part examples/FILE` | its lines are in that file, in this order; also where they are marked as remarks there |
//! | `text usage` | our programs have these commands and options |
//! | `text picture` | nothing but that it is drawn in ASCII |
//! | `text demo` | the words are those that `examples/demo` prints, and the figures agree with each other |
//! | `console status` | the words are those that `status` prints |
//! | `promql` | nothing here: `tests/web/grafana.rs` has promtool read it |
//! | `text vectors` | nothing here: `src/tunnel/vectors.rs` makes and takes them |
//! | `text log` | each line is one that our programs write to their log |

use std::collections::HashSet;
use std::path::Path;

use clap::CommandFactory;
use mptunnel::config::args::{ClientCommandLine, ServerArgs};

use super::markdown::{Block, Document, Place};
use super::{checks, files_below, literals, read, root, shell};

/// Checks one block.
pub(super) fn check(document: &Document, block: &Block) {
    let place = Place(document, block);
    let mut words = block.info.split(' ');
    match (words.next().unwrap_or_default(), words.next(), words.next()) {
        ("sh", None | Some("root"), None) => commands(&place, &block.text),
        ("sh", Some("install"), None) | ("sh", Some("systemd"), Some(_)) => {
            commands(&place, &block.text);
            run_by_packaging(&place);
        }
        ("conf", Some("mpclient.conf"), None) => {
            // The key belongs to every file; a document need not say so each time.
            let key = if block.text.contains("key-file") { "" } else { "key-file = key\n" };
            checks::client_configuration(&format!("{}{key}", block.text));
        }
        ("conf", Some("keys"), None) => checks::keys(&block.text),
        (_, Some("part"), Some(file)) if file.starts_with("examples/") => part_of(&place, &block.text, file),
        (_, Some(file), None) if file.starts_with("examples/") => {
            assert_eq!(bare(&block.text), bare(&read(file)), "{place}: not what {file} holds");
        }
        // `tests/web/grafana.rs` has promtool read them.
        ("promql", None, None) => {}
        // The library's own tests make them and take them.
        ("text", Some("vectors"), None) => {}
        ("text", Some("usage"), None) => usage(&place, &block.text),
        ("text", Some("picture"), None) => assert!(block.text.is_ascii(), "{place}: not in ASCII"),
        ("text", Some("demo"), None) => demo(&place, &block.text),
        ("console", Some("status"), None) => status(&place, &block.text),
        ("text", Some("log"), None) => {
            for line in block.text.lines() {
                assert!(literals::is_logged(line), "{place}: nothing in the source writes {line:?}");
            }
        }
        _ => panic!(
            "{place}: a block of a kind that nobody checks; tests/documents/blocks.rs lists those that are known"
        ),
    }
}

/// Checks that a test in `packaging/` runs the blocks of this kind that its document has.
fn run_by_packaging(place: &Place) {
    let run = format!("run_blocks {} '{}'", place.0.name.replace(".zh_CN", ""), place.1.info);
    let mut tests = files_below("packaging").into_iter().filter(|name| name.ends_with("/test"));
    let runs = |name: String| {
        let text = read(&format!("packaging/{name}"));
        let mut after = text.lines().filter_map(|line| line.trim().strip_prefix(&run));
        after.any(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    assert!(tests.any(runs), "{place}: no test in packaging has the line `{run}`");
}

/// A text without remarks, empty lines and the white space that only lays it out.
pub(super) fn bare(text: &str) -> Vec<String> {
    text.lines().map(without_remark).filter(|line| !line.is_empty()).collect()
}

fn without_remark(line: &str) -> String {
    let end = line.match_indices('#').find(|(at, _)| *at == 0 || line[..*at].ends_with([' ', '\t']));
    line[..end.map_or(line.len(), |(at, _)| at)].split_whitespace().collect::<Vec<_>>().join(" ")
}

fn part_of(place: &Place, text: &str, file: &str) {
    let whole: Vec<String> = bare(&read(file).replace("\n#", "\n;"))
        .iter()
        .map(|line| line.trim_start_matches(';').to_owned())
        .collect();
    let mut rest = whole.iter();
    for line in bare(text) {
        assert!(rest.any(|next| *next == line), "{place}: {file} has no {line:?} there");
    }
}

/// Checks a shell text: see [`known`].
fn commands(place: &Place, text: &str) {
    checks::shell_syntax(text).unwrap_or_else(|complaint| panic!("{place}: {complaint}"));
    let examples: HashSet<Vec<String>> = files_below("examples")
        .iter()
        .filter(|name| name.ends_with(".sh"))
        .flat_map(|name| shell::commands(&read(&format!("examples/{name}"))))
        .collect();
    // They are run.
    if place.0.name == "README.md" || place.0.name == "README.zh_CN.md" {
        return checks::shell(text);
    }
    for words in shell::commands(text) {
        let shown = words.join(" ");
        assert!(
            examples.contains(&words) || known(place, &words),
            "{place}: nobody checks the command `{shown}`"
        );
        for word in words.iter().filter(|word| word.starts_with("examples/") || word.starts_with("docs/")) {
            // Of several files the folder.
            let path = word.split('*').next().unwrap_or(word);
            assert!(root().join(path).exists(), "{place}: there is no {word}");
        }
    }
}

/// Whether a command is one whose words can be checked, or one so simple that there is nothing to check.
fn known(place: &Place, words: &[String]) -> bool {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let after =
        |option: &str| words.iter().skip_while(|word| *word != option).nth(1).map_or("", String::as_str);
    match word(0) {
        "mpclient" | "mpserver" => checks::command(words),
        "cargo" => match word(1) {
            "run" | "build" | "test" | "install" | "bench" | "check" | "clippy" | "deb" | "deny" | "doc"
            | "fmt" | "fuzz" | "package" | "publish" => {
                let example = after("--example");
                let exists = |path: String| root().join(path).exists();
                assert!(
                    example.is_empty()
                        || exists(format!("examples/{example}.rs"))
                        || exists(format!("examples/{example}/main.rs")),
                    "{place}: there is no example {example}"
                );
                for (option, folder) in [("--bench", "benches"), ("--test", "tests")] {
                    let name = after(option);
                    assert!(
                        name.is_empty() || exists(format!("{folder}/{name}.rs")),
                        "{place}: no {option} {name}"
                    );
                }
                let name = after("--exact").rsplit("::").next().unwrap_or_default();
                let is_a_test =
                    |file: &String| read(&format!("tests/{file}")).contains(&format!("fn {name}()"));
                assert!(
                    name.is_empty() || files_below("tests").iter().any(is_a_test),
                    "{place}: there is no test {name}"
                );
            }
            _ => return false,
        },
        "socat" => return word(1) == "-",
        "podman" => return images(place, words),
        program if program.contains('/') => {
            return root().join(program).exists() || Path::new(program).is_absolute();
        }
        "apt" | "apt-get" | "cat" | "cd" | "chmod" | "cp" | "docker" | "echo" | "git" | "install"
        | "journalctl" | "kill" | "openssl" | "openvpn" | "pidof" | "promtool" | "dpkg" | "curl" | "scp"
        | "sh" | "ss" | "printf" | "rm" | "systemctl" | "tee" | "umask" | "wg" | "wg-quick" => {}
        _ => return false,
    }
    true
}

/// Whether what is done with an image of ours is known, and what the program in it is told.
fn images(place: &Place, words: &[String]) -> bool {
    let program = words.iter().rposition(|word| word == "mpclient" || word == "mpserver");
    match (words.get(1).map(String::as_str), program) {
        (Some("build"), _) => {
            let target = words.iter().skip_while(|word| *word != "--target").nth(1);
            let stage = format!(" AS {}\n", target.map_or("", String::as_str));
            assert!(read("Containerfile").contains(&stage), "{place}: the Containerfile has no{stage}");
        }
        (Some("run" | "exec"), Some(image)) => checks::command(&words[image..]),
        (Some("kill" | "secret"), _) => {}
        _ => return false,
    }
    true
}

/// Checks that our programs have the commands and options of a usage.
fn usage(place: &Place, text: &str) {
    for line in text.lines().flat_map(|line| line.split(" | ")) {
        let words: Vec<&str> = line.split([' ', '[', ']', '|']).filter(|word| !word.is_empty()).collect();
        let program = match words[0] {
            "mpclient" => ClientCommandLine::command(),
            "mpserver" => ServerArgs::command(),
            other => panic!("{place}: {other} is no program of ours"),
        };
        let named = words[1..].iter().find(|word| word.chars().all(|letter| letter.is_ascii_lowercase()));
        let command = match named {
            Some(name) => {
                program.find_subcommand(name).unwrap_or_else(|| panic!("{place}: there is no command {name}"))
            }
            None => &program,
        };
        for word in &words[1..] {
            let known = match word.strip_prefix("--") {
                Some(long) => command.get_arguments().any(|argument| argument.get_long() == Some(long)),
                None => Some(word) == named || *word == "OPTIONS" || has_value(command, word),
            };
            assert!(known, "{place}: {} has no {word}", command.get_name());
        }
    }
}

fn has_value(command: &clap::Command, name: &str) -> bool {
    let mut names = command.get_arguments().flat_map(|argument| {
        let own = argument.get_id().as_str().to_uppercase();
        argument.get_value_names().unwrap_or_default().iter().map(|name| name.to_string()).chain([own])
    });
    // One of two kinds has both names.
    names.any(|known| known.split('|').any(|known| known == name))
}

/// Checks the demo's output.
fn demo(place: &Place, text: &str) {
    let printed = literals::of(&read("examples/demo/report.rs")).join("\n");
    assert_words(place, text, &printed);
    let loss = |line: &str| -> Vec<f64> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let percents = words.windows(2).filter(|pair| pair[1] == "%").map(|pair| pair[0].parse());
        percents.collect::<Result<_, _>>().unwrap_or_else(|_| panic!("{place}: {line:?} has no losses"))
    };
    let bridges: Vec<Vec<f64>> = text.lines().filter(|line| line.contains("bridge ")).map(loss).collect();
    let product = text.lines().find(|line| line.contains("product")).map(loss).unwrap_or_default();
    for (way, shown) in product.iter().enumerate().take(2) {
        let expected = bridges.iter().map(|bridge| bridge[way] / 100.0).product::<f64>() * 100.0;
        assert!((expected - shown).abs() < 0.01, "{place}: {shown} % is not the product, {expected:.3} %");
    }
    for bridge in &bridges {
        let expected = 100.0 - (100.0 - bridge[0]) * (100.0 - bridge[1]) / 100.0;
        assert!((expected - bridge[2]).abs() < 0.02, "{place}: {bridge:?}: both ways are {expected:.2} %");
    }
}

/// Checks the status of a program.
fn status(place: &Place, text: &str) {
    let (command, shown) = text.split_once('\n').unwrap_or((text, ""));
    let command =
        command.strip_prefix("$ ").unwrap_or_else(|| panic!("{place}: it begins with `$ ` and a command"));
    commands(place, command);
    // Events come from all over the source.
    let printed = literals::of_our_programs().join("\n") + "mpclient mpserver";
    assert_words(place, shown, &printed);
}

/// Every word of an output is one of those that are printed.
fn assert_words(place: &Place, shown: &str, printed: &str) {
    for word in shown.split(|character: char| !character.is_alphabetic()).filter(|word| word.len() > 3) {
        assert!(printed.contains(word.trim_end_matches('s')), "{place}: {word:?} is not printed");
    }
}

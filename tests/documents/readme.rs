//! The documents that users read: every block of code, every option, every line of the log and every link in them.

use std::collections::HashSet;

use clap::{Command, CommandFactory};
use mptunnel::config::args::{ClientCommandLine, ServerArgs};
use mptunnel::config::words::{BRIDGE_OPTIONS, SETTINGS};

use super::markdown::{Document, code_spans};
use super::{blocks, files_below, literals, read, root};

fn document(name: &str) -> Document {
    Document::parse(name, &read(name))
}

/// Every document of the repository.
fn documents() -> Vec<Document> {
    let elsewhere = [
        "README.md",
        "README.zh_CN.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "examples/README.md",
        "fuzz/README.md",
    ];
    let below_docs = files_below("docs").into_iter().map(|name| format!("docs/{name}"));
    elsewhere.map(str::to_owned).into_iter().chain(below_docs).map(|name| document(&name)).collect()
}

#[test]
fn every_block_of_code_is_what_it_says() {
    for document in documents() {
        document.blocks.iter().for_each(|block| blocks::check(&document, block));
    }
}

/// What the translation must have in common with the original, each with where it stands.
fn skeleton(document: &Document) -> Vec<(&'static str, String)> {
    let headings = document.headings.iter().map(|heading| ("heading of level", heading.level.to_string()));
    let blocks = document.blocks.iter().map(|block| {
        // Remarks are translated.
        let language = block.info.split(' ').next().unwrap_or_default();
        let has_remarks = ["sh", "conf", "ini", "nginx"].contains(&language);
        let text = if has_remarks { blocks::bare(&block.text).join("\n") } else { block.text.clone() };
        ("block", format!("{}\n{text}", block.info))
    });
    let rows = document.tables.iter().flat_map(|table| {
        let rows = table.iter().map(|row| {
            let first = code_spans(&row[0]).join(" ");
            ("row", format!("of {} cells: {first}", row.len()))
        });
        std::iter::once(("table", format!("of {} rows", table.len()))).chain(rows)
    });
    headings.chain(blocks).chain(rows).collect()
}

#[test]
fn the_chinese_readme_has_the_same_parts() {
    let [english, chinese] = ["README.md", "README.zh_CN.md"].map(|name| skeleton(&document(name)));
    for (number, (ours, theirs)) in english.iter().zip(&chinese).enumerate() {
        assert_eq!(ours, theirs, "part {number}, README.md on the left, README.zh_CN.md on the right");
    }
    assert_eq!(english.len(), chinese.len(), "one of them has more parts");
}

#[test]
fn each_readme_leads_to_the_other_at_its_top() {
    for (name, other) in [("README.md", "README.zh_CN.md"), ("README.zh_CN.md", "README.md")] {
        assert_eq!(document(name).links().first(), Some(&other), "the first link in {name}");
    }
}

#[test]
fn no_heading_skips_a_level() {
    for document in documents() {
        let mut above = 0;
        for heading in document.headings {
            assert!(heading.level <= above + 1, "{}: {:?} is too deep", document.name, heading.text);
            above = heading.level;
        }
    }
}

#[test]
fn every_link_leads_somewhere() {
    for from in documents() {
        let name = &from.name;
        let folder = root().join(name);
        let folder = folder.parent().expect("a file is in a folder");
        for link in from.links().into_iter().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let path = if file.is_empty() { root().join(name) } else { folder.join(file) };
            assert!(path.exists(), "{name}: nothing is where the link {link} leads");
            if !anchor.is_empty() {
                let to = path.strip_prefix(root()).map(|path| path.to_string_lossy().into_owned());
                let to = std::fs::read_to_string(&path)
                    .map(|text| Document::parse(&to.unwrap_or_default(), &text));
                let anchors = to.unwrap_or_else(|error| panic!("{name}: {link}: {error}")).anchors();
                assert!(
                    anchors.iter().any(|known| known == anchor),
                    "{name}: {link} is no heading there: {anchors:?}"
                );
            }
        }
    }
}

#[test]
fn every_option_and_setting_is_explained() {
    let readme = document("README.md");
    let explained: HashSet<&str> = readme.code_spans().into_iter().collect();
    let is_explained = |name: &str| {
        explained.iter().any(|span| {
            let rest = span.strip_prefix("... ").unwrap_or(span).strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '=', ':']))
        })
    };
    for word in SETTINGS.iter().chain(BRIDGE_OPTIONS) {
        assert!(is_explained(word.name), "README.md does not explain {} of mpclient.conf", word.name);
    }
    for long in our_options() {
        assert!(is_explained(&long), "README.md does not explain {long}");
    }
}

/// The options of both programs and of their commands.
fn our_options() -> HashSet<String> {
    let mut longs = HashSet::new();
    let mut commands = vec![ClientCommandLine::command(), ServerArgs::command()];
    while let Some(command) = commands.pop() {
        let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
        longs.extend(shown.filter_map(|argument| argument.get_long().map(|long| format!("--{long}"))));
        commands.extend(command.get_subcommands().map(Command::clone));
    }
    longs
}

/// Options that our documents name besides those: of every program, and of cargo.
const FOREIGN: [&str; 5] = ["--help", "--version", "--locked", "--no-default-features", "--root"];

#[test]
fn every_option_setting_and_command_that_a_sentence_names_is_there() {
    let longs = our_options();
    let is_setting = |name: &str| SETTINGS.iter().any(|setting| setting.name == name);
    let mut unknown = Vec::new();
    for document in documents() {
        for span in document.code_spans() {
            let words: Vec<&str> = span.split_whitespace().collect();
            let known = match words[..] {
                // As much of a command as the sentence needs.
                [first, ..] if first.starts_with("--") || ["mpclient", "mpserver"].contains(&first) => {
                    let mut options = words.iter().filter(|word| word.starts_with("--"));
                    options.all(|word| {
                        let option = word.split('=').next().unwrap_or(word);
                        longs.contains(option) || FOREIGN.contains(&option)
                    })
                }
                [name, "=", ..] => {
                    let is_a_word =
                        !name.contains(|letter: char| !letter.is_ascii() || letter.is_ascii_uppercase());
                    !is_a_word || is_setting(name)
                }
                _ => true,
            };
            if !known {
                unknown.push(format!("{}: {span}", document.name));
            }
        }
    }
    assert!(unknown.is_empty(), "no program has {unknown:#?}");
}

#[test]
fn the_log_lines_of_the_troubleshooting_are_those_that_are_written() {
    let documents = ["README.md", "README.zh_CN.md"].map(document);
    let (mut lines, mut unknown) = (0, Vec::new());
    let is_column = |cell: &String| ["log line", "日志"].contains(&cell.as_str());
    for table in documents.iter().flat_map(|document| &document.tables) {
        let Some(column) = table[0].iter().position(is_column) else { continue };
        for line in table[1..].iter().flat_map(|row| code_spans(&row[column])) {
            lines += 1;
            if !literals::is_logged(line) {
                unknown.push(line);
            }
        }
    }
    assert!(unknown.is_empty(), "nothing in the source writes {unknown:#?}");
    assert!(lines > 20, "only {lines} lines were found");
}

#[test]
fn what_the_contributing_page_names_is_there() {
    let name = "CONTRIBUTING.md";
    let folders = ["src/", "tests/", "benches/", "fuzz/", "examples/", "docs/", ".ci/"];
    let document = document(name);
    let named: Vec<&str> = document
        .code_spans()
        .into_iter()
        .filter(|span| folders.iter().any(|folder| span.starts_with(folder)))
        .collect();
    assert!(named.len() > 10, "{named:?}");
    for path in named {
        assert!(root().join(path).exists(), "{name}: there is no {path}");
    }
}

/// A release changes both. While nothing is released, what is to be has a heading of its own.
#[test]
fn the_newest_version_in_the_changes_is_that_of_the_programs() {
    let changes = document("CHANGELOG.md");
    let versions: Vec<&str> = changes
        .headings
        .iter()
        .filter(|heading| heading.level == 2 && heading.text != "Unreleased")
        .map(|heading| heading.text.split([' ', ',']).next().unwrap_or_default())
        .collect();
    if let Some(newest) = versions.first() {
        assert_eq!(*newest, env!("CARGO_PKG_VERSION"), "CHANGELOG.md and Cargo.toml");
    }
    let mut sorted = versions.clone();
    sorted.sort_by_key(|version| {
        let numbers =
            version.split('.').map(|number| number.parse::<u32>().expect("a version of three numbers"));
        std::cmp::Reverse(numbers.collect::<Vec<_>>())
    });
    assert_eq!(versions, sorted, "CHANGELOG.md has the newest first");
}

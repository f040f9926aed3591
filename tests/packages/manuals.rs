//! Manual pages.

use std::fs;
use std::path::PathBuf;

use super::{share, tool};
use crate::documents::read;
use crate::process::{Finished, MPCLIENT, MPSERVER, run};

fn pages(test: &str) -> Vec<PathBuf> {
    let man = share(test).join("man");
    ["man1/mpclient.1", "man1/mpserver.1", "man5/mpclient.conf.5"].map(|page| man.join(page)).into()
}

fn text(page: &str) -> String {
    let files = crate::manuals::files::all();
    let (_, contents) = files.into_iter().find(|(name, _)| name.ends_with(page)).expect("a page");
    // Hyphens that must stay hyphens, and quotes that must stay quotes.
    String::from_utf8(contents).expect("pages are text").replace("\\-", "-").replace("\\*(Aq", "'")
}

#[test]
fn manual_pages_give_mandoc_and_man_nothing_to_warn_of() {
    for page in pages("warnings") {
        let page = page.to_str().expect("test files have plain names");
        for (name, args) in [
            ("mandoc", &["-Tlint", "-Wwarning", page][..]),
            ("man", &["--warnings", "--local-file", "-Tutf8", "-Z", page]),
        ] {
            let Some(Finished { code, stdout, stderr }) = tool(name, args) else { continue };
            // mandoc writes its findings to standard output, man the page.
            let said = if name == "man" { stderr } else { stdout + &stderr };
            assert!(code == Some(0) && said.is_empty(), "{name} {page}: {said}");
        }
    }
}

#[test]
fn an_example_in_a_manual_page_fits_a_terminal_of_80_columns() {
    // man indents the text of a section by 7 columns, and such lines by 4 more.
    const WIDEST: usize = 80 - 7 - 4;
    for page in ["mpclient.1", "mpserver.1", "mpclient.conf.5"] {
        let text = text(page);
        let examples = text.split("\n.nf\n").skip(1).filter_map(|rest| rest.split("\n.fi\n").next());
        let lines: Vec<_> = examples.flat_map(str::lines).filter(|line| !line.starts_with('.')).collect();
        assert!(lines.len() > 2, "{page} has no example");
        for line in lines {
            assert!(line.chars().count() <= WIDEST, "{page}: {line}");
        }
    }
}

#[test]
fn a_manual_page_has_the_date_of_the_newest_release() {
    let changes = read("CHANGELOG.md");
    let mut headings = changes.lines().filter_map(|line| line.strip_prefix("## "));
    let newest = headings.find(|heading| *heading != "Unreleased").expect("a release");
    let (_, date) = newest.split_once(", ").unwrap_or_else(|| panic!("{newest:?} has no date"));
    for page in ["mpclient.1", "mpserver.1", "mpclient.conf.5"] {
        assert!(text(page).contains(date), "{page} is not of {date}");
    }
}

#[test]
fn a_manual_page_names_every_option_that_its_program_has() {
    for (program, page) in [(MPCLIENT, "mpclient.1"), (MPSERVER, "mpserver.1")] {
        let page = text(page);
        for args in [&["--help"][..], &["status", "--help"]] {
            let help = run(program, args).stdout;
            let words = help.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
            let options: Vec<&str> = words.filter(|word| word.starts_with("--")).collect();
            assert!(options.len() > 2, "{help}");
            for option in options {
                assert!(page.contains(option), "{option} is not in the page");
            }
        }
    }
}

#[test]
fn the_configurations_page_names_every_word_that_mpclient_knows() {
    let folder = share("words");
    let path = folder.join("mpclient.conf");
    fs::write(&path, "1.2.3.4 4000 nonsense=1\nnonsense = 1\n").expect("a file is written");
    let said = run(MPCLIENT, &[path.to_str().expect("test files have plain names")]).stderr;
    let listed = |line: &str| {
        let (_, list) = line.split_once("there are ").expect("a list of the words that there are");
        list.replace(" and ", ", ").split(", ").map(str::to_owned).collect::<Vec<_>>()
    };
    let lists: Vec<_> = said.lines().filter(|line| line.contains("unknown")).map(listed).collect();
    assert_eq!(lists.len(), 2, "{said}");
    let page = text("mpclient.conf.5");
    for word in lists.concat() {
        let name = word.split('=').next().expect("a word");
        assert!(page.contains(&format!("\n\\fB{name}\\fR")), "{name} has no text in the page");
    }
}

//! Manual pages, in the language of `man`. `clap_mangen` would make a page of each command and run the notes
//! together, so the pages are put together here.

use clap::{Arg, Command};
use mptunnel::config::notes::{Body, Note};
use mptunnel::config::words::{BRIDGE_OPTIONS, SETTINGS, Word};
use roff::{Inline, Roff, bold, italic, roman};

/// Which release the pages describe; it stands below each.
const SOURCE: &str = concat!("mptunnel ", env!("CARGO_PKG_VERSION"));

/// When their texts were last read through. A page without a date is one that its readers are warned of.
const DATE: &str = "2026-11-25";

/// A configuration to begin with: the one that is shipped.
const EXAMPLE: &str = include_str!("../minimal/mpclient.conf");

/// The page of a program.
pub(super) fn program(command: &Command, notes: &[Note]) -> Vec<u8> {
    let mut command = command.clone().disable_help_subcommand(true);
    command.build();
    let name = command.get_name().to_owned();
    let about = text_of(command.get_about());
    let mut page = page(&name, "1");
    section(&mut page, "NAME");
    page.text([roman(format!("{name} - {}", lower_first(&about)))]);
    section(&mut page, "SYNOPSIS");
    page.text(synopsis(&command, &[&name]));
    for subcommand in command.get_subcommands() {
        page.control("br", []);
        page.text(synopsis(subcommand, &[&name, subcommand.get_name()]));
    }
    section(&mut page, "DESCRIPTION");
    page.text([roman(format!("{about}."))]);
    section(&mut page, "ARGUMENTS");
    command.get_positionals().for_each(|arg| argument(&mut page, arg));
    section(&mut page, "OPTIONS");
    options(&command).for_each(|arg| argument(&mut page, arg));
    section(&mut page, "COMMANDS");
    for subcommand in command.get_subcommands() {
        page.control("SS", [subcommand.get_name()]);
        page.text([roman(format!("{}.", text_of(subcommand.get_about())))]);
        options(subcommand).for_each(|arg| argument(&mut page, arg));
    }
    notes.iter().for_each(|part| note(&mut page, part));
    let other = if name == "mpclient" { "mpserver" } else { "mpclient" };
    see_also(&mut page, &[(other, "1"), ("mpclient.conf", "5")]);
    page.render().into_bytes()
}

/// The page of `mpclient.conf`.
pub(super) fn configuration() -> Vec<u8> {
    let mut page = page("mpclient.conf", "5");
    section(&mut page, "NAME");
    page.text([roman("mpclient.conf - bridges and settings of mpclient")]);
    section(&mut page, "DESCRIPTION");
    paragraphs(
        &mut page,
        "mpclient reads this file when it starts and when it gets SIGHUP. Each line is a bridge or a setting; \
         from a # at its begin or behind white space on, it is a remark. A line is a setting if nothing but a \
         name stands before its first = sign. Words behind a bridge that are no option are ignored with a warning, but \
         for one that is an option with a slip in it, such as bckup, which is a mistake.\n\n\
         Mistakes are told with their lines, all at once. A file that is read again and has mistakes changes \
         nothing.",
    );
    section(&mut page, "BRIDGES");
    page.text([italic("HOST"), roman(" "), italic("PORT"), roman(" ["), italic("OPTION"), roman(" ...]")]);
    paragraphs(
        &mut page,
        "\n\n\
         A bridge passes UDP datagrams on to mpserver's port. HOST is a name, an IPv4 address, or an IPv6 \
         address with or without brackets. A name is looked up again when its bridge falls silent. The \
         options, in any order:",
    );
    BRIDGE_OPTIONS.iter().for_each(|option| word(&mut page, option, "="));
    section(&mut page, "SETTINGS");
    SETTINGS.iter().for_each(|setting| word(&mut page, setting, " = "));
    section(&mut page, "EXAMPLE");
    verbatim(&mut page, EXAMPLE);
    see_also(&mut page, &[("mpclient", "1"), ("mpserver", "1")]);
    page.render().into_bytes()
}

/// A page without text.
fn page(name: &str, chapter: &str) -> Roff {
    let mut page = Roff::new();
    page.control("TH", [name, chapter, DATE, SOURCE, "mptunnel"]);
    page
}

fn section(page: &mut Roff, title: &str) {
    page.control("SH", [title]);
}

/// How a command is called: its words, its options if there are any, its arguments.
fn synopsis(command: &Command, words: &[&str]) -> Vec<Inline> {
    let mut line = vec![bold(words.join(" "))];
    if options(command).next().is_some() {
        line.extend([roman(" ["), italic("OPTIONS"), roman("]")]);
    }
    for arg in command.get_positionals().filter(|arg| !arg.is_hide_set()) {
        line.extend([roman(" "), italic(value_names(arg))]);
    }
    line
}

/// The options of a command, without the one that every command has.
fn options(command: &Command) -> impl Iterator<Item = &Arg> {
    let own = |arg: &&Arg| !arg.is_positional() && !arg.is_hide_set();
    command
        .get_arguments()
        .filter(own)
        .filter(|arg| command.get_name().starts_with("mp") || arg.get_id() != "help")
}

fn argument(page: &mut Roff, arg: &Arg) {
    if arg.is_hide_set() {
        return;
    }
    let mut names = Vec::new();
    if let Some(short) = arg.get_short() {
        names.extend([bold(format!("-{short}")), roman(", ")]);
    }
    if let Some(long) = arg.get_long() {
        names.push(bold(format!("--{long}")));
    }
    if arg.get_action().takes_values() {
        let space = if names.is_empty() { "" } else { " " };
        names.extend([roman(space), italic(value_names(arg))]);
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    let mut text = text_of(arg.get_help());
    if arg.get_action().takes_values() && !defaults.is_empty() {
        text.push_str(&format!(" [default: {}]", defaults.join(" ")));
    }
    page.control("TP", []);
    page.text(names);
    paragraphs(page, &text);
}

fn value_names(arg: &Arg) -> String {
    arg.get_value_names().expect("a built command has them").join(" ")
}

fn word(page: &mut Roff, word: &Word, equals: &str) {
    page.control("TP", []);
    let mut usage = vec![bold(word.name)];
    if !word.value.is_empty() {
        usage.extend([roman(equals), italic(word.value)]);
    }
    page.text(usage);
    paragraphs(page, word.text);
}

fn note(page: &mut Roff, note: &Note) {
    section(page, &note.title.to_uppercase());
    match &note.body {
        Body::List(items) => {
            for (name, text) in items {
                page.control("TP", []);
                page.text([bold(*name)]);
                paragraphs(page, text);
            }
        }
        Body::Text(text) => paragraphs(page, text),
        Body::Verbatim(text) => verbatim(page, text),
    }
}

/// Text that is filled; a blank line ends a paragraph.
fn paragraphs(page: &mut Roff, text: &str) {
    for (index, paragraph) in text.split("\n\n").enumerate() {
        if index > 0 {
            page.control("PP", []);
        }
        let words: Vec<_> = paragraph.split_whitespace().collect();
        if !words.is_empty() {
            page.text([roman(words.join(" "))]);
        }
    }
}

/// Lines that stay as they are, right below the title of a section.
fn verbatim(page: &mut Roff, text: &str) {
    page.control("nf", []);
    page.control("RS", ["4"]);
    text.lines().for_each(|line| {
        page.text([roman(line)]);
    });
    page.control("RE", []);
    page.control("fi", []);
}

fn see_also(page: &mut Roff, pages: &[(&str, &str)]) {
    section(page, "SEE ALSO");
    let mut line = Vec::new();
    for (name, chapter) in pages {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.extend([bold(*name), roman(format!("({chapter})"))]);
    }
    page.text(line);
}

fn text_of(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).expect("every argument and command has a text")
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

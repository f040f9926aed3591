//! The texts in the source: what our programs can say.

use std::sync::OnceLock;

use super::{files_below, read};

/// The string literals of a source text, each joined over its lines, placeholders as they stand.
pub(super) fn of(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line_start in source
        .split_inclusive('\n')
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<String>()
        .split("\n\n")
    {
        let mut characters = line_start.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                // A character, not a lifetime: 'x' or '\x'.
                '\'' => {
                    let mut ahead = characters.clone();
                    let first = ahead.next();
                    if first == Some('\\') || ahead.next() == Some('\'') {
                        let escaped = first == Some('\\');
                        characters.next();
                        if escaped {
                            characters.next();
                        }
                        characters.next();
                    }
                }
                '"' => found.push(literal(&mut characters)),
                _ => {}
            }
        }
    }
    found
}

/// The rest of a literal behind its first quote.
fn literal(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut text = String::new();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => match characters.next() {
                // The line goes on behind the next one's white space.
                Some('\n') => while characters.next_if(|next| next.is_whitespace()).is_some() {},
                Some('n') => text.push('\n'),
                Some(escaped) => text.push(escaped),
                None => break,
            },
            _ => text.push(character),
        }
    }
    text
}

/// What the system says, in the middle of our lines.
const SYSTEMS_WORDS: [&str; 4] =
    ["Connection refused", "Address already in use", "Permission denied", "Cannot assign requested address"];

/// Whether our programs can write such a line to their log: some text of theirs has more than half of its words, in this order. (Not all,
/// since a line is put together from several texts.)
pub(super) fn is_logged(line: &str) -> bool {
    static TEXTS: OnceLock<Vec<Vec<String>>> = OnceLock::new();
    let texts = TEXTS.get_or_init(|| of_our_programs().iter().map(|text| words(text)).collect());
    let line = SYSTEMS_WORDS.iter().fold(line.to_owned(), |line, theirs| line.replace(theirs, ""));
    let line = words(&line);
    !line.is_empty() && texts.iter().any(|text| in_common(&line, text) * 2 > line.len())
}

/// All texts in the source of our programs.
pub(super) fn of_our_programs() -> Vec<String> {
    let sources = files_below("src");
    let sources =
        sources.iter().filter(|name| name.ends_with(".rs")).map(|name| read(&format!("src/{name}")));
    sources.flat_map(|source| of(production(&source))).collect()
}

/// A source without its tests, which stand last.
fn production(source: &str) -> &str {
    source.split("\n#[cfg(test)]").next().unwrap_or(source)
}

/// The words of a text without its placeholders, figures and addresses.
fn words(text: &str) -> Vec<String> {
    let mut plain = String::new();
    let mut inside = false;
    for character in text.chars() {
        inside = character == '{' || inside && character != '}';
        plain.push(if inside || character == '}' { ' ' } else { character });
    }
    let words = plain.split(|character: char| character.is_whitespace() || "=\",;()".contains(character));
    let words = words.map(|word| word.trim_matches(['.', ':']));
    words
        .filter(|word| !word.is_empty() && word.chars().all(char::is_alphabetic))
        .map(str::to_owned)
        .collect()
}

/// How many words two texts have in common, in the same order.
fn in_common(one: &[String], other: &[String]) -> usize {
    let mut longest = vec![0; other.len() + 1];
    for word in one {
        let mut before = 0;
        for (at, theirs) in other.iter().enumerate() {
            let here = longest[at + 1];
            longest[at + 1] = if word == theirs { before + 1 } else { here.max(longest[at]) };
            before = here;
        }
    }
    longest[other.len()]
}

#[test]
fn a_line_is_logged_if_the_source_has_its_words() {
    assert_eq!(of("a(\"one {x} \\\n    two\", '\"', \"three\\n\")"), ["one {x} two", "three\n"]);
    assert_eq!(words("bridge {name} is silent: 3 (probes)"), ["bridge", "is", "silent", "probes"]);
    assert!(is_logged("no answer from mpserver through any of 3 bridges for ...: check that it runs ..."));
    assert!(!is_logged("bridge ... is quiet: ... probes went unanswered"));
    assert!(!is_logged("no answer from the moon through any of 3 bridges"));
    assert!(!is_logged("... 3 ..."), "it says nothing");
}

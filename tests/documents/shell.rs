//! Shell texts as far as the tests need them: their commands, and the words of each.

/// The commands of a text for a POSIX shell, each as its words. Redirections, remarks and variables that are set for a
/// command are left out; nothing is expanded.
pub(super) fn commands(text: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\'' => word.get_or_insert_default().extend(characters.by_ref().take_while(|next| *next != '\'')),
            '"' => {
                let word = word.get_or_insert_default();
                while let Some(next) = characters.next().filter(|next| *next != '"') {
                    word.extend(if next == '\\' { characters.next() } else { Some(next) });
                }
            }
            '\\' => match characters.next() {
                Some('\n') | None => {}
                Some(next) => word.get_or_insert_default().push(next),
            },
            '#' if word.is_none() => while characters.next_if(|next| *next != '\n').is_some() {},
            ' ' | '\t' => finish(&mut commands, &mut word),
            '\n' | ';' | '&' | '|' | '(' | ')' => {
                finish(&mut commands, &mut word);
                commands.push(Vec::new());
            }
            _ => word.get_or_insert_default().push(character),
        }
    }
    finish(&mut commands, &mut word);
    commands.iter_mut().for_each(strip);
    commands.retain(|words| !words.is_empty());
    commands
}

fn finish(commands: &mut [Vec<String>], word: &mut Option<String>) {
    commands.last_mut().expect("there is always one").extend(word.take());
}

/// Takes away redirections and what only says how a command is started.
fn strip(words: &mut Vec<String>) {
    while let Some(at) = words.iter().position(|word| word.trim_start_matches('2').starts_with(['>', '<'])) {
        let alone = words[at].trim_start_matches('2').trim_matches(['>', '<']).is_empty();
        words.drain(at..words.len().min(at + if alone { 2 } else { 1 }));
    }
    let is_prefix = |word: &str| matches!(word, "exec" | "sudo" | "-E" | "{" | "}") || is_assignment(word);
    let prefixes = words.iter().take_while(|word| is_prefix(word)).count();
    words.drain(..prefixes);
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_')
    })
}

#[test]
fn commands_are_found_in_what_people_write_around_them() {
    let text = "#!/bin/sh\n[ -s key ] || (umask 077 && mpserver genkey > key)\n\
                exec mpserver --key-file 'a key' \\\n    2000 \"127.0.0.1\" 1194 # a remark\n\
                sudo RUST_LOG=debug mpclient a.conf 2>/dev/null\n";
    let expected: [&[&str]; 5] = [
        &["[", "-s", "key", "]"],
        &["umask", "077"],
        &["mpserver", "genkey"],
        &["mpserver", "--key-file", "a key", "2000", "127.0.0.1", "1194"],
        &["mpclient", "a.conf"],
    ];
    assert_eq!(commands(text), expected);
}

//! The parts of a Markdown document that can be compared with something.

use std::fmt;

/// A heading.
#[derive(Debug)]
pub(super) struct Heading {
    pub(super) level: usize,
    pub(super) text: String,
}

/// A block of code.
#[derive(Debug)]
pub(super) struct Block {
    /// The line on which it begins, counted from 1.
    pub(super) line: usize,
    /// The heading that it stands below; empty before the first.
    pub(super) section: String,
    /// What stands behind the three ticks: the language, then what it shows.
    pub(super) info: String,
    pub(super) text: String,
}

/// A table: its rows' cells, the head first.
pub(super) type Table = Vec<Vec<String>>;

/// A document.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) name: String,
    pub(super) headings: Vec<Heading>,
    pub(super) blocks: Vec<Block>,
    pub(super) tables: Vec<Table>,
    /// Everything outside of blocks of code.
    pub(super) prose: String,
}

impl Document {
    /// Reads a document of this name.
    pub(super) fn parse(name: &str, text: &str) -> Self {
        let mut document = Self {
            name: name.to_owned(),
            headings: vec![],
            blocks: vec![],
            tables: vec![],
            prose: String::new(),
        };
        let mut lines = text.lines().zip(1..);
        let mut in_table = false;
        while let Some((line, number)) = lines.next() {
            if let Some(info) = line.trim_start().strip_prefix("```") {
                let inside =
                    lines.by_ref().map(|(line, _)| line).take_while(|line| line.trim_start() != "```");
                let text = inside.map(|line| format!("{line}\n")).collect();
                let section =
                    document.headings.last().map(|heading| heading.text.clone()).unwrap_or_default();
                document.blocks.push(Block { line: number, section, info: info.trim().to_owned(), text });
                in_table = false;
                continue;
            }
            document.prose.push_str(line);
            document.prose.push('\n');
            let level = line.bytes().take_while(|octet| *octet == b'#').count();
            if level > 0 && line[level..].starts_with(' ') {
                document.headings.push(Heading { level, text: line[level..].trim().to_owned() });
            }
            if line.starts_with('|') {
                if !in_table {
                    document.tables.push(Table::new());
                }
                let table = document.tables.last_mut().expect("one was begun");
                let row: Vec<String> = cells(line);
                if !row.iter().all(|cell| cell.chars().all(|character| matches!(character, '-' | ':'))) {
                    table.push(row);
                }
            }
            in_table = line.starts_with('|');
        }
        document
    }

    /// The texts between single ticks, outside of blocks of code.
    pub(super) fn code_spans(&self) -> Vec<&str> {
        code_spans(&self.prose)
    }

    /// The targets of its links.
    pub(super) fn links(&self) -> Vec<&str> {
        let ends = self.prose.match_indices("](").map(|(at, _)| &self.prose[at + 2..]);
        ends.filter_map(|rest| rest.split(')').next()).collect()
    }

    /// The anchors of its headings, as they are made where Markdown is shown.
    pub(super) fn anchors(&self) -> Vec<String> {
        self.headings.iter().map(|heading| anchor(&heading.text)).collect()
    }
}

/// Where a block stands.
pub(super) struct Place<'a>(pub(super) &'a Document, pub(super) &'a Block);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} (```{})", self.0.name, self.1.line, self.1.info)
    }
}

/// The texts between single ticks.
pub(super) fn code_spans(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn cells(row: &str) -> Vec<String> {
    let row = row.trim().trim_start_matches('|').trim_end_matches('|');
    // A bar inside of ticks, or behind a backslash, is none of the table's.
    let mut cells = vec![String::new()];
    let (mut code, mut escaped) = (false, false);
    for character in row.chars() {
        code ^= character == '`';
        if character == '|' && !code && !escaped {
            cells.push(String::new());
        } else {
            cells.last_mut().expect("there is always one").push(character);
        }
        escaped = character == '\\';
    }
    cells.iter().map(|cell| cell.trim().to_owned()).collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept =
        kept.chars().filter(|character| character.is_alphanumeric() || matches!(character, ' ' | '-' | '_'));
    kept.map(|character| if character == ' ' { '-' } else { character }).collect()
}

#[test]
fn a_document_is_taken_apart() {
    let text = "# One `two`, three\nSee [it](#one-two-three).\n\n```sh root\na | b\n```\n\n| a | b |\n|---|---|\n| `x|y` | z |\n";
    let document = Document::parse("A.md", text);
    assert_eq!(document.anchors(), ["one-two-three"]);
    assert_eq!(document.links(), ["#one-two-three"]);
    assert_eq!(document.code_spans(), ["two", "x|y"]);
    assert_eq!(
        (&*document.blocks[0].info, &*document.blocks[0].text, document.blocks[0].line),
        ("sh root", "a | b\n", 4)
    );
    assert_eq!(document.blocks[0].section, "One `two`, three");
    assert_eq!(document.tables, [vec![vec!["a", "b"], vec!["`x|y`", "z"]]]);
}

//! Figures as people read them, with their unit, and no more exact than they need; and words in lines.

use super::WIDTH;
use crate::tunnel::wire::Reject;

/// What stands for what is not known.
pub(super) const UNKNOWN: &str = "-";

/// A time in milliseconds.
pub(super) fn ms(ms: f64) -> String {
    format!("{} ms", figure(ms))
}

/// A time in seconds, by its two largest units.
pub(super) fn time(seconds: f64) -> String {
    let whole = seconds as u64;
    let (minutes, hours, days) = (whole / 60, whole / 3_600, whole / 86_400);
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..120 => format!("{whole} s"),
        120..7_200 => format!("{minutes} min"),
        7_200..172_800 => format!("{hours} h {} min", minutes % 60),
        172_800.. => format!("{days} d {} h", hours % 24),
    }
}

/// A part as a percentage, without its sign.
pub(super) fn percentage(part: f64) -> String {
    match part * 100.0 {
        0.0 => "0".to_owned(),
        percent if percent < 0.01 => "<0.01".to_owned(),
        percent if percent < 1.0 => format!("{percent:.2}"),
        percent if percent < 99.95 => format!("{percent:.1}"),
        percent => format!("{percent:.0}"),
    }
}

/// A part with the sign of its unit.
pub(super) fn percent(part: Option<f64>) -> String {
    part.map_or(UNKNOWN.to_owned(), |part| format!("{} %", percentage(part)))
}

/// Two figures of a kind, with the unit of both.
pub(super) fn pair(figures: [Option<String>; 2], unit: &str) -> String {
    match figures {
        [None, None] => UNKNOWN.to_owned(),
        figures => {
            let [a, b] = figures.map(|figure| figure.unwrap_or_else(|| UNKNOWN.to_owned()));
            format!("{a} / {b} {unit}")
        }
    }
}

/// A count, in groups of three digits.
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Octets, in the unit that suits them, but for the smallest: what is next to nothing is to look like it.
pub(super) fn octets(octets: f64) -> String {
    let mut amount = octets / 1e3;
    let mut unit = "kB";
    for larger in ["MB", "GB", "TB", "PB", "EB"] {
        if amount < 999.5 {
            break;
        }
        amount /= 1e3;
        unit = larger;
    }
    if amount == 0.0 { format!("0 {unit}") } else { format!("{} {unit}", figure(amount)) }
}

/// So many of a thing.
pub(crate) fn plural(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Three digits, or as many as it has before the point.
pub(super) fn figure(figure: f64) -> String {
    match figure {
        ..9.995 => format!("{figure:.2}"),
        ..99.95 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    }
}

/// A reason in words.
pub(super) fn reason(reject: Reject) -> &'static str {
    match reject {
        Reject::Copy => "copies",
        Reject::TooOld => "too old",
        Reject::Malformed => "malformed",
        Reject::UnknownSession => "of an unknown session",
        Reject::Forged => "forged or damaged",
        Reject::Unconfirmed => "of an unconfirmed session",
        Reject::OtherVersion => "of another version",
        Reject::OtherMode => "with another encryption or key setting",
        Reject::OtherKey => "with another key",
        Reject::HandshakeLimit => "handshakes beyond the limit",
        Reject::HandshakeRate => "handshakes too fast",
        Reject::PeerLimit => "clients beyond the limit",
        Reject::PathLimit => "paths beyond the limit",
        Reject::FlowLimit => "applications beyond the limit",
        Reject::UnknownFlow => "of an unknown application",
        Reject::TooLarge => "too large",
        Reject::QueueFull => "waited too long",
        Reject::NoTarget => "without a target",
        Reject::NotAllowed => "for targets not allowed",
        Reject::NoSocket => "for want of a socket",
        Reject::OtherSender => "from another sender than the SOCKS5 client",
        Reject::Fragment => "SOCKS5 fragments",
        Reject::NoHeader => "without a SOCKS5 header",
    }
}

/// At most so many characters: of a long name, begin and end are worth most.
pub(super) fn shorten(name: &str, most: usize) -> String {
    let characters: Vec<_> = name.chars().collect();
    if characters.len() <= most {
        return name.to_owned();
    }
    let end = (most - 1) / 2;
    let begin = most - 1 - end;
    characters[..begin].iter().chain(&['…']).chain(&characters[characters.len() - end..]).collect()
}

/// At most so many characters: of a list, the begin is worth most.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Words in lines of at most [`WIDTH`] columns, all but the first of which are so far to the right.
pub(super) fn wrap(text: &str, indent: usize, out: &mut String) {
    let (mut column, mut begins) = (0, true);
    for mut word in text.split(' ') {
        loop {
            let len = word.chars().count();
            if !begins && column + 1 + len > WIDTH {
                out.push('\n');
                out.push_str(&" ".repeat(indent));
                (column, begins) = (indent, true);
            }
            if !begins {
                out.push(' ');
                column += 1;
            }
            // What fits on no line goes on below.
            let fits = word.char_indices().nth(WIDTH - column).map_or(word.len(), |(at, _)| at);
            out.push_str(&word[..fits]);
            (column, begins) = (column + word[..fits].chars().count(), false);
            word = &word[fits..];
            if word.is_empty() {
                break;
            }
        }
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_as_exact_as_they_need_to_be() {
        assert_eq!(
            [0.1, 9.994, 20.44, 99.96, 1234.5].map(ms),
            ["0.10 ms", "9.99 ms", "20.4 ms", "100 ms", "1234 ms"]
        );
        assert_eq!(
            [0.25, 42.0, 600.0, 7_260.0, 200_000.0].map(time),
            ["0.2 s", "42 s", "10 min", "2 h 1 min", "2 d 7 h"]
        );
        let parts = [0.0, 0.000_01, 0.001, 0.1, 0.9999, 1.0].map(Some).map(percent);
        assert_eq!(parts, ["0 %", "<0.01 %", "0.10 %", "10.0 %", "100 %", "100 %"]);
        assert_eq!(pair([Some("10.0".to_owned()), None], "%"), "10.0 / - %");
        assert_eq!(pair([None, None], "%"), "-");
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0.0, 27.0, 1e3, 999_499.0, 12_345_678.0].map(octets),
            ["0 kB", "0.03 kB", "1.00 kB", "999 kB", "12.3 MB"]
        );
        assert_eq!([1, 2].map(|number| plural(number, "path")), ["1 path", "2 paths"]);
    }

    #[test]
    fn a_long_name_keeps_its_begin_and_its_end() {
        assert_eq!(shorten("short:1", 7), "short:1");
        assert_eq!(shorten("bridge.example.org:4000", 11), "bridg…:4000");
        assert_eq!(["2 late", "2 late, 1 lossy"].map(|text| cut(text, 7)), ["2 late", "2 late…"]);
    }

    #[test]
    fn a_long_line_goes_on_below() {
        let mut out = String::new();
        wrap("word ".repeat(50).trim_end(), 2, &mut out);
        assert!(out.lines().count() > 1 && out.lines().all(|line| line.chars().count() <= WIDTH), "{out}");
        assert_eq!(out.split_whitespace().count(), 50);
        let mut out = String::new();
        wrap(&format!("a {} b", "x".repeat(250)), 9, &mut out);
        let lens: Vec<_> = out.lines().map(|line| line.chars().count()).collect();
        assert_eq!(lens, [1, WIDTH, WIDTH, 9 + 250 - 182 + 2], "{out}");
    }
}

//! Figures as people read them: with their unit, and no more exact than they need.

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
pub(super) fn percentage(part: Option<f64>) -> String {
    match part.map(|part| part * 100.0) {
        None => UNKNOWN.to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(percent) if percent < 0.01 => "<0.01".to_owned(),
        Some(percent) if percent < 1.0 => format!("{percent:.2}"),
        Some(percent) if percent < 99.95 => format!("{percent:.1}"),
        Some(percent) => format!("{percent:.0}"),
    }
}

/// A part with the sign of its unit.
pub(super) fn percent(part: Option<f64>) -> String {
    match part {
        Some(_) => format!("{} %", percentage(part)),
        None => UNKNOWN.to_owned(),
    }
}

/// Two parts of different times.
pub(super) fn percents(parts: [Option<f64>; 2]) -> String {
    match parts {
        [None, None] => UNKNOWN.to_owned(),
        _ => format!("{} / {} %", percentage(parts[0]), percentage(parts[1])),
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

/// Octets, in the unit that suits them.
pub(super) fn octets(octets: u64) -> String {
    let units = ["kB", "MB", "GB", "TB", "PB", "EB"];
    let mut amount = octets as f64;
    let mut unit = "octets";
    for larger in units {
        if amount < 999.5 {
            break;
        }
        amount /= 1e3;
        unit = larger;
    }
    if unit == "octets" { format!("{octets} {unit}") } else { format!("{} {unit}", figure(amount)) }
}

/// So many of a thing.
pub(super) fn plural(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Three digits, or as many as it has before the point.
fn figure(figure: f64) -> String {
    match figure {
        ..9.995 => format!("{figure:.2}"),
        ..99.95 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    }
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
        assert_eq!(percents([Some(0.1), None]), "10.0 / - %");
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([999, 1_000, 12_345_678].map(octets), ["999 octets", "1.00 kB", "12.3 MB"]);
        assert_eq!([1, 2].map(|number| plural(number, "path")), ["1 path", "2 paths"]);
    }
}

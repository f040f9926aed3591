//! Words that are a known one but for a slip of the fingers: `bckup`, `bnid=eth1`.
//!
//! A slip leaves a letter out, puts one in, takes another one for it, or has the right letters in another order:
//! one of the first three, or two letters changed about, are four of five misspellings (Damerau, "A technique for
//! computer detection and correction of spelling errors", 1964). Case and what is neither letter nor digit
//! count for nothing: `Back-up` is `backup`. More than one slip is not looked for, since then ordinary
//! words come near: `back`, `markup` and `pickup` are two from `backup`.

/// The first of these that the word may have been meant for; the word itself, if it is one.
pub(super) fn nearest(word: &str, known: impl IntoIterator<Item = &'static str>) -> Option<&'static str> {
    known.into_iter().find(|known| is_near(word, known))
}

/// Whether the word is the other one but for a slip.
pub(super) fn is_near(word: &str, known: &str) -> bool {
    let [word, known] = [word, known].map(letters);
    is_one_letter_off(&word, &known) || have_the_same_letters(&word, &known)
}

/// Whether the two are the same letters in whatever order. So short a word as `bind` has no other slips that are
/// no words: `bond`, `find`, `kind` and `wind` are one letter from it.
pub(super) fn is_mixed_up(word: &str, known: &str) -> bool {
    let [word, known] = [word, known].map(letters);
    have_the_same_letters(&word, &known)
}

fn letters(word: &str) -> Vec<char> {
    word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Whether at most one letter is left between what both begin with and what both end with.
fn is_one_letter_off(a: &[char], b: &[char]) -> bool {
    let same = |(a, b): &(&char, &char)| a == b;
    let begin = a.iter().zip(b).take_while(same).count();
    let (a, b) = (&a[begin..], &b[begin..]);
    let end = a.iter().rev().zip(b.iter().rev()).take_while(same).count();
    a.len() - end <= 1 && b.len() - end <= 1
}

fn have_the_same_letters(a: &[char], b: &[char]) -> bool {
    let [mut a, mut b] = [a.to_vec(), b.to_vec()];
    a.sort_unstable();
    b.sort_unstable();
    a == b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_near_and_two_are_not() {
        for slip in [
            "bckup", "bakup", "backp", "ackup", "backups", "backupp", "baackup", "bacjup", "vackup",
            "bakcup", "bacukp", "backpu", "bukcap", "Backup", "BACKUP", "back-up", "Back_Up", "backup,",
            "(backup)", "backup2",
        ] {
            assert!(is_near(slip, "backup"), "{slip}");
        }
        for word in [
            "", "up", "back", "bkp", "backs", "backed", "backend", "pickup", "markup", "lookup", "setup", "b",
        ] {
            assert!(!is_near(word, "backup"), "{word}");
        }
        assert_eq!(nearest("max_flow", ["listen", "max-flows"]), Some("max-flows"));
        assert_eq!(nearest("colour", ["listen", "max-flows"]), None);
    }

    #[test]
    fn ordinary_words_of_remarks_are_near_no_option() {
        let words = "home office work school lte 4g 5g dsl vdsl cable fibre fiber wifi wlan modem router phone satellite \
                     starlink main first second third primary secondary tertiary spare reserve standby fallback failover \
                     backhaul backbone background back front up down fast slow cheap costly expensive metered unlimited \
                     test testing old new tmp temp the a an my our good bad best line link path way via through over \
                     bridge relay server host vps cloud hetzner ovh aws azure linode berlin london paris tokyo bind9 \
                     bond bond0 find kind mind wind blind bird band behind buildup checkup lookup makeup";
        for word in words.split_whitespace() {
            assert!(!is_near(word, "backup") && !is_mixed_up(word, "bind"), "{word}");
        }
        assert!(is_mixed_up("bnid", "bind") && is_mixed_up("Bind", "bind"));
    }
}

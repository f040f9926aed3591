//! Who may log in: names and passwords, compared in a time that tells nothing about them.

use std::collections::HashSet;
use std::fmt;

use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use super::wire::Login;
use crate::tunnel::change::Change;

/// The most users. Each login is compared with all of them, which takes about 0.1 ms then.
pub const MAX_USERS: usize = 256;
/// The longest name and the longest password, in octets (RFC 1929).
pub const WORD_LEN_MAX: usize = 255;

/// A name and a password, each behind its length and filled up with zeros.
/// On the heap, where it stays: what moves leaves unwiped copies behind.
type Entry = Zeroizing<Box<[u8]>>;

/// Names and passwords. Wiped from memory when dropped; `Debug` shows how many there are.
#[derive(Clone, Default)]
pub struct Users(Vec<Entry>);

/// Why a user is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoUser {
    /// A name or a password that is empty, or longer than [`WORD_LEN_MAX`].
    Length,
    /// The name is there already.
    Twice,
    /// There are [`MAX_USERS`].
    Limit,
}

impl Users {
    /// Adds a user.
    ///
    /// # Errors
    /// [`NoUser`].
    pub fn add(&mut self, login: Login<'_>) -> Result<(), NoUser> {
        if [login.name, login.password].iter().any(|word| !(1..=WORD_LEN_MAX).contains(&word.len())) {
            return Err(NoUser::Length);
        }
        let entry = entry(login);
        if self.0.iter().any(|other| other[..=WORD_LEN_MAX] == entry[..=WORD_LEN_MAX]) {
            return Err(NoUser::Twice);
        }
        if self.0.len() >= MAX_USERS {
            return Err(NoUser::Limit);
        }
        self.0.push(entry);
        Ok(())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// What is different from those before, in numbers: nobody's name is shown.
    pub(in crate::tunnel) fn change_from(&self, before: &Self) -> Option<Change> {
        let [known, asked] = [before, self].map(Self::names);
        let count = |count: usize| if count == 0 { Vec::new() } else { vec![count.to_string()] };
        let as_before = self.0.iter().filter(|user| before.0.contains(user)).count();
        let others = [
            ("new", count(asked.difference(&known).count())),
            ("taken out", count(known.difference(&asked).count())),
            ("another password", count(asked.intersection(&known).count() - as_before)),
        ];
        Change::of_list("socks5-users", as_before, &others)
    }

    /// The names, as they stand in the entries: nothing is copied that would not be wiped.
    fn names(&self) -> HashSet<&[u8]> {
        self.0.iter().map(|entry| &entry[..=WORD_LEN_MAX]).collect()
    }

    /// Whether the name and the password are a user's. It takes as long whoever it is and however much of the
    /// password is right.
    pub fn know(&self, login: Login<'_>) -> bool {
        if [login.name, login.password].iter().any(|word| word.len() > WORD_LEN_MAX) {
            return false;
        }
        let entry = entry(login);
        let found = |found: Choice, user: &Entry| found | user.ct_eq(&entry);
        self.0.iter().fold(Choice::from(0), found).into()
    }
}

impl PartialEq for Users {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Users {}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Users({})", self.0.len())
    }
}

impl fmt::Debug for Login<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(…)")
    }
}

/// The entry of words that are not too long.
fn entry(Login { name, password }: Login<'_>) -> Entry {
    let mut entry = Zeroizing::new(vec![0; 2 * (1 + WORD_LEN_MAX)].into_boxed_slice());
    for (word, place) in [name, password].into_iter().zip(entry.chunks_exact_mut(1 + WORD_LEN_MAX)) {
        place[0] = word.len() as u8;
        place[1..=word.len()].copy_from_slice(word);
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login<'a>(name: &'a [u8], password: &'a [u8]) -> Login<'a> {
        Login { name, password }
    }

    #[test]
    fn a_user_is_known_by_name_and_password_together() {
        let mut users = Users::default();
        let (longest, other) = ([b'l'; WORD_LEN_MAX], [b'o'; WORD_LEN_MAX]);
        for (name, password) in [(&b"ann"[..], &b"one"[..]), (b"bob", b"two"), (&longest, &other)] {
            assert_eq!(users.add(login(name, password)), Ok(()));
            assert!(users.know(login(name, password)));
        }
        for (name, password) in [
            (&b"ann"[..], &b"two"[..]),
            (b"bob", b"one"),
            (b"ann", b"on"),
            (b"ann", b"one\0"),
            (b"ann\0", b"one"),
            (b"an", b"none"),
            (b"anno", b"ne"),
            (b"", b""),
            (b"ann", b""),
            (b"", b"one"),
            (&longest, &longest),
            (&[b'l'; 256], &other),
        ] {
            assert!(!users.know(login(name, password)), "{name:?} {password:?}");
        }
        assert!(!Users::default().know(login(b"", b"")));
    }

    #[test]
    fn a_user_that_could_not_log_in_is_not_taken() {
        let mut users = Users::default();
        for (name, password) in
            [(&b""[..], &b"x"[..]), (b"x", b""), (&[b'x'; 256], b"x"), (b"x", &[b'x'; 256])]
        {
            assert_eq!(users.add(login(name, password)), Err(NoUser::Length));
        }
        assert_eq!(users.add(login(b"ann", b"one")), Ok(()));
        assert_eq!(users.add(login(b"ann", b"two")), Err(NoUser::Twice));
        for number in users.count()..MAX_USERS {
            assert_eq!(users.add(login(number.to_string().as_bytes(), b"x")), Ok(()));
        }
        assert_eq!(users.add(login(b"bob", b"two")), Err(NoUser::Limit));
    }

    #[test]
    fn what_is_different_is_told_in_numbers() {
        let users = |logins: &[(&str, &str)]| {
            let mut users = Users::default();
            for (name, password) in logins {
                users.add(login(name.as_bytes(), password.as_bytes())).expect("a user");
            }
            users
        };
        let before = users(&[("ann", "one"), ("bob", "two"), ("carol", "three")]);
        for (now, expected) in [
            (users(&[("carol", "three"), ("ann", "one"), ("bob", "two")]), None),
            (
                users(&[("ann", "one"), ("bob", "other"), ("dave", "x"), ("eve", "x")]),
                Some("socks5-users: 1 as before; new: 2; taken out: 1; another password: 1"),
            ),
        ] {
            assert_eq!(now.change_from(&before).map(|change| change.text).as_deref(), expected);
        }
    }

    #[test]
    fn neither_names_nor_passwords_are_shown() {
        let mut users = Users::default();
        let login = login(b"ann", b"secret");
        users.add(login).expect("a user");
        assert_eq!(format!("{users:?} {login:?}"), "Users(1) Login(…)");
    }
}

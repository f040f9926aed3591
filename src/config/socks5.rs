//! Who may log in at `socks5 =`: the file that `socks5-users` names, a line `NAME PASSWORD` for each.

use std::path::Path;

use super::client_file::ClientFile;
use super::key_files::warn_of_readers;
use super::{Mistake, Mistakes, Place, file};
use crate::tunnel::role::Socks5;
use crate::tunnel::socks5::users::{MAX_USERS, NoUser, Users, WORD_LEN_MAX};
use crate::tunnel::socks5::wire::Login;

/// What the configuration file says of SOCKS5, with those who may log in.
pub(super) fn resolve(file: &ClientFile) -> Result<Option<Socks5>, Mistakes> {
    match (file.socks5, &file.socks5_users) {
        (Some(listen), named) => {
            let users = named.as_ref().map(|(place, path)| users(place, path)).transpose()?;
            Ok(Some(Socks5 { listen, users }))
        }
        (None, Some((place, _))) => {
            let text = "socks5-users is for \"socks5 = ADDRESS:PORT\", which is not there".to_owned();
            Err(Mistake { place: Some(place.clone()), text }.into())
        }
        (None, None) => Ok(None),
    }
}

/// Reads the file, which is named at this place. It is read again at SIGHUP, so it must be a file.
fn users(place: &Place, path: &Path) -> Result<Users, Mistakes> {
    let name = path.display();
    let refuse = |text| Mistakes::from(Mistake { place: Some(place.clone()), text });
    if file::is_pipe(path) {
        return Err(refuse(format!("socks5-users {name} is no file that could be read again at SIGHUP")));
    }
    let (file, octets) = file::read(path).map_err(|error| {
        refuse(format!(
            "cannot read the file {name}: {error}; socks5-users names a file that has a line \"NAME PASSWORD\" for \
             each user"
        ))
    })?;
    let users = parse(path, &octets)?;
    if users.count() == 0 {
        return Err(refuse(format!(
            "{name} names no user: write a line \"NAME PASSWORD\" for each, or take socks5-users out to let \
             everybody in"
        )));
    }
    warn_of_readers("users file", path, &file);
    Ok(users)
}

/// Reads its contents. No message shows any of them.
fn parse(path: &Path, octets: &[u8]) -> Result<Users, Mistakes> {
    let mut users = Users::default();
    let mut mistakes = Mistakes::default();
    for (number, line) in file::lines(octets) {
        let name = line.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        let password = line[name.len()..].trim_ascii_start();
        let text = match users.add(Login { name, password }) {
            Ok(()) => continue,
            Err(NoUser::Length) if password.is_empty() => "no password: write \"NAME PASSWORD\"".to_owned(),
            Err(NoUser::Length) => format!("a name or a password has more than {WORD_LEN_MAX} octets"),
            Err(NoUser::Twice) => "the name is there already: take one of the two out".to_owned(),
            Err(NoUser::Limit) => format!("the user is one too many: at most {MAX_USERS} are taken"),
        };
        mistakes.add(Some(Place { file: path.display().to_string(), line: number }), text);
    }
    if mistakes.is_empty() { Ok(users) } else { Err(mistakes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &[u8]) -> Result<Users, Mistakes> {
        parse(Path::new("users"), text)
    }

    #[test]
    fn a_line_is_a_name_and_the_rest_a_password() {
        let users =
            parsed(b"\xef\xbb\xbf# ours\r\n\r\nann  a pass # word \r\n\tb\xf6b\tsecret\n").expect("users");
        assert_eq!(users.count(), 2);
        assert!(users.know(Login { name: b"ann", password: b"a pass # word" }));
        assert!(users.know(Login { name: b"b\xf6b", password: b"secret" }));
    }

    #[test]
    fn each_mistake_has_its_line_and_shows_nothing_of_it() {
        let long = [&b"name "[..], &[b'p'; 256]].concat();
        let text = [&b"ann secret\nhidden\nann other\n"[..], &long].concat();
        let mistakes = parsed(&text).expect_err("three mistakes");
        let told: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "users:2: no password: write \"NAME PASSWORD\"",
                "users:3: the name is there already: take one of the two out",
                "users:4: a name or a password has more than 255 octets",
            ]
        );
        let many: String = (0..=MAX_USERS).map(|number| format!("user{number} x\n")).collect();
        let mistakes = parsed(many.as_bytes()).expect_err("one too many");
        assert_eq!(
            mistakes.iter().next().map(ToString::to_string),
            Some("users:257: the user is one too many: at most 256 are taken".to_owned())
        );
    }

    #[test]
    fn users_without_an_address_to_connect_to_are_a_mistake() {
        let place = Place { file: "mpclient.conf".into(), line: 3 };
        let file = ClientFile { socks5_users: Some((place, "users".into())), ..ClientFile::default() };
        let told = resolve(&file).expect_err("a mistake").iter().next().expect("a reason").to_string();
        let expected = "mpclient.conf:3: socks5-users is for \"socks5 = ADDRESS:PORT\", which is not there";
        assert_eq!(told, expected);
        assert_eq!(resolve(&ClientFile::default()).ok(), Some(None));
    }

    #[test]
    fn a_file_without_users_and_what_is_no_file_are_refused() {
        let place = Place { file: "mpclient.conf".into(), line: 3 };
        for (path, reason) in
            [("/dev/null", "is no file that could be read again"), ("/nowhere", "cannot read")]
        {
            let mistakes = users(&place, Path::new(path)).expect_err(path);
            let told = mistakes.iter().next().expect("a reason").to_string();
            assert!(told.starts_with("mpclient.conf:3: ") && told.contains(reason), "{told}");
        }
    }
}

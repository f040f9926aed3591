//! What `mpclient.conf` says of paths: the options of a bridge, and how many copies leave.

use std::net::{IpAddr, Ipv6Addr};

use super::values::{self, Quoted};
use super::{slips, words};
use crate::tunnel::link::{Host, Uplink};
use crate::tunnel::path::MAX_PATHS;
use crate::tunnel::role::{Copies, LossTarget};

/// The longest name of an interface on Linux, in octets (`IFNAMSIZ` less the octet that ends it).
const INTERFACE_LEN_MAX: usize = 15;

/// The largest part that may be lost, in parts per million: beyond it, one path would mostly do.
const LOSS_MAX: u32 = 500_000;

/// Whether this system can tie a socket to an interface by its name.
const HAS_INTERFACES: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// The options of a bridge: the words behind its port, in any order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// `bind=INTERFACE` or `bind=ADDRESS`
    pub(super) bind: Option<Uplink>,
    /// `backup`
    pub(super) backup: bool,
}

/// What came of reading options.
#[derive(Debug, Default)]
pub(super) struct Read<'a> {
    pub(super) options: Options,
    pub(super) mistakes: Vec<String>,
    /// The first word of a remark without its sign.
    pub(super) ignored: Option<&'a str>,
    /// What is said of such a word that may be an option with a slip in it.
    pub(super) slip: Option<String>,
}

impl Options {
    /// Reads the words behind the port of a bridge at `host`.
    pub(super) fn read<'a>(host: Option<&Host>, typed: impl Iterator<Item = &'a str> + Clone) -> Read<'a> {
        // The program of 2014 took no notice of what stood behind the port, so it may be a remark.
        let may_be_remark = !typed.clone().any(|word| word.contains('='));
        let mut read = Read::default();
        let Read { options, mistakes, ignored, slip } = &mut read;
        let mut typed = typed.peekable();
        while let Some(word) = typed.next() {
            if let Some(text) = near_miss(word, typed.peek().copied()) {
                if may_be_remark {
                    *slip = Some(text)
                } else {
                    mistakes.push(text)
                }
                break;
            }
            match word.split_once('=') {
                None if word == "backup" && options.backup => mistakes.push("backup is given twice".into()),
                None if word == "backup" => options.backup = true,
                None if may_be_remark => {
                    *ignored = Some(word);
                    break;
                }
                Some(("bind", _)) if options.bind.is_some() => mistakes.push("bind is given twice".into()),
                Some(("bind", value)) => match uplink(value).and_then(|uplink| suits(uplink, host)) {
                    Ok(uplink) => options.bind = Some(uplink),
                    Err(error) => mistakes.push(format!("bind {error}")),
                },
                Some(("backup", _)) => mistakes.push("backup has no value: write \"backup\" alone".into()),
                Some((name, _)) if !name.is_empty() => mistakes.push(format!(
                    "unknown option {}: there are {}",
                    Quoted(name),
                    words::bridge_options()
                )),
                // What follows belongs to the same slip: "bind = eth1", or a remark without its sign.
                _ => {
                    mistakes.push(format!(
                        "{} is no option, which are {}: write them without spaces, and remarks after \"#\"",
                        Quoted(word),
                        words::bridge_options()
                    ));
                    break;
                }
            }
        }
        read
    }
}

/// What is said of a word that is an option but for a slip. As a remark, it would be ignored, and each datagram's
/// copy over a bridge that was meant for a backup is paid for.
fn near_miss(word: &str, next: Option<&str>) -> Option<String> {
    if word == "backup" || word.starts_with("backup=") || word.starts_with("bind=") {
        return None;
    }
    let name = word.split(['=', ':']).next().unwrap_or_default();
    let both = next.map(|next| format!("{name} {next}"));
    let (typed, meant) = match both.filter(|both| both.eq_ignore_ascii_case("back up")) {
        Some(both) => (both, "backup"),
        None if slips::is_near(name, "backup") => (name.to_owned(), "backup"),
        None if slips::is_mixed_up(name, "bind") || word.contains('=') && slips::is_near(name, "bind") => {
            (name.to_owned(), "bind=INTERFACE, without spaces")
        }
        None => return None,
    };
    Some(format!("{} is no option: did you mean {meant}? Remarks go after \"#\"", Quoted(&typed)))
}

/// An interface or an address of this machine.
fn uplink(word: &str) -> Result<Uplink, String> {
    if word.is_empty() {
        return Err("has no value: write bind=INTERFACE or bind=ADDRESS".into());
    }
    let numbers = |part: &str| part.bytes().all(|octet| octet.is_ascii_digit());
    // An interface may have a name of digits and dots; an address with a slip is far likelier.
    if word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.') && word.split('.').all(numbers)
        || word.contains(':')
        || word.starts_with('[')
    {
        return address(word).map(Uplink::Address);
    }
    let reason = if word.len() > INTERFACE_LEN_MAX {
        format!("a name has at most {INTERFACE_LEN_MAX} characters")
    } else if word.contains('/') || word == "." || word == ".." {
        "no name holds a \"/\" or is \".\" or \"..\"".into()
    } else if word.contains(char::is_control) {
        "no name holds control characters".into()
    } else if !HAS_INTERFACES {
        "this system cannot bind to one by its name: write bind=ADDRESS, with the interface's address".into()
    } else {
        return Ok(Uplink::Interface(word.to_owned()));
    };
    Err(format!("{} is no interface: {reason}", Quoted(word)))
}

/// An address that one interface can have for itself.
fn address(word: &str) -> Result<IpAddr, String> {
    let Host::Ip(ip) = values::host(word)? else {
        return Err(format!("{} is not an IP address", Quoted(word)));
    };
    let ip = ip.to_canonical();
    match ip {
        _ if ip.is_unspecified() || ip.is_multicast() => {
            Err(format!("{ip} is no address of an interface: take it out, and the system's routes decide"))
        }
        // Which of the interfaces that have it would be meant?
        IpAddr::V6(ip) if is_link_local(ip) => {
            Err(format!("{ip} may be on every interface: write bind=INTERFACE"))
        }
        _ => Ok(ip),
    }
}

fn is_link_local(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xffc0 == 0xfe80
}

/// An address reaches none of the other IP version.
fn suits(uplink: Uplink, host: Option<&Host>) -> Result<Uplink, String> {
    let version = |ip: IpAddr| if ip.is_ipv4() { "an IPv4" } else { "an IPv6" };
    match (&uplink, host.map(|host| if let Host::Ip(ip) = host { Some(ip.to_canonical()) } else { None })) {
        (Uplink::Address(ours), Some(Some(theirs))) if ours.is_ipv4() != theirs.is_ipv4() => Err(format!(
            "{ours} is {} address, and the bridge has {} address: name an address of its version, or an interface",
            version(*ours),
            version(theirs)
        )),
        _ => Ok(uplink),
    }
}

/// How many copies leave: `all`, or a number.
pub(super) fn copies(word: &str) -> Result<Copies, String> {
    match word.parse() {
        _ if word == "all" => Ok(Copies::All),
        Ok(count @ 1..) if usize::from(count) <= MAX_PATHS => Ok(Copies::Best(count)),
        _ => Err(format!("{} is neither \"all\" nor between 1 and {MAX_PATHS}", Quoted(word))),
    }
}

/// A percentage, read to the last digit: as a number of parts per million, it has four decimals.
pub(super) fn target_loss(word: &str) -> Result<LossTarget, String> {
    let number = word.strip_suffix('%').map(str::trim_end);
    match number.and_then(parts_per_million) {
        Some(parts @ 1..=LOSS_MAX) => Ok(LossTarget(parts)),
        _ => Err(format!(
            "{} is not a percentage above 0 and up to 50 %, of at most four decimals, such as 0.1%",
            Quoted(word)
        )),
    }
}

fn parts_per_million(percentage: &str) -> Option<u32> {
    let (whole, decimals) = percentage.split_once('.').unwrap_or((percentage, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|octet| octet.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || decimals.len() > 4 {
        return None;
    }
    let whole = whole.parse::<u32>().ok()?.checked_mul(10_000)?;
    whole.checked_add(format!("{decimals:0<4}").parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(host: &str, options: &str) -> Result<(Option<String>, bool), Vec<String>> {
        let host = values::host(host).expect(host);
        let Read { options: Options { bind, backup }, mut mistakes, slip, .. } =
            Options::read(Some(&host), options.split_whitespace());
        mistakes.extend(slip);
        if mistakes.is_empty() { Ok((bind.map(|uplink| uplink.to_string()), backup)) } else { Err(mistakes) }
    }

    #[test]
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn options_come_in_any_order() {
        let over = |uplink: &str, backup| Ok((Some(uplink.to_owned()), backup));
        assert_eq!(read("1.2.3.4", ""), Ok((None, false)));
        assert_eq!(read("1.2.3.4", "backup"), Ok((None, true)));
        assert_eq!(read("1.2.3.4", "bind=wwan0 backup"), over("wwan0", true));
        assert_eq!(read("1.2.3.4", "backup bind=eth0.100"), over("eth0.100", true));
        assert_eq!(read("1.2.3.4", "bind=::ffff:192.0.2.7"), over("192.0.2.7", false));
        assert_eq!(read("2001:db8::7", "bind=[2001:db8::1]"), over("2001:db8::1", false));
        assert_eq!(read("2001:db8::7", "bind=123456789012345"), over("123456789012345", false));
        assert_eq!(read("name", "bind=2001:db8::1"), over("2001:db8::1", false));
    }

    #[test]
    fn wrong_options_are_told_with_what_is_right() {
        for (options, expected) in [
            ("bind=", "bind has no value: write bind=INTERFACE or bind=ADDRESS"),
            ("bind = eth1", "\"bind\" is no option"),
            ("bind=1234567890123456", "is no interface: a name has at most 15 characters"),
            ("bind=a/b", "is no interface: no name holds a \"/\""),
            ("bind=..", "is no interface"),
            ("bind=1.2.3.400", "bind \"1.2.3.400\" is not an IPv4 address"),
            ("bind=fe80::1%eth0", "is not an IPv6 address (a zone"),
            ("bind=[fe80::1]", "fe80::1 may be on every interface: write bind=INTERFACE"),
            ("bind=0.0.0.0", "0.0.0.0 is no address of an interface"),
            ("bind=2001:db8::1", "2001:db8::1 is an IPv6 address, and the bridge has an IPv4 address"),
            ("bind=10.0.0.1 bind=10.0.0.2", "bind is given twice"),
            ("backup bind=10.0.0.1 backup", "backup is given twice"),
            ("bckup", "\"bckup\" is no option: did you mean backup? Remarks go after \"#\""),
            ("back up", "\"back up\" is no option: did you mean backup?"),
            ("Backup cheap", "\"Backup\" is no option: did you mean backup?"),
            ("backup: cheap", "\"backup\" is no option: did you mean backup?"),
            ("bind=10.0.0.1 bakup", "\"bakup\" is no option: did you mean backup?"),
            ("bnid=10.0.0.1", "\"bnid\" is no option: did you mean bind=INTERFACE, without spaces?"),
            ("bid=10.0.0.1", "\"bid\" is no option: did you mean bind=INTERFACE, without spaces?"),
            ("bind:10.0.0.1", "\"bind\" is no option: did you mean bind=INTERFACE, without spaces?"),
            ("bind eth1", "\"bind\" is no option: did you mean bind=INTERFACE, without spaces?"),
            ("backup=yes", "backup has no value: write \"backup\" alone"),
            ("speed=1", "unknown option \"speed\": there are bind=INTERFACE, bind=ADDRESS and backup"),
            ("the line bind=10.0.0.1", "\"the\" is no option"),
        ] {
            let mistakes = read("1.2.3.4", options).expect_err(options);
            assert_eq!(mistakes.len(), 1, "{options}: {mistakes:?}");
            assert!(mistakes[0].contains(expected), "{options}: {mistakes:?}");
        }
    }

    #[test]
    fn copies_are_all_or_as_many_as_there_may_be_paths() {
        assert_eq!(copies("all"), Ok(Copies::All));
        assert_eq!(copies("1"), Ok(Copies::Best(1)));
        assert_eq!(copies("32"), Ok(Copies::Best(32)));
        for word in ["0", "33", "256", "-1", "2 ", "two", "All", "1.5"] {
            let error = copies(word).expect_err(word);
            assert_eq!(error, format!("{word:?} is neither \"all\" nor between 1 and 32"));
        }
    }

    #[test]
    fn a_loss_is_read_to_the_last_digit() {
        for (word, parts) in [
            ("0.1%", 1_000),
            ("0.1 %", 1_000),
            ("50%", 500_000),
            ("50.0000%", 500_000),
            ("0.0001%", 1),
            ("00.25 %", 2_500),
            ("12.3456%", 123_456),
        ] {
            assert_eq!(target_loss(word), Ok(LossTarget(parts)), "{word}");
        }
        for word in [
            "0%",
            "0.0%",
            "50.0001%",
            "51%",
            "0.00001%",
            "0.1",
            "%",
            ".1%",
            "1.%",
            "1,5%",
            "-1%",
            "+1%",
            "1e-3%",
            "0.1%%",
            "0.1 % x",
            "4294967296%",
            "429497%",
            "٣%",
        ] {
            assert!(target_loss(word).expect_err(word).contains("is not a percentage above 0"), "{word}");
        }
    }
}

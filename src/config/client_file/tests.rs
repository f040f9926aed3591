//! Tables of files: what is taken, and what is a mistake.

use super::*;
use crate::config::words::BRIDGE_OPTIONS;
use crate::tunnel::key::Key;
use crate::tunnel::role::LossTarget;
use rand::{RngExt, SeedableRng, rngs::StdRng};

fn parsed(text: impl AsRef<[u8]>) -> Result<ClientFile, Vec<String>> {
    let path = Path::new("conf.d/mpclient.conf");
    parse(path, text.as_ref()).map_err(|mistakes| mistakes.iter().map(Mistake::to_string).collect())
}

fn bridges(text: impl AsRef<[u8]>) -> Vec<String> {
    let file = parsed(text).expect("a file without mistakes");
    file.bridges.iter().map(|bridge| bridge.endpoint.to_string()).collect()
}

#[test]
fn bridges_are_read_however_they_are_laid_out() {
    let two = ["1.2.3.4:4000", "bridge1.myhost.com:4001"];
    for text in [
        "1.2.3.4 4000\nbridge1.myhost.com 4001\n",
        "1.2.3.4 4000\nbridge1.myhost.com 4001",
        "1.2.3.4 4000\r\nbridge1.myhost.com 4001\r\n",
        "\u{feff}1.2.3.4 4000\nbridge1.myhost.com 4001\n",
        "\t1.2.3.4\t4000  \n\n \t \n  bridge1.myhost.com \t 4001\t\n",
        "# bridges\n1.2.3.4 4000 # the target itself\n#5.6.7.8 4000\n  # far\nbridge1.myhost.com 4001 #near\n",
        "1.2.3.4 4000#remark\nbridge1.myhost.com 04001# remark = remark\n",
        "\u{feff}# 中文\n1.2.3.4 4000\n\u{b}\u{c}\nbridge1.myhost.com 4001\n",
    ] {
        assert_eq!(bridges(text), two, "{text:?}");
    }
}

#[test]
fn addresses_of_both_versions_and_names_are_bridges() {
    let text = "2001:db8::7 4000\n[2001:db8::8] 4000\n192.0.2.1 65535\nlocalhost 1\n2001:db8::7 4001\n";
    assert_eq!(
        bridges(text),
        ["[2001:db8::7]:4000", "[2001:db8::8]:4000", "192.0.2.1:65535", "localhost:1", "[2001:db8::7]:4001"]
    );
}

#[test]
fn remarks_may_be_in_any_encoding() {
    assert_eq!(bridges(b"# \xd6\xd0\xce\xc4\n1.2.3.4 4000 # \xff\n"), ["1.2.3.4:4000"]);
}

#[test]
fn every_word_of_the_manual_is_taken() {
    for word in SETTINGS {
        let line = format!("{} = {}", word.name, word.example);
        assert!(parsed(format!("1.2.3.4 4000\n{line}\n")).is_ok(), "{line}");
    }
    for word in BRIDGE_OPTIONS {
        let sign = if word.example.is_empty() { "" } else { "=" };
        let line = format!("1.2.3.4 4000 {}{sign}{}", word.name, word.example);
        let file = parsed(&line).expect(&line);
        assert_eq!(file.warnings, [], "{line}");
    }
}

#[test]
fn settings_are_read_with_and_without_spaces() {
    for text in
        ["listen = [::1]:3001\nkey-file = my key#1 # ours\n", "listen=[::1]:3001\r\nkey-file=my key#1\r\n"]
    {
        let file = parsed(format!("{text}1.2.3.4 4000")).expect(text);
        assert_eq!(file.listen, Some("[::1]:3001".parse().expect("an address")));
        let (place, path) = file.key_file.expect("a key file");
        assert_eq!((place.line, path.as_path()), (2, Path::new("conf.d/my key#1")));
    }
    let (_, path) =
        parsed("a 1\nkey-file = /etc/mptunnel/key").expect("a file").key_file.expect("a key file");
    assert_eq!(path, Path::new("/etc/mptunnel/key"));
}

#[test]
fn copies_are_all_unless_the_file_says_how_many() {
    let copies = |text| parsed(format!("a 1\n{text}")).map(|file| file.copies);
    assert_eq!(copies(""), Ok(Copies::All));
    assert_eq!(copies("copies = 2 # of 3"), Ok(Copies::Best(2)));
    assert_eq!(copies("target-loss = 0.1 % # a tenth"), Ok(Copies::Target(LossTarget(1_000))));
    for text in ["copies = 2\ntarget-loss = 1%", "target-loss = 1%\ncopies = all"] {
        let mistakes = copies(text).expect_err(text);
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        let both = ["mpclient.conf:3: ", "copies", "target-loss", "(line 2)", "take one of the two out"];
        assert!(both.iter().all(|part| mistakes[0].contains(part)), "{mistakes:?}");
    }
}

#[test]
fn one_bridge_over_two_uplinks_is_two_bridges() {
    let file = parsed("1.2.3.4 1 bind=10.0.0.1\n1.2.3.4 1 backup bind=10.0.0.2\n1.2.3.4 1").expect("a file");
    assert_eq!(file.warnings, []);
    let told: Vec<_> = file.bridges.iter().map(|bridge| (bridge.to_string(), bridge.backup)).collect();
    let over = |uplink: &str, backup| (format!("1.2.3.4:1 over {uplink}"), backup);
    assert_eq!(told, [over("10.0.0.1", false), over("10.0.0.2", true), ("1.2.3.4:1".into(), false)]);
    let file = parsed("1.2.3.4 1 bind=10.0.0.1\n1.2.3.4 1 bind=10.0.0.1").expect("a file");
    assert!(file.warnings[0].text.contains("bridge 1.2.3.4:1 over 10.0.0.1 is in line 1 too"));
}

#[test]
fn each_wrong_line_is_told_with_its_value_and_what_is_right() {
    let long = format!("{} 4000", "a".repeat(300));
    for (line, expected) in [
        ("1.2.3.4 40000000", "port \"40000000\" is not between 1 and 65535"),
        ("1.2.3.4 0", "port \"0\" is not between 1 and 65535"),
        ("1.2.3.4 -1", "port \"-1\" is not between 1 and 65535"),
        ("1.2.3.4 http", "port \"http\" is not between 1 and 65535"),
        ("1.2.3.4", "bridge \"1.2.3.4\" has no port: write \"HOST PORT\""),
        ("2001:db8::7:4000", "bridge \"2001:db8::7:4000\" has no port"),
        ("1.2.3.4:4000", "host \"1.2.3.4:4000\" holds a port: write \"1.2.3.4 4000\", with a space"),
        ("1.2.3.4:4000 4000", "host \"1.2.3.4:4000\" holds a port"),
        ("[::1]:4000", "write \"[::1] 4000\""),
        ("1.2.3.256 4000", "host \"1.2.3.256\" is not an IPv4 address"),
        ("brid?ge 4000", "'?' is in no host name"),
        (&long, "at most 253 characters"),
        ("\u{1b}[2J 4000", "host \"\\u{1b}[2J\" is not"),
        ("1.2.3.4 4000 bind=::1", "bind ::1 is an IPv6 address, and the bridge has an IPv4 address"),
        ("1.2.3.4 4000 bnid=eth1", "\"bnid\" is no option: did you mean bind=INTERFACE"),
        ("1.2.3.4 4000 bind = eth1", "\"bind\" is no option"),
        ("1.2.3.4 4000 =eth1", "\"=eth1\" is no option"),
        ("bind=eth1", "bind belongs to a bridge: write \"HOST PORT bind=...\""),
        ("; remark", "remarks begin with \"#\""),
        ("// remark = remark", "remarks begin with \"#\""),
        ("socks5 = 1080", "socks5 \"1080\" is not ADDRESS:PORT: write 127.0.0.1:1080 for this machine alone"),
        ("copies = 33", "copies \"33\" is neither \"all\" nor between 1 and 32"),
        ("target-loss = 0.1", "target-loss \"0.1\" is not a percentage above 0 and up to 50 %"),
        ("copies 2", "copies is a setting: write \"copies = VALUE\""),
        ("listen = localhost", "listen \"localhost\" is not ADDRESS:PORT, such as 127.0.0.1:3000"),
        ("listen = 127.0.0.1:0", "port \"0\" is not between 1 and 65535"),
        ("listen =", "listen has no value"),
        ("key-file=", "key-file has no value"),
        ("key-file = # later", "key-file has no value"),
        ("key-file = \"key\"", "key-file has its value in quotes"),
        ("listen 127.0.0.1:3000", "listen is a setting: write \"listen = VALUE\""),
        ("Listen = 127.0.0.1:3000", "unknown setting \"Listen\": did you mean listen?"),
        ("forward = 127.0.0.1:3000", "forward \"127.0.0.1:3000\" is not ADDRESS:PORT HOST:PORT"),
        ("forward 127.0.0.1:53 dns:53", "forward is a setting: write \"forward = VALUE\""),
        ("maxflows = 7", "unknown setting \"maxflows\": did you mean max-flows?"),
        ("= 4000", "unknown setting \"\""),
        ("=", "unknown setting \"\""),
        ("junk", "bridge \"junk\" has no port"),
    ] {
        let mistakes = parsed(format!("# file\nok 1\n{line}\n")).expect_err(line);
        let last = mistakes.last().expect("a mistake");
        let number = 2 + line.lines().count();
        assert!(last.starts_with(&format!("conf.d/mpclient.conf:{number}: ")), "{line:?}: {last}");
        assert!(last.contains(expected), "{line:?}: {last}");
        // One slip is one mistake; the last row has two wrong lines.
        assert_eq!(mistakes.len(), 1, "{line:?}: {mistakes:?}");
    }
}

#[test]
fn a_key_that_stands_in_the_file_is_not_shown() {
    let key = Key::generate(&mut StdRng::seed_from_u64(7)).to_base64();
    for line in [
        "KEY",
        "key-file = KEY",
        "key-file KEY",
        "key KEY",
        "1.2.3.4 KEY",
        "a 1 KEY",
        "a 1 bnid=KEY",
        "listen = KEY",
    ] {
        let mistakes = parsed(line.replace("KEY", &key)).expect_err(line).join("\n");
        assert!(!mistakes.contains(&key[..8]), "{line}: {mistakes}");
    }
}

#[test]
fn all_mistakes_of_a_file_are_told_in_one_go() {
    let text = "a 1\nb\n1.2.3.999 70000\n\nlisten = x\nlisten = 127.0.0.1:1\nA x\nnew = 1";
    let places: Vec<_> = parsed(text)
        .expect_err("mistakes")
        .iter()
        .map(|mistake| mistake.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    let expected = ["2: bridge", "3: host", "3: port", "5: listen", "6: listen", "7: port", "8: unknown"];
    assert_eq!(places, expected.map(|place| format!("conf.d/mpclient.conf:{place}")));
}

#[test]
fn a_file_without_a_bridge_is_a_mistake_and_one_with_a_wrong_bridge_says_only_that() {
    for text in ["", "\n", "# nothing\n", "listen = 127.0.0.1:3000\n"] {
        let mistakes = parsed(text).expect_err(text);
        assert!(mistakes.len() == 1 && mistakes[0].contains(": no bridge: add a line"), "{mistakes:?}");
    }
    assert_eq!(parsed("1.2.3.4\n").expect_err("no port").len(), 1);
}

#[test]
fn the_most_bridges_are_taken_and_one_more_is_told_once() {
    let lines = |n: usize| (1..=n).map(|port| format!("1.2.3.4 {port}\n")).collect::<String>();
    assert_eq!(bridges(lines(MAX_PATHS)).len(), MAX_PATHS);
    let mistakes = parsed(lines(65_535)).expect_err("too many");
    assert_eq!(
        mistakes,
        ["conf.d/mpclient.conf:33: bridge 1.2.3.4:33 is one too many: at most 32 are taken"]
    );
}

#[test]
fn one_bridge_in_two_spellings_is_the_same_bridge_and_is_taken_with_a_warning() {
    for (one, other) in
        [("::1 1", "[0::1] 1"), ("1.2.3.4 1", "::ffff:1.2.3.4 1"), ("a.org 1", "A.ORG. 1"), ("a 7", "a 007")]
    {
        let file = parsed(format!("{one}\n{other}")).expect(one);
        assert_eq!(file.bridges.len(), 2);
        assert!(file.warnings[0].to_string().contains("mpclient.conf:2: bridge"), "{:?}", file.warnings);
        assert!(file.warnings[0].text.contains("is in line 1 too"), "{:?}", file.warnings);
    }
}

/// The program of 2014 read two words and took no notice of the others.
#[test]
fn a_remark_without_its_sign_is_taken_with_a_warning() {
    let file = parsed("1.2.3.4 4000 the good line\n").expect("a file of 2014");
    assert_eq!(file.bridges.len(), 1);
    assert!(file.warnings[0].text.contains("\"the\" and what follows is ignored"), "{:?}", file.warnings);
    for remark in ["bond of two lines", "back home", "kind of slow", "backhaul", "bind9's machine"] {
        assert_eq!(bridges(format!("1.2.3.4 4000 {remark}")), ["1.2.3.4:4000"], "{remark}");
    }
    let file = parsed("1.2.3.4 4000 the backup line\n1.2.3.5 4000 backup line").expect("a file");
    assert_eq!(file.bridges.iter().map(|bridge| bridge.backup).collect::<Vec<_>>(), [false, true]);
    assert!(file.warnings[1].text.contains("\"line\" and what follows is ignored"), "{:?}", file.warnings);
}

#[test]
fn an_option_with_a_slip_in_it_is_refused_but_in_a_file_that_may_be_of_2014() {
    let said = "\"bckup\" is no option: did you mean backup?";
    let text = "1.2.3.4 4000\n1.2.3.5 4000 bckup\n";
    let file = parsed(text).expect("a file of 2014 may have this remark");
    assert_eq!(file.bridges.len(), 2);
    assert!(file.warnings[0].to_string().contains(&format!(":2: {said}")), "{:?}", file.warnings);
    for setting in ["listen = 127.0.0.1:3000", "\u{feff}copies=2"] {
        let mistakes = parsed(format!("{setting}\n{text}")).expect_err("it has a setting");
        assert!(mistakes.len() == 1 && mistakes[0].contains(&format!(":3: {said}")), "{mistakes:?}");
    }
    // A remark, or an unknown name, is no setting.
    for other in ["# listen = 127.0.0.1:3000", "1.2.3.6 4000 # copies = 2"] {
        assert!(parsed(format!("{other}\n{text}")).is_ok(), "{other}");
    }
}

#[test]
fn no_file_whatever_panics() {
    let mut rng = StdRng::seed_from_u64(2014);
    let words: [&[u8]; 16] = [
        b"1.2.3.4",
        b"::1",
        b"[",
        b"]",
        b":",
        b"4000",
        b"=",
        b"#",
        b" ",
        b"\n",
        b"listen",
        b"bind=",
        b"backup",
        b"target-loss",
        b"\xff",
        b"\xe2\x80\xa6",
    ];
    for _ in 0..20_000 {
        let count = rng.random_range(0..24);
        let text: Vec<u8> =
            (0..count).flat_map(|_| words[rng.random_range(0..words.len())]).copied().collect();
        if let Ok(file) = parsed(&text) {
            assert!((1..=MAX_PATHS).contains(&file.bridges.len()), "{text:?}");
        }
    }
    for word in words {
        // A single word of a hundred thousand parts, and as many lines.
        let _ = parsed(word.repeat(100_000));
        let _ = parsed([b"a:", word].concat().repeat(100_000));
    }
}

#[test]
fn every_configuration_under_examples_is_taken() {
    let mut found = 0;
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("examples can be listed") {
            let path = entry.expect("examples can be listed").path();
            // Other programs' files, such as an nginx.conf for a bridge, end with ".conf" too.
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.starts_with("mpclient") && name.ends_with(".conf") {
                found += 1;
                let octets = std::fs::read(&path).expect("an example can be read");
                assert_eq!(parse(&path, &octets).err(), None, "{}", path.display());
            }
        }
    }
    assert!(found > 0, "no example found");
}

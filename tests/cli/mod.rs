//! The command line of both programs: what a user typed wrong, and what is said about it.

mod keys;
mod reload;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::process::{Finished, MPCLIENT, MPSERVER, PATIENCE, Running, run, run_with};

/// A key as `mpserver genkey` prints it, and one that is none because its end is missing.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const CUT_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// A folder for one test's files, empty at its start.
fn folder(test: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli").join(test);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("a folder for a test's files");
    path
}

/// A file that only its owner may read, as a key file should be.
fn write(folder: &Path, name: &str, contents: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, contents).expect("a test's file is written");
    set_mode(&path, 0o600);
    path.to_str().expect("test files have plain names").to_owned()
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode is set");
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) {}

/// A port that another program has: whoever starts there ends at once, after all that comes before.
fn taken_port() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = socket.local_addr().expect("an address");
    (socket, address)
}

/// Asserts that a program found wrong use, and says so in a line that begins with its name.
fn assert_misuse(finished: &Finished, program: &str, expected: &str) {
    assert_eq!(finished.code, Some(2), "{finished:?}");
    assert_eq!(finished.stdout, "", "errors go to standard error");
    let line = format!("{program}: ");
    let said = finished.stderr.lines().find(|said| said.starts_with(&line));
    assert!(said.is_some_and(|said| said.contains(expected)), "{expected}: {finished:?}");
    assert!(!finished.stderr.contains("error:"), "the program's name says that it is an error: {finished:?}");
}

#[test]
fn wrong_arguments_of_mpserver_are_told_and_end_with_2() {
    for (args, expected) in [
        (&["0", "localhost", "1194"][..], "\"0\" is not a port: a number from 1 to 65535"),
        (&["70000", "localhost", "1194"], "\"70000\" is not a port: a number from 1 to 65535"),
        (&["2000", "localhost", "http"], "\"http\" is not a port: a number from 1 to 65535"),
        (&["127.0.0.1", "1194", "2000"], "the order is LISTEN_PORT TARGET_HOST TARGET_PORT"),
        (&["--bind", "::", "status"], "status is a command, which stands alone: mpserver status"),
        (&["check"], "check is a command of mpclient, which tries its bridges"),
        (&["reload"], "a running mpserver reads the file of --keys again at SIGHUP"),
        (&["help"], "help is an option: mpserver --help"),
        (&["genkeys"], "genkey is a command, which stands alone: mpserver genkey"),
        (&["--daemon", "2000", "localhost", "1194"], "mpserver stays in the foreground"),
        (&["--copies", "2", "2000", "localhost", "1194"], "copies is mpclient's"),
        (&["2000", "127.0.0.1", "2000"], "target 127.0.0.1:2000 is mpserver itself"),
        (&["2000", "localhost", "2000"], "target localhost:2000 is mpserver itself"),
        (&["--bind", "192.0.2.1", "2000", "192.0.2.1", "2000"], "target 192.0.2.1:2000 is mpserver itself"),
        (
            &["--listen", "127.0.0.1:3000", "2000", "localhost", "1194"],
            "mpserver listens at the port that comes first",
        ),
        (&["2000", "1.2.3.400", "1194"], "\"1.2.3.400\" is not an IPv4 address"),
        (&["2000", "local host", "1194"], "\"local host\" is not a host"),
        (&["--bind", "eth0", "2000", "localhost", "1194"], "\"eth0\" is not an IP address"),
        (
            &["2000", "localhost", "1194", "1195"],
            "\"1195\" is one argument too many: mpserver takes LISTEN_PORT",
        ),
        (&["--key", KEY, "2000", "localhost", "1194"], "a key is read from the file of --key-file"),
        (
            &[&format!("--key={KEY}"), "2000", "localhost", "1194"],
            "a key is read from the file of --key-file",
        ),
        (&["--colour", "2000", "localhost", "1194"], "unexpected argument '--colour'"),
        (
            &["--key-file", "/nonexistent/key", "2000", "localhost", "1194"],
            "key file /nonexistent/key: No such file",
        ),
        (
            &["--keys", "/nonexistent/keys", "2000", "localhost", "1194"],
            "cannot read the keys file /nonexistent/keys: No such file",
        ),
        (
            &["--keys", "keys", "--key-file", "key", "2000", "localhost", "1194"],
            "--keys has a key for each client, --key-file one for all: take one of the two away",
        ),
        (&["--keys", KEY, "2000", "localhost", "1194"], "the key itself stands where"),
        (&["2000", "localhost", "1194", "genkey"], "\"genkey\" is one argument too many"),
        (&["--bind", "::", "genkey"], "genkey is a command, which stands alone"),
        (&["--bind", "::"], "required arguments were not provided"),
        (&["--key-file", KEY, "2000", "localhost", "1194"], "the key itself stands where"),
        (&["genkey", "2000"], "unexpected argument '2000'"),
        (&["2000", "localhost"], "required arguments were not provided"),
        (&[], "required arguments were not provided"),
    ] {
        let finished = run(MPSERVER, args);
        assert_misuse(&finished, "mpserver", expected);
        assert!(!finished.stderr.contains(KEY), "a key is shown: {finished:?}");
        assert!(!finished.stderr.contains("-- --"), "the tip leads nowhere: {finished:?}");
    }
}

#[test]
fn wrong_arguments_of_mpclient_are_told_and_end_with_2() {
    for (args, expected) in [
        (&["/nonexistent/mpclient.conf"][..], "/nonexistent/mpclient.conf: No such file"),
        (&["genkey"], "genkey is a command of mpserver: mpserver genkey"),
        (&["help"], "help is an option: mpclient --help"),
        (&["reload"], "a running mpclient reads its file again at SIGHUP"),
        (&["statsu"], "status is a command, which stands alone: mpclient status"),
        (&["--check", "mpclient.conf"], "check is a command, which takes the name of a configuration file"),
        (&["--config", "mpclient.conf"], "the configuration file is named without an option"),
        (&["--copies", "2", "mpclient.conf"], "copies is a setting of the configuration file"),
        (&["--keys", "keys", "mpclient.conf"], "--keys is an option of mpserver"),
        (&["-v", "mpclient.conf"], "RUST_LOG=debug; its version is told by --version"),
        (&["--colour", "mpclient.conf"], "unexpected argument '--colour'"),
        (&["check", "--listen", "127.0.0.1:1", "mpclient.conf"], "unexpected argument '--listen'"),
        (
            &["--listen", "127.0.0.1:3000", "status"],
            "status is a command, which stands alone: mpclient status; a file of this name is ./status",
        ),
        (
            &["mpclient.conf", "status"],
            "\"status\" is one argument too many: status is a command, which stands alone",
        ),
        (&["127.0.0.1", "3000"], "\"3000\" is one argument too many: mpclient takes the name of one"),
        (&["/"], "cannot read the configuration file /: Is a directory"),
        (&["--listen", "3000", "mpclient.conf"], "\"3000\" is not ADDRESS:PORT"),
        (&["--listen", "127.0.0.1:0", "mpclient.conf"], "port \"0\" is not between 1 and 65535"),
        (&["one.conf", "two.conf"], "\"two.conf\" is one argument too many"),
        (&["one.conf", KEY], "(a key, which is not shown) is one argument too many"),
        (&[], "required arguments were not provided"),
    ] {
        assert_misuse(&run(MPCLIENT, args), "mpclient", expected);
    }
}

#[test]
fn all_mistakes_of_a_file_and_of_the_variables_are_told_in_one_go() {
    let folder = folder("all_mistakes");
    let path = write(
        &folder,
        "mpclient.conf",
        "# bridges\r\n1.2.3.4 4000\r\n1.2.3.4 40000000\r\nbridge1:4000\r\n1.2.3.4 4000 bind=::1\r\n\
         colour = blue\r\nlisten = here\r\n",
    );
    let variables = [("RUST_LOG", "inof"), ("MPTUNNEL_ENCRYPT", "maybe"), ("MPTUNNEL_KEY", CUT_KEY)];
    let finished = run_with(MPCLIENT, &[&path], &variables);
    assert_eq!(finished.code, Some(2), "{finished:?}");
    let expected = [
        format!("{path}:3: port \"40000000\" is not between 1 and 65535"),
        format!("{path}:4: host \"bridge1:4000\" holds a port: write \"bridge1 4000\", with a space"),
        format!("{path}:5: bind ::1 is an IPv6 address, and the bridge has an IPv4 address"),
        format!("{path}:6: unknown setting \"colour\": there are listen, key-file"),
        format!("{path}:7: listen \"here\" is not ADDRESS:PORT"),
        "mpclient: RUST_LOG is \"inof\": set it to error, warn, info,".to_owned(),
        "mpclient: MPTUNNEL_ENCRYPT is \"maybe\": set it to 0,".to_owned(),
        "mpclient: MPTUNNEL_KEY is not a key: it has 43 characters".to_owned(),
    ];
    let lines: Vec<_> = finished.stderr.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{finished:?}");
    for (line, expected) in lines.iter().zip(&expected) {
        assert!(line.starts_with(expected.as_str()), "{line}\nis not\n{expected}");
    }
    assert!(!finished.stderr.contains(&CUT_KEY[..8]), "a key is shown: {finished:?}");
}

#[test]
fn wrong_variables_are_told_with_name_and_value_and_a_key_is_never_shown() {
    for (name, value, expected) in [
        ("MPTUNNEL_ENCRYPT", "2", "MPTUNNEL_ENCRYPT is \"2\": set it to 0, false, no or off"),
        ("RUST_LOG", "warn,debgu", "RUST_LOG is \"warn,debgu\": set it to"),
        ("MPTUNNEL_ENCRYPT", "", "MPTUNNEL_ENCRYPT is \"\": set it to"),
        ("MPTUNNEL_KEY", "", "MPTUNNEL_KEY is set but empty: give it a key (\"mpserver genkey\" prints one)"),
        ("MPTUNNEL_KEY", CUT_KEY, "MPTUNNEL_KEY is not a key"),
    ] {
        let finished = run_with(MPSERVER, &["2000", "localhost", "1194"], &[(name, value)]);
        assert_misuse(&finished, "mpserver", expected);
        assert!(!finished.stderr.contains(&CUT_KEY[..8]), "a key is shown: {finished:?}");
    }
}

#[test]
fn a_bridge_that_is_mpclient_itself_is_a_mistake() {
    let folder = folder("itself");
    let path = write(&folder, "mpclient.conf", "1.2.3.4 4000\n127.0.0.1 4000\nlisten = 127.0.0.1:4000\n");
    let finished = run(MPCLIENT, &[&path]);
    assert_eq!(finished.code, Some(2), "{finished:?}");
    let expected = format!("{path}:2: bridge 127.0.0.1:4000 is mpclient itself, which listens there");
    assert!(finished.stderr.starts_with(&expected), "{finished:?}");
    let (_socket, address) = taken_port();
    let finished = run(MPCLIENT, &["--listen", &address.to_string(), &path]);
    assert_eq!(finished.code, Some(1), "elsewhere it is another program's: {finished:?}");
}

#[test]
fn a_port_in_use_ends_with_1_and_the_address() {
    let (_socket, address) = taken_port();
    let folder = folder("port_in_use");
    let path = write(&folder, "mpclient.conf", &format!("1.2.3.4 4000\nlisten = {address}\n"));
    let port = address.port().to_string();
    for (name, finished) in [
        ("mpclient", run(MPCLIENT, &[&path])),
        ("mpserver", run(MPSERVER, &["--bind", "127.0.0.1", &port, "localhost", "1194"])),
    ] {
        assert_eq!(finished.code, Some(1), "{finished:?}");
        let line = format!("{name}: cannot listen on {address}: ");
        let said = finished.stderr.lines().find(|said| said.starts_with(&line));
        assert!(
            said.is_some_and(|said| said.ends_with("has the port (ss -lunp tells)")),
            "{line}: {finished:?}"
        );
    }
}

#[test]
fn an_address_of_another_machine_cannot_be_listened_on() {
    let finished = run(MPSERVER, &["--bind", "192.0.2.1", "2000", "localhost", "1194"]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let line =
        finished.stderr.lines().find(|line| line.starts_with("mpserver: cannot listen on 192.0.2.1:2000: "));
    assert!(line.is_some_and(|line| line.ends_with(": no interface has this address")), "{finished:?}");
}

#[test]
fn a_listener_that_others_reach_is_warned_of() {
    let folder = folder("listener");
    let path = write(&folder, "mpclient.conf", "1.2.3.4 4000\n");
    let (_socket, address) = taken_port();
    let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
    for (listen, warned) in [(address, false), (everywhere, true)] {
        let finished =
            run_with(MPCLIENT, &["--listen", &listen.to_string(), &path], &[("MPTUNNEL_KEY", KEY)]);
        let expected = format!("listening on {listen}: whoever reaches this address can use the tunnel");
        assert_eq!(finished.stderr.contains(&expected), warned, "{finished:?}");
    }
}

#[test]
fn a_line_of_the_log_names_a_module_only_for_who_asks_for_more() {
    let (_socket, address) = taken_port();
    let args = ["--bind", "127.0.0.1", &address.port().to_string(), "localhost", "1194"];
    for (level, named) in [("", false), ("warn", false), ("mptunnel=debug,warn", true)] {
        let finished = run_with(MPSERVER, &args, &[("RUST_LOG", level)]);
        let line = finished.stderr.lines().find(|line| line.contains(" WARN ")).expect("a warning");
        assert_eq!(line.contains("mptunnel::config"), named, "{level}: {line}");
    }
}

#[test]
fn an_option_goes_before_the_setting_and_the_variable_of_its_name() {
    let (_socket, address) = taken_port();
    let address = address.to_string();
    let folder = folder("precedence");
    let key = write(&folder, "key", KEY);
    let path = write(&folder, "mpclient.conf", "1.2.3.4 4000\nlisten = 192.0.2.1:1\nkey-file = missing\n");
    let (bad, good) = ([("MPTUNNEL_KEY", CUT_KEY)], [("MPTUNNEL_KEY", KEY)]);
    let option = ["--listen", &address, "--key-file", &key, &path];
    // Whoever gets as far as the port in use has not looked at the sources that do not count.
    for (args, variables, code) in [
        (&option[..], &bad[..], 1),
        (&["--listen", &address, &path], &good, 1),
        (&["--listen", &address, &path], &bad, 2),
        (&["--listen", &address, &path], &[], 2),
    ] {
        let finished = run_with(MPCLIENT, args, variables);
        assert_eq!(finished.code, Some(code), "{args:?}: {finished:?}");
        assert!(code == 2 || finished.stderr.contains(&address), "{finished:?}");
    }
}

#[test]
fn what_is_left_open_is_warned_of_once_at_the_start() {
    let (_socket, address) = taken_port();
    let port = address.port().to_string();
    let args = ["--bind", "127.0.0.1", &port, "localhost", "1194"];
    let key = ("MPTUNNEL_KEY", KEY);
    let warnings = |variables: &[(&str, &str)]| -> Vec<String> {
        let finished = run_with(MPSERVER, &args, variables);
        assert_eq!(finished.code, Some(1), "{finished:?}");
        finished.stderr.lines().filter(|line| line.contains("WARN")).map(str::to_owned).collect()
    };
    let off = ("MPTUNNEL_ENCRYPT", "Off");
    assert_eq!(warnings(&[key]), [""; 0]);
    assert_eq!(warnings(&[key, ("MPTUNNEL_ENCRYPT", "YES")]), [""; 0]);
    assert_eq!(warnings(&[("RUST_LOG", "error")]), [""; 0]);
    for (variables, expected) in [
        (&[][..], "anybody may connect"),
        (&[off], "anybody may connect"),
        (&[off, key], "MPTUNNEL_ENCRYPT turns encryption off"),
    ] {
        let said = warnings(variables);
        assert!(said.len() == 1 && said[0].contains(expected), "{variables:?}: {said:?}");
    }
}

#[test]
fn help_and_version_are_for_standard_output_and_end_with_0() {
    for (program, name, words) in [
        (MPSERVER, "mpserver", &["LISTEN_PORT", "TARGET_HOST", "--bind", "genkey", "status"][..]),
        (MPCLIENT, "mpclient", &["CONFIG", "--listen", "127.0.0.1:3000", "HOST PORT", "status"]),
    ] {
        let help = run(program, &["--help"]);
        assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
        let shared = ["--key-file", "--control", "MPTUNNEL_ENCRYPT", "MPTUNNEL_KEY", "RUST_LOG", "Example"];
        for word in words.iter().chain(&shared) {
            assert!(help.stdout.contains(word), "{name} --help does not name {word}");
        }
        let widest = help.stdout.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(105), "{name} --help is {widest:?} columns wide");
        let version = run(program, &["--version"]);
        assert_eq!((version.code, version.stdout), (Some(0), format!("{name} {}\n", mptunnel::VERSION)));
    }
}

#[test]
fn check_offers_no_option_that_is_for_carrying() {
    let help = run(MPCLIENT, &["check", "--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    let options = help.stdout.split_whitespace().filter(|word| word.starts_with("--"));
    assert_eq!(options.collect::<Vec<_>>(), ["--key-file", "--json", "--help"], "{help:?}");
}

#[test]
fn a_file_that_has_the_name_of_a_word_that_would_be_answered_is_read() {
    let folder = folder("named");
    write(&folder, "help", "1.2.3.4\n");
    let path = folder.join("help");
    let finished = run(MPCLIENT, &[path.to_str().expect("test files have plain names")]);
    assert!(finished.stderr.contains("bridge \"1.2.3.4\" has no port"), "{finished:?}");
}

#[test]
fn both_programs_end_with_0_when_told_to_stop() {
    let free_port = || taken_port().1;
    let (listen, bridge) = (free_port(), free_port());
    let target = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    target.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
    let folder = folder("stop");
    let path = write(&folder, "mpclient.conf", &format!("127.0.0.1 {}\nlisten = {listen}\n", bridge.port()));
    let (port, target_port) = (bridge.port().to_string(), target.local_addr().expect("an address").port());
    let server =
        Running::start(MPSERVER, &["--bind", "127.0.0.1", &port, "127.0.0.1", &target_port.to_string()], &[]);
    let client = Running::start(MPCLIENT, &[&path], &[]);
    // What has carried a datagram has long been waiting for signals.
    let target_address = target.local_addr().expect("an address");
    let application = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let deadline = Instant::now() + PATIENCE;
    while target.recv(&mut [0; 16]).is_err() {
        assert!(Instant::now() < deadline, "nothing came through the tunnel within {PATIENCE:?}");
        let _ = application.send_to(b"through", listen);
    }
    let version = mptunnel::VERSION;
    let started = [
        format!("mpserver {version}: listening on {bridge}, target {target_address}, no key, encryption on"),
        format!("mpclient {version}: listening on {listen}, 1 bridge, no key, encryption on"),
    ];
    for ((signal, running), started) in [("TERM", server), ("INT", client)].into_iter().zip(started) {
        running.signal(signal);
        let finished = running.finish();
        assert_eq!(finished.code, Some(0), "{signal}: {finished:?}");
        assert!(finished.stderr.contains(&started), "{started}: {finished:?}");
        let last = finished.stderr.lines().last();
        assert!(last.is_some_and(|line| line.ends_with(&format!("stopped by SIG{signal}"))), "{finished:?}");
    }
}

//! What a running program says of itself: `status`, and the control socket behind it.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Zoned;
use mptunnel::status::{Look, WIDTH, table};
use mptunnel::tunnel::snapshot::{Program, Snapshot, Status};

use super::setup::{KEYED, Setup, V4, lines, wait_until_all_carry};
use crate::lossy_bridge::Faults;
use crate::process::{Finished, MPCLIENT, MPSERVER, PATIENCE, Running, RuntimeFolder, run, run_with};
use crate::wait::poll_until;

/// The control socket of a running program.
fn socket(running: &Running, program: Program) -> PathBuf {
    running.runtime_folder().join("mptunnel").join(format!("{}.sock", program.name()))
}

/// `status` with these arguments, of a program that runs.
pub(super) fn status(running: &Running, program: Program, args: &[&str]) -> Finished {
    let binary = if program == Program::Mpclient { MPCLIENT } else { MPSERVER };
    let folder = running.runtime_folder().to_str().expect("test files have plain names");
    run_with(binary, &[&["status"], args].concat(), &[("XDG_RUNTIME_DIR", folder)])
}

/// What it says of itself.
pub(crate) fn snapshot(running: &Running, program: Program) -> Snapshot {
    let finished = status(running, program, &["--json"]);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
    serde_json::from_str(&finished.stdout).expect("a snapshot")
}

fn given(path: &Path) -> [&str; 2] {
    ["--control", path.to_str().expect("test files have plain names")]
}

#[test]
fn both_programs_tell_what_their_paths_lose() {
    const LOSS: f64 = 0.1;
    let setup = Setup::new("status-loss", V4);
    let bridges = setup.three_bridges(Faults { loss: LOSS, ..Faults::default() });
    let mpserver = setup.mpserver(KEYED);
    let mpclient = setup.mpclient(&lines(&bridges), KEYED);
    let stream = setup.stream(500);
    wait_until_all_carry(&stream, &bridges);
    let ends = [(&mpclient, Program::Mpclient), (&mpserver, Program::Mpserver)];
    for (running, program) in ends {
        let enough = || snapshot(running, program).peers[0].received.datagrams >= 3_000;
        assert!(poll_until(PATIENCE, enough), "{} counts what comes", program.name());
    }
    for (running, program) in ends {
        // On a busy machine a path is late for a moment.
        let mut snapshot = snapshot(running, program);
        let all_lossy = || {
            snapshot = self::snapshot(running, program);
            snapshot.peers[0].paths.iter().all(|path| path.status == Status::Lossy)
        };
        assert!(poll_until(PATIENCE, all_lossy), "{}: {snapshot:?}", program.name());
        assert_eq!((snapshot.program, snapshot.encryption, snapshot.key), (program, true, true));
        assert_eq!((snapshot.peers.len(), snapshot.peers[0].paths.len()), (1, 3));
        for path in &snapshot.peers[0].paths {
            for loss in [path.loss_received.last_5min, path.loss_sent.last_5min] {
                let loss = loss.expect("datagrams flow both ways");
                // Five standard errors of 2,500 datagrams, and what is said is up to two seconds old. A machine that
                // is busy with other tests loses some by itself.
                assert!((LOSS - 0.03..LOSS + 0.1).contains(&loss), "{}: {path:?}", program.name());
            }
        }
        let mut shown = status(running, program, &[]);
        let all_lossy = || {
            shown = status(running, program, &[]);
            shown.stdout.matches("lossy").count() == 3
        };
        assert!(poll_until(PATIENCE, all_lossy), "{shown:?}");
        assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""), "{shown:?}");
        assert!(shown.stdout.starts_with(&format!("{} ", program.name())), "{shown:?}");
        assert!(!shown.stdout.contains('\x1b'), "this is no terminal: {shown:?}");
        assert!(shown.stdout.lines().all(|line| line.chars().count() <= WIDTH), "{shown:?}");
        let look = Look { colour: true, now: Zoned::now(), peers: 1, in_full: false };
        assert!(table(&snapshot, &look).contains("\x1b[33mlossy\x1b[m"));
    }
    let mode = fs::metadata(socket(&mpclient, Program::Mpclient)).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let folder = mpclient.runtime_folder().join("mptunnel");
    assert_eq!(fs::metadata(folder).expect("its folder").permissions().mode() & 0o777, 0o700);
    stream.finish();
}

#[test]
fn a_client_of_the_socket_that_stalls_holds_nothing_up() {
    let setup = Setup::new("status-stall", V4);
    let bridges = setup.three_bridges(Faults::default());
    let _mpserver = setup.mpserver(KEYED);
    let mpclient = setup.mpclient(&lines(&bridges), KEYED);
    let stream = setup.stream(200);
    let first = wait_until_all_carry(&stream, &bridges);
    let path = socket(&mpclient, Program::Mpclient);
    let _stalling: Vec<_> = (0..20).map(|_| UnixStream::connect(&path).expect("it listens")).collect();
    snapshot(&mpclient, Program::Mpclient);
    assert!(poll_until(PATIENCE, || stream.sent() >= first + 400), "the stream goes on");
    let (there, back) = stream.finish();
    for direction in [there, back] {
        assert!(direction.missing.iter().all(|number| *number < first), "nothing is lost");
    }
}

#[test]
fn a_watch_survives_a_restart_of_the_program() {
    let setup = Setup::new("status-watch", V4);
    let folder = RuntimeFolder::new();
    let path = folder.path().join("control.sock");
    let control = given(&path);
    let start = || setup.mpserver_and(&control, KEYED);
    let mpserver = start();
    mpserver.wait_for_lines(1, "listening on");
    let watch = Running::start(MPSERVER, &[&["status", "--watch"], &control[..]].concat(), &[]);
    let tables = || watch.output().matches("no client is connected").count();
    assert!(poll_until(PATIENCE, || tables() >= 2), "a table each second: {}", watch.output());
    mpserver.kill();
    watch.wait_for_lines(1, &format!("mpserver status: no mpserver answers at {}: ", path.display()));
    let before = tables();
    let _again = start();
    assert!(poll_until(PATIENCE, || tables() > before), "it shows the new one: {}", watch.output());
}

#[test]
fn a_watch_on_a_terminal_is_drawn_in_place_in_colour_and_goes_on_with_the_next_program() {
    let setup = Setup::new("status-terminal", V4);
    let bridges = setup.three_bridges(Faults::default());
    let _mpserver = setup.mpserver(KEYED);
    let folder = RuntimeFolder::new();
    let path = folder.path().join("control.sock");
    let configuration = setup.configure(&lines(&bridges));
    let start = || Running::start(MPCLIENT, &[&[&configuration[..]], &given(&path)[..]].concat(), KEYED);
    let mpclient = start();
    mpclient.wait_for_lines(3, "is up");
    let command = format!("exec {MPCLIENT} status --watch --control {}", path.display());
    // It gives the command a terminal, and copies to us what it draws there.
    let on_a_terminal = |variables: &[(&str, &str)]| {
        Running::start("script", &["-q", "-e", "-c", &command, "/dev/null"], variables)
    };
    let (coloured, plain) = (on_a_terminal(&[("NO_COLOR", "")]), on_a_terminal(&[("NO_COLOR", "1")]));
    let drawings = |watch: &Running| watch.output().matches("\x1b[H\x1b[?7lmpclient ").count();
    let shown = || drawings(&coloured) >= 2 && drawings(&plain) >= 2;
    assert!(poll_until(PATIENCE, shown), "a table each second: {:?}", coloured.output());
    mpclient.kill();
    let nobody = format!("\x1b[H\x1b[?7lno mpclient answers at {}: ", path.display());
    let said = || coloured.output().contains(&nobody);
    assert!(poll_until(PATIENCE, said), "in the table's place: {:?}", coloured.output());
    let before = drawings(&coloured);
    let _again = start();
    assert!(poll_until(PATIENCE, || drawings(&coloured) > before), "{:?}", coloured.output());
    assert_eq!(coloured.output().matches("\x1b[J").count(), coloured.output().matches("\x1b[H").count());
    assert!(coloured.output().contains("\x1b[32mup\x1b[m"), "{:?}", coloured.output());
    assert!(!plain.output().contains("\x1b[32m"), "{:?}", plain.output());
}

#[test]
fn without_a_program_status_tells_where_it_has_asked() {
    let folder = RuntimeFolder::new();
    let path = folder.path().join("nobody.sock");
    for (program, name) in [(MPCLIENT, "mpclient"), (MPSERVER, "mpserver")] {
        for args in [&["status"][..], &["status", "--json"]] {
            let finished = run(program, &[args, &given(&path)].concat());
            assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{finished:?}");
            let expected = format!("{name} status: no {name} answers at {}: No such file", path.display());
            assert!(finished.stderr.starts_with(&expected), "{finished:?}");
        }
    }
}

#[test]
fn a_live_socket_is_refused_and_a_stale_one_replaced() {
    let folder = RuntimeFolder::new();
    let path = folder.path().join("control.sock");
    let setup = Setup::new("status-socket", V4);
    let start = || setup.mpserver_and(&given(&path), KEYED);
    let listener = UnixListener::bind(&path).expect("a socket");
    let refused = start().finish();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let line = format!(
        "mpserver: cannot make the control socket {} (--control): another process answers there: ",
        path.display()
    );
    let said = refused.stderr.lines().find(|said| said.starts_with(&line));
    assert!(said.is_some_and(|said| said.contains("--control")), "{refused:?}");

    drop(listener);
    let mpserver = start();
    mpserver.wait_for_lines(1, "listening on");
    let mut json = String::new();
    let mut stream = UnixStream::connect(&path).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time that is not zero");
    stream.read_to_string(&mut json).expect("a snapshot, and its end");
    assert!(json.starts_with("{\"schema\":") && json.ends_with("}\n"), "{json}");
    mpserver.signal("TERM");
    assert_eq!(mpserver.finish().code, Some(0));
    assert!(!path.exists(), "it is removed at the end");
}

#[test]
fn where_the_usual_socket_is_taken_a_program_warns_and_goes_on_without() {
    let setup = Setup::new("status-taken", V4);
    let folder = RuntimeFolder::new();
    let path = folder.path().join("mptunnel").join("mpclient.sock");
    fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
    let _listener = UnixListener::bind(&path).expect("a socket");
    let bridges = setup.three_bridges(Faults::default());
    let _mpserver = setup.mpserver(KEYED);
    let mpclient = Running::start_in(folder, MPCLIENT, &[&setup.configure(&lines(&bridges))], KEYED);
    mpclient.wait_for_lines(1, "connected to mpserver");
    let log = mpclient.log();
    let warning = log.lines().find(|line| line.contains("WARN") && line.contains("--control"));
    assert!(warning.is_some_and(|line| line.contains(&path.display().to_string())), "{log}");
}

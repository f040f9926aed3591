//! An mpserver of many clients: all of them at a glance, and one in full.

use std::collections::HashSet;

use mptunnel::status::WIDTH;
use mptunnel::tunnel::snapshot::{Program, Snapshot};

use super::setup::{Setup, V4, free_address, line, lines};
use super::status::{snapshot, status};
use crate::lossy_bridge::Faults;
use crate::process::{MPCLIENT, MPSERVER, PATIENCE, Running, run};
use crate::wait::poll_until;

const KEYS: [(&str, &str); 4] = [
    ("home", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
    ("boat", "bXB0dW5uZWwgdGVzdHMgdXNlIHRoaXMga2V5IG9ubHk="),
    ("cabin", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="),
    ("late", "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="),
];

#[test]
fn an_mpserver_shows_many_clients_at_a_glance_and_one_in_full() {
    let setup = Setup::new("status-overview", V4);
    let bridges = setup.three_bridges(Faults::default());
    let own = setup.bridge(Faults::default(), 4);
    let file: Vec<_> = KEYS.iter().map(|(name, key)| format!("{name} {key}")).collect();
    let keys = setup.write("keys", &(file.join("\n") + "\n"));
    let mpserver = setup.mpserver_and(&["--keys", &keys], &[]);
    let start = |number: usize, name: &str| {
        let (_, key) = KEYS.iter().find(|(known, _)| *known == name).expect("it is one of these");
        let mut bridges = lines(&bridges);
        if name == "boat" {
            bridges.push(line(own.address()));
        }
        let text = format!("{}\nlisten = {}\n", bridges.join("\n"), free_address());
        Running::start(MPCLIENT, &[&setup.write(&format!("{number}.conf"), &text)], &[("MPTUNNEL_KEY", key)])
    };
    let names = ["home", "cabin", "boat", "home", "cabin"];
    let _clients: Vec<_> = names.iter().enumerate().map(|(number, name)| start(number, name)).collect();
    let shows = |args: &[&str]| {
        let finished = status(&mpserver, Program::Mpserver, args);
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
        finished.stdout
    };
    let mut shown = String::new();
    let all_well = || {
        shown = shows(&[]);
        shown.contains("\n5 clients, none with trouble\n") && shown.matches("  3 of 3  ").count() == 4
    };
    assert!(poll_until(PATIENCE, all_well), "{shown}");
    assert!(shown.contains("  4 of 4  ") && !shown.contains("path  bridge"), "{shown}");
    assert!(shown.ends_with("\n\"mpserver status --client NAME\" shows one client in full\n"), "{shown}");

    own.set_dead(true);
    let boat = |text: &str| {
        let line = text.lines().find(|line| line.contains(" boat "));
        line.is_some_and(|line| line.starts_with("! ") && line.ends_with("path 3 silent"))
    };
    let mut shown = String::new();
    let in_trouble = || {
        shown = shows(&[]);
        boat(&shown)
    };
    assert!(poll_until(PATIENCE, in_trouble), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= WIDTH), "{shown}");
    mpserver.signal("USR1");
    mpserver.wait_for_lines(1, "INFO  5 clients, ");
    mpserver.wait_for_lines(1, " boat ");

    let peers = snapshot(&mpserver, Program::Mpserver).peers;
    let number = peers.iter().find(|peer| peer.name.as_deref() == Some("boat")).expect("it is there").number;
    for client in ["boat", &number.to_string()] {
        let mut shown = String::new();
        // It is told within a second.
        let is_told = || {
            shown = shows(&["--client", client]);
            shown.contains(&format!(" client {number} (boat): path 3 is silent: "))
        };
        assert!(poll_until(PATIENCE, is_told), "{shown}");
        assert!(shown.contains(&format!("\nclient {number} (boat): heard ")), "{shown}");
        assert_eq!((shown.matches("): heard ").count(), shown.matches("path  bridge").count()), (1, 1));
        let others = ["home", "cabin"].map(|name| shown.matches(&format!("({name})")).count());
        assert_eq!(others, [0, 0], "{shown}");
    }
    let shown = shows(&["--client", "home"]);
    assert_eq!(
        (shown.matches(" (home): heard ").count(), shown.matches("): heard ").count()),
        (2, 2),
        "{shown}"
    );
    let selected: Snapshot =
        serde_json::from_str(&shows(&["--json", "--client", "home"])).expect("a snapshot");
    let names: Vec<_> = selected.peers.iter().map(|peer| peer.name.as_deref()).collect();
    assert_eq!(names, [Some("home"); 2]);
    // The silent path is another's; that the program runs is everybody's.
    let names: HashSet<_> = selected.events.iter().map(|event| event.peer_name.as_deref()).collect();
    assert_eq!(names, HashSet::from([None, Some("home")]), "{:?}", selected.events);

    let nobody = status(&mpserver, Program::Mpserver, &["--client", "late"]);
    assert_eq!((nobody.code, nobody.stdout.as_str()), (Some(1), ""), "{nobody:?}");
    let said = "mpserver status: there is no client \"late\", but clients 0 (";
    assert!(
        nobody.stderr.starts_with(said) && nobody.stderr.contains(&format!("{number} (boat)")),
        "{nobody:?}"
    );

    // A watch waits for who is to come.
    let folder = mpserver.runtime_folder().to_str().expect("test files have plain names");
    let watch =
        Running::start(MPSERVER, &["status", "--watch", "--client", "late"], &[("XDG_RUNTIME_DIR", folder)]);
    watch.wait_for_lines(1, said);
    let _late = start(5, "late");
    assert!(poll_until(PATIENCE, || watch.output().contains(" (late): heard ")), "{}", watch.output());
    assert!(!watch.output().contains("(home): heard"), "{}", watch.output());

    // How one has gone is told to who asks for it.
    let others: Vec<_> = file.iter().filter(|line| !line.starts_with("boat ")).map(String::as_str).collect();
    setup.write("keys", &(others.join("\n") + "\n"));
    mpserver.signal("HUP");
    mpserver.wait_for_lines(1, " (boat) is out: ");
    let mut said = String::new();
    // The watch may just have been answered; what it was told serves others for a moment.
    let is_gone = || {
        let gone = status(&mpserver, Program::Mpserver, &["--client", "boat"]);
        said = gone.stderr;
        gone.code == Some(1)
    };
    assert!(poll_until(PATIENCE, is_gone), "{said}");
    let last = format!(" ago: client {number} (boat) is out: its key is none of the file's any more\n");
    assert!(said.contains("; the last of \"boat\", ") && said.ends_with(&last), "{said}");
}

#[test]
fn an_mpclient_has_no_clients_to_choose_from() {
    let finished = run(MPCLIENT, &["status", "--client", "home"]);
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(2), ""), "{finished:?}");
    assert!(finished.stderr.contains("unexpected argument '--client'"), "{finished:?}");
}

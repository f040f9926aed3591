//! The page that `--metrics` shows, in a browser.

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use super::setup::{KEYED, Setup, V4, free_address, free_port, lines, wait_until_all_carry};
use crate::browser::Browser;
use crate::http::get;
use crate::lossy_bridge::{Faults, LossyBridge};
use crate::process::{MPCLIENT, Running};
use crate::programs::{BROWSER, find};

/// How soon the page shows what has happened.
const PROMISED_S: f64 = 3.0;

fn browser() -> Option<Browser> {
    let installed = find("chromedriver", BROWSER).is_some() && find("chromium", BROWSER).is_some();
    installed.then(|| Browser::start(free_address()))
}

/// Starts mpclient over these bridges, with a page. Returns its address as well.
fn mpclient(setup: &Setup, bridges: &[String], port: u16) -> Running {
    setup.mpclient(&[bridges, &[format!("metrics = 127.0.0.1:{port}")]].concat(), KEYED)
}

/// Ends two of three bridges, one after the other, and sees the open page show it as soon as is promised. Returns the
/// third.
fn two_bridges_die_and_are_shown(browser: &Browser, bridges: [LossyBridge; 3]) -> LossyBridge {
    let mut seconds = Vec::new();
    let [first, second, third] = bridges;
    for (dead, bridge) in [first, second].into_iter().enumerate() {
        let begin = Instant::now();
        drop(bridge);
        browser.wait_until(&format!("document.title.includes('{} of 3 paths up')", 2 - dead));
        let marked = browser.value("document.querySelectorAll('.path .late, .path .silent').length > 0");
        assert_eq!(marked, json!(true), "the path is marked");
        seconds.push(begin.elapsed().as_secs_f64());
        browser.wait_until(&format!(
            "document.querySelectorAll('.path .status.silent').length === {}",
            dead + 1
        ));
        browser.wait_until("document.querySelector('#events .path_silent') !== null");
    }
    println!("dead bridges were shown after {seconds:.1?} s");
    // A machine may be busy once.
    assert!(seconds.iter().any(|seconds| *seconds < PROMISED_S), "{seconds:?}");
    third
}

#[test]
fn the_page_shows_a_dead_bridge_and_a_dead_program_and_goes_on_when_it_is_back() {
    let Some(browser) = browser() else { return };
    let setup = Setup::new("page-dead", V4);
    let bridges = setup.three_bridges(Faults { loss: 0.05, ..Faults::default() });
    let named = lines(&bridges);
    let port = free_port(V4);
    let _mpserver = setup.mpserver(KEYED);
    let running = mpclient(&setup, &named, port);
    let stream = setup.stream(200);
    wait_until_all_carry(&stream, &bridges);
    browser.open(&format!("http://127.0.0.1:{port}/"));
    browser.wait_until("document.querySelectorAll('.path .status.up, .path .status.lossy').length === 3");
    browser.wait_until("document.getElementById('state').textContent === '3 of 3 paths up'");
    browser.wait_until("document.querySelectorAll('#curves svg path.line').length >= 12");
    assert_eq!(browser.errors(), Vec::<String>::new());

    let _last = two_bridges_die_and_are_shown(&browser, bridges);

    running.kill();
    let gone = "!document.getElementById('gone').hidden";
    browser.wait_until(gone);
    browser.wait_until(
        "document.getElementById('gone').textContent.startsWith('mpclient does not answer since')",
    );
    let _again = mpclient(&setup, &named, port);
    browser.wait_until(&format!("!({gone})"));
    browser.wait_until("document.getElementById('state').textContent === '1 of 3 paths up'");
    stream.finish();
}

#[test]
fn the_page_of_mpserver_shows_a_dead_bridge_as_soon() {
    let Some(browser) = browser() else { return };
    let setup = Setup::new("page-server", V4);
    let bridges = setup.three_bridges(Faults { loss: 0.05, ..Faults::default() });
    let port = free_port(V4);
    let _mpserver = setup.mpserver_and(&["--metrics", &format!("127.0.0.1:{port}")], KEYED);
    let _mpclient = setup.mpclient(&lines(&bridges), KEYED);
    let stream = setup.stream(200);
    wait_until_all_carry(&stream, &bridges);
    browser.open(&format!("http://127.0.0.1:{port}/"));
    browser.wait_until("document.getElementById('state').textContent === '3 of 3 paths up'");
    let shown = "[...document.querySelectorAll('#curves figure')].map((figure) => !figure.hidden).join()";
    assert_eq!(browser.value(shown), json!("false,true,true,true,true"), "it measures no round trips");
    let _last = two_bridges_die_and_are_shown(&browser, bridges);
    assert_eq!(browser.errors(), Vec::<String>::new());
    stream.finish();
}

#[test]
fn of_two_clients_the_events_are_those_of_the_one_that_is_shown_unless_all_are_wanted() {
    let Some(browser) = browser() else { return };
    let setup = Setup::new("page-events", V4);
    let bridges = setup.three_bridges(Faults::default());
    let port = free_port(V4);
    let mpserver = setup.mpserver_and(&["--metrics", &format!("127.0.0.1:{port}")], KEYED);
    let start = |number: usize, bridges: &[String]| {
        let text = format!("{}\nlisten = {}\n", bridges.join("\n"), free_address());
        let client = Running::start(MPCLIENT, &[&setup.write(&format!("{number}.conf"), &text)], KEYED);
        mpserver.wait_for_lines(1, &format!("client {number} has connected"));
        client
    };
    let _first = start(0, &lines(&bridges[..1]));
    browser.open(&format!("http://127.0.0.1:{port}/"));
    browser.wait_until("document.getElementById('state').textContent === '1 of 1 path up'");
    let hidden = "document.getElementById('whose').hidden";
    assert_eq!(browser.value(hidden), json!(true), "there is but one");
    let _second = start(1, &lines(&bridges[1..]));
    mpserver.wait_for_lines(1, "client 1: path 1 is up");
    browser.wait_until(&format!("!{hidden}"));
    let clients = "[0, 1].filter((number) => [...document.querySelectorAll('#events span')].some((event) => \
                   event.textContent.startsWith(`client ${number}`))).join()";
    let are_of = |of: &str| browser.wait_until(&format!("{clients} === '{of}'"));
    are_of("0");
    browser.value("document.getElementById('everybody').click()");
    are_of("0,1");
    browser.value("document.getElementById('everybody').click()");
    are_of("0");
    browser.value(
        "(peer => { peer.value = '1'; peer.dispatchEvent(new Event('change')) })(document.getElementById('peer'))",
    );
    are_of("1");
    let started = "[...document.querySelectorAll('#events .start')].length";
    assert_eq!(browser.value(started), json!(1), "that the program runs is everybody's");
    assert_eq!(browser.errors(), Vec::<String>::new());
}

#[test]
fn sixteen_paths_are_told_apart_and_fit_on_a_phone_in_dark_and_in_light() {
    let Some(browser) = browser() else { return };
    let setup = Setup::new("page-sixteen", V4);
    let bridges: Vec<_> = (0..16)
        .map(|seed| setup.bridge(Faults { loss: 0.01 * f64::from(seed as u32), ..Faults::default() }, seed))
        .collect();
    let port = free_port(V4);
    let _mpserver = setup.mpserver(KEYED);
    let _mpclient = mpclient(&setup, &lines(&bridges), port);
    let stream = setup.stream(100);
    browser.open(&format!("http://127.0.0.1:{port}/"));
    browser.wait_until("document.getElementById('state').textContent === '16 of 16 paths up'");
    browser.wait_until("document.querySelectorAll('#curves figure:nth-child(2) path.line').length === 17");
    let looks = browser.value(
        "new Set([...document.querySelectorAll('.swatch path')].map((path) => path.getAttribute('class') + \
         path.getAttribute('stroke-dasharray'))).size",
    );
    assert_eq!(looks, json!(16), "each has its own colour and dashes");
    let numbered = "[...document.querySelectorAll('#curves figure:nth-child(1) .end')].map((end) => Number(end.textContent)).\
                    sort((a, b) => a - b).join() === [...Array(16).keys()].join()";
    browser.wait_until(numbered);

    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("daemons").join("page-sixteen");
    let mut grounds = Vec::new();
    for (width, height) in [(360, 740), (1240, 900)] {
        for scheme in ["light", "dark"] {
            browser.look(width, height, scheme);
            browser.wait_until(&format!("matchMedia('(prefers-color-scheme: {scheme})').matches"));
            browser.wait_until(&format!("innerWidth === {width}"));
            let fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth";
            assert_eq!(browser.value(fits), json!(true), "nothing is wider than {width} pixels");
            let room = "[...document.querySelectorAll('.bridge')].every((name) => name.clientWidth >= 140)";
            assert_eq!(browser.value(room), json!(true), "a bridge's name is not broken into letters");
            grounds.push(browser.value("getComputedStyle(document.body).backgroundColor"));
            browser.picture(&folder.join(format!("{width}-{scheme}.png")));
        }
    }
    assert_ne!(grounds[0], grounds[1], "dark is not light");

    browser.value("document.querySelector('[data-path=\"5\"]').click()");
    browser.wait_until("document.querySelectorAll('#curves path.chosen').length >= 4");
    assert_eq!(browser.value("document.activeElement === document.body"), json!(true));
    assert_eq!(browser.errors(), Vec::<String>::new());
    stream.finish();
}

#[test]
fn the_page_needs_nothing_of_others_and_its_policy_says_so() {
    let setup = Setup::new("page-policy", V4);
    let port = free_port(V4);
    let running = mpclient(&setup, &["127.0.0.1 9".to_owned()], port);
    running.wait_for_lines(1, "listening on");
    let at = (V4, port).into();
    for (path, media_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/curves.js", "text/javascript; charset=utf-8"),
        ("/words.js", "text/javascript; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ] {
        let answer = get(at, path).expect("it answers");
        assert_eq!((answer.status, answer.field("Content-Type")), (200, Some(media_type)), "{path}");
        let policy = answer.field("Content-Security-Policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
        let elsewhere = answer.body.replace("http://www.w3.org/2000/svg", "");
        assert!(!elsewhere.contains("://"), "{path} names another place");
        // Names come from others: they are text, never a part of the page.
        for way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!answer.body.contains(way), "{path} has {way}");
        }
    }
    for path in ["/snapshot.json", "/history.json"] {
        let answer = get(at, path).expect("it answers");
        assert_eq!((answer.status, answer.field("Content-Type")), (200, Some("application/json")));
        serde_json::from_str::<Value>(&answer.body).expect("it is JSON");
    }
}

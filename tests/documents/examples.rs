//! Everything below `examples/` is known to this test, and would be taken by the program that it is for.

use super::{checks, files_below, read};

/// Files that the namespace tests run as they are, and the test that does.
const RUN_ELSEWHERE: [(&str, &str); 8] = [
    ("bridges/nftables/bridge.nft", "the_bridge_example_of_nftables_carries"),
    ("bridges/nginx/stream.conf", "the_bridge_example_of_nginx_carries"),
    ("dns/server/dnsmasq.conf", "the_dns_example_answers_dig"),
    ("openvpn/client/client.conf", "the_openvpn_example_comes_up"),
    ("openvpn/server/server.conf", "the_openvpn_example_comes_up"),
    ("wireguard/client/wg0.conf", "the_wireguard_example_comes_up"),
    ("wireguard/server/wg0.conf", "the_wireguard_example_comes_up"),
    ("bridges/socat/bridge.sh", "the_bridge_example_of_socat_carries"),
];

/// Checks a file; `false` if it is of a kind that nobody here knows.
fn check(name: &str, text: &str) -> bool {
    let file = name.rsplit('/').next().expect("a name has a last part");
    let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
    match (file, extension) {
        ("mpclient.conf", _) => checks::client_configuration(text),
        ("keys", _) => checks::keys(text),
        (_, "sh") => checks::shell(text),
        (_, "service") => checks::unit(text),
        // Parts of units, which `packaging/systemd/test` runs.
        ("keys.conf" | "socks5-users.conf", _) => checks::unit(text),
        // Cargo builds them, and `README.md` has a test of its own.
        (_, "rs") | ("README.md", _) => {}
        // `tests/web/grafana.rs` has promtool read them.
        ("mptunnel.json" | "prometheus.yml" | "rules.yml" | "rules-clients.yml", _) => {}
        _ => return false,
    }
    true
}

#[test]
fn every_example_is_what_its_program_takes() {
    let tests = files_below("tests/netns")
        .iter()
        .map(|name| read(&format!("tests/netns/{name}")))
        .collect::<String>();
    for (name, test) in RUN_ELSEWHERE {
        assert!(tests.contains(&format!("fn {test}()")), "no namespace test {test} runs {name}");
    }
    let mut unknown = Vec::new();
    for name in files_below("examples") {
        let run = RUN_ELSEWHERE.iter().any(|(known, _)| *known == name);
        if !check(&name, &read(&format!("examples/{name}"))) && !run {
            unknown.push(name);
        }
    }
    assert!(unknown.is_empty(), "nothing checks examples/{}", unknown.join(", examples/"));
}

#[test]
fn every_folder_of_examples_is_in_their_list() {
    let list = read("examples/README.md");
    let mut folders: Vec<String> = files_below("examples")
        .iter()
        .filter_map(|name| name.split_once('/'))
        .map(|(folder, _)| folder.to_owned())
        .collect();
    folders.dedup();
    // Parts of the programs beside them.
    folders.retain(|folder| !["demo", "manuals", "support", "throughput"].contains(&folder.as_str()));
    for folder in folders {
        assert!(list.contains(&format!("[{folder}]({folder})")), "examples/README.md does not name {folder}");
    }
}

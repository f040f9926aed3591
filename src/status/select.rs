//! One client of many, by its name or its number.

use serde_json::Value;

use super::words::time;

/// How many there are is told of all, who they are of so many.
const NAMED: usize = 20;

/// A program's answer with the peers of this name alone, or with that of this number where none has the name. Of the
/// events, those stay that are about them, and those about nobody in particular: what ails them may be in either. A
/// name's are those of its processes before, too. What else it says stays as it is, what this version does not know
/// among it.
///
/// # Errors
/// There is no such client, or the answer is not understood.
pub(super) fn select(json: &str, client: &str) -> Result<String, String> {
    let mut answer: Value =
        serde_json::from_str(json).map_err(|error| format!("what answers is not understood ({error})"))?;
    let peers = answer.get_mut("peers").and_then(Value::as_array_mut);
    let peers = peers.ok_or("what answers is not understood: it tells of no clients")?;
    let is_name = |name: &Value| name.as_str() == Some(client);
    let number = client.parse::<u64>().ok();
    let is_number = |value: &Value| number.is_some() && value.as_u64() == number;
    let named = peers.iter().any(|peer| is_name(&peer["name"]));
    let is_it = |number: &Value, name: &Value| if named { is_name(name) } else { is_number(number) };
    if !peers.iter().any(|peer| is_it(&peer["number"], &peer["name"])) {
        let nobody = nobody(client, peers);
        let last = answer["events"].as_array().and_then(|events| last_of(client, events));
        return Err(nobody + &last.unwrap_or_default());
    }
    peers.retain(|peer| is_it(&peer["number"], &peer["name"]));
    if let Some(events) = answer.get_mut("events").and_then(Value::as_array_mut) {
        let of_one = |event: &Value| event["peer"].is_u64() || event["peer_gone"] == true;
        events.retain(|event| !of_one(event) || is_it(&event["peer"], &event["peer_name"]));
    }
    Ok(answer.to_string())
}

fn nobody(client: &str, peers: &[Value]) -> String {
    let who = |peer: &Value| match peer["name"].as_str() {
        Some(name) => format!("{} ({name})", peer["number"]),
        None => peer["number"].to_string(),
    };
    let named: Vec<_> = peers.iter().take(NAMED).map(who).collect();
    let (there, more) = match peers.len() {
        0 => return format!("there is no client {client:?}: none is connected"),
        1 => ("client", String::new()),
        2..=NAMED => ("clients", String::new()),
        all => ("clients", format!(" and {} more", all - NAMED)),
    };
    format!("there is no client {client:?}, but {there} {}{more}", named.join(", "))
}

/// What was told last of a client that has gone: how, in most cases.
fn last_of(client: &str, events: &[Value]) -> Option<String> {
    let last = events.iter().rfind(|event| event["peer_name"].as_str() == Some(client))?;
    let (ago, text) = (time(last["ago_s"].as_f64()?), last["text"].as_str()?);
    Some(format!("; the last of {client:?}, {ago} ago: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(peers: &[(u64, Option<&str>)]) -> String {
        let peers: Vec<_> = peers
            .iter()
            .map(|(number, name)| serde_json::json!({ "number": number, "name": name }))
            .collect();
        serde_json::json!({ "schema": 1, "later": true, "peers": peers }).to_string()
    }

    #[test]
    fn a_name_selects_all_who_have_it_and_goes_before_a_number() {
        let json = answer(&[(0, Some("home")), (1, Some("7")), (2, Some("home")), (7, Some("boat"))]);
        let numbers = |client: &str| {
            let selected: Value = serde_json::from_str(&select(&json, client).expect(client)).expect("JSON");
            assert_eq!((&selected["schema"], &selected["later"]), (&Value::from(1), &Value::from(true)));
            let peers = selected["peers"].as_array().expect("an array");
            peers.iter().filter_map(|peer| peer["number"].as_u64()).collect::<Vec<_>>()
        };
        assert_eq!(numbers("home"), [0, 2]);
        assert_eq!(numbers("7"), [1]);
        assert_eq!(numbers("2"), [2]);
    }

    #[test]
    fn of_the_events_stay_the_clients_own_and_those_about_nobody_in_particular() {
        let event = |text: &str, peer: Option<u64>, name: Option<&str>, gone: bool| serde_json::json!({ "text": text, "peer": peer, "peer_name": name, "peer_gone": gone });
        let mut answer: Value =
            serde_json::from_str(&answer(&[(0, Some("home")), (1, Some("boat")), (2, None)])).expect("JSON");
        answer["events"] = serde_json::json!([
            event("reload", None, None, false),
            event("home before", None, Some("home"), true),
            event("somebody before", None, None, true),
            event("home", Some(0), Some("home"), false),
            event("boat", Some(1), Some("boat"), false),
            event("nameless", Some(2), None, false),
            { "text": "of an older version" },
        ]);
        let json = answer.to_string();
        let texts = |client: &str| {
            let selected: Value = serde_json::from_str(&select(&json, client).expect(client)).expect("JSON");
            let events = selected["events"].as_array().expect("an array");
            events.iter().map(|event| event["text"].as_str().expect("a text").to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(texts("home"), ["reload", "home before", "home", "of an older version"]);
        assert_eq!(texts("0"), ["reload", "home", "of an older version"]);
        assert_eq!(texts("boat"), ["reload", "boat", "of an older version"]);
        assert_eq!(texts("2"), ["reload", "nameless", "of an older version"]);
    }

    #[test]
    fn who_is_not_there_is_told_who_is() {
        let error =
            |peers: &[(u64, Option<&str>)]| select(&answer(peers), "bob").expect_err("no bob is there");
        assert_eq!(error(&[]), "there is no client \"bob\": none is connected");
        assert_eq!(error(&[(3, None)]), "there is no client \"bob\", but client 3");
        let two = [(0, Some("alice")), (4, Some("bobby"))];
        assert_eq!(error(&two), "there is no client \"bob\", but clients 0 (alice), 4 (bobby)");
        let many: Vec<_> = (0..4_096).map(|number| (number, Some("a-name-of-twenty-five-letters"))).collect();
        let text = error(&many);
        assert!(text.ends_with("19 (a-name-of-twenty-five-letters) and 4076 more"), "{text}");
    }

    #[test]
    fn of_a_client_that_has_gone_the_last_event_is_told() {
        let mut answer: Value = serde_json::from_str(&answer(&[(0, Some("home"))])).expect("JSON");
        let event = |text: &str, name: Option<&str>, ago_s: f64| serde_json::json!({ "text": text, "peer": null, "peer_name": name, "peer_gone": name.is_some(), "ago_s": ago_s });
        answer["events"] = serde_json::json!([
            event("it is silent", Some("boat"), 720.0),
            event("it is forgotten", Some("boat"), 420.0),
            event("reload", None, 3.0),
            event("another one", Some("cabin"), 2.0),
        ]);
        let error = |client| select(&answer.to_string(), client).expect_err("it is not there");
        let nobody = |client: &str| format!("there is no client {client:?}, but client 0 (home)");
        assert_eq!(error("boat"), nobody("boat") + "; the last of \"boat\", 7 min ago: it is forgotten");
        assert_eq!(error("late"), nobody("late"));
    }

    #[test]
    fn an_answer_without_clients_is_not_understood() {
        for json in ["rubbish", "{}"] {
            let error = select(json, "0").expect_err("nothing is in it");
            assert!(error.starts_with("what answers is not understood"), "{error}");
        }
    }
}

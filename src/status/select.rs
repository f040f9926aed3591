//! One client of many, by its name or its number.

use serde_json::Value;

/// How many there are is told of all, who they are of so many.
const NAMED: usize = 20;

/// A program's answer with the peers of this name alone, or with that of this number where none has the name.
/// What else it says stays as it is, what this version does not know among it.
///
/// # Errors
/// There is no such client, or the answer is not understood.
pub(super) fn select(json: &str, client: &str) -> Result<String, String> {
    let mut answer: Value =
        serde_json::from_str(json).map_err(|error| format!("what answers is not understood ({error})"))?;
    let peers = answer.get_mut("peers").and_then(Value::as_array_mut);
    let peers = peers.ok_or("what answers is not understood: it tells of no clients")?;
    let named = |peer: &Value| peer["name"].as_str() == Some(client);
    let number = client.parse::<u64>().ok();
    let numbered = |peer: &Value| number.is_some() && peer["number"].as_u64() == number;
    if peers.iter().any(named) {
        peers.retain(named);
    } else if peers.iter().any(numbered) {
        peers.retain(numbered);
    } else {
        return Err(nobody(client, peers));
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
    fn an_answer_without_clients_is_not_understood() {
        for json in ["rubbish", "{}"] {
            let error = select(json, "0").expect_err("nothing is in it");
            assert!(error.starts_with("what answers is not understood"), "{error}");
        }
    }
}

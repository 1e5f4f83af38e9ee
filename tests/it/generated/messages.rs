//! Generated messages and headers: a call comes out only of an envelope that says so once, and says the same twice
//! where it must; everything else is a refusal that is JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestCaseError;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sidegate::mcp::{Ask, Headers, Posted, REVISIONS, decode};

use super::inputs::{text, value};
use super::{Verdict, check};

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// What is done to a good message. Values are JSON text; a path of names leads to the object that is meant.
#[derive(Clone, Debug)]
enum Change {
    Set(&'static [&'static str], String, String),
    /// A second member with the same name.
    Twice(&'static [&'static str], String, String),
    Drop(&'static [&'static str], String),
    Flip(prop::sample::Index, u8),
    Insert(prop::sample::Index, &'static [u8]),
    Cut(prop::sample::Index),
    Around(&'static str, &'static str),
}

#[derive(Clone, Debug)]
struct Case {
    modern: bool,
    changes: Vec<Change>,
    version: Option<String>,
    method: Option<String>,
    name: Option<String>,
}

/// An object that keeps its order and what it says twice.
#[derive(Clone, Debug)]
struct Pairs(Vec<(String, Member)>);

#[derive(Clone, Debug)]
enum Member {
    Text(String),
    Object(Pairs),
}

impl Pairs {
    fn text(&self) -> String {
        let members = self.0.iter().map(|(name, member)| match member {
            Member::Text(text) => format!("{}:{text}", json!(name)),
            Member::Object(pairs) => format!("{}:{}", json!(name), pairs.text()),
        });
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    }

    /// The object at the end of `path`, unless a change has put something else there.
    fn at(&mut self, path: &[&str]) -> Option<&mut Self> {
        let Some((first, rest)) = path.split_first() else { return Some(self) };
        let found = self.0.iter_mut().find_map(|(name, member)| match member {
            Member::Object(pairs) if name == first => Some(pairs),
            _ => None,
        })?;
        found.at(rest)
    }
}

fn base(modern: bool) -> Pairs {
    let text = |name: &str, value: Value| (name.to_owned(), Member::Text(value.to_string()));
    let object = |name: &str, pairs| (name.to_owned(), Member::Object(Pairs(pairs)));
    let mut params =
        vec![text("name", json!("call_api_endpoint")), text("arguments", json!({"entryId": "x"}))];
    if modern {
        params.push(object(
            "_meta",
            vec![text(VERSION, json!(REVISIONS[0].name)), text(CAPABILITIES, json!({}))],
        ));
    }
    Pairs(vec![
        text("jsonrpc", json!("2.0")),
        text("id", json!(1)),
        text("method", json!("tools/call")),
        object("params", params),
    ])
}

impl Case {
    fn body(&self) -> Vec<u8> {
        let mut pairs = base(self.modern);
        for change in &self.changes {
            let member = |value: &String| Member::Text(value.clone());
            match change {
                Change::Set(path, name, value) => {
                    let Some(object) = pairs.at(path) else { continue };
                    match object.0.iter_mut().find(|(own, _)| own == name) {
                        Some((_, old)) => *old = member(value),
                        None => object.0.push((name.clone(), member(value))),
                    }
                }
                Change::Twice(path, name, value) => {
                    if let Some(object) = pairs.at(path) {
                        object.0.push((name.clone(), member(value)));
                    }
                }
                Change::Drop(path, name) => {
                    if let Some(object) = pairs.at(path) {
                        object.0.retain(|(own, _)| own != name);
                    }
                }
                Change::Flip(..) | Change::Insert(..) | Change::Cut(..) | Change::Around(..) => {}
            }
        }
        self.changes.iter().fold(pairs.text().into_bytes(), |mut body, change| {
            match change {
                Change::Flip(at, by) => {
                    let at = at.index(body.len() + 1);
                    body.get_mut(at).into_iter().for_each(|byte| *byte ^= by);
                }
                Change::Insert(at, bytes) => {
                    let at = at.index(body.len() + 1);
                    body.splice(at..at, bytes.iter().copied());
                }
                Change::Cut(at) => body.truncate(at.index(body.len() + 1)),
                Change::Around(before, behind) => {
                    body = [before.as_bytes(), &body, behind.as_bytes()].concat()
                }
                Change::Set(..) | Change::Twice(..) | Change::Drop(..) => {}
            }
            body
        })
    }
}

fn change() -> impl Strategy<Value = Change> {
    const PLACES: &[(&[&str], &[&str])] = &[
        (&[], &["jsonrpc", "id", "id", "method", "params", "result", "error", "extra"]),
        (&["params"], &["name", "arguments", "_meta", "task", "cursor"]),
        (
            &["params", "_meta"],
            &[VERSION, CAPABILITIES, "io.modelcontextprotocol/clientInfo", "progressToken"],
        ),
    ];
    const TEXTS: &[&str] = &[
        "null",
        "true",
        "1",
        "-1",
        "1.5",
        "1e400",
        "18446744073709551616",
        "\"\"",
        "\"2.0\"",
        "2.0",
        "\"tools/call\"",
        "\"tools/list\"",
        "\"ping\"",
        "\"initialize\"",
        "\"call_api_endpoint\"",
        "\"drop\"",
        "\"\\ud800\"",
        "[]",
        "{}",
        "{\"entryId\":\"y\"}",
        "{\"name\":\"a\",\"name\":\"b\"}",
        "[1]",
        "nul",
        "",
    ];
    let place =
        select(PLACES).prop_flat_map(|(path, names)| (Just(path), select(names).prop_map(str::to_owned)));
    let texts = prop_oneof![
        6 => select(TEXTS).prop_map(str::to_owned),
        1 => select(REVISIONS.iter().map(|revision| json!(revision.name).to_string()).collect::<Vec<_>>()),
        2 => value().prop_map(|value| value.to_string()),
        1 => (30..130_usize).prop_map(|levels| "[".repeat(levels) + &"]".repeat(levels)),
    ];
    let at = any::<prop::sample::Index>;
    let pieces: Vec<&'static [u8]> = vec![
        b"\"",
        b"{",
        b"}",
        b"[",
        b",",
        b":",
        b"\\",
        b"\0",
        b"\xff",
        b"\xc0\xae",
        b" ",
        b"0",
        b"\xef\xbb\xbf",
    ];
    let around = vec![
        ("[", "]"),
        ("", "{}"),
        ("\u{feff}", ""),
        (" ", "\r\n"),
        ("", "\0"),
        ("[", ",{}]"),
        ("\u{1e}", "\n"),
    ];
    prop_oneof![
        4 => (place.clone(), texts.clone()).prop_map(|((path, name), text)| Change::Set(path, name, text)),
        2 => (place.clone(), texts.clone()).prop_map(|((path, name), text)| Change::Twice(path, name, text)),
        1 => place.prop_map(|(path, name)| Change::Drop(path, name)),
        1 => (text(), texts).prop_map(|(name, text)| Change::Set(&["params"], name, text)),
        1 => (at(), 1..=255_u8).prop_map(|(at, by)| Change::Flip(at, by)),
        1 => (at(), select(pieces)).prop_map(|(at, piece)| Change::Insert(at, piece)),
        1 => at().prop_map(Change::Cut),
        1 => select(around).prop_map(|(before, behind)| Change::Around(before, behind)),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let names: Vec<String> = REVISIONS.iter().map(|revision| revision.name.to_owned()).collect();
    let version = prop_oneof![8 => select(names), 1 => text()];
    let method =
        prop_oneof![8 => Just("tools/call".to_owned()), 1 => Just(" tools/call\t".to_owned()), 1 => text()];
    let name = prop_oneof![
        8 => Just("call_api_endpoint".to_owned()),
        1 => Just("=?base64?Y2FsbF9hcGlfZW5kcG9pbnQ=?=".to_owned()),
        1 => text().prop_map(|text| format!("=?base64?{text}?=")),
        1 => text(),
    ];
    let changes = prop_oneof![2 => Just(vec![]), 5 => vec(change(), 1..4)];
    (
        any::<bool>(),
        changes,
        option::weighted(0.9, version),
        option::weighted(0.9, method),
        option::weighted(0.9, name),
        prop::bool::weighted(0.6),
    )
        .prop_map(|(modern, changes, version, method, name, fitting)| {
            let own = REVISIONS[usize::from(!modern)].name.to_owned();
            Case { modern, changes, version: if fitting { Some(own) } else { version }, method, name }
        })
}

/// The members of the outermost object, each time they occur, as they are written: nobody reads all of them.
struct Outermost(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Outermost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Outermost;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Outermost, A::Error> {
                let mut all = Vec::new();
                while let Some(member) = members.next_entry()? {
                    all.push(member);
                }
                Ok(Outermost(all))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// Holds where `body` under `headers` is one call of this tool with these arguments.
fn is_call(case: &Case, body: &[u8], name: &str, arguments: &Value) -> Result<(), TestCaseError> {
    let Outermost(all) =
        serde_json::from_slice(body).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let one = |wanted: &str| {
        let mut found = all.iter().filter(|(name, _)| name == wanted);
        let (first, second) = (found.next(), found.next());
        if second.is_some() { None } else { serde_json::from_str::<Value>(first?.1.get()).ok() }
    };
    prop_assert_eq!(one("jsonrpc"), Some(json!("2.0")));
    prop_assert_eq!(one("method"), Some(json!("tools/call")));
    prop_assert!(one("id").is_some_and(|id| id.is_string() || id.is_i64() || id.is_u64()));
    prop_assert!(all.iter().all(|(name, _)| name != "result" && name != "error"));
    let Some(params) = one("params") else { return Err(TestCaseError::fail("no params")) };
    prop_assert_eq!(params["name"].as_str(), Some(name));
    prop_assert_eq!(params.get("arguments").cloned().unwrap_or(json!({})), arguments.clone());
    let era = |name: &str| REVISIONS.iter().position(|revision| revision.name == name).map(|row| row == 0);
    let header =
        |value: &Option<String>| value.as_deref().map(|value| value.trim_matches([' ', '\t']).to_owned());
    let (version, claim) = (header(&case.version), params["_meta"].get(VERSION));
    if claim.is_none() && version.as_deref().and_then(era) != Some(true) {
        prop_assert!(version.is_none_or(|version| era(&version) == Some(false)));
        return Ok(());
    }
    prop_assert_eq!(claim.and_then(Value::as_str), version.as_deref());
    prop_assert_eq!(version.as_deref().and_then(era), Some(true));
    prop_assert!(params["_meta"][CAPABILITIES].is_object());
    prop_assert_eq!(header(&case.method), Some("tools/call".to_owned()));
    let named = header(&case.name).unwrap_or_default();
    let wrapped = named.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?="));
    let named = match wrapped {
        Some(inner) => STANDARD.decode(inner).map_err(|error| TestCaseError::fail(error.to_string()))?,
        None => named.into_bytes(),
    };
    prop_assert_eq!(named, name.as_bytes());
    Ok(())
}

#[test]
fn a_call_comes_out_of_a_good_envelope_only_and_a_refusal_is_json() {
    check("messages", &case(), |case| {
        let body = case.body();
        let headers = Headers {
            protocol_version: case.version.as_deref(),
            method: case.method.as_deref(),
            name: case.name.as_deref(),
            ..Headers::default()
        };
        match decode(&headers, &body) {
            Ok(Posted::Batch(messages)) => {
                prop_assert!(body.trim_ascii_start().starts_with(b"["), "{messages:?}");
                Ok(Verdict::Refused)
            }
            Ok(Posted::One(decoded)) => {
                if let Ask::CallTool { name, arguments, .. } = &decoded.ask {
                    prop_assert!(decoded.id.is_some());
                    is_call(&case, &body, name, arguments)?;
                    return Ok(Verdict::Accepted);
                }
                Ok(Verdict::Refused)
            }
            Err(rejected) => {
                let (status, answer) = rejected.revision.encode_fault(rejected.id.as_ref(), &rejected.fault);
                let answer: Value = serde_json::from_slice(&answer)
                    .map_err(|error| TestCaseError::fail(error.to_string()))?;
                prop_assert!([200, 400, 404].contains(&status) && answer["error"]["code"].is_i64());
                // The id is the client's and comes back as it was.
                prop_assert!(answer["error"].to_string().len() < 2_000, "{answer}");
                Ok(Verdict::Refused)
            }
        }
    });
}

#[test]
fn bytes_that_are_no_message_are_refused() {
    let pieces: Vec<&'static [u8]> = vec![
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\"",
        b"\"jsonrpc\":\"2.0\"",
        b"\"id\":1",
        b"\"method\":\"tools/call\"",
        b"\"params\":{",
        b"null",
        b"1e9",
        b"\\u",
        b"\xff",
        b"\0",
        b" ",
        b"\"name\":\"x\"",
    ];
    let bytes = prop_oneof![
        vec(any::<u8>(), 0..60),
        vec(select(pieces), 0..12).prop_map(|pieces| pieces.concat()),
        vec(change(), 0..3).prop_map(|changes| Case {
            modern: false,
            changes,
            version: None,
            method: None,
            name: None
        }
        .body()),
    ];
    check("bytes", &bytes, |bytes| match decode(&Headers::default(), &bytes) {
        Ok(Posted::One(decoded)) => {
            prop_assert!(serde_json::from_slice::<Outermost>(&bytes).is_ok(), "{decoded:?}");
            Ok(Verdict::Accepted)
        }
        Ok(Posted::Batch(messages)) => {
            let whole = serde_json::from_slice::<Vec<Box<RawValue>>>(&bytes);
            prop_assert!(whole.is_ok_and(|whole| whole.len() == messages.len()), "{messages:?}");
            Ok(Verdict::Accepted)
        }
        Err(rejected) => {
            let (_, answer) = rejected.revision.encode_fault(rejected.id.as_ref(), &rejected.fault);
            prop_assert!(serde_json::from_slice::<Value>(&answer).is_ok());
            Ok(Verdict::Refused)
        }
    });
}

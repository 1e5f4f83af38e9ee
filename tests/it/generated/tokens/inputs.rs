//! What is put into tokens and done to them: claims and header members near and beyond every edge.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::super::inputs::text;
use super::recipe::{Change, ISSUER, MAX_AGE, NOW, Part, RESOURCE, Recipe, Signer};

/// JSON texts that stand for a claim or a header's member: good, near the edge, of the wrong type, and broken.
fn json_text(name: &str) -> Vec<String> {
    let mut texts: Vec<String> = [
        "null",
        "true",
        "0",
        "-0",
        "-0.0",
        "-1",
        "1.5",
        "1e400",
        "1E2",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775809",
        "\"\"",
        "\" \"",
        "\"x\"",
        "\"\\ud800\"",
        "\"\\u0000\"",
        "[]",
        "{}",
        "[null]",
        "[[\"x\"]]",
        "{\"dup\":1,\"dup\":2}",
        "[{\"dup\":1,\"dup\":2}]",
        "nul",
        "'x'",
        "01",
        "+1",
        ".5",
        "NaN",
        "Infinity",
        "\"\t\"",
        "",
    ]
    .map(str::to_owned)
    .into();
    texts.push("[".repeat(200) + &"]".repeat(200));
    let here = |offset: i64| (NOW + offset).to_string();
    let strings = |all: &[&str]| all.iter().map(|text| json!(text).to_string()).collect::<Vec<_>>();
    texts.extend(match name {
        "exp" | "nbf" | "iat" => vec![
            here(0),
            here(-29),
            here(-30),
            here(-31),
            here(30),
            here(31),
            here(300),
            here(-MAX_AGE - 30),
            here(-MAX_AGE - 31),
            format!("{}.999", NOW - 30),
            format!("{}.5", NOW + 30),
            format!("{}e0", NOW),
            "1.8e9".into(),
            "1800000.3e3".into(),
            format!("{}", (NOW + 300) * 1000),
            "253402300799".into(),
            "253402300800".into(),
            format!("\"{}\"", NOW + 300),
            format!("[{}]", NOW + 300),
        ],
        "iss" => strings(&[
            ISSUER,
            "https://idp.example/realms/acme/",
            "https://idp.example/realms/other",
            "HTTPS://idp.example/realms/acme",
            "https://idp.example/realms/acme\u{0}",
        ]),
        "aud" => [
            strings(&[RESOURCE, "api://sidegate", "https://gate.example/api/mcp/", "https://gate.example"]),
            vec![
                json!([RESOURCE]).to_string(),
                json!(["x", "api://sidegate"]).to_string(),
                json!([RESOURCE, 7]).to_string(),
                json!([[RESOURCE]]).to_string(),
                json!({ RESOURCE: true }).to_string(),
            ],
        ]
        .concat(),
        "sub" => [
            strings(&[
                "agent-7",
                "agent-off",
                "agent-twice",
                "agent-other",
                "nobody",
                "AGENT-7",
                "agent-7 ",
                "agent-\u{ff17}",
            ]),
            vec![
                json!("é".repeat(255)).to_string(),
                json!("é".repeat(256)).to_string(),
                "\"\\u0061gent-7\"".into(),
                json!(["agent-7"]).to_string(),
            ],
        ]
        .concat(),
        "alg" => strings(&[
            "EdDSA", "ES256", "ES384", "RS256", "PS256", "HS256", "none", "None", "eddsa", "Ed25519",
            "EdDSA ",
        ]),
        "typ" => {
            strings(&["JWT", "jwt", "at+jwt", "application/at+jwt", "AT+JWT", "dpop+jwt", "JWS", "at+jwt "])
        }
        "kid" => [
            strings(&["ed", "ec", "other", "ED"]),
            vec![json!("k".repeat(512)).to_string(), json!("k".repeat(513)).to_string()],
        ]
        .concat(),
        "cnf" => vec![
            json!({ "x5t#S256": "A".repeat(43) }).to_string(),
            json!({ "x5t#S256": "A".repeat(43), "jkt": "x" }).to_string(),
            json!({ "x5t#S256": "A".repeat(42) }).to_string(),
            json!({ "x5t#S256": "A".repeat(44) }).to_string(),
            json!({ "jkt": "x" }).to_string(),
        ],
        "scope" | "scp" | "roles" | "client_id" | "azp" | "jti" => {
            vec!["\"read write\"".into(), "[\"read\",\"write\"]".into(), "[\"read\",1]".into()]
        }
        _ => vec!["[\"exp\"]".into(), "{\"jkt\":\"x\"}".into(), "\"https://evil.example/keys\"".into()],
    });
    texts
}

fn change() -> impl Strategy<Value = Change> {
    const OF_HEADER: &[&str] =
        &["alg", "alg", "kid", "typ", "crit", "b64", "jku", "jwk", "x5u", "x5c", "x5t", "cty", "nonce"];
    const OF_PAYLOAD: &[&str] = &[
        "iss",
        "sub",
        "sub",
        "aud",
        "aud",
        "exp",
        "exp",
        "nbf",
        "iat",
        "jti",
        "cnf",
        "scope",
        "scp",
        "roles",
        "client_id",
        "azp",
        "act",
        "oid",
    ];
    let members: Vec<(Part, &str, Vec<String>)> = [(Part::Header, OF_HEADER), (Part::Payload, OF_PAYLOAD)]
        .into_iter()
        .flat_map(|(part, names)| names.iter().map(move |name| (part, *name, json_text(name))))
        .collect();
    let set = (select(members.clone()), any::<prop::sample::Index>(), text()).prop_map(
        |((part, name, texts), at, other)| {
            (
                part,
                name.to_owned(),
                texts.get(at.index(texts.len() + 1)).cloned().unwrap_or(json!(other).to_string()),
            )
        },
    );
    let around =
        vec![("\u{feff}", ""), ("", "{}"), ("", "\0"), (" ", "\n"), ("[", "]"), ("", "x"), ("\n\t", "")];
    prop_oneof![
        12 => set.clone().prop_map(|(part, name, value)| Change::Set(part, name, value)),
        2 => select(members.clone()).prop_map(|(part, name, _)| Change::Drop(part, name.to_owned())),
        2 => (set, any::<bool>()).prop_map(|((part, name, value), hidden)| Change::Twice(part, name, value, hidden)),
        1 => (select(vec![Part::Header, Part::Payload]), select(around)).prop_map(|(part, (before, behind))| Change::Around(part, before, behind)),
        1 => (select(vec![Part::Header, Part::Payload]), text(), text()).prop_map(|(part, name, value)| Change::Set(part, name, json!(value).to_string())),
    ]
}

/// A token that is good, or nearly.
pub fn recipe() -> impl Strategy<Value = Recipe> {
    let signer = prop_oneof![
        8 => Just(Signer::Ed),
        4 => Just(Signer::Ec),
        1 => select(vec![Signer::OtherEd, Signer::OtherEc, Signer::PublicKeyAsSecret, Signer::Nobody]),
    ];
    (signer, vec(change(), 0..4)).prop_map(|(signer, changes)| Recipe { signer, changes })
}

//! Generated tokens against the token check: accepted is what the trusted key signed, and what an oracle that reads
//! the recipe instead of the token finds good.

use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD as B64};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;
use sidegate::identity::token::{Claims, Rules, VerifyKey, keys_from_jwks, peek, verify, verify_any};
use sidegate::identity::trust::{AgentBinding, Trust, caller};

use super::inputs::text;
use super::tokens_oracle::{acceptable, speaks_for};
use super::{Verdict, check};

pub const ISSUER: &str = "https://idp.example/realms/acme";
pub const RESOURCE: &str = "https://gate.example/api/mcp";
pub const NOW: i64 = 1_800_000_000;
pub const LEEWAY: i64 = 30;
pub const MAX_AGE: i64 = 3_600;

/// Who signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {
    /// The issuer's keys, published as `ed` and `ec`.
    Ed,
    Ec,
    /// Keys of the same kinds that nobody published.
    OtherEd,
    OtherEc,
    /// HMAC with what is public: the key as it is published.
    PublicKeyAsSecret,
    /// No signature at all.
    Nobody,
}

/// One part of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Header,
    Payload,
}

/// What is done to a good token before it is signed. Values are JSON text.
#[derive(Clone, Debug)]
pub enum Change {
    Set(Part, String, String),
    Drop(Part, String),
    /// A second member of the same name; the flag hides it behind an escape.
    Twice(Part, String, String, bool),
    /// Text before or behind the object.
    Around(Part, &'static str, &'static str),
}

/// What is done to the token on its way.
#[derive(Clone, Debug)]
enum Damage {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, &'static str),
    Swap(usize, usize),
    Drop(usize),
    Replace(usize, String),
    Repeat(usize),
    Padded(usize),
    OtherAlphabet,
    Around(&'static str, &'static str),
    /// This part of another token that is good in itself.
    From(usize),
}

/// A token before it is signed.
#[derive(Clone, Debug)]
pub struct Recipe {
    pub signer: Signer,
    pub changes: Vec<Change>,
}

impl Recipe {
    /// The members of a part, in order and with those that are there twice.
    pub fn members(&self, part: Part) -> Vec<(String, String)> {
        let mut members = base(part, self.signer);
        for change in &self.changes {
            match change {
                Change::Set(of, name, value) if *of == part => {
                    match members.iter_mut().find(|(own, _)| own == name) {
                        Some((_, old)) => old.clone_from(value),
                        None => members.push((name.clone(), value.clone())),
                    }
                }
                Change::Drop(of, name) if *of == part => members.retain(|(own, _)| own != name),
                Change::Twice(of, name, value, _) if *of == part => {
                    members.push((name.clone(), value.clone()))
                }
                Change::Set(..) | Change::Drop(..) | Change::Twice(..) | Change::Around(..) => {}
            }
        }
        members
    }

    fn text(&self, part: Part) -> String {
        let hidden = |name: &str| {
            self.changes
                .iter()
                .any(|change| matches!(change, Change::Twice(of, own, _, true) if *of == part && own == name))
        };
        let mut seen: Vec<String> = Vec::new();
        let members = self.members(part).into_iter().map(|(name, value)| {
            let second = seen.contains(&name);
            seen.push(name.clone());
            match second && hidden(&name) {
                true => format!("\"{}\":{value}", escaped(&name)),
                false => format!("{}:{value}", json!(name)),
            }
        });
        let object = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
        self.changes.iter().fold(object, |text, change| match change {
            Change::Around(of, before, behind) if *of == part => format!("{before}{text}{behind}"),
            Change::Around(..) | Change::Set(..) | Change::Drop(..) | Change::Twice(..) => text,
        })
    }

    fn token(&self) -> String {
        let message =
            format!("{}.{}", B64.encode(self.text(Part::Header)), B64.encode(self.text(Part::Payload)));
        let signature = KEYS.sign(self.signer, message.as_bytes());
        format!("{message}.{}", B64.encode(signature))
    }
}

fn escaped(name: &str) -> String {
    name.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()
}

fn base(part: Part, signer: Signer) -> Vec<(String, String)> {
    let (alg, kid) = match signer {
        Signer::Ed | Signer::OtherEd => ("EdDSA", "ed"),
        Signer::Ec | Signer::OtherEc => ("ES256", "ec"),
        Signer::PublicKeyAsSecret => ("HS256", "ed"),
        Signer::Nobody => ("none", "ed"),
    };
    let members = match part {
        Part::Header => vec![("alg", json!(alg)), ("kid", json!(kid)), ("typ", json!("at+jwt"))],
        Part::Payload => vec![
            ("iss", json!(ISSUER)),
            ("sub", json!("agent-7")),
            ("aud", json!(RESOURCE)),
            ("exp", json!(NOW + 300)),
            ("iat", json!(NOW - 10)),
            ("jti", json!("t1")),
        ],
    };
    members.into_iter().map(|(name, value)| (name.to_owned(), value.to_string())).collect()
}

struct Keys {
    ed: [Ed25519KeyPair; 2],
    ec: [EcdsaKeyPair; 2],
    published: Vec<VerifyKey>,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let ed = [(); 2].map(|()| Ed25519KeyPair::generate().unwrap());
    let ec = [(); 2].map(|()| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());
    let (x, y) = ec[0].public_key().as_ref()[1..].split_at(32);
    let jwks = json!({"keys": [
        {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": B64.encode(ed[0].public_key().as_ref())},
        {"kty": "EC", "crv": "P-256", "kid": "ec", "x": B64.encode(x), "y": B64.encode(y)},
    ]});
    Keys { published: keys_from_jwks(jwks.to_string().as_bytes()).unwrap(), ed, ec }
});

impl Keys {
    fn sign(&self, signer: Signer, message: &[u8]) -> Vec<u8> {
        let ec = |pair: &EcdsaKeyPair| pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec();
        match signer {
            Signer::Ed => self.ed[0].sign(message).as_ref().to_vec(),
            Signer::OtherEd => self.ed[1].sign(message).as_ref().to_vec(),
            Signer::Ec => ec(&self.ec[0]),
            Signer::OtherEc => ec(&self.ec[1]),
            Signer::PublicKeyAsSecret => {
                let secret = self.ed[0].public_key().as_ref();
                let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
                aws_lc_rs::hmac::sign(&key, message).as_ref().to_vec()
            }
            Signer::Nobody => Vec::new(),
        }
    }
}

fn rules() -> Rules {
    Rules {
        issuer: ISSUER.to_owned(),
        audiences: vec![RESOURCE.to_owned(), "api://sidegate".to_owned()],
        subject_claim: "sub".to_owned(),
        leeway: LEEWAY,
        max_age: Some(MAX_AGE),
    }
}

static TRUST: LazyLock<Trust> = LazyLock::new(|| {
    let bound = |agent_id: &str, issuer: &str, subject: &str, active| AgentBinding {
        agent_id: agent_id.to_owned(),
        name: agent_id.to_owned(),
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
        active,
        psa_user: None,
    };
    let trusted = sidegate::identity::trust::TrustedIssuer {
        issuer: ISSUER.to_owned(),
        jwks_uri: None,
        audiences: vec![],
        subject_claim: "sub".to_owned(),
        max_age: Some(MAX_AGE),
        leeway: LEEWAY,
        required_scopes: Default::default(),
        require_bound_tokens: false,
    };
    let agents = vec![
        bound("seven", ISSUER, "agent-7", true),
        bound("off", ISSUER, "agent-off", false),
        bound("one", ISSUER, "agent-twice", true),
        bound("two", ISSUER, "agent-twice", true),
        bound("elsewhere", "https://other.example", "agent-other", true),
    ];
    Trust::new("acme", vec![trusted], agents)
});

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

fn recipe() -> impl Strategy<Value = Recipe> {
    let signer = prop_oneof![
        8 => Just(Signer::Ed),
        4 => Just(Signer::Ec),
        1 => select(vec![Signer::OtherEd, Signer::OtherEc, Signer::PublicKeyAsSecret, Signer::Nobody]),
    ];
    (signer, vec(change(), 0..4)).prop_map(|(signer, changes)| Recipe { signer, changes })
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    let pieces = vec![".", "=", "-", "_", "+", "/", " ", "\n", "A", "é", "\0", "%2e", "eyJ"];
    let around = vec![
        (" ", ""),
        ("", " "),
        ("", "\n"),
        ("\"", "\""),
        ("Bearer ", ""),
        ("", "."),
        (".", ""),
        ("", ".x"),
        ("", "=="),
    ];
    let other = prop_oneof![
        text(),
        text().prop_map(|text| B64.encode(text)),
        Just(String::new()),
        Just(B64.encode([0; 64]))
    ];
    prop_oneof![
        4 => (at(), 1..128_u8).prop_map(|(at, by)| Damage::Flip(at, by)),
        1 => at().prop_map(Damage::Cut),
        2 => (at(), select(pieces)).prop_map(|(at, piece)| Damage::Insert(at, piece)),
        1 => (0..3_usize, 0..3_usize).prop_map(|(one, other)| Damage::Swap(one, other)),
        1 => (0..3_usize).prop_map(Damage::Drop),
        2 => (0..3_usize, other).prop_map(|(at, text)| Damage::Replace(at, text)),
        1 => (0..3_usize).prop_map(Damage::Repeat),
        1 => (0..3_usize).prop_map(Damage::Padded),
        1 => Just(Damage::OtherAlphabet),
        1 => select(around).prop_map(|(before, behind)| Damage::Around(before, behind)),
        3 => (0..3_usize).prop_map(Damage::From),
    ]
}

impl Damage {
    fn strike(&self, token: &str, other: &str) -> String {
        let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
        let place = |at: &prop::sample::Index| at.index(token.len() + 1);
        match self {
            Self::Flip(at, by) => {
                let mut bytes = token.as_bytes().to_vec();
                if let Some(byte) = bytes.get_mut(place(at)) {
                    *byte ^= by;
                }
                return String::from_utf8_lossy(&bytes).into_owned();
            }
            Self::Cut(at) => return token.chars().take(place(at)).collect(),
            Self::Insert(at, piece) => {
                let at = token.char_indices().map(|(at, _)| at).nth(place(at)).unwrap_or(token.len());
                return format!("{}{piece}{}", &token[..at], &token[at..]);
            }
            Self::Around(before, behind) => return format!("{before}{token}{behind}"),
            _ if parts.len() < 3 => {}
            Self::Swap(one, other) => parts.swap(*one, *other),
            Self::Drop(at) => drop(parts.remove(*at)),
            Self::Replace(at, text) => parts[*at].clone_from(text),
            Self::Repeat(at) => parts.insert(*at, parts[*at].clone()),
            Self::Padded(at) => {
                parts[*at] = B64.decode(&parts[*at]).map_or(String::new(), |bytes| URL_SAFE.encode(bytes))
            }
            Self::OtherAlphabet => {
                parts =
                    parts.iter().map(|part| STANDARD.encode(B64.decode(part).unwrap_or_default())).collect();
            }
            Self::From(at) => parts[*at] = other.split('.').nth(*at).unwrap_or_default().to_owned(),
        }
        parts.join(".")
    }
}

/// The token's claims, if it is accepted: by either published key and by both together alike.
fn accepted(token: &str) -> Result<Option<Claims>, TestCaseError> {
    let Ok(peeked) = peek(token) else { return Ok(None) };
    let one = KEYS.published.iter().find_map(|key| verify(token, &peeked, key, &rules(), NOW).ok());
    let any = verify_any(token, &peeked, &KEYS.published, &rules(), NOW).ok();
    prop_assert_eq!(&one, &any);
    Ok(any)
}

#[test]
fn a_token_is_accepted_exactly_if_its_recipe_is_good() {
    check("tokens", &recipe(), |recipe| {
        let claims = accepted(&recipe.token())?;
        prop_assert_eq!(claims.is_some(), acceptable(&recipe), "{:?} {}", claims, recipe.text(Part::Payload));
        let Some(claims) = claims else { return Ok(Verdict::Refused) };
        let agent = caller(&TRUST, &claims, None).ok().map(|caller| caller.agent_id().to_owned());
        prop_assert_eq!(agent.as_deref(), speaks_for(&recipe));
        Ok(Verdict::Accepted)
    });
}

#[test]
fn a_damaged_token_is_accepted_only_if_it_is_whole_after_all() {
    let damaged = prop_oneof![1 => Just(vec![]), 6 => vec(damage(), 1..3)];
    let good =
        (select(vec![Signer::Ed, Signer::Ec, Signer::OtherEd]), select(vec!["agent-7", "agent-8"]), damaged);
    check("damaged tokens", &good, |(signer, other, damaged)| {
        let subject = Change::Set(Part::Payload, "sub".into(), json!(other).to_string());
        let token = Recipe { signer, changes: vec![] }.token();
        let other = Recipe { signer: Signer::Ed, changes: vec![subject] }.token();
        let struck = damaged.iter().fold(token.clone(), |token, damage| damage.strike(&token, &other));
        let whole = (struck == token && signer != Signer::OtherEd) || struck == other;
        prop_assert_eq!(accepted(&struck)?.is_some(), whole, "{}", struck);
        Ok(if whole { Verdict::Accepted } else { Verdict::Refused })
    });
}

//! A token before it is signed, and the keys that sign it.

use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use serde_json::json;
use sidegate::identity::token::{VerifyKey, keys_from_jwks};

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

    pub fn text(&self, part: Part) -> String {
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

    pub fn token(&self) -> String {
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

pub struct Keys {
    ed: [Ed25519KeyPair; 2],
    ec: [EcdsaKeyPair; 2],
    pub published: Vec<VerifyKey>,
}

pub static KEYS: LazyLock<Keys> = LazyLock::new(|| {
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

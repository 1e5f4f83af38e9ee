//! Hostile and unusual tokens, each with the reason it is refused for, or `accepted`.
//!
//! Every token is well signed unless its row is about the signature, so that the named reason and
//! no other is what stops it. Keys are made when the test runs.

use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
    RsaEncoding,
};
use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD as B64};
use serde_json::{Value, json};
use sidegate::identity::confirmation::{Thumbprint, prove};
use sidegate::identity::token::{Claims, Rules, keys_from_jwks, peek, verify};
use sidegate::metrics::AUTH_REASONS;

const ISSUER: &str = "https://idp.example/realms/acme";
const RESOURCE: &str = "https://gate.example/api/mcp";
const NOW: i64 = 1_800_000_000;

enum Private {
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Hmac(Vec<u8>),
}

/// A key, the `alg` it signs with, and its public JWK.
struct Key {
    alg: &'static str,
    private: Private,
    jwk: Value,
}

impl Key {
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.private {
            Private::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, message, &mut signature).unwrap();
                signature
            }
            Private::Ec(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Private::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Private::Hmac(secret) => {
                let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
                aws_lc_rs::hmac::sign(&key, message).as_ref().to_vec()
            }
        }
    }
}

fn rsa(alg: &'static str, encoding: &'static dyn RsaEncoding) -> Key {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let public = pair.public_key();
    let n = B64.encode(public.modulus().big_endian_without_leading_zero());
    let e = B64.encode(public.exponent().big_endian_without_leading_zero());
    Key { alg, private: Private::Rsa(pair, encoding), jwk: json!({"kty": "RSA", "kid": "k", "n": n, "e": e}) }
}

fn ec(alg: &'static str) -> Key {
    let (curve, signing, size) = match alg {
        "ES256" => ("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING, 32),
        _ => ("P-384", &ECDSA_P384_SHA384_FIXED_SIGNING, 48),
    };
    let pair = EcdsaKeyPair::generate(signing).unwrap();
    let (x, y) = pair.public_key().as_ref()[1..].split_at(size);
    let jwk = json!({"kty": "EC", "kid": "k", "crv": curve, "x": B64.encode(x), "y": B64.encode(y)});
    Key { alg, private: Private::Ec(pair), jwk }
}

fn ed() -> Key {
    let pair = Ed25519KeyPair::generate().unwrap();
    let x = B64.encode(pair.public_key().as_ref());
    Key {
        alg: "EdDSA",
        private: Private::Ed(pair),
        jwk: json!({"kty": "OKP", "kid": "k", "crv": "Ed25519", "x": x}),
    }
}

static RS256: LazyLock<Key> = LazyLock::new(|| rsa("RS256", &RSA_PKCS1_SHA256));
static ES256: LazyLock<Key> = LazyLock::new(|| ec("ES256"));
static ES384: LazyLock<Key> = LazyLock::new(|| ec("ES384"));
static ED: LazyLock<Key> = LazyLock::new(ed);

/// One token and the world that judges it.
struct Case {
    name: &'static str,
    expected: &'static str,
    signer: &'static Key,
    /// The issuer's published key; the signer's own if not said otherwise.
    jwk: Value,
    header: Value,
    payload: Value,
    rules: Rules,
    /// The client certificate of the connection it comes over.
    certificate: Option<Thumbprint>,
    /// Whether its issuer's tokens must be bound to one.
    bound_only: bool,
    /// What becomes of the signed text on its way.
    tamper: fn(String) -> String,
    /// Header and payload as they are signed, where JSON values cannot express them.
    raw: (Option<Vec<u8>>, Option<Vec<u8>>),
}

fn case(name: &'static str, expected: &'static str) -> Case {
    signed_by(&ED, name, expected)
}

fn signed_by(signer: &'static Key, name: &'static str, expected: &'static str) -> Case {
    Case {
        name,
        expected,
        signer,
        jwk: signer.jwk.clone(),
        header: json!({"alg": signer.alg, "kid": "k", "typ": "at+jwt"}),
        payload: json!({
            "iss": ISSUER, "sub": "agent-7", "aud": RESOURCE, "exp": NOW + 300, "iat": NOW - 10, "jti": "t1",
        }),
        rules: Rules {
            issuer: ISSUER.to_owned(),
            aliases: Vec::new(),
            audiences: vec![RESOURCE.to_owned(), "api://sidegate".to_owned()],
            subject_claim: "sub".to_owned(),
            leeway: 30,
            max_age: None,
        },
        certificate: None,
        bound_only: false,
        tamper: |token| token,
        raw: (None, None),
    }
}

impl Case {
    fn head(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header[name] = value.into();
        self
    }

    fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.payload[name] = value.into();
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.header.as_object_mut().unwrap().remove(name);
        self.payload.as_object_mut().unwrap().remove(name);
        self
    }

    fn published(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.jwk[name] = value.into();
        self
    }

    fn publishes(mut self, jwk: &Value) -> Self {
        self.jwk = jwk.clone();
        self
    }

    fn rules(mut self, change: fn(&mut Rules)) -> Self {
        change(&mut self.rules);
        self
    }

    /// Over a connection with the certificate whose digest is all `byte`s.
    fn over(mut self, byte: u8) -> Self {
        self.certificate = Some([byte; 32]);
        self
    }

    fn bound_only(mut self) -> Self {
        self.bound_only = true;
        self
    }

    fn tampered(mut self, tamper: fn(String) -> String) -> Self {
        self.tamper = tamper;
        self
    }

    fn raw_header(mut self, text: &str) -> Self {
        self.raw.0 = Some(text.as_bytes().to_vec());
        self
    }

    fn raw_payload(mut self, text: impl AsRef<[u8]>) -> Self {
        self.raw.1 = Some(text.as_ref().to_vec());
        self
    }

    fn token(&self) -> String {
        let header = self.raw.0.clone().unwrap_or_else(|| self.header.to_string().into_bytes());
        let payload = self.raw.1.clone().unwrap_or_else(|| self.payload.to_string().into_bytes());
        let message = format!("{}.{}", B64.encode(header), B64.encode(payload));
        let signature = B64.encode(self.signer.sign(message.as_bytes()));
        (self.tamper)(format!("{message}.{signature}"))
    }

    /// Judged as the gate does it: peek, find the keys, verify, see whether the binding is proved.
    fn judge(&self) -> Result<Claims, &'static str> {
        let token = self.token();
        let peeked = peek(&token).map_err(|fault| fault.label())?;
        let keys = keys_from_jwks(json!({ "keys": [self.jwk] }).to_string().as_bytes()).unwrap();
        let claims = verify(peeked, &keys, &self.rules, NOW).map_err(|fault| fault.label())?;
        prove(claims.certificate(), self.certificate.as_ref(), self.bound_only)
            .map_err(|fault| fault.label())?;
        Ok(claims)
    }
}

/// `token` with one part replaced.
fn part(token: &str, index: usize, change: impl Fn(&str) -> String) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    parts[index] = change(&parts[index]);
    parts.join(".")
}

/// A payload with `members` beside the usual ones, as text.
fn text_payload(members: &str) -> String {
    format!(r#"{{"iss":"{ISSUER}","sub":"agent-7","aud":"{RESOURCE}","exp":{},{members}}}"#, NOW + 300)
}

/// A token signed with the public key as an HMAC secret, the oldest trick on JWTs.
static PUBLIC_KEY_AS_SECRET: LazyLock<Key> = LazyLock::new(|| Key {
    alg: "HS256",
    private: Private::Hmac(RS256.jwk["n"].as_str().unwrap().as_bytes().to_vec()),
    jwk: RS256.jwk.clone(),
});
static PS256: LazyLock<Key> = LazyLock::new(|| rsa("PS256", &RSA_PSS_SHA256));
static PS384: LazyLock<Key> = LazyLock::new(|| rsa("PS384", &RSA_PSS_SHA384));
static PS512: LazyLock<Key> = LazyLock::new(|| rsa("PS512", &RSA_PSS_SHA512));
static RS384: LazyLock<Key> = LazyLock::new(|| rsa("RS384", &RSA_PKCS1_SHA384));
static RS512: LazyLock<Key> = LazyLock::new(|| rsa("RS512", &RSA_PKCS1_SHA512));

fn of_form() -> Vec<Case> {
    vec![
        case("empty text", "malformed").tampered(|_| String::new()),
        case("one part", "malformed").tampered(|_| "abc".into()),
        case("two parts", "malformed").tampered(|token| token.rsplit_once('.').unwrap().0.into()),
        case("four parts", "malformed").tampered(|token| format!("{token}.AAAA")),
        case("five parts, an encrypted token's form", "malformed").tampered(|token| format!("{token}.AA.AA")),
        case("only dots", "malformed").tampered(|_| "..".into()),
        case("over 16 KiB", "too_large").claim("note", "x".repeat(16 * 1024)),
        case("padding after the payload", "malformed")
            .tampered(|token| part(&token, 1, |payload| URL_SAFE.encode(B64.decode(payload).unwrap()) + "=")),
        case("padding after the signature", "malformed").tampered(|token| token + "=="),
        case("standard base64 alphabet in the signature", "malformed")
            .tampered(|token| part(&token, 2, |_| "+/+/".into())),
        case("stray bits at the end of the signature", "malformed").tampered(|token| {
            // 64 bytes end in a character that carries four unused bits.
            part(&token, 2, |signature| format!("{}B", &signature[..signature.len() - 1]))
        }),
        case("leading blank", "malformed").tampered(|token| format!(" {token}")),
        case("trailing line break", "malformed").tampered(|token| format!("{token}\n")),
        case("header is no JSON", "malformed").raw_header("alg: EdDSA"),
        case("header is an array", "malformed").raw_header(r#"["EdDSA"]"#),
        case("payload is no JSON", "malformed").raw_payload("sub=agent-7"),
        case("payload is an array", "malformed").raw_payload("[1]"),
        case("payload is another token, nested", "malformed").head("cty", "JWT").raw_payload("eyJ.eyJ.AAA"),
        case("payload is not UTF-8", "malformed").raw_payload(b"{\"iss\":\"\xff\"}"),
        case("byte order mark before the payload", "malformed").raw_payload("\u{feff}{}"),
        case("second object after the payload", "malformed").raw_payload(text_payload("\"a\":1") + "{}"),
        case("payload nested 200 deep", "malformed").raw_payload(text_payload(&format!(
            "\"a\":{}{}",
            "[".repeat(200),
            "]".repeat(200)
        ))),
        case("half of a surrogate pair as subject", "malformed")
            .raw_payload(text_payload("\"x\":1").replace("agent-7", "\\ud800")),
        case("duplicate header member", "duplicate_member")
            .raw_header(r#"{"alg":"EdDSA","kid":"k","kid":"k"}"#),
        case("duplicate header member behind an escape", "duplicate_member")
            .raw_header(r#"{"alg":"none","\u0061lg":"EdDSA"}"#),
        case("duplicate subject", "duplicate_member").raw_payload(text_payload(r#""sub":"admin""#)),
        case("duplicate audience", "duplicate_member").raw_payload(text_payload(r#""aud":"other""#)),
        case("duplicate member deep inside", "duplicate_member")
            .raw_payload(text_payload(r#""a":{"b":1,"b":2}"#)),
    ]
}

fn of_header() -> Vec<Case> {
    vec![
        case("no alg", "algorithm").without("alg"),
        case("alg is a number", "algorithm").head("alg", 7),
        case("alg none with the signature left empty", "algorithm")
            .head("alg", "none")
            .tampered(|token| part(&token, 2, |_| String::new())),
        case("alg None in another case", "algorithm").head("alg", "nOnE"),
        case("alg in lower case", "algorithm").head("alg", "eddsa"),
        signed_by(&PUBLIC_KEY_AS_SECRET, "the public key as HMAC secret", "algorithm"),
        case("alg HS512", "algorithm").head("alg", "HS512"),
        case("alg ES512", "algorithm").head("alg", "ES512"),
        case("alg ES256K", "algorithm").head("alg", "ES256K"),
        case("alg RSA-OAEP", "algorithm").head("alg", "RSA-OAEP"),
        case("alg Ed25519, the other name", "algorithm").head("alg", "Ed25519"),
        case("crit with an unknown name", "critical_header").head("crit", json!(["exp"])),
        case("crit empty", "critical_header").head("crit", json!([])),
        case("unencoded payload with crit", "critical_header")
            .head("b64", false)
            .head("crit", json!(["b64"])),
        case("unencoded payload without crit", "critical_header").head("b64", false),
        case("key by URL (jku)", "embedded_key").head("jku", "https://evil.example/keys"),
        case("key brought along (jwk)", "embedded_key").head("jwk", ED.jwk.clone()),
        case("certificate by URL (x5u)", "embedded_key").head("x5u", "https://evil.example/cert"),
        case("certificate brought along (x5c)", "embedded_key").head("x5c", json!(["MIIB"])),
        case("typ of a DPoP proof", "type").head("typ", "dpop+jwt"),
        case("typ of a logout token", "type").head("typ", "logout+jwt"),
        case("typ of an identity assertion", "type").head("typ", "oauth-id-jag+jwt"),
        case("typ empty", "type").head("typ", ""),
        case("typ is an array", "type").head("typ", json!(["at+jwt"])),
        case("typ null", "type").head("typ", Value::Null),
        case("kid is a number", "malformed").head("kid", 1),
        case("kid of 600 bytes", "malformed").head("kid", "k".repeat(600)),
        case("no typ", "accepted").without("typ"),
        case("typ JWT", "accepted").head("typ", "JWT"),
        case("typ in lower case", "accepted").head("typ", "jwt"),
        case("typ as a full media type in odd case", "accepted").head("typ", "Application/AT+JWT"),
        case("thumbprints of the issuer's certificate", "accepted")
            .head("x5t", "abc")
            .head("x5t#S256", "def"),
        case("unknown header member that is not critical", "accepted").head("nonce", "n-1"),
        case("no kid", "accepted").without("kid"),
    ]
}

fn of_keys() -> Vec<Case> {
    vec![
        signed_by(&RS256, "RS256", "accepted"),
        signed_by(&RS384, "RS384", "accepted"),
        signed_by(&RS512, "RS512", "accepted"),
        signed_by(&PS256, "PS256", "accepted"),
        signed_by(&PS384, "PS384", "accepted"),
        signed_by(&PS512, "PS512", "accepted"),
        signed_by(&ES256, "ES256", "accepted"),
        signed_by(&ES384, "ES384", "accepted"),
        signed_by(&ED, "EdDSA", "accepted"),
        signed_by(&ES256, "an RSA key for an ES256 token", "key_mismatch").publishes(&RS256.jwk),
        signed_by(&RS256, "an EC key for an RS256 token", "key_mismatch").publishes(&ES256.jwk),
        signed_by(&ES256, "a P-384 key for an ES256 token", "key_mismatch").publishes(&ES384.jwk),
        signed_by(&ES384, "a P-256 key for an ES384 token", "key_mismatch").publishes(&ES256.jwk),
        signed_by(&ED, "a P-256 key for an EdDSA token", "key_mismatch").publishes(&ES256.jwk),
        signed_by(&RS256, "a key limited to another algorithm", "key_mismatch").published("alg", "PS256"),
        signed_by(&RS256, "a PKCS 1 signature that calls itself PSS", "signature").head("alg", "PS256"),
        signed_by(&ES256, "a P-256 signature that calls itself ES384", "key_mismatch").head("alg", "ES384"),
        case("a kid that the key does not have", "key_mismatch").head("kid", "other"),
        case("a symmetric key in the set", "unknown_key").publishes(&json!({"kty": "oct", "kid": "k", "k": "AAAA"})),
        signed_by(&RS256, "a key for encryption", "unknown_key").published("use", "enc"),
        signed_by(&RS256, "a key whose operations lack verify", "unknown_key").published("key_ops", json!(["sign"])),
        signed_by(&RS256, "a key that is also published in private", "unknown_key").published("d", "AAAA"),
        signed_by(&RS256, "a modulus of 1024 bits", "unknown_key").published("n", B64.encode([0xA5; 128])),
        signed_by(&RS256, "an exponent of one", "unknown_key").published("e", "AQ"),
        signed_by(&RS256, "a key of its own operations", "accepted")
            .published("use", "sig")
            .published("key_ops", json!(["verify"]))
            .published("alg", "RS256"),
        case("another issuer's key of the same kind", "signature").publishes(&ed().jwk),
        case("an EC point off its curve", "unknown_key").head("alg", "ES256").publishes(
            &json!({"kty": "EC", "kid": "k", "crv": "P-256", "x": B64.encode([1; 32]), "y": B64.encode([2; 32])}),
        ),
        case("subject changed after signing", "signature").tampered(|token| {
            part(&token, 1, |payload| {
                let text = String::from_utf8(B64.decode(payload).unwrap()).unwrap();
                B64.encode(text.replace("agent-7", "agent-8"))
            })
        }),
        case("header changed after signing", "signature")
            .tampered(|token| part(&token, 0, |_| B64.encode(r#"{"alg":"EdDSA","kid":"k"}"#))),
        case("signature empty", "malformed").tampered(|token| part(&token, 2, |_| String::new())),
        case("signature cut short", "signature").tampered(|token| part(&token, 2, |signature| signature[..44].to_owned())),
        case("signature of zeros", "signature").tampered(|token| part(&token, 2, |_| B64.encode([0; 64]))),
        signed_by(&ES256, "an ECDSA signature of zeros", "signature")
            .tampered(|token| part(&token, 2, |_| B64.encode([0; 64]))),
        signed_by(&ES256, "an ECDSA signature in DER", "signature").tampered(|token| {
            part(&token, 2, |signature| {
                let raw = B64.decode(signature).unwrap();
                B64.encode([&[0x30, 68, 2, 32], &raw[..32], &[2, 32], &raw[32..]].concat())
            })
        }),
    ]
}

fn of_claims() -> Vec<Case> {
    vec![
        case("no issuer", "missing_issuer").without("iss"),
        case("issuer is a number", "claim_type").claim("iss", 7),
        case("another issuer", "issuer").claim("iss", "https://idp.example/realms/other"),
        case("issuer with a slash too many", "issuer").claim("iss", format!("{ISSUER}/")),
        case("issuer in another case", "issuer").claim("iss", ISSUER.to_uppercase()),
        case("no audience", "missing_audience").without("aud"),
        case("audience of another service", "audience").claim("aud", "https://other.example"),
        case("audience with a slash too many", "audience").claim("aud", format!("{RESOURCE}/")),
        case("audience that only begins alike", "audience").claim("aud", format!("{RESOURCE}.evil.example")),
        case("audience list without ours", "audience").claim("aud", json!(["a", "b"])),
        case("audience list empty", "audience").claim("aud", json!([])),
        case("audience list with a number", "claim_type").claim("aud", json!([RESOURCE, 7])),
        case("audience is an object", "claim_type").claim("aud", json!({ RESOURCE: true })),
        case("no audience configured", "audience").rules(|rules| rules.audiences.clear()),
        case("no expiry", "missing_expiry").without("exp"),
        case("expired", "expired").claim("exp", NOW - 31),
        case("expired in the very second that leeway ends", "expired").claim("exp", NOW - 30),
        case("expiry as text", "claim_type").claim("exp", (NOW + 300).to_string()),
        case("expiry null", "claim_type").claim("exp", Value::Null),
        case("expiry negative", "claim_type").claim("exp", -1),
        case("expiry in milliseconds", "claim_type").claim("exp", (NOW + 300) * 1000),
        case("expiry of 1e300", "claim_type").claim("exp", 1e300),
        case("expiry beyond 64 bits", "claim_type").claim("exp", u64::MAX),
        case("expiry boolean", "claim_type").claim("exp", true),
        case("not yet valid", "not_yet_valid").claim("nbf", NOW + 31),
        case("not-before as text", "claim_type").claim("nbf", "now"),
        case("issued in the future", "issued_in_future").claim("iat", NOW + 31),
        case("issued at a negative time", "claim_type").claim("iat", -5),
        case("too old for its issuer", "too_old")
            .claim("iat", NOW - 4000)
            .rules(|rules| rules.max_age = Some(3600)),
        case("no issue time where the age is limited", "missing_issued_at")
            .without("iat")
            .rules(|rules| rules.max_age = Some(3600)),
        case("no subject", "missing_subject").without("sub"),
        case("subject empty", "missing_subject").claim("sub", ""),
        case("subject is a number", "claim_type").claim("sub", 7),
        case("subject of 256 characters", "claim_type").claim("sub", "x".repeat(256)),
        case("sub where the issuer names subjects by oid", "missing_subject")
            .rules(|rules| rules.subject_claim = "oid".into()),
        case("token id is a number", "claim_type").claim("jti", 7),
        case("scope is an object", "claim_type").claim("scope", json!({})),
        case("scope list with a number", "claim_type").claim("scope", json!(["a", 7])),
        case("scp is a number", "claim_type").claim("scp", 7),
        case("expired a moment ago within leeway", "accepted").claim("exp", NOW - 29),
        case("expiry with a fraction", "accepted").claim("exp", NOW as f64 + 300.75),
        case("expiry in scientific notation", "accepted")
            .raw_payload(text_payload("\"x\":1").replace("1800000300", "1.8000003e9")),
        case("not-before within leeway", "accepted").claim("nbf", NOW + 30),
        case("no issue time where the age is not limited", "accepted").without("iat"),
        case("audience list with ours", "accepted").claim("aud", json!(["https://other.example", RESOURCE])),
        case("audience from the configured list", "accepted").claim("aud", "api://sidegate"),
        case("subject in another claim as configured", "accepted")
            .without("sub")
            .claim("oid", "agent-7")
            .rules(|rules| rules.subject_claim = "oid".into()),
        case("subject of 255 characters beyond ASCII", "accepted").claim("sub", "\u{e9}".repeat(255)),
        case("no token id", "accepted").without("jti"),
        case("scp as a list", "accepted").claim("scp", json!(["a", "b"])),
        case("roles of another shape, which grant nothing", "accepted").claim("roles", json!({"a": [1]})),
    ]
}

/// A `cnf` that names the certificate whose digest is all `byte`s.
fn bound_to(byte: u8) -> Value {
    json!({"x5t#S256": B64.encode([byte; 32])})
}

fn of_confirmation() -> Vec<Case> {
    let digest = || B64.encode([7; 32]);
    vec![
        case("bound to a DPoP key", "confirmation").claim("cnf", json!({"jkt": digest()})),
        case("bound to a DPoP key, with a certificate", "confirmation")
            .claim("cnf", json!({"jkt": digest()}))
            .over(7),
        case("bound to a DPoP key and to our certificate", "confirmation")
            .claim("cnf", json!({"jkt": digest(), "x5t#S256": digest()}))
            .over(7),
        case("bound to our certificate and to something unknown", "confirmation")
            .claim("cnf", json!({"x5t#S256": digest(), "x": 1}))
            .over(7),
        case("bound to a key that it brings", "confirmation").claim("cnf", json!({"jwk": ED.jwk.clone()})),
        case("bound to an encrypted key", "confirmation").claim("cnf", json!({"jwe": "a.b.c.d.e"})),
        case("bound to a key by its id", "confirmation").claim("cnf", json!({"kid": "k"})),
        case("bound to a key by URL", "confirmation")
            .claim("cnf", json!({"jku": "https://evil.example", "kid": "k"})),
        case("bound to the SHA-1 of our certificate", "confirmation")
            .claim("cnf", json!({"x5t": digest()}))
            .over(7),
        case("confirmation method in another case", "confirmation")
            .claim("cnf", json!({"x5t#s256": digest()}))
            .over(7),
        case("confirmation null", "confirmation").claim("cnf", Value::Null),
        case("confirmation empty", "confirmation").claim("cnf", json!({})),
        case("confirmation is the digest itself", "confirmation").claim("cnf", digest()).over(7),
        case("confirmation is a list", "confirmation").claim("cnf", json!([bound_to(7)])).over(7),
        case("certificate digest null", "confirmation").claim("cnf", json!({"x5t#S256": null})).over(7),
        case("certificate digest too short", "confirmation").claim("cnf", json!({"x5t#S256": "abc"})).over(7),
        case("certificate digest with padding", "confirmation")
            .claim("cnf", json!({"x5t#S256": digest() + "="}))
            .over(7),
        case("certificate digest in hexadecimal", "confirmation")
            .claim("cnf", json!({"x5t#S256": "07".repeat(32)}))
            .over(7),
        case("certificate digest of a list", "confirmation")
            .claim("cnf", json!({"x5t#S256": [digest()]}))
            .over(7),
        case("bound to a certificate, over a connection without one", "certificate_missing")
            .claim("cnf", bound_to(7)),
        case("bound to a certificate, over a connection with another", "certificate_mismatch")
            .claim("cnf", bound_to(7))
            .over(8),
        case("bound to nothing where tokens must be bound", "unbound_token").bound_only(),
        case("bound to nothing where tokens must be bound, with a certificate", "unbound_token")
            .bound_only()
            .over(7),
        case("expired and bound to a certificate that is not there", "expired")
            .claim("cnf", bound_to(7))
            .claim("exp", NOW - 31),
        case("bound to the certificate of its connection", "accepted").claim("cnf", bound_to(7)).over(7),
        case("bound to the certificate of its connection, as it must be", "accepted")
            .claim("cnf", bound_to(7))
            .over(7)
            .bound_only(),
        case("bound to nothing, with a certificate", "accepted").over(7),
    ]
}

fn all() -> Vec<Case> {
    [of_form(), of_header(), of_keys(), of_claims(), of_confirmation()].into_iter().flatten().collect()
}

#[test]
fn every_token_of_the_matrix_meets_the_outcome_that_its_row_names() {
    let mut wrong = Vec::new();
    for case in all() {
        let outcome = case.judge().map_or_else(|label| label, |_| "accepted");
        if outcome != case.expected {
            wrong.push(format!("{}: {outcome} instead of {}", case.name, case.expected));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_matrix_is_large_and_its_names_and_reasons_are_sound() {
    let cases = all();
    let refused = cases.iter().filter(|case| case.expected != "accepted");
    assert!(refused.clone().count() >= 60);
    for case in refused {
        assert!(AUTH_REASONS.contains(&case.expected), "{}: {}", case.name, case.expected);
    }
    let mut names: Vec<_> = cases.iter().map(|case| case.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), cases.len(), "two rows have one name");
}

/// Rows are refused for what their name says only if the untouched token is accepted.
#[test]
fn the_token_that_all_rows_start_from_is_accepted() {
    for signer in [&*ED, &*RS256, &*ES256, &*ES384, &*PS256] {
        let claims = signed_by(signer, "base", "accepted").judge().unwrap();
        assert_eq!((claims.subject(), claims.token_id()), ("agent-7", Some("t1")));
    }
}

/// No single changed character of a good token gives another acceptable one.
#[test]
fn no_change_of_one_character_is_accepted() {
    let base = case("base", "accepted");
    let token = base.token();
    let keys = keys_from_jwks(json!({ "keys": [base.jwk] }).to_string().as_bytes()).unwrap();
    for at in 0..token.len() {
        for with in ["A", "z", "_", "."] {
            if &token[at..=at] == with {
                continue;
            }
            let changed = format!("{}{with}{}", &token[..at], &token[at + 1..]);
            let outcome = peek(&changed).and_then(|peeked| verify(peeked, &keys, &base.rules, NOW));
            assert!(outcome.is_err(), "accepted with {with} at {at}");
        }
    }
}

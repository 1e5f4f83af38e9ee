//! The redaction matrix: one named case a line, for values, texts and request targets.

use serde_json::{Map, Value, json};

use super::value::MAX_DEPTH;
use super::*;

mod configured;
mod excerpts;

const JWT: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJlLXNpZ25hdHVyZQ";
const HEX: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const PEM: &str = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIabc+/=\n-----END EC PRIVATE KEY-----";

fn redact(value: &Value) -> Value {
    Rules::default().value(value)
}

fn redact_text(text: &str) -> String {
    Rules::default().text(text).into_owned()
}

fn redact_target(target: &str) -> String {
    Rules::default().target(target).into_owned()
}

#[test]
fn every_shape_of_a_secret_is_hidden_in_a_text_and_the_rest_is_kept() {
    let key = |prefix: &str| format!("{prefix}Zz09Zz09Zz09Zz09Zz09Zz09Zz09Zz09Zz09");
    let cases: Vec<(&str, String, String)> = vec![
        ("a token", JWT.into(), "[redacted]".into()),
        ("a token in a sentence", format!("use {JWT}, please"), "use [redacted], please".into()),
        ("a token after an escaped newline", format!("\\n{JWT}"), "\\n[redacted]".into()),
        ("an unsigned token", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.".into(), "[redacted]".into()),
        ("an encrypted token", "eyJhbGciOiJkaXIifQ..aXY.Y2lwaGVy.dGFn".into(), "[redacted]".into()),
        ("a bearer value", "Bearer xyz".into(), "Bearer [redacted]".into()),
        (
            "a bearer value in lower case",
            "sent bearer a.b-c/d= again".into(),
            "sent bearer [redacted] again".into(),
        ),
        ("a basic credential", "Basic dXNlcjpwYXNz".into(), "Basic [redacted]".into()),
        ("64 hexadecimal digits", format!("key {HEX} end"), "key [redacted] end".into()),
        ("64 hexadecimal capitals", HEX.to_uppercase(), "[redacted]".into()),
        ("a private key", format!("a\n{PEM}\nb"), "a\n[redacted]\nb".into()),
        ("a private key cut short", format!("a {}", &PEM[..50]), "a [redacted]".into()),
        ("a card number", "4111111111111111".into(), "[redacted]".into()),
        ("a card number in groups", "card 4111 1111 1111 1111 exp".into(), "card [redacted] exp".into()),
        ("a card number with dashes", "3782-822463-10005.".into(), "[redacted].".into()),
        ("a card number and its expiry", "5500005555555559 12 28".into(), "[redacted] 12 28".into()),
        ("an sk key", key("sk-"), "[redacted]".into()),
        ("an admin token", key("sga_"), "[redacted]".into()),
        ("an sk_live key", format!("({})", key("sk_live_")), "([redacted])".into()),
        ("a ghp token", format!("clone with {}.", key("ghp_")), "clone with [redacted].".into()),
        ("a fine-grained access token", key("github_pat_"), "[redacted]".into()),
        ("a glpat token", key("glpat-"), "[redacted]".into()),
        ("an access key id", "AKIAZZ09ZZ09ZZ09ZZ09".into(), "[redacted]".into()),
        ("an AIza key", key("AIza"), "[redacted]".into()),
        ("an xoxb token", "xoxb-1234-5678-abcdef".into(), "[redacted]".into()),
        ("a password with a colon", "password: hunter2 works".into(), "password: [redacted] works".into()),
        ("a password with a sign", "PASSWORD=hunter2;x=1".into(), "PASSWORD=[redacted];x=1".into()),
        (
            "a quoted password of several words",
            "password=\"a b \\\" c\" x".into(),
            "password=\"[redacted]\" x".into(),
        ),
        (
            "a field of JSON in a text",
            r#"{"api_key":"abc","n":1}"#.into(),
            r#"{"api_key":"[redacted]","n":1}"#.into(),
        ),
        (
            "a field of escaped JSON in a text",
            r#"{\"pin\":\"12\",\"n\":1}"#.into(),
            r#"{\"pin\":\"[redacted]\",\"n\":1}"#.into(),
        ),
        ("a header line", "Authorization: Digest a=b c\nok".into(), "Authorization: [redacted]\nok".into()),
        ("a cookie line", "Cookie: a=b; c=d\nok".into(), "Cookie: [redacted]\nok".into()),
        (
            "a password in a URL",
            "postgres://me:pw@db/x?y=1".into(),
            "postgres://me:[redacted]@db/x?y=1".into(),
        ),
        ("a token in a URL", "https://x/y?token=abc&z=1".into(), "https://x/y?token=[redacted]&z=1".into()),
        ("a bank account number", "pay DE89370400440532013000 now".into(), "pay [redacted] now".into()),
        ("one in groups", "(GB82 WEST 1234 5698 7654 32)".into(), "([redacted])".into()),
        ("one behind a word", "konto-DE89370400440532013000".into(), "konto-[redacted]".into()),
        (
            "one in groups under its name",
            "IBAN: DE89 3704 0044 0532 0130 00, x".into(),
            "IBAN: [redacted], x".into(),
        ),
        ("a bank account by its name", "bank_account=1234567;x".into(), "bank_account=[redacted];x".into()),
        (
            "a card number in groups under its name",
            "card_number: 4111 1111 1111 1111 exp".into(),
            "card_number: [redacted] exp".into(),
        ),
        ("a German password", "Das Passwort: geheim1 gilt".into(), "Das Passwort: [redacted] gilt".into()),
        ("a Spanish password", "contraseña: secreto1 vale".into(), "contraseña: [redacted] vale".into()),
        ("a French password", "mot de passe : chut1 voilà".into(), "mot de passe : [redacted] voilà".into()),
        ("a password behind other letters", "für_password: x y".into(), "für_password: [redacted] y".into()),
        ("two secrets", format!("{JWT} {HEX}"), "[redacted] [redacted]".into()),
    ];
    for (name, text, shown) in cases {
        assert_eq!(redact_text(&text), shown, "{name}");
        assert_eq!(redact_text(&shown), shown, "{name}, a second time");
    }
}

#[test]
fn what_only_resembles_a_secret_stays_as_it_is() {
    for text in [
        "",
        "The printer on floor 3 is out of toner.",
        "the bearer of this letter",
        "basic information about the client",
        "8d2c9a54-4111-4111-8111-111111111111",
        "1768000000123",
        "ticket 1000000000000008",
        "4111111111111112",
        "0.4111111111111111",
        "call +1 555 010 9999",
        "risk-assessment-of-the-new-office",
        "commit 00112233445566778899aabbccddeeff00112233",
        "token::verify",
        "password: null",
        "eyJhbGciOi",
        "eyJust a word. And another.",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "https://host:8443/path?page=2@x",
        "2026-01-09T23:06:40.123Z",
        "DE89370400440532013001",
        "serial DE89-2024-0001 and GB82WEST1234",
        "Das Passwort ist abgelaufen, bitte zurücksetzen.",
        "olvidó su contraseña y llama mañana: es urgente",
        "ça passe, à demain",
        "Grüße aus Köln – 東京",
    ] {
        assert_eq!(redact_text(text), text);
    }
}

#[test]
fn fields_are_hidden_by_name_whatever_their_value_holds() {
    let given = json!({
        "title": "Printer", "password": "x", "pin": 1234, "credentials": {"user": "a", "n": 1},
        "tokens": ["a", "b"], "max_tokens": 100, "password_required": true, "secret": null,
        "Kennwort": "x", "bankAccount": {"holder": "a"}, "bank_name": "b",
        "nested": [{"clientSecret": "x", "n": 2}], "tokenizer_name": "bpe"
    });
    let shown = json!({
        "title": "Printer", "password": "[redacted]", "pin": "[redacted]", "credentials": "[redacted]",
        "tokens": "[redacted]", "max_tokens": 100, "password_required": true, "secret": null,
        "Kennwort": "[redacted]", "bankAccount": "[redacted]", "bank_name": "b",
        "nested": [{"clientSecret": "[redacted]", "n": 2}], "tokenizer_name": "bpe"
    });
    assert_eq!(redact(&given), shown);
}

#[test]
fn a_labelled_value_is_hidden_by_its_label() {
    let given = json!([{"name": "API key", "value": "x"}, {"name": "colour", "value": "red"}]);
    let shown = json!([{"name": "API key", "value": "[redacted]"}, {"name": "colour", "value": "red"}]);
    assert_eq!(redact(&given), shown);
}

#[test]
fn a_card_number_that_is_a_number_is_hidden() {
    assert_eq!(
        redact(&json!({"n": 4_111_111_111_111_111_u64, "at": 1_768_000_000_123_u64})),
        json!({"n": "[redacted]", "at": 1_768_000_000_123_u64})
    );
}

#[test]
fn field_names_with_the_shape_of_a_secret_are_hidden_and_stay_apart() {
    let given = json!({ JWT: 1, HEX: 2, "n": 3 });
    let shown = redact(&given);
    let text = shown.to_string();
    assert!(!text.contains(JWT) && !text.contains(HEX), "{text}");
    assert_eq!(shown.as_object().unwrap().len(), 3, "{text}");
}

#[test]
fn what_lies_too_deep_is_left_out() {
    let mut value = json!({"password": "deep"});
    for _ in 0..MAX_DEPTH + 10 {
        value = json!([value]);
    }
    let text = redact(&value).to_string();
    assert!(text.contains("[too deep]") && !text.contains("password"), "{text}");
}

#[test]
fn a_request_target_keeps_its_shape_and_loses_its_secrets() {
    for (target, shown) in [
        ("/api/v1/tickets?limit=5&q=printer", "/api/v1/tickets?limit=5&q=printer"),
        ("/api/v1/x?token=abc&page=2", "/api/v1/x?token=[redacted]&page=2"),
        ("/api/v1/x?api%5Fkey=abc", "/api/v1/x?api%5Fkey=[redacted]"),
        ("/api/v1/x?q=Bearer%20abcdef", "/api/v1/x?q=[redacted]"),
        ("/api/v1/x?q=Bearer+abcdef", "/api/v1/x?q=[redacted]"),
        ("/api/v1/x?q=4111%201111%201111%201111", "/api/v1/x?q=[redacted]"),
        ("/api/v1/x?password=", "/api/v1/x?password="),
        ("/api/v1/x?q=me%40example.com", "/api/v1/x?q=me%40example.com"),
    ] {
        assert_eq!(redact_target(target), shown);
    }
    assert_eq!(redact_target(&format!("/reset/{JWT}/now")), "/reset/[redacted]/now");
    assert_eq!(redact_target(&format!("/x?{HEX}")), "/x?[redacted]");
    assert_eq!(redact_target(&format!("/x?{HEX}=1")), "/x?[redacted]=[redacted]");
}

#[test]
fn hostile_texts_take_time_in_proportion_to_their_length() {
    let started = std::time::Instant::now();
    for unit in [
        "eyJ",
        "eyJ-",
        "eyJa.",
        "a-",
        "a_",
        "1-",
        "1 ",
        "123 ",
        "sk-",
        "bearer ",
        "://",
        "://a:",
        "\"'\\",
        "-----BEGIN",
        "-----BEGIN PRIVATE KEY",
        "token:",
        "password",
        "token=\"",
        "a\\",
        "[",
        "f",
        "aé",
        "é",
        "é-a-",
        "DE89 ",
        "DE89",
        "iban: DE89 3704 ",
    ] {
        redact_text(&unit.repeat((1 << 18) / unit.len()));
    }
    let keys: Map<String, Value> = (0..4000).map(|n| (format!("{n:064x}"), Value::Null)).collect();
    redact(&Value::Object(keys));
    assert!(started.elapsed().as_secs() < 20, "took {:?}", started.elapsed());
}

//! What a configuration adds: names that are hidden or hashed, shapes, and each tenant its own.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn config(hide: &[&str], hash: &[&str]) -> RedactionConfig {
    let texts = |all: &[&str]| all.iter().map(|&text| text.to_owned()).collect();
    RedactionConfig { hide: texts(hide), hash: texts(hash), ..RedactionConfig::default() }
}

fn rules(hide: &[&str], hash: &[&str]) -> Rules {
    Rules::new(&config(hide, hash), b"salt")
}

#[test]
fn a_chosen_name_is_the_same_in_any_case_and_with_any_separators() {
    let rules = rules(&["internal_note"], &["email"]);
    for name in ["internal_note", "internalNote", "INTERNAL-NOTE", "Internal note", "filter[internal_note]"] {
        assert_eq!(rules.value(&json!({ name: "x" })), json!({ name: "[redacted]" }), "{name}");
    }
    for name in ["email", "E-Mail", "eMail2", "contact.email", "filter[email]"] {
        assert_eq!(rules.value(&json!({ name: "x" })), json!({ name: rules.hash("x") }), "{name}");
    }
    for name in ["email_type", "contact_email", "internal_notes", "note"] {
        assert_eq!(rules.value(&json!({ name: "x" })), json!({ name: "x" }), "{name}");
    }
}

#[test]
fn a_name_may_go_on_at_either_end() {
    let rules = rules(&["*note*", "x_*"], &["*_email"]);
    let given = json!({"my_notes": 1, "x_ray": "x", "contact_email": "a", "email_id": "b", "ox": "c"});
    let shown = json!({"my_notes": "[redacted]", "x_ray": "[redacted]", "contact_email": rules.hash("a"),
        "email_id": "b", "ox": "c"});
    assert_eq!(rules.value(&given), shown);
}

#[test]
fn what_is_hidden_by_any_rule_is_not_hashed() {
    let rules = rules(&["phone"], &["phone", "password", "*one"]);
    let shown = json!({"phone": "[redacted]", "password": "[redacted]"});
    assert_eq!(rules.value(&json!({"phone": "1", "password": "x"})), shown);
}

#[test]
fn hashes_are_equal_where_values_are_whatever_holds_them() {
    let rules = rules(&[], &["phone", "email", "vip"]);
    let (number, address) = (rules.hash("4930123"), rules.hash("Ann@example.com"));
    assert_eq!((&number[..5], number.len()), ("hmac:", 37));
    let given = json!({
        "phone": 4_930_123, "email": ["Ann@example.com", null, {"value": "Ann@example.com"}], "vip": true,
        "fields": [{"name": "email", "value": "Ann@example.com"}], "note": "email: Ann@example.com, ok",
        "body": "{\"phone\":\"4930123\",\"email\":[\"Ann@example.com\"]}",
    });
    let shown = json!({
        "phone": number, "email": [address, null, {"value": address}], "vip": rules.hash("true"),
        "fields": [{"name": "email", "value": address}], "note": format!("email: {address}, ok"),
        "body": format!("{{\"email\":[\"{address}\"],\"phone\":\"{number}\"}}"),
    });
    assert_eq!(rules.value(&given), shown);
    assert_eq!(
        rules.target("/api/v1/contacts?email=Ann%40example.com&filter%5Bphone%5D=4930123&phone=&q=a"),
        format!("/api/v1/contacts?email={address}&filter%5Bphone%5D={number}&phone=&q=a")
    );
}

#[test]
fn a_hash_depends_on_the_tenants_salt_alone() {
    let one = Rules::new(&config(&[], &["email"]), b"one");
    assert_eq!(one.hash("x"), Rules::new(&RedactionConfig::default(), b"one").hash("x"));
    assert_ne!(one.hash("x"), Rules::new(&config(&[], &["email"]), b"two").hash("x"));
    assert_ne!(one.hash("x"), one.hash("X"));
    assert_ne!(Rules::default().hash("x"), Rules::default().hash("x"));
}

/// RFC 4231 section 4.3.
#[test]
fn a_hash_is_what_others_compute_too() {
    let rules = Rules::new(&RedactionConfig::default(), b"Jefe");
    let tag = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    assert_eq!(rules.digest("what do ya want for nothing?"), tag);
    assert_eq!(rules.hash("what do ya want for nothing?"), format!("hmac:{}", &tag[..32]));
}

#[cfg(feature = "server")]
#[test]
fn a_shape_is_hidden_wherever_it_stands() {
    let shapes = vec![r"CUST-\d{6}".to_owned(), r"(?i)project\s+\w+".to_owned()];
    let rules = Rules::new(&RedactionConfig { shapes, ..RedactionConfig::default() }, b"salt");
    assert_eq!(
        rules.value(&json!({"note": "of CUST-123456, Project Osprey", "CUST-000000": ["CUST-12345"]})),
        json!({"note": "of [redacted], [redacted]", "[redacted]": ["CUST-12345"]})
    );
    assert_eq!(rules.target("/x/CUST-123456?q=project%20osprey"), "/x/[redacted]?q=[redacted]");
    assert_eq!(rules.text("password: CUST-123456 CUST-123456"), "password: [redacted] [redacted]");
    assert_eq!(rules.text(&format!("{JWT}CUST-123456")), "[redacted]");
    assert_eq!(rules.member("person", "CUST-123456 Ann"), "[redacted] Ann");
}

#[test]
fn members_of_the_record_are_treated_by_their_names_and_by_chosen_shapes_only() {
    let rules = rules(&["person"], &["client_address"]);
    assert_eq!(rules.member("person", "Ann"), "[redacted]");
    assert_eq!(rules.member("client_address", "192.0.2.7"), rules.hash("192.0.2.7"));
    assert_eq!(rules.member("subject", HEX), HEX);
}

#[test]
fn each_tenant_has_its_own_rules_and_its_own_salt() {
    let own = TenantRedaction {
        tenant: "acme".to_owned(),
        hash: Some(vec!["email".to_owned()]),
        ..TenantRedaction::default()
    };
    let redactors = Redactors::new(&config(&["note"], &[]), &[own], b"root");
    let given = json!({"note": "n", "email": "e"});
    let (acme, other) = (redactors.of("acme"), redactors.of("other"));
    assert_eq!(acme.value(&given), json!({"note": "[redacted]", "email": acme.hash("e")}));
    assert_eq!(other.value(&given), json!({"note": "[redacted]", "email": "e"}));
    assert_ne!(acme.hash("e"), other.hash("e"));
    redactors.adopt(&config(&["email"], &[]), &[]);
    assert_eq!(redactors.of("acme").value(&given), json!({"note": "n", "email": "[redacted]"}));
    assert_eq!(redactors.of("acme").hash("e"), acme.hash("e"), "the salt stays");
}

#[test]
fn every_problem_is_named_with_its_key() {
    let wrong = RedactionConfig {
        excerpt: crate::units::Size(0),
        salt: Some(crate::secret::Secret::new("too short")),
        shapes: vec!["(".to_owned(), "x*".to_owned(), "x+".to_owned()],
        ..config(&["a*b", "note"], &["*", "_-", "e-mail*"])
    };
    let keys: Vec<_> = wrong.problems().into_iter().map(|(key, _)| key).collect();
    let mut expected = vec!["hide[0]", "hash[0]", "hash[1]", "shapes[0]", "shapes[1]", "excerpt", "salt"];
    if !cfg!(feature = "server") {
        expected.retain(|key| !key.starts_with("shapes"));
    }
    assert_eq!(keys, expected);
    assert!(!format!("{:?}", wrong.problems()).contains("too short\""));
    let nobody = TenantRedaction { excerpt: Some(crate::units::Size(1 << 20)), ..TenantRedaction::default() };
    let keys: Vec<_> = nobody.problems().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["excerpt", "tenant"]);
    assert_eq!(RedactionConfig::default().problems(), []);
}

/// JSON in which `MARKER` stands under names that were chosen or are secret, as text or within arrays and objects.
fn with_markers() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        let name =
            prop_oneof![Just("homePhone"), Just("E-Mail"), Just("client_secret"), Just("filter[email]")];
        let marked = prop_oneof![
            Just(json!(MARKER)),
            Just(json!([MARKER, [MARKER]])),
            Just(json!({"at": MARKER, "of": [MARKER, 1]})),
        ];
        let labelled =
            (name.clone(), marked.clone()).prop_map(|(name, value)| json!({"value": value, "key": name}));
        let field = prop_oneof![
            ("[a-z]{1,3}", prop_oneof![inner.clone(), labelled]),
            (name.prop_map(str::to_owned), marked),
        ];
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec(field, 0..5).prop_map(|fields| Value::Object(fields.into_iter().collect())),
            inner.prop_map(|inner| Value::from(json!([inner]).to_string())),
        ]
    })
}

const MARKER: &str = "Marker-Of-A-Person";

proptest! {
    #[test]
    fn no_chosen_value_survives_anywhere(given in with_markers(), limit in 1_usize..400) {
        let rules = rules(&["*phone*"], &["email"]);
        let shown = rules.value(&given).to_string();
        prop_assert!(!shown.contains("Marker-Of"), "{}", shown);
        let excerpt = rules.excerpt(&given.to_string(), limit);
        prop_assert!(!excerpt.contains("Marker-Of"), "{}", excerpt);
        prop_assert!(excerpt.len() <= limit.max("…".len()));
    }
}

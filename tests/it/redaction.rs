//! What a tenant does not want on record is nowhere in it, and what it hashes can still be found.

use serde_json::{Value, json};
use sidegate::audit::{RedactionConfig, Redactors};

use crate::support::world::World;

const SALT: &str = "0123456789abcdef0123456789abcdef";

const RULES: &str = r#"
[redaction]
salt = "0123456789abcdef0123456789abcdef"
hide = ["notes"]
hash = ["email", "*phone*", "client_address"]
shapes = ['CUST-\d{6}']
results = "excerpt"
excerpt = "8KiB"
"#;

fn new_contact(email: &str) -> Value {
    json!({"entryId": "post-_api_v1_contacts", "body": {
        "full_name": "Ann of CUST-123456", "email": email, "notes": "Left-handed-note",
        "phone_numbers": [{"phone_number": "4930998877", "canonical_type": "work"}],
    }})
}

fn contacts_of(email: &str) -> Value {
    json!({"entryId": "get-_api_v1_contacts", "query": {"email": email}})
}

/// What the administrator of the main tenant finds by.
fn hash(text: &str) -> String {
    Redactors::new(&RedactionConfig::default(), &[], SALT.as_bytes()).of("demo").hash(text)
}

/// The names of files of a stopped world, the record's and the store's, in which `text` stands.
fn holding(world: &World, text: &str) -> Vec<String> {
    let folders = [world.folder.path().to_owned(), world.folder.path().join("record")];
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let files = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let own = |path: &std::path::PathBuf| path.extension().is_none_or(|extension| extension != "toml");
    let holds = |path: &std::path::PathBuf| {
        std::fs::read(path).unwrap().windows(text.len()).any(|window| window == text.as_bytes())
    };
    files.filter(own).filter(holds).map(|path| path.display().to_string()).collect()
}

#[tokio::test]
async fn what_is_hidden_hashed_or_of_a_chosen_shape_is_neither_in_the_record_nor_in_the_store() {
    let mut world = World::with("", RULES).await;
    let email = "ann.person@example.com";
    let made = world.call("technician", "call_api_endpoint", new_contact(email)).await;
    let found = world.call("technician", "call_api_endpoint", contacts_of(email)).await;
    assert_eq!((made.is_error(), found.is_error()), (false, false), "{made:?}");
    assert!(found.body.to_string().contains(email), "agents see what they may");
    let records = world.records(3).await;
    world.stop().await;
    for gone in ["ann.person", "4930998877", "CUST-123456", "Left-handed-note"] {
        assert_eq!(holding(&world, gone), [""; 0], "{gone}");
    }
    let looked_at = holding(&world, &hash(email)).concat();
    assert!(looked_at.contains("audit.jsonl") && looked_at.contains("sidegate.db"), "{looked_at}");

    let [intent, made, found] = &records[..] else { panic!("{records:?}") };
    for record in [intent, made] {
        let body = &record["arguments"]["body"];
        assert_eq!(body["email"], hash(email));
        assert_eq!(body["phone_numbers"][0]["phone_number"], hash("4930998877"));
        assert_eq!((&body["notes"], &body["full_name"]), (&json!("[redacted]"), &json!("Ann of [redacted]")));
    }
    assert_eq!(found["arguments"]["query"]["email"], hash(email));
    assert_eq!(found["upstream_path"], format!("/api/v1/contacts?email={}", hash(email)));
    let excerpt: Value = serde_json::from_str(found["result"]["excerpt"].as_str().unwrap()).unwrap();
    assert_eq!(excerpt["data"]["data"][0]["email"], hash(email), "{excerpt}");
    assert_eq!(found["client_address"], hash("127.0.0.1"));
}

#[tokio::test]
async fn of_a_result_the_record_keeps_its_size_and_a_keyed_hash() {
    let world = World::start().await;
    let arguments = |email: &str| contacts_of(email);
    for email in ["nobody@example.com", "nobody@example.com", "no one at all"] {
        world.call("technician", "call_api_endpoint", arguments(email)).await;
    }
    let answer =
        world.call("technician", "call_api_endpoint", json!({"entryId": "get-_api_v1_boards"})).await;
    let text = answer.body["result"]["content"][0]["text"].as_str().unwrap();
    let records = world.records(4).await;
    assert_eq!(records[3]["result"]["bytes"], text.len());
    let tags: Vec<_> =
        records.iter().map(|record| record["result"]["hmac_sha256"].as_str().unwrap()).collect();
    assert_eq!(tags[0].len(), 64);
    assert_eq!(tags[0], tags[1]);
    assert_ne!(tags[0], tags[3]);
    assert!(records.iter().all(|record| record["result"].get("excerpt").is_none()));
    assert_eq!(records[0]["arguments"], arguments("nobody@example.com"), "nothing was chosen");
}

#[tokio::test]
async fn a_tenant_has_rules_of_its_own_and_both_follow_the_file() {
    let world = World::with("", "[redaction]\nhash = [\"email\"]\n").await;
    let email = "ann.person@example.com";
    let ask = || world.call("technician", "call_api_endpoint", contacts_of(email));
    ask().await;
    world.edit(|text| text + "[[redactions]]\ntenant = \"demo\"\nhide = [\"e-mail\"]\n").await;
    ask().await;
    world.edit(|text| text.replace("tenant = \"demo\"\nhide", "tenant = \"other\"\nhide")).await;
    ask().await;
    let records = world.records(3).await;
    let shown: Vec<_> = records.iter().map(|record| record["arguments"]["query"]["email"].clone()).collect();
    assert!(shown[0].as_str().unwrap().starts_with("hmac:"), "{shown:?}");
    assert_eq!((&shown[1], &shown[2]), (&json!("[redacted]"), &shown[0]), "the salt stays");
}

#[tokio::test]
async fn equal_values_are_equal_after_a_restart_too() {
    let mut world = World::with("", "[redaction]\nhash = [\"email\"]\n").await;
    world.call("technician", "call_api_endpoint", contacts_of("a@example.com")).await;
    world.stop().await;
    let world = world.again().await;
    world.call("technician", "call_api_endpoint", contacts_of("a@example.com")).await;
    let records = world.records(2).await;
    assert_eq!(records[0]["arguments"]["query"], records[1]["arguments"]["query"]);
    assert!(!records[0].to_string().contains("a@example.com"));
}

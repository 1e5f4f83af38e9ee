//! What the connector is told before its first message, and what it says where it cannot be.

use serde_json::json;

use super::{begun, own_key, technician};
use crate::support::process::{Ended, Process};
use crate::support::scripted::{Server, answer};
use crate::support::stdio::{Pipes, connector};
use crate::support::world::World;

async fn failed(set: &[(&str, &str)], options: &[&str]) -> Ended {
    let ended = Process::run(connector().envs(set.iter().copied()).args(options)).await;
    assert_eq!(ended.out, "", "only the protocol goes to standard output");
    ended
}

#[tokio::test]
async fn everything_that_is_missing_or_wrong_is_named_in_one_message() {
    let ended = failed(&[], &[]).await;
    assert_eq!(ended.code, Some(2));
    for name in ["ALGA_INSTANCE_URL", "ALGA_API_TOKEN"] {
        assert!(ended.err.contains(name), "{}", ended.err);
    }
    let all =
        [("ALGA_INSTANCE_URL", "psa"), ("ALGA_API_TOKEN", "s3cret\n2"), ("ALGA_REQUEST_TIMEOUT_MS", "soon")];
    let ended = failed(&all, &[]).await;
    assert_eq!(ended.code, Some(2));
    for (name, _) in all {
        assert!(ended.err.contains(name), "{}", ended.err);
    }
    assert!(!ended.err.contains("s3cret"), "{}", ended.err);
}

#[tokio::test]
async fn a_registry_that_cannot_be_loaded_is_fatal_and_says_what_to_change() {
    let world = World::start().await;
    let url = ("ALGA_INSTANCE_URL", world.psa.url.as_str());
    let refused = failed(&[url, ("ALGA_API_TOKEN", "no-such-key")], &[]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("401") && refused.err.contains("ALGA_API_TOKEN"), "{}", refused.err);
    let nobody = [("ALGA_INSTANCE_URL", "http://127.0.0.1:9"), ("ALGA_API_TOKEN", "k")];
    let unreached = failed(&nobody, &[]).await;
    assert!(unreached.code == Some(1) && unreached.err.contains("ALGA_INSTANCE_URL"), "{}", unreached.err);
    let elsewhere =
        failed(&[url, ("ALGA_API_TOKEN", "k"), ("ALGA_REGISTRY_PATH", "/api/v1/none")], &[]).await;
    assert_eq!(elsewhere.code, Some(1));
}

#[tokio::test]
async fn the_registry_is_read_in_each_envelope_with_the_key_and_the_tenant() {
    let entries = r#"[{"id":"get-_api_v1_widgets","method":"get","path":"/api/v1/widgets"},{"id":"post-run","method":"post","path":"/api/workflow-definitions/{id}/run"}]"#;
    for body in [
        format!(r#"{{"data":{{"entries":{entries}}}}}"#),
        format!(r#"{{"entries":{entries}}}"#),
        entries.to_owned(),
    ] {
        let server = Server::new(vec![answer("200 OK", "", &body)]).await;
        let mut command = connector();
        command.env("ALGA_INSTANCE_URL", format!("{}/", server.url)).env("ALGA_API_TOKEN", "the-key");
        command.env("ALGA_TENANT_ID", "the-tenant").env("ALGA_REGISTRY_PATH", "/registry");
        let mut pipes = Pipes::open(&mut command);
        pipes.shake_hands("2025-11-25").await;
        let found = pipes.call(1, "search_api_registry", json!({"query": "widgets"})).await;
        assert_eq!(found["structuredContent"]["results"][0]["entryId"], "get-_api_v1_widgets", "{found:#}");
        let asked = &server.seen()[0].to_ascii_lowercase();
        for part in ["get /registry http/1.1\r\n", "x-api-key: the-key\r\n", "x-tenant-id: the-tenant\r\n"] {
            assert!(asked.contains(part), "{asked}");
        }
        // Nothing that AlgaPSA's connector would offer is left out without a word.
        assert!(pipes.errors().contains("post-run"), "{}", pipes.errors());
    }
}

#[tokio::test]
async fn nothing_is_recorded_unless_it_is_asked_for() {
    let world = World::start().await;
    let file = world.folder.path().join("own.jsonl");
    let mut command = technician(&world).await;
    command.arg("--audit").arg(&file);
    let mut pipes = Pipes::open(&mut command);
    pipes.shake_hands("2025-11-25").await;
    let write = json!({"entryId": "post-_api_v1_tickets", "body": {"title": "x"}});
    pipes.call(1, "call_api_endpoint", write).await;
    pipes.close_input();
    assert_eq!(pipes.ended().await.0, Some(0));
    let records = std::fs::read_to_string(&file).unwrap();
    assert!(records.contains("post-_api_v1_tickets") && records.contains("\"agent\":\"local\""), "{records}");
    assert!(!records.contains("0123456789abcdef0123456789abcdef"));
}

#[tokio::test]
async fn a_key_that_is_withdrawn_while_it_works_is_answered_with_the_way_to_mend_it() {
    let world = World::start().await;
    let mut pipes = begun(&world).await;
    pipes.shake_hands("2025-11-25").await;
    let keys = world.control("GET", "/__keys", json!({})).await;
    let own = keys["data"].as_array().unwrap().iter().find(|key| key["purpose"] == "general").unwrap();
    world.control("DELETE", &format!("/__keys/{}", own["api_key_id"].as_str().unwrap()), json!({})).await;
    let before = world.reached().await.len();
    let refused = pipes.call(1, "call_api_endpoint", json!({"entryId": "get-_api_v1_tickets"})).await;
    let text = refused["content"][0]["text"].as_str().unwrap();
    assert!(refused["isError"] == true && text.contains("ALGA_API_TOKEN"), "{refused:#}");
    assert_eq!(world.reached().await.len(), before + 1, "the same key is not tried twice");
}

#[tokio::test]
async fn a_snippet_is_printed_and_nothing_is_connected() {
    let ended = Process::run(connector().args(["--snippet", "cursor"])).await;
    assert_eq!(ended.code, Some(0));
    assert!(ended.out.contains("ALGA_API_TOKEN") && ended.out.contains("@sidegate/connect"), "{}", ended.out);
    let options = ["--snippet", "claude-code", "--gate", "https://gate.example/mcp", "--token-file", "/t"];
    let ended = Process::run(connector().args(options)).await;
    assert!(ended.out.contains("--gate https://gate.example/mcp --token-file /t"), "{}", ended.out);
}

#[tokio::test]
async fn options_that_do_not_go_together_are_refused() {
    for options in [
        &["--token-file", "/t"][..],
        &["--gate", "https://g/mcp", "--token-file", "/t", "--token-command", "c"],
        &["--gate", "https://g/mcp", "--client-id", "c"],
        &["--gate", "https://g/mcp", "--audit", "/a"],
        &["--gate", "not a url"],
        &["--gate", "ftp://g/mcp"],
        &["--log", "sidegate=loudly"],
    ] {
        let ended = failed(&[], options).await;
        assert_eq!(ended.code, Some(2), "{options:?}: {}", ended.err);
        assert!(ended.err.contains("--"), "{options:?}: {}", ended.err);
    }
}

#[tokio::test]
async fn a_reader_reads_and_is_told_by_the_psa_what_it_may_not() {
    let world = World::start().await;
    let ticket = world.a_ticket("technician").await;
    let mut command = connector();
    command.env("ALGA_INSTANCE_URL", &world.psa.url);
    command.env("ALGA_API_TOKEN", own_key(&world, world.psa.reader()).await);
    let mut pipes = Pipes::open(&mut command);
    pipes.shake_hands("2025-11-25").await;
    let write = json!({"entryId": "put-_api_v1_tickets_id", "path": {"id": ticket}, "body": {"title": "x"}});
    let denied = pipes.call(1, "call_api_endpoint", write).await;
    let text = denied["content"][0]["text"].as_str().unwrap();
    assert!(
        denied["isError"] == true && text.contains("403") && text.contains("ALGA_API_TOKEN"),
        "{denied:#}"
    );
}

//! What the protocol asks of every server, as one sees it from outside, where no other file shows it.

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::conversation::{BOTH, Conversation, call, request, slow, told};
use crate::support::http::{message, modern, written};
use crate::support::sse::Stream;
use crate::support::web::Raw;
use crate::support::wire;
use crate::support::world::World;

#[tokio::test]
async fn a_foreign_origin_or_host_is_403_for_every_method_and_path() {
    let world = World::with("mcp_aliases = [\"/mcp\"]", "[sse]\nenabled = true\n").await;
    let paths = [
        "/api/mcp",
        "/mcp",
        "/api/mcp/sse",
        "/api/mcp/sse/messages",
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
    ];
    let token = format!("Bearer {}", world.token("technician"));
    for path in paths {
        let is_metadata = path.starts_with("/.well-known");
        let methods: &[&str] =
            if is_metadata { &["GET"] } else { &["GET", "POST", "DELETE", "PUT", "OPTIONS"] };
        for method in methods {
            for (name, value) in [("origin", "http://evil.example"), ("host", "evil.example")] {
                // Pages of any origin may read the metadata, which is public.
                if is_metadata && name == "origin" {
                    continue;
                }
                let head = http::Request::builder().method(*method).uri(format!("{}{path}", world.base));
                let head = head.header("authorization", &token).header(name, value);
                let answer = world.send(head.body(Bytes::new()).unwrap()).await;
                assert_eq!(answer.status, 403, "{method} {path} with {name}: {value}");
            }
        }
    }
}

#[tokio::test]
async fn header_names_may_be_written_in_any_case_and_values_with_space_around() {
    let world = World::start().await;
    let body = modern("tools/call", call("get-_api_v1_boards", json!({}))).0.to_string();
    let mut answer = Raw::connect(&world.base).await;
    let request = format!(
        "POST /api/mcp HTTP/1.1\r\nHOST: {}\r\nAUTHORIZATION: bearer {}\r\nCONTENT-TYPE: application/json\r\n\
         MCP-PROTOCOL-VERSION:  2026-07-28 \r\nmCP-mETHOD: \ttools/call\r\nMCP-NAME:call_api_endpoint  \r\n\
         CONTENT-LENGTH: {}\r\nCONNECTION: close\r\n\r\n{body}",
        world.authority(),
        world.token("technician"),
        body.len(),
    );
    answer.say(request).await;
    let answer = answer.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"isError\":false"), "{answer}");
}

#[tokio::test]
async fn every_result_of_the_newest_revision_says_what_it_is_who_made_it_and_how_long_lists_keep() {
    let world = World::start().await;
    let boards = call("get-_api_v1_boards", json!({}));
    for (method, params, listed) in [
        ("server/discover", json!({}), true),
        ("tools/list", json!({}), true),
        ("tools/call", boards, false),
        ("tools/call", call("get-_api_v1_nothing", json!({})), false),
    ] {
        for agent in ["technician", "reader"] {
            let answer = world.ask(agent, method, params.clone()).await;
            let result = &answer.body["result"];
            assert_eq!(result["resultType"], "complete", "{answer:?}");
            assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "sidegate");
            assert_eq!(result["ttlMs"].is_u64(), listed);
            assert_eq!(result["cacheScope"].is_string(), listed);
        }
    }
    let discovered = world.ask("technician", "server/discover", json!({})).await;
    assert_eq!(discovered.body["result"]["supportedVersions"], json!(["2026-07-28"]));
}

#[tokio::test]
async fn the_newest_revision_neither_takes_nor_gives_sessions_and_places() {
    let world = World::start().await;
    let session = Conversation::begin(&world, "reader", "2025-11-25").await.session;
    // Another agent's, and none at all: neither matters.
    for session in [session, "nobody's".to_owned()] {
        let (body, mut headers) = modern("tools/list", json!({}));
        headers.extend([("mcp-session-id", session), ("last-event-id", "1-0".to_owned())]);
        headers.push(("accept", BOTH.to_owned()));
        let answer = world.post(Some(&world.token("technician")), body.to_string(), &headers).await;
        assert_eq!((answer.status, answer.header("mcp-session-id")), (200, ""), "{answer:?}");
    }
    let (body, mut headers) = modern("tools/call", told(slow(1200), "p"));
    headers.push(("accept", BOTH.to_owned()));
    let token = world.token("technician");
    let mut stream = Stream::open(message(&world.mcp_url, Some(&token), body.to_string(), &headers)).await;
    assert!(stream.is_stream() && stream.header("mcp-session-id").is_empty());
    while let Some(event) = stream.next().await {
        assert_eq!((event.id, event.retry), (None, None), "what is lost is asked for anew");
    }
}

#[tokio::test]
async fn requests_on_one_connection_are_each_judged_by_what_they_bring() {
    let world = World::start().await;
    let mut connection = TcpStream::connect(world.authority()).await.unwrap();
    let newest = |agent: Option<&str>| {
        let (body, headers) = modern("tools/list", json!({}));
        let token = agent.map(|agent| world.token(agent));
        message(&world.mcp_url, token.as_deref(), body.to_string(), &headers)
    };
    let older = |agent: &str| {
        let version = [("mcp-protocol-version", "2025-06-18".to_owned())];
        let body = request(1, "tools/list", json!({})).to_string();
        message(&world.mcp_url, Some(&world.token(agent)), body, &version)
    };
    for (request, status) in [
        (newest(Some("technician")), 200),
        (older("reader"), 200),
        (newest(Some("reader")), 200),
        (older("technician"), 200),
        (newest(None), 401),
    ] {
        connection.write_all(written(&request).as_bytes()).await.unwrap();
        let (answered, body) = wire::answer(&mut connection).await.unwrap();
        assert_eq!(answered, status, "{}", String::from_utf8_lossy(&body));
    }
    let records = world.records(5).await;
    let text = |record: &Value, key: &str| record[key].as_str().unwrap_or_default().to_owned();
    let seen: Vec<_> =
        records.iter().map(|record| (text(record, "agent"), text(record, "revision"))).collect();
    let expected = [
        ("technician", "2026-07-28"),
        ("reader", "2025-06-18"),
        ("reader", "2026-07-28"),
        ("technician", "2025-06-18"),
        ("", ""),
    ];
    assert_eq!(seen, expected.map(|(agent, revision)| (agent.to_owned(), revision.to_owned())));
}

#[tokio::test]
async fn schemas_are_of_2020_12_with_an_object_at_the_root_and_results_fit_them() {
    let world = World::start().await;
    let listed = world.ask("technician", "tools/list", json!({})).await;
    let tools = listed.body["result"]["tools"].as_array().unwrap().clone();
    for tool in &tools {
        for schema in
            [&tool["inputSchema"], &tool["outputSchema"]].into_iter().filter(|schema| !schema.is_null())
        {
            assert!(jsonschema::draft202012::meta::is_valid(schema), "{schema}");
            assert_eq!(schema["type"], "object", "{schema}");
        }
    }
    let mut validated = 0;
    for (name, arguments) in [
        ("search_api_registry", json!({"query": "tickets"})),
        ("search_api_registry", json!({"query": "zzzzzz"})),
        ("search_business_data", json!({"query": "printer"})),
        ("call_api_endpoint", json!({"entryId": "get-_api_v1_boards"})),
        ("call_api_endpoint", json!({"entryId": "get-_api_v1_tickets_id", "path": {"id": "nope"}})),
    ] {
        let answer = world.call("technician", name, arguments).await;
        let tool = tools.iter().find(|tool| tool["name"] == name).unwrap();
        if !tool["outputSchema"].is_null() && !answer.is_error() {
            let schema = jsonschema::draft202012::new(&tool["outputSchema"]).unwrap();
            let structured = &answer.body["result"]["structuredContent"];
            assert!(schema.is_valid(structured), "{name}: {structured}");
            validated += 1;
        }
        let structured = &answer.body["result"]["structuredContent"];
        if !structured.is_null() && !answer.is_error() {
            assert_eq!(serde_json::from_str::<Value>(answer.text()).unwrap(), *structured, "{name}");
        }
    }
    assert!(validated > 0, "no tool has an output schema");
}

#[tokio::test]
async fn tools_that_say_they_only_read_cause_nothing_but_reads() {
    let world = World::start().await;
    let listed = world.ask("technician", "tools/list", json!({})).await;
    let mut reading = 0;
    for tool in listed.body["result"]["tools"].as_array().unwrap() {
        let name = tool["name"].as_str().unwrap();
        for hint in ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"] {
            assert!(tool["annotations"][hint].is_boolean(), "{name}: {hint}");
        }
        if tool["annotations"]["readOnlyHint"] == true {
            reading += 1;
            let answer = world.call("technician", name, json!({"query": "printer"})).await;
            assert!(!answer.is_error(), "{}", answer.text());
        } else {
            assert_eq!(tool["annotations"]["destructiveHint"], true, "{name} can delete");
        }
    }
    assert_eq!(reading, 2);
    let reached = world.reached().await;
    assert!(reached.iter().all(|request| request["method"] == "GET"), "{reached:?}");
}

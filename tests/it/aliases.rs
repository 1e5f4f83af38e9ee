//! Further paths of the endpoints: each is a resource of its own, or is not there.

use bytes::Bytes;
use serde_json::json;

use crate::support::http::{Answer, message, modern};
use crate::support::sse::Stream;
use crate::support::world::World;

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

fn token(world: &World, resource: &str) -> String {
    world.issuer.allow_resource(resource);
    world.issuer.token_for("demo-technician", resource).unwrap().expose().to_owned()
}

async fn list(world: &World, url: &str, token: Option<&str>) -> Answer {
    let (body, headers) = modern("tools/list", json!({}));
    world.send(message(url, token, body.to_string(), &headers)).await
}

#[tokio::test]
async fn an_alias_is_a_resource_with_metadata_of_its_own() {
    let world = World::with("mcp_aliases = [\"/mcp\", \"/agents/mcp\"]", "").await;
    for path in ["/api/mcp", "/mcp", "/agents/mcp"] {
        let url = format!("{}{path}", world.base);
        let metadata = format!("{}{WELL_KNOWN}{path}", world.base);
        let document = world.get(&metadata).await;
        assert_eq!((document.status, &document.body["resource"]), (200, &json!(url)));
        assert_eq!(document.body["authorization_servers"], json!([world.issuer.issuer]));
        let refused = list(&world, &url, None).await;
        assert_eq!(refused.status, 401);
        assert_eq!(refused.header("www-authenticate"), format!("Bearer resource_metadata=\"{metadata}\""));
        assert_eq!(list(&world, &url, Some(&token(&world, &url))).await.status, 200, "{path}");
    }
    let root = world.get(&format!("{}{WELL_KNOWN}", world.base)).await;
    assert_eq!(root.body["resource"], world.mcp_url, "the root speaks of the main one");
}

#[tokio::test]
async fn a_token_for_one_path_is_refused_at_every_other() {
    let world =
        World::with("mcp_aliases = [\"/mcp\"]", "[sse]\nenabled = true\naliases = [\"/sse\"]\n").await;
    let paths = ["/api/mcp", "/mcp", "/api/mcp/sse", "/sse"];
    for own in paths {
        let token = token(&world, &format!("{}{own}", world.base));
        for path in paths {
            let url = format!("{}{path}", world.base);
            let status = if path.ends_with("sse") {
                let head = http::Request::get(&url).header("accept", "text/event-stream");
                let head = head.header("authorization", format!("Bearer {token}"));
                Stream::open(head.body(Bytes::new()).unwrap()).await.status
            } else {
                list(&world, &url, Some(&token)).await.status
            };
            assert_eq!(status, if path == own { 200 } else { 401 }, "a token for {own} at {path}");
        }
    }
}

#[tokio::test]
async fn a_path_that_is_not_configured_is_not_there() {
    let world = World::with("mcp_aliases = [\"/mcp\"]", "").await;
    for path in ["/sse", "/mcp/sse", "/mcp/", "/mcp2", "/api/mcp/sse"] {
        let url = format!("{}{path}", world.base);
        assert_eq!(list(&world, &url, Some(&world.token("technician"))).await.status, 404, "{path}");
        assert_eq!(world.get(&format!("{}{WELL_KNOWN}{path}", world.base)).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn aliases_are_named_after_the_public_url() {
    let server = "public_url = \"https://gate.example/psa\"\nmcp_aliases = [\"/mcp\"]";
    let world = World::with(server, "").await;
    let url = format!("{}/mcp", world.base);
    let refused = list(&world, &url, None).await;
    let metadata = "https://gate.example/.well-known/oauth-protected-resource/psa/mcp";
    assert_eq!(refused.header("www-authenticate"), format!("Bearer resource_metadata=\"{metadata}\""));
    let good = token(&world, "https://gate.example/psa/mcp");
    assert_eq!(list(&world, &url, Some(&good)).await.status, 200);
    assert_eq!(list(&world, &url, Some(&token(&world, &url))).await.status, 401);
}

#[tokio::test]
async fn the_messages_of_a_stream_are_taken_where_it_was_opened() {
    let world =
        World::with("", "[sse]\nenabled = true\nstream_is_proof = true\naliases = [\"/sse\"]\n").await;
    let token = token(&world, &format!("{}/sse", world.base));
    let head = http::Request::get(format!("{}/sse", world.base)).header("accept", "text/event-stream");
    let head = head.header("authorization", format!("Bearer {token}"));
    let mut stream = Stream::open(head.body(Bytes::new()).unwrap()).await;
    let address = stream.next().await.unwrap().data.unwrap();
    let sealed = address.strip_prefix(&format!("{}/sse/messages?", world.base)).expect("below its own path");
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
    let elsewhere = format!("{}/api/mcp/sse/messages?{sealed}", world.base);
    let refused = world.send(message(&elsewhere, None, ping.clone(), &[])).await;
    assert_eq!(refused.status, 401, "{refused:?}");
    assert_eq!(world.send(message(&address, None, ping, &[])).await.status, 202);
    assert_eq!(stream.message().await.unwrap()["id"], 1);
}

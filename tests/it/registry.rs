//! The PSA's registry as an agent gets it: in the PSA's envelope, cut to what it may call, and not sent twice.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::support::http::Answer;
use crate::support::world::World;

async fn registry(world: &World, token: Option<&str>, known: Option<&str>) -> Answer {
    let mut request = http::Request::get(format!("{}/api/v1/meta/mcp-registry", world.base));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    if let Some(known) = known {
        request = request.header("if-none-match", known);
    }
    world.send(request.body(Bytes::new()).unwrap()).await
}

fn methods(body: &Value) -> Vec<String> {
    let entries = body["data"]["entries"].as_array().unwrap();
    let mut methods: Vec<_> =
        entries.iter().map(|entry| entry["method"].as_str().unwrap().to_owned()).collect();
    methods.sort();
    methods.dedup();
    methods
}

#[tokio::test]
async fn an_agent_gets_the_entries_that_it_may_call_and_nobody_gets_any() {
    let world = World::start().await;
    let all = registry(&world, Some(&world.token("technician")), None).await;
    assert_eq!(all.status, 200);
    assert_eq!(all.body["meta"]["message"], "MCP API registry retrieved successfully");
    assert_eq!(all.body["data"]["count"], all.body["data"]["entries"].as_array().unwrap().len());
    assert!(methods(&all.body).contains(&"delete".to_owned()));
    assert_eq!(all.header("cache-control"), "private, no-cache");
    // What is offered is what the PSA says of it, to the letter.
    let theirs = world.control("GET", "/api/v1/meta/mcp-registry", json!(null)).await;
    if let Some(theirs) = theirs["data"]["entries"].as_array() {
        for entry in all.body["data"]["entries"].as_array().unwrap() {
            assert!(theirs.contains(entry), "{entry}");
        }
    }
    world.admit_stranger("visitor", world.psa.technician()).await;
    let some = registry(&world, Some(&world.token("stranger")), None).await;
    assert!(some.body["data"]["count"].as_u64() < all.body["data"]["count"].as_u64());
    let nobody = registry(&world, None, None).await;
    assert_eq!(nobody.status, 401);
    assert!(nobody.header("www-authenticate").contains("resource_metadata"));
    let post = http::Request::post(format!("{}/api/v1/meta/mcp-registry", world.base))
        .header("authorization", format!("Bearer {}", world.token("technician")));
    assert_eq!(world.send(post.body(Bytes::new()).unwrap()).await.status, 405);
}

#[tokio::test]
async fn what_an_agent_has_already_is_not_sent_again_and_anothers_is_no_substitute() {
    let world = World::start().await;
    world.admit_stranger("visitor", world.psa.technician()).await;
    let (technician, stranger) = (world.token("technician"), world.token("stranger"));
    let first = registry(&world, Some(&technician), None).await;
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with('"'), "{tag}");
    let again = registry(&world, Some(&technician), Some(&format!("\"x\", W/{tag}"))).await;
    assert_eq!((again.status, again.header("etag")), (304, tag.as_str()));
    let other = registry(&world, Some(&stranger), Some(&tag)).await;
    assert_eq!(other.status, 200, "another agent's registry is another");
}

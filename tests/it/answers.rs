//! Answers as an agent gets them: the next page, chosen members, plain text, results that are cut, and arguments that
//! were understood although they were written differently.

use serde_json::{Value, json};

use crate::support::world::World;

const LIST: &str = "get-_api_v1_tickets";

async fn asked(world: &World, arguments: Value) -> Value {
    let answer = world.call("technician", "call_api_endpoint", arguments).await;
    assert!(!answer.is_error(), "{}", answer.text());
    answer.body["result"]["structuredContent"].clone()
}

#[tokio::test]
async fn each_page_says_how_to_get_the_next_one_and_the_last_says_nothing() {
    let world = World::start().await;
    let (mut query, mut seen) = (json!({"limit": 15}), Vec::new());
    for _ in 0..10 {
        let page = asked(&world, json!({"entryId": LIST, "query": query, "fields": ["ticket_id"]})).await;
        seen.extend(page["data"]["data"].as_array().unwrap().iter().map(|row| row["ticket_id"].to_string()));
        let Some(next) = page["next"]["query"].as_object() else { break };
        query.as_object_mut().unwrap().extend(next.clone());
    }
    let all = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!((all, seen.len()), (40, 40));
}

#[tokio::test]
async fn a_list_over_the_cap_is_cut_between_rows_and_can_be_read_to_its_end() {
    let world = World::with("", "[tools]\nmax_result = \"6KiB\"\n").await;
    let (mut query, mut seen) = (json!({"limit": 40}), Vec::new());
    for _ in 0..40 {
        let page = asked(&world, json!({"entryId": LIST, "query": query})).await;
        assert!(page.to_string().len() <= 6 << 10);
        let rows = page["data"]["data"].as_array().unwrap();
        seen.extend(rows.iter().map(|row| row["ticket_id"].to_string()));
        if seen.len() == rows.len() {
            assert_eq!(page["cut"]["of"], 40);
            let narrow = page["cut"]["narrow"].as_array().unwrap();
            assert!(
                narrow.contains(&json!("fields")) && narrow.contains(&json!("query.status_id")),
                "{narrow:?}"
            );
        }
        let Some(next) = page["next"]["query"].as_object() else { break };
        query.as_object_mut().unwrap().extend(next.clone());
    }
    let all = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!((all, seen.len()), (40, 40), "each once");
}

#[tokio::test]
async fn a_ticket_comes_as_plain_text_and_with_the_members_that_were_chosen() {
    let world = World::start().await;
    let ticket = world.a_ticket("technician").await;
    let arguments = json!({"entryId": "get-_api_v1_tickets_id", "id": ticket, "fields": ["description_html", "descripton"], "plain_text": true});
    let answer = asked(&world, arguments).await;
    let record = answer["data"]["data"].as_object().unwrap();
    assert_eq!(record.keys().collect::<Vec<_>>(), ["description_html"]);
    assert!(!record["description_html"].as_str().unwrap().contains('<'));
    let note = answer["note"].as_str().unwrap();
    assert!(note.contains("id: read as path.id") && note.contains("did you mean `description`?"), "{note}");
}

#[tokio::test]
async fn what_the_registry_is_wrong_about_can_be_left_unchecked() {
    let body = json!({"entryId": "put-_api_v1_tickets_id_status", "body": {"status": "closed"}});
    for (catalog, sent) in
        [("", false), ("[catalog]\nunchecked = [\"PUT /api/v1/tickets/{id}/status\"]\n", true)]
    {
        let world = World::with("", catalog).await;
        let mut arguments = body.clone();
        arguments["path"] = json!({"id": world.a_ticket("technician").await});
        let answer = world.call("technician", "call_api_endpoint", arguments).await;
        assert!(answer.is_error());
        assert_eq!(answer.body["result"]["structuredContent"]["status"] == 400, sent, "{}", answer.text());
        let named = if sent { "status_id (Required)" } else { "body.status_id: is required" };
        assert!(answer.text().contains(named), "{}", answer.text());
    }
}

#[tokio::test]
async fn the_next_page_of_found_records_is_an_argument_of_that_search() {
    let world = World::start().await;
    let first = world.call("technician", "search_business_data", json!({"query": "the", "limit": "2"})).await;
    let first = &first.body["result"]["structuredContent"];
    let cursor = first["next"]["cursor"].as_str().unwrap_or_else(|| panic!("{first}"));
    let again = json!({"query": "the", "limit": 2, "cursor": cursor});
    let second = world.call("technician", "search_business_data", again).await;
    let second = &second.body["result"]["structuredContent"];
    assert_eq!(second["data"]["data"]["results"].as_array().unwrap().len(), 2);
    assert_ne!(second["data"]["data"]["results"][0]["id"], first["data"]["data"]["results"][0]["id"]);
}

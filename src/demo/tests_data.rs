//! The demo PSA's data over its own socket: the registry, lists, changes, search and files.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::listing;
use super::special::REGISTRY;
use super::tests_psa::{Desk, http};

#[tokio::test]
async fn every_entry_of_the_registry_is_served() {
    let desk = Desk::open().await;
    desk.as_role("admin", "Admin").await;
    desk.mint("cat", &desk.psa.catalog_user, 60_000).await;
    let registry = desk.get("cat", "/api/v1/meta/mcp-registry").await.json();
    let entries = registry["data"]["entries"].as_array().unwrap();
    assert_eq!(registry["data"]["count"], entries.len());
    assert!(entries.len() >= 64, "{}", entries.len());
    let mut served = 0;
    for entry in entries {
        let (method, path) = (entry["method"].as_str().unwrap(), entry["path"].as_str().unwrap());
        if !["/api/v1/", "/api/workflow-definitions", "/api/workflow/registry/"]
            .iter()
            .any(|known| path.starts_with(known))
        {
            continue;
        }
        let mut target = path.to_owned();
        while let Some((before, (_, after))) =
            target.split_once('{').map(|(b, rest)| (b, rest.split_once('}').unwrap()))
        {
            target = format!("{before}00000000-0000-4000-8000-000000000000{after}");
        }
        let answer = desk.call("admin", &method.to_uppercase(), &target, json!({})).await;
        assert!(
            !answer.text().starts_with("<!DOCTYPE") && ![401, 403, 405, 500].contains(&answer.status),
            "{method} {path}: {} {}",
            answer.status,
            answer.text()
        );
        served += 1;
    }
    assert!(served >= 100, "{served}");
}

#[tokio::test]
async fn filters_select_and_pages_add_up() {
    let desk = Desk::open().await;
    desk.mint("tech", desk.psa.technician(), 60_000).await;
    let all = desk.get("tech", "/api/v1/tickets?limit=100&sort=ticket_number&order=asc").await.json();
    let total = all["pagination"]["total"].as_u64().unwrap();
    assert!(total >= 36);
    assert_eq!(all["data"].as_array().unwrap().len() as u64, total);
    assert_eq!(all["data"][0]["ticket_number"], "TIC1001");

    let first = desk.get("tech", "/api/v1/tickets?limit=15&page=1").await.json();
    let last = desk.get("tech", "/api/v1/tickets?limit=15&page=3").await.json();
    assert_eq!(
        (&first["pagination"]["hasNext"], &first["pagination"]["hasPrev"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(
        (&last["pagination"]["hasNext"], last["data"].as_array().unwrap().len() as u64),
        (&json!(false), total - 30)
    );
    assert_eq!(first["meta"], json!({"sort": "created_at", "order": "desc", "filters": {}}));

    let open = desk.get("tech", "/api/v1/tickets?is_open=true&priority_name=Critical&limit=100").await.json();
    let rows = open["data"].as_array().unwrap();
    assert!(
        !rows.is_empty()
            && rows.iter().all(|row| row["priority_name"] == "Critical" && row["status_is_closed"] == false)
    );
    assert_eq!(open["meta"]["filters"], json!({"is_open": true, "priority_name": "Critical"}));
    let client = rows[0]["client_id"].as_str().unwrap();
    let own = desk.get("tech", &format!("/api/v1/tickets?client_id={client}&limit=100")).await.json();
    assert!(own["data"].as_array().unwrap().iter().all(|row| row["client_id"] == client));
    assert!(own["pagination"]["total"].as_u64().unwrap() < total);

    let few = desk.get("tech", "/api/v1/tickets?fields=title,status_name&limit=1").await.json();
    assert!(few["data"][0].get("description").is_none() && few["data"][0].get("board_id").is_some());
    let plants = desk.get("tech", "/api/v1/assets?asset_type=server").await.json();
    assert_eq!(plants["success"], true);
    assert!(plants["pagination"].get("hasNext").is_none());
    assert!(plants["data"].as_array().unwrap().iter().all(|row| row["asset_type"] == "server"));

    for (query, status) in [
        ("limit=0", 400),
        ("limit=101", 400),
        ("limit=abc", 400),
        ("page=0", 400),
        ("is_open=yes", 400),
        ("board_id=7", 400),
        ("order=up", 400),
        ("fields=id", 400),
        ("sort=colour", 500),
    ] {
        assert_eq!(desk.get("tech", &format!("/api/v1/tickets?{query}")).await.status, status, "{query}");
    }
}

#[tokio::test]
async fn there_is_as_much_seeded_as_a_demo_needs() {
    let desk = Desk::open().await;
    desk.as_role("admin", "Admin").await;
    for (path, least) in [
        ("tickets", 36),
        ("clients", 8),
        ("contacts", 20),
        ("assets", 25),
        ("time-entries", 30),
        ("invoices", 8),
        ("projects", 4),
        ("boards", 3),
        ("statuses", 15),
        ("users", 10),
    ] {
        let total = desk.get("admin", &format!("/api/v1/{path}?limit=1")).await.json()["pagination"]["total"]
            .as_u64();
        assert!(total.unwrap() >= least, "{path}: {total:?}");
    }
}

#[tokio::test]
async fn what_was_created_can_be_read_changed_commented_closed_and_deleted() {
    let desk = Desk::open().await;
    desk.as_role("admin", "Admin").await;
    let seen = desk.get("admin", "/api/v1/tickets?limit=1&status_name=New").await.json()["data"][0].clone();
    let mut body = json!({"title": "Label printer prints blank labels", "priority_id": seen["priority_id"],
        "board_id": seen["board_id"], "client_id": seen["client_id"], "status_id": seen["status_id"], "surprise": 1});
    let created = desk.call("admin", "POST", "/api/v1/tickets", body.clone()).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let id = created.json()["data"]["ticket_id"].as_str().unwrap().to_owned();
    let one = format!("/api/v1/tickets/{id}");
    let read = desk.get("admin", &one).await.json();
    assert_eq!(
        (&read["data"]["status_name"], &read["data"]["client_name"]),
        (&json!("New"), &seen["client_name"])
    );
    assert!(read["data"].get("surprise").is_none());

    let statuses = desk
        .get(
            "admin",
            &format!("/api/v1/statuses?is_closed=true&board_id={}", seen["board_id"].as_str().unwrap()),
        )
        .await;
    let closed = statuses.json()["data"][0]["status_id"].clone();
    let moved = desk.call("admin", "PUT", &format!("{one}/status"), json!({"status_id": closed})).await;
    assert!(moved.json()["data"]["closed_at"].is_string(), "{}", moved.text());
    let nobody = desk.call("admin", "PUT", &format!("{one}/assignment"), json!({"assigned_to": null})).await;
    assert_eq!(nobody.status, 200);
    let said = desk
        .call(
            "admin",
            "POST",
            &format!("{one}/comments"),
            json!({"comment_text": "Done.", "is_internal": true}),
        )
        .await;
    assert_eq!(said.status, 201);
    let heard = desk.get("admin", &format!("{one}/comments?content_format=markdown")).await.json();
    assert_eq!(heard["data"][0]["markdown_content"], "Done.");
    assert!(heard.get("pagination").is_none() && heard["data"][0].get("comment_html").is_none());

    body["client_id"] = json!("00000000-0000-4000-8000-000000000000");
    let dangling = desk.call("admin", "POST", "/api/v1/tickets", body).await;
    assert_eq!(
        (dangling.status, dangling.json()["error"]["message"].clone()),
        (400, json!("Invalid reference"))
    );
    let empty = http(&desk.psa.url, "POST", "/api/v1/tickets", &[("x-api-key", "admin")], "{broken").await;
    assert_eq!(empty.json()["error"]["details"].as_array().unwrap().len(), 5, "{}", empty.text());

    assert_eq!(desk.call("admin", "DELETE", &one, Value::Null).await.status, 204);
    assert_eq!(desk.get("admin", &one).await.json()["error"]["message"], "ticket not found");
    assert_eq!(
        desk.get("admin", "/api/v1/tickets/7").await.json()["error"]["message"],
        "Invalid ticket ID format"
    );
}

#[tokio::test]
async fn an_idempotency_key_creates_once() {
    let desk = Desk::open().await;
    desk.mint("tech", desk.psa.technician(), 60_000).await;
    let service = desk.get("tech", "/api/v1/services?limit=1").await.json()["data"][0]["service_id"].clone();
    let body = json!({"work_item_type": "ad_hoc", "service_id": service, "start_time": "2026-09-01T10:00:00Z", "end_time": "2026-09-01T10:45:00Z"});
    let headers = [("x-api-key", "tech"), ("x-idempotency-key", "once")];
    let first = http(&desk.psa.url, "POST", "/api/v1/time-entries", &headers, &body.to_string()).await.json();
    let again = http(&desk.psa.url, "POST", "/api/v1/time-entries", &headers, &body.to_string()).await.json();
    assert_eq!(first, again);
    assert_eq!(
        (&first["data"]["billable_duration"], &first["data"]["duration_hours"]),
        (&json!(45), &json!("0.75"))
    );
}

#[tokio::test]
async fn search_shows_only_what_the_caller_may_read() {
    let desk = Desk::open().await;
    desk.as_role("admin", "Admin").await;
    desk.mint("tech", desk.psa.technician(), 60_000).await;
    let hits = desk.get("tech", "/api/v1/search?query=printer&limit=2").await.json();
    assert!(
        hits["data"]["results"][0]["snippet"].as_str().is_some_and(|words| words.contains("<mark>")),
        "{hits}"
    );
    assert!(hits["data"]["totalCount"].as_u64() > Some(2), "{hits}");
    let next = hits["data"]["nextCursor"].as_str().unwrap();
    let more = desk.get("tech", &format!("/api/v1/search?query=printer&limit=2&cursor={next}")).await.json();
    assert_ne!(hits["data"]["results"][1]["id"], more["data"]["results"][0]["id"]);
    assert_eq!(desk.get("tech", "/api/v1/search?query=printer&cursor=%21").await.status, 500);
    assert_eq!(desk.get("tech", "/api/v1/search").await.status, 400);
    assert_eq!(desk.get("tech", "/api/v1/search?query=x&types=ghost").await.status, 400);
    let found = |reply: Value| reply["data"]["totalCount"].as_u64().unwrap();
    assert_eq!(found(desk.get("tech", "/api/v1/search?query=INV-000213").await.json()), 0);
    assert_eq!(found(desk.get("admin", "/api/v1/search?query=INV-000213").await.json()), 1);
}

#[tokio::test]
async fn an_invoice_is_real_pdf_bytes_and_an_export_is_csv() {
    let desk = Desk::open().await;
    desk.as_role("billing", "Billing").await;
    let invoice =
        desk.get("billing", "/api/v1/invoices?limit=1").await.json()["data"][0]["invoice_id"].clone();
    let pdf = desk.get("billing", &format!("/api/v1/invoices/{}/pdf", invoice.as_str().unwrap())).await;
    assert_eq!(pdf.header("content-type"), Some("application/pdf"));
    assert!(pdf.body.starts_with(b"%PDF-1.4") && std::str::from_utf8(&pdf.body).is_err());
    let csv = desk.get("billing", "/api/v1/contacts/export").await;
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    assert!(csv.text().lines().count() > 20);
}

#[test]
fn ids_are_made_from_method_and_path_and_every_list_parameter_is_understood() {
    let entries: Vec<Value> = serde_json::from_str(REGISTRY).unwrap();
    let folded: BTreeSet<String> =
        entries.iter().map(|entry| entry["id"].as_str().unwrap().replace('-', "_")).collect();
    assert_eq!(folded.len(), entries.len());
    for entry in &entries {
        let (method, path) = (entry["method"].as_str().unwrap(), entry["path"].as_str().unwrap());
        let plain = path.replace(['{', '}'], "").replace('/', "_");
        let kept: String =
            plain.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect();
        assert_eq!(entry["id"], format!("{method}-{kept}").to_lowercase());
        let Some(resource) = listing::served_at(path).filter(|_| method == "get") else { continue };
        for parameter in entry["parameters"].as_array().unwrap() {
            let name = parameter["name"].as_str().unwrap();
            assert!(listing::understands(resource, name), "{path} does not know {name}");
        }
    }
    for id in [
        "get-_api_v1_tickets",
        "get-_api_v1_tickets_id",
        "get-_api_v1_tickets_id_comments",
        "get-_api_v1_timeentries",
    ] {
        assert!(entries.iter().any(|entry| entry["id"] == id), "{id}");
    }
}

#[tokio::test]
async fn times_are_rfc_3339_with_three_digits_of_a_second() {
    let desk = Desk::open().await;
    desk.mint("tech", desk.psa.technician(), 60_000).await;
    let all = desk.get("tech", "/api/v1/tickets?limit=100").await.json();
    for ticket in all["data"].as_array().unwrap() {
        let at = ticket["entered_at"].as_str().unwrap();
        assert!(at.len() == "2026-01-01T00:00:00.000Z".len() && listing::instant(at).is_some(), "{at}");
    }
}

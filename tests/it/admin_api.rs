//! The PSA's own contract of its MCP administration, as a client that was written for it speaks it.

use serde_json::{Value, json};

use crate::support::admin::{Api, fields, refused};
use crate::support::plan::Plan;
use crate::support::world::World;

/// The columns of the PSA's tables that its clients read.
const PROVIDER: [&str; 11] = [
    "id",
    "tenant",
    "issuer",
    "jwks_uri",
    "audience",
    "active",
    "created_at",
    "updated_at",
    "subject_claim",
    "kind",
    "entra_tenant_id",
];
const AGENT: [&str; 11] = [
    "agent_id",
    "tenant",
    "name",
    "description",
    "idp_issuer",
    "idp_subject",
    "active",
    "created_by",
    "metadata",
    "created_at",
    "updated_at",
];
const AUDIT: [&str; 10] = [
    "id",
    "tenant",
    "agent_id",
    "tool",
    "arguments",
    "ok",
    "status_code",
    "decision",
    "result_summary",
    "created_at",
];

fn has(row: &Value, names: &[&str]) {
    let fields = fields(row);
    for name in names {
        assert!(fields.contains(name), "no {name} in {row:#}");
    }
}

#[tokio::test]
async fn without_a_valid_key_every_route_says_unauthorized_and_what_to_send() {
    let world = World::start().await;
    let routes = [
        ("GET", "/idp-providers"),
        ("POST", "/idp-providers"),
        ("GET", "/idp-suggestions"),
        ("GET", "/platform-providers"),
        ("GET", "/agents"),
        ("POST", "/agents"),
        ("PATCH", "/agents"),
        ("DELETE", "/agents?agentId=x"),
        ("GET", "/roles"),
        ("GET", "/audit?agentId=x"),
    ];
    let wrong = format!("sga_{}", "A".repeat(43));
    for (method, path) in routes {
        let body = if matches!(method, "POST" | "PATCH") { json!({}) } else { Value::Null };
        let nobody = Api::saying(&world, &[]).send(method, path, body.clone()).await;
        refused(&nobody, 401, "Unauthorized");
        assert_eq!(nobody.header("www-authenticate"), "Bearer realm=\"sidegate-admin\"");
    }
    for headers in [("x-api-key", wrong.clone()), ("authorization", format!("Bearer {wrong}"))] {
        let answer = Api::saying(&world, &[(headers.0, &headers.1)]).get("/agents").await;
        refused(&answer, 401, "Unauthorized");
        assert!(answer.header("www-authenticate").contains("error=\"invalid_token\""), "{answer:?}");
    }
}

#[tokio::test]
async fn a_token_is_taken_from_either_header() {
    let world = World::start().await;
    let token = Api::new(&world).await.token;
    for header in [("x-api-key", token.clone()), ("authorization", format!("bearer {token}"))] {
        let answer = Api::saying(&world, &[(header.0, &header.1)]).get("/agents").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

#[tokio::test]
async fn providers_are_listed_by_issuer_and_added_over_what_is_there() {
    let world = World::start().await;
    let api = Api::new(&world).await;
    let other = crate::support::world::issuer(sidegate::clock::Clock::System).await;
    let listed = api.data("/idp-providers").await;
    has(&listed[0], &PROVIDER);
    assert_eq!((&listed[0]["issuer"], &listed[0]["kind"]), (&json!(world.issuer.issuer), &json!("custom")));
    let body = json!({
        "kind": "custom", "issuer": other.issuer, "jwksUri": format!("{}/jwks", other.issuer),
        "audience": "https://one.example",
    });
    let added = api.post("/idp-providers", body).await;
    assert_eq!(added.status, 201, "{added:?}");
    let first = &added.body["data"];
    has(first, &PROVIDER);
    assert_eq!(
        (&first["audience"], &first["subject_claim"], &first["active"], &first["entra_tenant_id"]),
        (&json!("https://one.example"), &json!("sub"), &json!(true), &Value::Null)
    );
    // The same issuer again replaces what was said, under the same id; its keys are found by discovery then.
    let again = api.post("/idp-providers", json!({"issuer": other.issuer, "subjectClaim": "azp"})).await;
    assert_eq!(again.status, 201, "{again:?}");
    let second = &again.body["data"];
    assert_eq!(
        (&second["id"], &second["audience"], &second["jwks_uri"], &second["subject_claim"]),
        (&first["id"], &Value::Null, &Value::Null, &json!("azp"))
    );
    let mut issuers: Vec<_> = vec![world.issuer.issuer.clone(), other.issuer.clone()];
    issuers.sort();
    let listed = api.data("/idp-providers").await;
    let listed: Vec<_> =
        listed.as_array().unwrap().iter().map(|row| row["issuer"].as_str().unwrap()).collect();
    assert_eq!(listed, issuers);
}

#[tokio::test]
async fn a_provider_that_cannot_be_is_refused_in_the_contracts_words_or_with_the_reason() {
    let world = World::start().await;
    let api = Api::new(&world).await;
    let refusal = |body| {
        let api = &api;
        async move {
            let answer = api.post("/idp-providers", body).await;
            assert_eq!(answer.status, 400, "{answer:?}");
            answer.body["error"].as_str().unwrap().to_owned()
        }
    };
    let microsoft = refusal(json!({"kind": "microsoft"})).await;
    assert_eq!(microsoft, "The Microsoft preset requires \"entraTenantId\".");
    let custom = refusal(json!({"kind": "custom"})).await;
    assert!(custom.starts_with("A custom IdP requires \"issuer\""), "{custom}");
    for (body, word) in [
        (json!({"kind": "microsoft", "entraTenantId": "common"}), "every directory"),
        (json!({"kind": "microsoft", "entraTenantId": "acme.example"}), "GUID"),
        (json!({"issuer": "http://169.254.169.254"}), "never reached"),
        (json!({"issuer": "https://login.example", "jwksUri": "http://169.254.169.254/"}), "never reached"),
        (json!({"issuer": format!("{}/none", world.issuer.issuer)}), "issuer"),
        (json!({"issuer": "garbage"}), "must be an absolute"),
        (json!({"kind": "saml"}), "unknown variant"),
    ] {
        let told = refusal(body.clone()).await;
        assert!(told.contains(word), "{body}: {told}");
    }
    let kept = api.post("/idp-providers", json!({"issuer": world.issuer.issuer})).await;
    assert_eq!(kept.status, 409, "{kept:?}");
    assert!(kept.body["error"].as_str().unwrap().contains("configuration file"), "{kept:?}");
    assert_eq!(api.data("/idp-providers").await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn suggestions_and_platform_providers_have_the_contracts_shape() {
    let plan = Plan {
        idp: "google_client_id = \"g.apps.example\"\nmicrosoft_client_id = \"11111111-2222-4333-8444-555555555555\"",
        ..Plan::default()
    };
    let world = World::of(plan).await;
    let api = Api::new(&world).await;
    assert_eq!(api.get("/idp-suggestions").await.body, json!({"data": {}}));
    let platform = api.get("/platform-providers").await.body;
    assert_eq!(
        platform,
        json!({"data": [
            {"provider": "microsoft", "label": "Microsoft", "issuer": null, "available": true},
            {"provider": "google", "label": "Google", "issuer": "https://accounts.google.com", "available": true},
        ]})
    );
    let world = World::start().await;
    assert_eq!(Api::new(&world).await.get("/platform-providers").await.body, json!({"data": []}));
}

#[tokio::test]
async fn an_agent_is_added_switched_off_and_on_and_removed() {
    let world = World::start().await;
    let api = Api::new(&world).await;
    let roles = api.data("/roles").await;
    assert_eq!(fields(&roles[0]), ["description", "role_id", "role_name"]);
    let names: Vec<_> =
        roles.as_array().unwrap().iter().map(|role| role["role_name"].as_str().unwrap()).collect();
    assert!(names.is_sorted() && names.contains(&"Technician"), "{names:?}");
    let technician = roles.as_array().unwrap().iter().find(|role| role["role_name"] == "Technician").unwrap();

    let body = json!({
        "name": "bot", "description": "for tests", "idpIssuer": world.issuer.issuer, "idpSubject": "demo-stranger",
        "roleIds": [technician["role_id"]],
    });
    let added = api.post("/agents", body).await;
    assert_eq!(added.status, 201, "{added:?}");
    let agent = &added.body["data"];
    has(agent, &AGENT);
    assert!(agent["metadata"]["backing_user_id"].is_string(), "{agent:#}");
    assert_eq!((&agent["active"], &agent["description"]), (&json!(true), &json!("for tests")));
    let id = agent["agent_id"].as_str().unwrap();

    let works = || world.ask("stranger", "tools/list", json!({}));
    crate::support::world::until(|| async { (works().await.status == 200).then_some(()) }).await;
    let listed = api.data("/agents").await;
    let listed: Vec<_> = listed.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!((listed.len(), listed[0]), (3, "bot"), "the newest first");

    let off = api.patch("/agents", json!({"agentId": id, "active": false})).await;
    assert_eq!((off.status, &off.body), (200, &json!({"ok": true})));
    assert_eq!(works().await.status, 403, "off when that has returned");
    let on = api.patch("/agents", json!({"agentId": id, "active": true})).await;
    assert_eq!((on.status, &on.body), (200, &json!({"ok": true})));
    crate::support::world::until(|| async { (works().await.status == 200).then_some(()) }).await;

    for _ in 0..2 {
        let gone = api.delete(&format!("/agents?agentId={id}")).await;
        assert_eq!((gone.status, &gone.body), (200, &json!({"ok": true})), "once and again");
    }
    assert_eq!(works().await.status, 401);
    assert_eq!(api.data("/agents").await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_wrong_with_an_agent_is_said_in_the_contracts_words() {
    let world = World::start().await;
    let api = Api::new(&world).await;
    let issuer = world.issuer.issuer.clone();
    refused(&api.post("/agents", json!({})).await, 400, "\"name\" is required");
    refused(&api.post("/agents", json!({"name": "  "})).await, 400, "\"name\" is required");
    refused(&api.post("/agents", json!({"name": "a"})).await, 400, "\"idpIssuer\" is required");
    refused(
        &api.post("/agents", json!({"name": "a", "idpIssuer": issuer})).await,
        400,
        "\"idpSubject\" is required",
    );
    let told = "\"agentId\" and a boolean \"active\" are required.";
    for body in [
        json!({}),
        json!({"agentId": "x"}),
        json!({"agentId": "x", "active": "yes"}),
        json!({"active": true}),
    ] {
        refused(&api.patch("/agents", body).await, 400, told);
    }
    refused(&api.delete("/agents").await, 400, "\"agentId\" is required.");
    refused(&api.delete("/agents?agentId=").await, 400, "\"agentId\" is required.");
    refused(&api.get("/audit").await, 400, "\"agentId\" is required.");

    let agent = |name: &str, issuer: &str, subject: &str| json!({"name": name, "idpIssuer": issuer, "idpSubject": subject});
    for (body, status, word) in [
        (agent("a", "https://nobody.example", "s"), 400, "not trusted"),
        (agent("technician", &issuer, "s"), 409, "named `technician`"),
        (agent("a", &issuer, "demo-technician"), 409, "already bound to agent `technician`"),
        (json!({"name": "a", "idpIssuer": issuer, "idpSubject": "s", "roleIds": ["Nope"]}), 400, "Nope"),
        (
            json!({"name": "a", "idpIssuer": issuer, "idpSubject": "s", "kind": "robot"}),
            400,
            "unknown variant",
        ),
    ] {
        let answer = api.post("/agents", body.clone()).await;
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        assert_eq!(fields(&answer.body), ["error"]);
        assert!(answer.body["error"].as_str().unwrap().contains(word), "{body}: {answer:?}");
    }
    let unknown = api.patch("/agents", json!({"agentId": "nobody", "active": false})).await;
    assert_eq!(unknown.status, 404, "{unknown:?}");
    assert_eq!(api.data("/agents").await.as_array().unwrap().len(), 2, "nothing was added");
}

#[tokio::test]
async fn the_audit_of_an_agent_comes_in_pages_however_they_are_asked_for() {
    let world = World::start().await;
    let api = Api::new(&world).await;
    let agents = api.data("/agents").await;
    let agents = agents.as_array().unwrap();
    let id = agents.iter().find(|row| row["name"] == "technician").unwrap()["agent_id"]
        .as_str()
        .unwrap()
        .to_owned();
    for _ in 0..3 {
        world.a_ticket("technician").await;
    }
    let denied = json!({"entryId": "get-_api_v1_tickets", "method": "DELETE"});
    world.call("technician", "call_api_endpoint", denied).await;
    let path = |more: &str| format!("/audit?agentId={id}{more}");
    let whole = crate::support::world::until(|| async {
        let answer = api.get(&path("")).await;
        (answer.body["total"] == 4).then_some(answer.body)
    })
    .await;
    assert_eq!((&whole["page"], &whole["pageSize"]), (&json!(1), &json!(25)));
    let rows = whole["data"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    has(&rows[0], &AUDIT);
    let oldest = rows.last().unwrap();
    assert_eq!(
        (&oldest["tool"], &oldest["ok"], &oldest["status_code"], &oldest["decision"], &oldest["agent_id"]),
        (&json!("call_api_endpoint"), &json!(true), &json!(200), &json!("allow"), &json!(id))
    );
    assert_eq!(oldest["arguments"]["entryId"], "get-_api_v1_tickets");
    assert_eq!(rows[0]["ok"], false, "{:#}", rows[0]);
    let times: Vec<_> = rows.iter().map(|row| row["created_at"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|one, next| one >= next), "{times:?}");
    for (more, page, size, ids) in [
        ("&page=2&pageSize=3", 2, 3, &rows[3..]),
        ("&limit=2", 1, 2, &rows[..2]),
        ("&page=9&pageSize=3", 9, 3, &rows[4..]),
        ("&page=0&pageSize=0", 1, 1, &rows[..1]),
        ("&page=x&pageSize=9999", 1, 200, &rows[..]),
    ] {
        let answer = api.get(&path(more)).await.body;
        assert_eq!(
            (&answer["page"], &answer["pageSize"], &answer["total"]),
            (&json!(page), &json!(size), &json!(4)),
            "{more}"
        );
        assert_eq!(answer["data"].as_array().unwrap(), ids, "{more}");
    }
    let nobody = api.get("/audit?agentId=nobody").await.body;
    assert_eq!((&nobody["data"], &nobody["total"]), (&json!([]), &json!(0)));
}

//! What the administrators' interface has beyond the PSA's contract.

use serde_json::{Value, json};
use sidegate::gate::admin::{Actor, TokenSpec};

use crate::support::admin::{Api, fields, problem};
use crate::support::world::{World, until};

#[tokio::test]
async fn a_provider_is_shown_changed_switched_off_and_removed() {
    let world = World::start().await;
    let api = Api::new(&world).await;
    let other = crate::support::world::issuer(sidegate::clock::Clock::System).await;
    let added = api.post("/idp-providers", json!({"issuer": other.issuer})).await.body;
    let path = format!("/idp-providers/{}", added["data"]["id"].as_str().unwrap());
    assert_eq!(api.data(&path).await, added["data"]);
    let patch = json!({
        "audiences": ["https://a.example", "https://b.example"], "subjectClaim": "client_id", "maxAge": 3600,
        "leeway": 5, "requiredScopes": {"write": ["psa.write"]}, "requireBoundTokens": true, "active": false,
    });
    let changed = api.patch(&path, patch).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let row = api.data(&path).await;
    assert_eq!(row, changed.body["data"]);
    assert_eq!(
        (
            &row["audience"],
            &row["audiences"],
            &row["subject_claim"],
            &row["max_age"],
            &row["leeway"],
            &row["active"]
        ),
        (
            &json!("https://a.example"),
            &json!(["https://a.example", "https://b.example"]),
            &json!("client_id"),
            &json!(3600),
            &json!(5),
            &json!(false)
        )
    );
    assert_eq!(row["required_scopes"], json!({"read": [], "write": ["psa.write"], "destroy": []}));
    assert_eq!(api.data("/idp-providers?active=false").await, json!([row]));
    // Null takes back, what is left out stays, and rows' own names are understood.
    let back = api.patch(&path, json!({"max_age": null, "active": true})).await.body;
    assert_eq!((&back["data"]["max_age"], &back["data"]["leeway"]), (&Value::Null, &json!(5)));

    problem(&api.patch(&path, json!({"leeway": -1})).await, 400, "leeway: ");
    let wrong = api.patch(&path, json!({"leeway": -1, "subjectClaim": ""})).await;
    let told: Vec<_> = wrong.body["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(told, ["subject_claim", "leeway"], "every field at once");
    problem(&api.patch(&path, json!({"colour": "red"})).await, 400, "colour");
    problem(&api.patch("/idp-providers/nobody", json!({})).await, 404, "nobody");
    let kept = api.data("/idp-providers").await;
    let kept = kept.as_array().unwrap().iter().find(|row| row["managed_by"] == "config").unwrap();
    let kept = format!("/idp-providers/{}", kept["id"].as_str().unwrap());
    problem(&api.patch(&kept, json!({"active": false})).await, 409, "configuration file");
    problem(&api.delete(&kept).await, 409, "configuration file");

    assert_eq!(api.delete(&path).await.body, json!({"ok": true}));
    problem(&api.delete(&path).await, 404, "there is no");
    problem(&api.get(&path).await, 404, "there is no");
}

#[tokio::test]
async fn tokens_of_a_provider_that_is_switched_off_are_refused_and_accepted_again() {
    let world = World::start().await;
    let api = Api::new(&world).await;
    let other = crate::support::world::issuer(sidegate::clock::Clock::System).await;
    other.allow_resource(&world.mcp_url);
    let added = api.post("/idp-providers", json!({"issuer": other.issuer})).await.body;
    let path = format!("/idp-providers/{}", added["data"]["id"].as_str().unwrap());
    let agent = json!({
        "name": "elsewhere", "idpIssuer": other.issuer, "idpSubject": "demo-stranger",
        "psaUser": world.psa.technician(),
    });
    assert_eq!(api.post("/agents", agent).await.status, 201);
    let token = other.token_for("demo-stranger", &world.mcp_url).unwrap();
    let status = || async {
        let (body, headers) = crate::support::world::modern("tools/list", json!({}));
        world.post(Some(token.expose()), body.to_string(), &headers).await.status
    };
    until(|| async { (status().await == 200).then_some(()) }).await;
    api.patch(&path, json!({"active": false})).await;
    until(|| async { (status().await == 401).then_some(()) }).await;
    api.patch(&path, json!({"active": true})).await;
    until(|| async { (status().await == 200).then_some(()) }).await;
    api.delete(&path).await;
    until(|| async { (status().await == 401).then_some(()) }).await;
}

#[tokio::test]
async fn an_agent_is_shown_changed_and_deleted() {
    let world = World::start().await;
    let api = Api::new(&world).await;
    let added = api.add_stranger("bot").await;
    let path = format!("/agents/{}", added["agent_id"].as_str().unwrap());
    assert_eq!(api.data(&path).await, added);
    assert_eq!(api.data("/agents/bot").await, added, "by its name too");
    let patch = json!({
        "name": "robot", "description": "changed", "kind": "unattended", "maxEffect": "read", "callTimeout": "30s",
        "active": false,
    });
    let changed = api.patch(&path, patch).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let row = api.data(&path).await;
    for (field, value) in [
        ("name", json!("robot")),
        ("description", json!("changed")),
        ("kind", json!("unattended")),
        ("max_effect", json!("read")),
        ("call_timeout", json!("30s")),
        ("active", json!(false)),
    ] {
        assert_eq!(row[field], value, "{field}");
        assert_eq!(changed.body["data"][field], value, "{field}");
    }
    let back =
        api.patch(&path, json!({"kind": null, "maxEffect": null, "callTimeout": null, "active": true})).await;
    let back = &back.body["data"];
    assert_eq!(
        (&back["kind"], &back["max_effect"], &back["call_timeout"], &back["active"], &back["name"]),
        (&Value::Null, &Value::Null, &Value::Null, &json!(true), &json!("robot"))
    );
    problem(&api.patch(&path, json!({"name": "technician"})).await, 409, "technician");
    problem(&api.patch(&path, json!({"idpIssuer": "https://nobody.example"})).await, 400, "not trusted");
    problem(&api.patch(&path, json!({"callTimeout": "soon"})).await, 400, "such as 250ms");
    problem(&api.patch("/agents/technician", json!({"name": "x"})).await, 409, "configuration file");
    problem(&api.get("/agents/nobody").await, 404, "nobody");

    let deleted = api.delete(&path).await;
    assert_eq!(deleted.status, 200, "{deleted:?}");
    assert_eq!(deleted.body["data"]["psa_user"], json!({"outcome": "kept", "why": null}));
    problem(&api.get(&path).await, 404, "there is no agent");
    let (id, kind) = (added["agent_id"].as_str().unwrap(), "change");
    let left = api.data(&format!("/events?agent={id}&kind={kind}")).await;
    let actions: Vec<_> =
        left.as_array().unwrap().iter().rev().map(|event| &event["record"]["change"]["action"]).collect();
    assert_eq!(
        actions,
        ["agent.add", "agent.disable", "agent.change", "agent.change", "agent.enable", "agent.delete"],
        "the record stays"
    );
}

#[tokio::test]
async fn agents_come_in_pages_without_one_missing_or_twice_and_are_filtered() {
    let world = World::start().await;
    let api = Api::new(&world).await;
    for number in 0..5 {
        let body = json!({
            "name": format!("bot {number}"), "idpIssuer": world.issuer.issuer, "idpSubject": format!("s{number}"),
        });
        assert_eq!(api.post("/agents", body).await.status, 201);
    }
    let all = api.data("/agents").await;
    let (mut seen, mut path) = (Vec::new(), "/agents?limit=3".to_owned());
    let mut pages = 0;
    loop {
        let page = api.get(&path).await.body;
        seen.extend(page["data"].as_array().unwrap().clone());
        pages += 1;
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/agents?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!((json!(seen), pages), (all, 3));
    let names = |rows: Value| -> Vec<String> {
        rows.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(api.data("/agents?name=BOT%203").await), ["bot 3"]);
    assert_eq!(api.patch("/agents/bot%200", json!({"active": false})).await.status, 200);
    assert_eq!(names(api.data("/agents?active=false").await), ["bot 0"]);
    assert_eq!(names(api.data("/agents?issuer=https://nobody.example").await), [""; 0]);
    for (query, word) in
        [("limit=0", "limit"), ("limit=201", "limit"), ("cursor=x", "cursor"), ("active=maybe", "")]
    {
        let answer = api.get(&format!("/agents?{query}")).await;
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
        assert!(answer.body["error"].as_str().unwrap().contains(word), "{query}: {answer:?}");
    }
}

#[tokio::test]
async fn an_agents_roles_change_what_it_may_do() {
    let world = World::start().await;
    let api = Api::new(&world).await;
    let body = json!({
        "name": "bot", "idpIssuer": world.issuer.issuer, "idpSubject": "demo-stranger", "roles": ["Technician"],
    });
    let added = api.post("/agents", body).await;
    assert_eq!(added.status, 201, "{added:?}");
    let named = |rows: &Value| -> Vec<String> {
        rows.as_array().unwrap().iter().map(|role| role["role_name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(named(&api.data("/agents/bot/roles").await), ["Technician"]);
    let all = named(&api.data("/roles").await);
    let other = all.iter().find(|name| *name != "Technician").unwrap();
    let set = api.send("PUT", "/agents/bot/roles", json!({"roles": [other]})).await;
    assert_eq!((set.status, &set.body["data"]["roles"]), (200, &json!([other])), "{set:?}");
    assert_eq!(named(&api.data("/agents/bot/roles").await), std::slice::from_ref(other));
    let put = |roles: Value| api.send("PUT", "/agents/bot/roles", roles);
    problem(&put(json!({"roles": ["Nope"]})).await, 400, "Nope");
    problem(&put(json!({"roles": []})).await, 400, "roles: ");
    problem(&put(json!({})).await, 400, "roles");
    problem(&api.get("/agents/nobody/roles").await, 404, "nobody");
    let gone = api.delete("/agents/bot").await.body;
    assert_ne!(gone["data"]["psa_user"]["outcome"], "kept", "{gone:#}");
}

#[tokio::test]
async fn an_agents_keys_are_rotated_and_revoked_without_a_failed_call() {
    let world = World::start().await;
    let api = Api::new(&world).await;
    let agent = api.add_stranger("bot").await;
    until(|| async { (world.ask("stranger", "tools/list", json!({})).await.status == 200).then_some(()) })
        .await;
    let works = || async {
        let answer =
            world.call("stranger", "call_api_endpoint", json!({"entryId": "get-_api_v1_tickets"})).await;
        assert!(answer.status == 200 && !answer.is_error(), "{answer:?}");
    };
    works().await;
    let path = format!("/agents/{}/keys", agent["agent_id"].as_str().unwrap());
    let rotated = api.post(&path, Value::Null).await;
    assert_eq!((rotated.status, &rotated.body["data"]["name"]), (200, &json!("bot")), "{rotated:?}");
    works().await;
    let revoked = api.delete(&path).await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    assert!(revoked.body["data"]["revoked"].is_u64(), "{revoked:?}");
    works().await;
    problem(&api.post("/agents/nobody/keys", Value::Null).await, 404, "nobody");
    problem(&api.delete("/agents/nobody/keys").await, 404, "nobody");
}

#[tokio::test]
async fn a_token_is_explained_and_a_binding_tried_without_changing_anything() {
    let world = World::start().await;
    let api = Api::new(&world).await;
    let explain = |token: String| api.post("/tokens/explain", json!({"token": token}));
    let good = explain(world.token("technician")).await;
    assert_eq!(good.status, 200, "{good:?}");
    let told = &good.body["data"];
    assert_eq!(
        (&told["accepted"], &told["reason"], &told["resource"]),
        (&json!(true), &Value::Null, &json!(world.mcp_url))
    );
    let unbound = explain(world.token("stranger")).await.body;
    assert_eq!(
        (&unbound["data"]["accepted"], &unbound["data"]["reason"]),
        (&json!(false), &json!("not_bound"))
    );
    let last = unbound["data"]["steps"].as_array().unwrap().last().unwrap();
    assert_eq!(fields(last), ["check", "detail", "passed"]);
    let elsewhere = json!({"token": world.token("technician"), "resource": "https://other.example/api/mcp"});
    let elsewhere = api.post("/tokens/explain", elsewhere).await.body;
    assert_eq!(elsewhere["data"]["accepted"], false, "{elsewhere:#}");
    problem(
        &api.post("/tokens/explain", json!({"token": "x", "resource": "nowhere"})).await,
        400,
        "resource: ",
    );

    let dry = |issuer: &str, subject: &str| {
        api.post("/bindings/dry-run", json!({"idpIssuer": issuer, "idpSubject": subject}))
    };
    let bound = dry(&world.issuer.issuer, "demo-technician").await.body["data"].clone();
    assert_eq!(
        (&bound["issuer_trusted"], &bound["agent_name"], &bound["agent_active"], &bound["free"]),
        (&json!(true), &json!("technician"), &json!(true), &json!(false))
    );
    let free = dry(&world.issuer.issuer, "somebody").await.body["data"].clone();
    assert_eq!((&free["agent_id"], &free["free"]), (&Value::Null, &json!(true)));
    let unknown = dry("https://nobody.example", "somebody").await.body["data"].clone();
    assert_eq!(unknown["issuer_trusted"], false, "{unknown:#}");
    assert_eq!(api.data("/agents").await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn guides_say_what_to_create_in_the_customers_directory() {
    let world = World::start().await;
    let api = Api::new(&world).await;
    for kind in ["entra", "google", "keycloak", "auth0", "okta"] {
        let guide = api.data(&format!("/idp-guides/{kind}")).await;
        assert!(guide.is_object() && guide.to_string().len() > 200, "{kind}: {guide:#}");
    }
    problem(&api.get("/idp-guides/saml").await, 404, "saml");
}

#[tokio::test]
async fn every_change_is_an_event_with_who_what_before_and_after() {
    let world = World::start().await;
    let api = Api::of(&world, TokenSpec { name: "automation".to_owned(), ..TokenSpec::default() }).await;
    let agent = api.add_stranger("bot").await;
    api.patch("/agents/bot", json!({"maxEffect": "read"})).await;
    let id = agent["agent_id"].as_str().unwrap();
    let events = api.data(&format!("/events?kind=change&agent={id}")).await;
    let change = &events[0]["record"]["change"];
    assert_eq!(
        (&change["action"], &change["actor"]),
        (&json!("agent.change"), &json!("automation")),
        "{change:#}"
    );
    assert_eq!(
        (&change["before"]["max_effect"], &change["after"]["max_effect"]),
        (&Value::Null, &json!("read"))
    );
    assert!(!events.to_string().contains(&api.token), "no token is on record");
    let first = api.get(&format!("/events?kind=change&agent={id}&limit=1")).await.body;
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = api.get(&format!("/events?kind=change&agent={id}&limit=1&cursor={cursor}")).await.body;
    assert_eq!(
        (json!([first["data"][0], second["data"][0]]), &second["next_cursor"]),
        (events, &Value::Null)
    );
    let at = first["data"][0]["at"].as_str().unwrap();
    assert_eq!(api.data(&format!("/events?kind=change&agent={id}&until={at}")).await, second["data"]);
    assert_eq!(api.data(&format!("/events?kind=change&agent={id}&since={at}")).await, first["data"]);
    problem(&api.get("/events?since=yesterday").await, 400, "since: ");
    problem(&api.get("/events?limit=0").await, 400, "limit: ");
}

#[tokio::test]
async fn tenants_are_added_and_changed_by_those_who_administer_all_of_them() {
    let world = World::start().await;
    let api = Api::new(&world).await;
    let added = api.post("/tenants", json!({"name": "Acme", "slug": "acme"})).await;
    assert_eq!(added.status, 201, "{added:?}");
    let row = &added.body["data"];
    assert_eq!(
        (&row["id"], &row["mcp"], &row["console"], &row["active"]),
        (&json!("acme"), &json!(true), &json!(false), &json!(true))
    );
    let ids: Vec<_> =
        api.data("/tenants").await.as_array().unwrap().iter().map(|row| row["id"].clone()).collect();
    assert_eq!(ids, ["demo", "acme"]);
    let changed = api.patch("/tenants/acme", json!({"mcp": false, "slug": "acme2"})).await.body;
    assert_eq!((&changed["data"]["mcp"], &changed["data"]["slug"]), (&json!(false), &json!("acme2")));
    assert_eq!(api.data("/tenants/acme2").await, changed["data"]);
    problem(&api.post("/tenants", json!({"name": "Acme", "slug": "acme"})).await, 409, "acme");
    problem(&api.post("/tenants", json!({"name": "x", "slug": "A b"})).await, 400, "slug: ");
    problem(&api.get("/tenants/nobody").await, 404, "nobody");
    problem(&api.patch("/tenants/demo", json!({"slug": "demo"})).await, 409, "configuration file");

    let own = Api::of(
        &world,
        TokenSpec { tenant: Some("acme".to_owned()), name: "own".to_owned(), lifetime: None },
    )
    .await;
    for (method, path, body) in [
        ("GET", "/tenants", Value::Null),
        ("POST", "/tenants", json!({"name": "x", "slug": "x"})),
        ("GET", "/tenants/acme", Value::Null),
        ("PATCH", "/tenants/acme", json!({"mcp": true})),
        ("GET", "/admin-tokens", Value::Null),
        ("POST", "/admin-tokens", json!({"name": "x"})),
        ("DELETE", "/admin-tokens/own", Value::Null),
    ] {
        let answer = until(|| async {
            // Its rooms are opened soon after it was added.
            let answer = own.send(method, path, body.clone()).await;
            (answer.status != 401).then_some(answer)
        })
        .await;
        problem(&answer, 403, "every tenant");
    }
}

#[tokio::test]
async fn an_administrators_token_is_made_once_listed_without_itself_and_revoked_at_once() {
    let world = World::start().await;
    let api = Api::new(&world).await;
    let made = api.post("/admin-tokens", json!({"name": "script", "expires": "90d"})).await;
    assert_eq!(made.status, 201, "{made:?}");
    let token = made.body["data"]["token"].as_str().unwrap().to_owned();
    assert!(token.starts_with("sga_") && token.len() == 47, "{token}");
    assert!(made.body["data"]["expires_at"].is_string());
    let script = Api::saying(&world, &[("x-api-key", &token)]);
    assert_eq!(script.get("/agents").await.status, 200);
    let listed = api.get("/admin-tokens").await;
    assert!(listed.body.to_string().contains("script") && !listed.body.to_string().contains(&token[4..]));
    assert!(!fields(&listed.body["data"][0]).contains(&"hash"), "{listed:?}");
    assert!(listed.body["data"][0]["last_used_at"].is_string(), "{listed:?}");
    assert_eq!(api.delete("/admin-tokens/script").await.status, 200);
    assert_eq!(script.get("/agents").await.status, 401);
    problem(&api.delete("/admin-tokens/nobody").await, 404, "nobody");
    problem(&api.post("/admin-tokens", json!({"name": ""})).await, 400, "name: ");
    problem(&api.post("/admin-tokens", json!({"name": "x", "expires": "soon"})).await, 400, "such as 250ms");
    problem(&api.post("/admin-tokens", json!({"name": "x", "tenant": "nobody"})).await, 404, "nobody");

    let short = TokenSpec {
        name: "short".to_owned(),
        tenant: None,
        lifetime: Some(sidegate::units::Span::millis(1)),
    };
    let (_, short) = world.admins.create_admin_token(&Actor::command_line(), &short).await.unwrap();
    until(|| async {
        let answer = Api::saying(&world, &[("x-api-key", short.expose())]).get("/agents").await;
        (answer.status == 401).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_token_of_one_tenant_sees_that_one_and_is_told_of_no_other() {
    let world = World::start().await;
    let api = Api::new(&world).await;
    assert_eq!(api.post("/tenants", json!({"name": "Acme", "slug": "acme"})).await.status, 201);
    let spec = TokenSpec { tenant: Some("acme".to_owned()), name: "own".to_owned(), lifetime: None };
    let own = Api::of(&world, spec).await;
    until(|| async { (own.get("/agents").await.status == 200).then_some(()) }).await;
    assert_eq!(own.data("/agents").await, json!([]), "nothing of the other tenant's");
    assert_eq!(own.data("/idp-providers").await, json!([]));
    let technician = api.data("/agents/technician").await;
    let id = technician["agent_id"].as_str().unwrap();
    problem(&own.get(&format!("/agents/{id}")).await, 404, "there is no agent");
    problem(&own.delete(&format!("/agents/{id}")).await, 404, "there is no agent");
    assert_eq!(own.get(&format!("/audit?agentId={id}")).await.body["total"], 0);
    // Where it says another tenant, the answer is the same whether there is one or not.
    let named = |tenant: &str| {
        Api { world: &world, token: own.token.clone(), headers: Vec::new() }.and("x-tenant-id", tenant)
    };
    let (there, nowhere) = (named("demo").get("/agents").await, named("nobody").get("/agents").await);
    assert_eq!((there.status, &there.body), (401, &nowhere.body));
    assert_eq!(named("acme").get("/agents").await.status, 200);

    // A token of every tenant says which one it means.
    let every = |tenant: &str| {
        Api { world: &world, token: api.token.clone(), headers: Vec::new() }.and("x-tenant-id", tenant)
    };
    assert_eq!(every("acme").data("/agents").await, json!([]));
    assert_eq!(every("demo").data("/agents").await.as_array().unwrap().len(), 2);
    assert_eq!(every("nobody").get("/agents").await.status, 404);
    // The same identity may be bound in each.
    let added = every("acme").post("/idp-providers", json!({"issuer": world.issuer.issuer})).await;
    assert_eq!(added.status, 201, "{added:?}");
    let body =
        json!({"name": "technician", "idpIssuer": world.issuer.issuer, "idpSubject": "demo-technician"});
    let bound = own.post("/agents", body).await;
    assert_eq!(bound.status, 201, "{bound:?}");
}

//! The release gate: a real OpenID provider, TLS, and clients that know nothing but the MCP URL and who they are.

use bytes::Bytes;
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use crate::support::clients::{self, Provider};
use crate::support::http::{Answer, modern};
use crate::support::plan::{Plan, Trusted};
use crate::support::wait::until;
use crate::support::world::World;

const WRITE: &str = "put-_api_v1_tickets_id";
/// What a client put where no record may show it.
const SECRET: &str = "hunter2-and-a-half";

/// A provider, and a Sidegate behind TLS that trusts it and nobody else.
struct Gate {
    provider: Provider,
    world: World,
}

impl Gate {
    async fn open(alg: &str, idp: &str) -> Self {
        let provider = Provider::start(alg).await;
        let person = provider.told("/person/login").to_owned();
        let agents = vec![
            ("worker", "agent-1".to_owned(), "technician"),
            ("looker", "agent-2".to_owned(), "reader"),
            ("colleague", person, "technician"),
        ];
        let trusted = Trusted { issuer: provider.issuer(), agents };
        let world = World::of(Plan { tls: true, idp, trusted: Some(trusted), ..Plan::default() }).await;
        Self { provider, world }
    }

    /// Runs a client that has no token, with these members of its configuration; it tries to rename `ticket`.
    async fn client(&self, program: &str, more: Value, ticket: &str, title: &str) -> Value {
        let body = json!({"title": title, "attributes": {"api_key": SECRET}});
        let mut config = json!({
            "mcp_url": self.world.mcp_url, "ca_file": self.world.ca_file(),
            "write": {"entryId": WRITE, "path": {"id": ticket}, "body": body},
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        clients::run(program, &config).await
    }

    /// The same as a machine of the provider, which has a secret there.
    async fn machine(&self, machine: &str, ticket: &str, title: &str, more: Value) -> Value {
        let mut all = json!({"client_id": machine, "client_secret": self.provider.secret(machine)});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.client("client_credentials.mjs", all, ticket, title).await
    }

    /// A token of the provider for this Sidegate.
    async fn token(&self, machine: &str) -> String {
        let form = Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", machine)
            .append_pair("client_secret", self.provider.secret(machine))
            .append_pair("resource", &self.world.mcp_url)
            .finish();
        let request = http::Request::post(self.provider.told("/token_endpoint"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Bytes::from(form))
            .unwrap();
        let answer = self.world.send(request).await;
        answer.body["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer:?}")).to_owned()
    }

    async fn list(&self, token: &str) -> Answer {
        let (body, headers) = modern("tools/list", json!({}));
        self.world.post(Some(token), body.to_string(), &headers).await
    }

    async fn call(&self, token: &str, arguments: Value) -> Answer {
        let (body, headers) =
            modern("tools/call", json!({"name": "call_api_endpoint", "arguments": arguments}));
        self.world.post(Some(token), body.to_string(), &headers).await
    }

    /// The id of a ticket and its title.
    async fn ticket(&self) -> (String, String) {
        let token = self.token("agent-1").await;
        let listed =
            self.call(&token, json!({"entryId": "get-_api_v1_tickets", "query": {"limit": 1}})).await;
        let ticket = &listed.body["result"]["structuredContent"]["data"]["data"][0];
        let of = |name: &str| ticket[name].as_str().unwrap_or_else(|| panic!("{listed:?}")).to_owned();
        (of("ticket_id"), of("title"))
    }

    async fn title(&self, ticket: &str) -> String {
        let token = self.token("agent-1").await;
        let arguments = json!({"entryId": "get-_api_v1_tickets_id", "path": {"id": ticket}});
        let read = self.call(&token, arguments).await;
        read.body["result"]["structuredContent"]["data"]["data"]["title"].as_str().unwrap().to_owned()
    }

    async fn control(&self, what: &str, body: Value) -> Value {
        let url = self.provider.told(&format!("/control/{what}"));
        let request = http::Request::post(url).body(Bytes::from(body.to_string())).unwrap();
        self.world.send(request).await.body
    }

    async fn refreshes(&self, outcome: &str) -> f64 {
        self.world.metric(&format!("sidegate_jwks_refreshes_total{{outcome=\"{outcome}\"}}")).await
    }

    /// The event of the one write that `subject` tried, with the intent before it.
    async fn write_of(&self, subject: &str) -> (Value, Value) {
        let of = |kind: &'static str| {
            move |record: &&Value| {
                record["subject"] == subject && record["entry_id"] == WRITE && record["record"] == kind
            }
        };
        let all = self.world.records_when(|records| records.iter().any(|record| of("event")(&record))).await;
        let only = |kind| {
            let found: Vec<_> = all.iter().filter(of(kind)).collect();
            assert_eq!(found.len(), 1, "{kind}: {found:#?}");
            found[0].clone()
        };
        (only("intent"), only("event"))
    }

    /// What all records of a write hold, whoever tried it.
    fn is_complete(&self, record: &Value, agent: &str, subject: &str, ticket: &str, title: &str) {
        let (path, issuer) = (format!("/api/v1/tickets/{ticket}"), self.provider.issuer());
        let expected = json!({
            "tenant": "demo", "agent": agent, "issuer": issuer, "subject": subject, "method": "tools/call",
            "tool": "call_api_endpoint", "entry_id": WRITE, "upstream_method": "PUT", "upstream_path": path,
            "effect": "write", "decision": "allow", "arguments": {"entryId": WRITE, "path": {"id": ticket},
            "body": {"title": title, "attributes": {"api_key": "[redacted]"}}},
        });
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&record[name], value, "{name}: {record:#}");
        }
        for name in ["agent_id", "token_id", "request_id", "time", "rule"] {
            assert!(record[name].as_str().is_some_and(|text| !text.is_empty()), "{name}: {record:#}");
        }
        assert!(!record.to_string().contains(SECRET), "{record:#}");
    }
}

/// The steps of a client as `METHOD url status`, up to its first message that was answered.
fn way_in(line: &Value) -> Vec<String> {
    let mut steps = Vec::new();
    for step in line["trace"].as_array().unwrap() {
        let text = |name: &str| step[name].as_str().unwrap_or_default().to_owned();
        steps.push(format!("{} {} {}", text("method"), text("url"), step["status"]));
        if step["bearer"] == true {
            break;
        }
    }
    steps
}

fn ends(line: &Value, revision: &str) {
    assert_eq!(line["error"], Value::Null, "{line:#}");
    assert_eq!(line["revision"], revision, "{line:#}");
    assert_eq!(line["readOk"], true, "{line:#}");
    assert_eq!(line["searchFirst"], "get-_api_v1_tickets", "{line:#}");
}

async fn the_whole_way(alg: &str) {
    let gate = Gate::open(alg, "").await;
    let (ticket, _) = gate.ticket().await;
    let (mcp_url, issuer) = (&gate.world.mcp_url, gate.provider.issuer());

    // The round trip of a machine.
    let title = format!("Renamed under {alg}");
    let line = gate.machine("agent-1", &ticket, &title, json!({"mode": "auto"})).await;
    ends(&line, "2026-07-28");
    assert_eq!(line["writeIsError"], false, "{line:#}");
    assert_eq!(line["resource"], *mcp_url, "{line:#}");
    let metadata = format!("{}/.well-known/oauth-protected-resource/api/mcp", gate.world.base);
    assert_eq!(
        way_in(&line),
        [
            format!("POST {mcp_url} 401"),
            format!("GET {metadata} 200"),
            format!("GET {issuer}/.well-known/oauth-authorization-server 200"),
            format!("POST {issuer}/token 200"),
            format!("POST {mcp_url} 200"),
        ]
    );
    assert_eq!(line["trace"][0]["challenge"], format!("Bearer resource_metadata=\"{metadata}\""));
    assert_eq!(gate.title(&ticket).await, title);
    let (intent, event) = gate.write_of("agent-1").await;
    for record in [&intent, &event] {
        gate.is_complete(record, "worker", "agent-1", &ticket, &title);
    }
    assert_eq!(intent["request_id"], event["request_id"]);
    assert_eq!((&event["upstream_status"], &event["outcome"]), (&json!(200), &json!("ok")), "{event:#}");

    // A role that is missing: the PSA's own denial, as the result of a call.
    let line = gate.machine("agent-2", &ticket, "Renamed by one who may not", json!({"mode": "auto"})).await;
    ends(&line, "2026-07-28");
    assert_eq!(line["writeIsError"], true, "{line:#}");
    assert!(line["writeText"].as_str().unwrap().contains("Cannot update ticket"), "{line:#}");
    assert_eq!(gate.title(&ticket).await, title);
    let (intent, event) = gate.write_of("agent-2").await;
    for record in [&intent, &event] {
        gate.is_complete(record, "looker", "agent-2", &ticket, "Renamed by one who may not");
    }
    assert_eq!(event["upstream_status"], 403, "{event:#}");
    assert_eq!(event["outcome"], "tool_error", "{event:#}");

    // A subject that is bound to nobody: it gets a token from the provider and nothing from us.
    let before = gate.world.reached().await.len();
    let line = gate.machine("stranger", &ticket, "Renamed by nobody", json!({"mode": "auto"})).await;
    assert!(line["error"].is_object(), "{line:#}");
    let last = line["trace"].as_array().unwrap().iter().rfind(|step| step["bearer"] == true).unwrap();
    assert_eq!((&last["url"], &last["status"]), (&json!(mcp_url), &json!(401)), "{line:#}");
    assert!(last["challenge"].as_str().unwrap().contains("error=\"invalid_token\""), "{line:#}");
    assert_eq!(gate.world.reached().await.len(), before, "nothing of it reached the PSA");
    assert_eq!(gate.title(&ticket).await, title);
    let of_stranger = |record: &&Value| record["subject"] == "stranger";
    let records = gate.world.records_when(|records| records.iter().any(|record| of_stranger(&record))).await;
    for record in records.iter().filter(of_stranger) {
        assert_eq!(record["issuer"], issuer, "{record:#}");
        assert_eq!(record["decision"], "refuse", "{record:#}");
        assert_eq!(record["reason"], "not_bound", "{record:#}");
        assert_eq!(record["outcome"], "refused", "{record:#}");
        assert!(record["token_id"].is_string(), "{record:#}");
        for name in ["agent", "agent_id", "entry_id", "upstream_path", "arguments"] {
            assert_eq!(record[name], Value::Null, "{name}: {record:#}");
        }
    }
    let text = std::fs::read_to_string(gate.world.folder.path().join("record/audit.jsonl")).unwrap();
    assert!(!text.contains(SECRET));
}

#[tokio::test]
async fn a_machine_with_only_the_url_gets_in_with_es256_and_the_two_who_may_not_do_not() {
    the_whole_way("ES256").await;
}

#[tokio::test]
async fn a_machine_with_only_the_url_gets_in_with_rs256_and_the_two_who_may_not_do_not() {
    the_whole_way("RS256").await;
}

/// A person logs in with the SDK's authorization-code flow and writes.
async fn a_person_logs_in(alg: &str, more: Value, revision: &str) {
    let gate = Gate::open(alg, "").await;
    let (ticket, _) = gate.ticket().await;
    let mut config = json!({
        "client_id": gate.provider.told("/person/client_id"), "login": gate.provider.told("/person/login"),
        "redirect_uri": gate.provider.told("/person/redirect_uri"),
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let line = gate.client("authorization_code.mjs", config, &ticket, "Renamed by a person").await;
    ends(&line, revision);
    assert_eq!(line["writeIsError"], false, "{line:#}");
    assert_eq!(line["challengeMethod"], "S256", "{line:#}");
    assert_eq!(line["resource"], gate.world.mcp_url, "{line:#}");
    assert_eq!(line["resourceAtAuthorize"], gate.world.mcp_url, "{line:#}");
    assert_eq!(line["trace"][0]["status"], 401, "{line:#}");
    assert_eq!(gate.title(&ticket).await, "Renamed by a person");
    let subject = gate.provider.told("/person/login");
    let (intent, event) = gate.write_of(subject).await;
    for record in [&intent, &event] {
        gate.is_complete(record, "colleague", subject, &ticket, "Renamed by a person");
    }
    assert_eq!(event["outcome"], "ok", "{event:#}");
}

#[tokio::test]
async fn a_person_logs_in_through_the_code_flow_of_the_second_sdk() {
    a_person_logs_in("RS256", json!({"mode": "auto"}), "2026-07-28").await;
}

#[tokio::test]
async fn a_person_logs_in_through_the_code_flow_of_the_first_sdk() {
    a_person_logs_in("ES256", json!({"sdk": "v1"}), "2025-11-25").await;
}

#[tokio::test]
async fn a_machine_gets_in_with_the_first_sdk_and_with_pythons() {
    let gate = Gate::open("ES256", "").await;
    let (ticket, _) = gate.ticket().await;
    let line = gate.machine("agent-1", &ticket, "Renamed with the first SDK", json!({"sdk": "v1"})).await;
    ends(&line, "2025-11-25");
    assert_eq!(line["resource"], gate.world.mcp_url, "{line:#}");
    assert_eq!(gate.title(&ticket).await, "Renamed with the first SDK");

    let config = json!({"client_id": "agent-1", "client_secret": gate.provider.secret("agent-1")});
    let line = gate.client("sdk_python.py", config, &ticket, "Renamed with Python").await;
    ends(&line, "2026-07-28");
    assert_eq!(line["trace"][0]["status"], 401, "{line:#}");
    assert_eq!(line["resource"], gate.world.mcp_url, "{line:#}");
    assert_eq!(gate.title(&ticket).await, "Renamed with Python");
}

#[tokio::test]
async fn a_key_that_the_provider_rotates_in_costs_one_refresh_and_the_old_one_is_out() {
    let gate = Gate::open("ES256", "").await;
    let (used, unused) = (gate.token("agent-1").await, gate.token("agent-1").await);
    assert_eq!(gate.list(&used).await.status, 200);
    assert_eq!(gate.refreshes("ok").await, 1.0);

    gate.control("rotate", json!({})).await;
    let fresh = [gate.token("agent-1").await, gate.token("agent-2").await, gate.token("agent-1").await];
    let answers = futures_util::future::join_all(fresh.iter().map(|token| gate.list(token))).await;
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200, 200]);
    assert_eq!(gate.refreshes("ok").await, 2.0, "one fetch for all three");

    let refused = gate.list(&unused).await;
    assert_eq!(refused.status, 401, "{refused:?}");
    assert_eq!(gate.world.metric("sidegate_auth_refusals_total{reason=\"unknown_key\"}").await, 1.0);
}

#[tokio::test]
async fn known_keys_go_on_working_while_the_provider_is_down_and_new_ones_are_found_when_it_is_back() {
    let gate = Gate::open("RS256", "refresh = \"1s\"").await;
    let known = gate.token("agent-1").await;
    assert_eq!(gate.list(&gate.token("agent-1").await).await.status, 200);
    gate.control("rotate", json!({"keep": true})).await;
    let rotated_in = gate.token("agent-1").await;
    gate.control("outage", json!({"status": 503})).await;

    // A signature that is wrong is never remembered: each try asks for the keys, until they are old
    // and a refresh has failed.
    let (signed, _) = known.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", "A".repeat(342));
    until(|| async {
        assert_eq!(gate.list(&forged).await.status, 401);
        (gate.refreshes("error").await >= 1.0).then_some(())
    })
    .await;
    assert_eq!(gate.list(&known).await.status, 200, "a token that was never seen, under a known key");
    assert_eq!(gate.list(&rotated_in).await.status, 401, "a key that nobody could fetch");

    gate.control("outage", json!({"status": null})).await;
    until(|| async { (gate.list(&rotated_in).await.status == 200).then_some(()) }).await;
}

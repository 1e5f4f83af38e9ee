//! The demo PSA over its own socket, with a client that sends exactly what it is told.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::keys::sha256_hex;
use super::psa::DemoPsa;
use crate::clock::{Clock, rfc3339};

const START: i64 = 1_790_000_000_000;

pub(super) struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.split_once(": ").filter(|(held, _)| *held == name))
            .map(|(_, value)| value)
    }
}

/// One request on a connection of its own.
pub(super) async fn http(
    base: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Reply {
    let host = base.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).await.unwrap();
    let mut request = format!(
        "{method} {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    headers.iter().for_each(|(name, value)| request.push_str(&format!("{name}: {value}\r\n")));
    stream.write_all(format!("{request}\r\n{body}").as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, head, body: bytes[end + 4..].to_vec() }
}

/// A running PSA and its clock.
pub(super) struct Desk {
    pub psa: DemoPsa,
    clock: Clock,
}

impl Desk {
    pub async fn open() -> Self {
        let clock = Clock::manual(START);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { psa: DemoPsa::start(listener, clock.clone()).await.unwrap(), clock }
    }

    pub async fn control(&self, method: &str, target: &str, body: Value) -> Reply {
        let secret = [("x-demo-control", self.psa.control_secret.expose())];
        http(&self.psa.url, method, target, &secret, &body.to_string()).await
    }

    /// A key for `user`; its text is its name. Returns the row's id.
    pub async fn mint(&self, key: &str, user: &str, life: i64) -> String {
        let body = json!({"user_id": user, "key_hash": sha256_hex(key), "description": "test", "purpose": "mcp_sidecar",
            "expires_at": rfc3339(self.clock.now() + life), "agent_id": "agent-1"});
        let minted = self.control("POST", "/__keys", body).await;
        assert_eq!(minted.status, 201, "{}", minted.text());
        minted.json()["api_key_id"].as_str().unwrap().to_owned()
    }

    /// A user with `role`, and the key `key` for it.
    pub async fn as_role(&self, key: &str, role: &str) -> String {
        let body = json!({"agent_id": format!("agent-{role}"), "name": role, "roles": [role]});
        let user =
            self.control("POST", "/__users", body).await.json()["user_id"].as_str().unwrap().to_owned();
        self.mint(key, &user, 600_000).await;
        user
    }

    pub async fn call(&self, key: &str, method: &str, target: &str, body: Value) -> Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        http(
            &self.psa.url,
            method,
            target,
            &[("x-api-key", key), ("content-type", "application/json")],
            &body,
        )
        .await
    }

    pub async fn get(&self, key: &str, target: &str) -> Reply {
        self.call(key, "GET", target, Value::Null).await
    }
}

#[tokio::test]
async fn a_role_without_the_permission_is_denied_in_the_psas_words() {
    let desk = Desk::open().await;
    desk.mint("tech", desk.psa.technician(), 60_000).await;
    desk.mint("reader", desk.psa.reader(), 60_000).await;
    assert_eq!(desk.get("tech", "/api/v1/tickets").await.status, 200);
    for (key, method, target, message) in [
        ("tech", "GET", "/api/v1/users", "Permission denied: Cannot read user"),
        ("tech", "GET", "/api/v1/invoices", "Permission denied: Cannot read invoice"),
        ("reader", "POST", "/api/v1/tickets", "Permission denied: Cannot create ticket"),
        (
            "reader",
            "DELETE",
            "/api/v1/tickets/00000000-0000-4000-8000-000000000000",
            "Permission denied: Cannot delete ticket",
        ),
    ] {
        let denied = desk.call(key, method, target, json!({})).await;
        assert_eq!(
            (denied.status, denied.json()),
            (403, json!({"error": {"code": "FORBIDDEN", "message": message}}))
        );
    }
}

#[tokio::test]
async fn a_key_is_refused_once_it_expired_was_revoked_or_its_owner_or_tenant_is_switched_off() {
    let desk = Desk::open().await;
    let unauthorized = json!({"error": {"code": "UNAUTHORIZED", "message": "Invalid API key"}});
    let missing = http(&desk.psa.url, "GET", "/api/v1/tickets", &[("authorization", "Bearer x")], "").await;
    assert_eq!((missing.status, missing.json()), (401, json!({"error": "Unauthorized: API key missing"})));

    desk.mint("short", desk.psa.technician(), 1_000).await;
    assert_eq!(desk.get("short", "/api/v1/tickets").await.status, 200);
    desk.clock.advance(1_000);
    assert_eq!(desk.get("short", "/api/v1/tickets").await.json(), unauthorized);
    let swept = desk.control("POST", "/__keys/sweep", json!({"now": desk.clock.now()})).await;
    assert_eq!(swept.json(), json!({"removed": 1}));

    let id = desk.mint("revoked", desk.psa.technician(), 60_000).await;
    assert_eq!(desk.control("DELETE", &format!("/__keys/{id}"), Value::Null).await.status, 204);
    assert_eq!(desk.control("DELETE", &format!("/__keys/{id}"), Value::Null).await.status, 404);
    assert_eq!(desk.get("revoked", "/api/v1/tickets").await.json(), unauthorized);

    desk.mint("key", desk.psa.technician(), 60_000).await;
    let foreign = [("x-api-key", "key"), ("x-tenant-id", "00000000-0000-4000-8000-000000000000")];
    assert_eq!(http(&desk.psa.url, "GET", "/api/v1/tickets", &foreign, "").await.status, 401);
    let own = [("x-api-key", "key"), ("x-tenant-id", desk.psa.tenant.as_str())];
    assert_eq!(http(&desk.psa.url, "GET", "/api/v1/tickets", &own, "").await.status, 200);
    desk.control("POST", "/__tenant", json!({"suspended": true})).await;
    assert_eq!(desk.get("key", "/api/v1/tickets").await.json(), unauthorized);
    let mint = json!({"user_id": desk.psa.reader(), "key_hash": sha256_hex("n")});
    assert_eq!(desk.control("POST", "/__keys", mint.clone()).await.json(), json!({"error": "suspended"}));
    desk.control("POST", "/__tenant", json!({"suspended": false})).await;
    assert_eq!(desk.get("key", "/api/v1/tickets").await.status, 200);
    let off = format!("/__users/{}/deactivate", desk.psa.technician());
    assert_eq!(desk.control("POST", &off, Value::Null).await.status, 204);
    assert_eq!(desk.get("key", "/api/v1/tickets").await.json(), unauthorized);
    let mint = json!({"user_id": desk.psa.technician(), "key_hash": sha256_hex("m")});
    assert_eq!(desk.control("POST", "/__keys", mint).await.json(), json!({"error": "inactive_user"}));
    assert_eq!(
        desk.control("DELETE", "/__keys?agent_id=agent-1", Value::Null).await.json(),
        json!({"removed": 1})
    );
}

#[tokio::test]
async fn an_agents_backing_user_is_made_once_and_its_roles_are_aligned() {
    let desk = Desk::open().await;
    let user = desk.as_role("key", "Read only").await;
    let unknown =
        desk.control("POST", "/__users", json!({"agent_id": "a", "name": "A", "roles": ["Wizard"]})).await;
    assert_eq!(unknown.status, 400);
    assert!(
        unknown.text().contains("unknown roles: Wizard; there are: Admin, Billing"),
        "{}",
        unknown.text()
    );
    let again = json!({"agent_id": "agent-Read only", "name": "Now more", "roles": ["Billing"]});
    assert_eq!(desk.control("POST", "/__users", again).await.json()["user_id"], user.as_str());
    assert_eq!(desk.get("key", "/api/v1/invoices").await.status, 200);
    assert_eq!(desk.get("key", "/api/v1/interactions").await.status, 403);
    assert_eq!(http(&desk.psa.url, "GET", "/__roles", &[], "").await.status, 403);
    assert_eq!(
        desk.control("GET", "/__roles", Value::Null).await.json()["data"].as_array().unwrap().len(),
        5
    );
    assert!(!desk.control("GET", "/__keys", Value::Null).await.text().contains(&sha256_hex("key")));
}

#[tokio::test]
async fn unknown_paths_are_html_other_methods_are_empty_and_answers_carry_what_must_be_stripped() {
    let desk = Desk::open().await;
    desk.mint("tech", desk.psa.technician(), 60_000).await;
    let unknown = desk.get("tech", "/api/v1/nothing").await;
    assert_eq!((unknown.status, unknown.header("content-type")), (404, Some("text/html; charset=utf-8")));
    let method = desk.call("tech", "PATCH", "/api/v1/tickets", json!({})).await;
    assert_eq!((method.status, method.body.len()), (405, 0));
    let list = desk.get("tech", "/api/v1/tickets?limit=1").await;
    assert!(list.header("set-cookie").unwrap().starts_with("authjs."));
    assert_eq!(
        (list.header("access-control-allow-origin"), list.header("x-ratelimit-limit")),
        (Some("*"), Some("120"))
    );
    desk.control("POST", "/__limit", json!({"burst": 1})).await;
    assert_eq!(desk.get("tech", "/api/v1/tickets?limit=1").await.status, 200);
    let limited = desk.get("tech", "/api/v1/tickets?limit=1").await;
    assert_eq!((limited.status, limited.header("retry-after")), (429, Some("1")));
}

#[tokio::test]
async fn the_log_keeps_raw_paths_and_header_names_and_says_who_went_away() {
    let desk = Desk::open().await;
    desk.mint("tech", desk.psa.technician(), 60_000).await;
    desk.get("tech", "/api/v1/tickets/a%2Fb?x=%20").await;
    let log = http(&desk.psa.url, "GET", "/__requests", &[], "").await.json();
    assert_eq!(log.as_array().unwrap().len(), 1);
    assert_eq!((&log[0]["method"], &log[0]["path"]), (&json!("GET"), &json!("/api/v1/tickets/a%2Fb?x=%20")));
    assert!(
        log[0]["headers"].as_array().unwrap().contains(&json!("x-api-key"))
            && log[0].get("aborted").is_none()
    );
    assert!(!log.to_string().contains("tech"));
    assert_eq!(http(&desk.psa.url, "DELETE", "/__requests", &[], "").await.status, 204);

    let host = desk.psa.url.trim_start_matches("http://").to_owned();
    let mut leaving = TcpStream::connect(&host).await.unwrap();
    let request =
        format!("GET /api/v1/reports/slow?ms=30000 HTTP/1.1\r\nhost: {host}\r\nx-api-key: tech\r\n\r\n");
    leaving.write_all(request.as_bytes()).await.unwrap();
    let logged = |wanted: fn(&Value) -> bool| {
        let url = desk.psa.url.clone();
        async move {
            loop {
                let log = http(&url, "GET", "/__requests", &[], "").await.json();
                if log.get(0).is_some_and(wanted) {
                    return;
                }
            }
        }
    };
    let limit = std::time::Duration::from_secs(10);
    tokio::time::timeout(limit, logged(|_| true)).await.unwrap();
    drop(leaving);
    tokio::time::timeout(limit, logged(|line| line["aborted"] == true)).await.unwrap();
    assert_eq!(desk.get("tech", "/api/v1/reports/slow?ms=1").await.json()["data"]["waited_ms"], 1);
}

#[tokio::test]
async fn a_stopped_psa_no_longer_listens() {
    let desk = Desk::open().await;
    desk.psa.stop();
    let host = desk.psa.url.trim_start_matches("http://");
    while TcpStream::connect(host).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

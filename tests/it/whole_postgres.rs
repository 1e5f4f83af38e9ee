//! The whole path with keys in AlgaPSA's own table: a real PostgreSQL, and a REST side that takes
//! exactly the keys that the PSA's rule takes from that table.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use tokio::net::TcpListener;

use crate::support::alga::{Alga, Edition, TENANT, USER};
use crate::support::plan::Plan;
use crate::support::world::World;

const RULE: &str =
    "SELECT EXISTS (SELECT 1 FROM api_keys k JOIN users u ON u.tenant = k.tenant AND u.user_id = k.user_id
    WHERE k.api_key = $1 AND k.tenant::text = $2 AND k.active AND k.expires_at > now()
    AND u.is_inactive = false AND u.user_type = 'internal')";

async fn taken(database: &PgPool, headers: &HeaderMap) -> bool {
    let text =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let hash: String = Sha256::digest(text("x-api-key")).iter().map(|byte| format!("{byte:02x}")).collect();
    sqlx::query_scalar(RULE).bind(hash).bind(text("x-tenant-id")).fetch_one(database).await.unwrap()
}

async fn registry(State(database): State<PgPool>, headers: HeaderMap) -> (StatusCode, String) {
    let entry = json!({
        "id": "get-_api_v1_tickets", "method": "get", "path": "/api/v1/tickets", "displayName": "List tickets",
        "summary": "List tickets", "tags": ["Tickets"], "approvalRequired": false, "parameters": [],
    });
    answer(&database, &headers, json!({"data": {"edition": "ee", "count": 1, "entries": [entry]}})).await
}

async fn tickets(State(database): State<PgPool>, headers: HeaderMap) -> (StatusCode, String) {
    answer(&database, &headers, json!({"data": [{"title": "Printer offline"}]})).await
}

async fn answer(database: &PgPool, headers: &HeaderMap, good: Value) -> (StatusCode, String) {
    if taken(database, headers).await {
        return (StatusCode::OK, good.to_string());
    }
    let error = json!({"error": {"code": "UNAUTHORIZED", "message": "Invalid API key"}});
    (StatusCode::UNAUTHORIZED, error.to_string())
}

/// Serves the PSA's REST side and returns the lines of `[psa]` that lead there and to its database.
pub async fn rest_side(alga: &Alga) -> String {
    let database = PgPool::connect(alga.config.database_url.expose()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new()
        .route("/api/v1/meta/mcp-registry", get(registry))
        .route("/api/v1/tickets", get(tickets))
        .with_state(database);
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!(
        "url = \"{url}\"\ntenant = \"{TENANT}\"\nkeys = \"postgres\"\ncatalog_user = \"{USER}\"\ndatabase_url = \"{}\"\n",
        alga.config.database_url.expose()
    )
}

#[tokio::test]
async fn a_call_is_made_under_a_row_of_its_own_that_goes_with_its_agent() {
    crate::support::install_crypto();
    let mut alga = Alga::new(Edition::Commercial).await;
    let psa = rest_side(&alga).await;
    let mut world = World::of(Plan { psa: Some(&psa), ..Plan::default() }).await;
    world.admit_stranger("bot", USER).await;
    let call = || world.call("stranger", "call_api_endpoint", json!({"entryId": "get-_api_v1_tickets"}));
    for _ in 0..3 {
        let answer = call().await;
        assert!(!answer.is_error(), "{}", answer.text());
    }
    assert_eq!(alga.count("api_keys").await, 2, "the catalogue's and the agent's");
    let row =
        "SELECT purpose || ' ' || description || ' ' || active FROM api_keys WHERE description LIKE '%bot%'";
    assert_eq!(alga.text(row).await.as_deref(), Some("mcp_sidecar sidegate: bot true"));
    world.store().await.switch("bot", false).await;
    tokio::time::sleep(sidegate::gate::MAX_STALENESS).await;
    assert_eq!(call().await.status, 403);
    let mut left = alga.count("api_keys").await;
    let waiting = std::time::Instant::now();
    while left > 1 && waiting.elapsed() < crate::support::wait::PATIENCE {
        tokio::task::yield_now().await;
        left = alga.count("api_keys").await;
    }
    assert_eq!(left, 1, "only the catalogue's is left");
    world.stop().await;
    assert_eq!(alga.count("api_keys").await, 0, "a stop leaves none behind");
}

//! AlgaPSA's REST side against a server that can misbehave byte by byte.

use std::time::Duration;

use serde_json::{Map, json};
use sidegate::clock::Clock;
use sidegate::psa::{self, CatalogCredential, Credential, Marks, PsaConfig, PsaDoor, PsaError, SendOutcome};
use sidegate::tool::rewrite::CallArgs;
use sidegate::units::{Size, Span};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream, UnixListener};

use crate::keys_static;
use crate::support::alga::principal;
use crate::support::permit::permit;
use crate::support::scripted::{Server, Then, answer, headers};

const TENANT: &str = "10000000-0000-4000-8000-000000000001";
const SOON: Duration = Duration::from_secs(10);

fn ok() -> Then {
    answer("200 OK", "", "{\"data\":[]}")
}

fn marks(request_id: &str) -> Marks {
    Marks { request_id: request_id.to_owned(), ..Marks::default() }
}

struct World {
    door: PsaDoor,
    key: Credential,
    _files: TempDir,
}

impl World {
    async fn new(url: &str) -> Self {
        Self::with(url, |config| config.tenant = TENANT.to_owned()).await
    }

    async fn with(url: &str, change: impl FnOnce(&mut PsaConfig)) -> Self {
        let files = tempfile::tempdir().unwrap();
        std::fs::write(files.path().join("1"), "key-of-bot-1\n").unwrap();
        let mut config = keys_static::config(&files, url);
        change(&mut config);
        let door = psa::open(&config, Clock::System).await.unwrap();
        let key = door.keys.mint(&principal("agent-1", "Bot 1", None), SOON, 0).await.unwrap();
        Self { door, key, _files: files }
    }

    async fn read(&self) -> Result<SendOutcome, PsaError> {
        let permit = permit("get-_api_v1_tickets", &CallArgs::default());
        self.door.psa.send(permit, &self.key, &marks("req-1"), SOON, None).await
    }

    async fn write(&self) -> Result<SendOutcome, PsaError> {
        let args = CallArgs { body: Some(json!({ "title": "Printer" })), ..CallArgs::default() };
        self.door
            .psa
            .send(permit("post-_api_v1_tickets", &args), &self.key, &marks("req-2"), SOON, None)
            .await
    }
}

#[tokio::test]
async fn a_read_carries_exactly_the_declared_headers() {
    let server = Server::new(vec![ok()]).await;
    let world = World::new(&format!("{}/app/", server.url)).await;
    let text = |name: &str, value: &str| Map::from_iter([(name.to_owned(), value.into())]);
    let args = CallArgs { query: text("limit", "5"), headers: text("x-trace", "abc"), ..CallArgs::default() };
    let permit = permit("get-_api_v1_tickets", &args);
    world.door.psa.send(permit, &world.key, &marks("req-1"), SOON, None).await.unwrap();
    let seen = server.seen();
    assert!(seen[0].starts_with("GET /app/api/v1/tickets?limit=5 HTTP/1.1\r\n"), "{}", seen[0]);
    let host = server.url.strip_prefix("http://").unwrap();
    let mut expected = vec![
        "accept-encoding: identity".to_owned(),
        "accept: application/json".to_owned(),
        format!("host: {host}"),
        format!("user-agent: sidegate/{}", env!("CARGO_PKG_VERSION")),
        "x-api-key: key-of-bot-1".to_owned(),
        "x-request-id: req-1".to_owned(),
        format!("x-tenant-id: {TENANT}"),
        "x-trace: abc".to_owned(),
    ];
    expected.sort();
    assert_eq!(headers(&seen[0]), expected);
}

#[tokio::test]
async fn a_psa_on_a_unix_socket_is_asked_there_and_its_url_gives_host_and_prefix() {
    let server = Server::new(vec![ok()]).await;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("psa.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let behind = server.url.strip_prefix("http://").unwrap().to_owned();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(&behind).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    });
    let world = World::with("http://psa.internal/app", |config| config.unix_socket = Some(socket)).await;
    assert!(matches!(world.write().await, Ok(SendOutcome::Answered(said)) if said.status == 200));
    let seen = server.seen();
    assert!(seen[0].starts_with("POST /app/api/v1/tickets HTTP/1.1\r\n"), "{}", seen[0]);
    assert!(headers(&seen[0]).contains(&"host: psa.internal".to_owned()), "{}", seen[0]);
    assert_eq!(world.door.psa.probe().await, Ok(()));
    assert_eq!(world.door.psa.reload(), Ok(()));
    world.read().await.unwrap();
}

#[tokio::test]
async fn a_write_carries_its_body_as_json_and_no_tenant_where_none_is_configured() {
    let server = Server::new(vec![ok()]).await;
    let world = World::with(&server.url, |_| {}).await;
    world.write().await.unwrap();
    let seen = server.seen();
    assert!(seen[0].starts_with("POST /api/v1/tickets HTTP/1.1\r\n"), "{}", seen[0]);
    assert!(seen[0].ends_with("\r\n\r\n{\"title\":\"Printer\"}"), "{}", seen[0]);
    let names: Vec<_> =
        headers(&seen[0]).iter().map(|line| line.split(':').next().unwrap().to_owned()).collect();
    let mut expected = [
        "accept",
        "accept-encoding",
        "content-length",
        "content-type",
        "host",
        "user-agent",
        "x-api-key",
        "x-request-id",
    ];
    expected.sort_unstable();
    let mut names = names;
    names.sort();
    assert_eq!(names, expected);
}

#[tokio::test]
async fn an_answer_keeps_its_status_type_and_wait() {
    let busy = answer("429 Too Many Requests", "retry-after: 7\r\nset-cookie: a=b\r\n", "{}");
    let server = Server::new(vec![busy]).await;
    let world = World::new(&server.url).await;
    let Ok(SendOutcome::Answered(said)) = world.read().await else { panic!("no answer") };
    assert_eq!((said.status, said.retry_after.as_deref()), (429, Some("7")));
    assert_eq!((said.content_type.as_deref(), &said.body[..]), (Some("application/json"), &b"{}"[..]));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let server = Server::new(vec![answer("302 Found", "location: /elsewhere\r\n", "")]).await;
    let world = World::new(&server.url).await;
    let Ok(SendOutcome::Answered(said)) = world.read().await else { panic!("no answer") };
    assert_eq!((said.status, server.seen().len()), (302, 1));
}

#[tokio::test]
async fn a_refused_key_gives_the_permit_back_to_be_sent_once_more() {
    let server = Server::new(vec![answer("401 Unauthorized", "", "{}"), ok()]).await;
    let world = World::new(&server.url).await;
    let Ok(SendOutcome::KeyRefused(permit, said)) = world.write().await else { panic!("not refused") };
    assert_eq!(said.status, 401);
    let again = world.door.psa.send(permit, &world.key, &marks("req-2"), SOON, None).await;
    assert!(matches!(again, Ok(SendOutcome::Answered(said)) if said.status == 200));
    let bodies: Vec<_> =
        server.seen().iter().map(|r| r.split("\r\n\r\n").nth(1).unwrap().to_owned()).collect();
    assert_eq!(bodies, ["{\"title\":\"Printer\"}"; 2]);
}

#[tokio::test]
async fn what_was_sent_is_never_sent_twice_when_the_connection_breaks() {
    for fresh in [true, false] {
        let script = if fresh { vec![Then::HangUp] } else { vec![ok(), Then::HangUp] };
        for write in [true, false] {
            let server = Server::new(script.clone()).await;
            let world = World::new(&server.url).await;
            if !fresh {
                world.read().await.unwrap();
            }
            let broken = if write { world.write().await } else { world.read().await };
            assert!(matches!(broken, Err(PsaError::Interrupted(_))), "{fresh} {write}: {broken:?}");
            assert_eq!(server.seen().len(), script.len(), "{fresh} {write}");
        }
    }
}

#[tokio::test]
async fn a_psa_that_is_not_there_is_unavailable() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let world = World::new(&format!("http://{nobody}")).await;
    for outcome in [world.read().await, world.write().await] {
        assert!(matches!(outcome, Err(PsaError::Unavailable(_))), "{outcome:?}");
    }
    assert!(matches!(world.door.psa.probe().await, Err(PsaError::Unavailable(_))));
}

#[tokio::test]
async fn an_answer_over_the_cap_is_not_read_but_for_its_status() {
    let long = |status: &str| answer(status, "", &"x".repeat(2_000));
    let server = Server::new(vec![long("201 Created"), long("409 Conflict"), long("200 OK")]).await;
    let world = World::with(&server.url, |config| config.max_response = Size(1_000)).await;
    for status in [201, 409] {
        let said = world.write().await.unwrap_err();
        assert_eq!(said, PsaError::TooLarge { limit: 1_000, status: Some(status) });
    }
    let CatalogCredential::Fixed(key) = &world.door.catalog_credential else { panic!("a minted key") };
    assert_eq!(world.door.psa.catalog(key).await.unwrap().len(), 2_000);
}

#[tokio::test]
async fn a_psa_that_does_not_answer_runs_into_the_deadline() {
    let server = Server::new(vec![Then::Hang]).await;
    let world = World::with(&server.url, |config| config.timeout = Span::millis(50)).await;
    let permit = permit("get-_api_v1_tickets", &CallArgs::default());
    let outcome = world.door.psa.send(permit, &world.key, &marks("r"), Duration::from_millis(50), None).await;
    assert!(matches!(outcome, Err(PsaError::Deadline)), "{outcome:?}");
    assert_eq!(server.seen().len(), 1);
    assert!(matches!(world.door.psa.probe().await, Err(PsaError::Deadline)));
}

#[tokio::test]
async fn the_catalogue_is_fetched_under_its_own_key_and_an_error_names_the_status() {
    let script = vec![
        answer("200 OK", "", "{\"data\":{}}"),
        answer("401 Unauthorized", "", "{}"),
        answer("403 Forbidden", "", "{}"),
        answer("503 Service Unavailable", "", "{}"),
    ];
    let server = Server::new(script).await;
    let world = World::new(&server.url).await;
    let CatalogCredential::Fixed(key) = &world.door.catalog_credential else { panic!("a minted key") };
    assert_eq!(world.door.psa.catalog(key).await.unwrap(), "{\"data\":{}}");
    let seen = server.seen();
    assert!(seen[0].starts_with("GET /api/v1/meta/mcp-registry HTTP/1.1\r\n"), "{}", seen[0]);
    assert!(headers(&seen[0]).contains(&"x-api-key: key-of-the-catalogue".to_owned()));
    for status in ["401", "403", "503"] {
        let refused = world.door.psa.catalog(key).await.unwrap_err();
        assert!(refused.to_string().contains(status), "{refused}");
        // Only a refused key is a reason to make another.
        assert_eq!(matches!(refused, PsaError::KeyRefused(_)), status == "401", "{refused:?}");
    }
}

#[tokio::test]
async fn any_answer_shows_that_the_psa_can_be_reached_and_no_key_is_sent_for_it() {
    let server = Server::new(vec![answer("500 Internal Server Error", "", "")]).await;
    let world = World::new(&server.url).await;
    assert_eq!(world.door.psa.probe().await, Ok(()));
    let seen = server.seen();
    assert!(seen[0].starts_with("GET /api/v1/meta/health HTTP/1.1\r\n"), "{}", seen[0]);
    assert!(!seen[0].contains("x-api-key"), "{}", seen[0]);
}

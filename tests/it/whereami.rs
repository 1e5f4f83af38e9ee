//! Where am I: what clients are told about this server's URL, through every kind of proxy in front, and
//! which web pages may speak to it.

use bytes::Bytes;
use serde_json::json;

use crate::support::http::Answer;
use crate::support::world::{World, modern};

const LOOPBACK_IS_A_PROXY: &str = "trusted_proxies = [\"127.0.0.0/8\"]\nallowed_hosts = [\"gate.example\", \
                                   \"gate.example:8443\", \"[2001:db8::5]:8443\"]";

/// A proxy in front: the base URL that clients use, the part of its path that it cuts off, and what it
/// says, apart for paths below `/.well-known/`.
struct Front {
    base: &'static str,
    cuts: &'static str,
    says: &'static [(&'static str, &'static str)],
    says_of_well_known: &'static [(&'static str, &'static str)],
}

impl Front {
    fn new(base: &'static str, says: &'static [(&'static str, &'static str)]) -> Self {
        Self { base, cuts: "", says, says_of_well_known: says }
    }

    /// The URL as a client knows it.
    fn mcp_url(&self) -> String {
        format!("{}/api/mcp", self.base.trim_end_matches('/'))
    }

    /// Passes a request for `url` on, as the proxy would.
    async fn send(&self, world: &World, method: &str, url: &str, token: Option<&str>) -> Answer {
        let (_, rest) = url.split_once("://").unwrap();
        let (_, path) = rest.split_at(rest.find('/').unwrap());
        let says = if path.starts_with("/.well-known/") { self.says_of_well_known } else { self.says };
        let path = path.strip_prefix(self.cuts).unwrap_or(path);
        let mut request = http::Request::builder().method(method).uri(format!("{}{path}", world.base));
        for (name, value) in says {
            request = request.header(*name, *value);
        }
        let (body, headers) = modern("tools/list", json!({}));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.header("content-type", "application/json");
        world.send(request.body(Bytes::from(body.to_string())).unwrap()).await
    }

    /// Goes the way of a client that knows nothing but the URL: the challenge, the metadata that it names,
    /// a token for the resource that this names, and a request with it.
    async fn is_found(&self, world: &World, resource: &str) {
        let refused = self.send(world, "POST", &self.mcp_url(), None).await;
        assert_eq!(refused.status, 401, "{resource}: {refused:?}");
        let challenge = refused.header("www-authenticate");
        let metadata =
            challenge.strip_prefix("Bearer resource_metadata=\"").unwrap().strip_suffix('"').unwrap();
        let origin = resource.strip_suffix("/psa/api/mcp").or(resource.strip_suffix("/api/mcp")).unwrap();
        assert!(
            metadata.starts_with(&format!("{origin}/.well-known/oauth-protected-resource/")),
            "{metadata}"
        );
        let document = self.send(world, "GET", metadata, None).await;
        assert_eq!(document.status, 200, "{metadata}");
        assert_eq!(document.body["resource"], resource);
        world.issuer.allow_resource(resource);
        let token = world.issuer.token_for("demo-technician", resource).unwrap();
        let listed = self.send(world, "POST", &self.mcp_url(), Some(token.expose())).await;
        assert_eq!(listed.status, 200, "{resource}: {listed:?}");
    }
}

#[tokio::test]
async fn a_public_url_is_what_clients_find_whether_the_proxy_cuts_its_path_off_or_not() {
    for (url, base) in [
        ("https://gate.example/psa", "https://gate.example/psa"),
        ("https://gate.example/psa/", "https://gate.example/psa"),
        ("HTTPS://Gate.Example:443/psa/", "https://gate.example/psa"),
        ("https://gate.example:8443/", "https://gate.example:8443"),
        ("https://[2001:DB8::5]:8443", "https://[2001:db8::5]:8443"),
    ] {
        let world = World::with(&format!("public_url = \"{url}\""), "").await;
        for cuts in ["", "/psa"] {
            let front = Front { cuts, ..Front::new(base, &[]) };
            front.is_found(&world, &format!("{base}/api/mcp")).await;
        }
    }
}

#[tokio::test]
async fn what_a_listed_proxy_says_is_what_clients_find() {
    let world = World::with(LOOPBACK_IS_A_PROXY, "").await;
    for (base, says) in [
        ("https://gate.example", &[("x-forwarded-proto", "https"), ("x-forwarded-host", "gate.example")][..]),
        (
            "https://gate.example:8443",
            &[("x-forwarded-proto", "https"), ("x-forwarded-host", "gate.example:8443")],
        ),
        (
            "https://gate.example:8443",
            &[("x-forwarded-proto", "https"), ("host", "gate.example"), ("x-forwarded-port", "8443")],
        ),
        // No word on the scheme.
        ("https://gate.example", &[("host", "gate.example"), ("x-forwarded-port", "443")]),
        ("http://gate.example", &[("host", "gate.example")]),
        // Default ports and upper case.
        ("https://gate.example", &[("x-forwarded-proto", "https"), ("host", "GATE.Example:443")]),
        ("http://gate.example", &[("x-forwarded-host", "Gate.example:80")]),
        (
            "https://[2001:db8::5]:8443",
            &[("x-forwarded-proto", "https"), ("x-forwarded-host", "[2001:DB8:0::5]:8443")],
        ),
        (
            "https://gate.example:8443",
            &[("forwarded", "for=192.0.2.1;proto=https;host=\"gate.example:8443\"")],
        ),
        (
            "https://gate.example",
            &[
                ("x-forwarded-for", "6.6.6.6, 192.0.2.1"),
                ("x-forwarded-proto", "http, https"),
                ("x-forwarded-host", "evil.example, gate.example"),
            ],
        ),
    ] {
        Front::new(base, says).is_found(&world, &format!("{base}/api/mcp")).await;
    }
}

#[tokio::test]
async fn a_prefix_that_a_proxy_cuts_off_is_in_everything_that_clients_find() {
    let world = World::with(LOOPBACK_IS_A_PROXY, "").await;
    const PLAIN: &[(&str, &str)] = &[("x-forwarded-proto", "https"), ("x-forwarded-host", "gate.example")];
    const PREFIXED: &[(&str, &str)] = &[
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "gate.example"),
        ("x-forwarded-prefix", "/psa/"),
    ];
    for says_of_well_known in [PLAIN, PREFIXED] {
        let front =
            Front { base: "https://gate.example/psa", cuts: "/psa", says: PREFIXED, says_of_well_known };
        front.is_found(&world, "https://gate.example/psa/api/mcp").await;
    }
    // Cut off in front of the root document as well.
    let front = Front { cuts: "/psa", ..Front::new("https://gate.example/psa", PREFIXED) };
    let root = "https://gate.example/psa/.well-known/oauth-protected-resource";
    let document = front.send(&world, "GET", root, None).await;
    assert_eq!(document.body["resource"], "https://gate.example/psa/api/mcp");
    // Another prefix than the one that was cut off, and one that is none.
    for path in ["/other/api/mcp", "/psa/../api/mcp", "//api/mcp", "/psa/api/other"] {
        let url = format!("https://gate.example/.well-known/oauth-protected-resource{path}");
        assert_eq!(front.send(&world, "GET", &url, None).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn strangers_are_not_believed_and_their_own_address_is_on_record() {
    for (server, client) in [
        ("", "127.0.0.1"),
        ("trusted_proxies = [\"192.0.2.0/24\", \"unix\"]", "127.0.0.1"),
        (LOOPBACK_IS_A_PROXY, "203.0.113.7"),
    ] {
        let world = World::with(server, "").await;
        let front = Front::new(
            "http://here",
            &[
                ("x-forwarded-for", "6.6.6.6, 203.0.113.7"),
                ("x-forwarded-prefix", "/evil"),
                ("x-forwarded-proto", "https"),
            ],
        );
        let refused = front.send(&world, "POST", &front.mcp_url(), None).await;
        let believed = server == LOOPBACK_IS_A_PROXY;
        assert_eq!(refused.header("www-authenticate").contains("/evil/"), believed, "{refused:?}");
        assert_eq!(refused.header("www-authenticate").contains("https://127"), believed, "{refused:?}");
        assert_eq!(world.records(1).await[0]["client_address"], client);
        let inserted = "http://here/.well-known/oauth-protected-resource/evil/api/mcp";
        let status = front.send(&world, "GET", inserted, None).await.status;
        assert_eq!(status, if believed { 200 } else { 404 });
    }
}

#[tokio::test]
async fn the_host_that_is_checked_is_the_one_the_client_called() {
    let world = World::with(LOOPBACK_IS_A_PROXY, "").await;
    for (says, status) in [
        (&[("x-forwarded-host", "gate.example")][..], 401),
        (&[("x-forwarded-host", "evil.example")], 403),
        (&[("x-forwarded-host", "gate.example/evil")], 403),
        (&[("host", "evil.example"), ("x-forwarded-host", "gate.example")], 401),
        (&[("forwarded", "host=gate.example"), ("x-forwarded-host", "localhost")], 403),
    ] {
        let front = Front::new("http://here", says);
        let answer = front.send(&world, "POST", &front.mcp_url(), None).await;
        assert_eq!(answer.status, status, "{says:?}");
        let root = "http://here/.well-known/oauth-protected-resource";
        let status = if status == 401 { 200 } else { status };
        assert_eq!(front.send(&world, "GET", root, None).await.status, status, "{says:?}");
    }
}

const PAGE: &str = "https://app.example";

async fn for_pages() -> World {
    World::with(&format!("allowed_origins = [\"{PAGE}\"]\nmax_body = \"4KiB\""), "").await
}

/// Sends to the MCP endpoint from a page of `origin`.
async fn from_page(
    world: &World,
    origin: &str,
    method: &str,
    headers: &[(&str, String)],
    body: &str,
) -> Answer {
    let mut request = http::Request::builder().method(method).uri(&world.mcp_url).header("origin", origin);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    world.send(request.body(Bytes::from(body.to_owned())).unwrap()).await
}

#[tokio::test]
async fn a_preflight_from_an_allowed_origin_is_answered_without_a_token_and_leaves_no_record() {
    let world = for_pages().await;
    let asks = [
        ("access-control-request-method", "POST".to_owned()),
        ("access-control-request-headers", "authorization,content-type,mcp-protocol-version".to_owned()),
    ];
    for origin in [PAGE, world.base.as_str()] {
        let answer = from_page(&world, origin, "OPTIONS", &asks, "").await;
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("access-control-allow-origin"), origin);
        assert_eq!(answer.header("vary"), "Origin");
        assert_eq!(answer.header("access-control-allow-methods"), "POST, GET, DELETE");
        assert_eq!(answer.header("access-control-max-age"), "7200");
        let allowed = answer.header("access-control-allow-headers");
        for name in [
            "authorization",
            "content-type",
            "accept",
            "mcp-protocol-version",
            "mcp-session-id",
            "mcp-method",
            "mcp-name",
            "last-event-id",
            "traceparent",
            "tracestate",
        ] {
            assert!(allowed.split(", ").any(|have| have == name), "{name} in {allowed}");
        }
        assert_eq!(answer.header("access-control-allow-credentials"), "");
    }
    for origin in ["https://evil.example", "null", "http://app.example", ""] {
        let answer = from_page(&world, origin, "OPTIONS", &asks, "").await;
        assert_eq!(answer.status, 403, "{origin}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}");
    }
    let plain = http::Request::options(&world.mcp_url).body(Bytes::new()).unwrap();
    let plain = world.send(plain).await;
    assert_eq!((plain.status, plain.header("allow")), (204, "POST, GET, DELETE, OPTIONS"));
    assert_eq!(plain.header("access-control-allow-origin"), "");
    // The one record is that of the request after all these.
    world.ask("technician", "tools/list", json!({})).await;
    assert_eq!(world.records(1).await.len(), 1);
}

#[tokio::test]
async fn every_answer_to_an_allowed_origin_can_be_read_by_its_pages() {
    let world = for_pages().await;
    let bearer = ("authorization", format!("Bearer {}", world.token("technician")));
    let json = ("content-type", "application/json".to_owned());
    let (list, mut listing) = modern("tools/list", json!({}));
    listing.extend([bearer.clone(), json.clone()]);
    let notice = json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string();
    let large = " ".repeat(5000);
    let big = ("x-big", "x".repeat(40_000));
    for (method, headers, body, status) in [
        ("POST", listing, list.to_string().as_str(), 200),
        ("POST", vec![bearer.clone(), json.clone()], notice.as_str(), 202),
        ("POST", vec![bearer.clone(), json.clone()], "{", 400),
        ("POST", vec![json.clone()], "{}", 401),
        ("POST", vec![("authorization", "Bearer no.good.token".to_owned())], "{}", 401),
        ("GET", vec![bearer.clone()], "", 405),
        ("POST", vec![bearer.clone(), json.clone()], large.as_str(), 413),
        ("POST", vec![bearer.clone()], "{}", 415),
        ("GET", vec![big], "", 431),
    ] {
        let answer = from_page(&world, PAGE, method, &headers, body).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), PAGE, "{status}");
        assert_eq!(answer.header("vary"), "Origin", "{status}");
        let exposed = answer.header("access-control-expose-headers");
        for name in ["WWW-Authenticate", "Mcp-Session-Id", "Retry-After", "X-Request-Id"] {
            assert!(exposed.split(", ").any(|have| have == name), "{status}: {exposed}");
        }
        assert_eq!(answer.header("access-control-allow-credentials"), "", "{status}");
    }
    let foreign = from_page(&world, "https://evil.example", "POST", &[bearer], "{}").await;
    assert_eq!((foreign.status, foreign.header("access-control-allow-origin")), (403, ""));
    let agent = world.ask("technician", "tools/list", json!({})).await;
    assert_eq!(agent.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn pages_of_any_origin_may_read_the_metadata() {
    let world = World::start().await;
    for (method, status) in [("GET", 200), ("HEAD", 200), ("OPTIONS", 204), ("POST", 405)] {
        let url = format!("{}/.well-known/oauth-protected-resource/api/mcp", world.base);
        let request =
            http::Request::builder().method(method).uri(url).header("origin", "https://any.example");
        let answer = world.send(request.body(Bytes::new()).unwrap()).await;
        assert_eq!(answer.status, status, "{method}");
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{method}");
        assert_eq!(answer.header("access-control-allow-credentials"), "");
        if method == "OPTIONS" {
            assert_eq!(answer.header("access-control-allow-methods"), "GET, HEAD, OPTIONS");
            assert_eq!(answer.header("access-control-allow-headers"), "*");
        }
    }
}

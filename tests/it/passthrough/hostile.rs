//! What must not reach the PSA: its own agents' endpoints in any spelling, and requests that two
//! servers could read as two.

use super::{ask, authority, in_front_of, over_tls};
use crate::support::web::{Web, exchange, http2};

/// Spellings of what is hidden, or of what cannot be told.
const SPELLINGS: [&str; 82] = [
    "/api/mcp/",
    "/api/mcp/oauth/token",
    "/api/mcp/oauth/authorize?response_type=code",
    "/api/v1/mcp",
    "/api/v1/mcp/keys",
    "/api/v1/mcp/connect/start",
    "/.well-known/oauth-authorization-server",
    "/.well-known/oauth-authorization-server/api/mcp",
    "/.well-known/oauth-protected-resource/",
    "/.well-known/oauth-protected-resource/other",
    "/API/MCP",
    "/api/Mcp",
    "/Api/V1/mCP/keys",
    "/.Well-Known/OAuth-Authorization-Server",
    "//api/mcp",
    "/api//mcp",
    "/api///mcp",
    "///api/v1//mcp/keys",
    "/.well-known//oauth-authorization-server",
    "/./api/mcp",
    "/api/./mcp",
    "/x/../api/mcp",
    "/api/x/../mcp",
    "/api/mcp/../mcp",
    "/api/v1/x/..//mcp/keys",
    "/../api/mcp",
    "/api/mcp/.",
    "/api/mcp/..",
    "/api/tickets/../../api/mcp",
    "/x/%2e%2e/api/mcp",
    "/x/.%2E/api/mcp",
    "/x/%252e%252e/api/mcp",
    "/x/..%2fapi/mcp",
    "/x/..%5capi%5cmcp",
    "/x/..;/api/mcp",
    "/x/..;a=b/api/mcp",
    "/.../api/mcp",
    "/api/%6d%63%70",
    "/%61%70%69/mcp",
    "/api/%6Dcp",
    "/api/%256dcp",
    "/api/%25256dcp",
    "/api/%2525256dcp",
    "/api%2fmcp",
    "/api%2Fmcp",
    "/api%252fmcp",
    "/%2fapi/mcp",
    "/api/mcp%2f",
    "/api/mcp%2foauth%2ftoken",
    "/api/v1%2fmcp/keys",
    "/api\\mcp",
    "/api%5cmcp",
    "/api%255cmcp",
    "\\api\\mcp",
    "/api/mcp;x",
    "/api/mcp;x=1/oauth/token",
    "/api;x/mcp",
    "/api/mcp%3b",
    "/api/mcp%00",
    "/api/mcp%00.png",
    "/api/mcp%2500",
    "/api/mcp%09",
    "/api/mcp%0a",
    "/api/mcp%0d%0aX:%20y",
    "/api/mcp%20",
    "/api/mcp.",
    "/api/mcp%3fx",
    "/api/mcp%23",
    "/api/m%u0063p",
    "/api/%c1%adcp",
    "/api/%e0%81%adcp",
    "/api/%ffmcp",
    "/api/%ef%bd%8dcp",
    "/.well-%e2%84%aanown/oauth-authorization-server",
    "/en/api/mcp",
    "/_next/../api/mcp",
    "/_next/data/build/api/mcp.json",
    "/_next/data/build/en/api/mcp.json",
    "/_next/image?url=%2Fapi%2Fmcp&w=64&q=75",
    "/_next/image?w=64&url=%252Fapi%252F%256dcp",
    "/api/mcp.rsc",
    "/%",
];

#[tokio::test]
async fn no_spelling_of_the_psas_own_agent_endpoints_reaches_it() {
    let web = Web::friendly().await;
    let world = in_front_of(&web, "").await;
    for target in SPELLINGS {
        for method in ["GET", "POST"] {
            let answer = ask(&world, method, target, "Content-Length: 0\r\n", "").await;
            let status = answer.get(..12).unwrap_or_default();
            assert!(matches!(status, "HTTP/1.1 400" | "HTTP/1.1 404"), "{method} {target}: {answer}");
            assert!(web.seen().is_empty(), "{method} {target}: {}", web.everything());
        }
    }
}

#[tokio::test]
async fn a_target_that_is_no_plain_path_reaches_nobody() {
    let web = Web::friendly().await;
    let world = in_front_of(&web, "").await;
    let host = authority(&world).to_owned();
    for line in [
        format!("GET http://{host}/api/v1/mcp/keys HTTP/1.1"),
        format!("GET http://{host}/msp HTTP/1.1"),
        format!("GET HTTP://{host}//api/v1/mcp HTTP/1.1"),
        "GET http:/api/v1/mcp HTTP/1.1".to_owned(),
        "GET file:///api/v1/mcp HTTP/1.1".to_owned(),
        "GET api/v1/mcp HTTP/1.1".to_owned(),
        "GET ?/api/v1/mcp HTTP/1.1".to_owned(),
        "OPTIONS * HTTP/1.1".to_owned(),
        format!("CONNECT {host} HTTP/1.1"),
        "CONNECT /msp HTTP/1.1".to_owned(),
        "TRACE /msp HTTP/1.1".to_owned(),
        "GET /msp /api/v1/mcp HTTP/1.1".to_owned(),
        "GET /api/v1/mcp HTTP/1.1 HTTP/1.1".to_owned(),
        "GET\t/api/v1/mcp\tHTTP/1.1".to_owned(),
        "GET /api/v1/mcp".to_owned(),
        "GET /msp HTTP/2.0".to_owned(),
    ] {
        let answer =
            exchange(&world.base, format!("{line}\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;
        assert!(!answer.starts_with("HTTP/1.1 2"), "{line}: {answer}");
    }
    let raw = [b"GET /api/v1/m\xffcp HTTP/1.1\r\nHost: ".as_slice(), host.as_bytes(), b"\r\n\r\n"].concat();
    exchange(&world.base, raw).await;
    let seen = web.everything();
    assert!(!seen.contains("mcp"), "{seen}");
    // Blanks in a target are encoded by pingora, and `/msp%20/api/v1/mcp` is hidden too.
    assert!(seen.is_empty(), "{seen}");
}

#[tokio::test]
async fn what_follows_a_number_sign_is_dropped() {
    let web = Web::friendly().await;
    let world = in_front_of(&web, "").await;
    ask(&world, "GET", "/msp#/../api/mcp", "", "").await;
    assert!(web.everything().starts_with("GET /msp HTTP/1.1\r\n"), "{}", web.everything());
}

#[tokio::test]
async fn over_http_2_the_spellings_reach_nobody_either() {
    let web = Web::friendly().await;
    let world = over_tls(&web, "").await;
    let mut send = http2(&world.base, world.ca_file()).await;
    let mut tried = 0;
    for target in SPELLINGS {
        let Ok(request) = http::Request::get(format!("{}{target}", world.base)).body(()) else { continue };
        send = send.ready().await.unwrap();
        let (answer, _) = send.send_request(request, true).unwrap();
        let status = answer.await.unwrap().status().as_u16();
        assert!(matches!(status, 400 | 404), "{target}: {status}");
        tried += 1;
    }
    assert!(tried > 70, "{tried}");
    assert!(!web.everything().contains("mcp"), "{}", web.everything());
}

/// Requests that a second reader could split elsewhere: what follows the request line and Host.
const AMBIGUOUS: [(&str, &str); 17] = [
    ("two lengths", "Content-Length: 5\r\nContent-Length: 50\r\n\r\nhello"),
    ("a list of lengths", "Content-Length: 5, 50\r\n\r\nhello"),
    ("one length twice", "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
    ("one length twice in a list", "Content-Length: 5, 5\r\n\r\nhello"),
    ("a signed length", "Content-Length: +5\r\n\r\nhello"),
    ("a hexadecimal length", "Content-Length: 0x5\r\n\r\nhello"),
    ("an empty length", "Content-Length:\r\n\r\nhello"),
    ("a coding nobody knows", "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ("a coding before chunked", "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("chunked twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("identity and chunked", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a tab before the coding's end", "Transfer-Encoding: chunked\x0b\r\n\r\n0\r\n\r\n"),
    ("a blank before the colon", "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    ("a folded line", "X-A: b\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a bare carriage return", "X-A: b\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a nul", "X-A: b\0c\r\nContent-Length: 0\r\n\r\n"),
    ("an odd name", "X(A): b\r\nContent-Length: 0\r\n\r\n"),
];

#[tokio::test]
async fn a_request_that_can_be_read_in_two_ways_reaches_nobody() {
    let web = Web::friendly().await;
    let world = in_front_of(&web, "").await;
    for (what, rest) in AMBIGUOUS {
        let head = format!("POST /msp HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", authority(&world));
        let answer = exchange(&world.base, format!("{head}{rest}")).await;
        assert!(answer.starts_with("HTTP/1.1 400") || answer.is_empty(), "{what}: {answer}");
        assert!(web.seen().is_empty(), "{what}: {}", web.everything());
    }
}

#[tokio::test]
async fn chunks_are_written_anew_and_nothing_is_smuggled_behind_them() {
    let web = Web::friendly().await;
    let world = in_front_of(&web, "").await;
    let smuggled = "GET /api/mcp HTTP/1.1\r\nHost: x\r\n\r\n";
    // The length is a lie that a server without chunks would believe.
    let lie = format!(
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n{smuggled}"
    );
    let head = format!("POST /msp HTTP/1.1\r\nHost: {}\r\n", authority(&world));
    exchange(&world.base, format!("{head}{lie}")).await;
    let seen = web.everything();
    assert!(
        seen.to_lowercase().contains("transfer-encoding: chunked")
            && !seen.to_lowercase().contains("content-length"),
        "{seen}"
    );
    assert!(seen.ends_with("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), "{seen}");
    for broken in [
        "zz\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nx",
    ] {
        let answer = exchange(&world.base, format!("{head}Transfer-Encoding: chunked\r\n\r\n{broken}")).await;
        assert!(!answer.starts_with("HTTP/1.1 2"), "{broken}: {answer}");
    }
    assert!(!web.everything().contains("/api/mcp"), "{}", web.everything());
}

#[tokio::test]
async fn a_connection_header_takes_nothing_away_that_we_say() {
    let web = Web::friendly().await;
    let world = in_front_of(&web, "").await;
    for nominated in ["X-Forwarded-For", "Host", "x-forwarded-proto", ":authority"] {
        let lines = format!("Connection: {nominated}\r\n");
        let answer = ask(&world, "GET", "/msp", &lines, "").await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{nominated}: {answer}");
    }
    assert!(web.everything().is_empty(), "{}", web.everything());
    let answer =
        ask(&world, "GET", "/msp", "Connection: X-Forwarded-Port, X-Private\r\nX-Private: 1\r\n", "").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let seen = web.everything().to_lowercase();
    assert!(seen.contains("x-forwarded-port: ") && !seen.contains("x-private"), "{seen}");
}

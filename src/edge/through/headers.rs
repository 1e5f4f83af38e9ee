//! Which headers of a request reach the PSA, and what we tell it of where the request came from.

use std::net::IpAddr;

use http::HeaderName;
use http::header::{COOKIE, HeaderMap};
use pingora::http::{RequestHeader, ResponseHeader};

/// What a server behind may believe about path, method, host or client. Whole names, and with
/// `*` beginnings of names.
const STEERING: [&str; 26] = [
    "x-forwarded*",
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-original-*",
    "x-rewrite-*",
    "x-override-url",
    "x-request-uri",
    "x-envoy-original-*",
    "x-script-name",
    "x-pathname",
    "x-host",
    "x-scheme",
    "x-url-scheme",
    "front-end-https",
    "x-http-method*",
    "x-method-override",
    "x-middleware-*",
    "x-invoke-*",
    "x-matched-path",
    "x-now-*",
    "next-resume",
    // RFC 3875 turns it into HTTP_PROXY, which HTTP clients obey.
    "proxy",
];

/// Where a request came from, as the PSA is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarding {
    /// The addresses before ours, the client's first; empty where the client has none.
    pub chain: Vec<IpAddr>,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// What the client calls the server, with a port where it names one.
    pub host: String,
}

impl Forwarding {
    /// The port that `host` names, else the scheme's own.
    fn port(&self) -> &str {
        let after_brackets = self.host.rsplit(']').next().unwrap_or_default();
        match after_brackets.rsplit_once(':') {
            Some((_, port)) if !port.is_empty() => port,
            _ if self.scheme == "https" => "443",
            _ => "80",
        }
    }
}

/// Whether a header travels on: none that steers, and none whose name a server behind could take
/// for another (as `X_Forwarded_For` is for `X-Forwarded-For` in CGI, RFC 3875).
pub fn travels(name: &HeaderName) -> bool {
    let name = name.as_str();
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let steers = STEERING.iter().any(|steering| match steering.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == *steering,
    });
    plain && !steers
}

/// What in a request could hold a bearer: every header that travels, but not the cookies, which
/// browsers send by themselves and which are the PSA's own.
pub fn bearers(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.iter().filter(|(name, _)| travels(name) && *name != COOKIE).map(|(_, value)| value.as_bytes())
}

/// Makes the client's headers those that the PSA gets.
pub fn prepare(request: &mut RequestHeader, forwarding: &Forwarding) -> pingora::Result<()> {
    let stay: Vec<HeaderName> = request.headers.keys().filter(|name| !travels(name)).cloned().collect();
    for name in stay {
        request.remove_header(&name);
    }
    let crumbs: Vec<_> =
        request.headers.get_all(COOKIE).iter().map(|crumb| crumb.as_bytes().to_vec()).collect();
    if crumbs.len() > 1 {
        // HTTP/2 may split cookies, HTTP/1.1 may not (RFC 9113 section 8.2.3).
        request.insert_header(COOKIE, crumbs.join(&b"; "[..]))?;
    }
    let chain: Vec<_> = forwarding.chain.iter().map(ToString::to_string).collect();
    if !chain.is_empty() {
        request.insert_header("X-Forwarded-For", chain.join(", "))?;
    }
    request.insert_header("X-Forwarded-Proto", forwarding.scheme)?;
    request.insert_header("X-Forwarded-Host", forwarding.host.as_str())?;
    request.insert_header("X-Forwarded-Port", forwarding.port())
}

/// Makes the PSA's headers those that the client gets.
pub fn present(response: &mut ResponseHeader, to_http_10: bool) {
    // The PSA may not send clients past us (RFC 7838).
    response.remove_header(&http::header::ALT_SVC);
    response.remove_header("keep-alive");
    response.remove_header("proxy-connection");
    if to_http_10 {
        // It cannot read chunks: its body ends with the connection.
        response.remove_header(&http::header::TRANSFER_ENCODING);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(headers: &[(&str, &str)], forwarding: &Forwarding) -> Vec<String> {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for (name, value) in headers {
            request.append_header((*name).to_owned(), *value).unwrap();
        }
        prepare(&mut request, forwarding).unwrap();
        let line =
            |(name, value): (&HeaderName, &http::HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        request.headers.iter().map(line).collect()
    }

    fn forwarding(host: &str) -> Forwarding {
        Forwarding { chain: vec!["192.0.2.7".parse().unwrap()], scheme: "https", host: host.to_owned() }
    }

    #[test]
    fn what_strangers_say_of_themselves_is_replaced_by_what_was_seen() {
        let said = [
            ("x-forwarded-for", "10.0.0.1"),
            ("X-Forwarded-Prefix", "/api/mcp"),
            ("x_forwarded_for", "10.0.0.1"),
            ("Forwarded", "for=10.0.0.1"),
            ("X-Real-IP", "10.0.0.1"),
            ("X-Original-URL", "/api/mcp"),
            ("X-Rewrite-Url", "/api/mcp"),
            ("x-middleware-subrequest", "middleware"),
            ("x-invoke-path", "/api/mcp"),
            ("x-matched-path", "/api/mcp"),
            ("X-HTTP-Method-Override", "DELETE"),
            ("Content_Length", "5"),
            ("Proxy", "http://evil.example"),
        ];
        assert_eq!(
            prepared(&said, &forwarding("gate.example")),
            [
                "x-forwarded-for: 192.0.2.7",
                "x-forwarded-proto: https",
                "x-forwarded-host: gate.example",
                "x-forwarded-port: 443"
            ]
        );
    }

    #[test]
    fn what_is_the_psas_travels_and_cookies_travel_as_one() {
        let said = [
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("x-api-key", "human"),
            ("authorization", "Basic eA=="),
            ("rsc", "1"),
            ("next-action", "1f"),
            ("traceparent", "00-1-2-01"),
            ("x-request-id", "theirs"),
        ];
        let lines = prepared(&said, &forwarding("gate.example:8443"));
        for line in [
            "cookie: a=1; b=2",
            "x-api-key: human",
            "authorization: Basic eA==",
            "rsc: 1",
            "next-action: 1f",
            "traceparent: 00-1-2-01",
            "x-request-id: theirs",
        ] {
            assert!(lines.contains(&line.to_owned()), "{line} is missing from {lines:?}");
        }
    }

    #[test]
    fn the_port_is_the_one_that_the_client_named_or_the_schemes() {
        for (host, port) in
            [("a", "443"), ("a:8443", "8443"), ("[::1]", "443"), ("[::1]:9", "9"), ("a:", "443")]
        {
            assert_eq!(forwarding(host).port(), port, "{host}");
        }
    }
}

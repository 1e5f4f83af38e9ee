//! Header names that may never come from an agent, whatever a catalogue says.
//!
//! Knows no values: only names.

/// Credentials, cookies, tenancy, framing, hop-by-hop (RFC 9110 7.6.1) and what the proxy itself sets.
const NEVER: &[&str] = &[
    "accept",
    "accept-charset",
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "cookie2",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "origin",
    "referer",
    "set-cookie",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "true-client-ip",
    "upgrade",
    "user-agent",
    "via",
    "x-api-key",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-matched-path",
    "x-pathname",
    "x-real-ip",
    "x-request-id",
    "x-tenant-id",
];

/// Families: forwarding, proxies, method and URL overrides, framework internals, browser signals.
const NEVER_FAMILIES: &[&str] = &[
    ":",
    "access-control-",
    "cf-",
    "next-",
    "proxy-",
    "sec-",
    "x-envoy-",
    "x-forwarded",
    "x-http-method",
    "x-invoke-",
    "x-method-override",
    "x-middleware-",
    "x-nextjs-",
    "x-original-",
    "x-rewrite-",
];

/// True where a header of this name (any case) must not be taken from an agent, and for what is no
/// field name at all (RFC 9110 5.1).
pub fn never(name: &str) -> bool {
    let token = !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
    // Some servers read `_` as `-` in a header name.
    let name = name.to_ascii_lowercase().replace('_', "-");
    !token || NEVER.contains(&name.as_str()) || NEVER_FAMILIES.iter().any(|family| name.starts_with(family))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_forwarding_and_framing_never_come_from_an_agent() {
        for name in [
            "Authorization",
            "X-API-Key",
            "x_api_key",
            "x-tenant-id",
            "Cookie",
            "Forwarded",
            "X-Forwarded-For",
            "x-forwarded-host",
            "x-real-ip",
            "Host",
            "connection",
            "keep-alive",
            "content-length",
            "Transfer-Encoding",
            "te",
            "trailer",
            "upgrade",
            "expect",
            "proxy-authorization",
            "content-type",
            "accept-encoding",
            "x-middleware-subrequest",
            "next-action",
            "x-request-id",
            "traceparent",
            "Tracestate",
            "x-http-method-override",
            ":authority",
            "",
            "bad name",
            "bad\r\nname",
            "ключ",
        ] {
            assert!(never(name), "{name:?}");
        }
    }

    #[test]
    fn an_ordinary_header_is_not_never() {
        for name in ["x-idempotency-key", "Range", "if-revision-match", "if-match", "x-canary"] {
            assert!(!never(name), "{name:?}");
        }
    }
}

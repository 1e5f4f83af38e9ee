//! Where clients look: metadata (RFC 9728 section 3.1), issuers (RFC 8414 section 3.1, OpenID Connect
//! Discovery), HTTP+SSE; and when they take a document for their server's. Pure.

use url::Url;

/// Before the path of a protected resource.
const RESOURCE: &str = "/.well-known/oauth-protected-resource";
const OAUTH: &str = "/.well-known/oauth-authorization-server";
const OIDC: &str = "/.well-known/openid-configuration";

/// Scheme, host and port.
pub fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn path(url: &Url) -> &str {
    if url.path() == "/" { "" } else { url.path() }
}

/// Where the metadata of `url` is by its path, if it has one.
pub fn inserted(url: &Url) -> Option<String> {
    let path = path(url);
    (!path.is_empty()).then(|| format!("{}{RESOURCE}{path}", origin(url)))
}

/// Where the metadata of the whole host is.
pub fn root(url: &Url) -> String {
    format!("{}{RESOURCE}", origin(url))
}

/// Where an authorization server's metadata is looked for, in this order.
pub fn discovery(issuer: &Url) -> Vec<String> {
    let (origin, path) = (origin(issuer), path(issuer).trim_end_matches('/'));
    if path.is_empty() {
        return vec![format!("{origin}{OAUTH}"), format!("{origin}{OIDC}")];
    }
    vec![format!("{origin}{OAUTH}{path}"), format!("{origin}{OIDC}{path}"), format!("{origin}{path}{OIDC}")]
}

/// Where HTTP+SSE may be: at the URL, below it, and beside it.
pub fn sse(url: &Url) -> Vec<Url> {
    let with = |path: String| {
        let mut other = url.clone();
        other.set_path(&path);
        other
    };
    let path = url.path().trim_end_matches('/');
    let above = path.rsplit_once('/').map_or("", |(above, _)| above);
    let mut places = vec![url.clone(), with(format!("{path}/sse")), with(format!("{above}/sse"))];
    places.dedup();
    if path.ends_with("/sse") {
        places.truncate(1);
    }
    places
}

/// VS Code's rule: the same URL, once both are written as a URL parser writes them.
pub fn same(resource: &str, url: &Url) -> bool {
    let mut url = url.clone();
    url.set_fragment(None);
    Url::parse(resource).is_ok_and(|resource| resource == url)
}

/// The SDKs' rule: the same origin, and a path that is the URL's own or a parent of it.
pub fn covers(resource: &str, url: &Url) -> bool {
    let Ok(resource) = Url::parse(resource) else { return false };
    let slashed = |path: &str| if path.ends_with('/') { path.to_owned() } else { format!("{path}/") };
    resource.origin() == url.origin()
        && url.path().len() >= resource.path().len()
        && slashed(url.path()).starts_with(&slashed(resource.path()))
}

/// Whether two identifiers differ by a slash at the end, and by nothing else.
pub fn slash_apart(one: &str, other: &str) -> bool {
    one != other && one.trim_end_matches('/') == other.trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn well_known_paths_are_inserted_before_the_path_and_appended_for_openid() {
        let server = url("https://h.example:8443/a/mcp?x=1");
        let expected = "https://h.example:8443/.well-known/oauth-protected-resource";
        assert_eq!(inserted(&server), Some(format!("{expected}/a/mcp")));
        assert_eq!(root(&server), expected);
        assert_eq!(inserted(&url("https://h.example/")), None);
        assert_eq!(
            discovery(&url("https://i.example/realms/msp/")),
            [
                "https://i.example/.well-known/oauth-authorization-server/realms/msp",
                "https://i.example/.well-known/openid-configuration/realms/msp",
                "https://i.example/realms/msp/.well-known/openid-configuration",
            ]
        );
        assert_eq!(
            discovery(&url("https://i.example")),
            [
                "https://i.example/.well-known/oauth-authorization-server",
                "https://i.example/.well-known/openid-configuration",
            ]
        );
    }

    #[test]
    fn the_event_stream_is_looked_for_at_the_url_below_and_beside_it() {
        let places = |text| sse(&url(text)).iter().map(Url::to_string).collect::<Vec<_>>();
        assert_eq!(
            places("https://h/v1/mcp"),
            ["https://h/v1/mcp", "https://h/v1/mcp/sse", "https://h/v1/sse"]
        );
        assert_eq!(places("https://h/"), ["https://h/", "https://h/sse"]);
        assert_eq!(places("https://h/sse?k=1"), ["https://h/sse?k=1"]);
    }

    #[test]
    fn a_slash_at_the_end_matters_in_a_path_and_not_at_the_root() {
        let server = url("https://h/mcp");
        for (resource, whole, prefix) in [
            ("https://h/mcp", true, true),
            ("HTTPS://H:443/mcp", true, true),
            ("https://h/mcp/", false, false),
            ("https://h", false, true),
            ("https://h/", false, true),
            ("https://h/mc", false, false),
            ("https://h/mcp/x", false, false),
            ("http://h/mcp", false, false),
            ("https://other/mcp", false, false),
            ("mcp", false, false),
        ] {
            assert_eq!((same(resource, &server), covers(resource, &server)), (whole, prefix), "{resource}");
        }
        assert!(same("https://h", &url("https://h/")));
        assert!(same("https://h/mcp", &url("https://h/mcp#x")));
        assert!(covers("https://h/mcp", &url("https://h/mcp/")));
        assert!(slash_apart("https://h/mcp/", "https://h/mcp") && !slash_apart("a", "a"));
    }
}

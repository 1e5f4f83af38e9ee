//! Where a client without a token finds its way: protected-resource metadata (RFC 9728) and the
//! `WWW-Authenticate` challenge (RFC 6750 section 3). All of it derives from one identifier.

use serde_json::{Value, json};

/// Where all metadata documents are: the path before the resource's own.
pub const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The protected resource: the MCP endpoint under its public URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    identifier: String,
    metadata_url: String,
    /// The length of scheme and authority in both.
    origin: usize,
}

impl Resource {
    /// `base` is the public URL (`https://host:port/prefix`), `mcp_path` the endpoint's path below it
    /// (`/api/mcp`). Clients compare identifiers as text, so this one is in the form that URL parsers
    /// give: scheme and host in lower case, no default port, no trailing slash.
    pub fn new(base: &str, mcp_path: &str) -> Self {
        let base = base.trim_end_matches('/');
        let (scheme, rest) = base.split_once("://").unwrap_or(("", base));
        let (authority, prefix) =
            rest.split_at_checked(rest.find('/').unwrap_or(rest.len())).unwrap_or((rest, ""));
        let (scheme, authority) = (scheme.to_ascii_lowercase(), authority.to_ascii_lowercase());
        let default = match scheme.as_str() {
            "https" => ":443",
            "http" => ":80",
            _ => "",
        };
        let origin = format!("{scheme}://{}", authority.strip_suffix(default).unwrap_or(&authority));
        let below = format!("{prefix}{}", path(mcp_path));
        Self {
            identifier: format!("{origin}{below}"),
            metadata_url: format!("{origin}{WELL_KNOWN}{below}"),
            origin: origin.len(),
        }
    }

    /// The path of the resource as its clients write it.
    pub fn path(&self) -> &str {
        self.identifier.get(self.origin..).unwrap_or_default()
    }

    /// The path of the metadata as its clients write it.
    pub fn metadata_path(&self) -> &str {
        self.metadata_url.get(self.origin..).unwrap_or_default()
    }

    /// The resource identifier: what clients send as `resource` and tokens carry as `aud`.
    pub fn identifier(&self) -> &str {
        &self.identifier
    }

    /// Where the metadata is: the well-known path inserted before the resource's own (RFC 9728 section 3.1).
    pub fn metadata_url(&self) -> String {
        self.metadata_url.clone()
    }

    /// The metadata document (RFC 9728 section 2) with the tenant's trusted `issuers` and the
    /// `scopes` that their tokens may need; `scopes_supported` is left out where there are none.
    pub fn metadata(&self, issuers: &[String], scopes: &[String]) -> Value {
        let mut document = json!({
            "resource": self.identifier,
            "authorization_servers": issuers,
            "bearer_methods_supported": ["header"],
            "resource_name": "Sidegate",
        });
        if !scopes.is_empty() {
            document["scopes_supported"] = scopes.into();
        }
        document
    }

    /// A `WWW-Authenticate` value in visible ASCII: with the `scopes` to ask for, where there are
    /// any, and with `error` as (code, description) where a token was sent.
    pub fn challenge(&self, scopes: &[String], error: Option<(&str, &str)>) -> String {
        let mut value = format!("Bearer resource_metadata=\"{}\"", quoted(&self.metadata_url));
        if !scopes.is_empty() {
            value.push_str(&format!(", scope=\"{}\"", quoted(&scopes.join(" "))));
        }
        if let Some((code, description)) = error {
            value.push_str(&format!(
                ", error=\"{}\", error_description=\"{}\"",
                plain(code),
                plain(description)
            ));
        }
        value
    }

    /// The challenge to a good token that lacks some of `scopes`, which are all that the
    /// operation needs (RFC 6750 section 3.1; MCP, authorization, scope challenge).
    pub fn insufficient_scope(&self, scopes: &[String], description: &str) -> String {
        format!(
            "Bearer error=\"insufficient_scope\", scope=\"{}\", resource_metadata=\"{}\", error_description=\"{}\"",
            quoted(&scopes.join(" ")),
            quoted(&self.metadata_url),
            plain(description)
        )
    }
}

/// The path that serves the metadata of the resource at `path`, which is inserted (RFC 9728 section 3.1). That of the
/// main one is also at the root.
pub fn metadata_path(resource: &str) -> String {
    format!("{WELL_KNOWN}{}", path(resource))
}

/// `written` with one leading and no trailing slash; nothing for the root.
fn path(written: &str) -> String {
    let trimmed = written.trim_matches('/');
    if trimmed.is_empty() { String::new() } else { format!("/{trimmed}") }
}

/// The inside of a quoted-string (RFC 9110 section 5.6.4); what no header may hold is left out.
fn quoted(text: &str) -> String {
    let mut inside = String::with_capacity(text.len());
    for char in text.chars().filter(|char| matches!(char, ' '..='~')) {
        if matches!(char, '"' | '\\') {
            inside.push('\\');
        }
        inside.push(char);
    }
    inside
}

/// `text` in the characters that RFC 6750 section 3 allows in `error` and `error_description`,
/// which have neither quotes nor backslashes.
fn plain(text: &str) -> String {
    text.chars()
        .map(|char| match char {
            '"' => '\'',
            '\\' => '/',
            ' '..='~' => char,
            _ => '?',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_path_is_inserted_before_the_path_of_the_resource() {
        for (base, path, identifier, metadata) in [
            (
                "https://gate.example",
                "/api/mcp",
                "https://gate.example/api/mcp",
                "https://gate.example/.well-known/oauth-protected-resource/api/mcp",
            ),
            (
                "https://gate.example:8443/",
                "api/mcp/",
                "https://gate.example:8443/api/mcp",
                "https://gate.example:8443/.well-known/oauth-protected-resource/api/mcp",
            ),
            (
                "https://gate.example/ai/x/",
                "/mcp",
                "https://gate.example/ai/x/mcp",
                "https://gate.example/.well-known/oauth-protected-resource/ai/x/mcp",
            ),
            (
                "HTTPS://Gate.Example:443/PSA/",
                "/api/mcp",
                "https://gate.example/PSA/api/mcp",
                "https://gate.example/.well-known/oauth-protected-resource/PSA/api/mcp",
            ),
            (
                "http://gate.example:80",
                "/mcp",
                "http://gate.example/mcp",
                "http://gate.example/.well-known/oauth-protected-resource/mcp",
            ),
            (
                "http://[::1]:443//",
                "/mcp",
                "http://[::1]:443/mcp",
                "http://[::1]:443/.well-known/oauth-protected-resource/mcp",
            ),
            (
                "https://[::1]:8443",
                "/",
                "https://[::1]:8443",
                "https://[::1]:8443/.well-known/oauth-protected-resource",
            ),
        ] {
            let resource = Resource::new(base, path);
            assert_eq!(resource.identifier(), identifier);
            assert_eq!(resource.metadata_url(), metadata);
            assert!(identifier.ends_with(resource.path()) && metadata.ends_with(resource.metadata_path()));
        }
    }

    #[test]
    fn the_document_names_the_resource_and_its_issuers() {
        let document =
            Resource::new("https://g.example", "/api/mcp").metadata(&["https://idp.example".into()], &[]);
        assert_eq!(
            document,
            json!({
                "resource": "https://g.example/api/mcp",
                "authorization_servers": ["https://idp.example"],
                "bearer_methods_supported": ["header"],
                "resource_name": "Sidegate",
            })
        );
        let asking = Resource::new("https://g.example", "/m").metadata(&[], &["a".into(), "b".into()]);
        assert_eq!(asking["scopes_supported"], json!(["a", "b"]));
    }

    #[test]
    fn the_document_is_served_at_the_root_and_at_the_inserted_path() {
        assert_eq!(metadata_path("/api/mcp"), "/.well-known/oauth-protected-resource/api/mcp");
        assert_eq!(metadata_path("/"), WELL_KNOWN);
    }

    #[test]
    fn a_challenge_names_the_metadata_and_the_error_where_there_is_one() {
        let resource = Resource::new("https://g.example", "/api/mcp");
        let metadata =
            "Bearer resource_metadata=\"https://g.example/.well-known/oauth-protected-resource/api/mcp\"";
        assert_eq!(resource.challenge(&[], None), metadata);
        assert_eq!(resource.challenge(&["a".into(), "b".into()], None), format!("{metadata}, scope=\"a b\""));
        assert_eq!(
            resource.challenge(&[], Some(("invalid_token", "the token has expired"))),
            format!("{metadata}, error=\"invalid_token\", error_description=\"the token has expired\"")
        );
    }

    #[test]
    fn a_challenge_for_more_scopes_names_all_of_them_at_once() {
        assert_eq!(
            Resource::new("https://g.example", "/m")
                .insufficient_scope(&["a".into(), "b".into()], "it's \"c\""),
            "Bearer error=\"insufficient_scope\", scope=\"a b\", \
             resource_metadata=\"https://g.example/.well-known/oauth-protected-resource/m\", \
             error_description=\"it's 'c'\""
        );
    }

    #[test]
    fn no_description_breaks_out_of_its_quotes_or_its_header() {
        let challenge = Resource::new("https://g.example", "/m")
            .challenge(&[], Some(("invalid_token", "a\"b\\c\r\nd\u{e9}")));
        assert!(challenge.ends_with("error_description=\"a'b/c??d?\""), "{challenge}");
        assert_eq!(quoted("a\"b\\c\r\n"), "a\\\"b\\\\c");
    }
}

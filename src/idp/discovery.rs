//! From an issuer to its keys: OpenID Connect Discovery, then RFC 8414, then the JWK set.
//!
//! Keeps nothing; every call asks the issuer.

use bytes::Bytes;
use http::{Request, header};
use serde::Deserialize;
use url::Url;

use super::{IdpError, KeySet};
use crate::identity::token::keys_from_jwks;
use crate::identity::trust::TrustedIssuer;
use crate::outbound::Outbound;

/// The two members of an issuer's metadata that are needed (RFC 8414 section 2).
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

/// The address of the issuer's keys and the keys themselves.
///
/// # Errors
/// [`IdpError`] at the first step that fails. A set without usable keys is not an error here.
pub(super) async fn fetch(outbound: &Outbound, issuer: &TrustedIssuer) -> Result<(String, KeySet), IdpError> {
    let url = match &issuer.jwks_uri {
        Some(configured) => configured.clone(),
        None => discover(outbound, &issuer.issuer).await?,
    };
    address(&url)?;
    let body = get(outbound, &url).await?;
    match keys_from_jwks(&body) {
        Ok(keys) => Ok((url, KeySet { keys })),
        Err(_) => Err(IdpError::Document { url, expected: "a JWK set of at most 64 keys" }),
    }
}

/// `jwks_uri` as the issuer's metadata has it.
async fn discover(outbound: &Outbound, issuer: &str) -> Result<String, IdpError> {
    let mut last = None;
    for url in metadata_urls(issuer)? {
        let body = match get(outbound, &url).await {
            Ok(body) => body,
            // The issuer is there and does not know this address: the other one may be right.
            Err(status @ IdpError::Status { .. }) => {
                last = Some(telling(last, status));
                continue;
            }
            Err(error) => return Err(error),
        };
        match serde_json::from_slice::<Metadata>(&body) {
            // RFC 8414 section 3.3: identical, or anybody could speak for this issuer.
            Ok(found) if found.issuer != issuer => {
                return Err(IdpError::OtherIssuer { url, expected: issuer.to_owned() });
            }
            Ok(found) => return Ok(found.jwks_uri),
            // Servers that answer every path with a page give no status to tell by.
            Err(_) => {
                let page = IdpError::Document { url, expected: "metadata with issuer and jwks_uri" };
                last = Some(telling(last, page));
            }
        }
    }
    Err(last.unwrap_or_else(|| IdpError::Address("it has no metadata address".to_owned())))
}

/// Of two failures the one that says more than "nothing here".
fn telling(before: Option<IdpError>, now: IdpError) -> IdpError {
    before.filter(|error| !matches!(error, IdpError::Status { status: 404, .. })).unwrap_or(now)
}

/// Where the metadata may be: OpenID Connect appends to the path, RFC 8414 section 3.1 inserts before it.
fn metadata_urls(issuer: &str) -> Result<[String; 2], IdpError> {
    let url = address(issuer)?;
    if url.query().is_some() {
        return Err(IdpError::Address(format!("{issuer} must not have a query")));
    }
    let origin = url.origin().ascii_serialization();
    let path = url.path().trim_end_matches('/');
    Ok([
        format!("{origin}{path}/.well-known/openid-configuration"),
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
    ])
}

/// `text` as a URL that may be asked and shown.
pub(super) fn address(text: &str) -> Result<Url, IdpError> {
    let url = Url::parse(text).map_err(|_| IdpError::Address("it is not a URL".to_owned()))?;
    if !url.username().is_empty() || url.password().is_some() {
        // Not quoted: the password would be in every log.
        return Err(IdpError::Address("it must not contain a user name or password".to_owned()));
    }
    if !matches!(url.scheme(), "https" | "http") || url.fragment().is_some() {
        return Err(IdpError::Address(format!("{text} must be an https URL without a fragment")));
    }
    Ok(url)
}

async fn get(outbound: &Outbound, url: &str) -> Result<Bytes, IdpError> {
    let request = Request::get(url)
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, concat!("sidegate/", env!("CARGO_PKG_VERSION")))
        .body(Bytes::new())
        .map_err(|_| IdpError::Address(format!("{url} is not a URL")))?;
    let answer =
        outbound.send(request).await.map_err(|why| IdpError::Unavailable { url: url.to_owned(), why })?;
    if answer.status() != 200 {
        return Err(IdpError::Status { url: url.to_owned(), status: answer.status().as_u16() });
    }
    Ok(answer.into_body())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_looked_for_where_both_standards_put_it() {
        assert_eq!(
            metadata_urls("https://idp.example/").unwrap(),
            [
                "https://idp.example/.well-known/openid-configuration",
                "https://idp.example/.well-known/oauth-authorization-server",
            ]
        );
        assert_eq!(
            metadata_urls("https://idp.example:8443/realms/acme").unwrap(),
            [
                "https://idp.example:8443/realms/acme/.well-known/openid-configuration",
                "https://idp.example:8443/.well-known/oauth-authorization-server/realms/acme",
            ]
        );
    }

    #[test]
    fn an_issuer_that_is_no_plain_url_is_refused() {
        for issuer in
            ["", "idp.example", "ftp://idp.example", "https://idp.example/#x", "https://idp.example/?a=b"]
        {
            assert!(metadata_urls(issuer).is_err(), "{issuer}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_not_repeated() {
        let refused = address("https://admin:s3cret@idp.example").unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains("s3cret"));
    }
}

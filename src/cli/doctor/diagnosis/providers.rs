//! What well-known issuers do with `resource` (RFC 8707), told apart by their URLs. Further ones are further rows.

use url::Url;

/// An issuer that does not do as the protocol expects.
pub(super) struct Provider {
    pub name: &'static str,
    recognised: fn(host: &str, path: &str) -> bool,
    /// What it does with `resource`.
    pub does: &'static str,
    /// What to set there so that tokens are made for `{resource}`.
    pub audience: &'static str,
    /// It refuses requests with a `resource` that it does not know.
    pub refuses: bool,
}

static PROVIDERS: &[Provider] = &[
    Provider {
        name: "Entra ID",
        recognised: |host, _| {
            let hosts = [
                "login.microsoftonline.com",
                "login.microsoftonline.us",
                "login.partner.microsoftonline.cn",
                "sts.windows.net",
            ];
            hosts.contains(&host) || host.ends_with(".ciamlogin.com") || host.ends_with(".b2clogin.com")
        },
        does: "refuses a resource that is not the one its scopes belong to (AADSTS9010010, AADSTS901002)",
        audience: "add {resource} to the Application ID URIs of the API's registration, name the scopes with it in \
            front ({resource}/<scope>), and have the server accept the application's id as audience too; or switch \
            the parameter off in clients that can (mcp-remote: --disable-resource-parameter)",
        refuses: true,
    },
    Provider {
        name: "Keycloak",
        recognised: |_, path| path.contains("/realms/"),
        does: "does not put resource into the audience by itself",
        audience: "add a mapper of type Audience with the custom audience {resource} to a client scope, and make that \
            scope a default of the realm, so that clients which register themselves have it too",
        refuses: false,
    },
    Provider {
        name: "Auth0",
        recognised: |host, _| host.ends_with(".auth0.com"),
        does: "takes audience and not resource, and makes opaque tokens without it",
        audience: "add an API with the identifier {resource}, and switch on the Resource Parameter Compatibility \
            Profile or set that API as the tenant's default audience",
        refuses: false,
    },
    Provider {
        name: "Okta",
        recognised: |host, _| host.ends_with(".okta.com") || host.ends_with(".oktapreview.com"),
        does: "gives all tokens of an authorization server the one audience that is set there",
        audience: "make an authorization server of its own with the audience {resource}, and name that one",
        refuses: false,
    },
    Provider {
        name: "Amazon Cognito",
        recognised: |host, _| host.starts_with("cognito-idp.") || host.ends_with(".amazoncognito.com"),
        does: "makes access tokens without aud unless the resource is registered",
        audience: "add a resource server with the identifier {resource} to the pool (managed login, Essentials plan)",
        refuses: false,
    },
];

/// The provider whose issuer or authorization endpoint one of `urls` is.
pub(super) fn recognise<'a>(urls: impl IntoIterator<Item = &'a str>) -> Option<&'static Provider> {
    urls.into_iter().filter_map(|url| Url::parse(url).ok()).find_map(|url| {
        let host = url.host_str().unwrap_or_default().to_owned();
        PROVIDERS.iter().find(|provider| (provider.recognised)(&host, url.path()))
    })
}

impl Provider {
    /// What to set there for this resource.
    pub(super) fn remedy(&self, resource: &str) -> String {
        format!("in {}: {}", self.name, self.audience.replace("{resource}", resource))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_are_known_by_their_hosts_and_paths() {
        for (url, name) in [
            ("https://login.microsoftonline.com/t/v2.0", Some("Entra ID")),
            ("https://msp.ciamlogin.com/t/v2.0", Some("Entra ID")),
            ("https://id.example.com/auth/realms/msp", Some("Keycloak")),
            ("https://msp.eu.auth0.com/", Some("Auth0")),
            ("https://msp.okta.com/oauth2/default", Some("Okta")),
            ("https://cognito-idp.eu-west-1.amazonaws.com/p", Some("Amazon Cognito")),
            ("https://login.example.com/login.microsoftonline.com", None),
            ("https://evil-okta.com/", None),
            ("nonsense", None),
        ] {
            assert_eq!(recognise([url]).map(|provider| provider.name), name, "{url}");
        }
        let told = recognise(["x", "https://h/realms/r"]).unwrap().remedy("https://h/mcp");
        assert!(told.contains("Audience") && told.contains("https://h/mcp") && !told.contains('{'), "{told}");
    }
}

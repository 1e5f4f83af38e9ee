//! Whether a token carries a person or an application's own identity, by how providers shape
//! their tokens, and the names of both for the record.
//!
//! Nothing here decides who a caller is: that is the issuer's subject claim alone.
//!
//! Sources: RFC 9068 sections 2.2 and 5; Microsoft's "Access token claims reference"; Google's
//! "Service account credentials"; Keycloak's service accounts; Auth0's and Okta's access tokens.

use serde_json::{Map, Value};

use super::issuer::NAME_LIMIT;

/// What a token carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A person took part in obtaining it.
    Person,
    /// An application obtained it for itself.
    Application,
    /// It does not say.
    Unclear,
}

/// The claims that may name a person, the most telling first.
const PERSON: [&str; 4] = ["preferred_username", "upn", "email", "name"];

/// The claims that may name the client that obtained the token.
const CLIENT: [&str; 4] = ["client_id", "azp", "appid", "cid"];

/// Claims that no application's token has by itself: a sign-in, or the fields of a person's account.
/// `uid` is Okta's, `sid` a session's (OpenID Connect Front-Channel Logout).
const SIGNED_IN: [&str; 9] = [
    "preferred_username",
    "upn",
    "unique_name",
    "email",
    "given_name",
    "family_name",
    "auth_time",
    "sid",
    "uid",
];

impl Principal {
    /// What the claims of a verified token say. Where they say both, it carries a person.
    pub(super) fn of(payload: &Map<String, Value>) -> Self {
        let text = |claim: &str| payload.get(claim).and_then(Value::as_str);
        let stated = [stated(&text), entra(payload, &text), google(&text), service_account(&text)];
        stated.into_iter().flatten().next().unwrap_or_else(|| by_subject(payload, &text))
    }
}

/// The provider says it in so many words: Entra's `idtyp`, Auth0's `gty`.
fn stated<'a>(text: &impl Fn(&str) -> Option<&'a str>) -> Option<Principal> {
    let said = |application: bool| if application { Principal::Application } else { Principal::Person };
    match (text("idtyp"), text("gty")) {
        (Some(kind @ ("app" | "user")), _) => Some(said(kind == "app")),
        (_, Some(grant)) => Some(said(grant == "client-credentials")),
        _ => None,
    }
}

/// Entra: what was delegated by a user is in `scp`; an application is its own object, so that `oid`
/// is `sub`. Only Entra has `tid`.
fn entra<'a>(payload: &Map<String, Value>, text: &impl Fn(&str) -> Option<&'a str>) -> Option<Principal> {
    let (_, object) = (text("tid")?, text("oid")?);
    let application = !payload.contains_key("scp") && text("sub") == Some(object);
    Some(if application { Principal::Application } else { Principal::Person })
}

/// Google: a service account has an address that no person can have, and is its own client.
fn google<'a>(text: &impl Fn(&str) -> Option<&'a str>) -> Option<Principal> {
    text("iss").filter(|issuer| *issuer == super::issuer::GOOGLE)?;
    let service = text("email").map_or(text("azp").is_some() && text("azp") == text("sub"), |email| {
        email.ends_with(".gserviceaccount.com")
    });
    Some(if service { Principal::Application } else { Principal::Person })
}

/// Keycloak's service account of a client is a user with a name that is reserved for it while the
/// client has one; Auth0 writes the client into `sub` in a form that no user's has. A session is
/// a person's whatever the name.
fn service_account<'a>(text: &impl Fn(&str) -> Option<&'a str>) -> Option<Principal> {
    if text("sid").is_some() {
        return None;
    }
    CLIENT.iter().filter_map(|claim| text(claim)).find_map(|client| {
        let keycloak = text("preferred_username")?.strip_prefix("service-account-");
        keycloak.filter(|account| *account == client.to_lowercase()).map(|_| Principal::Application)
    })
}

/// Whoever nobody speaks for by name: RFC 9068 has the client for `sub` where no user takes part, and
/// some leave it out.
fn by_subject<'a>(payload: &Map<String, Value>, text: &impl Fn(&str) -> Option<&'a str>) -> Principal {
    if SIGNED_IN.iter().any(|claim| payload.contains_key(*claim)) {
        return Principal::Person;
    }
    let mut clients = CLIENT.iter().filter_map(|claim| text(claim)).peekable();
    match (text("sub"), clients.peek()) {
        (_, None) => Principal::Unclear,
        (None, Some(_)) => Principal::Application,
        (Some(subject), Some(_)) => {
            let own = |client: &str| subject == client || subject.strip_suffix("@clients") == Some(client);
            if clients.any(own) { Principal::Application } else { Principal::Person }
        }
    }
}

/// The person's name, where the token carries one or might.
pub(super) fn person(principal: Principal, payload: &Map<String, Value>) -> Option<String> {
    if principal == Principal::Application { None } else { named(payload, &PERSON) }
}

/// The name of the client that obtained the token.
pub(super) fn client(payload: &Map<String, Value>) -> Option<String> {
    named(payload, &CLIENT)
}

fn named(payload: &Map<String, Value>, claims: &[&str]) -> Option<String> {
    let texts = claims.iter().filter_map(|claim| payload.get(*claim)?.as_str());
    let mut names = texts.map(str::trim).filter(|name| !name.is_empty());
    names.next().map(|name| name.chars().take(NAME_LIMIT).collect())
}
#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(claims: &Value) -> Principal {
        Principal::of(claims.as_object().unwrap())
    }

    #[test]
    fn the_token_of_every_provider_is_known_for_a_persons_or_an_applications() {
        let fixtures: Vec<Value> = serde_json::from_str(include_str!("testing/tokens.json")).unwrap();
        for fixture in fixtures {
            let claims = fixture["claims"].as_object().unwrap();
            let principal = Principal::of(claims);
            let carries = match principal {
                Principal::Person => "person",
                Principal::Application => "application",
                Principal::Unclear => "unclear",
            };
            let name = &fixture["name"];
            assert_eq!(carries, fixture["carries"], "{name}");
            assert_eq!(person(principal, claims).as_deref(), fixture["person"].as_str(), "{name}");
            assert_eq!(client(claims).as_deref(), fixture["client"].as_str(), "{name}");
        }
    }

    #[test]
    fn what_a_provider_says_outright_counts_before_every_guess() {
        for (claims, expected) in [
            (json!({"idtyp": "app", "sub": "a", "azp": "b", "scp": "x"}), Principal::Application),
            (json!({"idtyp": "user", "sub": "b", "azp": "b"}), Principal::Person),
            (json!({"gty": "password", "sub": "b", "azp": "b"}), Principal::Person),
            (json!({"gty": "client-credentials", "sub": "x", "azp": "b"}), Principal::Application),
        ] {
            assert_eq!(of(&claims), expected, "{claims}");
        }
    }

    #[test]
    fn nobody_becomes_an_application_by_a_name_of_his_own_choice() {
        for claims in [
            json!({"azp": "desk", "sid": "s", "preferred_username": "service-account-desk", "sub": "u"}),
            json!({"azp": "desk", "preferred_username": "service-account-other", "sub": "u"}),
            json!({"client_id": "desk", "sub": "desk", "auth_time": 1}),
            json!({"client_id": "desk", "sub": "other@clients"}),
            json!({"iss": "https://sso.example", "azp": "desk", "email": "a@x.gserviceaccount.com", "sub": "u"}),
            json!({"tid": "t", "oid": "o", "sub": "o", "scp": "access_as_user", "azp": "desk"}),
        ] {
            assert_eq!(of(&claims), Principal::Person, "{claims}");
        }
    }

    #[test]
    fn a_name_is_text_and_no_longer_than_any_other() {
        let claims = json!({"preferred_username": ["a"], "upn": " ", "email": "é".repeat(300), "azp": 7});
        let claims = claims.as_object().unwrap();
        assert_eq!(person(Principal::Person, claims), Some("é".repeat(255)));
        assert_eq!(client(claims), None);
    }
}

//! What to create in a customer's directory so that an agent gets tokens, and which claim names it,
//! by provider and kind of agent: text as data, for the command line and the API.
//!
//! It asks nobody and knows no tenant; `RESOURCE` stands for the URL of the MCP endpoint.

use serde::Serialize;
use serde_json::{Value, json};

use super::kind::AgentKind;
use super::preset::Preset;

/// What stands in a guide for the URL of the MCP endpoint.
pub const RESOURCE: &str = "RESOURCE";

/// The way to tokens for one provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Guide {
    /// The word it is asked for by.
    pub provider: &'static str,
    /// For people.
    pub title: &'static str,
    /// The preset to trust it with.
    pub preset: Preset,
    /// The form of its `iss`.
    pub issuer: &'static str,
    /// The audience of its tokens.
    pub audience: &'static str,
    /// The way for each kind of agent.
    pub ways: [Way; 2],
    /// What goes wrong most often.
    pub beware: &'static str,
}

/// The way for one kind of agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Way {
    pub kind: AgentKind,
    /// The claim that names the subject.
    pub subject_claim: &'static str,
    /// Where its value is found.
    pub subject: &'static str,
    /// What to create, in this order.
    pub steps: &'static [&'static str],
}

impl Guide {
    /// The guide as JSON, with the URL of the MCP endpoint put in where it is known.
    pub fn json(&self, resource: Option<&str>) -> Value {
        let mut told = json!(self);
        if let Some(resource) = resource {
            put_in(&mut told, resource);
        }
        told
    }
}

fn put_in(value: &mut Value, resource: &str) {
    match value {
        Value::String(text) => *text = text.replace(RESOURCE, resource),
        Value::Array(items) => items.iter_mut().for_each(|item| put_in(item, resource)),
        Value::Object(fields) => fields.values_mut().for_each(|field| put_in(field, resource)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The guide for the provider of that word.
pub fn of(provider: &str) -> Option<&'static Guide> {
    GUIDES.iter().find(|guide| guide.provider == provider)
}

/// All guides, in the order in which they are listed.
pub const GUIDES: [Guide; 5] = [ENTRA, GOOGLE, KEYCLOAK, AUTH0, OKTA];

const ENTRA: Guide = Guide {
    provider: "entra",
    title: "Microsoft Entra ID",
    preset: Preset::Microsoft,
    issuer: "https://login.microsoftonline.com/{directory id}/v2.0; of version 1 tokens \
             https://sts.windows.net/{directory id}/, which the preset accepts too",
    audience: "the application (client) id of the API, or api:// and that id: give either to the provider as an audience",
    ways: [
        Way {
            kind: AgentKind::Unattended,
            subject_claim: "azp",
            subject: "the application (client) id of the agent's own registration; version 1 has it in `appid`",
            steps: &[
                "App registrations: register an application for the API, such as `PSA tools`; under Expose an API set its \
                 Application ID URI (api:// and its id), and under App roles add a role that applications may have, \
                 such as Tools.Call.",
                "In the API's manifest set requestedAccessTokenVersion to 2.",
                "Register a second application for the agent; under Certificates & secrets give it a certificate or a secret.",
                "Under API permissions of the second give it the application permission of the first's app role, and grant \
                 admin consent.",
                "The agent asks https://login.microsoftonline.com/{directory id}/oauth2/v2.0/token for grant type \
                 client_credentials and scope api://{API's id}/.default.",
            ],
        },
        Way {
            kind: AgentKind::Interactive,
            subject_claim: "oid",
            subject: "the user's Object ID, on the user's page in Entra; it is the same for every application",
            steps: &[
                "Register an application for the API as above, and under Expose an API add a scope that users may consent \
                 to, such as access_as_user.",
                "Register an application for the client (public, with the redirect URI of the client), and add the \
                 delegated permission for that scope.",
                "Trust the provider with the subject claim oid: it names applications too, by the Object ID of the \
                 enterprise application.",
                "The person signs in with scope api://{API's id}/access_as_user.",
            ],
        },
    ],
    beware: "With the claim azp everybody who signs in through one application is the same subject: bind that one to \
             unattended agents only. `common` and `organizations` are no issuer; give the directory's own id.",
};

const GOOGLE: Guide = Guide {
    provider: "google",
    title: "Google",
    preset: Preset::Google,
    issuer: "https://accounts.google.com",
    audience: "RESOURCE for a service account, which may ask for any; for people the OAuth client's id: give that to the \
               provider as an audience",
    ways: [
        Way {
            kind: AgentKind::Unattended,
            subject_claim: "sub",
            subject: "the service account's Unique ID, a number of 21 digits on its page in IAM; not its address",
            steps: &[
                "IAM & Admin, Service Accounts: create a service account for the agent. It needs no role in the project.",
                "Where the agent runs on Google Cloud, attach the account to it; anywhere else use workload identity \
                 federation, or a key if nothing else will do.",
                "The agent asks for an ID token with the audience RESOURCE, from the metadata server \
                 (instance/service-accounts/default/identity?audience=) or by generateIdToken of the IAM Credentials API.",
            ],
        },
        Way {
            kind: AgentKind::Interactive,
            subject_claim: "sub",
            subject: "the person's `sub`, a number; `sidegate token explain` shows it of a token",
            steps: &[
                "Google Auth Platform, Clients: create an OAuth client for the client program, and trust the provider with \
                 that client id as an audience.",
                "The person signs in with scope openid email; the client sends the ID token.",
            ],
        },
    ],
    beware: "Google's access tokens are no JWT: only ID tokens can be checked. An ID token for another application is \
             refused by its audience.",
};

const KEYCLOAK: Guide = Guide {
    provider: "keycloak",
    title: "Keycloak",
    preset: Preset::Custom,
    issuer: "https://{host}/realms/{realm}",
    audience: "RESOURCE, which a mapper puts in",
    ways: [
        Way {
            kind: AgentKind::Unattended,
            subject_claim: "sub",
            subject: "the ID of the user service-account-{client}, found from the client's Service accounts roles",
            steps: &[
                "Clients: create an OpenID Connect client for the agent with Client authentication and Service accounts \
                 roles on, and every flow for people off.",
                "Its dedicated client scope: add a mapper of type Audience with the custom audience RESOURCE, in the access token.",
                "The agent asks /realms/{realm}/protocol/openid-connect/token for grant type client_credentials.",
            ],
        },
        Way {
            kind: AgentKind::Interactive,
            subject_claim: "sub",
            subject: "the user's ID, on the user's page",
            steps: &[
                "Clients: create a public client with the standard flow, PKCE (S256) and the redirect URI of the client program.",
                "Add the same Audience mapper to its dedicated client scope.",
                "The person signs in; preferred_username names the person in the record.",
            ],
        },
    ],
    beware: "Without the Audience mapper `aud` is `account` and every token is refused. Users may rename themselves where \
             the realm allows it: do not take preferred_username for the subject.",
};

const AUTH0: Guide = Guide {
    provider: "auth0",
    title: "Auth0",
    preset: Preset::Custom,
    issuer: "https://{tenant}.{region}.auth0.com/, with the slash at its end",
    audience: "the API's identifier: make it RESOURCE",
    ways: [
        Way {
            kind: AgentKind::Unattended,
            subject_claim: "sub",
            subject: "the application's Client ID followed by @clients",
            steps: &[
                "Applications, APIs: create an API whose identifier is RESOURCE, signed with RS256; its access tokens may be \
                 of either profile, Auth0 or RFC 9068.",
                "Applications: create a Machine to Machine application for the agent and authorize it for that API.",
                "The agent asks https://{tenant}.{region}.auth0.com/oauth/token for grant type client_credentials and \
                 audience RESOURCE.",
            ],
        },
        Way {
            kind: AgentKind::Interactive,
            subject_claim: "sub",
            subject: "the user_id, such as auth0|64f0…, on the user's page",
            steps: &[
                "Create the API as above.",
                "Create a Native or Single Page application with the redirect URI of the client program.",
                "The person signs in with audience RESOURCE; an Action may add the e-mail address for the record.",
            ],
        },
    ],
    beware: "Without an audience in the request Auth0 gives an opaque token, which is refused as malformed.",
};

const OKTA: Guide = Guide {
    provider: "okta",
    title: "Okta",
    preset: Preset::Custom,
    issuer: "https://{org}.okta.com/oauth2/{authorization server}, such as default; not the org itself",
    audience: "the authorization server's Audience: make it RESOURCE",
    ways: [
        Way {
            kind: AgentKind::Unattended,
            subject_claim: "sub",
            subject: "the service's Client ID",
            steps: &[
                "Security, API: create an authorization server whose audience is RESOURCE, a scope such as tools, and an access \
                 policy that lets the agent's client have it.",
                "Applications: create an API Services app for the agent, with a public key or a secret.",
                "The agent asks the authorization server's /v1/token for grant type client_credentials and that scope.",
            ],
        },
        Way {
            kind: AgentKind::Interactive,
            subject_claim: "uid",
            subject: "the user's ID, such as 00u1…, in the address of the user's page",
            steps: &[
                "Create the authorization server as above, with a rule for grant type authorization_code.",
                "Applications: create a Native or Single Page OIDC app with the redirect URI of the client program, and assign \
                 the people.",
                "Trust a provider for people with the subject claim uid: `sub` is the login, which can change hands.",
            ],
        },
    ],
    beware: "Tokens of the org's own authorization server (issuer without /oauth2/…) are for Okta's API only and cannot be \
             checked. One issuer has one subject claim: give people and services an authorization server each.",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_is_put_in_wherever_a_guide_names_it() {
        for guide in &GUIDES {
            let told = guide.json(Some("https://gate.example/api/mcp")).to_string();
            assert!(!told.contains(RESOURCE) && guide.json(None)["provider"] == guide.provider);
        }
        let told = of("auth0").unwrap().json(Some("https://gate.example/api/mcp"));
        assert_eq!(told["audience"], "the API's identifier: make it https://gate.example/api/mcp");
    }

    #[test]
    fn every_provider_has_a_way_for_each_kind_of_agent() {
        for guide in &GUIDES {
            let kinds: Vec<_> = guide.ways.iter().map(|way| way.kind).collect();
            assert_eq!(kinds, [AgentKind::Unattended, AgentKind::Interactive], "{}", guide.provider);
            assert!(guide.ways.iter().all(|way| way.steps.len() >= 2));
            assert_eq!(of(guide.provider), Some(guide));
        }
        assert_eq!(of("Entra"), None);
    }

    #[test]
    fn what_a_guide_says_of_a_claim_is_so_in_the_providers_tokens() {
        let fixtures: Vec<Value> = serde_json::from_str(include_str!("testing/tokens.json")).unwrap();
        for guide in &GUIDES {
            let start = guide.title.trim_start_matches("Microsoft ").trim_end_matches(" ID");
            for way in &guide.ways {
                let carries = if way.kind == AgentKind::Unattended { "application" } else { "person" };
                let of_it = |fixture: &&Value| {
                    let access = !fixture["name"].as_str().unwrap().contains("ID token");
                    fixture["name"].as_str().unwrap().starts_with(start)
                        && fixture["carries"] == carries
                        && access
                };
                let mut known = fixtures.iter().filter(of_it).peekable();
                assert!(known.peek().is_some(), "{start} {carries}");
                assert!(
                    known.all(|fixture| fixture["subject_claim"] == way.subject_claim),
                    "{start} {carries}"
                );
            }
        }
    }
}

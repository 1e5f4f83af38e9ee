//! Keys, users and roles of the embedded demo PSA, over its control side.
//! It holds the key table; this only asks.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::config::{PsaConfig, base_url};
use super::super::{
    Credential, Directory, KeyError, Keys, MicrosoftConnection, Principal, PsaError, PsaUser, Removal, Role,
    Takeover,
};
use super::{Source, key, misconfigured};
use crate::clock::{Millis, rfc3339};
use crate::outbound::{Guard, Limits, Outbound};
use crate::secret::Secret;

pub(super) fn problems(config: &PsaConfig) -> Vec<(String, String)> {
    if config.demo_secret.is_empty() {
        let message = "is missing; `sidegate demo` writes it into the configuration it prints";
        return vec![("demo_secret".to_owned(), message.to_owned())];
    }
    Vec::new()
}

pub(super) fn open(config: &PsaConfig) -> Result<Source, PsaError> {
    let url = if config.demo_url.is_empty() { &config.url } else { &config.demo_url };
    let base = base_url(url).map_err(|message| misconfigured("demo_url", &message))?;
    let mut secret = HeaderValue::from_str(config.demo_secret.expose())
        .map_err(|_| misconfigured("demo_secret", "holds characters that are not fit for a header"))?;
    secret.set_sensitive(true);
    let wait = Duration::from_secs(5);
    let limits = Limits { deadline: wait, connect: wait, body: 1 << 20 };
    let client = Outbound::new(Guard::operator_chosen(), limits)
        .map_err(|error| PsaError::Misconfigured(format!("the client for the demo PSA: {error}")))?;
    let demo = Arc::new(Demo { base, secret, purpose: config.key_purpose.clone(), client });
    Ok((demo.clone(), Some(demo)))
}

struct Demo {
    base: String,
    secret: HeaderValue,
    purpose: String,
    client: Outbound,
}

impl Demo {
    /// The status and the JSON of the answer; null where it has no body.
    async fn ask(&self, method: Method, target: &str, body: Option<Value>) -> Result<(u16, Value), KeyError> {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{}{target}", self.base))
            .header("x-demo-control", self.secret.clone())
            .header("accept", "application/json");
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let request = request
            .body(body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string())))
            .map_err(|_| KeyError::Refused("the demo PSA cannot be asked about this id".to_owned()))?;
        let answer =
            self.client.send(request).await.map_err(|error| KeyError::Unavailable(error.to_string()))?;
        let status = answer.status().as_u16();
        if status >= 500 {
            return Err(KeyError::Unavailable(format!("the demo PSA answered {status}")));
        }
        Ok((status, serde_json::from_slice(answer.body()).unwrap_or(Value::Null)))
    }

    async fn removed(&self, method: Method, target: &str, body: Option<Value>) -> Result<u64, KeyError> {
        match self.ask(method, target, body).await? {
            (200, answer) => {
                answer["removed"].as_u64().ok_or_else(|| not_understood("how many keys were removed"))
            }
            (status, answer) => Err(refused(status, &answer)),
        }
    }
}

/// Errands of the directory's verbs.
impl Demo {
    async fn listed(&self, target: &str) -> Result<Vec<Role>, KeyError> {
        let (status, mut answer) = self.ask(Method::GET, target, None).await?;
        if status != 200 {
            return Err(refused(status, &answer));
        }
        let listed: Vec<Listed> =
            serde_json::from_value(answer["data"].take()).map_err(|_| not_understood("the roles"))?;
        let role = |r: Listed| Role { role_id: r.role_id, name: r.role_name, description: r.description };
        Ok(listed.into_iter().map(role).collect())
    }

    /// An error unless the user is there and was made for an agent.
    async fn ours(&self, user_id: &str) -> Result<(), KeyError> {
        match self.user(user_id).await? {
            None => Err(KeyError::NoUser(format!("the PSA has no user {user_id}"))),
            Some(user) if !user.ours => Err(KeyError::Refused(format!(
                "the PSA user {user_id} (`{}`) was not made for an agent: change it in the PSA",
                user.username
            ))),
            Some(_) => Ok(()),
        }
    }

    async fn switch(&self, user_id: &str, how: &str) -> Result<(), KeyError> {
        self.ours(user_id).await?;
        match self.ask(Method::POST, &format!("/__users/{}/{how}", encoded(user_id)), None).await? {
            (200 | 204, _) => Ok(()),
            (status, answer) => Err(refused(status, &answer)),
        }
    }
}

#[async_trait]
impl Keys for Demo {
    async fn mint(&self, who: &Principal, ttl: Duration, now: Millis) -> Result<Credential, KeyError> {
        let Some(user) = &who.psa_user else {
            return Err(KeyError::NoUser(format!("agent `{}` has no user in the PSA", who.agent_name)));
        };
        let (key, hash) = key::fresh();
        let expires_at = now.saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX));
        let row = json!({
            "user_id": user,
            "key_hash": hash,
            "description": key::description(&who.agent_name),
            "purpose": self.purpose,
            "expires_at": rfc3339(expires_at),
            "agent_id": who.agent_id,
        });
        match self.ask(Method::POST, "/__keys", Some(row)).await? {
            (201, answer) => {
                let id = answer["api_key_id"].as_str().ok_or_else(|| not_understood("the key's id"))?;
                Ok(Credential::new(key, id.to_owned(), Some(expires_at)))
            }
            (403, answer) => Err(match answer["error"].as_str() {
                Some("suspended") => KeyError::Suspended,
                Some("no_user") => KeyError::NoUser(format!(
                    "the PSA has no internal user {user} for agent `{}`",
                    who.agent_name
                )),
                Some("inactive_user") => KeyError::NoUser(format!(
                    "the PSA user {user} of agent `{}` is switched off",
                    who.agent_name
                )),
                _ => refused(403, &answer),
            }),
            (status, answer) => Err(refused(status, &answer)),
        }
    }

    async fn revoke(&self, key_id: &str) -> Result<(), KeyError> {
        match self.ask(Method::DELETE, &format!("/__keys/{}", encoded(key_id)), None).await? {
            (200 | 204 | 404, _) => Ok(()),
            (status, answer) => Err(refused(status, &answer)),
        }
    }

    async fn revoke_agent(&self, agent_id: &str) -> Result<u64, KeyError> {
        self.removed(Method::DELETE, &format!("/__keys?agent_id={}", encoded(agent_id)), None).await
    }

    async fn sweep(&self, now: Millis) -> Result<u64, KeyError> {
        self.removed(Method::POST, "/__keys/sweep", Some(json!({ "now": now }))).await
    }
}

#[derive(Deserialize)]
struct Listed {
    role_id: String,
    role_name: String,
    description: Option<String>,
}

#[async_trait]
impl Directory for Demo {
    async fn roles(&self) -> Result<Vec<Role>, KeyError> {
        self.listed("/__roles").await
    }

    async fn provision(
        &self,
        agent_id: &str,
        agent_name: &str,
        roles: &[String],
    ) -> Result<String, KeyError> {
        let user = json!({ "agent_id": agent_id, "name": agent_name, "roles": roles });
        match self.ask(Method::POST, "/__users", Some(user)).await? {
            (200 | 201, answer) => answer["user_id"]
                .as_str()
                .map(ToOwned::to_owned)
                .ok_or_else(|| not_understood("the user's id")),
            (status, answer) => Err(refused(status, &answer)),
        }
    }

    async fn set_roles(&self, user_id: &str, roles: &[String]) -> Result<(), KeyError> {
        self.ours(user_id).await?;
        let target = format!("/__users/{}/roles", encoded(user_id));
        match self.ask(Method::PUT, &target, Some(json!({ "roles": roles }))).await? {
            (200 | 204, _) => Ok(()),
            (status, answer) => Err(refused(status, &answer)),
        }
    }

    async fn roles_of(&self, user_id: &str) -> Result<Vec<Role>, KeyError> {
        match self.user(user_id).await? {
            Some(_) => self.listed(&format!("/__users/{}/roles", encoded(user_id))).await,
            None => Ok(Vec::new()),
        }
    }

    async fn user(&self, user_id: &str) -> Result<Option<PsaUser>, KeyError> {
        match self.ask(Method::GET, &format!("/__users/{}", encoded(user_id)), None).await? {
            (200, answer) => person(answer),
            (404, _) => Ok(None),
            (status, answer) => Err(refused(status, &answer)),
        }
    }

    async fn deactivate(&self, user_id: &str) -> Result<(), KeyError> {
        self.switch(user_id, "deactivate").await
    }

    async fn reactivate(&self, user_id: &str) -> Result<(), KeyError> {
        self.switch(user_id, "reactivate").await
    }

    async fn remove(&self, user_id: &str) -> Result<Removal, KeyError> {
        self.ours(user_id).await?;
        match self.ask(Method::DELETE, &format!("/__users/{}", encoded(user_id)), None).await? {
            (200 | 204, _) => Ok(Removal::Removed),
            (409, answer) => {
                self.switch(user_id, "deactivate").await?;
                let table = answer["table"].as_str().unwrap_or("of another kind");
                let why = format!(
                    "the PSA's table `{table}` refers to this user, so it is switched off and not removed"
                );
                Ok(Removal::Deactivated { why })
            }
            (status, answer) => Err(refused(status, &answer)),
        }
    }

    async fn administrator(&self, key: &Secret) -> Result<Option<PsaUser>, KeyError> {
        let question = json!({ "key_hash": key::hash(key), "not_for": [self.purpose] });
        match self.ask(Method::POST, "/__administrator", Some(question)).await? {
            (200, answer) => person(answer),
            (status, answer) => Err(refused(status, &answer)),
        }
    }

    /// The demo is connected to nothing.
    async fn microsoft_connection(&self) -> Result<Option<MicrosoftConnection>, KeyError> {
        Ok(None)
    }

    /// The demo has no MCP server of its own.
    async fn takeover(&self) -> Result<Option<Takeover>, KeyError> {
        Ok(None)
    }
}

fn person(mut answer: Value) -> Result<Option<PsaUser>, KeyError> {
    serde_json::from_value(answer["data"].take()).map_err(|_| not_understood("who the user is"))
}

/// `id` as one path segment or query value.
fn encoded(id: &str) -> impl std::fmt::Display + '_ {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');
    utf8_percent_encode(id, KEPT)
}

fn refused(status: u16, answer: &Value) -> KeyError {
    KeyError::Refused(match answer["error"].as_str() {
        Some(why) => format!("the demo PSA answered {status}: {why}"),
        None => format!("the demo PSA answered {status}"),
    })
}

fn not_understood(what: &str) -> KeyError {
    KeyError::Refused(format!("the demo PSA's answer does not say {what}"))
}

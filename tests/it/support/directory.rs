//! A Sidegate whose providers and agents change while it runs, and an issuer that signs as any of them.

use serde_json::{Value, json};
use sidegate::app;
use sidegate::clock::Clock;
use sidegate::config;
use sidegate::gate::admin::{Actor, Admin, AgentChange, AgentSpec};
use sidegate::identity::kind::AgentKind;
use sidegate::identity::preset::{Preset, ProviderSpec};

use super::http::Answer;
use super::issuer::Issuer;
use super::wait::until;
use super::world::{World, modern};

pub struct Directory {
    pub world: World,
    pub admin: Admin,
    pub issuer: Issuer,
    pub actor: Actor,
}

impl Directory {
    pub async fn start() -> Self {
        let (world, issuer) = (World::start().await, Issuer::start().await);
        let config = config::load(Some(&world.config_file), std::iter::empty()).unwrap();
        let admin = app::admin(&config, Clock::System, None).await.unwrap();
        Self { world, admin, issuer, actor: Actor::command_line() }
    }

    /// A provider whose keys are those of the issuer here, whatever its `iss`.
    pub fn provider(&self, kind: Preset) -> ProviderSpec {
        let jwks_uri = Some(format!("{}/jwks", self.issuer.url));
        ProviderSpec { kind, jwks_uri, ..ProviderSpec::default() }
    }

    pub async fn trust(&self, spec: &ProviderSpec) -> String {
        self.admin.add_provider(&self.actor, spec, false).await.unwrap().0.issuer
    }

    /// Makes the agent that `issuer` and `subject` mean one of that kind, a new one where there is none.
    pub async fn bind(&self, issuer: &str, subject: &str, kind: Option<AgentKind>) {
        let rows = self.admin.agents().await.unwrap();
        let bound = rows.iter().find(|row| row.issuer == issuer && row.subject == subject);
        if let Some(row) = bound {
            let change = AgentChange { kind: Some(kind), ..AgentChange::default() };
            self.admin.change_agent(&self.actor, &row.id, &change).await.unwrap();
            return;
        }
        let spec = AgentSpec {
            name: format!("agent of {subject} at {issuer}"),
            kind,
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            psa_user: Some(self.world.psa.technician().to_owned()),
            ..AgentSpec::default()
        };
        self.admin.add_agent(&self.actor, &spec).await.unwrap();
    }

    /// `claims` as a token of now; what says RESOURCE is for the endpoint.
    pub fn token(&self, header: &Value, claims: &Value) -> String {
        let now = Clock::System.now_seconds();
        let text = claims.to_string().replace("RESOURCE", &self.world.mcp_url);
        let mut payload: Value = serde_json::from_str(&text).unwrap();
        for (claim, value) in [("iat", json!(now)), ("exp", json!(now + 300))] {
            let held = payload.as_object_mut().unwrap().entry(claim).or_insert(value);
            let _ = held;
        }
        payload.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        self.issuer.sign_as(header, &payload)
    }

    pub async fn ask(&self, token: &str) -> Answer {
        let (body, headers) = modern("tools/list", json!({}));
        self.world.post(Some(token), body.to_string(), &headers).await
    }

    /// The answer to `token`, once its status is this one.
    pub async fn answered(&self, token: &str, status: u16) -> Answer {
        until(|| async {
            let answer = self.ask(token).await;
            (answer.status == status).then_some(answer)
        })
        .await
    }
}

/// The header of most issuers' tokens.
pub fn plain() -> Value {
    json!({"alg": "EdDSA", "kid": "k", "typ": "JWT"})
}

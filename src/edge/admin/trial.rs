//! Trying things out: why a token would be accepted, what a binding would mean, and what to create in a customer's
//! directory. Nothing is changed.

use std::sync::Arc;

use axum::Json;
use axum::extract::Path;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Web;
use super::body::Body;
use super::problem::{Problem, Problems};
use super::who::Who;
use super::wire::{Data, said};
use crate::gate::admin::{Explanation, Step};
use crate::identity::guide::{self, RESOURCE, Way};
use crate::identity::metadata::Resource;

/// The routes.
pub fn new() -> OpenApiRouter<Arc<Web>> {
    OpenApiRouter::new().routes(routes!(explain)).routes(routes!(dry_run)).routes(routes!(guide))
}

/// A token that is to be tried.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Trial {
    /// The token; it is kept nowhere.
    token: String,
    /// The URL of the MCP endpoint that it would be sent to; without it the tenant's own.
    resource: Option<String>,
}

/// Why a token would be accepted or refused.
#[derive(Serialize, ToSchema)]
struct Verdict {
    accepted: bool,
    /// The reason of the refusal, as metrics and records show it.
    reason: Option<&'static str>,
    /// The URL of the MCP endpoint that it was tried for.
    resource: String,
    /// Every step up to the first that failed.
    steps: Vec<Tried>,
}

/// One step of the check.
#[derive(Serialize, ToSchema)]
struct Tried {
    check: &'static str,
    passed: bool,
    detail: String,
}

impl From<Step> for Tried {
    fn from(step: Step) -> Self {
        Self { check: step.check, passed: step.passed, detail: step.detail }
    }
}

/// Follows a token through the check that a call of the MCP endpoint would make.
#[utoipa::path(post, path = "/tokens/explain", tag = "trials", operation_id = "explainToken", request_body = Trial, responses((status = 200, description = "What was asked for, as it is now.", body = Data<Verdict>), Problems))]
async fn explain(who: Who, Body(trial): Body<Trial>) -> Result<Json<Data<Verdict>>, Problem> {
    let resource = match said(trial.resource) {
        Some(url) => resource(&url)?,
        None => (who.admin.resource)(),
    };
    let Explanation { accepted, reason, steps } = who.admin.explain(trial.token.trim(), &resource).await?;
    let steps = steps.into_iter().map(Tried::from).collect();
    let resource = resource.identifier().to_owned();
    Ok(Json(Data { data: Verdict { accepted, reason, resource, steps } }))
}

fn resource(text: &str) -> Result<Resource, Problem> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url = url.ok_or_else(|| {
        Problem::field(
            "resource",
            "must be the URL of an MCP endpoint, such as https://mcp.example.com/api/mcp",
        )
    })?;
    Ok(Resource::new(&url.origin().ascii_serialization(), url.path()))
}

/// What a token would say.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Binding {
    /// Its `iss`.
    #[serde(alias = "idp_issuer")]
    idp_issuer: String,
    /// The value of its subject claim.
    #[serde(alias = "idp_subject")]
    idp_subject: String,
}

/// What a binding means in this tenant, and in no other.
#[derive(Serialize, ToSchema)]
struct Report {
    /// Whether the issuer's tokens are accepted.
    issuer_trusted: bool,
    /// The agent that the two speak for.
    agent_id: Option<String>,
    agent_name: Option<String>,
    agent_active: Option<bool>,
    /// Whether a new agent could be bound to the two.
    free: bool,
    /// In words.
    detail: String,
}

/// What a token of this issuer and subject would mean, and whether an agent could be bound to them.
#[utoipa::path(post, path = "/bindings/dry-run", tag = "trials", operation_id = "tryBinding", request_body = Binding, responses((status = 200, description = "What was asked for, as it is now.", body = Data<Report>), Problems))]
async fn dry_run(who: Who, Body(binding): Body<Binding>) -> Result<Json<Data<Report>>, Problem> {
    let told = who.admin.dry_run(&binding.idp_issuer, &binding.idp_subject).await?;
    let (agent_id, agent_name) = told.agent.unzip();
    let data = Report {
        issuer_trusted: told.issuer_trusted,
        agent_id,
        agent_name,
        agent_active: told.agent_active,
        free: told.free,
        detail: told.detail,
    };
    Ok(Json(Data { data }))
}

/// What to create in a customer's directory, so that an agent gets tokens.
#[derive(Serialize, ToSchema)]
struct Guide {
    provider: &'static str,
    title: &'static str,
    /// The `kind` to add it with.
    preset: &'static str,
    /// The form of its `iss`.
    issuer: String,
    /// The audience of its tokens.
    audience: String,
    /// The way for each kind of agent.
    ways: Vec<GuideWay>,
    /// What goes wrong most often.
    beware: String,
}

/// The way for one kind of agent.
#[derive(Serialize, ToSchema)]
struct GuideWay {
    /// `interactive` or `unattended`.
    kind: &'static str,
    /// The claim that names the agent.
    subject_claim: &'static str,
    /// Where its value is found.
    subject: String,
    /// What to create, in this order.
    steps: Vec<String>,
}

/// What to create at `entra`, `google`, `keycloak`, `auth0` or `okta`, and which claim names the agent.
#[utoipa::path(get, path = "/idp-guides/{kind}", tag = "trials", operation_id = "getGuide", params(("kind" = String, Path, description = "entra, google, keycloak, auth0 or okta.")), responses((status = 200, description = "What was asked for, as it is now.", body = Data<Guide>), Problems))]
async fn guide(who: Who, Path(kind): Path<String>) -> Result<Json<Data<Guide>>, Problem> {
    let Some(guide) = guide::of(&kind) else {
        let known: Vec<_> = guide::GUIDES.iter().map(|guide| guide.provider).collect();
        let told = format!("there is no guide for `{kind}`; there are {}", known.join(", "));
        return Err(Problem::new(StatusCode::NOT_FOUND, told));
    };
    let resource = (who.admin.resource)();
    let filled = |text: &str| text.replace(RESOURCE, resource.identifier());
    let way = |way: &Way| GuideWay {
        kind: way.kind.as_str(),
        subject_claim: way.subject_claim,
        subject: filled(way.subject),
        steps: way.steps.iter().map(|step| filled(step)).collect(),
    };
    let data = Guide {
        provider: guide.provider,
        title: guide.title,
        preset: guide.preset.as_str(),
        issuer: filled(guide.issuer),
        audience: filled(guide.audience),
        ways: guide.ways.iter().map(way).collect(),
        beware: filled(guide.beware),
    };
    Ok(Json(Data { data }))
}

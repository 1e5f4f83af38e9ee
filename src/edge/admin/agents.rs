//! Agents as answers show them, and the PSA's contract of them: list, add, switch, remove.

use std::sync::Arc;

use axum::Json;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Web;
use super::body::{Asked, Body};
use super::problem::{ContractErrors, Problem};
use super::who::Who;
use super::wire::{self, Data, Done, MOST, Page, after, page, said, time};
use crate::gate::admin::{AdminError, AgentFilter, AgentRow, AgentSpec, warnings};
use crate::identity::kind::AgentKind;
use crate::tool::effect::Effect;
use crate::units::Span;

/// What the PSA's clients know.
pub fn contract() -> OpenApiRouter<Arc<Web>> {
    OpenApiRouter::new().routes(routes!(list, add, switch, remove)).routes(routes!(roles))
}

/// An agent.
#[derive(Debug, Serialize, ToSchema)]
pub struct Agent {
    agent_id: String,
    /// The id of the tenant.
    tenant: String,
    name: String,
    description: Option<String>,
    /// The issuer of its tokens.
    idp_issuer: String,
    /// The subject of its tokens.
    idp_subject: String,
    /// Whether it may act.
    active: bool,
    /// Who added it.
    created_by: Option<String>,
    metadata: Metadata,
    created_at: String,
    updated_at: String,
    /// Whose tokens it acts with; null: either's.
    kind: Option<Kind>,
    /// The PSA roles that it was last given.
    roles: Vec<String>,
    /// The most it may do; null: the policy's default.
    max_effect: Option<Most>,
    /// The longest that one of its calls may take, such as `30s`.
    #[schema(value_type = Option<String>)]
    call_timeout: Option<Span>,
    /// Whether its PSA user was made for it here.
    provisioned: bool,
    /// `config`: kept by the configuration file; `admin`: kept here.
    managed_by: &'static str,
    /// What an administrator should know of it.
    warnings: Vec<&'static str>,
    /// When an administrator switched it off.
    disabled_at: Option<String>,
    /// When the configuration file stopped naming it.
    retired_at: Option<String>,
    /// When it was deleted; what it did stays on record.
    deleted_at: Option<String>,
}

/// What the PSA keeps beside an agent.
#[derive(Debug, Serialize, ToSchema)]
struct Metadata {
    /// The PSA user whose permissions apply.
    backing_user_id: Option<String>,
}

/// Whose tokens an agent acts with.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A person's.
    Interactive,
    /// An application's own.
    Unattended,
}

/// The most an agent may do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Most {
    Read,
    Write,
    Destroy,
}

impl From<Kind> for AgentKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Interactive => Self::Interactive,
            Kind::Unattended => Self::Unattended,
        }
    }
}

impl From<AgentKind> for Kind {
    fn from(kind: AgentKind) -> Self {
        match kind {
            AgentKind::Interactive => Self::Interactive,
            AgentKind::Unattended => Self::Unattended,
        }
    }
}

impl From<Most> for Effect {
    fn from(most: Most) -> Self {
        match most {
            Most::Read => Self::Read,
            Most::Write => Self::Write,
            Most::Destroy => Self::Destroy,
        }
    }
}

impl From<Effect> for Most {
    fn from(effect: Effect) -> Self {
        match effect {
            Effect::Read => Self::Read,
            Effect::Write => Self::Write,
            Effect::Destroy => Self::Destroy,
        }
    }
}

/// `row` as answers show it.
pub fn shown(who: &Who, row: AgentRow) -> Agent {
    Agent {
        active: row.is_on(),
        warnings: warnings(&row),
        agent_id: row.id,
        tenant: who.admin.tenant.clone(),
        name: row.name,
        description: row.description,
        idp_issuer: row.issuer,
        idp_subject: row.subject,
        created_by: row.created_by,
        metadata: Metadata { backing_user_id: row.psa_user },
        created_at: time(row.created_at),
        updated_at: time(row.updated_at),
        kind: row.kind.as_deref().and_then(AgentKind::parse).map(Kind::from),
        roles: row.roles,
        max_effect: row.max_effect.as_deref().and_then(Effect::parse).map(Most::from),
        call_timeout: row.call_timeout.and_then(|millis| u64::try_from(millis).ok()).map(Span::millis),
        provisioned: row.provisioned,
        managed_by: row.managed_by.as_str(),
        disabled_at: row.disabled_at.map(time),
        retired_at: row.retired_at.map(time),
        deleted_at: row.deleted_at.map(time),
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// The most rows, 1 to 200; without it and without `cursor` all come at once.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// Only agents whose name contains this.
    name: Option<String>,
    /// Only agents bound to this issuer.
    issuer: Option<String>,
    /// Only those that are on, or off.
    active: Option<bool>,
}

/// Agents, the newest first.
#[utoipa::path(get, path = "/agents", tag = "contract", operation_id = "listAgents", params(ListQuery), responses((status = 200, description = "What was asked for, as it is now.", body = Page<Agent>), ContractErrors))]
async fn list(who: Who, Asked(asked): Asked<ListQuery>) -> Result<Json<Page<Agent>>, Problem> {
    let whole = asked.limit.is_none() && asked.cursor.is_none();
    let limit = if whole { MOST } else { wire::limit(asked.limit)? };
    let mut filter = AgentFilter {
        name_contains: asked.name,
        issuer: asked.issuer,
        active: asked.active,
        after: after(asked.cursor.as_deref())?,
        limit: limit + 1,
        ..AgentFilter::default()
    };
    let place = |row: &AgentRow| (row.created_at, row.id.clone());
    let mut all = page(who.admin.page_agents(&filter).await?, limit, place, |row| shown(&who, row));
    while whole && let Some(cursor) = all.next_cursor.take() {
        filter.after = after(Some(&cursor))?;
        let more = page(who.admin.page_agents(&filter).await?, limit, place, |row| shown(&who, row));
        all.data.extend(more.data);
        all.next_cursor = more.next_cursor;
    }
    Ok(Json(all))
}

/// A new agent. Fields that are not known are passed over.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
struct NewAgent {
    /// Unique within the tenant.
    #[schema(required)]
    name: Option<String>,
    description: Option<String>,
    /// The issuer of its tokens, one of `/idp-providers` or `/platform-providers`.
    #[serde(alias = "idp_issuer")]
    #[schema(required)]
    idp_issuer: Option<String>,
    /// The subject of its tokens.
    #[serde(alias = "idp_subject")]
    #[schema(required)]
    idp_subject: Option<String>,
    /// PSA roles, by id: a user that has them is made in the PSA for this agent.
    #[serde(alias = "role_ids")]
    role_ids: Option<Vec<String>>,
    /// PSA roles, by name or id, beside `roleIds`.
    roles: Option<Vec<String>>,
    /// An existing user of the PSA, instead of one that is made: it costs no further seat.
    #[serde(alias = "psa_user")]
    psa_user: Option<String>,
    kind: Option<Kind>,
    #[serde(alias = "max_effect")]
    max_effect: Option<Most>,
    /// Such as `30s`.
    #[serde(alias = "call_timeout")]
    #[schema(value_type = Option<String>)]
    call_timeout: Option<Span>,
}

/// Adds an agent, with its PSA user where roles are given.
#[utoipa::path(post, path = "/agents", tag = "contract", operation_id = "addAgent", request_body = NewAgent, responses((status = 201, description = "What was made, as it is now.", body = Data<Agent>), ContractErrors))]
async fn add(who: Who, Body(new): Body<NewAgent>) -> Result<(StatusCode, Json<Data<Agent>>), Problem> {
    let missing = |field: &str| Problem::new(StatusCode::BAD_REQUEST, format!("\"{field}\" is required"));
    let name = said(new.name).ok_or_else(|| missing("name"))?;
    let issuer = said(new.idp_issuer).ok_or_else(|| missing("idpIssuer"))?;
    let subject = said(new.idp_subject).ok_or_else(|| missing("idpSubject"))?;
    let mut roles: Vec<String> = new.role_ids.into_iter().chain(new.roles).flatten().collect();
    roles.sort();
    roles.dedup();
    let psa_user = said(new.psa_user);
    let spec = AgentSpec {
        name,
        description: said(new.description),
        issuer,
        subject,
        kind: new.kind.map(AgentKind::from),
        max_effect: new.max_effect.map(Effect::from),
        call_timeout: new.call_timeout,
        provision: psa_user.is_none() && !roles.is_empty(),
        psa_user,
        roles,
        active: true,
    };
    let row = who.admin.add_agent(&who.actor, &spec).await?;
    Ok((StatusCode::CREATED, Json(Data { data: shown(&who, row) })))
}

/// Which agent is to be on or off.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Switch {
    #[schema(required, value_type = String)]
    agent_id: Option<serde_json::Value>,
    #[schema(required, value_type = bool)]
    active: Option<serde_json::Value>,
}

/// Switches an agent off or on again, everywhere and at once.
#[utoipa::path(patch, path = "/agents", tag = "contract", operation_id = "switchAgent", request_body = Switch, responses((status = 200, description = "It is done.", body = Done), ContractErrors))]
async fn switch(who: Who, Body(switch): Body<Switch>) -> Result<Json<Done>, Problem> {
    let id = switch.agent_id.as_ref().and_then(|id| id.as_str()).filter(|id| !id.is_empty());
    let active = switch.active.as_ref().and_then(serde_json::Value::as_bool);
    let (Some(id), Some(active)) = (id, active) else {
        let told = "\"agentId\" and a boolean \"active\" are required.";
        return Err(Problem::new(StatusCode::BAD_REQUEST, told));
    };
    if active {
        who.admin.enable_agent(&who.actor, id).await?;
    } else {
        who.admin.disable_agent(&who.actor, id).await?;
    }
    Ok(Json(Done { ok: true }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
struct RemoveQuery {
    /// The agent's id.
    #[param(required)]
    agent_id: Option<String>,
}

/// Deletes an agent; one that is not there is no error. What it did stays on record.
#[utoipa::path(delete, path = "/agents", tag = "contract", operation_id = "removeAgent", params(RemoveQuery), responses((status = 200, description = "It is done.", body = Done), ContractErrors))]
async fn remove(who: Who, Asked(asked): Asked<RemoveQuery>) -> Result<Json<Done>, Problem> {
    let id = said(asked.agent_id);
    let id = id.ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "\"agentId\" is required."))?;
    match who.admin.delete_agent(&who.actor, &id).await {
        Ok(_) | Err(AdminError::NotFound(_)) => Ok(Json(Done { ok: true })),
        Err(error) => Err(error.into()),
    }
}

/// A role of the PSA.
#[derive(Serialize, ToSchema)]
struct Role {
    role_id: String,
    role_name: String,
    description: Option<String>,
}

/// The PSA roles that an agent can be given, by name.
#[utoipa::path(get, path = "/roles", tag = "contract", operation_id = "listRoles", responses((status = 200, description = "What was asked for, as it is now.", body = Data<Vec<Role>>), ContractErrors))]
async fn roles(who: Who) -> Result<Json<Data<Vec<Role>>>, Problem> {
    let all = who.admin.roles().await?.into_iter();
    let shown =
        all.map(|role| Role { role_id: role.role_id, role_name: role.name, description: role.description });
    Ok(Json(Data { data: shown.collect() }))
}

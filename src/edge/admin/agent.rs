//! One agent: what the PSA's contract lacks. Show and change it, its roles and its keys, and its end.

use std::sync::Arc;

use axum::Json;
use axum::extract::Path;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Web;
use super::agents::{Agent, Kind, Most, shown};
use super::body::Body;
use super::problem::{Problem, Problems};
use super::who::Who;
use super::wire::{Data, given};
use crate::gate::admin::{AgentChange, PsaUserLeft};
use crate::identity::kind::AgentKind;
use crate::tool::effect::Effect;
use crate::units::Span;

/// The routes below `/agents/{id}`.
pub fn new() -> OpenApiRouter<Arc<Web>> {
    OpenApiRouter::new()
        .routes(routes!(show, change, remove))
        .routes(routes!(roles, set_roles))
        .routes(routes!(rotate, revoke))
}

/// One agent, by its id or its name.
#[utoipa::path(get, path = "/agents/{id}", tag = "agents", operation_id = "getAgent", params(("id" = String, Path, description = "Its id or its name.")), responses((status = 200, description = "What was asked for, as it is now.", body = Data<Agent>), Problems))]
async fn show(who: Who, Path(id): Path<String>) -> Result<Json<Data<Agent>>, Problem> {
    let row = who.admin.agent(&id).await?;
    Ok(Json(Data { data: shown(&who, row) }))
}

/// What changes of an agent; what is left out stays.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct AgentPatch {
    name: Option<String>,
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    description: Option<Option<String>>,
    /// Null: tokens of persons and of applications are accepted.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<Kind>)]
    kind: Option<Option<Kind>>,
    #[serde(alias = "idp_issuer")]
    idp_issuer: Option<String>,
    #[serde(alias = "idp_subject")]
    idp_subject: Option<String>,
    /// Null: the policy's default.
    #[serde(alias = "max_effect", deserialize_with = "given")]
    #[schema(value_type = Option<Most>)]
    max_effect: Option<Option<Most>>,
    /// Such as `30s`; null: no bound of its own.
    #[serde(alias = "call_timeout", deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    call_timeout: Option<Option<Span>>,
    /// The user of the PSA whose permissions apply.
    #[serde(alias = "psa_user", deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    psa_user: Option<Option<String>>,
    /// False: switched off, everywhere and at once.
    active: Option<bool>,
}

/// Changes an agent. What it may do changes with its next call.
#[utoipa::path(patch, path = "/agents/{id}", tag = "agents", operation_id = "changeAgent", params(("id" = String, Path, description = "Its id or its name.")), request_body = AgentPatch, responses((status = 200, description = "What was asked for, as it is now.", body = Data<Agent>), Problems))]
async fn change(
    who: Who,
    Path(id): Path<String>,
    Body(patch): Body<AgentPatch>,
) -> Result<Json<Data<Agent>>, Problem> {
    let change = AgentChange {
        name: patch.name,
        description: patch.description,
        kind: patch.kind.map(|kind| kind.map(AgentKind::from)),
        issuer: patch.idp_issuer,
        subject: patch.idp_subject,
        max_effect: patch.max_effect.map(|most| most.map(Effect::from)),
        call_timeout: patch.call_timeout,
        psa_user: patch.psa_user,
    };
    // Its name may change on the way.
    let mut row = who.admin.agent(&id).await?;
    let id = row.id.clone();
    if patch.active == Some(false) {
        row = who.admin.disable_agent(&who.actor, &id).await?;
    }
    if change != AgentChange::default() {
        row = who.admin.change_agent(&who.actor, &id, &change).await?;
    }
    if patch.active == Some(true) {
        row = who.admin.enable_agent(&who.actor, &id).await?;
    }
    Ok(Json(Data { data: shown(&who, row) }))
}

/// A deleted agent.
#[derive(Serialize, ToSchema)]
struct Deleted {
    agent: Agent,
    psa_user: UserLeft,
}

/// What became of the PSA user behind a deleted agent.
#[derive(Serialize, ToSchema)]
struct UserLeft {
    /// `removed`; `deactivated`: the PSA holds on to it, and it is switched off; `kept`: it was not made for the
    /// agent; `failed`: it is still there and has to be removed in the PSA.
    outcome: &'static str,
    /// What stands in the way.
    why: Option<String>,
}

impl From<PsaUserLeft> for UserLeft {
    fn from(left: PsaUserLeft) -> Self {
        let (outcome, why) = match left {
            PsaUserLeft::Removed => ("removed", None),
            PsaUserLeft::Deactivated { why } => ("deactivated", Some(why)),
            PsaUserLeft::Kept => ("kept", None),
            PsaUserLeft::Failed { why } => ("failed", Some(why)),
        };
        Self { outcome, why }
    }
}

/// Deletes an agent and says what became of its PSA user. What it did stays on record.
#[utoipa::path(delete, path = "/agents/{id}", tag = "agents", operation_id = "deleteAgent", params(("id" = String, Path, description = "Its id or its name.")), responses((status = 200, description = "What was asked for, as it is now.", body = Data<Deleted>), Problems))]
async fn remove(who: Who, Path(id): Path<String>) -> Result<Json<Data<Deleted>>, Problem> {
    let deleted = who.admin.delete_agent(&who.actor, &id).await?;
    let data = Deleted { agent: shown(&who, deleted.row), psa_user: deleted.psa_user.into() };
    Ok(Json(Data { data }))
}

/// A role of the agent's PSA user.
#[derive(Serialize, ToSchema)]
struct AgentRole {
    role_id: String,
    role_name: String,
    description: Option<String>,
}

/// The roles of an agent's PSA user, as the PSA has them now.
#[utoipa::path(get, path = "/agents/{id}/roles", tag = "agents", operation_id = "getAgentRoles", params(("id" = String, Path, description = "Its id or its name.")), responses((status = 200, description = "What was asked for, as it is now.", body = Data<Vec<AgentRole>>), Problems))]
async fn roles(who: Who, Path(id): Path<String>) -> Result<Json<Data<Vec<AgentRole>>>, Problem> {
    let all = who.admin.agent_roles(&id).await?.into_iter();
    let all = all.map(|role| AgentRole {
        role_id: role.role_id,
        role_name: role.name,
        description: role.description,
    });
    Ok(Json(Data { data: all.collect() }))
}

/// The roles that an agent's PSA user is to have.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RoleSet {
    /// All of them, each by its name or its id.
    roles: Vec<String>,
}

/// Gives an agent's PSA user exactly these roles. An agent without a user gets one.
#[utoipa::path(put, path = "/agents/{id}/roles", tag = "agents", operation_id = "setAgentRoles", params(("id" = String, Path, description = "Its id or its name.")), request_body = RoleSet, responses((status = 200, description = "What was asked for, as it is now.", body = Data<Agent>), Problems))]
async fn set_roles(
    who: Who,
    Path(id): Path<String>,
    Body(set): Body<RoleSet>,
) -> Result<Json<Data<Agent>>, Problem> {
    let row = who.admin.set_agent_roles(&who.actor, &id, &set.roles).await?;
    Ok(Json(Data { data: shown(&who, row) }))
}

/// Has every process make a new PSA key for the agent and revoke its old one; no call fails meanwhile.
#[utoipa::path(post, path = "/agents/{id}/keys", tag = "agents", operation_id = "rotateKeys", params(("id" = String, Path, description = "Its id or its name.")), responses((status = 200, description = "What was asked for, as it is now.", body = Data<Agent>), Problems))]
async fn rotate(who: Who, Path(id): Path<String>) -> Result<Json<Data<Agent>>, Problem> {
    let row = who.admin.rotate_keys(&who.actor, &id).await?;
    Ok(Json(Data { data: shown(&who, row) }))
}

/// How many keys were revoked.
#[derive(Serialize, ToSchema)]
struct Revoked {
    revoked: u64,
}

/// Ends all PSA keys of the agent now, for one that may have been seen; its next call has a new one.
#[utoipa::path(delete, path = "/agents/{id}/keys", tag = "agents", operation_id = "revokeKeys", params(("id" = String, Path, description = "Its id or its name.")), responses((status = 200, description = "What was asked for, as it is now.", body = Data<Revoked>), Problems))]
async fn revoke(who: Who, Path(id): Path<String>) -> Result<Json<Data<Revoked>>, Problem> {
    let revoked = who.admin.revoke_keys(&who.actor, &id).await?;
    Ok(Json(Data { data: Revoked { revoked } }))
}

//! Tenants, and the tokens with which they are administered: for those who administer every tenant.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Web;
use super::body::Body;
use super::problem::{Problem, Problems};
use super::who::Everywhere;
use super::wire::{Data, given, said, time};
use crate::gate::admin::{AdminTokenRow, TenantChange, TenantRow, TenantSpec, TokenSpec};
use crate::units::Span;

/// The routes of tenants and of admin tokens.
pub fn new() -> OpenApiRouter<Arc<Web>> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(show, change))
        .routes(routes!(tokens, create))
        .routes(routes!(revoke))
}

/// A tenant.
#[derive(Serialize, ToSchema)]
struct Tenant {
    id: String,
    name: String,
    /// Its MCP endpoint is below `/t/{slug}`.
    slug: Option<String>,
    /// Or it has this host to itself.
    host: Option<String>,
    /// Its id in the PSA.
    psa_tenant: Option<String>,
    /// The PSA user under whom its catalogue is fetched.
    catalog_user: Option<String>,
    /// Whether its MCP endpoint answers.
    mcp: bool,
    /// Whether its console answers; this interface does in any case.
    console: bool,
    /// False: nothing of it answers to agents.
    active: bool,
    /// `config` or `admin`.
    managed_by: &'static str,
    created_at: String,
}

impl From<TenantRow> for Tenant {
    fn from(row: TenantRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            slug: row.slug,
            host: row.host,
            psa_tenant: row.psa_tenant,
            catalog_user: row.catalog_user,
            mcp: row.mcp,
            console: row.console,
            active: row.active,
            managed_by: row.managed_by.as_str(),
            created_at: time(row.created_at),
        }
    }
}

/// All tenants, the main one first.
#[utoipa::path(get, path = "/tenants", tag = "tenants", operation_id = "listTenants", responses((status = 200, description = "What was asked for, as it is now.", body = Data<Vec<Tenant>>), Problems))]
async fn list(State(web): State<Arc<Web>>, _: Everywhere) -> Result<Json<Data<Vec<Tenant>>>, Problem> {
    let rows = web.admins.tenants().await?;
    Ok(Json(Data { data: rows.into_iter().map(Tenant::from).collect() }))
}

/// A new tenant; it needs a slug or a host.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct NewTenant {
    /// Without it the slug.
    id: Option<String>,
    #[schema(required)]
    name: String,
    slug: Option<String>,
    host: Option<String>,
    #[serde(alias = "psa_tenant")]
    psa_tenant: Option<String>,
    #[serde(alias = "catalog_user")]
    catalog_user: Option<String>,
}

/// Adds a tenant; running servers serve it within a second.
#[utoipa::path(post, path = "/tenants", tag = "tenants", operation_id = "addTenant", request_body = NewTenant, responses((status = 201, description = "What was made, as it is now.", body = Data<Tenant>), Problems))]
async fn add(
    State(web): State<Arc<Web>>,
    Everywhere(who): Everywhere,
    Body(new): Body<NewTenant>,
) -> Result<(StatusCode, Json<Data<Tenant>>), Problem> {
    let spec = TenantSpec {
        id: said(new.id),
        name: new.name,
        slug: said(new.slug),
        host: said(new.host),
        psa_tenant: said(new.psa_tenant),
        catalog_user: said(new.catalog_user),
    };
    let row = web.admins.add_tenant(&who.actor, &spec).await?;
    Ok((StatusCode::CREATED, Json(Data { data: row.into() })))
}

/// One tenant, by its id or its slug.
#[utoipa::path(get, path = "/tenants/{id}", tag = "tenants", operation_id = "getTenant", params(("id" = String, Path, description = "Its id or its slug.")), responses((status = 200, description = "What was asked for, as it is now.", body = Data<Tenant>), Problems))]
async fn show(
    State(web): State<Arc<Web>>,
    _: Everywhere,
    Path(id): Path<String>,
) -> Result<Json<Data<Tenant>>, Problem> {
    let row = web.admins.tenant(&id).await?;
    Ok(Json(Data { data: row.into() }))
}

/// What changes of a tenant; what is left out stays.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct TenantPatch {
    name: Option<String>,
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    slug: Option<Option<String>>,
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    host: Option<Option<String>>,
    #[serde(alias = "psa_tenant", deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    psa_tenant: Option<Option<String>>,
    #[serde(alias = "catalog_user", deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    catalog_user: Option<Option<String>>,
    /// Whether its MCP endpoint answers.
    mcp: Option<bool>,
    /// Whether its console answers.
    console: Option<bool>,
    /// False: nothing of it answers to agents.
    active: Option<bool>,
}

/// Changes a tenant; running servers follow within a second.
#[utoipa::path(patch, path = "/tenants/{id}", tag = "tenants", operation_id = "changeTenant", params(("id" = String, Path, description = "Its id or its slug.")), request_body = TenantPatch, responses((status = 200, description = "What was asked for, as it is now.", body = Data<Tenant>), Problems))]
async fn change(
    State(web): State<Arc<Web>>,
    Everywhere(who): Everywhere,
    Path(id): Path<String>,
    Body(patch): Body<TenantPatch>,
) -> Result<Json<Data<Tenant>>, Problem> {
    let change = TenantChange {
        name: patch.name,
        slug: patch.slug,
        host: patch.host,
        psa_tenant: patch.psa_tenant,
        catalog_user: patch.catalog_user,
        mcp: patch.mcp,
        console: patch.console,
        active: patch.active,
    };
    let row = web.admins.change_tenant(&who.actor, &id, &change).await?;
    Ok(Json(Data { data: row.into() }))
}

/// An administrator's token, without itself.
#[derive(Serialize, ToSchema)]
struct AdminToken {
    id: String,
    name: String,
    /// The tenant that it administers; null: every tenant.
    tenant: Option<String>,
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    last_used_at: Option<String>,
}

impl From<AdminTokenRow> for AdminToken {
    fn from(row: AdminTokenRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            tenant: row.tenant_id,
            created_at: time(row.created_at),
            expires_at: row.expires_at.map(time),
            revoked_at: row.revoked_at.map(time),
            last_used_at: row.last_used_at.map(time),
        }
    }
}

/// All administrators' tokens, the newest first.
#[utoipa::path(get, path = "/admin-tokens", tag = "tenants", operation_id = "listAdminTokens", responses((status = 200, description = "What was asked for, as it is now.", body = Data<Vec<AdminToken>>), Problems))]
async fn tokens(State(web): State<Arc<Web>>, _: Everywhere) -> Result<Json<Data<Vec<AdminToken>>>, Problem> {
    let rows = web.admins.admin_tokens().await?;
    Ok(Json(Data { data: rows.into_iter().map(AdminToken::from).collect() }))
}

/// A new administrator's token.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewToken {
    /// For people, and for the record of what is done with it.
    name: String,
    /// The tenant that it administers, by id or slug; without it every tenant.
    tenant: Option<String>,
    /// How long it is good, such as `90d`; without it until it is revoked.
    #[schema(value_type = Option<String>)]
    expires: Option<Span>,
}

/// A new token, shown this once.
#[derive(Serialize, ToSchema)]
struct CreatedToken {
    #[serde(flatten)]
    about: AdminToken,
    /// The token itself; only its hash is kept.
    token: String,
}

/// Makes an administrator's token.
#[utoipa::path(post, path = "/admin-tokens", tag = "tenants", operation_id = "createAdminToken", request_body = NewToken, responses((status = 201, description = "What was made, as it is now.", body = Data<CreatedToken>), Problems))]
async fn create(
    State(web): State<Arc<Web>>,
    Everywhere(who): Everywhere,
    Body(new): Body<NewToken>,
) -> Result<(StatusCode, Json<Data<CreatedToken>>), Problem> {
    let spec = TokenSpec { name: new.name, tenant: said(new.tenant), lifetime: new.expires };
    let (row, token) = web.admins.create_admin_token(&who.actor, &spec).await?;
    let data = CreatedToken { about: row.into(), token: token.expose().to_owned() };
    Ok((StatusCode::CREATED, Json(Data { data })))
}

/// Ends an administrator's token, by its id or its name, from the next request on.
#[utoipa::path(delete, path = "/admin-tokens/{id}", tag = "tenants", operation_id = "revokeAdminToken", params(("id" = String, Path, description = "Its id or its name.")), responses((status = 200, description = "What was asked for, as it is now.", body = Data<AdminToken>), Problems))]
async fn revoke(
    State(web): State<Arc<Web>>,
    Everywhere(who): Everywhere,
    Path(id): Path<String>,
) -> Result<Json<Data<AdminToken>>, Problem> {
    let row = web.admins.revoke_admin_token(&who.actor, &id).await?;
    Ok(Json(Data { data: row.into() }))
}

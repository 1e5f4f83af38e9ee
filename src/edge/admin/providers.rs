//! Identity providers: the PSA's contract of them (list, add), and what it lacks (show, change, remove).

use std::sync::Arc;

use axum::Json;
use axum::extract::Path;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Web;
use super::body::{Asked, Body};
use super::problem::{ContractErrors, Problem, Problems};
use super::who::Who;
use super::wire::{Data, Done, given, said, time};
use crate::gate::admin::{IssuerRow, PlatformProvider};
use crate::identity::IssuerAlias;
use crate::identity::preset::{Preset, ProviderChange, ProviderSpec};
use crate::identity::scopes::RequiredScopes;

/// What the PSA's clients know.
pub fn contract() -> OpenApiRouter<Arc<Web>> {
    OpenApiRouter::new().routes(routes!(list, add)).routes(routes!(suggest)).routes(routes!(platform))
}

/// What is new.
pub fn new() -> OpenApiRouter<Arc<Web>> {
    OpenApiRouter::new().routes(routes!(show, change, remove))
}

/// A trusted identity provider.
#[derive(Debug, Serialize, ToSchema)]
struct Provider {
    id: String,
    /// The id of the tenant.
    tenant: String,
    /// The `iss` of its tokens.
    issuer: String,
    /// Where its keys are; null: found by discovery.
    jwks_uri: Option<String>,
    /// The first of `audiences`.
    audience: Option<String>,
    /// False: its tokens are refused.
    active: bool,
    created_at: String,
    updated_at: String,
    /// The claim that names the agent.
    subject_claim: String,
    kind: Kind,
    /// The Entra directory, of kind `microsoft`.
    entra_tenant_id: Option<String>,
    /// Accepted `aud` values beside the URL of the MCP endpoint, which is always accepted.
    audiences: Vec<String>,
    /// Further `iss` of the same issuer.
    aliases: Vec<Alias>,
    /// How old a token may be, in seconds.
    max_age: Option<i64>,
    /// How far its clock may be off, in seconds.
    leeway: i64,
    required_scopes: Scopes,
    /// Whether its tokens must be bound to a TLS client certificate.
    require_bound_tokens: bool,
    /// `config`: kept by the configuration file, and changed only there; `admin`: kept here.
    managed_by: &'static str,
}

/// What is known beforehand of a provider.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Google,
    Microsoft,
    #[default]
    Custom,
}

/// Another `iss` of the same issuer, as Entra has one for each version of its tokens.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct Alias {
    issuer: String,
    /// The claim that names the agent in its tokens; null: the same as in the others.
    #[serde(default, alias = "subjectClaim")]
    subject_claim: Option<String>,
}

/// What tokens must have been granted, by what a call does.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct Scopes {
    read: Vec<String>,
    write: Vec<String>,
    destroy: Vec<String>,
}

impl Kind {
    fn preset(self) -> Preset {
        match self {
            Self::Google => Preset::Google,
            Self::Microsoft => Preset::Microsoft,
            Self::Custom => Preset::Custom,
        }
    }

    fn of(word: &str) -> Self {
        match Preset::parse(word) {
            Some(Preset::Google) => Self::Google,
            Some(Preset::Microsoft) => Self::Microsoft,
            Some(Preset::Custom) | None => Self::Custom,
        }
    }
}

impl From<Alias> for IssuerAlias {
    fn from(alias: Alias) -> Self {
        Self { issuer: alias.issuer, subject_claim: alias.subject_claim }
    }
}

impl From<Scopes> for RequiredScopes {
    fn from(scopes: Scopes) -> Self {
        Self { read: scopes.read, write: scopes.write, destroy: scopes.destroy }
    }
}

fn shown(who: &Who, row: IssuerRow) -> Provider {
    let alias = |alias: IssuerAlias| Alias { issuer: alias.issuer, subject_claim: alias.subject_claim };
    let RequiredScopes { read, write, destroy } = row.required_scopes;
    Provider {
        id: row.id,
        tenant: who.admin.tenant.clone(),
        audience: row.audiences.first().cloned(),
        issuer: row.issuer,
        jwks_uri: row.jwks_uri,
        active: row.active,
        created_at: time(row.created_at),
        updated_at: time(row.updated_at),
        subject_claim: row.subject_claim,
        kind: Kind::of(&row.kind),
        entra_tenant_id: row.entra_tenant,
        audiences: row.audiences,
        aliases: row.aliases.into_iter().map(alias).collect(),
        max_age: row.max_age,
        leeway: row.leeway,
        required_scopes: Scopes { read, write, destroy },
        require_bound_tokens: row.require_bound_tokens,
        managed_by: row.managed_by.as_str(),
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Only those that are on, or off.
    active: Option<bool>,
}

/// All identity providers, by issuer.
#[utoipa::path(get, path = "/idp-providers", tag = "contract", operation_id = "listProviders", params(ListQuery), responses((status = 200, description = "What was asked for, as it is now.", body = Data<Vec<Provider>>), ContractErrors))]
async fn list(who: Who, Asked(asked): Asked<ListQuery>) -> Result<Json<Data<Vec<Provider>>>, Problem> {
    let rows = who.admin.issuers().await?;
    let wanted = rows.into_iter().filter(|row| asked.active.is_none_or(|active| active == row.active));
    Ok(Json(Data { data: wanted.map(|row| shown(&who, row)).collect() }))
}

/// An identity provider that is to be trusted. Fields that are not known are passed over.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
struct NewProvider {
    kind: Option<Kind>,
    /// The directory's id, a GUID, for kind `microsoft`.
    #[serde(alias = "entra_tenant_id")]
    entra_tenant_id: Option<String>,
    /// The `iss` of its tokens, for kind `custom`.
    issuer: Option<String>,
    /// Where its keys are; without it they are found by discovery.
    #[serde(alias = "jwks_uri")]
    jwks_uri: Option<String>,
    /// An accepted `aud` beside the URL of the MCP endpoint.
    audience: Option<String>,
    /// Further ones.
    audiences: Option<Vec<String>>,
    /// The claim that names the agent; without it the kind's own.
    #[serde(alias = "subject_claim")]
    subject_claim: Option<String>,
    aliases: Option<Vec<Alias>>,
    /// How old a token may be, in seconds.
    #[serde(alias = "max_age")]
    max_age: Option<i64>,
    /// How far its clock may be off, in seconds; without it 60.
    leeway: Option<i64>,
    #[serde(alias = "required_scopes")]
    required_scopes: Option<Scopes>,
    /// Refuse tokens that are not bound to a TLS client certificate.
    #[serde(alias = "require_bound_tokens")]
    require_bound_tokens: Option<bool>,
}

impl NewProvider {
    fn spec(self) -> ProviderSpec {
        let usual = ProviderSpec::default();
        let mut audiences: Vec<String> = said(self.audience).into_iter().collect();
        audiences.extend(self.audiences.into_iter().flatten());
        ProviderSpec {
            kind: self.kind.unwrap_or_default().preset(),
            entra_tenant_id: said(self.entra_tenant_id),
            issuer: said(self.issuer),
            jwks_uri: said(self.jwks_uri),
            audiences,
            subject_claim: said(self.subject_claim),
            aliases: self.aliases.into_iter().flatten().map(IssuerAlias::from).collect(),
            max_age: self.max_age,
            leeway: self.leeway.unwrap_or(usual.leeway),
            required_scopes: self.required_scopes.unwrap_or_default().into(),
            require_bound_tokens: self.require_bound_tokens.unwrap_or_default(),
        }
    }
}

/// Trusts an identity provider, or replaces what is known of it, after its metadata and keys were fetched once.
#[utoipa::path(post, path = "/idp-providers", tag = "contract", operation_id = "addProvider", request_body = NewProvider, responses((status = 201, description = "What was made, as it is now.", body = Data<Provider>), ContractErrors))]
async fn add(who: Who, Body(new): Body<NewProvider>) -> Result<(StatusCode, Json<Data<Provider>>), Problem> {
    let spec = new.spec();
    if spec.kind == Preset::Microsoft && spec.entra_tenant_id.is_none() {
        let told = "The Microsoft preset requires \"entraTenantId\".";
        return Err(Problem::new(StatusCode::BAD_REQUEST, told));
    }
    if spec.kind == Preset::Custom && spec.issuer.is_none() {
        let told = "A custom IdP requires \"issuer\"; its keys are found by discovery where \"jwksUri\" is left out.";
        return Err(Problem::new(StatusCode::BAD_REQUEST, told));
    }
    let (row, _) = who.admin.add_provider(&who.actor, &spec, true).await?;
    Ok((StatusCode::CREATED, Json(Data { data: shown(&who, row) })))
}

/// One identity provider, by its id.
#[utoipa::path(get, path = "/idp-providers/{id}", tag = "providers", operation_id = "getProvider", params(("id" = String, Path, description = "Its id.")), responses((status = 200, description = "What was asked for, as it is now.", body = Data<Provider>), Problems))]
async fn show(who: Who, Path(id): Path<String>) -> Result<Json<Data<Provider>>, Problem> {
    let row = who.admin.issuer(&id).await?;
    Ok(Json(Data { data: shown(&who, row) }))
}

/// What changes of an identity provider; what is left out stays.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct ProviderPatch {
    /// Null: found by discovery again.
    #[serde(alias = "jwks_uri", deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    jwks_uri: Option<Option<String>>,
    /// All of them.
    audiences: Option<Vec<String>>,
    #[serde(alias = "subject_claim")]
    subject_claim: Option<String>,
    /// All of them.
    aliases: Option<Vec<Alias>>,
    /// Null: no limit any more.
    #[serde(alias = "max_age", deserialize_with = "given")]
    #[schema(value_type = Option<i64>)]
    max_age: Option<Option<i64>>,
    leeway: Option<i64>,
    #[serde(alias = "required_scopes")]
    required_scopes: Option<Scopes>,
    #[serde(alias = "require_bound_tokens")]
    require_bound_tokens: Option<bool>,
    /// False: its tokens are refused from the next call on.
    active: Option<bool>,
}

/// Changes an identity provider.
#[utoipa::path(patch, path = "/idp-providers/{id}", tag = "providers", operation_id = "changeProvider", params(("id" = String, Path, description = "Its id.")), request_body = ProviderPatch, responses((status = 200, description = "What was asked for, as it is now.", body = Data<Provider>), Problems))]
async fn change(
    who: Who,
    Path(id): Path<String>,
    Body(patch): Body<ProviderPatch>,
) -> Result<Json<Data<Provider>>, Problem> {
    let change = ProviderChange {
        jwks_uri: patch.jwks_uri,
        audiences: patch.audiences,
        subject_claim: patch.subject_claim,
        aliases: patch.aliases.map(|all| all.into_iter().map(IssuerAlias::from).collect()),
        max_age: patch.max_age,
        leeway: patch.leeway,
        required_scopes: patch.required_scopes.map(RequiredScopes::from),
        require_bound_tokens: patch.require_bound_tokens,
        active: patch.active,
    };
    let row = who.admin.change_provider(&who.actor, &id, &change).await?;
    Ok(Json(Data { data: shown(&who, row) }))
}

/// Trusts an identity provider no longer. Its agents stay, and are refused until it is trusted again.
#[utoipa::path(delete, path = "/idp-providers/{id}", tag = "providers", operation_id = "removeProvider", params(("id" = String, Path, description = "Its id.")), responses((status = 200, description = "It is done.", body = Done), Problems))]
async fn remove(who: Who, Path(id): Path<String>) -> Result<Json<Done>, Problem> {
    who.admin.remove_provider(&who.actor, &id).await?;
    Ok(Json(Done { ok: true }))
}

/// What the PSA knows that could be trusted.
#[derive(Serialize, ToSchema)]
struct Suggested {
    #[serde(skip_serializing_if = "Option::is_none")]
    microsoft: Option<SuggestedDirectory>,
}

/// The Microsoft directory that the PSA is connected with.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SuggestedDirectory {
    entra_tenant_id: String,
    display_name: String,
    /// `microsoft_profile`: an existing connection of the PSA.
    source: &'static str,
}

/// Providers that the PSA has a connection with already.
#[utoipa::path(get, path = "/idp-suggestions", tag = "contract", operation_id = "suggestProviders", responses((status = 200, description = "What was asked for, as it is now.", body = Data<Suggested>), ContractErrors))]
async fn suggest(who: Who) -> Result<Json<Data<Suggested>>, Problem> {
    let found = who.admin.suggestions().await?;
    let microsoft = found.microsoft.map(|connection| SuggestedDirectory {
        entra_tenant_id: connection.entra_tenant_id,
        display_name: connection.display_name,
        source: "microsoft_profile",
    });
    Ok(Json(Data { data: Suggested { microsoft } }))
}

/// A provider that is trusted without being added.
#[derive(Serialize, ToSchema)]
struct Platform {
    provider: Kind,
    label: &'static str,
    /// Null where each directory has its own.
    issuer: Option<&'static str>,
    available: bool,
}

impl From<PlatformProvider> for Platform {
    fn from(provider: PlatformProvider) -> Self {
        let PlatformProvider { provider, label, issuer } = provider;
        Self { provider: Kind::of(provider.as_str()), label, issuer, available: true }
    }
}

/// Providers that are trusted through the shared application, where one is configured.
#[utoipa::path(get, path = "/platform-providers", tag = "contract", operation_id = "listPlatformProviders", responses((status = 200, description = "What was asked for, as it is now.", body = Data<Vec<Platform>>), ContractErrors))]
async fn platform(who: Who) -> Json<Data<Vec<Platform>>> {
    Json(Data { data: who.admin.platform_providers().into_iter().map(Platform::from).collect() })
}

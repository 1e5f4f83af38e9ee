//! All routes in one router, and their description as OpenAPI 3.1 made of the same: a route that is not described
//! cannot be served.

use std::sync::Arc;

use axum::extract::State;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::{Json, Router};
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Web;
use super::problem::{ContractError, Told, as_contract};
use super::{agent, agents, export, guard, providers, record, tenants, trial, who};

/// Where all of it is.
const BASE: &str = "/api/v1/mcp";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Sidegate administration",
        description = "Identity providers, agents, roles and the record of one tenant, and the tenants themselves. \
            Routes tagged `contract` answer what the PSA's own MCP server answers, and say errors as it does.",
    ),
    components(schemas(Told, ContractError)),
    modifiers(&Schemes),
    security(("token" = []), ("key" = [])),
    tags(
        (name = "contract", description = "What the PSA's own MCP server has too."),
        (name = "providers", description = "Identity providers."),
        (name = "agents", description = "Agents, their roles and their keys."),
        (name = "trials", description = "Trying things out; nothing is changed."),
        (name = "record", description = "What happened."),
        (name = "tenants", description = "For administrators of every tenant."),
        (name = "meta", description = "About this interface."),
    ),
)]
struct Api;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "An administrator's token, or a PSA key whose owner is an administrator there.",
            ))
            .build();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
        let key = ApiKey::Header(ApiKeyValue::with_description("x-api-key", "The same in another header."));
        components.add_security_scheme("key", SecurityScheme::ApiKey(key));
    }
}

/// The description of this interface.
#[utoipa::path(get, path = "/openapi.json", tag = "meta", operation_id = "getDescription", responses((status = 200, description = "What was asked for, as it is now.", body = serde_json::Value, description = "OpenAPI 3.1.")))]
async fn describe(State(web): State<Arc<Web>>) -> impl IntoResponse {
    Json(web.document.clone())
}

/// The routes and their description.
fn routes() -> (OpenApiRouter<Arc<Web>>, OpenApiRouter<Arc<Web>>) {
    let contract =
        OpenApiRouter::new().merge(providers::contract()).merge(agents::contract()).merge(record::contract());
    let new = OpenApiRouter::new()
        .merge(providers::new())
        .merge(agent::new())
        .merge(record::new())
        .merge(export::new())
        .merge(tenants::new())
        .merge(trial::new())
        .routes(routes!(describe));
    (contract, new)
}

/// The description of all routes.
pub fn document() -> Document {
    let (contract, new) = routes();
    let all = OpenApiRouter::with_openapi(Api::openapi()).nest(BASE, contract.merge(new));
    all.into_openapi()
}

/// What is served, behind the guard; nobody is let in who is not known.
pub fn router(web: Arc<Web>) -> Router {
    let (contract, new) = routes();
    let contract: Router<Arc<Web>> = contract.into();
    let new: Router<Arc<Web>> = new.into();
    let known = || from_fn_with_state(web.clone(), who::authenticate);
    let contract = contract.layer(known()).layer(from_fn(as_contract));
    let served = Router::new().nest(BASE, contract.merge(new.layer(known())));
    served.layer(from_fn_with_state(web.clone(), guard::watch)).with_state(web)
}

//! Which of the demo PSA's routes a request is for, and what the handler is handed.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::http::Method;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::answer::{Answer, Outcome};
use super::resources::{self, Resource, Style};
use super::world::{World, stamp};
use super::{engine, listing, special, tickets, workflow};
use crate::clock::Millis;

/// One request, authenticated, with the world it acts on.
pub(super) struct Call<'a> {
    pub world: &'a mut World,
    pub now: Millis,
    pub user: String,
    /// Template names to decoded values.
    pub params: BTreeMap<&'static str, String>,
    /// Query parameters; of a repeated one the last.
    pub query: BTreeMap<String, String>,
    pub body: Vec<u8>,
    pub path: String,
    pub idempotency: Option<String>,
}

impl Call<'_> {
    /// The path parameter `name`, which must be a UUID.
    pub fn uuid(&self, name: &str, noun: &str) -> Result<String, Answer> {
        let value = self.params.get(name).map(String::as_str).unwrap_or_default();
        match Uuid::try_parse(value) {
            Ok(id) if value.len() == 36 => Ok(id.to_string()),
            _ => Err(Answer::error(400, "VALIDATION_ERROR", &format!("Invalid {noun} ID format"))),
        }
    }

    /// The body as an object; anything else, broken JSON included, counts as `{}`.
    pub fn object(&self) -> Map<String, Value> {
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(object)) => object,
            _ => Map::new(),
        }
    }

    /// The body as an object; broken JSON is the 500 that AlgaPSA answers on some routes.
    pub fn object_or_500(&self) -> Result<Map<String, Value>, Answer> {
        serde_json::from_slice(&self.body).map_err(|_| Answer::internal())
    }

    /// The current time as the PSA writes it.
    pub fn stamp(&self) -> String {
        stamp(self.now)
    }
}

/// What the engine does for a resource's route.
#[derive(Clone, Copy)]
pub(super) enum Verb {
    List,
    Get,
    Create,
    Update,
    Delete,
}

pub(super) enum Run {
    Engine(&'static Resource, Verb),
    Hand(fn(&mut Call<'_>) -> Outcome),
}

pub(super) struct Route {
    pub method: Method,
    pub template: &'static str,
    /// The action and resource that the caller must hold.
    pub need: Option<(&'static str, &'static str)>,
    pub run: Run,
    pub style: Style,
    /// Whether answers carry the rate limit headers.
    pub counted: bool,
}

/// What a path and a method lead to.
pub(super) enum Found<'a> {
    Route(&'a Route, BTreeMap<&'static str, String>),
    OtherMethod,
    Nothing,
}

/// A hand-written route: method, template, needed permission, handler.
pub(super) type Hand =
    (Method, &'static str, Option<(&'static str, &'static str)>, fn(&mut Call<'_>) -> Outcome);

/// The one table of routes of this process.
pub(super) static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(routes);

/// Every route, those with fewer parameters first, so that `/tickets/stats` wins over `/tickets/{id}`.
fn routes() -> Vec<Route> {
    let mut routes = Vec::new();
    for resource in resources::all() {
        // Leaked once a process: the table lives in a static.
        let one: &'static str = Box::leak(format!("{}/{{id}}", resource.path).into_boxed_str());
        let served = [
            ('l', Method::GET, resource.path, "read", resource.read, Verb::List),
            ('g', Method::GET, one, "read", resource.read, Verb::Get),
            ('c', Method::POST, resource.path, "create", resource.write, Verb::Create),
            ('u', Method::PUT, one, "update", resource.write, Verb::Update),
            ('d', Method::DELETE, one, "delete", resource.write, Verb::Delete),
        ];
        for (letter, method, template, action, on, verb) in served {
            if resource.verbs.contains(letter) {
                let counted = !matches!(verb, Verb::Update) && resource.table != "invoices";
                let run = Run::Engine(resource, verb);
                routes.push(Route {
                    method,
                    template,
                    need: Some((action, on)),
                    run,
                    style: resource.style,
                    counted,
                });
            }
        }
    }
    let by_hand = special::routes().into_iter().chain(tickets::routes()).chain(workflow::routes());
    for (method, template, need, run) in by_hand {
        let style = if template.starts_with("/api/v1/assets") && !template.ends_with("/export") {
            Style::Success
        } else {
            Style::Plain
        };
        let counted =
            method == Method::GET && !template.ends_with("/comments") && !template.contains("/meta/");
        routes.push(Route { method, template, need, run: Run::Hand(run), style, counted });
    }
    routes.sort_by_key(|route| route.template.matches('{').count());
    routes
}

impl Route {
    pub fn run(&self, call: &mut Call<'_>) -> Outcome {
        match self.run {
            Run::Engine(resource, Verb::List) => listing::list(call, resource, None),
            Run::Engine(resource, Verb::Get) => engine::get(call, resource),
            Run::Engine(resource, Verb::Create) => engine::create(call, resource),
            Run::Engine(resource, Verb::Update) => engine::update(call, resource),
            Run::Engine(resource, Verb::Delete) => engine::delete(call, resource),
            Run::Hand(run) => run(call),
        }
    }
}

/// Looks `path` up; a path that only other methods serve is [`Found::OtherMethod`].
pub(super) fn find<'a>(routes: &'a [Route], method: &Method, path: &str) -> Found<'a> {
    let mut known: Option<&'static str> = None;
    for route in routes {
        if known.is_some_and(|template| template != route.template) {
            continue;
        }
        let Some(params) = fit(route.template, path) else { continue };
        if route.method == *method {
            return Found::Route(route, params);
        }
        known = Some(route.template);
    }
    if known.is_some() { Found::OtherMethod } else { Found::Nothing }
}

/// The values of the template's parameters where `path` fits it.
fn fit(template: &'static str, path: &str) -> Option<BTreeMap<&'static str, String>> {
    let mut params = BTreeMap::new();
    let mut given = path.split('/');
    for part in template.split('/') {
        let segment = given.next()?;
        match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) if !segment.is_empty() => {
                let value = percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned();
                params.insert(name, value);
            }
            None if part == segment => {}
            Some(_) | None => return None,
        }
    }
    given.next().is_none().then_some(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_segment_wins_over_a_parameter() {
        let routes = &ROUTES;
        let Found::Route(route, _) = find(routes, &Method::GET, "/api/v1/tickets/stats") else {
            panic!("not found")
        };
        assert_eq!(route.template, "/api/v1/tickets/stats");
        let Found::Route(route, params) = find(routes, &Method::GET, "/api/v1/tickets/a%2Fb") else {
            panic!("not found")
        };
        assert_eq!((route.template, params["id"].as_str()), ("/api/v1/tickets/{id}", "a/b"));
    }

    #[test]
    fn a_known_path_with_another_method_is_told_apart_from_an_unknown_path() {
        let routes = &ROUTES;
        assert!(matches!(find(routes, &Method::PATCH, "/api/v1/tickets"), Found::OtherMethod));
        assert!(matches!(find(routes, &Method::GET, "/api/v1/nothing"), Found::Nothing));
        assert!(matches!(find(routes, &Method::GET, "/api/v1/tickets/"), Found::Nothing));
    }
}

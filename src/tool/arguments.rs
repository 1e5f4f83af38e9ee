//! The arguments of `call_api_endpoint` as they were meant: under other names, in another group, at the top, as text.
//!
//! Forgives form where one meaning is possible, tells what it took for what, and leaves all else to be complained
//! about. Neither method nor path ever come from here.

use serde_json::{Map, Value};

use super::catalog::{Entry, Param, Place};
use super::lenient::Reading;
use super::outcome::Wish;
use super::rest::Verb;
use super::rewrite::CallArgs;
use super::schema::Complaint;
use super::text::{did_you_mean, excerpt, listed, quoted};
use super::value;

/// The most names that are complained about: an answer must not grow with what it refuses.
const MOST_NAMES: usize = 50;

/// The longest id that an entry has, in bytes.
const LONGEST_ID: usize = 200;

/// The groups, each with the other names that it is given.
const GROUPS: [(&str, &[&str]); 4] =
    [("path", &["pathParams"]), ("query", &[]), ("headers", &[]), ("body", &["data", "payload"])];

/// Arguments that are no parameter's name.
const OWN: [&str; 9] =
    ["entryId", "method", "path", "query", "headers", "body", "fields", "plain_text", "parameters"];

/// Where a name is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spot {
    Of(Place),
    Body,
}

impl Spot {
    const fn group(self) -> &'static str {
        match self {
            Self::Of(Place::Path) => "path",
            Self::Of(Place::Query) => "query",
            Self::Of(Place::Header) => "headers",
            Self::Body => "body",
        }
    }
}

/// The entry that is to be called, also under another spelling of `entryId`.
pub(super) fn entry_id(given: &Map<String, Value>) -> Result<&str, &'static str> {
    let mut others = given.iter().filter(|(name, value)| is_entry_id(name) && !value.is_null());
    let other = || others.next().filter(|_| others.next().is_none()).map(|(_, value)| value);
    match given.get("entryId").filter(|id| !id.is_null()).or_else(other) {
        None => Err("is required; find it with search_api_registry and copy it exactly"),
        Some(Value::String(id)) if id.is_empty() => Err("must not be empty"),
        Some(Value::String(id)) if id.len() > LONGEST_ID => Err("must have at most 200 characters"),
        Some(Value::String(id)) => Ok(id),
        Some(_) => Err("must be a string"),
    }
}

/// `entry_id`, `EntryId` and the like.
fn is_entry_id(name: &str) -> bool {
    name.len() <= 10 && name.replace(['_', '-'], "").eq_ignore_ascii_case("entryid")
}

/// Reads `given` for `entry`. What cannot be read is among the complaints of what comes back.
pub(super) fn understood(entry: &Entry, given: &Map<String, Value>) -> CallArgs {
    let mut call = Understanding { entry, args: CallArgs::default(), loose: Vec::new() };
    call.options(given);
    call.groups(given);
    call.misplaced();
    call.body_form();
    call.members_of_the_body();
    call.place_loose();
    call.values();
    call.args
}

struct Understanding<'a> {
    entry: &'a Entry,
    args: CallArgs,
    /// Names in no group, with the field they were given as.
    loose: Vec<(String, String, Value)>,
}

impl Understanding<'_> {
    fn complain(&mut self, field: impl Into<String>, message: impl Into<String>) {
        if self.args.complaints.len() < MOST_NAMES {
            self.args.complaints.push(Complaint::new(field, message));
        }
    }

    fn note(&mut self, note: String) {
        self.args.notes.push(note);
    }

    /// What is said about the call itself and about its answer.
    fn options(&mut self, given: &Map<String, Value>) {
        match given.get("method") {
            Some(Value::String(method)) if !method.is_empty() => self.args.method = Some(method.clone()),
            None | Some(Value::Null | Value::String(_)) => {}
            Some(_) => self.complain("method", "must be a string; leave `method` out"),
        }
        let mut wish = Wish::default();
        match given.get("fields") {
            None | Some(Value::Null) => {}
            Some(Value::String(names)) => wish.fields = names.split(',').map(str::to_owned).collect(),
            Some(Value::Array(names)) if names.iter().all(Value::is_string) => {
                wish.fields = names.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            }
            Some(_) => {
                self.complain("fields", "must be a list of member names, such as [\"id\", \"client.name\"]")
            }
        }
        wish.fields.iter_mut().for_each(|name| *name = name.trim().to_owned());
        wish.fields.retain(|name| !name.is_empty());
        if wish.fields.len() > MOST_NAMES || wish.fields.iter().any(|name| name.len() > 200) {
            self.complain("fields", format!("must have at most {MOST_NAMES} names of at most 200 bytes"));
        }
        match given.get("plain_text") {
            None | Some(Value::Null) => {}
            Some(Value::Bool(plain)) => wish.plain_text = *plain,
            Some(Value::String(text)) if matches!(text.as_str(), "true" | "false") => {
                wish.plain_text = text == "true";
            }
            Some(_) => self.complain("plain_text", "must be true or false"),
        }
        self.args.answer = wish;
    }

    /// The groups under all their names; what is in none of them is loose.
    fn groups(&mut self, given: &Map<String, Value>) {
        for (group, aliases) in GROUPS {
            for name in std::iter::once(&group).chain(aliases) {
                // A parameter of this name that the entry declares is that parameter.
                let Some(value) = given.get(*name) else { continue };
                let declared = !self.spots(name).is_empty();
                if *name == group
                    && declared
                    && group != "body"
                    && !value.is_null()
                    && object(value).is_none()
                {
                    self.loose.push(((*name).to_owned(), (*name).to_owned(), value.clone()));
                } else if *name == group || !declared {
                    self.take(group, name, value);
                }
            }
        }
        let is_group =
            |name: &str| GROUPS.iter().any(|(group, aliases)| *group == name || aliases.contains(&name));
        let declared = !self.spots("parameters").is_empty();
        if let Some(parameters) = given.get("parameters").filter(|value| !value.is_null()) {
            match object(parameters) {
                _ if declared => {
                    self.loose.push(("parameters".into(), "parameters".into(), parameters.clone()));
                }
                Some(parameters) => {
                    for (name, value) in parameters {
                        let field = format!("parameters.{}", excerpt(&name, 80));
                        match GROUPS.iter().find(|(group, _)| *group == name && self.spots(group).is_empty())
                        {
                            Some((group, _)) => self.take(group, &field, &value),
                            None => self.loose.push((name, field, value)),
                        }
                    }
                }
                None => self.complain("parameters", "must be an object"),
            }
        }
        // Where it named the entry it names nothing else.
        let named = given.get("entryId").is_some_and(|id| !id.is_null());
        let own = |name: &str| OWN.contains(&name) || (!named && is_entry_id(name));
        for (name, value) in given.iter().filter(|(name, _)| !own(name)) {
            if !is_group(name) || !self.spots(name).is_empty() {
                self.loose.push((name.clone(), excerpt(name, 80), value.clone()));
            }
        }
    }

    fn take(&mut self, group: &'static str, name: &str, value: &Value) {
        if value.is_null() {
            return;
        }
        if name != group {
            self.note(format!("{name}: read as {group}"));
        }
        if group == "body" {
            match &self.args.body {
                Some(before) if before != value => {
                    self.complain(name, "is a second body; send one, as `body`");
                }
                _ => self.args.body = Some(value.clone()),
            }
            return;
        }
        let Some(members) = object(value) else {
            return self.complain(name, "must be an object");
        };
        if value.is_string() {
            self.note(format!("{name}: read as the JSON that it holds"));
        }
        for (member, value) in members {
            self.put(group, member, value, name);
        }
    }

    /// Puts a value where it belongs, if nothing else is there.
    fn put(&mut self, group: &'static str, name: String, value: Value, from: &str) {
        let members = match group {
            "path" => &mut self.args.path,
            "query" => &mut self.args.query,
            "headers" => &mut self.args.headers,
            _ => match self.args.body.get_or_insert_with(|| Value::Object(Map::new())) {
                Value::Object(members) => members,
                _ => return self.complain(from, "belongs into `body`, which must then be an object"),
            },
        };
        match members.get(&name).filter(|known| !known.is_null()) {
            Some(known) if *known != value => {
                let field = format!("{group}.{}", excerpt(&name, 80));
                self.complain(field, format!("is given twice with different values, here and as {from}"));
            }
            _ => {
                members.insert(name, value);
            }
        }
    }

    /// Everywhere that the entry declares `name`.
    fn spots(&self, name: &str) -> Vec<Spot> {
        let same = |param: &&Param| match param.place {
            Place::Header => param.name.eq_ignore_ascii_case(name),
            Place::Path | Place::Query => param.name == name,
        };
        let mut spots: Vec<Spot> =
            self.entry.params.iter().filter(same).map(|param| Spot::Of(param.place)).collect();
        spots.extend(self.entry.body_names().any(|known| known == name).then_some(Spot::Body));
        spots
    }

    /// Moves what is in a group that does not declare it to the only place that does.
    fn misplaced(&mut self) {
        for place in [Place::Path, Place::Query, Place::Header] {
            let here = Spot::Of(place);
            let group = match place {
                Place::Path => &self.args.path,
                Place::Query => &self.args.query,
                Place::Header => &self.args.headers,
            };
            let moving: Vec<(String, Spot)> = group
                .keys()
                .filter_map(|name| match self.spots(name).as_slice() {
                    [spot] if *spot != here => Some((name.clone(), *spot)),
                    _ => None,
                })
                .collect();
            for (name, spot) in moving {
                let group = match place {
                    Place::Path => &mut self.args.path,
                    Place::Query => &mut self.args.query,
                    Place::Header => &mut self.args.headers,
                };
                if let Some(value) = group.remove(&name) {
                    self.moved(format!("{}.{}", here.group(), excerpt(&name, 80)), spot, name, value);
                }
            }
        }
    }

    fn moved(&mut self, from: String, spot: Spot, name: String, value: Value) {
        self.note(format!("{from}: read as {}.{}", spot.group(), excerpt(&name, 80)));
        self.put(spot.group(), name, value, &from);
    }

    /// A body that was written down as a string, where a string is none.
    fn body_form(&mut self) {
        let Some(Value::String(text)) = &self.args.body else { return };
        let takes_text = self.entry.body_schema.as_ref().is_some_and(|schema| {
            let kinds = schema.get("type");
            kinds == Some(&Value::from("string"))
                || kinds
                    .and_then(Value::as_array)
                    .is_some_and(|kinds| kinds.iter().any(|kind| kind == "string"))
        });
        let read = serde_json::from_str(text).ok().filter(|read: &Value| read.is_object() || read.is_array());
        if let (false, Some(read)) = (takes_text, read) {
            self.note("body: read as the JSON that it holds".into());
            self.args.body = Some(read);
        }
    }

    /// Members of a body that belong elsewhere: all, where there is no body, and path variables that are missing.
    fn members_of_the_body(&mut self) {
        let declares = self.entry.body_names().next().is_some();
        let none = !self.entry.takes_body();
        let Some(Value::Object(members)) = &self.args.body else { return };
        let moving: Vec<(String, Spot)> = members
            .keys()
            .filter_map(|name| match self.spots(name).as_slice() {
                [spot @ Spot::Of(Place::Path)] if declares && !self.args.path.contains_key(name) => {
                    Some((name.clone(), *spot))
                }
                [spot] if none => Some((name.clone(), *spot)),
                _ => None,
            })
            .collect();
        for (name, spot) in moving {
            let members = self.args.body.as_mut().and_then(Value::as_object_mut);
            if let Some(value) = members.and_then(|members| members.remove(&name)) {
                self.moved(format!("body.{}", excerpt(&name, 80)), spot, name, value);
            }
        }
        if none && self.args.body.as_ref().is_some_and(|body| body.as_object().is_some_and(Map::is_empty)) {
            self.args.body = None;
        }
    }

    /// Puts what is in no group into the only place that declares it.
    fn place_loose(&mut self) {
        for (name, field, value) in std::mem::take(&mut self.loose) {
            match self.spots(&name).as_slice() {
                [spot] => self.moved(field, *spot, name, value),
                [] => {
                    let entry = self.entry;
                    let params = entry.params.iter().map(|param| param.name.as_str());
                    let declared: Vec<&str> = params.chain(entry.body_names()).collect();
                    let near = did_you_mean(&name, declared.iter().copied().chain(OWN));
                    let declared = listed(declared, 20);
                    let message = format!(
                        "{} is not declared here, as an argument or by this endpoint{near} (declared: {declared})",
                        quoted(&name)
                    );
                    self.complain(field, message);
                }
                spots => {
                    let places: Vec<String> =
                        spots.iter().map(|spot| quoted(&format!("{}.{name}", spot.group()))).collect();
                    self.complain(field, format!("could be {}: say which", places.join(" or ")));
                }
            }
        }
    }

    /// Values that are written in another form than the schema's.
    fn values(&mut self) {
        let entry = self.entry;
        for param in &entry.params {
            let (group, name) = match param.place {
                Place::Path => (&mut self.args.path, "path"),
                Place::Query => (&mut self.args.query, "query"),
                // Of a header the case of the name is open, and its value is text.
                Place::Header => continue,
            };
            let Some(given) = group.get_mut(&param.name) else { continue };
            if value::query(given, &param.schema).is_ok() {
                continue;
            }
            let mut reading = Reading::new(&param.schema, false);
            let read =
                reading.fit(&param.schema, given.clone(), &format!("{name}.{}", excerpt(&param.name, 80)));
            if value::query(&read, &param.schema).is_ok() {
                *given = read;
                self.args.notes.append(&mut reading.notes);
            }
        }
        let (Some(checker), Some(body)) = (entry.body_checker(), &self.args.body) else { return };
        if checker.check(body).is_err() {
            let mut reading = Reading::new(checker.schema(), entry.verb == Verb::Post);
            let read = reading.fit(checker.schema(), body.clone(), "body");
            self.args.body = Some(read);
            self.args.notes.append(&mut reading.notes);
        }
    }
}

/// An object, also where it was written down as a string.
fn object(value: &Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(members) => Some(members.clone()),
        Value::String(text) => serde_json::from_str(text).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::super::catalog::{Catalog, CatalogRules};
    use super::super::rewrite::bind;
    use super::*;

    fn entry(method: &str, body: Option<Value>) -> Arc<Entry> {
        let mut raw = json!({"id": "t", "method": method, "path": "/api/v1/tickets/{id}", "parameters": [
            {"name": "limit", "in": "query", "schema": {"type": "integer"}},
            {"name": "open", "in": "query", "schema": {"type": "boolean"}},
            {"name": "tags", "in": "query", "schema": {"type": "array", "items": {"enum": ["a", "b"]}}},
            {"name": "order", "in": "query", "schema": {"type": "string", "enum": ["asc", "desc"]}},
            {"name": "both", "in": "query"},
            {"name": "x-once", "in": "header"},
        ]});
        if let Some(body) = body {
            raw["requestBodySchema"] = body;
        }
        let bytes = json!({"data": {"entries": [raw]}}).to_string();
        Catalog::parse(bytes.as_bytes(), &CatalogRules::default()).unwrap().entries()[0].clone()
    }

    fn ticket() -> Value {
        json!({"type": "object", "required": ["title"], "properties": {
            "title": {"type": "string"}, "minutes": {"type": "integer"}, "both": {}, "tags": {"type": "array", "items": {"type": "string"}},
            "board_id": {"type": "string"}}})
    }

    /// Target and body of what is sent, and what was noted; or the complaints.
    fn sent(entry: &Arc<Entry>, given: Value) -> Result<(String, Option<Value>, Vec<String>), Vec<String>> {
        let args = understood(entry, given.as_object().unwrap());
        let said =
            |complaints: Vec<Complaint>| complaints.iter().map(Complaint::to_string).collect::<Vec<_>>();
        let bound = bind(entry, &args).map_err(said)?;
        let body = bound.request().body.as_ref().map(|body| serde_json::from_slice(body).unwrap());
        Ok((bound.request().target.clone(), body, args.notes))
    }

    #[test]
    fn what_is_said_as_it_should_be_is_taken_as_it_is() {
        let given = json!({"entryId": "t", "path": {"id": "7"}, "query": {"limit": 5, "tags": ["a", "b"]}, "body": {"title": "x"}});
        let (target, body, notes) = sent(&entry("put", Some(ticket())), given).unwrap();
        assert_eq!(target, "/api/v1/tickets/7?limit=5&tags=a%2Cb");
        assert_eq!((body, notes), (Some(json!({"title": "x"})), vec![]));
    }

    #[test]
    fn a_parameter_in_another_group_or_in_none_goes_where_it_is_declared() {
        let get = entry("get", None);
        for given in [
            json!({"id": "7", "limit": 5}),
            json!({"pathParams": {"id": "7"}, "query": {"limit": 5}}),
            json!({"query": {"id": "7", "limit": 5}}),
            json!({"path": {"id": "7", "limit": 5}}),
            json!({"path": "{\"id\":\"7\"}", "query": {"limit": "5"}}),
            json!({"parameters": {"id": "7", "limit": 5}}),
            json!({"parameters": {"path": {"id": "7"}, "query": {"limit": 5}}}),
            json!({"body": {"id": "7", "limit": 5}}),
            json!({"path": {"id": "7"}, "id": "7", "query": {"limit": 5}, "body": {}}),
        ] {
            let (target, body, _) =
                sent(&get, given.clone()).unwrap_or_else(|said| panic!("{given}: {said:?}"));
            assert_eq!((target.as_str(), body), ("/api/v1/tickets/7?limit=5", None), "{given}");
        }
        let (.., notes) = sent(&get, json!({"query": {"id": "7"}, "limit": 5})).unwrap();
        assert_eq!(notes, ["query.id: read as path.id", "limit: read as query.limit"]);
    }

    #[test]
    fn a_body_is_found_under_its_other_names_at_the_top_and_as_text() {
        let put = entry("put", Some(ticket()));
        for given in [
            json!({"id": "7", "data": {"title": "x", "minutes": 45}}),
            json!({"id": "7", "payload": {"title": "x", "minutes": 45}}),
            json!({"id": "7", "body": "{\"title\":\"x\",\"minutes\":45}"}),
            json!({"id": "7", "title": "x", "minutes": 45}),
            json!({"id": "7", "title": "x", "body": {"minutes": "45"}}),
            json!({"path": {"id": "7"}, "query": {"title": "x"}, "body": {"minutes": "45"}}),
            json!({"body": {"id": "7", "title": "x", "minutes": 45}}),
        ] {
            let (target, body, _) =
                sent(&put, given.clone()).unwrap_or_else(|said| panic!("{given}: {said:?}"));
            assert_eq!(target, "/api/v1/tickets/7", "{given}");
            assert_eq!(body, Some(json!({"title": "x", "minutes": 45})), "{given}");
        }
    }

    #[test]
    fn a_parameter_that_is_called_like_a_group_is_known_by_its_value() {
        let raw = json!([{"id": "s", "method": "get", "path": "/api/v1/search", "parameters": [{"name": "query", "in": "query"}, {"name": "limit", "in": "query"}]}]);
        let catalog = Catalog::parse(raw.to_string().as_bytes(), &CatalogRules::default()).unwrap();
        let search = &catalog.entries()[0];
        for given in
            [json!({"query": "printer", "limit": 2}), json!({"query": {"query": "printer", "limit": 2}})]
        {
            assert_eq!(sent(search, given).unwrap().0, "/api/v1/search?query=printer&limit=2");
        }
    }

    #[test]
    fn where_two_places_fit_nothing_is_guessed() {
        let put = entry("put", Some(ticket()));
        for (given, said) in [
            (json!({"both": 1}), "both: could be `query.both` or `body.both`: say which"),
            (
                json!({"path": {"id": "8"}, "id": "7"}),
                "path.id: is given twice with different values, here and as id",
            ),
            (json!({"id": "7", "data": {"title": "y"}}), "data: is a second body; send one, as `body`"),
            (
                json!({"id": "7", "titel": "x"}),
                "titel: `titel` is not declared here, as an argument or by this endpoint; did you mean `title`? (declared: `id`, `limit`, `open`, `tags`, `order`, `both`, `x-once`, `board_id`, `both`, `minutes`, `tags` and `title`)",
            ),
            (json!({"id": "7", "path": []}), "path: must be an object"),
            (
                json!({"id": "7", "fields": 7}),
                "fields: must be a list of member names, such as [\"id\", \"client.name\"]",
            ),
        ] {
            let mut all = json!({"path": {"id": "7"}, "body": {"title": "x"}});
            all.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
            assert_eq!(sent(&put, all).unwrap_err(), [said], "{given}");
        }
    }

    #[test]
    fn values_are_read_by_their_schemas_and_every_complaint_comes_at_once() {
        let put = entry("put", Some(ticket()));
        let given = json!({"id": 7, "query": {"limit": "5", "open": "True", "tags": "a", "order": "ASC"},
            "body": {"title": 12, "tags": "new"}});
        let (target, body, notes) = sent(&put, given).unwrap();
        assert_eq!(target, "/api/v1/tickets/7?limit=5&open=true&tags=a&order=asc");
        assert_eq!(body, Some(json!({"title": "12", "tags": ["new"]})));
        assert_eq!(notes.len(), 5, "{notes:?}");
        let wrong = json!({"query": {"limit": "many", "oder": "asc"}, "body": {"minutes": "soon", "title": null, "tags": [[]]}});
        let said = sent(&put, wrong).unwrap_err();
        let fields: Vec<&str> = said.iter().filter_map(|said| said.split(':').next()).collect();
        assert_eq!(
            fields,
            ["path.id", "query.oder", "query.limit", "body.minutes", "body.tags.0", "body.title"]
        );
    }

    #[test]
    fn what_is_asked_of_the_answer_is_read_in_each_of_its_forms() {
        let get = entry("get", None);
        let wish = |given: Value| understood(&get, given.as_object().unwrap()).answer;
        assert_eq!(wish(json!({"fields": "id, client.name,"})).fields, ["id", "client.name"]);
        let both = wish(json!({"fields": ["id"], "plain_text": "true"}));
        assert!(both.plain_text && both.fields == ["id"]);
        assert_eq!(wish(json!({"fields": null, "plain_text": null})), Wish::default());
    }
}

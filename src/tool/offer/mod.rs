//! What a model is told of the entries that were found: enough to call one rightly, in as few bytes as that takes.
//!
//! Does not rank and does not judge: whether the agent may call an entry is handed in.

mod params;
mod schema;

use serde_json::{Map, Value, json};

use super::catalog::Entry;
use super::effect::Effect;
use super::outcome::ToolResult;
use super::search::Found;
use super::text::excerpt;

/// How much is told of each entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// What a call needs.
    #[default]
    Short,
    /// All there is.
    Full,
}

impl Detail {
    /// The detail of that name, `short` or `full`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "short" => Some(Self::Short),
            "full" => Some(Self::Full),
            _ => None,
        }
    }
}

/// What was looked for and found.
pub struct Offer<'a> {
    pub query: &'a str,
    pub found: &'a [Found<'a>],
    pub detail: Detail,
    /// Why the agent may not call an entry now; none: it may.
    pub hindrance: &'a dyn Fn(&Entry) -> Option<String>,
    /// The effect of what fits best, where the agent may never call that.
    pub withheld: Option<Effect>,
}

/// What an example, and what guidance in prose, may take in short: bytes, and characters.
const EXAMPLE: usize = 600;
const GUIDANCE: usize = 600;

impl Offer<'_> {
    /// `{"query","count","results":[...],"hint"?}`, as the output schema of `search_api_registry` says.
    pub fn result(&self) -> ToolResult {
        let results: Vec<Value> = self.found.iter().map(|found| self.told(found)).collect();
        let mut answer = json!({"query": self.query, "count": results.len(), "results": results});
        if let (Some(hint), Some(answer)) = (self.hint(), answer.as_object_mut()) {
            answer.insert("hint".into(), hint.into());
        }
        ToolResult::json(answer)
    }

    fn hint(&self) -> Option<String> {
        match self.withheld {
            Some(effect) => Some(format!(
                "What fits best is of effect `{effect}`, and this agent may not do that. An administrator can raise the agent's max_effect."
            )),
            None if self.found.is_empty() => Some(
                "No endpoint matches. Name the thing in other words (ticket, client, contact, asset, time entry, \
                 invoice, project) with a plain verb: list, get, create, update or delete."
                    .into(),
            ),
            None => None,
        }
    }

    fn told(&self, found: &Found<'_>) -> Value {
        let entry = found.entry;
        let purpose = if entry.summary.is_empty() { &entry.display_name } else { &entry.summary };
        let mut told = Map::new();
        let mut tell = |name: &str, value: Value| told.insert(name.into(), value);
        tell("entryId", entry.id.as_str().into());
        tell("method", entry.verb.as_str().into());
        tell("path", entry.path.as_str().into());
        tell("effect", json!(entry.effect));
        tell("score", found.score.into());
        let hindrance = (self.hindrance)(entry);
        tell("allowed", hindrance.is_none().into());
        if let Some(reason) = hindrance {
            tell("reason", reason.into());
        }
        match self.detail {
            Detail::Full => {
                tell("displayName", entry.display_name.as_str().into());
                tell("summary", entry.summary.as_str().into());
                tell("approvalRequired", entry.approval_required.into());
                tell("parameters", params::whole(&entry.params).into());
                if let Some(description) = &entry.description {
                    tell("description", description.as_str().into());
                }
                if let Some(body) = &entry.body_schema {
                    tell("requestBodySchema", schema::whole(body));
                }
            }
            Detail::Short => {
                tell("summary", schema::line(purpose, 120).unwrap_or_default().into());
                if entry.approval_required {
                    tell("approvalRequired", true.into());
                }
                let (params, named) = params::short(&entry.params);
                tell("parameters", params.into());
                if !named.is_empty() {
                    tell("moreParameters", named.into());
                }
                if let Some(body) = &entry.body_schema {
                    tell("requestBodySchema", schema::short(body));
                }
            }
        }
        if let Some(example) = self.example(entry) {
            tell("examples", vec![example].into());
        }
        if !entry.playbooks.is_empty() {
            tell("playbooks", self.guidance(&entry.playbooks));
        }
        Value::Object(told)
    }

    /// The registry's first example; in short, what is sent by it, if that is small.
    fn example(&self, entry: &Entry) -> Option<Value> {
        let example = entry.examples.first()?;
        if self.detail == Detail::Full {
            return Some(example.clone());
        }
        let mut sent = example.get("request").unwrap_or(example).clone();
        // As call_api_endpoint takes them.
        if let Some(sent) = sent.as_object_mut()
            && let Some(path) = sent.remove("params")
        {
            sent.entry("path").or_insert(path);
        }
        (sent.to_string().len() <= EXAMPLE).then_some(sent)
    }

    fn guidance(&self, playbooks: &[String]) -> Value {
        match self.detail {
            Detail::Full => playbooks.into(),
            Detail::Short => playbooks.iter().take(1).map(|text| excerpt(text, GUIDANCE)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalog::{Catalog, CatalogRules};
    use super::super::rows::standard_rows;
    use super::super::schema::Checker;
    use super::super::search::search;
    use super::*;

    fn catalog() -> Catalog {
        let bytes = json!({"data": {"entries": [
            {"id": "get-_api_v1_tickets_id", "method": "get", "path": "/api/v1/tickets/{id}", "displayName": "Get ticket",
                "parameters": [{"name": "fields", "in": "query", "description": "Which.", "schema": {"type": "string", "description": "Which."}}]},
            {"id": "get-_api_v1_tickets_stats", "method": "get", "path": "/api/v1/tickets/stats"},
            {"id": "post-_api_v1_tickets", "method": "post", "path": "/api/v1/tickets", "approvalRequired": true,
                "summary": "Create a ticket. With care.", "description": "Long words.", "playbooks": ["First look.", "Then write."],
                "examples": [{"name": "one", "request": {"params": {"a": 2}, "body": {"x": 1}}, "notes": "n".repeat(900)}],
                "requestBodySchema": {"type": "object", "properties": {"x": {"$ref": "#/components/schemas/X"}}}},
        ]}});
        Catalog::parse(bytes.to_string().as_bytes(), &CatalogRules::default()).unwrap()
    }

    fn answer(detail: Detail) -> Value {
        let catalog = catalog();
        let found = search(&catalog, "ticket", 5);
        let lacks = |entry: &Entry| (entry.effect > Effect::Read).then(|| "no scope".to_owned());
        let offer = Offer { query: "ticket", found: &found, detail, hindrance: &lacks, withheld: None };
        let result = offer.result();
        assert!(result.structured);
        let answer: Value = serde_json::from_str(&result.text).unwrap();
        let output = standard_rows().remove(0).output_schema.unwrap();
        assert_eq!(Checker::new(&output).unwrap().check(&answer), Ok(()));
        answer
    }

    fn of(answer: &Value, id: &str) -> Value {
        answer["results"].as_array().unwrap().iter().find(|found| found["entryId"] == id).unwrap().clone()
    }

    #[test]
    fn in_short_a_result_has_what_a_call_needs() {
        let answer = answer(Detail::Short);
        assert_eq!(answer["count"], 3);
        let get = of(&answer, "get-_api_v1_tickets_id");
        assert_eq!(
            get["parameters"][0],
            json!({"name": "id", "in": "path", "required": true, "schema": {"type": "string"}})
        );
        assert_eq!(
            get["parameters"][1],
            json!({"name": "fields", "in": "query", "description": "Which", "schema": {"type": "string"}})
        );
        assert_eq!((&get["allowed"], &get["summary"]), (&json!(true), &json!("Get ticket")));
        assert!(get.get("requestBodySchema").is_none() && get.get("reason").is_none());
        let post = of(&answer, "post-_api_v1_tickets");
        assert_eq!(
            (&post["allowed"], &post["reason"], &post["effect"]),
            (&json!(false), &json!("no scope"), &json!("write"))
        );
        assert_eq!(post["requestBodySchema"], json!({"type": "object", "properties": {"x": {}}}));
        assert_eq!(
            (&post["examples"], &post["summary"]),
            (&json!([{"path": {"a": 2}, "body": {"x": 1}}]), &json!("Create a ticket. With care"))
        );
        assert_eq!((&post["playbooks"], &post["approvalRequired"]), (&json!(["First look."]), &json!(true)));
        assert!(post.get("description").is_none());
    }

    #[test]
    fn in_full_a_result_has_all_there_is() {
        let post = of(&answer(Detail::Full), "post-_api_v1_tickets");
        assert_eq!(
            (&post["summary"], &post["description"]),
            (&json!("Create a ticket. With care."), &json!("Long words."))
        );
        assert_eq!(
            (&post["examples"][0]["name"], &post["playbooks"][1]),
            (&json!("one"), &json!("Then write."))
        );
        assert_eq!(post["displayName"], "Create a ticket. With care.");
    }

    #[test]
    fn an_empty_answer_says_what_to_do_next() {
        for (withheld, part) in [(None, "other words"), (Some(Effect::Destroy), "effect `destroy`")] {
            let result =
                Offer { query: "x", found: &[], detail: Detail::Short, hindrance: &|_| None, withheld }
                    .result();
            let answer: Value = serde_json::from_str(&result.text).unwrap();
            assert_eq!(
                (&answer["count"], &answer["results"], result.is_error),
                (&json!(0), &json!([]), false)
            );
            assert!(answer["hint"].as_str().unwrap().contains(part), "{answer}");
        }
    }
}

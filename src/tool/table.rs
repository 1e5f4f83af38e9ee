//! The tools an agent sees: a table of rows, checked and compiled once.
//!
//! A further tool is a further row. Neither the gate nor the protocol knows how many there are.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};

pub use super::offer::{Detail, Offer};
pub use super::own::Own;
pub use super::plan::Plan;
pub use super::rows::standard_rows;

use super::lenient::Reading;
use super::outcome::{Asked, ToolResult, shape_for};
use super::rest::RestResponse;
use super::schema::{Checker, Complaint};
use super::text::quoted;

/// What a tool is bound to.
#[derive(Clone, Debug, PartialEq)]
pub enum Binding {
    /// Search in the catalogue; answered without the PSA.
    SearchRegistry,
    /// The PSA's own search over its records.
    SearchData,
    /// Any entry of the catalogue, named by an argument.
    CallEndpoint,
    /// One entry, with a place for each argument.
    Entry { entry_id: String, places: Vec<(String, ArgPlace)> },
}

/// Where an argument of a named tool goes in the request.
#[derive(Clone, Debug, PartialEq)]
pub enum ArgPlace {
    Path(String),
    Query(String),
    Header(String),
    /// A top-level key of the JSON body.
    Body(String),
    WholeBody,
}

/// Hints for clients (MCP tool annotations). They must be true, for people decide by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Annotations {
    pub read_only: bool,
    pub destructive: bool,
    pub idempotent: bool,
    pub open_world: bool,
}

/// One tool as it is written down.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolRow {
    pub name: String,
    pub title: String,
    pub description: String,
    /// Has an object at its root.
    pub input_schema: Value,
    pub output_schema: Option<Value>,
    pub annotations: Annotations,
    pub binding: Binding,
}

/// A row with its compiled input schema.
#[derive(Debug)]
pub struct Tool {
    pub row: ToolRow,
    checker: Checker,
    pub(super) own: Option<Arc<Own>>,
}

/// All tools, in the order of their rows.
#[derive(Debug)]
pub struct ToolTable {
    tools: Vec<Tool>,
    by_name: HashMap<String, usize>,
    listing: Value,
    own: Option<Arc<Own>>,
}

impl ToolTable {
    /// Checks and compiles the rows.
    ///
    /// # Errors
    /// A sentence that names the row and what is wrong with it.
    pub fn new(rows: Vec<ToolRow>) -> Result<ToolTable, String> {
        let mut tools = Vec::with_capacity(rows.len());
        let mut by_name = HashMap::new();
        for row in rows {
            sound(&row).map_err(|reason| format!("the tool {}: {reason}", quoted(&row.name)))?;
            if by_name.insert(row.name.clone(), tools.len()).is_some() {
                return Err(format!("the tool {} is there twice", quoted(&row.name)));
            }
            let checker = Checker::new(&row.input_schema).map_err(|reason| {
                format!("the input schema of the tool {} is {reason}", quoted(&row.name))
            })?;
            tools.push(Tool { row, checker, own: None });
        }
        let listing = tools.iter().map(|tool| listed(&tool.row)).collect();
        Ok(ToolTable { tools, by_name, listing, own: None })
    }

    /// The same for a person with a key of their own.
    #[must_use]
    pub fn owned(mut self, own: Own) -> ToolTable {
        let own = Arc::new(own);
        self.tools.iter_mut().for_each(|tool| tool.own = Some(own.clone()));
        self.own = Some(own);
        self
    }

    /// What the PSA answered, as the result of a tool.
    pub fn shape(&self, response: &RestResponse, asked: &Asked<'_>) -> ToolResult {
        shape_for(response, asked, self.own.as_ref().map(|own| own.hint()))
    }

    /// The tool of exactly this name.
    pub fn get(&self, name: &str) -> Option<&Tool> {
        self.by_name.get(name).and_then(|position| self.tools.get(*position))
    }

    /// The JSON array for `tools/list`; the same for every caller and every time.
    pub fn listing(&self) -> &Value {
        &self.listing
    }
}

/// Names as MCP asks for (server/tools, tool names), and places that the schema declares.
fn sound(row: &ToolRow) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    if row.name.is_empty() || row.name.len() > 128 || !row.name.bytes().all(plain) {
        return Err("a name has 1 to 128 letters, digits, `_`, `-` or `.`".into());
    }
    for (which, schema) in [("input", Some(&row.input_schema)), ("output", row.output_schema.as_ref())] {
        if schema.is_some_and(|schema| schema.get("type") != Some(&json!("object"))) {
            return Err(format!("the {which} schema must have `\"type\": \"object\"` at its root"));
        }
    }
    if row.input_schema.get("additionalProperties") != Some(&json!(false)) {
        return Err("the input schema must be closed: `\"additionalProperties\": false`".into());
    }
    let Binding::Entry { places, .. } = &row.binding else { return Ok(()) };
    let declared = row.input_schema.get("properties").and_then(Value::as_object);
    let declared: BTreeSet<&str> = declared.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let placed: BTreeSet<&str> = places.iter().map(|(argument, _)| argument.as_str()).collect();
    if placed.len() != places.len() {
        return Err("an argument has two places".into());
    }
    if let Some(odd) = declared.symmetric_difference(&placed).next() {
        return Err(format!(
            "the argument {} is only in the input schema or only in the places",
            quoted(odd)
        ));
    }
    let whole = places.iter().filter(|(_, place)| *place == ArgPlace::WholeBody).count();
    let parts = places.iter().any(|(_, place)| matches!(place, ArgPlace::Body(_)));
    if whole > 1 || (whole == 1 && parts) {
        return Err("the body is either one argument or made of keys".into());
    }
    Ok(())
}

fn listed(row: &ToolRow) -> Value {
    let mut listed = json!({
        "name": row.name,
        "title": row.title,
        "description": row.description,
        "inputSchema": row.input_schema,
        "annotations": {
            "readOnlyHint": row.annotations.read_only,
            "destructiveHint": row.annotations.destructive,
            "idempotentHint": row.annotations.idempotent,
            "openWorldHint": row.annotations.open_world,
        },
    });
    if let (Some(output), Some(listed)) = (&row.output_schema, listed.as_object_mut()) {
        listed.insert("outputSchema".into(), output.clone());
    }
    listed
}

impl Tool {
    /// Checks arguments against the tool's input schema.
    ///
    /// # Errors
    /// Every complaint at once.
    pub fn check(&self, args: &Value) -> Result<(), Vec<Complaint>> {
        self.checker.check(args)
    }

    /// The arguments as the input schema takes them, also where they are written in another form.
    ///
    /// # Errors
    /// Every complaint at once.
    pub(super) fn read<'a>(&self, args: &'a Value) -> Result<Cow<'a, Value>, Vec<Complaint>> {
        if self.check(args).is_ok() {
            return Ok(Cow::Borrowed(args));
        }
        let schema = self.checker.schema();
        let read = Reading::new(schema, true).fit(schema, args.clone(), "");
        self.check(&read).map(|()| Cow::Owned(read))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::rows::standard_rows;
    use super::*;

    pub fn named(places: Vec<(&str, ArgPlace)>, properties: Value) -> ToolRow {
        ToolRow {
            name: "ticket_update".into(),
            title: "Update a ticket".into(),
            description: "Updates a ticket.".into(),
            input_schema: json!({"type": "object", "additionalProperties": false, "properties": properties, "required": ["ticket"]}),
            output_schema: None,
            annotations: Annotations {
                read_only: false,
                destructive: false,
                idempotent: true,
                open_world: true,
            },
            binding: Binding::Entry {
                entry_id: "put-_api_v1_tickets_id".into(),
                places: places.into_iter().map(|(name, place)| (name.to_owned(), place)).collect(),
            },
        }
    }

    /// A named tool whose arguments go everywhere.
    pub fn full_row() -> ToolRow {
        named(
            vec![
                ("ticket", ArgPlace::Path("id".into())),
                ("title", ArgPlace::Body("title".into())),
                ("status", ArgPlace::Body("status_id".into())),
                ("notify", ArgPlace::Query("notify".into())),
                ("once", ArgPlace::Header("x-idempotency-key".into())),
            ],
            json!({"ticket": {"type": "string"}, "title": {"type": "string"}, "status": {}, "notify": {}, "once": {}}),
        )
    }

    pub fn standard() -> ToolTable {
        ToolTable::new(standard_rows()).unwrap()
    }

    #[test]
    fn the_listing_has_the_three_tools_with_explicit_annotations() {
        let table = standard();
        let listing = table.listing().as_array().unwrap();
        let names: Vec<&str> = listing.iter().filter_map(|tool| tool["name"].as_str()).collect();
        assert_eq!(names, ["search_api_registry", "search_business_data", "call_api_endpoint"]);
        for tool in listing {
            assert_eq!(tool["inputSchema"]["type"], "object");
            assert_eq!(tool["inputSchema"]["additionalProperties"], false);
            for hint in ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"] {
                assert!(tool["annotations"][hint].is_boolean(), "{tool}");
            }
            assert_eq!(tool["annotations"]["readOnlyHint"], tool["name"] != "call_api_endpoint");
            assert_eq!(tool.get("outputSchema").is_some(), tool["name"] == "search_api_registry");
        }
        assert_eq!(listing[2]["annotations"]["destructiveHint"], true);
        assert_eq!(listing[2]["annotations"]["openWorldHint"], true);
    }

    #[test]
    fn an_unsound_row_is_refused_with_its_name() {
        let row = full_row;
        let unsound: Vec<(ToolRow, &str)> = vec![
            (ToolRow { name: "a b".into(), ..row() }, "a name has"),
            (ToolRow { input_schema: json!({"type": "array"}), ..row() }, "\"object\""),
            (ToolRow { input_schema: json!({"type": "object"}), ..row() }, "closed"),
            (ToolRow { output_schema: Some(json!({})), ..row() }, "output schema"),
            (
                ToolRow {
                    input_schema: json!({"type": "object", "additionalProperties": false, "properties": {"a": {"type": "x"}}}),
                    binding: Binding::CallEndpoint,
                    ..row()
                },
                "not a usable JSON Schema",
            ),
            (named(vec![], json!({"ticket": {}})), "`ticket` is only in"),
            (
                named(vec![("a", ArgPlace::WholeBody), ("a", ArgPlace::WholeBody)], json!({"a": {}})),
                "two places",
            ),
            (
                named(
                    vec![("a", ArgPlace::WholeBody), ("b", ArgPlace::Body("b".into()))],
                    json!({"a": {}, "b": {}}),
                ),
                "either one argument",
            ),
        ];
        for (row, reason) in unsound {
            let refused = ToolTable::new(vec![row]).unwrap_err();
            assert!(refused.contains(reason), "{refused}");
        }
        assert!(ToolTable::new(vec![row(), row()]).unwrap_err().contains("twice"));
    }
}

//! Which tool of a list can be tried without harm, and with which arguments; and which names and
//! schemas clients stumble over. Pure.

use serde_json::{Map, Value, json};

/// What text arguments are filled with that ask for a search.
const SEARCH: &str = "list tickets";

/// Arguments that any text will do for.
const ASKING: [&str; 6] = ["query", "q", "search", "text", "keyword", "term"];

/// A call that reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    pub tool: String,
    pub arguments: Map<String, Value>,
}

/// The first tool that says it only reads and whose arguments can be filled.
///
/// # Errors
/// Why there is none.
pub fn trial(tools: &[Value]) -> Result<Trial, String> {
    let reads = |tool: &&Value| tool["annotations"]["readOnlyHint"] == true;
    let reading: Vec<&Value> = tools.iter().filter(reads).collect();
    if reading.is_empty() {
        return Err("no tool says that it only reads (annotations.readOnlyHint)".to_owned());
    }
    let fit = reading.iter().find_map(|tool| {
        let name = tool["name"].as_str()?.to_owned();
        arguments(&tool["inputSchema"]).map(|arguments| Trial { tool: name, arguments })
    });
    fit.ok_or_else(|| "no tool that only reads has arguments that can be made up".to_owned())
}

fn arguments(schema: &Value) -> Option<Map<String, Value>> {
    let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    required
        .iter()
        .map(|name| {
            let name = name.as_str()?;
            let property = &schema["properties"][name];
            // Its value would have to be repeated in a header of its own.
            let mirrored = property.get("x-mcp-header").is_some();
            value(name, property).filter(|_| !mirrored).map(|value| (name.to_owned(), value))
        })
        .collect()
}

fn value(name: &str, property: &Value) -> Option<Value> {
    let first = |list: &str| property[list].as_array().and_then(|values| values.first()).cloned();
    let given = ["const", "default"].iter().find_map(|member| property.get(*member).cloned());
    given.or_else(|| first("enum")).or_else(|| first("examples")).or_else(|| {
        let asks = property["type"] == "string" && ASKING.contains(&name.to_ascii_lowercase().as_str());
        asks.then(|| json!(SEARCH))
    })
}

/// What is wrong with a list, for those who pass tools on to models.
pub fn oddities(tools: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    for tool in tools {
        let name = tool["name"].as_str().unwrap_or_default();
        let plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-');
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            let name: String = name.chars().take(80).collect();
            found.push(format!(
                "the name {name:?} is not of 1 to 64 letters, digits, _ and -, which is all that some models take"
            ));
        }
        if tool["inputSchema"]["type"] != "object" {
            found.push(format!("the inputSchema of {name:?} is not of type object"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, reads: bool, schema: Value) -> Value {
        json!({"name": name, "annotations": {"readOnlyHint": reads}, "inputSchema": schema})
    }

    #[test]
    fn the_first_reading_tool_whose_arguments_can_be_made_up_is_tried() {
        let id = json!({"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]});
        let query = json!({"type": "object", "properties": {"query": {"type": "string"}, "n": {"type": "integer"}},
            "required": ["query"]});
        let tools = [
            tool("write", false, json!({"type": "object"})),
            tool("by_id", true, id),
            tool("search", true, query),
            tool("later", true, json!({"type": "object"})),
        ];
        let found = trial(&tools).unwrap();
        assert_eq!(
            (found.tool.as_str(), json!(found.arguments)),
            ("search", json!({"query": "list tickets"}))
        );
        assert_eq!(trial(&tools[3..]).unwrap().arguments.len(), 0);
        assert!(trial(&tools[..1]).unwrap_err().contains("readOnlyHint"));
        assert!(trial(&tools[..2]).unwrap_err().contains("made up"));
    }

    #[test]
    fn values_that_the_schema_itself_offers_are_taken() {
        let properties = json!({
            "a": {"const": 1}, "b": {"type": "string", "default": "x"}, "c": {"enum": ["y", "z"]},
            "d": {"type": "integer", "examples": [7]},
        });
        let schema = json!({"type": "object", "properties": properties, "required": ["a", "b", "c", "d"]});
        let found = trial(&[tool("t", true, schema)]).unwrap().arguments;
        assert_eq!(json!(found), json!({"a": 1, "b": "x", "c": "y", "d": 7}));
        let mirrored =
            json!({"properties": {"query": {"type": "string", "x-mcp-header": "Q"}}, "required": ["query"]});
        assert!(trial(&[tool("t", true, mirrored)]).is_err());
    }

    #[test]
    fn names_and_schemas_that_models_refuse_are_told() {
        let object = json!({"type": "object"});
        assert!(oddities(&[tool("get_x-1", true, object.clone())]).is_empty());
        for name in ["", "a.b", "a b", &"x".repeat(65)] {
            assert_eq!(oddities(&[tool(name, true, object.clone())]).len(), 1, "{name}");
        }
        assert!(oddities(&[tool("t", true, json!(true))])[0].contains("inputSchema"));
    }
}

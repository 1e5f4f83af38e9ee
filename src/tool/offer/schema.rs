//! A schema as a model needs it: references that lead nowhere are "any", and in short what is needed comes before what
//! may be, until it fits.
//!
//! Judges no value; knows nothing of entries.

use serde_json::{Map, Value, json};

use crate::tool::schema::required;
use crate::tool::text::excerpt;

/// What a body schema may take in short, in bytes. A schema whose required members alone are larger is larger.
const SHORT: usize = 1_500;

/// References that are followed into each other at most.
const DEEPEST: usize = 8;

/// Keywords that say what may be sent; the others annotate or concern a validator.
const KEPT: [&str; 24] = [
    "$comment",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "default",
    "description",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "nullable",
    "oneOf",
    "pattern",
    "properties",
    "type",
];

/// How much is told.
#[derive(Clone, Copy)]
struct Level {
    /// Objects within objects that are shown with their members.
    depth: usize,
    /// Descriptions of what is required, and of what is not, in characters.
    required: usize,
    optional: usize,
}

const LEVELS: [Level; 4] = [
    Level { depth: 4, required: 160, optional: 80 },
    Level { depth: 3, required: 120, optional: 60 },
    Level { depth: 2, required: 100, optional: 0 },
    Level { depth: 1, required: 80, optional: 0 },
];

/// The whole schema; only what its references promise and do not have is "any".
pub(super) fn whole(root: &Value) -> Value {
    undangled(root, root)
}

fn undangled(root: &Value, schema: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            if let Some(reference) = members.get("$ref").and_then(Value::as_str)
                && target(root, reference).is_none()
            {
                return any(members);
            }
            members.iter().map(|(name, value)| (name.clone(), undangled(root, value))).collect()
        }
        Value::Array(elements) => elements.iter().map(|element| undangled(root, element)).collect(),
        other => other.clone(),
    }
}

/// Any value, with what is said of it.
fn any(members: &Map<String, Value>) -> Value {
    let said = members.get("description").filter(|said| said.is_string());
    said.map(|said| ("description".to_owned(), said.clone())).into_iter().collect::<Map<_, _>>().into()
}

/// What `reference` points at within its own document (RFC 6901); the schemas beside a registry are not in it.
fn target<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    root.pointer(reference.strip_prefix('#')?)
}

/// The schema cut to what is needed: shorter descriptions, then fewer levels, then without some of the optional
/// members, which a `$comment` names.
pub(super) fn short(root: &Value) -> Value {
    let mut cut = Value::Null;
    for level in LEVELS {
        cut = told(root, root, level, level.depth, 0, level.required);
        if size(&cut) <= SHORT {
            return cut;
        }
    }
    without_options(cut)
}

fn size(value: &Value) -> usize {
    value.to_string().len()
}

fn told(root: &Value, schema: &Value, level: Level, depth: usize, followed: usize, room: usize) -> Value {
    let Value::Object(members) = schema else { return schema.clone() };
    if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
        return match target(root, reference).filter(|_| followed < DEEPEST) {
            Some(found) => told(root, found, level, depth, followed + 1, room),
            None => described(any(members), room),
        };
    }
    let required = required(members);
    let nested =
        |schema: &Value, room: usize| told(root, schema, level, depth.saturating_sub(1), followed, room);
    let mut out = Map::new();
    for (key, value) in
        members.iter().filter(|(key, _)| KEPT.contains(&key.as_str()) || key.as_str() == "required")
    {
        let kept = match (key.as_str(), value) {
            ("properties" | "required", _) if depth == 0 => continue,
            ("properties", Value::Object(properties)) => properties
                .iter()
                .map(|(name, schema)| {
                    let room =
                        if required.contains(&name.as_str()) { level.required } else { level.optional };
                    (name.clone(), nested(schema, room))
                })
                .collect(),
            ("items", schema) => nested(schema, room),
            ("allOf" | "anyOf" | "oneOf", Value::Array(choices)) => {
                choices.iter().map(|choice| told(root, choice, level, depth, followed, room)).collect()
            }
            // Open is what a schema is anyway.
            ("additionalProperties", Value::Bool(false)) => value.clone(),
            ("additionalProperties", _) => continue,
            ("minLength", value) if value.as_u64().is_some_and(|least| least <= 1) => continue,
            ("nullable", Value::Bool(false)) => continue,
            (_, value) => value.clone(),
        };
        out.insert(key.clone(), kept);
    }
    described(Value::Object(out), room)
}

/// With a description of at most `room` characters.
fn described(mut schema: Value, room: usize) -> Value {
    let Some(members) = schema.as_object_mut() else { return schema };
    if let Some(description) =
        members.remove("description").as_ref().and_then(Value::as_str).and_then(|text| line(text, room))
    {
        members.insert("description".into(), description.into());
    }
    schema
}

/// The first sentences of `text` that fit into `room` characters, or what fits of the first; none where that is nothing.
pub(super) fn line(text: &str, room: usize) -> Option<String> {
    let text = text.trim().trim_end_matches('.');
    if room == 0 || text.is_empty() {
        return None;
    }
    let ends = text.match_indices(['.', '\n']).map(|(at, _)| at).filter(|at| {
        let after = text.get(at + 1..).unwrap_or_default();
        after.starts_with(char::is_whitespace) || text.get(*at..).is_some_and(|rest| rest.starts_with('\n'))
    });
    let ends: Vec<usize> = ends.chain([text.len()]).collect();
    let fits = |end: &&usize| text.get(..**end).is_some_and(|part| part.chars().count() <= room);
    let end = ends.iter().rfind(fits).or(ends.first())?;
    Some(excerpt(text.get(..*end)?.trim_end(), room)).filter(|line| !line.is_empty())
}

/// Leaves optional members of the root out, the largest first, until the rest fits.
fn without_options(mut schema: Value) -> Value {
    let needed: Vec<String> =
        schema.as_object().map(required).unwrap_or_default().into_iter().map(str::to_owned).collect();
    let mut left = size(&schema);
    let Some(members) = schema.as_object_mut() else { return schema };
    let Some(properties) = members.get_mut("properties").and_then(Value::as_object_mut) else {
        return schema;
    };
    let mut optional: Vec<(usize, String)> = properties
        .iter()
        .filter(|(name, _)| !needed.contains(name))
        .map(|(name, schema)| (size(schema), name.clone()))
        .collect();
    optional.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
    let mut gone = Vec::new();
    for (bytes, name) in optional {
        if left <= SHORT {
            break;
        }
        // The name goes into the comment.
        left -= bytes;
        properties.remove(&name);
        gone.push(name);
    }
    if !gone.is_empty() {
        gone.sort();
        members.insert("$comment".into(), omitted(&gone).into());
    }
    schema
}

/// Which optional members are not shown.
fn omitted(names: &[String]) -> String {
    const NAMED: usize = 30;
    let shown: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
    let more = if names.len() > NAMED { ", ..." } else { "" };
    format!("{} more optional members, told by detail=full: {}{more}", names.len(), shown.join(", "))
}

/// A parameter's schema in short: the same keywords, no description, for that is the parameter's own.
pub(super) fn of_parameter(schema: &Value) -> Value {
    let level = Level { depth: 2, required: 0, optional: 0 };
    match told(schema, schema, level, level.depth, 0, 0) {
        Value::Object(members) => Value::Object(members),
        _ => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_that_leads_nowhere_is_any_and_one_that_leads_somewhere_is_followed() {
        let schema = json!({"type": "object", "$defs": {"money": {"type": "integer", "minimum": 0}}, "properties": {
            "lost": {"$ref": "#/components/schemas/Thing", "description": "A thing."},
            "far": {"$ref": "https://example.com/schema"},
            "list": {"type": "array", "items": {"$ref": "#/components/schemas/Thing"}},
            "price": {"$ref": "#/$defs/money"}}});
        let short = short(&schema);
        let properties = &short["properties"];
        assert_eq!(properties["lost"], json!({"description": "A thing"}));
        assert_eq!((&properties["far"], &properties["list"]["items"]), (&json!({}), &json!({})));
        assert_eq!(properties["price"], json!({"type": "integer", "minimum": 0}));
        let whole = whole(&schema);
        assert_eq!(whole["properties"]["lost"], json!({"description": "A thing."}));
        assert_eq!(whole["properties"]["price"], json!({"$ref": "#/$defs/money"}));
        assert_eq!(whole["$defs"], schema["$defs"]);
    }

    #[test]
    fn a_reference_to_itself_comes_to_an_end() {
        let schema = json!({"type": "object", "properties": {"child": {"$ref": "#"}, "loop": {"$ref": "#/properties/loop"}}});
        let short = short(&schema);
        assert_eq!(short["properties"]["loop"], json!({}));
        assert!(size(&short) <= SHORT);
    }

    #[test]
    fn what_is_needed_stays_and_what_is_left_out_is_counted_and_named() {
        let mut properties = Map::new();
        for index in 0..80 {
            properties.insert(
                format!("member_{index:02}"),
                json!({"type": "string", "description": "x".repeat(300), "example": "y"}),
            );
        }
        let schema =
            json!({"type": "object", "properties": properties, "required": ["member_07", "member_70"]});
        let short = short(&schema);
        let shown = short["properties"].as_object().unwrap();
        assert!(shown.contains_key("member_07") && shown.contains_key("member_70"));
        assert!(shown["member_07"]["description"].is_string() && shown["member_07"].get("example").is_none());
        let comment = short["$comment"].as_str().unwrap();
        assert!(comment.starts_with(&format!("{} more optional members", 80 - shown.len())), "{comment}");
        assert!(size(&short) <= SHORT + 600, "{}", size(&short));
        assert_eq!(whole(&schema), schema);
    }

    #[test]
    fn deep_objects_lose_their_members_before_anything_is_left_out() {
        let leaf = |name: &str| json!({"type": "object", "properties": {name: {"type": "string", "description": "z".repeat(90)}}, "required": [name]});
        let middle: Map<String, Value> =
            (0..12).map(|index| (format!("m{index}"), leaf(&format!("leaf{index}")))).collect();
        let schema =
            json!({"type": "object", "properties": {"inner": {"type": "object", "properties": middle}}});
        let short = short(&schema);
        assert!(size(&short) <= SHORT && short.get("$comment").is_none(), "{short}");
        assert_eq!(short["properties"]["inner"]["type"], "object");
    }

    #[test]
    fn a_line_is_as_many_sentences_as_fit() {
        assert_eq!(line("First. Second.", 50).as_deref(), Some("First. Second"));
        assert_eq!(line("First 1.5. Second is longer.", 12).as_deref(), Some("First 1.5"));
        assert_eq!(line("First\nSecond is longer.", 12).as_deref(), Some("First"));
        assert_eq!(line("abcdef", 3).as_deref(), Some("abc [cut]"));
        assert_eq!((line("x", 0), line("  ", 9)), (None, None));
    }
}

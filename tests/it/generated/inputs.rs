//! Texts and JSON values as somebody makes them who wants out: hostile fragments, put together and encoded.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Number, Value, json};

/// Pieces that mean something to somebody on the way.
const FRAGMENTS: &[&str] = &[
    ".",
    "..",
    "...",
    "/",
    "\\",
    "//",
    "%",
    "%2e",
    "%2E",
    "%2f",
    "%5c",
    "%00",
    "%0d%0a",
    "%25",
    "%c0%ae",
    "%ff",
    ";",
    ";a=b",
    "?",
    "#",
    "&",
    "=",
    "+",
    "*",
    ":",
    "@",
    "[",
    "]",
    "{",
    "}",
    "{id}",
    ",",
    " ",
    "\t",
    "\r\n",
    "\n",
    "\0",
    "\u{7f}",
    "\u{85}",
    "\u{a0}",
    "\u{200b}",
    "\u{202e}",
    "\u{2024}",
    "\u{2215}",
    "\u{feff}",
    "\u{ff0e}",
    "\u{ff0f}",
    "\u{3000}",
    "é",
    "e\u{301}",
    "\u{1f600}",
    "\u{10ffff}",
    "id",
    "x",
    "7",
    "-0",
    "tickets",
    "stats",
    "STATS",
    "search",
    "delete",
    "publish",
    "run",
    "runs",
    "mcp",
    "api",
    "v1",
    "validate",
    "__proto__",
    "constructor",
    "x-api-key",
    "authorization",
    "x_tenant_id",
    "limit",
    "q",
    "name",
    "tenant",
    "null",
    "true",
    "https:",
    "evil.example",
];

/// Any text that is worth a try.
pub fn text() -> impl Strategy<Value = String> + Clone {
    let fragments = vec(select(FRAGMENTS), 0..5).prop_map(|pieces| pieces.concat());
    prop_oneof![
        5 => fragments.clone(),
        3 => (fragments, any::<u32>(), 1..6_usize).prop_map(|(text, which, rounds)| encoded(text, which, rounds)),
        2 => "[a-z0-9-]{1,12}",
        2 => "\\PC{0,8}",
        1 => any::<String>(),
        1 => (select(FRAGMENTS), 1..700_usize).prop_map(|(piece, times)| piece.repeat(times)),
    ]
}

/// `text` percent-encoded as often as `rounds` says; the bits of `which` choose the bytes of the first round.
fn encoded(text: String, which: u32, rounds: usize) -> String {
    let first: String = text
        .char_indices()
        .map(|(at, c)| match which >> (at % 32) & 1 {
            1 => c.to_string().bytes().map(|byte| format!("%{byte:02x}")).collect(),
            _ => c.to_string(),
        })
        .collect();
    (1..rounds).fold(first, |text, _| text.replace('%', "%25"))
}

/// A text that does no harm: what most values are in a call that means well.
pub fn plain() -> impl Strategy<Value = String> + Clone {
    "[a-z0-9]{1,8}"
}

/// A scalar, mostly a text.
pub fn scalar() -> impl Strategy<Value = Value> + Clone {
    let numbers = [
        json!(0),
        json!(-1),
        json!(7),
        json!(1.5),
        json!(-0.0),
        json!(1e300),
        json!(u64::MAX),
        json!(i64::MIN),
    ];
    prop_oneof![
        8 => plain().prop_map(Value::String),
        8 => text().prop_map(Value::String),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(|number| Number::from_f64(number).map_or(Value::Null, Value::Number)),
        1 => select(numbers.to_vec()),
        1 => any::<bool>().prop_map(Value::Bool),
    ]
}

/// Any JSON, not very deep.
pub fn value() -> impl Strategy<Value = Value> + Clone {
    let some = prop_oneof![6 => scalar(), 1 => Just(Value::Null)];
    let pairs = vec((text(), some.clone()), 0..3);
    prop_oneof![
        8 => some.clone(),
        1 => vec(some, 0..4).prop_map(Value::Array),
        1 => pairs.prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        1 => (1..70_usize).prop_map(|levels| (0..levels).fold(json!("x"), |inner, _| json!([inner]))),
    ]
}

/// Names with values, of which the names are nothing that anybody declared, mostly.
pub fn members() -> impl Strategy<Value = Map<String, Value>> + Clone {
    prop_oneof![
        16 => Just(Map::new()),
        1 => vec((text(), value()), 1..3).prop_map(|pairs| pairs.into_iter().collect()),
    ]
}

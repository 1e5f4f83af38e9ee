//! The JSON-RPC 2.0 envelope: bytes to one message, with a bound on nesting.
//!
//! Knows nothing of methods, headers or revisions. The size of the body is bounded before it comes here.

use memchr::memchr2;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::error::Category;
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use super::fault::Fault;

/// How deep arrays and objects may nest. serde_json's own limit is 128; ours leaves room for wrapping.
pub const MAX_DEPTH: usize = 64;

/// How many messages a batch may have.
pub const MAX_BATCH: usize = 50;

/// A request's id: an integer or a text, never null (JSON-RPC 2.0 section 4, narrowed by MCP).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Id {
    Number(Number),
    Text(String),
}

/// One body, told apart.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    Request {
        id: Id,
        method: String,
        params: Map<String, Value>,
    },
    Notification {
        method: String,
        params: Map<String, Value>,
    },
    /// An answer to a question of this server's: a result, or an error object.
    Response {
        /// None where the client could not read the question's.
        id: Option<Id>,
        outcome: Result<Value, Value>,
    },
    /// The texts of the elements, unread.
    Batch(Vec<String>),
}

/// A body that is no message, with its id where one could be read.
#[derive(Debug)]
pub(super) struct Malformed {
    pub id: Option<Id>,
    pub fault: Fault,
}

/// Reads one body. `Parse` if it is not JSON, `InvalidRequest` if it is no JSON-RPC message, repeats a member of the
/// envelope, or nests deeper than [`MAX_DEPTH`].
pub fn parse(bytes: &[u8]) -> Result<Message, Fault> {
    read(bytes).map_err(|malformed| malformed.fault)
}

/// [`parse`], keeping the id for the answer.
pub(super) fn read(bytes: &[u8]) -> Result<Message, Malformed> {
    let nameless = |fault| Malformed { id: None, fault };
    let text =
        std::str::from_utf8(bytes).map_err(|_| nameless(Fault::Parse("the body is not UTF-8".into())))?;
    if too_deep(bytes) {
        return Err(nameless(invalid(&format!("nested deeper than {MAX_DEPTH} levels"))));
    }
    if text.trim_start().starts_with('[') {
        let elements: Vec<&RawValue> =
            serde_json::from_str(text).map_err(|error| nameless(unreadable(&error)))?;
        return Ok(Message::Batch(elements.into_iter().map(|element| element.get().to_owned()).collect()));
    }
    element(text)
}

/// Reads one element of a batch, or a body that is no batch.
pub(super) fn element(text: &str) -> Result<Message, Malformed> {
    // A derived struct would also read an array, by position.
    if text.trim_start().starts_with('[') {
        return Err(Malformed { id: None, fault: invalid("a message is an object") });
    }
    let wire = serde_json::from_str::<Wire>(text);
    wire.map_err(|error| Malformed { id: None, fault: unreadable(&error) })?.sort()
}

/// The id of a request that a parameter names, such as `requestId`.
pub(super) fn named_id(value: Option<&Value>) -> Option<Id> {
    read_id(value?.clone()).ok()
}

/// A member is `None` when absent and `Some(null)` when null: an id of null is an error, no id is a notification.
#[derive(Deserialize)]
struct Wire {
    #[serde(default, deserialize_with = "present")]
    jsonrpc: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    id: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    method: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    params: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    result: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    error: Option<Value>,
}

fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl Wire {
    fn sort(self) -> Result<Message, Malformed> {
        let Self { jsonrpc, id, method, params, result, error } = self;
        let answers = result.is_some() || error.is_some();
        let id = match id {
            None => None,
            // An answer to a body that could not be read carries no id of its own.
            Some(Value::Null) if method.is_none() && error.is_some() => None,
            Some(value) => Some(read_id(value).map_err(|fault| Malformed { id: None, fault })?),
        };
        let fail = |id: Option<Id>, text: &str| Err(Malformed { id, fault: invalid(text) });
        if jsonrpc.as_ref().and_then(Value::as_str) != Some("2.0") {
            return fail(id, "jsonrpc must be \"2.0\"");
        }
        let method = match method {
            Some(Value::String(_)) if answers => {
                return fail(id, "a message has a method, a result or an error");
            }
            Some(Value::String(method)) => method,
            Some(_) => return fail(id, "method must be a string"),
            None if answers => {
                let outcome = match (result, error) {
                    (_, Some(error)) => Err(error),
                    (result, None) => Ok(result.unwrap_or_default()),
                };
                return Ok(Message::Response { id, outcome });
            }
            None => return fail(id, "method is missing"),
        };
        let params = match params {
            None => Map::new(),
            Some(Value::Object(params)) => params,
            Some(_) => return fail(id, "params must be an object; leave it out if there are none"),
        };
        Ok(match id {
            Some(id) => Message::Request { id, method, params },
            None => Message::Notification { method, params },
        })
    }
}

fn read_id(value: Value) -> Result<Id, Fault> {
    match value {
        Value::String(text) => Ok(Id::Text(text)),
        Value::Number(number) if number.is_i64() || number.is_u64() => Ok(Id::Number(number)),
        Value::Number(_) => Err(invalid("id must be a whole number of at most 64 bits, or a string")),
        Value::Null => Err(invalid("id must not be null; leave it out of a notification")),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Err(invalid("id must be a number or a string"))
        }
    }
}

fn invalid(text: &str) -> Fault {
    Fault::InvalidRequest(text.to_owned())
}

/// Says where, never what: the parser's own text may repeat the body.
fn unreadable(error: &serde_json::Error) -> Fault {
    let at = format!("line {}, column {}", error.line(), error.column());
    match error.classify() {
        Category::Data => Fault::InvalidRequest(format!(
            "the body must be one JSON object that has each of jsonrpc, id, method and params at most once ({at})"
        )),
        Category::Eof => Fault::Parse(format!("the body ends too early ({at})")),
        Category::Syntax | Category::Io => Fault::Parse(format!("the body is not JSON ({at})")),
    }
}

/// Counts brackets outside of strings, so that neither the parser nor whoever walks the value later can be driven
/// into deep recursion.
fn too_deep(bytes: &[u8]) -> bool {
    let (mut depth, mut rest) = (0usize, bytes);
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'"' => rest = after_string(rest),
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// What follows the string that `rest` goes on with.
fn after_string(mut rest: &[u8]) -> &[u8] {
    while let Some(at) = memchr2(b'"', b'\\', rest) {
        let escaped = usize::from(rest.get(at) == Some(&b'\\'));
        rest = rest.get(at + 1 + escaped..).unwrap_or_default();
        if escaped == 0 {
            return rest;
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> Fault {
        parse(body.as_bytes()).expect_err(body)
    }

    #[test]
    fn a_request_has_an_id_and_a_notification_has_none() {
        let request = parse(br#" {"jsonrpc":"2.0","id":"a","method":"m","params":{"x":1}}"#).unwrap();
        let Message::Request { id, method, params } = request else { panic!("not a request") };
        assert_eq!((id, method.as_str(), params.len()), (Id::Text("a".into()), "m", 1));
        let notice = parse(br#"{"jsonrpc":"2.0","method":"m"}"#).unwrap();
        assert_eq!(notice, Message::Notification { method: "m".into(), params: Map::new() });
    }

    #[test]
    fn integers_of_64_bits_are_ids_and_come_back_as_they_were() {
        for id in ["0", "-9223372036854775808", "18446744073709551615"] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"m"}}"#);
            let Message::Request { id: read, .. } = parse(body.as_bytes()).unwrap() else { panic!("{id}") };
            assert_eq!(serde_json::to_string(&read).unwrap(), id);
        }
    }

    #[test]
    fn ids_that_are_null_fractional_or_no_scalar_are_refused() {
        for id in ["null", "1.5", "1.0", "1e3", "true", "[1]", "{}", "18446744073709551616"] {
            let fault = refused(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"m"}}"#));
            assert!(matches!(fault, Fault::InvalidRequest(_)), "{id}: {fault:?}");
        }
    }

    #[test]
    fn what_is_not_json_is_a_parse_error_that_repeats_nothing_of_the_body() {
        for body in
            ["", "{", "nonsense", r#"{"jsonrpc":"2.0"} x"#, r#"{"id":1e999}"#, r#"{"method":"\ud800"}"#]
        {
            assert!(matches!(refused(body), Fault::Parse(_)), "{body}");
        }
        assert!(!refused("nonsense").to_string().contains("nonsense"));
        assert!(matches!(parse(b"\xff\xfe"), Err(Fault::Parse(_))));
    }

    #[test]
    fn json_that_is_no_message_is_an_invalid_request() {
        let bodies = [
            "1",
            "null",
            r#""text""#,
            "{}",
            r#"{"jsonrpc":"1.0","id":1,"method":"m"}"#,
            r#"{"jsonrpc":2.0,"id":1,"method":"m"}"#,
            r#"{"id":1,"method":"m"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":5}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[1]}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"m","params":null}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"m","result":{}}"#,
        ];
        for body in bodies {
            assert!(matches!(refused(body), Fault::InvalidRequest(_)), "{body}");
        }
    }

    #[test]
    fn a_repeated_member_of_the_envelope_is_refused() {
        let fault = refused(r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"m"}"#);
        assert!(fault.to_string().contains("at most once"), "{fault}");
        assert!(matches!(
            refused(r#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#),
            Fault::InvalidRequest(_)
        ));
    }

    #[test]
    fn the_id_is_kept_when_only_the_rest_is_wrong() {
        let malformed = read(br#"{"jsonrpc":"2.0","id":7,"method":"m","params":[]}"#).unwrap_err();
        assert_eq!(malformed.id, Some(Id::Number(7.into())));
    }

    #[test]
    fn answers_are_told_apart_from_requests() {
        let result = parse(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#).unwrap();
        let id = Some(Id::Number(1.into()));
        assert_eq!(result, Message::Response { id, outcome: Ok(Value::Object(Map::new())) });
        let error = br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}"#;
        assert!(matches!(parse(error), Ok(Message::Response { id: None, outcome: Err(_) })));
    }

    #[test]
    fn an_array_is_a_batch_and_never_a_message_by_position() {
        assert_eq!(parse(b" []"), Ok(Message::Batch(vec![])));
        assert!(element(r#"["2.0",1,"tools/list",{}]"#).is_err(), "an array is no element of a batch");
        let by_position = parse(br#"["2.0",1,"tools/list",{}]"#).unwrap();
        assert!(matches!(by_position, Message::Batch(elements) if elements.len() == 4));
    }

    #[test]
    fn sixty_four_levels_are_read_and_sixty_five_are_not() {
        let nested = |levels: usize| {
            let inner = levels - 2;
            let (open, close) = ("[".repeat(inner), "]".repeat(inner));
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"a":{open}{close}}}}}"#)
        };
        assert!(parse(nested(64).as_bytes()).is_ok());
        assert!(refused(&nested(65)).to_string().contains("64 levels"));
        assert!(matches!(refused(&"[".repeat(1_000_000)), Fault::InvalidRequest(_)));
    }

    #[test]
    fn brackets_inside_a_string_do_not_count() {
        let text = format!(r#"\"{}"#, "[{".repeat(200));
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"a":"{text}"}}}}"#);
        assert!(parse(body.as_bytes()).is_ok());
    }
}

//! What the bridge must know of a message that it carries, and what it says in a server's place. Pure.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::mcp::Fault;
use crate::mcp::revision::{Era, mirrored, newest};
use crate::mcp::rpc::{self, Id, Message};

/// A line of the client's.
#[derive(Debug, Default)]
pub struct Heard {
    /// The requests in it, which want answers.
    pub requests: Vec<Id>,
    /// The protocol headers that go with it.
    pub headers: Vec<(&'static str, String)>,
    /// It says its revision itself and depends on no other message.
    pub modern: bool,
    /// It is the handshake's first message.
    pub opens: bool,
    /// It is the handshake's last message.
    pub opened: bool,
    /// The request that it cancels.
    pub cancels: Option<Id>,
}

impl Heard {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it, for its sender: nobody else could say to which message that belongs.
    pub fn read(line: &[u8]) -> Result<Self, String> {
        match rpc::parse(line).map_err(|fault| fault.to_string())? {
            Message::Request { id, method, params } => {
                let headers = mirrored(&method, &params);
                Ok(Self {
                    requests: vec![id],
                    modern: !headers.is_empty(),
                    headers,
                    opens: method == "initialize",
                    ..Self::default()
                })
            }
            Message::Notification { method, params } => {
                let headers = mirrored(&method, &params);
                Ok(Self {
                    modern: !headers.is_empty(),
                    headers,
                    opened: method == "notifications/initialized",
                    cancels: (method == "notifications/cancelled").then(|| cancelled(&params)).flatten(),
                    ..Self::default()
                })
            }
            Message::Response { .. } => Ok(Self::default()),
            Message::Batch(elements) => {
                let requests = elements.iter().filter_map(|element| match rpc::parse(element.as_bytes()) {
                    Ok(Message::Request { id, .. }) => Some(id),
                    Ok(_) | Err(_) => None,
                });
                Ok(Self { requests: requests.collect(), ..Self::default() })
            }
        }
    }
}

fn cancelled(params: &Map<String, Value>) -> Option<Id> {
    match params.get("requestId")? {
        Value::String(text) => Some(Id::Text(text.clone())),
        Value::Number(number) => Some(Id::Number(number.clone())),
        _ => None,
    }
}

/// The requests that a message of the server's answers; an error may name none.
pub fn answered(said: &[u8]) -> Vec<Option<Id>> {
    let one = |message| match message {
        Ok(Message::Response { id, .. }) => Some(id),
        Ok(_) | Err(_) => None,
    };
    match rpc::parse(said) {
        Ok(Message::Batch(elements)) => {
            elements.iter().filter_map(|element| one(rpc::parse(element.as_bytes()))).collect()
        }
        message => one(message).into_iter().collect(),
    }
}

/// `said`, an error that names no request, as the answer to `id`; None where it is no such error.
pub fn adopted(said: &[u8], id: &Id) -> Option<Bytes> {
    let mut said: Map<String, Value> = serde_json::from_slice(said).ok()?;
    let is_ours = said.get("jsonrpc")?.as_str()? == "2.0" && said.get("error")?.is_object();
    if !is_ours || said.get("id").is_some_and(|id| !id.is_null()) {
        return None;
    }
    said.insert("id".to_owned(), serde_json::to_value(id).ok()?);
    Some(Value::Object(said).to_string().into())
}

/// The error that a request ends with which the server did not answer.
pub fn error(id: &Id, why: &str) -> Bytes {
    newest(Era::Legacy).encode_refusal(id, why).into()
}

/// The answer to a line that is no message.
pub fn unreadable(why: &str) -> Bytes {
    newest(Era::Legacy).encode_fault(None, &Fault::InvalidRequest(why.to_owned())).1.into()
}

/// What a server that refuses a request over HTTP says in words, from a JSON body such as OAuth's (RFC 6749 section 5.2).
pub fn words(body: &[u8]) -> Option<String> {
    let said: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let texts = ["error_description", "message", "detail", "error"];
    let text = texts.iter().find_map(|name| said.get(*name)?.as_str())?;
    let plain: String = text.chars().filter(|char| !char.is_control()).take(500).collect();
    Some(plain).filter(|plain| !plain.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn heard(message: Value) -> Heard {
        Heard::read(message.to_string().as_bytes()).unwrap()
    }

    fn number(id: u64) -> Id {
        Id::Number(id.into())
    }

    #[test]
    fn a_line_is_known_by_its_requests_its_era_and_its_place_in_the_handshake() {
        let first = heard(json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}));
        assert!(first.opens && !first.modern && first.requests == [number(1)]);
        assert!(heard(json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).opened);
        let meta = json!({"io.modelcontextprotocol/protocolVersion": newest(Era::Modern).name});
        let call = json!({"jsonrpc": "2.0", "id": "a", "method": "tools/call", "params": {"name": "t", "_meta": meta}});
        let call = heard(call);
        assert!(call.modern && call.headers.len() == 3 && call.requests == [Id::Text("a".into())]);
        let cancel =
            json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}});
        assert_eq!(heard(cancel).cancels, Some(number(7)));
        let batch =
            json!([{"jsonrpc": "2.0", "id": 1, "method": "ping"}, {"jsonrpc": "2.0", "method": "x"}, 7]);
        assert_eq!(heard(batch).requests, [number(1)]);
        assert!(Heard::read(b"{").is_err() && Heard::read(b"7").is_err());
    }

    #[test]
    fn an_answer_is_known_by_the_requests_it_names() {
        let result = |id: Value| json!({"jsonrpc": "2.0", "id": id, "result": {}});
        let answers = |said: Value| answered(said.to_string().as_bytes());
        assert_eq!(answers(result(json!(3))), [Some(number(3))]);
        assert_eq!(
            answers(json!([result(json!(3)), result(json!("b"))])),
            [Some(number(3)), Some(Id::Text("b".into()))]
        );
        assert_eq!(answers(json!({"jsonrpc": "2.0", "id": null, "error": {}})), [None]);
        assert!(answers(json!({"jsonrpc": "2.0", "method": "notifications/progress"})).is_empty());
        assert!(answers(json!({"error": "invalid_token"})).is_empty());
    }

    #[test]
    fn an_error_without_an_id_becomes_the_answer_to_the_one_request() {
        for nameless in [
            json!({"jsonrpc": "2.0", "id": null, "error": {"code": 1}}),
            json!({"jsonrpc": "2.0", "error": {"code": 1}}),
        ] {
            let said = adopted(nameless.to_string().as_bytes(), &number(4)).unwrap();
            let said: Value = serde_json::from_slice(&said).unwrap();
            assert_eq!(said, json!({"jsonrpc": "2.0", "id": 4, "error": {"code": 1}}));
        }
        for other in [json!({"jsonrpc": "2.0", "id": 4, "error": {}}), json!({"error": "x"}), json!([])] {
            assert!(adopted(other.to_string().as_bytes(), &number(4)).is_none(), "{other}");
        }
    }

    #[test]
    fn what_a_refusal_says_is_read_from_the_usual_members() {
        assert_eq!(
            words(br#"{"error":"x","error_description":"too\u0007 old"}"#).as_deref(),
            Some("too old")
        );
        assert_eq!(words(br#"{"error":"x"}"#).as_deref(), Some("x"));
        assert_eq!(words(b"<html>"), None);
    }
}

//! What a client puts into the headers of a message that it sends over HTTP: the body's own values, repeated.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::{Era, modern, newest};

/// The protocol headers of one message of the era in which each carries its own metadata; none where it is of the other.
pub fn mirrored(method: &str, params: &Map<String, Value>) -> Vec<(&'static str, String)> {
    let Some(version) = modern::claimed(params) else { return Vec::new() };
    let mut headers = vec![("mcp-protocol-version", wrapped(version)), ("mcp-method", wrapped(method))];
    let named = newest(Era::Modern).mirrored.iter().find(|(of, _)| *of == method);
    if let Some(name) = named.and_then(|(_, name)| params.get(*name)?.as_str()) {
        headers.push(("mcp-name", wrapped(name)));
    }
    headers
}

/// `value` as it may stand in a header: Base64 between markers where it is not plain visible text, or could be taken
/// for such.
fn wrapped(value: &str) -> String {
    let plain = value.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && value.trim() == value
        && !value.starts_with("=?base64?");
    if plain { value.to_owned() } else { format!("=?base64?{}?=", STANDARD.encode(value)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(method: &str, params: Value) -> Vec<(&'static str, String)> {
        mirrored(method, params.as_object().unwrap())
    }

    #[test]
    fn a_message_with_metadata_of_its_own_repeats_version_method_and_name() {
        let version = newest(Era::Modern).name;
        let meta = json!({"io.modelcontextprotocol/protocolVersion": version});
        let headers = of("tools/call", json!({"_meta": meta, "name": "a tool"}));
        let expected =
            [("mcp-protocol-version", version), ("mcp-method", "tools/call"), ("mcp-name", "a tool")];
        assert_eq!(headers, expected.map(|(name, value)| (name, value.to_owned())));
        assert_eq!(of("resources/read", json!({"_meta": meta, "uri": "a:b"}))[2].1, "a:b");
        assert_eq!(of("tools/list", json!({"_meta": meta, "name": "x"})).len(), 2);
        assert!(of("tools/call", json!({"name": "a tool"})).is_empty());
    }

    #[test]
    fn what_a_header_cannot_hold_is_wrapped() {
        assert_eq!(wrapped("Hello, 世界"), "=?base64?SGVsbG8sIOS4lueVjA==?=");
        assert_eq!(wrapped("a\nb"), "=?base64?YQpi?=");
        assert_eq!(wrapped(" a"), "=?base64?IGE=?=");
        assert_eq!(wrapped("=?base64?eA==?="), "=?base64?PT9iYXNlNjQ/ZUE9PT89?=");
        assert_eq!(wrapped("plain ~"), "plain ~");
    }
}

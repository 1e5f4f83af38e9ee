//! Event-stream framing (WHATWG HTML, server-sent events): one event or comment to bytes.
//!
//! Knows nothing of what the events mean.

/// What proxies and clients see of a stream on which nothing happens.
pub const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// One event of the default kind. `id` is what a client may resume after; `retry` is for how many milliseconds it
/// waits before. `data` may have several lines and may be empty.
pub fn message(id: Option<&str>, retry_ms: Option<u64>, data: &[u8]) -> Vec<u8> {
    event(None, id, retry_ms, data)
}

/// One event of the kind `name`.
pub fn event(name: Option<&str>, id: Option<&str>, retry_ms: Option<u64>, data: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(data.len() + 48);
    let mut line = |field: &[u8], value: &[u8]| {
        frame.extend_from_slice(field);
        frame.extend_from_slice(b": ");
        frame.extend_from_slice(value);
        frame.push(b'\n');
    };
    for (field, value) in [("event", name), ("id", id)] {
        // A line end within would begin another field.
        if let Some(value) = value.filter(|value| !value.contains(['\n', '\r', '\0'])) {
            line(field.as_bytes(), value.as_bytes());
        }
    }
    if let Some(retry) = retry_ms {
        line(b"retry", retry.to_string().as_bytes());
    }
    let mut rest = data;
    while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        let (part, more) = rest.split_at(end);
        line(b"data", part);
        // Of the line ends that a reader knows, CRLF is one.
        rest = more.strip_prefix(b"\r\n").unwrap_or(more.get(1..).unwrap_or_default());
    }
    line(b"data", rest);
    frame.push(b'\n');
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(frame: Vec<u8>) -> String {
        String::from_utf8(frame).unwrap()
    }

    #[test]
    fn an_event_is_its_fields_and_an_empty_line() {
        assert_eq!(text(message(None, None, b"{}")), "data: {}\n\n");
        assert_eq!(text(message(Some("1-2"), Some(500), b"")), "id: 1-2\nretry: 500\ndata: \n\n");
        assert_eq!(text(event(Some("endpoint"), None, None, b"/m")), "event: endpoint\ndata: /m\n\n");
    }

    #[test]
    fn no_line_end_within_a_value_begins_a_field() {
        assert_eq!(
            text(message(None, None, b"a\nid: 9\r\nb\rc")),
            "data: a\ndata: id: 9\ndata: b\ndata: c\n\n"
        );
        assert_eq!(text(message(None, None, b"a\r")), "data: a\ndata: \n\n");
        assert_eq!(text(message(Some("1\nretry: 0"), None, b"a")), "data: a\n\n");
    }
}

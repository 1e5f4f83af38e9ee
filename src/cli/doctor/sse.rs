//! Reads an event stream (WHATWG HTML section 9.2.6) as far as it has come. Pure.

/// One event; comments and events without data are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// `message` where the stream names none.
    pub kind: String,
    pub data: String,
}

/// The events that `text` holds whole; what follows the last empty line is still coming.
pub fn events(text: &str) -> Vec<Event> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
    let Some((whole, _)) = text.rsplit_once("\n\n") else { return Vec::new() };
    whole.split("\n\n").filter_map(event).collect()
}

fn event(block: &str) -> Option<Event> {
    let mut kind = "";
    let mut data: Option<String> = None;
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => kind = value,
            "data" => match &mut data {
                Some(lines) => {
                    lines.push('\n');
                    lines.push_str(value);
                }
                None => data = Some(value.to_owned()),
            },
            _ => {}
        }
    }
    let kind = if kind.is_empty() { "message" } else { kind }.to_owned();
    data.filter(|data| !data.is_empty()).map(|data| Event { kind, data })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<(String, String)> {
        events(text).into_iter().map(|event| (event.kind, event.data)).collect()
    }

    #[test]
    fn only_whole_events_are_read_whatever_ends_their_lines() {
        for end in ["\n", "\r\n", "\r"] {
            let text =
                ["event: endpoint", "data: /m?s=1", "", "data:a", "data: b", "", "data: half"].join(end);
            let expected = [("endpoint", "/m?s=1"), ("message", "a\nb")];
            assert_eq!(told(&text), expected.map(|(kind, data)| (kind.to_owned(), data.to_owned())));
        }
    }

    #[test]
    fn comments_ids_and_events_without_data_are_passed_over() {
        let text = ": keep-alive\n\nid: 7\nretry: 10\ndata:\n\nid: 8\ndata: x\nother: y\n\n";
        assert_eq!(told(text), [("message".to_owned(), "x".to_owned())]);
        assert!(events("data: x\n").is_empty());
    }
}

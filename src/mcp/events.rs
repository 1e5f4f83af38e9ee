//! Reads an event stream as it comes (WHATWG HTML section 9.2.6): bytes in, whole events out. The other side of
//! [`super::sse`].
//!
//! Knows nothing of what the events mean.

use std::time::Duration;

/// The most bytes of one event.
const LARGEST: usize = 64 << 20;

/// One event of the default kind, with its data; others, comments and events without data are passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its lines, with line feeds between.
    pub data: Vec<u8>,
}

/// One event is larger than this side keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// What has come so far and is no whole event.
#[derive(Debug, Default)]
pub struct Events {
    line: Vec<u8>,
    data: Option<Vec<u8>>,
    other_kind: bool,
    after_return: bool,
    begun: bool,
    id: Option<String>,
    /// The id of the event that was last whole.
    last_id: Option<String>,
    retry: Option<Duration>,
}

impl Events {
    /// Takes the next bytes of the stream.
    ///
    /// # Errors
    /// Where an event is larger than 64 MiB: the rest of the stream cannot be read.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLarge> {
        let mut whole = Vec::new();
        for byte in bytes {
            let after_return = std::mem::take(&mut self.after_return);
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => {
                    self.after_return = *byte == b'\r';
                    let line = std::mem::take(&mut self.line);
                    whole.extend(self.end_of_line(&line));
                }
                byte => self.line.push(*byte),
            }
            if self.line.len() + self.data.as_ref().map_or(0, Vec::len) > LARGEST {
                return Err(TooLarge);
            }
        }
        Ok(whole)
    }

    /// What the last whole event is named by, for a reader who lost the stream.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// How long such a reader is asked to wait.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    fn end_of_line(&mut self, line: &[u8]) -> Option<Event> {
        let line = match std::mem::replace(&mut self.begun, true) {
            true => line,
            false => line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line),
        };
        if line.is_empty() {
            let (data, other_kind) = (self.data.take(), std::mem::take(&mut self.other_kind));
            self.last_id = self.id.clone();
            return data.filter(|data| !data.is_empty() && !other_kind).map(|data| Event { data });
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (field, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let text = || std::str::from_utf8(value).ok();
        match field {
            b"data" => match &mut self.data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => self.data = Some(value.to_vec()),
            },
            b"event" => self.other_kind = !matches!(value, b"" | b"message"),
            b"id" if !value.contains(&0) => {
                self.id = text().filter(|id| !id.is_empty()).map(str::to_owned);
            }
            b"retry" => {
                let millis = text().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
                self.retry =
                    millis.and_then(|text| text.parse().ok()).map(Duration::from_millis).or(self.retry);
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::sse;
    use super::*;

    fn all(events: &mut Events, bytes: &[u8]) -> Vec<String> {
        let whole = events.take(bytes).unwrap();
        whole.into_iter().map(|event| String::from_utf8(event.data).unwrap()).collect()
    }

    #[test]
    fn an_event_is_whole_at_its_empty_line_wherever_the_bytes_are_cut() {
        let text = "\u{feff}data: a\r\ndata:b\r\n\r\n: keep-alive\n\nevent: other\ndata: x\n\nid: 7\rdata: c\r\rdata: half\n";
        for size in 1..text.len() {
            let mut events = Events::default();
            let read: Vec<String> =
                text.as_bytes().chunks(size).flat_map(|piece| all(&mut events, piece)).collect();
            assert_eq!(read, ["a\nb", "c"], "{size}");
            assert_eq!(events.last_id(), Some("7"));
        }
    }

    #[test]
    fn what_this_server_writes_is_read_back() {
        let mut events = Events::default();
        let mut stream = sse::message(Some("1-0"), Some(500), b"");
        stream.extend(sse::KEEP_ALIVE);
        stream.extend(sse::message(Some("1-1"), None, b"{\"a\":1}"));
        stream.extend(sse::event(Some("endpoint"), None, None, b"/m"));
        assert_eq!(all(&mut events, &stream), ["{\"a\":1}"]);
        assert_eq!((events.last_id(), events.retry()), (Some("1-1"), Some(Duration::from_millis(500))));
    }

    #[test]
    fn an_event_that_never_ends_is_given_up() {
        let mut events = Events::default();
        let piece = vec![b'x'; LARGEST / 4];
        assert_eq!(events.take(b"data: "), Ok(vec![]));
        let ends = (0..5).map(|_| events.take(&piece)).find(Result::is_err);
        assert_eq!(ends, Some(Err(TooLarge)));
    }
}

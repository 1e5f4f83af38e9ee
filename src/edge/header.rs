//! How large a request's header is, by our own count: pingora's limits are constants.

use pingora::http::RequestHeader;

use crate::gate::Refusal;

/// Bounds of every request's header.
#[derive(Clone, Copy, Debug)]
pub struct HeaderBounds {
    /// Bytes of the request line and all fields, as HTTP/1.1 writes them.
    pub bytes: usize,
    /// Fields, each line counted.
    pub fields: usize,
}

/// `: ` and the end of the line.
const FIELD_OVERHEAD: usize = 4;

/// ` HTTP/1.1`, the end of the line, and the space after the method.
const LINE_OVERHEAD: usize = 12;

/// Refuses what is over the bounds. HTTP/2's pseudo-header fields count as the request line they stand for,
/// and a target that is too long is a header that is too large.
pub fn check(head: &RequestHeader, bounds: HeaderBounds) -> Result<(), Refusal> {
    let authority = head.uri.authority().map_or(0, |authority| authority.as_str().len());
    let line = head.method.as_str().len() + head.raw_path().len() + authority + LINE_OVERHEAD;
    let fields = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD);
    if head.headers.len() > bounds.fields || line + fields.sum::<usize>() > bounds.bytes {
        return Err(Refusal::LargeHeader { bytes: bounds.bytes, fields: bounds.fields });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(target: &str, fields: &[(&'static str, &str)]) -> RequestHeader {
        let mut head = RequestHeader::build("GET", target.as_bytes(), None).unwrap();
        for (name, value) in fields {
            head.append_header(*name, *value).unwrap();
        }
        head
    }

    #[test]
    fn bytes_are_counted_as_http_1_1_writes_them() {
        let text = "GET /a?b HTTP/1.1\r\nhost: a.example\r\naccept: x\r\naccept: y\r\n";
        let head = head("/a?b", &[("host", "a.example"), ("accept", "x"), ("accept", "y")]);
        assert!(check(&head, HeaderBounds { bytes: text.len(), fields: 3 }).is_ok());
        for (bytes, fields) in [(text.len() - 1, 3), (text.len(), 2)] {
            let refused = check(&head, HeaderBounds { bytes, fields });
            assert_eq!(refused, Err(Refusal::LargeHeader { bytes, fields }));
        }
    }

    #[test]
    fn a_long_target_counts_whatever_form_it_has() {
        let bounds = HeaderBounds { bytes: 1000, fields: 10 };
        let long = "x".repeat(990);
        for target in [format!("/{long}"), format!("/?{long}"), format!("http://a.example/{long}")] {
            assert!(check(&head(&target, &[]), bounds).is_err(), "{target}");
        }
    }
}

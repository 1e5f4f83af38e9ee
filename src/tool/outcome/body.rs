//! What a body is: by its content type, coding and charset, by its looks where it has no type, and
//! never by a guess where it says something that is not so.

use std::borrow::Cow;

use super::super::rest::RestResponse;
use super::super::text::excerpt;
use super::json::{self, Flaw};

/// The most that is shown of what cannot be read, in characters.
const START: usize = 500;

/// A body as it can be shown.
pub(super) enum Body<'a> {
    Empty,
    /// JSON that any reader accepts, compact.
    Json(Cow<'a, str>),
    Text(Cow<'a, str>),
    /// An HTML page.
    Page,
    /// Anything else, with its type.
    Binary(String),
    /// What it is declared to be, it is not; with its beginning where that is text.
    Unreadable {
        why: String,
        start: Option<String>,
    },
}

pub(super) fn read(response: &RestResponse) -> Body<'_> {
    if response.body.is_empty() || matches!(response.status, 204 | 205 | 304) {
        return Body::Empty;
    }
    if let Some(coding) = &response.coding {
        let why =
            format!("it is compressed or coded ({}), although plain was asked for", excerpt(coding, 40));
        return unreadable(why);
    }
    let full = response.content_type.as_deref().unwrap_or_default();
    let essence = full.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    // Some servers put a byte order mark before JSON and text.
    let bytes = response.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&response.body);
    match essence.as_str() {
        "application/json" | "text/json" => as_json(bytes),
        json if json.ends_with("+json") => as_json(bytes),
        "text/html" | "application/xhtml+xml" => Body::Page,
        "text/plain" => match (looks_like_json(bytes), json::tidy(bytes)) {
            (true, Ok(json)) => Body::Json(json),
            _ => as_text(bytes, charset(full)),
        },
        "application/x-ndjson" | "application/jsonl" | "application/xml" => as_text(bytes, charset(full)),
        text if text.starts_with("text/") => as_text(bytes, charset(full)),
        "" => untyped(bytes),
        _ => Body::Binary(excerpt(&essence, 80)),
    }
}

fn unreadable(why: impl Into<String>) -> Body<'static> {
    Body::Unreadable { why: why.into(), start: None }
}

fn as_json(bytes: &[u8]) -> Body<'_> {
    match json::tidy(bytes) {
        Ok(json) => Body::Json(json),
        Err(Flaw::TooDeep) => unreadable(format!("its JSON is nested deeper than {} levels", json::DEEPEST)),
        Err(Flaw::NotJson) if looks_like_a_page(bytes) => Body::Page,
        Err(Flaw::NotJson) => {
            let start = std::str::from_utf8(bytes).ok().filter(|text| !text.trim_start().starts_with('<'));
            let start = start.and_then(|text| text.get(..text.floor_char_boundary(4 * START)));
            let why = "it is declared as JSON and is not JSON".to_owned();
            Body::Unreadable { why, start: start.map(|text| excerpt(text, START)) }
        }
    }
}

fn as_text<'a>(bytes: &'a [u8], charset: Option<String>) -> Body<'a> {
    let text = match charset.as_deref() {
        None | Some("utf-8" | "utf8" | "us-ascii" | "ascii") => match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => return unreadable("it is declared as text and is not UTF-8"),
        },
        // Its 256 characters are the first 256 of Unicode.
        Some("iso-8859-1" | "iso8859-1" | "latin1" | "latin-1") => {
            Cow::Owned(bytes.iter().copied().map(char::from).collect())
        }
        Some(other) => return unreadable(format!("its charset {} is not known here", excerpt(other, 40))),
    };
    if looks_like_a_page(text.as_bytes()) { Body::Page } else { Body::Text(text) }
}

fn untyped(bytes: &[u8]) -> Body<'_> {
    let plain = |text: &&str| !text.chars().any(|c| c.is_control() && !c.is_ascii_whitespace());
    match (looks_like_json(bytes), json::tidy(bytes), std::str::from_utf8(bytes).ok().filter(plain)) {
        (true, Ok(json), _) => Body::Json(json),
        (true, Err(Flaw::TooDeep), _) => as_json(bytes),
        (_, _, Some(text)) => as_text(text.as_bytes(), None),
        _ => Body::Binary("no content type".into()),
    }
}

fn looks_like_json(bytes: &[u8]) -> bool {
    matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'['))
}

fn looks_like_a_page(bytes: &[u8]) -> bool {
    let start = bytes.trim_ascii_start();
    let begins = |with: &[u8]| start.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with));
    begins(b"<!doctype html") || begins(b"<html")
}

/// The `charset` parameter of a content type, in lower case.
fn charset(full: &str) -> Option<String> {
    full.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"').to_ascii_lowercase();
        name.trim().eq_ignore_ascii_case("charset").then_some(value)
    })
}

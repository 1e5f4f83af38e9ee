//! From what the PSA answered to what the agent is told: data, or a clear error with a remedy.
//!
//! Never shows a page, nor bytes as text. Knows nothing of the request.

mod body;
mod errors;
mod json;
mod list;
mod plain;
mod scan;
mod trim;
mod view;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use self::body::Body;
use self::view::{View, view, view_text};
use super::catalog::Entry;
use super::rest::{Destination, RestResponse};
use super::rewrite::CallArgs;
use super::schema::Complaint;
use super::text::{clean, excerpt};

/// What a tool call comes to.
#[derive(Clone, Debug)]
pub struct ToolResult {
    pub text: String,
    /// The text is a JSON object, and as such the structured form too.
    pub structured: bool,
    pub is_error: bool,
}

impl ToolResult {
    /// An error in words.
    pub fn error(text: impl Into<String>) -> Self {
        Self { text: text.into(), structured: false, is_error: true }
    }

    /// A result: compact JSON as text, and the value itself where it is an object.
    pub fn json(value: Value) -> Self {
        Self { text: value.to_string(), structured: value.is_object(), is_error: false }
    }

    /// An error that lists everything that is wrong with the arguments.
    pub fn complaints(subject: &str, complaints: &[Complaint]) -> Self {
        let list: String = complaints.iter().map(|complaint| format!("\n- {complaint}")).collect();
        Self::error(format!("{subject} was not called, because its arguments are not valid:{list}"))
    }

    fn failed(value: Value) -> Self {
        Self { is_error: true, ..Self::json(value) }
    }
}

/// The largest binary body that is handed on, in base64; a larger one is described.
pub const INLINE_BINARY: usize = 64 << 10;

/// What is wanted of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// The members to keep of each row, or of the one record: names, or dotted paths. None: all.
    pub fields: Vec<String>,
    /// HTML becomes plain text.
    pub plain_text: bool,
    pub turn: Turn,
}

/// How the arguments for the next page are said to the tool that was called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// As members of `query`.
    #[default]
    Query,
    /// As arguments of their own.
    Flat,
    /// It has other names for them.
    Unknown,
}

/// What was called, and how much of the answer is shown.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub entry: &'a Entry,
    pub args: &'a CallArgs,
    /// About the most bytes of a result's text.
    pub most: usize,
}

/// Shapes a response: 2xx that can be read into `{"status","ok":true,"note"?,"next"?,"cut"?,"data"}`, where a binary
/// body is `"data":null` with a `note` and, up to [`INLINE_BINARY`], its `base64`; everything else into an error result
/// `{"status","ok":false,"error","remedy","retryAfter"?,"note"?}`.
///
/// Only what stands under `data` and `error` is the PSA's; all other members are Sidegate's own words.
/// `key_hint` is the remedy of 401 and 403 where who calls can mend their key.
pub(super) fn shape_for(response: &RestResponse, asked: &Asked<'_>, key_hint: Option<&str>) -> ToolResult {
    let answered = match response.status {
        200..=299 => success(response, asked),
        300..=399 => Err(redirected(response)),
        _ => Err(refused(response, key_hint)),
    };
    answered.unwrap_or_else(|mut failure| {
        failure.extend(noted(&asked.args.notes).map(|note| ("note".to_owned(), note.into())));
        ToolResult::failed(failure.into())
    })
}

/// The most notes that are told.
const MOST_NOTES: usize = 12;

/// Notes as one text.
fn noted(notes: &[String]) -> Option<String> {
    let mut told: Vec<String> = notes.iter().take(MOST_NOTES).map(|note| excerpt(note, 1_000)).collect();
    let more = notes.len().saturating_sub(told.len());
    told.extend((more > 0).then(|| format!("and {more} more")));
    (!told.is_empty()).then(|| told.join("; "))
}

/// The error is a [`failure`].
fn success(response: &RestResponse, asked: &Asked<'_>) -> Result<ToolResult, Map<String, Value>> {
    let status = response.status;
    let done = |View { data, beside }: View<'_>| {
        // Written by hand, for the data stays as it is: on the path of every call it is checked and copied, never built
        // up and written again.
        let mut text = String::with_capacity(data.len() + 256);
        text.push_str(&format!(r#"{{"status":{status},"ok":true,"#));
        for (name, value) in ["note", "next", "cut"].iter().filter_map(|name| beside.get_key_value(*name)) {
            text.push_str(&format!("\"{name}\":{value},"));
        }
        text.push_str("\"data\":");
        text.push_str(&data);
        text.push('}');
        Ok(ToolResult { text, structured: true, is_error: false })
    };
    match body::read(response) {
        Body::Empty => done(view("null", asked)),
        Body::Json(data) => done(view(&data, asked)),
        Body::Text(text) => done(view_text(clean(&text), asked)),
        Body::Binary(kind) => {
            let bytes = response.body.len();
            let mut result = json!({"status": status, "ok": true, "data": null});
            result["note"] = match bytes <= INLINE_BINARY {
                true => {
                    result["base64"] = BASE64.encode(&response.body).into();
                    format!("binary body, {kind}, {bytes} bytes, in base64").into()
                }
                false => format!("binary body, {kind}, {bytes} bytes, not shown").into(),
            };
            if let (Some(note), Some(more)) = (result["note"].as_str(), noted(&asked.args.notes)) {
                result["note"] = format!("{note}; {more}").into();
            }
            Ok(ToolResult::json(result))
        }
        Body::Page => Err(failure(
            response,
            format!("an HTML page of {} bytes instead of data, not shown", response.body.len()).into(),
            "Such a page is often a sign-in or a placeholder, so that the call was probably not carried out: look before you call again. Tell the administrator to check psa.url.".into(),
        )),
        Body::Unreadable { why, start } => Err(unreadable(response, &why, start)),
    }
}

/// A 2xx that cannot be read: the call was carried out, and must not be repeated blindly.
fn unreadable(response: &RestResponse, why: &str, start: Option<String>) -> Map<String, Value> {
    let mut error = format!("the answer of {} bytes cannot be read: {why}", response.body.len());
    if let Some(start) = start {
        error += &format!("; it begins: {start}");
    }
    let remedy = "The PSA reported success, so that a change, if this was to be one, was probably made: look before you call again. Tell the administrator.";
    failure(response, Value::String(error), remedy.into())
}

fn redirected(response: &RestResponse) -> Map<String, Value> {
    let (whither, remedy) = match &response.redirect {
        Some(Destination::SameServer) => (
            " to another path of the same server".to_owned(),
            "It is often the sign-in page, or the API is under another path.",
        ),
        Some(Destination::Server(origin)) => {
            (format!(" to {}", excerpt(origin, 300)), "The PSA's address may have changed.")
        }
        Some(Destination::Unnamed) => {
            (" to an address that is none".to_owned(), "The PSA may be misconfigured.")
        }
        None => (String::new(), "It does not say where."),
    };
    let remedy = format!(
        "The call was not carried out, and redirects are not followed. {remedy} Use another endpoint, or tell the administrator to set psa.url to the PSA's final address."
    );
    failure(response, format!("redirected{whither}, not followed").into(), remedy)
}

fn refused(response: &RestResponse, key_hint: Option<&str>) -> Map<String, Value> {
    let body = body::read(response);
    let is_page = matches!(body, Body::Page);
    let error = errors::said(response, body);
    let wait = retry_after(response, &error);
    let remedy = match (response.status, key_hint) {
        (401 | 403, Some(hint)) => hint.to_owned(),
        (status, _) => errors::remedy(status, &error, wait.as_ref(), is_page),
    };
    failure(response, error, remedy)
}

/// The members of an error result.
fn failure(response: &RestResponse, error: Value, remedy: String) -> Map<String, Value> {
    let mut result = Map::new();
    result.insert("status".into(), response.status.into());
    result.insert("ok".into(), false.into());
    if let Some(wait) = retry_after(response, &error) {
        result.insert("retryAfter".into(), wait);
    }
    result.insert("error".into(), error);
    result.insert("remedy".into(), remedy.into());
    result
}

/// Seconds as a number, a date as text; for lack of the header, what the error object says.
fn retry_after(response: &RestResponse, error: &Value) -> Option<Value> {
    if let Some(sent) = response.retry_after.as_deref().map(str::trim).filter(|sent| !sent.is_empty()) {
        return Some(sent.parse::<u32>().map_or_else(|_| excerpt(sent, 40).into(), Value::from));
    }
    let millis = error.pointer("/details/retry_after_ms").and_then(Value::as_u64)?;
    (response.status == 429).then(|| millis.div_ceil(1_000).into())
}

#[cfg(test)]
mod tests;

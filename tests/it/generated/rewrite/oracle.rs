//! What a bound request may be, judged by the raw registry alone and without any code of the rewriting.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::Value;
use sidegate::tool::effect::Effect;
use sidegate::tool::rewrite::{Bound, CallArgs};

type Judged = Result<(), TestCaseError>;

const ACTS: &[&str] = &[
    "publish",
    "unpublish",
    "activate",
    "run",
    "execute",
    "start",
    "cancel",
    "replay",
    "resume",
    "retry",
    "requeue",
];
const DESTROYING: &[&str] =
    &["bulk-delete", "delete", "remove", "archive", "purge", "void", "cancel", "uninstall", "wipe"];
const ASKING: &[&str] = &["search", "validate", "simulate", "preview"];
const FORBIDDEN: &[&str] = &[
    "authorization",
    "cookie",
    "host",
    "x-api-key",
    "x-tenant-id",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "traceparent",
    "tracestate",
    "expect",
    "x-request-id",
    "content-type",
];
const FORBIDDEN_FAMILIES: &[&str] =
    &["x-forwarded", "x-http-method", "x-middleware-", "next-", "proxy-", ":"];

pub struct Oracle<'a> {
    /// The entries as the registry wrote them.
    pub registry: &'a [Value],
}

/// How often a server, and the proxies before it, may decode.
const ROUNDS: usize = 6;

/// One segment as bytes, decoded once more in each round until nothing is left to decode.
fn readings(segment: &str) -> Vec<Vec<u8>> {
    let mut readings = vec![segment.as_bytes().to_vec()];
    for _ in 0..ROUNDS {
        let last = readings.last().unwrap();
        let next: Vec<u8> = percent_encoding::percent_decode(last).collect();
        if next == *last {
            break;
        }
        readings.push(next);
    }
    readings
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn text<'a>(entry: &'a Value, member: &str) -> &'a str {
    entry[member].as_str().unwrap_or_default().trim()
}

impl Oracle<'_> {
    /// Holds where `bound` is nothing but what the registry lets `args` ask for.
    pub fn allows(&self, bound: &Bound, args: &CallArgs) -> Judged {
        let request = bound.request();
        let own: Vec<&Value> = self
            .registry
            .iter()
            .filter(|raw| text(raw, "id") == bound.entry().id && text(raw, "path") == bound.entry().path)
            .collect();
        let own = own.into_iter().find(|raw| text(raw, "method").eq_ignore_ascii_case(request.verb.as_str()));
        let Some(own) = own else {
            return Err(TestCaseError::fail("no entry of the registry has this method and path"));
        };
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%/!$&'()*+,;=:@".contains(&byte);
        prop_assert!(path.bytes().all(known) && request.target.len() <= 8_192, "{}", request.target);
        self.path(own, path, args)?;
        self.nobody_elses(own, path)?;
        Self::query(own, query)?;
        Self::headers(own, &request.headers)?;
        Self::body(own, request.body.as_deref(), args)?;
        Self::effect(own, path, bound.effect())
    }

    fn path(&self, own: &Value, path: &str, args: &CallArgs) -> Judged {
        let template: Vec<&str> = text(own, "path").split('/').collect();
        let segments: Vec<&str> = path.split('/').collect();
        prop_assert_eq!(template.len(), segments.len(), "{}", path);
        for (pattern, segment) in template.iter().zip(&segments).skip(1) {
            let Some(name) = pattern.strip_prefix('{').map(|rest| rest.trim_end_matches('}')) else {
                prop_assert_eq!(pattern, segment);
                continue;
            };
            let given = match &args.path[name] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            prop_assert_eq!(decoded(segment), given);
            for reading in readings(segment) {
                let text = String::from_utf8(reading).map_err(|_| TestCaseError::fail("not UTF-8"))?;
                let word = text.split(';').next().unwrap().trim();
                prop_assert!(!matches!(word, "" | "." | ".."), "{path}: {text:?}");
                prop_assert!(
                    !text.contains(['/', '\\']) && !text.contains(char::is_control),
                    "{path}: {text:?}"
                );
            }
        }
        Ok(())
    }

    /// The path is no other endpoint's and none that is denied, however often it is decoded.
    fn nobody_elses(&self, own: &Value, path: &str) -> Judged {
        let method = text(own, "method").to_ascii_uppercase();
        let segments: Vec<Vec<Vec<u8>>> = path.split('/').skip(1).map(readings).collect();
        for round in 0..=ROUNDS {
            let words: Vec<String> = segments
                .iter()
                .map(|readings| {
                    String::from_utf8_lossy(&readings[round.min(readings.len() - 1)]).into_owned()
                })
                .map(|text| text.split(';').next().unwrap().trim().to_ascii_lowercase())
                .collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            prop_assert!(!denied(&method, &words), "{method} {path} is denied");
            for other in self
                .registry
                .iter()
                .filter(|other| text(other, "path") != text(own, "path") && readable(other))
            {
                prop_assert!(!spells(text(own, "path"), text(other, "path"), &words), "{path} is {other}");
            }
        }
        Ok(())
    }

    fn declared(own: &Value, place: &str) -> Vec<String> {
        let all = own["parameters"].as_array().unwrap();
        all.iter().filter(|param| param["in"] == place).map(|param| text(param, "name").to_owned()).collect()
    }

    fn query(own: &Value, query: &str) -> Judged {
        let (declared, mut seen) = (Self::declared(own, "query"), BTreeSet::new());
        for pair in query.split('&').filter(|_| !query.is_empty()) {
            let Some((name, value)) = pair.split_once('=') else {
                return Err(TestCaseError::fail(pair.to_owned()));
            };
            let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
            prop_assert!(name.bytes().chain(value.bytes()).all(unreserved), "{pair}");
            prop_assert!(declared.contains(&decoded(name)) && seen.insert(name), "{query}");
            let odd = |c: char| c.is_control() && !matches!(c, '\t' | '\r' | '\n');
            prop_assert!(!decoded(value).contains(odd), "{pair}");
        }
        Ok(())
    }

    fn headers(own: &Value, headers: &[(String, String)]) -> Judged {
        let declared: Vec<String> =
            Self::declared(own, "header").iter().map(|name| name.to_ascii_lowercase()).collect();
        let mut seen = BTreeSet::new();
        for (name, value) in headers {
            let plain = name.replace('_', "-");
            prop_assert!(declared.contains(name) && seen.insert(name), "{name}");
            prop_assert!(!FORBIDDEN.contains(&plain.as_str()), "{name}");
            prop_assert!(!FORBIDDEN_FAMILIES.iter().any(|family| plain.starts_with(family)), "{name}");
            prop_assert!(name.bytes().all(|byte| byte.is_ascii_graphic()), "{name}");
            prop_assert!(
                value.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) && value.trim() == value,
                "{value:?}"
            );
        }
        Ok(())
    }

    fn body(own: &Value, body: Option<&[u8]>, args: &CallArgs) -> Judged {
        let Some(body) = body else { return Ok(()) };
        let sent: Value =
            serde_json::from_slice(body).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(Some(&sent), args.body.as_ref());
        let schema = &own["requestBodySchema"];
        prop_assert!(!text(own, "method").eq_ignore_ascii_case("get"), "a body with a read");
        prop_assert!(schema.is_object() || *schema == true, "a body where none is declared");
        if let (Some(keys), Some(false), None) =
            (sent.as_object(), schema["additionalProperties"].as_bool(), schema.get("allOf"))
        {
            let known = schema["properties"].as_object().unwrap();
            prop_assert!(keys.keys().all(|key| known.contains_key(key)), "{sent}");
        }
        Ok(())
    }

    fn effect(own: &Value, path: &str, effect: Effect) -> Judged {
        let acts = |word: &str| DESTROYING.contains(&word.replace('_', "-").to_ascii_lowercase().as_str());
        let last = path.rsplit('/').next().unwrap();
        let destroys = readings(last)
            .iter()
            .any(|reading| acts(String::from_utf8_lossy(reading).split(';').next().unwrap().trim()));
        let least = match text(own, "method").to_ascii_lowercase().as_str() {
            "get" => Effect::Read,
            "delete" => Effect::Destroy,
            _ if destroys => Effect::Destroy,
            "post" if ASKING.contains(&text(own, "path").rsplit('/').next().unwrap()) => Effect::Read,
            _ => Effect::Write,
        };
        prop_assert!(effect >= least, "{path} is {effect}, at least {least}");
        Ok(())
    }
}

/// Whether a raw entry is one that the PSA has, as far as this registry can be read.
fn readable(raw: &Value) -> bool {
    let known = ["get", "post", "put", "patch", "delete"];
    let segment = |part: &str| {
        let variable = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        let (plain, odd) = (variable.unwrap_or(part), ['{', '}', ' ', '%', '?']);
        !plain.is_empty() && !matches!(plain, "." | "..") && !plain.contains(odd)
    };
    let path = text(raw, "path");
    let variables: Vec<&str> = path.split('/').filter(|part| part.starts_with('{')).collect();
    let distinct: BTreeSet<&str> = variables.iter().copied().collect();
    known.contains(&text(raw, "method").to_ascii_lowercase().as_str())
        && path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(segment))
        && variables.len() == distinct.len()
}

/// True where `words` fill a variable of `own` with a fixed word of `other`, all of whose words fit.
fn spells(own: &str, other: &str, words: &[&str]) -> bool {
    let (own, other): (Vec<&str>, Vec<&str>) =
        (own.split('/').skip(1).collect(), other.split('/').skip(1).collect());
    let variable = |part: &str| part.starts_with('{');
    other.len() == words.len()
        && other.iter().zip(words).all(|(part, word)| variable(part) || part.eq_ignore_ascii_case(word))
        && own.iter().zip(&other).any(|(own, other)| variable(own) && !variable(other))
}

/// The rules that an operator who writes none has.
fn denied(method: &str, words: &[&str]) -> bool {
    match words {
        ["api", "mcp", ..] | ["api", "v1", "mcp", ..] => true,
        ["api", "workflow-definitions", .., last] if ACTS.contains(last) => true,
        ["api", "workflow-definitions", .., "runs"] | ["api", "workflow-definitions", _, "runs", ..] => {
            method == "POST"
        }
        ["api", "workflow-runs", ..] | ["api", "workflow", "events", ..] => true,
        ["api", "v1" | "workflow-definitions", ..] | ["api", "workflow", "registry", _, ..] => false,
        _ => true,
    }
}

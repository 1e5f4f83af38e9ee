//! What reached the demo PSA: method, raw target and header names, never a header's value.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::request::Parts;
use serde_json::{Value, json};

const KEPT: usize = 2_000;

struct Line {
    number: u64,
    method: String,
    path: String,
    headers: Vec<String>,
    aborted: bool,
}

#[derive(Default)]
struct Lines {
    next: u64,
    kept: VecDeque<Line>,
}

/// The last 2000 requests.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Lines>>);

/// Marks its line as aborted when it is dropped before [`Visit::answered`]: the
/// server drops a handler when the client's connection closes.
pub(super) struct Visit {
    log: Log,
    number: u64,
    answered: bool,
}

impl Log {
    pub fn enter(&self, request: &Parts) -> Visit {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = lines.next;
        lines.next += 1;
        if lines.kept.len() == KEPT {
            lines.kept.pop_front();
        }
        lines.kept.push_back(Line {
            number,
            method: request.method.to_string(),
            path: request.uri.path_and_query().map_or_else(|| request.uri.to_string(), ToString::to_string),
            headers: request.headers.iter().map(|(name, _)| name.to_string()).collect(),
            aborted: false,
        });
        Visit { log: self.clone(), number, answered: false }
    }

    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).kept.clear();
    }

    /// The lines, oldest first, as `GET /__requests` shows them.
    pub fn show(&self) -> Value {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = lines.kept.iter().map(|line| {
            let mut shown = json!({"method": line.method, "path": line.path, "headers": line.headers});
            if line.aborted {
                shown["aborted"] = Value::Bool(true);
            }
            shown
        });
        Value::Array(shown.collect())
    }
}

impl Visit {
    pub fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let mut lines = self.log.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.kept.iter_mut().rev().find(|line| line.number == self.number) {
            line.aborted = true;
        }
    }
}

//! What a record says, in the order in which it is written, so that plain JSON comes out in canonical form (RFC 8785).

use std::sync::Arc;
use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::change::Change;
use crate::clock::{Millis, rfc3339};

/// The members of a record. Their order is that of their names: see [`super::Event::into_facts`].
#[derive(Clone, Default, Serialize)]
pub(super) struct Fields {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Arc<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<Box<Change>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth_client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    #[serde(skip_serializing_if = "Phases::is_empty")]
    pub phases: Phases,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub record: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_bytes: Option<usize>,
    pub request_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Answer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    #[serde(serialize_with = "with_millis")]
    pub time: Millis,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_method: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_status: Option<u16>,
}

/// The members of `result`, in the order of their names.
#[derive(Clone, Serialize)]
pub(super) struct Answer {
    pub bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
    pub hmac_sha256: String,
}

/// The members of `phases`, in the order of [`super::Phase`].
pub(super) const PHASES: [&str; 7] =
    ["authenticate_us", "decode_us", "decide_us", "intent_us", "credential_us", "upstream_us", "total_us"];
/// The place of `total_us`, which is no [`super::Phase`] since only the end can know it.
pub(super) const TOTAL: usize = 6;
/// The places in the order of their names.
const WRITTEN: [usize; PHASES.len()] = [0, 4, 2, 1, 3, 6, 5];
/// The longest that is counted: the largest integer of canonical JSON, 285 years.
const LONGEST: u64 = (1 << 53) - 1;

#[derive(Clone, Default)]
pub(super) struct Phases([Option<u64>; PHASES.len()]);

impl Phases {
    pub fn add(&mut self, place: usize, took: Duration) {
        if let Some(sum) = self.0.get_mut(place) {
            let micros = u64::try_from(took.as_micros()).unwrap_or(LONGEST);
            *sum = Some(sum.unwrap_or(0).saturating_add(micros).min(LONGEST));
        }
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

impl Serialize for Phases {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for place in WRITTEN {
            if let Some(took) = self.0[place] {
                map.serialize_entry(PHASES[place], &took)?;
            }
        }
        map.end()
    }
}

/// RFC 3339 in UTC with always three digits of milliseconds, so that lines sort by time as text.
fn with_millis<S: Serializer>(time: &Millis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}

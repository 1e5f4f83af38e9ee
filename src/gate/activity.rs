//! What a tenant's agents did, carried to the PSA's own record of it, for who looks there.
//!
//! Sidegate's record is the one that counts: no call waits for this one, and what the PSA cannot take is left out.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;

use crate::psa::{Activity, Directory, KeyError};
use crate::record::Record;

/// Activities that may wait.
const WAITING: usize = 10_000;
/// The most of one statement.
const BATCH: usize = 200;
/// How long they wait for company.
const LINGER: Duration = Duration::from_millis(500);
/// Before the PSA is asked again that could not be reached; longer each time, up to the last.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(60)];

/// Where activities are dropped. Cheap to clone.
#[derive(Clone)]
pub struct Activities(mpsc::Sender<Activity>);

/// What carries them to the PSA.
pub struct ActivityFollower {
    waiting: mpsc::Receiver<Activity>,
    directory: Arc<dyn Directory>,
    batch: Vec<Activity>,
    /// The PSA keeps no such record.
    idle: bool,
}

/// A way to the PSA's record of one tenant, both ends of it.
pub fn activities(directory: Arc<dyn Directory>) -> (Activities, ActivityFollower) {
    let (sender, waiting) = mpsc::channel(WAITING);
    (Activities(sender), ActivityFollower { waiting, directory, batch: Vec::new(), idle: false })
}

impl Activities {
    /// Notes what was done, without waiting. Returns how many there was no room for: those are not noted.
    pub fn note(&self, activities: &[Activity]) -> usize {
        activities.iter().filter(|activity| self.0.try_send((*activity).clone()).is_err()).count()
    }

    /// [`Activities::note`] of those records that are an agent's tool calls.
    pub fn note_records(&self, records: &[Record]) -> usize {
        let calls: Vec<_> = records.iter().filter_map(activity).collect();
        self.note(&calls)
    }
}

impl ActivityFollower {
    /// Carries activities until the last [`Activities`] is gone and all is carried, or cannot be.
    pub async fn follow(mut self) {
        while self.waiting.recv_many(&mut self.batch, BATCH).await > 0 {
            if self.batch.len() < BATCH && !self.waiting.is_closed() {
                tokio::time::sleep(LINGER).await;
                while self.batch.len() < BATCH
                    && let Ok(activity) = self.waiting.try_recv()
                {
                    self.batch.push(activity);
                }
            }
            self.carry().await;
            self.batch.clear();
        }
    }

    /// Carries the batch, as soon as the PSA can take it; one that it does not want is left out.
    async fn carry(&mut self) {
        let mut pauses = PAUSES.iter();
        let mut pause = Duration::ZERO;
        while !self.idle {
            match self.directory.note(&self.batch).await {
                Ok(()) => return,
                Err(KeyError::Unavailable(why)) => {
                    if pause.is_zero() {
                        tracing::warn!(why, "agents' calls are on record and cannot be noted in the PSA now");
                    }
                    // The server ends: nobody waits for a PSA that is away.
                    if self.waiting.is_closed() {
                        return;
                    }
                    pause = pauses.next().copied().unwrap_or(pause);
                    tokio::time::sleep(pause).await;
                }
                Err(KeyError::Unsupported(why)) => {
                    tracing::warn!(why, "agents' calls are not noted in the PSA");
                    self.idle = true;
                }
                Err(error) => {
                    let calls = self.batch.len();
                    tracing::warn!(%error, calls, "agents' calls are on record; the PSA did not take its note of them");
                    return;
                }
            }
        }
    }
}

/// An event as the PSA's Activity card shows it; none where it is no agent's tool call.
fn activity(record: &Record) -> Option<Activity> {
    let event = &record.facts;
    let (agent_id, tool) = (event.agent_id.clone()?, event.tool.clone()?);
    if !matches!(&*event.kind, "call" | "refusal") {
        return None;
    }
    let body: Value = serde_json::from_str(&event.body).unwrap_or_default();
    let outcome = event.outcome.as_deref().unwrap_or("unknown");
    let decision = event.verdict();
    let mut summary: Vec<_> =
        ["upstream_method", "upstream_path"].iter().filter_map(|field| body[*field].as_str()).collect();
    summary.push(outcome);
    summary.extend(body["rule"].as_str().filter(|_| decision == "deny"));
    summary.extend(body["reason"].as_str());
    Some(Activity {
        id: event.request_id.clone().unwrap_or_else(|| record.id()),
        agent_id,
        tool,
        arguments: body["arguments"].clone(),
        ok: decision == "allow",
        status: event.status.and_then(|status| u16::try_from(status).ok()),
        decision,
        summary: Some(summary.join(" ")),
        at: event.at,
    })
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use parking_lot::Mutex;
    use serde_json::json;

    use super::*;
    use crate::psa::Role;
    use crate::record::{Chain, ChainId, Facts};

    fn event(outcome: &str, decision: &str, status: Option<i64>) -> Record {
        of(facts(outcome, decision, status))
    }

    fn of(facts: Facts) -> Record {
        Chain::begin(ChainId(1)).append(facts)
    }

    fn facts(outcome: &str, decision: &str, status: Option<i64>) -> Facts {
        Facts {
            tenant: "main".to_owned(),
            agent_id: Some("a-1".to_owned()),
            at: 7,
            kind: "call".into(),
            tool: Some("call_api_endpoint".to_owned()),
            entry_id: None,
            decision: Some(decision.to_owned().into()),
            outcome: Some(outcome.to_owned().into()),
            status,
            request_id: Some("e-1".to_owned()),
            body: json!({
                "upstream_method": "DELETE", "upstream_path": "/api/v1/tickets/1", "rule": "max_effect",
                "arguments": { "entryId": "delete-ticket" },
            })
            .to_string(),
        }
    }

    #[test]
    fn an_event_is_allowed_denied_or_an_error_as_the_psa_counts_it() {
        let decision = |event: &Record| activity(event).map(|shown| (shown.decision, shown.ok));
        assert_eq!(decision(&event("ok", "allow", Some(200))), Some(("allow", true)));
        assert_eq!(decision(&event("tool_error", "allow", Some(403))), Some(("deny", false)));
        assert_eq!(decision(&event("denied", "deny", None)), Some(("deny", false)));
        assert_eq!(decision(&event("timeout", "allow", None)), Some(("error", false)));
        assert_eq!(decision(&event("fault", "refuse", None)), Some(("error", false)));
    }

    #[test]
    fn what_is_shown_says_which_call_it_was_and_holds_no_answer() {
        let shown = activity(&event("denied", "deny", None)).unwrap();
        assert_eq!(shown.summary.as_deref(), Some("DELETE /api/v1/tickets/1 denied max_effect"));
        assert_eq!(shown.arguments, json!({ "entryId": "delete-ticket" }));
        assert_eq!((shown.id.as_str(), shown.at, shown.status), ("e-1", 7, None));
    }

    #[test]
    fn what_is_no_agents_tool_call_is_not_shown() {
        let nobody = of(Facts { agent_id: None, ..facts("ok", "allow", None) });
        let listing = of(Facts { tool: None, ..facts("ok", "allow", None) });
        let change = of(Facts { kind: "change".into(), ..facts("ok", "allow", None) });
        assert_eq!([nobody, listing, change].iter().filter_map(activity).count(), 0);
    }

    /// Answers as it is told, then takes everything.
    #[derive(Default)]
    struct Scripted {
        answers: Mutex<Vec<KeyError>>,
        noted: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl Directory for Scripted {
        async fn roles(&self) -> Result<Vec<Role>, KeyError> {
            Ok(Vec::new())
        }

        async fn provision(&self, _: &str, _: &str, _: &[String]) -> Result<String, KeyError> {
            Err(KeyError::no_directory())
        }

        async fn deactivate(&self, _: &str) -> Result<(), KeyError> {
            Err(KeyError::no_directory())
        }

        async fn note(&self, activities: &[Activity]) -> Result<(), KeyError> {
            if let Some(answer) = self.answers.lock().pop() {
                return Err(answer);
            }
            self.noted.lock().extend(activities.iter().map(|activity| activity.id.clone()));
            Ok(())
        }
    }

    /// What is noted of three calls that come in turn, where the PSA first says `answer`.
    async fn noted_after(answer: KeyError) -> Vec<String> {
        let psa = Arc::new(Scripted { answers: Mutex::new(vec![answer]), ..Scripted::default() });
        let (activities, follower) = activities(psa.clone());
        let following = tokio::spawn(follower.follow());
        for id in ["1", "2", "3"] {
            assert_eq!(
                activities.note_records(&[of(Facts {
                    request_id: Some(id.to_owned()),
                    ..facts("ok", "allow", None)
                })]),
                0
            );
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        drop(activities);
        following.await.unwrap();
        std::mem::take(&mut *psa.noted.lock())
    }

    #[tokio::test(start_paused = true)]
    async fn a_psa_that_is_away_gets_the_calls_later() {
        assert_eq!(noted_after(KeyError::Unavailable("away".to_owned())).await, ["1", "2", "3"]);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_the_psa_refuses_are_left_out_and_the_next_are_noted() {
        assert_eq!(noted_after(KeyError::Refused("no".to_owned())).await, ["2", "3"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_psa_without_such_a_record_is_asked_once() {
        assert_eq!(noted_after(KeyError::Unsupported("none".to_owned())).await, Vec::<String>::new());
    }

    #[tokio::test]
    async fn calls_beyond_what_may_wait_are_counted_and_nobody_waits() {
        let (activities, _follower) = activities(Arc::new(Scripted::default()));
        let events = vec![event("ok", "allow", None); WAITING + 3];
        assert_eq!(activities.note_records(&events), 3);
    }
}

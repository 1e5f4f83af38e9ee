//! How far a call is, told to a client that asked to hear of it.
//!
//! The call only notes what it has reached; what is said of it, and how often, is decided here.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::stream::Stream;
use crate::mcp::revision::Revision;
use crate::psa::Arrival;

/// Calls that are done within this are not talked about; after it, no more often than this.
const PACE: Duration = Duration::from_millis(500);

/// How often something is said although nothing has changed: the client's own time limit may hang on it.
const REMINDER: Duration = Duration::from_secs(10);

/// A step that a call has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is waiting for its key.
    Queued,
    /// It has its key and is on its way.
    Keyed,
}

/// How far one call is.
#[derive(Debug, Default)]
pub(super) struct Stage {
    step: AtomicU8,
    pub arrival: Arrival,
}

impl Stage {
    pub fn reached(&self, step: Step) {
        self.step.store(step as u8, Ordering::Relaxed);
    }

    fn told(&self) -> Told {
        Told {
            keyed: self.step.load(Ordering::Relaxed) >= Step::Keyed as u8,
            status: self.arrival.status(),
            bytes: self.arrival.bytes(),
        }
    }
}

/// What is said about a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    keyed: bool,
    status: Option<u16>,
    bytes: u64,
}

impl Told {
    fn words(self, waited: Duration) -> String {
        let seconds = waited.as_secs();
        match self {
            Self { status: Some(status), bytes, .. } if bytes > 0 => {
                format!("The PSA is answering ({status}): {bytes} bytes received.")
            }
            Self { status: Some(status), .. } => format!("The PSA has begun its answer ({status})."),
            Self { keyed: true, .. } => format!("The call was sent to the PSA; waiting for {seconds} s."),
            Self { keyed: false, .. } => format!("Waiting for the agent's key for {seconds} s."),
        }
    }
}

/// Who wants to hear, and where.
pub(super) struct Listener {
    pub stream: Arc<Stream>,
    pub revision: &'static Revision,
    /// `progressToken` of the request.
    pub token: Value,
}

impl Listener {
    /// One notification; `progress` grows with each (MCP, utilities/progress).
    pub fn hear(&self, progress: u64, words: &str) {
        let params = json!({ "progressToken": self.token, "progress": progress, "message": words });
        self.stream.mention(self.revision.notification("notifications/progress", &params));
    }

    /// Tells of `stage` for as long as it is polled.
    async fn follow(&self, stage: &Stage) {
        let (began, mut said, mut last) = (Instant::now(), 0, None);
        let mut spoke = began;
        loop {
            tokio::time::sleep(PACE).await;
            let told = stage.told();
            if last != Some(told) || spoke.elapsed() >= REMINDER {
                said += 1;
                self.hear(said, &told.words(began.elapsed()));
                (last, spoke) = (Some(told), Instant::now());
            }
        }
    }
}

/// Does the work, and meanwhile tells `listener` how far it is. Nothing is said after its end.
pub(super) async fn alongside<T>(
    listener: Option<&Listener>,
    stage: &Stage,
    work: Pin<&mut impl Future<Output = T>>,
) -> T {
    let Some(listener) = listener else { return work.await };
    tokio::select! {
        biased;
        done = work => done,
        () = listener.follow(stage) => unreachable!("it follows until it is dropped"),
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;
    use crate::mcp::revision::REVISIONS;

    #[tokio::test(start_paused = true)]
    async fn a_short_call_is_not_talked_about_and_a_long_one_with_growing_numbers_until_its_end() {
        let listener = Listener { stream: Stream::new(None), revision: REVISIONS[0], token: json!("t") };
        let stage = Stage::default();
        alongside(Some(&listener), &stage, pin!(tokio::time::sleep(PACE / 2))).await;
        let work = async {
            tokio::time::sleep(PACE * 2).await;
            stage.reached(Step::Keyed);
            tokio::time::sleep(PACE * 2).await;
        };
        alongside(Some(&listener), &stage, pin!(work)).await;
        listener.stream.end();
        let mut reader = listener.stream.read(None);
        let mut said = Vec::new();
        while let Some(event) = reader.next().await {
            said.push(serde_json::from_slice::<Value>(&event.data).unwrap()["params"].clone());
        }
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said.iter().all(|params| params["progressToken"] == "t"));
        assert_eq!((&said[0]["progress"], &said[1]["progress"]), (&json!(1), &json!(2)));
        assert!(said[0]["message"].as_str().unwrap().contains("key"), "{said:?}");
        assert!(said[1]["message"].as_str().unwrap().contains("sent"), "{said:?}");
    }
}

//! One tools/call: plan, bind, judge, record, send, shape.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::desk::{Desk, Stop};
use super::progress::{Stage, Step};
use super::trail::Trail;
use super::{Refusal, Visitor, offer};
use crate::audit::Phase;
use crate::mcp::fault::Fault;
use crate::mcp::message::CallOptions;
use crate::policy::{self, Decision, Permit};
use crate::psa::{KeyError, PsaError, SendOutcome};
use crate::tool::effect::Effect;
use crate::tool::rest::RestResponse;
use crate::tool::rewrite::{self, Asked, ToolResult};
use crate::tool::table::Plan;

/// On whose behalf, since when, until who leaves.
pub(super) struct Errand<'a> {
    pub visitor: &'a Visitor,
    pub gone: &'a CancellationToken,
    pub started: Instant,
    /// How far it is.
    pub stage: &'a Stage,
}

impl Errand<'_> {
    /// Why it is too late to begin, if it is.
    fn over(&self, deadline: Instant) -> Option<Failure> {
        if self.gone.is_cancelled() {
            return Some(Failure::Cancelled);
        }
        (Instant::now() >= deadline).then_some(Failure::Deadline)
    }
}

/// How sending ended when it brought no answer.
enum Failure {
    Key(KeyError),
    Psa(PsaError),
    Cancelled,
    Deadline,
    /// The server ends.
    Cut,
}

impl Failure {
    /// For the administrator: an agent is told what to do, not what the network said.
    fn log(&self, request_id: &str) {
        match self {
            Self::Key(error) => tracing::warn!(request_id, %error, "a call to the PSA was not made"),
            Self::Psa(error) => tracing::warn!(request_id, %error, "a call to the PSA brought no answer"),
            Self::Cancelled | Self::Deadline | Self::Cut => {}
        }
    }
}

impl Desk {
    /// Calls a tool. Whatever goes wrong with the call itself is a result that says so (MCP:
    /// `isError`); only an unknown tool is a fault.
    pub(super) async fn call(
        &self,
        name: &str,
        arguments: &serde_json::Value,
        options: &CallOptions,
        errand: &Errand<'_>,
        trail: &mut Trail,
    ) -> Result<(ToolResult, &'static str), Stop> {
        let tool = self.parts.tools.get(name).ok_or_else(|| {
            Stop::Fault(Fault::InvalidParams(format!(
                "unknown tool `{name}`; tools/list shows what there is"
            )))
        })?;
        let loaded = self.parts.catalogue.current();
        if loaded.fetched_at.is_none() {
            let text =
                "The PSA's catalogue has not been loaded yet. Nothing was sent. Try again in a moment.";
            return Ok((ToolResult::error(text), "unavailable"));
        }
        // What is told of the catalogue, complaints about arguments included, is a read.
        let caller = &errand.visitor.caller;
        let reading = || policy::scoped(caller, Effect::Read).map_err(Stop::Lacking);
        let (entry, args) = match tool.plan(&loaded.catalog, arguments) {
            Err(result) => {
                trail.misused(None);
                reading()?;
                return Ok((result, "tool_error"));
            }
            Ok(Plan::SearchRegistry { query, limit, detail }) => {
                reading()?;
                return Ok((offer::found(&loaded.catalog, errand.visitor, &query, limit, detail), "ok"));
            }
            Ok(Plan::Call { entry, args }) => (entry, args),
        };
        let bound = match rewrite::bind(&entry, &args) {
            Ok(bound) => bound,
            Err(complaints) => {
                trail.misused(Some(&entry));
                reading()?;
                return Ok((ToolResult::complaints(&entry.id, &complaints), "tool_error"));
            }
        };
        trail.bound(&bound);
        let deciding = Instant::now();
        let decision = policy::decide(&errand.visitor.policies, caller, bound, self.parts.clock.now());
        trail.phase(Phase::Decide, deciding);
        let permit = match decision {
            Decision::Allow(permit) => permit,
            Decision::Deny(denial) => {
                trail.denied(denial.rule);
                return Ok((ToolResult::error(denial.message), "denied"));
            }
            Decision::Lacks(lacking) => return Err(Stop::Lacking(lacking)),
        };
        // Sidegate's own word needs neither key nor PSA.
        if let Some(about) = permit.bound().entry().about {
            trail.open(&permit).await.map_err(|_| Stop::Refusal(Refusal::Unrecorded))?;
            return Ok((self.about(about, errand.visitor, &loaded), "ok"));
        }
        // The least of all that have a say in it.
        let patience = [options.timeout_ms.map(Duration::from_millis), permit.bound().entry().timeout]
            .into_iter()
            .flatten()
            .fold(self.patience(errand.visitor), Duration::min);
        let deadline = errand.started + patience;
        if let Some(failure) = errand.over(deadline) {
            return Ok(told(&failure, permit.bound().effect(), false));
        }
        trail.open(&permit).await.map_err(|_| Stop::Refusal(Refusal::Unrecorded))?;
        let effect = permit.bound().effect();
        let sent = Instant::now();
        match self.send(permit, errand, deadline, trail).await {
            Ok(response) => {
                self.parts.metrics.upstream_seconds.observe(sent.elapsed().as_secs_f64());
                self.parts.metrics.answered(response.status);
                trail.answered(response.status);
                let asked = Asked { entry: &entry, args: &args, most: self.max_result() };
                let result = self.parts.tools.shape(&response, &asked);
                let outcome = if result.is_error { "tool_error" } else { "ok" };
                Ok((result, outcome))
            }
            Err(failure) => {
                failure.log(trail.request_id());
                if let Failure::Psa(PsaError::TooLarge { status: Some(status), .. }) = failure {
                    self.parts.metrics.answered(status);
                    trail.answered(status);
                } else if trail.was_sent() {
                    self.parts.metrics.answered(0);
                }
                Ok(told(&failure, effect, trail.was_sent()))
            }
        }
    }

    /// Sends until there is an answer, the deadline, or nobody left to tell. A key that is
    /// refused is replaced once: a 401 means that the call was not carried out.
    async fn send(
        &self,
        permit: Permit,
        errand: &Errand<'_>,
        deadline: Instant,
        trail: &mut Trail,
    ) -> Result<RestResponse, Failure> {
        let caller = &errand.visitor.caller;
        let arrival = Some(&errand.stage.arrival);
        errand.stage.reached(Step::Queued);
        let work = async {
            let credentials = &self.parts.credentials;
            let asked = Instant::now();
            let key = credentials.for_caller(caller).await.map_err(Failure::Key)?;
            trail.phase(Phase::Credential, asked);
            errand.stage.reached(Step::Keyed);
            let marks = trail.sending();
            let left = || deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let sent = Instant::now();
            let first =
                self.parts.psa.send(permit, &key, &marks, left(), arrival).await.map_err(Failure::Psa)?;
            let answer = match first {
                SendOutcome::Answered(response) => response,
                SendOutcome::KeyRefused(permit, refusal) => {
                    let Some(key) = credentials.replace(caller, &key).await.map_err(Failure::Key)? else {
                        return Ok(refusal);
                    };
                    match self
                        .parts
                        .psa
                        .send(permit, &key, &marks, left(), arrival)
                        .await
                        .map_err(Failure::Psa)?
                    {
                        SendOutcome::Answered(response) | SendOutcome::KeyRefused(_, response) => response,
                    }
                }
            };
            trail.phase(Phase::Upstream, sent);
            Ok(answer)
        };
        tokio::select! {
            // Who has left, or has no time left, is asked first: nothing is begun for nobody.
            biased;
            () = errand.gone.cancelled() => Err(Failure::Cancelled),
            () = self.cut.cancelled() => Err(Failure::Cut),
            () = tokio::time::sleep_until(deadline.into()) => Err(Failure::Deadline),
            done = work => done,
        }
    }
}

/// A failure in the agent's words, with the remedy, and the outcome for the record.
fn told(failure: &Failure, effect: Effect, sent: bool) -> (ToolResult, &'static str) {
    let unsure = sent && effect != Effect::Read;
    let after = if unsure {
        " The call was sent and may or may not have taken effect: check before repeating it."
    } else if sent {
        " It changed nothing and can be repeated."
    } else {
        " Nothing was sent."
    };
    let (text, outcome) = match failure {
        Failure::Key(KeyError::Unavailable(_)) => {
            ("This agent's key for the PSA cannot be made at the moment. Nothing was sent. Try again shortly.".to_owned(), "unavailable")
        }
        Failure::Key(KeyError::Suspended) => {
            ("The tenant is suspended in the PSA. Nothing was sent. Its administrator must lift the suspension.".to_owned(), "unavailable")
        }
        Failure::Key(
            KeyError::NoUser(_) | KeyError::NoKey(_) | KeyError::Refused(_) | KeyError::Unsupported(_),
        ) => {
            ("This agent has no usable user or key in the PSA. Nothing was sent. An administrator must provide one.".to_owned(), "unavailable")
        }
        Failure::Psa(PsaError::Unavailable(_)) => {
            ("The PSA cannot be reached. Nothing was sent. Try again shortly.".to_owned(), "unavailable")
        }
        Failure::Psa(PsaError::Misconfigured(_) | PsaError::KeyRefused(_)) => {
            ("The PSA is not configured rightly here. Nothing was sent. Tell the administrator.".to_owned(), "unavailable")
        }
        Failure::Psa(PsaError::Interrupted(_)) => {
            (format!("The connection to the PSA broke before its answer was complete.{after}"), if unsure { "unknown" } else { "unavailable" })
        }
        Failure::Psa(PsaError::Malformed(_)) => (
            format!("What the PSA sent is no valid HTTP answer, so that it has no status.{after} Tell the administrator to check psa.url and what answers there."),
            if unsure { "unknown" } else { "unavailable" },
        ),
        Failure::Psa(PsaError::TooLarge { limit, status: Some(status @ 200..=299) }) if effect != Effect::Read => (
            format!("The PSA reported success ({status}): the call was carried out, do not repeat it. Its answer is larger than {limit} bytes and was not read."),
            "tool_error",
        ),
        Failure::Psa(PsaError::TooLarge { limit, status }) => (
            format!("The PSA's answer{} is larger than {limit} bytes and was not read. Ask for less: a smaller limit, fewer fields, a narrower filter.{}", status.map(|status| format!(" ({status})")).unwrap_or_default(), if unsure { after } else { "" }),
            "tool_error",
        ),
        Failure::Psa(PsaError::Deadline) | Failure::Deadline => {
            (format!("The PSA did not answer in time.{after}"), if unsure { "unknown" } else { "timeout" })
        }
        Failure::Cut => (format!("Sidegate is being stopped and could not wait for the PSA's answer.{after}"), if unsure { "unknown" } else { "cancelled" }),
        Failure::Cancelled => (format!("The call was cancelled.{after}"), if unsure { "unknown" } else { "cancelled" }),
    };
    (ToolResult::error(text), outcome)
}

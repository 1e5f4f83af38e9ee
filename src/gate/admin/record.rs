//! Who changed what: one event a change, with what was before and what is after.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::AdminError;
use crate::audit::{Audit, AuditError, ChangeFacts, Event, EventBuilder, Recorder, Redactors};
use crate::clock::Clock;
use crate::record::Signer;

/// Who asks for a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Actor {
    /// What people call it.
    pub name: String,
    /// What it is.
    pub kind: ActorKind,
    /// Its id, where it has one: an admin token's, a PSA user's.
    pub id: Option<String>,
}

/// What asks for a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// The bearer of an admin token.
    AdminToken,
    /// The owner of a PSA key.
    PsaUser,
    /// Whoever may run commands on the machine.
    CommandLine,
}

impl Actor {
    /// Whoever runs a command.
    pub fn command_line() -> Self {
        Self { name: "command line".to_owned(), kind: ActorKind::CommandLine, id: None }
    }

    fn label(&self) -> &'static str {
        match self.kind {
            ActorKind::AdminToken => "admin_token",
            ActorKind::PsaUser => "psa_user",
            ActorKind::CommandLine => "command_line",
        }
    }
}

/// Where changes are recorded.
#[derive(Clone)]
pub struct Journal {
    opening: Arc<Opening>,
    signer: Arc<Signer>,
    /// See [`Audit::flush_interval`].
    flush: Duration,
    redactors: Redactors,
    clock: Clock,
}

enum Opening {
    Running(Audit),
    Each(Box<dyn Fn() -> (Audit, Recorder) + Send + Sync>),
}

/// What was changed.
pub(super) struct Change<'a> {
    /// `agent.disable`: what, and what was done to it.
    pub action: &'static str,
    /// Its id.
    pub target: &'a str,
    /// The agent that it is about, if any.
    pub agent: Option<(&'a str, &'a str)>,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

impl Journal {
    /// In a running server's record.
    pub fn running(audit: Audit, redactors: Redactors, clock: Clock) -> Self {
        let (signer, flush) = (audit.signer().clone(), audit.flush_interval());
        Self { opening: Arc::new(Opening::Running(audit)), signer, flush, redactors, clock }
    }

    /// In a record that `open` opens for each change alone, signed by `signer`, where no server of ours runs; others
    /// have theirs on record within `flush`.
    pub fn alone(
        open: impl Fn() -> (Audit, Recorder) + Send + Sync + 'static,
        signer: Arc<Signer>,
        flush: Duration,
        redactors: Redactors,
        clock: Clock,
    ) -> Self {
        Self { opening: Arc::new(Opening::Each(Box::new(open))), signer, flush, redactors, clock }
    }

    /// Who signs the record.
    pub fn signer(&self) -> Arc<Signer> {
        self.signer.clone()
    }

    /// What stands in the record of `tenant` for a `value` that is hashed there.
    pub fn hash(&self, tenant: &str, value: &str) -> String {
        self.redactors.of(tenant).hash(value)
    }

    /// Returns when everything is on record that was accepted before: by this process, and, as far as `others` record in
    /// the same store, by those, which have it there within their flush interval.
    pub(super) async fn settle(&self, others: bool) -> Result<(), AdminError> {
        let alone = match &*self.opening {
            Opening::Running(audit) => {
                audit.flush().await.map_err(AdminError::Record)?;
                false
            }
            Opening::Each(_) => true,
        };
        if others || alone {
            tokio::time::sleep(self.flush * 2).await;
        }
        Ok(())
    }

    async fn submit(&self, event: Event) -> Result<(), AuditError> {
        match &*self.opening {
            Opening::Running(audit) => audit.submit_durable(event).await,
            Opening::Each(open) => {
                let (audit, recorder) = open();
                let working = tokio::spawn(recorder.work());
                let submitted = audit.submit_durable(event).await;
                audit.close().await;
                // It ended, for the record is closed.
                let _ = working.await;
                submitted
            }
        }
    }

    /// Records a change that was made.
    ///
    /// # Errors
    /// The change was made and could not be recorded.
    pub(super) async fn change(
        &self,
        tenant: &str,
        actor: &Actor,
        change: Change<'_>,
    ) -> Result<(), AdminError> {
        let now = self.clock.now();
        let millis = u64::try_from(now).unwrap_or_default();
        let id = uuid::Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid();
        let mut event = EventBuilder::new(Uuid::to_string(&id), now, self.redactors.of(tenant));
        event.tenant(tenant);
        event.change(ChangeFacts {
            actor: &actor.name,
            actor_kind: actor.label(),
            actor_id: actor.id.as_deref(),
            action: change.action,
            target: change.target,
            agent: change.agent,
            before: change.before.as_ref(),
            after: change.after.as_ref(),
        });
        let event = event.finish("ok", std::time::Duration::ZERO);
        let recorded = self.submit(event).await;
        tracing::info!(tenant, actor = actor.name, action = change.action, target = change.target, "changed");
        recorded.map_err(|error| {
            AdminError::Refused(format!("{} is done, but could not be recorded: {error}", change.action))
        })
    }
}

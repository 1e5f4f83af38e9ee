//! The legacy era's sessions: bound to their agent, expiring, bounded in number.
//!
//! The id that a client carries is sealed and says all that must be known, so that any process that has the key
//! takes it; what is running, and what was said, is remembered by this process alone. A session lets nobody in: it
//! is looked at after the caller is known.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::extra::Questions;
use super::seal::{Purpose, Sealer};
use super::stream::{self, EventReader, Stream, place};
use crate::clock::Millis;
use crate::mcp::message::ClientInfo;
use crate::mcp::revision::{Revision, of_session};
use crate::mcp::rpc::Id;
use crate::secret::Secret;
use crate::units::Span;

/// The `[sessions]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionsConfig {
    /// What session ids are sealed with. Replicas that share it take each other's; without it each start makes one.
    pub key: Option<Secret>,
    /// How long a session lasts at most.
    pub lifetime: Span,
    /// How long one is remembered that is not used.
    pub idle: Span,
    /// Sessions of one agent at once; a further one ends its oldest.
    pub per_agent: usize,
    /// Sessions at once; a further one ends the oldest.
    pub max: usize,
}

impl Default for SessionsConfig {
    fn default() -> Self {
        Self {
            key: None,
            lifetime: Span::seconds(24 * 3600),
            idle: Span::seconds(3600),
            per_agent: 100,
            max: 10_000,
        }
    }
}

/// The fewest characters of a key.
const KEY_LENGTH: usize = 32;

impl SessionsConfig {
    /// What is wrong within the section, as (key, message).
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if self.key.as_ref().is_some_and(|key| key.expose().len() < KEY_LENGTH) {
            let message = format!(
                "must have at least {KEY_LENGTH} characters; make one with `openssl rand -base64 32`"
            );
            problems.push(("key".to_owned(), message));
        }
        for (key, none) in [
            ("lifetime", self.lifetime.0.is_zero()),
            ("idle", self.idle.0.is_zero()),
            ("per_agent", self.per_agent == 0),
            ("max", self.max == 0),
        ] {
            if none {
                problems.push((key.to_owned(), "must be more than nothing".to_owned()));
            }
        }
        problems
    }
}

/// Streams of one session that are kept for resumption.
const STREAMS_KEPT: usize = 16;

/// How long an answer is kept for a client that lost its stream.
const REPLAY: Duration = Duration::from_secs(120);

/// The most characters of a client's name and version that an id carries.
const CLIENT_TEXT: usize = 48;

/// What a sealed id says.
#[derive(Serialize, Deserialize)]
struct Carried {
    #[serde(rename = "s")]
    id: Uuid,
    #[serde(rename = "a")]
    agent: String,
    #[serde(rename = "r")]
    revision: String,
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// Unix milliseconds.
    #[serde(rename = "e")]
    until: Millis,
}

/// The id is not one of the caller's, or is no longer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnknownSession;

/// What was agreed on in the handshake.
#[derive(Clone)]
pub(super) struct Agreed {
    pub revision: &'static Revision,
    pub client: ClientInfo,
    /// What the client said that it can do; null in a process that did not see the handshake.
    pub capabilities: serde_json::Value,
}

/// One conversation with one client.
pub(super) struct Session {
    pub id: Uuid,
    /// The id as a text, for who keeps something by session.
    pub name: String,
    pub agent: String,
    agreed: RwLock<Option<Agreed>>,
    running: Mutex<Vec<(Id, CancellationToken)>>,
    streams: Mutex<Streams>,
    used: Mutex<Instant>,
    /// Tripped when it is over.
    pub over: CancellationToken,
    /// What the client was asked.
    pub questions: Questions,
}

#[derive(Default)]
struct Streams {
    last: u64,
    kept: VecDeque<Arc<Stream>>,
    listener: Option<Arc<Stream>>,
}

impl Session {
    /// A session of `agent`; what is agreed on may become known later.
    pub fn new(id: Uuid, agent: &str, agreed: Option<Agreed>) -> Arc<Self> {
        Arc::new(Self {
            id,
            name: id.to_string(),
            agent: agent.to_owned(),
            agreed: RwLock::new(agreed),
            running: Mutex::default(),
            streams: Mutex::default(),
            used: Mutex::new(Instant::now()),
            over: CancellationToken::new(),
            questions: Questions::default(),
        })
    }

    pub fn agree(&self, agreed: Agreed) {
        *self.agreed.write() = Some(agreed);
    }

    pub fn agreed(&self) -> Option<Agreed> {
        self.agreed.read().clone()
    }

    pub fn revision(&self) -> Option<&'static Revision> {
        self.agreed.read().as_ref().map(|agreed| agreed.revision)
    }

    /// The request is being worked on, until what is returned is dropped; `cancel` is tripped when it is cancelled.
    pub fn run(self: &Arc<Self>, request: &Id, cancel: CancellationToken) -> Running {
        self.running.lock().push((request.clone(), cancel));
        Running { session: self.clone(), request: request.clone() }
    }

    /// Cancels a request of this session; one that is unknown, or done, is no error. Says whether there was one.
    pub fn cancel(&self, request: &Id) -> bool {
        let running = self.running.lock();
        let tokens = running.iter().filter(|(id, _)| id == request);
        tokens.inspect(|(_, token)| token.cancel()).count() > 0
    }

    /// A stream for one request, which a client of `revision` can resume.
    pub fn stream(&self, revision: &Revision) -> Arc<Stream> {
        if !revision.replays || !stream::may_keep() {
            return Stream::new(None);
        }
        let mut streams = self.streams.lock();
        streams.last += 1;
        let number = streams.last;
        let stream = if revision.primes { Stream::primed(number) } else { Stream::new(Some(number)) };
        streams.kept.retain(|kept| kept.ended().is_none_or(|ended| ended.elapsed() < REPLAY));
        while streams.kept.len() >= STREAMS_KEPT {
            streams.kept.pop_front();
        }
        streams.kept.push_back(stream.clone());
        stream
    }

    /// The stream of a request is not needed any more: it was answered without.
    pub fn forget(&self, stream: &Arc<Stream>) {
        self.streams.lock().kept.retain(|kept| !Arc::ptr_eq(kept, stream));
    }

    /// The stream for what belongs to no request. None while another client reads it.
    pub fn listen(&self) -> Option<(Arc<Stream>, EventReader)> {
        let mut streams = self.streams.lock();
        if streams.listener.as_ref().is_some_and(|listener| listener.is_read()) {
            return None;
        }
        streams.last += 1;
        let listener = Stream::new(Some(streams.last));
        streams.listener = Some(listener.clone());
        let reader = listener.read(None);
        Some((listener, reader))
    }

    /// Reads on after the event that `id` names, if its stream is still kept.
    pub fn resume(&self, id: &str) -> Option<Resumed> {
        let (number, event) = place(id)?;
        let streams = self.streams.lock();
        let named = |stream: &&Arc<Stream>| stream.number() == Some(number) && stream.has_said(event);
        if let Some(listener) = streams.listener.iter().find(named) {
            return Some(Resumed::Listener(listener.clone(), listener.read(Some(event))));
        }
        streams.kept.iter().find(named).map(|stream| Resumed::Answer(stream.read(Some(event))))
    }

    fn is_busy(&self) -> bool {
        !self.running.lock().is_empty()
            || self.streams.lock().listener.as_ref().is_some_and(|listener| listener.is_read())
    }

    fn idle_for(&self) -> Duration {
        self.used.lock().elapsed()
    }

    pub fn end(&self) {
        self.over.cancel();
        self.running.lock().iter().for_each(|(_, token)| token.cancel());
        if let Some(listener) = self.streams.lock().listener.take() {
            listener.end();
        }
    }
}

/// What is read on.
pub(super) enum Resumed {
    /// The answer to a request: it ends.
    Answer(EventReader),
    /// The stream for what belongs to no request, which does not end by itself.
    Listener(Arc<Stream>, EventReader),
}

/// A request of a session that is being worked on.
pub(super) struct Running {
    session: Arc<Session>,
    request: Id,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = self.session.running.lock();
        // Clients have been seen to use an id twice at once: only one of the two is over.
        if let Some(at) = running.iter().position(|(id, _)| *id == self.request) {
            running.swap_remove(at);
        }
    }
}

/// The sessions that this process knows.
pub(super) struct Sessions {
    sealer: Sealer,
    config: RwLock<SessionsConfig>,
    known: Mutex<HashMap<Uuid, Arc<Session>>>,
    /// Those that are over before their ids are.
    ended: Cache<Uuid, ()>,
}

/// Ended sessions that are remembered.
const ENDED: u64 = 100_000;

impl Sessions {
    pub fn new(config: SessionsConfig) -> Self {
        let ended = Cache::builder().max_capacity(ENDED).time_to_live(config.lifetime.0).build();
        Self {
            sealer: Sealer::new(config.key.as_ref()),
            config: RwLock::new(config),
            known: Mutex::default(),
            ended,
        }
    }

    /// From now on the bounds of `config` hold. The key stays.
    pub fn adopt(&self, config: SessionsConfig) {
        *self.config.write() = config;
    }

    /// Begins a session, and says the id that its client carries from now on.
    pub fn begin(&self, agent: &str, agreed: Agreed, now: Millis) -> (Arc<Session>, String) {
        let session = Session::new(Uuid::new_v4(), agent, Some(agreed.clone()));
        let clip = |text: &Option<String>| -> Option<String> {
            text.as_ref().map(|text| text.chars().take(CLIENT_TEXT).collect())
        };
        let carried = Carried {
            id: session.id,
            agent: agent.to_owned(),
            revision: agreed.revision.name.to_owned(),
            client: clip(&agreed.client.name),
            version: clip(&agreed.client.version),
            until: now + self.config.read().lifetime.as_millis(),
        };
        let plain = serde_json::to_vec(&carried).expect("texts and numbers can be written as JSON");
        let id = self.sealer.seal(Purpose::Session, &plain);
        self.remember(session.clone());
        (session, id)
    }

    /// The session that a client's id stands for, if it is one of `agent`'s.
    pub fn find(&self, id: &str, agent: &str, now: Millis) -> Result<Arc<Session>, UnknownSession> {
        let plain = self.sealer.open(Purpose::Session, id).ok_or(UnknownSession)?;
        let carried: Carried = serde_json::from_slice(&plain).map_err(|_| UnknownSession)?;
        if carried.agent != agent || carried.until <= now || self.ended.contains_key(&carried.id) {
            return Err(UnknownSession);
        }
        if let Some(session) = self.known.lock().get(&carried.id) {
            *session.used.lock() = Instant::now();
            return Ok(session.clone());
        }
        let revision = of_session(&carried.revision).ok_or(UnknownSession)?;
        let agreed = Agreed {
            revision,
            client: ClientInfo { name: carried.client, version: carried.version },
            capabilities: serde_json::Value::Null,
        };
        let session = Session::new(carried.id, agent, Some(agreed));
        self.remember(session.clone());
        Ok(session)
    }

    /// Ends a session before its time.
    pub fn end(&self, session: &Session) {
        self.ended.insert(session.id, ());
        self.known.lock().remove(&session.id);
        session.end();
    }

    /// Ends a session that another process ended, whether it is known here or will yet be shown.
    pub fn end_by_id(&self, id: Uuid) {
        self.ended.insert(id, ());
        let known = self.known.lock().remove(&id);
        if let Some(session) = known {
            session.end();
        }
    }

    /// Cancels a request that a client cancelled at another process.
    pub fn cancel(&self, id: Uuid, request: &Id) {
        let known = self.known.lock().get(&id).cloned();
        if let Some(session) = known {
            session.cancel(request);
        }
    }

    /// Ends all sessions of agents for whom `gone` says so.
    pub fn end_of(&self, gone: impl Fn(&str) -> bool) {
        let sessions: Vec<_> =
            self.known.lock().values().filter(|session| gone(&session.agent)).cloned().collect();
        sessions.iter().for_each(|session| self.end(session));
    }

    /// A text that only this process, and those that share its key, can read.
    pub fn seal_message_address(&self, plain: &[u8]) -> String {
        self.sealer.seal(Purpose::Messages, plain)
    }

    /// What [`Self::seal_message_address`] sealed.
    pub fn open_message_address(&self, sealed: &str) -> Option<Vec<u8>> {
        self.sealer.open(Purpose::Messages, sealed)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.known.lock().len()
    }

    fn remember(&self, session: Arc<Session>) {
        let (idle, per_agent, max) = {
            let config = self.config.read();
            (config.idle.0, config.per_agent, config.max)
        };
        let mut surplus = Vec::new();
        {
            let mut known = self.known.lock();
            // Forgotten is not ended: whoever comes back with such an id is remembered anew.
            known.retain(|_, session| session.idle_for() < idle || session.is_busy());
            let oldest = |known: &HashMap<Uuid, Arc<Session>>, agent: Option<&str>| {
                let own = known.values().filter(|known| agent.is_none_or(|agent| known.agent == agent));
                // One with work on hand goes last: its end would cancel that.
                own.max_by_key(|known| (!known.is_busy(), known.idle_for())).cloned()
            };
            let own = known.values().filter(|known| known.agent == session.agent).count();
            if own >= per_agent {
                surplus.extend(oldest(&known, Some(&session.agent)));
            } else if known.len() >= max {
                surplus.extend(oldest(&known, None));
            }
            known.insert(session.id, session);
        }
        surplus.iter().for_each(|session| self.end(session));
    }
}

#[cfg(test)]
mod tests;

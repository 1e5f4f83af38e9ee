//! One body that came over HTTP: answered as JSON, as an event stream, or not at all; and the streams that are opened
//! without one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::desk::{Desk, Done, Job, introduced, turned_down};
use super::elsewhere::Word;
use super::session::{Agreed, Resumed, Session};
use super::stream::{EventReader, Stream};
use super::trail::Trail;
use super::watch::Topic;
use super::{Outgoing, Refusal, Visitor};
use crate::audit::Phase;
use crate::mcp::message::{Ask, Reply};
use crate::mcp::revision::{self, Decoded, Era, Headers, OnDisconnect, Posted, Revision};
use crate::mcp::rpc::Id;

/// A call that takes longer is answered as a stream, where the client takes one: proxies cut a line on which
/// nothing happens.
const STREAM_AFTER: Duration = Duration::from_secs(15);

/// One body, as its transport found it.
pub struct Post<'a> {
    /// The protocol's headers; where the transport has none, [`Headers::none`].
    pub headers: Headers<'a>,
    /// The session id that came with it.
    pub session: Option<&'a str>,
    /// Whether the answer may be plain JSON.
    pub takes_json: bool,
    /// Whether it may be an event stream.
    pub takes_streams: bool,
    /// The message or messages.
    pub body: &'a [u8],
    /// When it began to arrive.
    pub started: Instant,
}

/// The client's end of the line.
pub struct Wire {
    /// Tripped when the client leaves before its answer; the revision says what that means.
    pub gone: CancellationToken,
    /// Held until the work is done, also where nobody waits for it.
    pub hold: Arc<dyn Send + Sync>,
}

impl From<Done> for Outgoing {
    fn from(done: Done) -> Self {
        match done {
            Done::Answer { status, body, session } => Self::Answer { status, body, session },
            Done::Silent => Self::Silent,
            Done::Refused { refusal, .. } => Self::Refused(refusal),
        }
    }
}

impl Desk {
    /// Answers one body that came over HTTP.
    pub(super) async fn answer(
        self: &Arc<Self>,
        visitor: Visitor,
        post: Post<'_>,
        mut trail: Box<Trail>,
        wire: Wire,
    ) -> Outgoing {
        let agent = visitor.caller.agent_id();
        let found = post.session.map(|id| self.sessions.find(id, agent, self.parts.clock.now()));
        let session = found.as_ref().and_then(|found| found.as_ref().ok()).cloned();
        let headers = self.headers(&post.headers, session.as_ref());
        let decoding = Instant::now();
        let posted = revision::decode(&headers, post.body);
        trail.phase(Phase::Decode, decoding);
        let legacy = match &posted {
            Ok(Posted::One(decoded)) => {
                decoded.revision.era == Era::Legacy && !matches!(decoded.ask, Ask::Initialize { .. })
            }
            Ok(Posted::Batch(_)) => true,
            Err(_) => false,
        };
        // Whoever speaks in a session must have one; other messages know of none.
        if legacy && matches!(found, Some(Err(_))) {
            trail.refuse(Refusal::NoSession.code());
            return Outgoing::Refused(Refusal::NoSession);
        }
        let session = session.filter(|_| legacy);
        match posted {
            Err(rejected) => {
                let (status, body) = turned_down(&rejected, trail, post.body.len());
                Outgoing::Answer { status, body, session: None }
            }
            Ok(Posted::One(decoded)) => self.one(visitor, decoded, &post, session, trail, wire).await,
            Ok(Posted::Batch(messages)) => {
                let said = self.batch(&visitor, messages, session.as_ref(), post.body.len(), trail).await;
                match said {
                    Some(body) => Outgoing::Answer { status: 200, body, session: None },
                    None => Outgoing::Accepted,
                }
            }
        }
    }

    async fn one(
        self: &Arc<Self>,
        visitor: Visitor,
        mut decoded: Decoded,
        post: &Post<'_>,
        session: Option<Arc<Session>>,
        mut trail: Box<Trail>,
        wire: Wire,
    ) -> Outgoing {
        introduced(&mut decoded, session.as_ref());
        trail.decoded(&decoded, post.body.len());
        let Decoded { revision, id, ask, client, .. } = decoded;
        let Some(id) = id else {
            self.notice(session.as_ref(), ask);
            trail.close("ok", 0);
            return Outgoing::Accepted;
        };
        if let Ask::Listen { wanted } = ask {
            return self.hear(&visitor, revision, &id, wanted, post.takes_streams, trail);
        }
        if let Ask::Initialize { capabilities, .. } = ask {
            trail.allowed();
            let agreed = Agreed { revision, client, capabilities };
            let (_, sealed) = self.sessions.begin(visitor.caller.agent_id(), agreed, self.parts.clock.now());
            let body = revision.encode(&id, &Reply::Initialized(self.welcome(Era::Legacy)));
            trail.close("ok", body.len());
            return Outgoing::Answer { status: 200, body, session: Some(sealed) };
        }
        let gone = match revision.on_disconnect {
            OnDisconnect::Cancel => wire.gone,
            OnDisconnect::Detach => CancellationToken::new(),
        };
        let stream = (post.takes_streams && self.talks(&ask)).then(|| stream_for(revision, session.as_ref()));
        let started = post.started;
        let job = Job { visitor, revision, id, ask, session, stream, gone, started, trail };
        self.run(job, post, wire.hold).await
    }

    /// Works on a request. Its answer is one document, unless something is said before it or it takes long.
    async fn run(self: &Arc<Self>, job: Job, post: &Post<'_>, hold: Arc<dyn Send + Sync>) -> Outgoing {
        let (revision, gone) = (job.revision, job.gone.clone());
        let (session, stream) = (job.session.clone(), job.stream.clone());
        let mut work = Box::pin(self.clone().work(job));
        if !post.takes_streams {
            return work.await.into();
        }
        let spoken = async {
            match &stream {
                Some(stream) => stream.spoken().await,
                None => std::future::pending().await,
            }
        };
        let done = tokio::select! {
            biased;
            done = &mut work => Some(done),
            () = spoken => None,
            () = tokio::time::sleep(STREAM_AFTER) => None,
        };
        let done = match done {
            Some(done) if post.takes_json || !done.is_good() => {
                if let (Some(session), Some(stream)) = (&session, &stream) {
                    session.forget(stream);
                }
                return done.into();
            }
            done => done,
        };
        let stream = stream.unwrap_or_else(|| stream_for(revision, session.as_ref()));
        let reader = stream.read(None);
        let ending = Ending(stream);
        match done {
            Some(done) => ending.say(done),
            None => drop(tokio::spawn(async move {
                ending.say(work.await);
                drop(hold);
            })),
        }
        Outgoing::Stream(match revision.on_disconnect {
            OnDisconnect::Cancel => reader.tripping(gone),
            OnDisconnect::Detach => reader,
        })
    }

    /// Opens a stream of changes. What this server offers does not change while it runs, so it agrees to tell of
    /// nothing; the stream stays until one side ends it.
    fn hear(
        &self,
        visitor: &Visitor,
        revision: &'static Revision,
        id: &Id,
        wanted: Map<String, Value>,
        takes_streams: bool,
        trail: Box<Trail>,
    ) -> Outgoing {
        if !takes_streams {
            trail.refuse(Refusal::NotAcceptable.code());
            return Outgoing::Refused(Refusal::NotAcceptable);
        }
        let stream = Stream::new(None);
        let topic = self.agree(revision, id, &wanted, &stream);
        let goodbye = revision.encode(id, &Reply::Heard { stream: id.clone() });
        let reader = stream.read(None).with_goodbye(goodbye.into());
        self.stay(visitor, stream, reader, topic, trail)
    }

    /// Opens the stream of a session for what belongs to no request, or reads on where `last_event` says that the
    /// client lost one.
    pub(super) fn listen(
        &self,
        visitor: &Visitor,
        session: &str,
        last_event: Option<&str>,
        mut trail: Box<Trail>,
    ) -> Outgoing {
        let refuse = |trail: Box<Trail>, refusal: Refusal| {
            trail.refuse(refusal.code());
            Outgoing::Refused(refusal)
        };
        let found = self.sessions.find(session, visitor.caller.agent_id(), self.parts.clock.now());
        let Some((session, revision)) =
            found.ok().and_then(|session| Some((session.clone(), session.revision()?)))
        else {
            return refuse(trail, Refusal::NoSession);
        };
        trail.asks(revision, "stream");
        let (stream, reader) = match last_event.map(|last| session.resume(last)) {
            Some(Some(Resumed::Answer(reader))) => {
                trail.close("ok", 0);
                return Outgoing::Stream(reader);
            }
            Some(Some(Resumed::Listener(stream, reader))) => (stream, reader),
            Some(None) => return refuse(trail, Refusal::Unresumable),
            None => match session.listen() {
                Some(listening) => listening,
                None => return refuse(trail, Refusal::StreamTaken),
            },
        };
        self.stay(visitor, stream, reader, Topic { revision, agreed: None }, trail)
    }

    /// A stream that ends only when somebody leaves: the client, its agent, its token, this server.
    pub(super) fn stay(
        &self,
        visitor: &Visitor,
        stream: Arc<Stream>,
        reader: EventReader,
        topic: Topic,
        trail: Box<Trail>,
    ) -> Outgoing {
        let most = self.limits.streams();
        let watch = self.watches.open(visitor.caller.agent_id(), stream, most, topic);
        match watch {
            Ok(watch) => {
                trail.close("ok", 0);
                let left = visitor.until.map(|until| until - self.parts.clock.now_seconds());
                let left = left.map(|left| Duration::from_secs(u64::try_from(left).unwrap_or(0)));
                Outgoing::Stream(reader.holding(Box::new(watch)).staying(left))
            }
            Err(refusal) => {
                trail.refuse(refusal.code());
                Outgoing::Refused(refusal)
            }
        }
    }

    /// Ends a session at its client's wish.
    pub(super) fn leave(&self, visitor: &Visitor, session: &str, mut trail: Box<Trail>) -> Outgoing {
        let found = self.sessions.find(session, visitor.caller.agent_id(), self.parts.clock.now());
        let Ok(session) = found else {
            trail.refuse(Refusal::NoSession.code());
            return Outgoing::Refused(Refusal::NoSession);
        };
        if let Some(revision) = session.revision() {
            trail.asks(revision, "end");
        }
        self.sessions.end(&session);
        self.elsewhere.say(Word::Ended { session: session.id });
        trail.close("ok", 0);
        Outgoing::Ended
    }
}

/// Where something is said before an answer: kept where the client can come back for it.
fn stream_for(revision: &Revision, session: Option<&Arc<Session>>) -> Arc<Stream> {
    session.map_or_else(|| Stream::new(None), |session| session.stream(revision))
}

/// Ends a stream whatever becomes of the work: its reader must not wait for ever.
struct Ending(Arc<Stream>);

impl Ending {
    fn say(&self, done: Done) {
        if let Some(message) = done.message() {
            self.0.say(message);
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

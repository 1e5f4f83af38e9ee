//! A line on which one client and the desk talk for as long as it is open, several requests at a time: standard input
//! and output, or an event stream with messages posted beside it.
//!
//! Answers come in the order in which they are ready. Knows no transport.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Visitor;
use super::desk::{Desk, Job, introduced, turned_down};
use super::session::{Agreed, Session};
use super::stream::{EventReader, Stream};
use super::trail::{Origin, Trail};
use crate::mcp::fault::Fault;
use crate::mcp::message::{Ask, Reply};
use crate::mcp::revision::{self, Decoded, Era, Headers, Posted};

/// One open line.
pub struct Line {
    session: Arc<Session>,
    out: Arc<Stream>,
    address: Option<IpAddr>,
    working: Arc<AtomicUsize>,
}

/// One message that is being worked on, and what is held until it is done.
struct Working {
    line: Arc<Line>,
    _hold: Arc<dyn Send + Sync>,
}

impl Drop for Working {
    fn drop(&mut self) {
        self.line.working.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Line {
    /// A line for `agent`, and what is said on it. `address` is where its client is, if that is known.
    pub fn open(agent: &str, address: Option<IpAddr>) -> (Arc<Self>, EventReader) {
        let (out, working) = (Stream::new(None), Arc::new(AtomicUsize::new(0)));
        let reader = out.read(None).owing(working.clone());
        let session = Session::new(Uuid::new_v4(), agent, None);
        (Arc::new(Self { session, out, address, working }), reader)
    }

    /// Names the line.
    pub fn id(&self) -> Uuid {
        self.session.id
    }

    /// Whose it is.
    pub fn agent(&self) -> &str {
        &self.session.agent
    }

    pub(super) fn out(&self) -> Arc<Stream> {
        self.out.clone()
    }

    /// Whether another message may be taken; where not, the client does not read what it is told.
    pub fn has_room(&self) -> bool {
        self.out.has_room()
    }

    /// Ends when [`Self::has_room`].
    pub async fn room(&self) {
        self.out.room().await;
    }

    /// Ends when nothing is being worked on.
    pub async fn idle(&self) {
        while self.working.load(Ordering::Acquire) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The client can be told nothing more; what is being worked on goes on.
    #[cfg(feature = "server")]
    pub(super) fn mute(&self) {
        self.out.end();
    }

    /// The client is gone: nobody wants what is still being worked on.
    pub fn close(&self) {
        self.session.end();
        self.out.end();
    }

    fn begin(self: &Arc<Self>, hold: Arc<dyn Send + Sync>) -> Working {
        self.working.fetch_add(1, Ordering::AcqRel);
        Working { line: self.clone(), _hold: hold }
    }

    fn say(&self, said: Option<Vec<u8>>) {
        if let Some(said) = said {
            self.out.say(said);
        }
    }
}

impl Desk {
    /// Takes one message, or one batch of them, of `visitor`'s. What is to be said comes on the line, when it is
    /// ready.
    pub fn take(self: &Arc<Self>, line: &Arc<Line>, visitor: Visitor, body: &[u8]) {
        let trail = self.trail(&visitor, Origin { address: line.address, ..Origin::default() });
        self.take_as(line, visitor, body, trail, Arc::new(()));
    }

    /// The same on a record that is open; `hold` is held until it is done.
    pub(super) fn take_as(
        self: &Arc<Self>,
        line: &Arc<Line>,
        visitor: Visitor,
        body: &[u8],
        trail: Box<Trail>,
        hold: Arc<dyn Send + Sync>,
    ) {
        let bare = Headers { bare: true, ..Headers::default() };
        match revision::decode(&self.headers(&bare, Some(&line.session)), body) {
            Err(rejected) => line.say(Some(turned_down(&rejected, trail, body.len()).1)),
            Ok(Posted::One(decoded)) => self.take_one(line, visitor, decoded, body.len(), trail, hold),
            Ok(Posted::Batch(messages)) => {
                let (desk, working, bytes) = (self.clone(), line.begin(hold), body.len());
                tokio::spawn(async move {
                    let line = &working.line;
                    line.say(desk.batch(&visitor, messages, Some(&line.session), bytes, trail).await);
                });
            }
        }
    }

    /// Answers what came on the line and is no message, because it is longer than `limit` bytes and was not read.
    pub fn turn_down(&self, line: &Line, limit: usize) {
        let revision = line.session.revision().unwrap_or_else(|| revision::newest(Era::Legacy));
        let fault = Fault::InvalidRequest(format!("a message may have at most {limit} bytes"));
        line.say(Some(revision.encode_fault(None, &fault).1));
    }

    fn take_one(
        self: &Arc<Self>,
        line: &Arc<Line>,
        visitor: Visitor,
        mut decoded: Decoded,
        bytes: usize,
        mut trail: Box<Trail>,
        hold: Arc<dyn Send + Sync>,
    ) {
        introduced(&mut decoded, Some(&line.session));
        trail.decoded(&decoded, bytes);
        let Decoded { revision, id, ask, client, .. } = decoded;
        let Some(id) = id else {
            self.notice(Some(&line.session), ask);
            return trail.close("ok", 0);
        };
        match ask {
            Ask::Initialize { capabilities, .. } => {
                trail.allowed();
                line.session.agree(Agreed { revision, client, capabilities });
                let body = revision.encode(&id, &Reply::Initialized(self.welcome(Era::Legacy)));
                trail.close("ok", body.len());
                line.say(Some(body));
            }
            // On a line there is nothing to hold open: what is agreed on is said when it happens.
            Ask::Listen { wanted } => {
                self.agree(revision, &id, &wanted, &line.out);
                trail.close("ok", 0);
            }
            ask => {
                let job = Job {
                    visitor,
                    revision,
                    id,
                    ask,
                    session: Some(line.session.clone()),
                    stream: Some(line.out.clone()),
                    gone: CancellationToken::new(),
                    started: Instant::now(),
                    trail,
                };
                let (desk, working) = (self.clone(), line.begin(hold));
                tokio::spawn(async move {
                    let said = desk.work(job).await.message();
                    working.line.say(said);
                });
            }
        }
    }
}

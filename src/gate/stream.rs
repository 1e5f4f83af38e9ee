//! What is said to a client while its request is worked on, and at its end: a bounded queue with one reader at a
//! time, kept for a while where the client may ask for it again.
//!
//! Knows no transport: the edge frames what it reads here.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Whether all that is kept for readers who may come back leaves room for more.
pub(super) fn may_keep() -> bool {
    KEPT.load(Ordering::Relaxed) <= KEPT_BYTES
}

/// Events that wait before those that may be lost are.
const ROOM: usize = 64;

/// Bytes of all events together that are kept for readers who may come back.
const KEPT_BYTES: usize = 64 << 20;

static KEPT: AtomicUsize = AtomicUsize::new(0);

/// One thing said.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its place, for a client that resumes; none where the stream cannot be resumed.
    pub id: Option<String>,
    /// How long a client that lost the stream waits before it resumes.
    pub retry: Option<Duration>,
    /// JSON, or nothing for an event that only tells its id.
    pub data: Bytes,
}

struct Queued {
    number: u64,
    data: Bytes,
    retry: Option<Duration>,
    /// May be left out where too much waits.
    lossy: bool,
}

#[derive(Default)]
struct State {
    events: VecDeque<Queued>,
    next: u64,
    ended: Option<Instant>,
    /// Its reader is to leave, although more may come.
    hung_up: bool,
    /// Who reads it, if anybody does: of all its readers so far, the last.
    reading: Option<u64>,
    readers: u64,
    kept: usize,
}

/// The queue.
pub(super) struct Stream {
    /// Of a stream that can be resumed: its number within the session.
    number: Option<u64>,
    state: Mutex<State>,
    changed: Notify,
    said: Notify,
}

impl Stream {
    /// A stream with a `number` keeps what it said, for a client that lost it and resumes.
    pub fn new(number: Option<u64>) -> Arc<Self> {
        let (state, changed, said) = Default::default();
        Arc::new(Self { number, state, changed, said })
    }

    /// The same, and its first event says nothing but where the stream is.
    pub fn primed(number: u64) -> Arc<Self> {
        let stream = Self::new(Some(number));
        stream.queue(Bytes::new(), false, None);
        stream
    }

    pub fn number(&self) -> Option<u64> {
        self.number
    }

    /// Says something that must arrive.
    pub fn say(&self, data: impl Into<Bytes>) {
        self.push(data.into(), false);
    }

    /// Says something that may be lost to a slow reader.
    pub fn mention(&self, data: impl Into<Bytes>) {
        self.push(data.into(), true);
    }

    fn push(&self, data: Bytes, lossy: bool) {
        self.queue(data, lossy, None);
        self.said.notify_one();
        self.changed.notify_one();
    }

    fn queue(&self, data: Bytes, lossy: bool, retry: Option<Duration>) {
        let mut state = self.state.lock();
        if state.ended.is_some() {
            return;
        }
        let kept = self.number.is_some();
        if state.events.len() >= ROOM {
            let oldest = state.events.iter().position(|event| event.lossy);
            if let Some(gone) = oldest.and_then(|oldest| state.events.remove(oldest)) {
                state.forget(gone.data.len(), kept);
            }
        }
        let number = state.next;
        state.next += 1;
        if kept {
            state.kept += data.len();
            KEPT.fetch_add(data.len(), Ordering::Relaxed);
        }
        state.events.push_back(Queued { number, data, retry, lossy });
    }

    /// Nothing more will be said.
    pub fn end(&self) {
        self.state.lock().ended.get_or_insert_with(Instant::now);
        self.changed.notify_one();
    }

    /// Sends the reader away when it has read what there is; it may resume, not before `retry`.
    pub fn hang_up(&self, retry: Duration) {
        self.queue(Bytes::new(), false, Some(retry));
        self.state.lock().hung_up = true;
        self.said.notify_one();
        self.changed.notify_one();
    }

    /// When it ended, if it has.
    pub fn ended(&self) -> Option<Instant> {
        self.state.lock().ended
    }

    /// Ends when the first thing has been said; for one who waits.
    pub async fn spoken(&self) {
        self.said.notified().await;
    }

    /// Whether another request may say something here.
    pub fn has_room(&self) -> bool {
        self.state.lock().events.len() < ROOM
    }

    /// Ends when [`Self::has_room`].
    pub async fn room(&self) {
        while !self.has_room() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn is_read(&self) -> bool {
        self.state.lock().reading.is_some()
    }

    /// Whether there has been an event of this number.
    pub fn has_said(&self, event: u64) -> bool {
        event < self.state.lock().next
    }

    /// Reads what comes after the event `after`, or all of it. A former reader, if one is left, reads no more.
    pub fn read(self: &Arc<Self>, after: Option<u64>) -> EventReader {
        let mut state = self.state.lock();
        state.readers += 1;
        state.reading = Some(state.readers);
        // Only who comes back was sent away; it may have happened before the first reader began.
        state.hung_up &= after.is_none();
        // Only a former reader can be waiting now: it finds that it is none any more.
        self.changed.notify_one();
        EventReader {
            own: state.readers,
            next: after.map_or(0, |after| after.saturating_add(1)),
            stream: self.clone(),
            goodbye: None,
            stays: false,
            owed: Arc::default(),
            until: None,
            _guards: Vec::new(),
        }
    }
}

impl State {
    fn forget(&mut self, bytes: usize, kept: bool) {
        if kept {
            self.kept -= bytes;
            KEPT.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        KEPT.fetch_sub(self.state.get_mut().kept, Ordering::Relaxed);
    }
}

/// Who reads a stream, for one client. Dropping it says that the client is gone.
pub struct EventReader {
    stream: Arc<Stream>,
    /// Which of the stream's readers it is.
    own: u64,
    next: u64,
    /// What is said last where the stream is ended from outside.
    goodbye: Option<Bytes>,
    stays: bool,
    /// Messages whose answers are still to come.
    owed: Arc<AtomicUsize>,
    until: Option<tokio::time::Instant>,
    _guards: Vec<Box<dyn Send + Sync>>,
}

impl EventReader {
    /// Trips `token` when the client is gone before the end.
    pub(super) fn tripping(self, token: CancellationToken) -> Self {
        let guard: DropGuard = token.drop_guard();
        self.holding(Box::new(guard))
    }

    /// Holds `guard` for as long as it is read.
    pub(super) fn holding(mut self, guard: Box<dyn Send + Sync>) -> Self {
        self._guards.push(guard);
        self
    }

    /// `owed` counts the messages whose answers are still to come.
    pub(super) fn owing(mut self, owed: Arc<AtomicUsize>) -> Self {
        self.owed = owed;
        self
    }

    /// Ends when no answer is still to come, as far as is known now.
    pub fn settled(&self) -> impl Future<Output = ()> + Send + use<> {
        let owed = self.owed.clone();
        async move {
            while owed.load(Ordering::Acquire) > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    /// Ends only when somebody leaves, or after `left`.
    pub(super) fn staying(mut self, left: Option<Duration>) -> Self {
        self.stays = true;
        self.until = left.map(|left| tokio::time::Instant::now() + left);
        self
    }

    /// Ends after `longest`, if not before.
    pub(super) fn at_most(mut self, longest: Duration) -> Self {
        let longest = tokio::time::Instant::now() + longest;
        self.until = Some(self.until.map_or(longest, |until| until.min(longest)));
        self
    }

    /// Says `goodbye` where [`Self::part`] ends it.
    pub(super) fn with_goodbye(mut self, goodbye: Bytes) -> Self {
        self.goodbye = Some(goodbye);
        self
    }

    /// True for a stream that ends with an answer, false for one that ends only when somebody leaves.
    pub fn will_end(&self) -> bool {
        !self.stays
    }

    /// What is to be said where the server ends a stream that would not end by itself.
    pub fn part(&mut self) -> Option<Event> {
        self.goodbye.take().map(|data| Event { id: None, retry: None, data })
    }

    /// The next event; None at the end. Safe to drop and call again.
    pub async fn next(&mut self) -> Option<Event> {
        let until = self.until;
        let ending = async move {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(ending);
        loop {
            if let Some(event) = self.take()? {
                return Some(event);
            }
            tokio::select! {
                // A change since then has left its mark there.
                () = self.stream.changed.notified() => {}
                () = &mut ending => return self.part(),
            }
        }
    }

    /// `Some(None)`: nothing yet.
    fn take(&mut self) -> Option<Option<Event>> {
        let mut state = self.stream.state.lock();
        if state.reading != Some(self.own) {
            return None;
        }
        let kept = self.stream.number.is_some();
        let at = state.events.iter().position(|event| event.number >= self.next);
        let Some(at) = at else {
            return if state.ended.is_some() || state.hung_up { None } else { Some(None) };
        };
        let queued = if kept {
            let event = state.events.get(at)?;
            (event.number, event.data.clone(), event.retry)
        } else {
            let event = state.events.remove(at)?;
            (event.number, event.data, event.retry)
        };
        let (number, data, retry) = queued;
        self.next = number + 1;
        let id = self.stream.number.map(|stream| format!("{stream}-{number}"));
        Some(Some(Event { id, retry, data }))
    }
}

impl fmt::Debug for EventReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventReader").field("next", &self.next).field("stays", &self.stays).finish()
    }
}

impl Drop for EventReader {
    fn drop(&mut self) {
        let mut state = self.stream.state.lock();
        if state.reading == Some(self.own) {
            state.reading = None;
        }
    }
}

/// A stream's number and an event's, as an event's id tells them.
pub(super) fn place(id: &str) -> Option<(u64, u64)> {
    let (stream, event) = id.split_once('-')?;
    Some((stream.parse().ok()?, event.parse().ok()?))
}

#[cfg(test)]
mod tests;

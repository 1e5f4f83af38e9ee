//! From the request's path to the sink: a queue that takes at once and one thread that writes.
//!
//! Records are written in the order they were submitted. A record that cannot be written waits and is
//! tried again; one that was asked to be durable is answered at once with the error, and given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::{oneshot, watch};

use super::sink::old::{self as sink, Sink};
use super::{AuditConfig, AuditError, Event};
use crate::metrics::Metrics;

mod writer;

use writer::{Copy, Writer};

/// How long records may wait for company before they are written together: waking the writer for each
/// one costs more than writing it. Durable records do not wait.
const LINGER: Duration = Duration::from_millis(5);
/// Records that are worth waking the writer for.
const CROWD: usize = 256;
/// How long closing tries a sink that fails before it gives up.
const PATIENCE: Duration = Duration::from_secs(5);

/// The way to the record; clones share it. Dropping the last one writes what is left, as
/// [`Audit::close`] does, but blocks its thread for it.
#[derive(Clone)]
pub struct Audit(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Closes when the writer has stopped, however it stopped.
    stopped: watch::Receiver<()>,
}

struct Shared {
    line: Mutex<Line>,
    wake: Condvar,
    depth: Arc<Depth>,
    queue: usize,
}

/// Records accepted and not yet written, shown as a metric too.
struct Depth {
    count: AtomicUsize,
    metrics: Arc<Metrics>,
    /// Since when the oldest record that the writer has taken waits.
    oldest: Mutex<Option<Instant>>,
}

/// The records that wait for the writer, and what it needs to know to wait itself.
#[derive(Default)]
struct Line {
    items: Vec<Item>,
    urgent: bool,
    closing: bool,
    /// The writer sleeps until it is woken.
    asleep: bool,
    /// The writer has gone home and left this, for whoever comes late.
    retired: Option<Writer>,
}

struct Item {
    event: Event,
    since: Instant,
    ack: Option<oneshot::Sender<Result<(), AuditError>>>,
}

impl Audit {
    /// Opens the sink that `config` names and starts its writer thread.
    ///
    /// # Errors
    /// [`AuditError::UnknownSink`], or [`AuditError::Open`] with the key and the remedy.
    pub fn open(config: &AuditConfig, metrics: Arc<Metrics>) -> Result<Audit, AuditError> {
        Self::start(sink::open(config)?, config.queue, metrics, PATIENCE, None)
    }

    /// The same, and `tap` gets a copy of each record.
    ///
    /// # Errors
    /// As [`Audit::open`].
    #[cfg(feature = "server")]
    pub fn tapped(config: &AuditConfig, metrics: Arc<Metrics>, tap: super::Tap) -> Result<Audit, AuditError> {
        let copy: Copy = Box::new(move |event, line| tap.copy(event, line));
        Self::start(sink::open(config)?, config.queue, metrics, PATIENCE, Some(copy))
    }

    /// No record at all, for who has nobody to answer to.
    ///
    /// # Errors
    /// [`AuditError::Open`] where no thread can be started.
    pub fn off(metrics: Arc<Metrics>) -> Result<Audit, AuditError> {
        Self::start(Box::new(sink::Nowhere), AuditConfig::default().queue, metrics, PATIENCE, None)
    }

    fn start(
        sink: Box<dyn Sink>,
        queue: usize,
        metrics: Arc<Metrics>,
        patience: Duration,
        copy: Option<Copy>,
    ) -> Result<Audit, AuditError> {
        let depth = Arc::new(Depth { count: AtomicUsize::new(0), metrics, oldest: Mutex::default() });
        depth.metrics.audit_queue_max.set(i64::try_from(queue).unwrap_or(i64::MAX));
        let writer = Writer::new(sink, Arc::clone(&depth), copy);
        let shared = Arc::new(Shared { line: Mutex::default(), wake: Condvar::new(), depth, queue });
        let (running, stopped) = watch::channel(());
        let thread = std::thread::Builder::new().name("audit".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                shared.write(writer, patience);
                drop(running);
            }
        });
        let thread =
            thread.map_err(|error| AuditError::Open(format!("the audit writer cannot start: {error}")))?;
        Ok(Self(Arc::new(Handle { shared, thread: Mutex::new(Some(thread)), stopped })))
    }

    /// Hands `event` over and returns at once; it will be written after all that came before it.
    ///
    /// Usable anywhere, also in `Drop` and outside a runtime. Only after [`Audit::close`] it writes
    /// itself, and so may block.
    pub fn submit(&self, event: Event) {
        self.0.shared.submit(Item { event, since: Instant::now(), ack: None });
    }

    /// Hands `event` over and returns when it is written and synced. A caller that goes away meanwhile
    /// does not take the record along.
    ///
    /// # Errors
    /// [`AuditError::Write`] as soon as an attempt fails: the record may or may not be there, and is not
    /// tried again. [`AuditError::Closed`] after [`Audit::close`].
    pub async fn submit_durable(&self, event: Event) -> Result<(), AuditError> {
        let (ack, mut answer) = oneshot::channel();
        let mut stopped = self.0.stopped.clone();
        self.0.shared.submit(Item { event, since: Instant::now(), ack: Some(ack) });
        tokio::select! {
            biased;
            answered = &mut answer => answered.unwrap_or(Err(AuditError::Closed)),
            // Only a writer that died leaves a record unanswered; nobody may wait for it for ever.
            _ = stopped.changed() => answer.try_recv().unwrap_or(Err(AuditError::Closed)),
        }
    }

    /// Records accepted and not yet written.
    pub fn depth(&self) -> usize {
        self.0.shared.depth.count.load(Ordering::Relaxed)
    }

    /// Shows how long the oldest record has been waiting.
    pub fn observe(&self) {
        let shared = &self.0.shared;
        // What the writer has taken is older than what it will take.
        let taken = *shared.depth.oldest.lock();
        let since = taken.or_else(|| shared.line.lock().items.first().map(|item| item.since));
        let age = since.map_or(0.0, |since| since.elapsed().as_secs_f64());
        shared.depth.metrics.audit_oldest.set(age);
    }

    /// False while as many records wait as the configuration allows: no new request should begin.
    pub fn has_room(&self) -> bool {
        self.depth() < self.0.shared.queue
    }

    /// Writes and syncs all that was submitted and stops the writer; a second call waits for the first.
    ///
    /// A sink that keeps failing is given up after 5 s; the log then says how many records are lost.
    pub async fn close(&self) {
        self.0.shared.close();
        let mut stopped = self.0.stopped.clone();
        // Nothing is ever sent: this ends when the sender is dropped.
        while stopped.changed().await.is_ok() {}
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the audit writer panicked");
        }
    }
}

impl Shared {
    fn submit(&self, item: Item) {
        self.depth.more();
        let mut line = self.line.lock();
        if let Some(mut writer) = line.retired.take() {
            if let Some(ack) = item.ack {
                self.depth.less(1);
                line.retired = Some(writer);
                // Without its receiver there is nobody to tell.
                let _ = ack.send(Err(AuditError::Closed));
                return;
            }
            writer.take([item]);
            writer.write(true);
            line.retired = Some(writer);
            return;
        }
        let urgent = item.ack.is_some();
        line.items.push(item);
        line.urgent |= urgent;
        if line.asleep || urgent || line.items.len() == CROWD {
            line.asleep = false;
            drop(line);
            self.wake.notify_one();
        }
    }

    fn close(&self) {
        self.line.lock().closing = true;
        self.wake.notify_one();
    }

    /// The writer thread.
    fn write(&self, mut writer: Writer, patience: Duration) {
        let mut spare = Vec::new();
        let mut give_up = None;
        loop {
            let mut line = self.line.lock();
            self.wait(&mut line, &writer);
            let closing = line.closing;
            line.urgent = false;
            std::mem::swap(&mut line.items, &mut spare);
            drop(line);

            writer.take(spare.drain(..));
            writer.write(closing);

            if closing {
                let give_up = *give_up.get_or_insert_with(|| Instant::now() + patience);
                let mut line = self.line.lock();
                let all = line.items.is_empty() && writer.is_clean();
                if all || (writer.fails() && Instant::now() >= give_up) {
                    // What came in since is taken along under the lock, so that nothing falls between.
                    writer.take(line.items.drain(..));
                    writer.write(true);
                    writer.report_lost();
                    writer.alone();
                    line.retired = Some(writer);
                    return;
                }
            }
        }
    }

    /// Returns when there is something to do.
    fn wait(&self, line: &mut parking_lot::MutexGuard<'_, Line>, writer: &Writer) {
        if let Some(until) = writer.next_attempt(line.closing) {
            // A durable record is worth an attempt now, for its submitter waits.
            // Closing does not shorten the pause: the sink needs it as much as before.
            while !line.urgent && !self.wake.wait_until(line, until).timed_out() {}
            return;
        }
        while line.items.is_empty() && !line.closing {
            line.asleep = true;
            self.wake.wait(line);
        }
        line.asleep = false;
        if !line.urgent && !line.closing && line.items.len() < CROWD {
            self.wake.wait_for(line, LINGER);
        }
    }
}

impl Depth {
    fn more(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.metrics.audit_queue.inc();
    }

    fn less(&self, records: usize) {
        self.count.fetch_sub(records, Ordering::Relaxed);
        self.metrics.audit_queue.sub(i64::try_from(records).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests;

//! Records as lines, written by a thread of their own: a reader that stands still, or a disk that does, holds up no
//! one else, and not the end of the process either.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::table::{Sink, Undelivered};
use super::write::Failed;
use crate::record::Record;

/// The most bytes that are written at once, unless a single line is longer.
pub(super) const BATCH: usize = 256 << 10;

/// Takes whole lines.
pub(super) trait Append: Send + 'static {
    /// Appends `batch`, and where `sync` is set returns only when it is safe.
    ///
    /// After an error every line that did not land is handed over again. So it takes back what it wrote of the batch,
    /// or says how much of it stays.
    fn append(&mut self, batch: &[u8], sync: bool) -> Result<(), Failed>;
}

/// The sink around an [`Append`].
pub(super) struct Lines {
    work: Sender<Work>,
    /// What became of a delivery that nobody waited for to its end.
    left: Option<oneshot::Receiver<Done>>,
}

struct Work {
    lines: Vec<u8>,
    /// Where each line ends.
    ends: Vec<usize>,
    done: oneshot::Sender<Done>,
}

type Done = Result<(), Undelivered>;

impl Lines {
    /// Starts the thread.
    pub fn start(to: impl Append) -> io::Result<Self> {
        let (work, orders) = channel();
        std::thread::Builder::new().name("sink".to_owned()).spawn(move || write(to, &orders))?;
        Ok(Self { work, left: None })
    }

    async fn finish(&mut self) -> Done {
        let Some(left) = self.left.as_mut() else { return Ok(()) };
        let done = left.await;
        self.left = None;
        done.unwrap_or_else(|_| Err(gone()))
    }
}

#[async_trait]
impl Sink for Lines {
    async fn deliver(&mut self, records: &[Arc<Record>]) -> Result<(), Undelivered> {
        // Whatever it was: what is not known to be taken is among `records` again.
        let _ = self.finish().await;
        let (mut lines, mut ends) = (Vec::new(), Vec::with_capacity(records.len()));
        for record in records {
            record.write_line(&mut lines);
            ends.push(lines.len());
        }
        let (done, left) = oneshot::channel();
        self.work.send(Work { lines, ends, done }).map_err(|_| gone())?;
        self.left = Some(left);
        self.finish().await
    }
}

fn gone() -> Undelivered {
    Undelivered { taken: 0, why: "its writer has ended".to_owned() }
}

/// The thread.
fn write(mut to: impl Append, orders: &Receiver<Work>) {
    while let Ok(Work { lines, ends, done }) = orders.recv() {
        // Nobody may be waiting any more.
        let _ = done.send(write_batches(&mut to, &lines, &ends));
    }
}

fn write_batches(to: &mut impl Append, lines: &[u8], ends: &[usize]) -> Done {
    let mut from = 0;
    let mut ahead = ends.iter().copied().peekable();
    while let Some(mut to_here) = ahead.next() {
        while let Some(end) = ahead.next_if(|end| end - from <= BATCH) {
            to_here = end;
        }
        let batch = lines.get(from..to_here).unwrap_or_default();
        to.append(batch, true).map_err(|Failed { landed, source }| Undelivered {
            taken: ends.partition_point(|end| *end <= from + landed),
            why: source.to_string(),
        })?;
        from = to_here;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::audit::sink::testing::{lines, records};

    /// Keeps what it is handed, and fails after so many bytes.
    struct Memory {
        told: Sender<Vec<u8>>,
        gate: Receiver<()>,
        room: usize,
    }

    impl Append for Memory {
        fn append(&mut self, batch: &[u8], sync: bool) -> Result<(), Failed> {
            let _ = self.gate.recv();
            assert!(sync && batch.ends_with(b"\n"));
            let landed = batch.len().min(self.room);
            self.told.send(batch[..landed].to_vec()).unwrap();
            self.room -= landed;
            if landed == batch.len() {
                Ok(())
            } else {
                Err(Failed { landed, source: io::Error::other("full") })
            }
        }
    }

    fn memory(room: usize) -> (Lines, Receiver<Vec<u8>>, Sender<()>) {
        let ((told, said), (open, gate)) = (channel(), channel());
        (Lines::start(Memory { told, gate, room }).unwrap(), said, open)
    }

    #[tokio::test]
    async fn an_error_says_how_many_lines_are_whole() {
        let records = records(3, 10);
        let text = lines(&records);
        let second = text.match_indices('\n').nth(1).unwrap().0 + 1;
        for (room, taken) in [(second, 2), (second + 5, 2), (second - 1, 1), (0, 0)] {
            let (mut sink, _said, _) = memory(room);
            let why = "full".to_owned();
            assert_eq!(sink.deliver(&records).await, Err(Undelivered { taken, why }), "{room}");
        }
    }

    #[tokio::test]
    async fn many_records_are_written_in_batches_of_whole_lines_in_order() {
        let records = records(40, 20_000);
        let (mut sink, said, gate) = memory(usize::MAX);
        drop(gate);
        sink.deliver(&records).await.unwrap();
        drop(sink);
        let batches: Vec<Vec<u8>> = said.iter().collect();
        assert!(batches.len() > 2 && batches.iter().all(|batch| batch.len() <= BATCH));
        assert_eq!(String::from_utf8(batches.concat()).unwrap(), lines(&records));
    }

    #[tokio::test]
    async fn a_reader_that_stands_still_holds_up_nobody_and_loses_nothing() {
        let first = records(1, 10);
        let (mut sink, said, gate) = memory(usize::MAX);
        let given_up = tokio::time::timeout(Duration::from_millis(20), sink.deliver(&first)).await;
        assert!(given_up.is_err(), "it waits");
        gate.send(()).unwrap();
        gate.send(()).unwrap();
        sink.deliver(&first).await.unwrap();
        let written = [said.recv().unwrap(), said.recv().unwrap()].concat();
        assert_eq!(String::from_utf8(written).unwrap(), lines(&first).repeat(2));
    }
}

//! The way out: from serving over leaving and refusing to the end, and never back. Knows what is
//! still being worked on; when it moves on is decided elsewhere.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::in_flight::InFlight;

/// How often is looked whether something is still in flight.
const PACE: Duration = Duration::from_millis(10);

/// How far on the way out the public listeners are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not at all.
    Serving,
    /// Requests are accepted as before, and whoever sends them is told to look elsewhere.
    Leaving,
    /// New requests are refused, those in flight go on.
    Refusing,
    /// The listeners are closed.
    Over,
}

/// The drain of the public listeners.
pub struct Drain {
    phase: watch::Sender<Phase>,
    work: Vec<Arc<InFlight>>,
}

impl Drain {
    /// Serving; the end waits for `work`.
    pub(super) fn new(work: Vec<Arc<InFlight>>) -> Self {
        Self { phase: watch::Sender::new(Phase::Serving), work }
    }

    /// Begins, if it has not begun; it cannot be taken back.
    pub fn begin(&self) {
        self.advance(Phase::Leaving);
    }

    /// From now on new requests are refused.
    pub fn refuse(&self) {
        self.advance(Phase::Refusing);
    }

    /// Nothing is waited for any more.
    pub(super) fn end(&self) {
        self.advance(Phase::Over);
    }

    fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let further = *phase < to;
            *phase = to.max(*phase);
            further
        });
    }

    /// Where it is now.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Whether new requests are refused. Who is counted among those in flight before it asks is
    /// either refused or waited for.
    pub fn refuses(&self) -> bool {
        self.phase() >= Phase::Refusing
    }

    /// To wait for a phase with.
    pub(super) fn watch(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Ends when it has come as far as `phase`.
    pub async fn reached(&self, phase: Phase) {
        reached(&mut self.watch(), phase).await;
    }

    /// Requests being worked on, without streams, which do not end by themselves.
    pub fn left(&self) -> usize {
        self.work.iter().map(|work| work.count()).sum()
    }

    /// Ends when nothing is in flight.
    pub async fn idle(&self) {
        while self.left() > 0 {
            sleep(PACE).await;
        }
    }
}

/// Ends when `drain` has come as far as `phase`.
pub(super) async fn reached(drain: &mut watch::Receiver<Phase>, phase: Phase) {
    // A drain that is gone has nothing left to serve either.
    let _ = drain.wait_for(|now| *now >= phase).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_and_never_back() {
        let drain = Drain::new(Vec::new());
        assert!(drain.phase() == Phase::Serving && !drain.refuses());
        drain.begin();
        assert!(drain.phase() == Phase::Leaving && !drain.refuses());
        drain.refuse();
        drain.begin();
        assert!(drain.phase() == Phase::Refusing && drain.refuses());
        drain.end();
        drain.refuse();
        assert!(drain.phase() == Phase::Over && drain.refuses());
    }

    #[tokio::test]
    async fn requests_are_waited_for_and_streams_are_not() {
        let (own, passing) = (Arc::new(InFlight::default()), Arc::new(InFlight::default()));
        let drain = Drain::new(vec![own.clone(), passing.clone()]);
        let (request, stream) = (own.enter(9), passing.enter(9).unwrap());
        assert_eq!(drain.left(), 2);
        stream.streams();
        assert_eq!(drain.left(), 1);
        drop(request);
        drain.idle().await;
    }
}

//! What is being worked on, counted for the bound and for the drain.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Requests being worked on, and streams that end only when somebody leaves.
#[derive(Default)]
pub struct InFlight {
    requests: AtomicUsize,
    streams: AtomicUsize,
}

impl InFlight {
    /// Requests that will end by themselves.
    pub fn count(&self) -> usize {
        self.requests.load(Ordering::Acquire)
    }

    /// Counts one more until it is dropped, unless there are `most` already.
    pub fn enter(self: &Arc<Self>, most: usize) -> Option<Entered> {
        let entered = Entered { whole: self.clone(), streams: AtomicBool::new(false) };
        let before = self.requests.fetch_add(1, Ordering::AcqRel) + self.streams.load(Ordering::Acquire);
        (before < most).then_some(entered)
    }
}

/// One that is being worked on.
pub struct Entered {
    whole: Arc<InFlight>,
    streams: AtomicBool,
}

impl Entered {
    /// It has become a stream, which nobody waits for when it is time to stop.
    pub fn streams(&self) {
        if !self.streams.swap(true, Ordering::AcqRel) {
            self.whole.streams.fetch_add(1, Ordering::AcqRel);
            self.whole.requests.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let counter = if *self.streams.get_mut() { &self.whole.streams } else { &self.whole.requests };
        counter.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_take_room_and_are_not_waited_for() {
        let whole = Arc::new(InFlight::default());
        let stream = whole.enter(2).unwrap();
        stream.streams();
        stream.streams();
        assert_eq!(whole.count(), 0);
        let request = whole.enter(2).unwrap();
        assert_eq!(whole.count(), 1);
        assert!(whole.enter(2).is_none());
        drop((stream, request));
        assert_eq!(whole.count(), 0);
        assert!(whole.enter(1).is_some());
    }
}

//! What a connection is doing, and how long it may go on so. Pure: the time is handed in.
//!
//! A request is never cut here, however long it takes: its bounds are its own.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long a connection may go without a request.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From the first byte of a request until its header is complete.
    pub header: Duration,
    /// Between requests.
    pub idle: Duration,
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// A header was begun and not completed.
    Header,
    /// No request came.
    Idle,
}

impl Overdue {
    /// The reason as a metric's label has it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Idle => "idle",
        }
    }
}

/// The requests of one connection, and what it has been doing since the last of them ended.
#[derive(Debug)]
pub struct Pulse(Mutex<State>);

#[derive(Debug)]
struct State {
    requests: usize,
    in_header: bool,
    since: Instant,
}

impl Pulse {
    /// A connection that was just made.
    pub fn new(now: Instant) -> Self {
        Self(Mutex::new(State { requests: 0, in_header: false, since: now }))
    }

    /// Bytes came; between requests the first of them begin a header.
    pub fn heard(&self, now: impl FnOnce() -> Instant) {
        let mut state = self.0.lock();
        if state.requests == 0 && !state.in_header {
            state.in_header = true;
            state.since = now();
        }
    }

    /// A request's header is complete.
    pub fn begin(&self) {
        let mut state = self.0.lock();
        state.requests += 1;
        state.in_header = false;
    }

    /// One of the requests that were begun is over.
    pub fn end(&self, now: Instant) {
        let mut state = self.0.lock();
        state.requests = state.requests.saturating_sub(1);
        state.since = now;
    }

    /// Whether there is a request.
    pub fn is_busy(&self) -> bool {
        self.0.lock().requests > 0
    }

    /// When the connection is to be closed unless something happens; None while there is a request.
    pub fn due(&self, patience: Patience) -> Option<(Instant, Overdue)> {
        let state = self.0.lock();
        match (state.requests, state.in_header) {
            (0, true) => Some((state.since + patience.header, Overdue::Header)),
            (0, false) => Some((state.since + patience.idle, Overdue::Idle)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { header: Duration::from_secs(15), idle: Duration::from_secs(60) };

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_connection_without_a_request_is_idle_from_its_beginning() {
        let start = Instant::now();
        assert_eq!(Pulse::new(start).due(PATIENCE), Some((after(start, 60), Overdue::Idle)));
    }

    #[test]
    fn only_the_first_byte_of_a_header_counts() {
        let start = Instant::now();
        let pulse = Pulse::new(start);
        for second in 1..10 {
            pulse.heard(|| after(start, second));
        }
        assert_eq!(pulse.due(PATIENCE), Some((after(start, 16), Overdue::Header)));
    }

    #[test]
    fn a_request_is_never_due_and_its_body_begins_no_header() {
        let start = Instant::now();
        let pulse = Pulse::new(start);
        pulse.heard(|| start);
        pulse.begin();
        pulse.heard(|| after(start, 1));
        assert!(pulse.is_busy());
        assert_eq!(pulse.due(PATIENCE), None);
        pulse.end(after(start, 1000));
        assert_eq!(pulse.due(PATIENCE), Some((after(start, 1060), Overdue::Idle)));
    }

    #[test]
    fn a_connection_with_several_requests_is_idle_when_the_last_is_over() {
        let start = Instant::now();
        let pulse = Pulse::new(start);
        pulse.begin();
        pulse.begin();
        pulse.end(after(start, 1));
        assert_eq!(pulse.due(PATIENCE), None);
        pulse.end(after(start, 2));
        assert_eq!(pulse.due(PATIENCE), Some((after(start, 62), Overdue::Idle)));
    }
}

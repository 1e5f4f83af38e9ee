//! The threads that serve connections. Each has a runtime of its own, so that a connection's work and what it waits for stay on
//! one core: a runtime of several threads hands tasks from one to another, which costs a call a tenth more.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// One of them.
struct Worker<T> {
    runtime: Handle,
    serving: AtomicUsize,
    own: T,
}

/// All of them; what they still do ends when this goes.
pub struct Workers<T> {
    all: Vec<Arc<Worker<T>>>,
    _end: DropGuard,
}

impl<T> Workers<T> {
    /// As many as there are processors that this process may use, each with an `own`.
    ///
    /// # Errors
    /// A thread or its runtime cannot be had.
    pub fn start(own: impl Fn() -> T) -> io::Result<Self> {
        Self::of(thread::available_parallelism().map_or(1, usize::from), own)
    }

    fn of(count: usize, own: impl Fn() -> T) -> io::Result<Self> {
        let end = CancellationToken::new();
        let mut workers = Self { all: Vec::with_capacity(count), _end: end.clone().drop_guard() };
        for number in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let handle = runtime.handle().clone();
            let end = end.clone();
            let thread = thread::Builder::new().name(format!("sidegate-{number}"));
            thread.spawn(move || runtime.block_on(end.cancelled()))?;
            let worker = Worker { runtime: handle, serving: AtomicUsize::new(0), own: own() };
            workers.all.push(Arc::new(worker));
        }
        Ok(workers)
    }

    /// What each has for itself.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.all.iter().map(|worker| &worker.own)
    }

    /// A seat with the one that serves the fewest.
    pub fn seat(&self) -> Seat<T> {
        let least = self.all.iter().min_by_key(|worker| worker.serving.load(Ordering::Relaxed));
        let worker = least.cloned().expect("there is one for each processor");
        worker.serving.fetch_add(1, Ordering::Relaxed);
        Seat(worker)
    }
}

/// Something that a worker serves, which counts while this is there.
pub struct Seat<T>(Arc<Worker<T>>);

impl<T> Seat<T> {
    /// Where it is served.
    pub fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    /// What the worker has for itself.
    pub fn own(&self) -> &T {
        &self.0.own
    }
}

impl<T> Drop for Seat<T> {
    fn drop(&mut self) {
        self.0.serving.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seat_is_with_who_serves_the_fewest() {
        let number = AtomicUsize::new(0);
        let workers = Workers::of(3, || number.fetch_add(1, Ordering::Relaxed)).unwrap();
        let mut seats: Vec<_> = (0..6).map(|_| workers.seat()).collect();
        let of = |seats: &[Seat<usize>]| seats.iter().map(|seat| *seat.own()).collect::<Vec<_>>();
        assert_eq!(of(&seats), [0, 1, 2, 0, 1, 2]);
        seats.retain(|seat| *seat.own() != 1);
        assert_eq!(of(&[workers.seat(), workers.seat()]), [1, 1]);
    }

    #[tokio::test]
    async fn each_works_on_a_thread_of_its_own_until_they_go() {
        let workers = Workers::of(2, || ()).unwrap();
        let here = async || thread::current().name().map(str::to_owned);
        let (one, two) = (workers.seat(), workers.seat());
        let mut threads = BTreeSet::new();
        for seat in [&one, &two, &one] {
            threads.insert(seat.runtime().spawn(here()).await.unwrap().unwrap());
        }
        assert_eq!(threads.into_iter().collect::<Vec<_>>(), ["sidegate-0", "sidegate-1"]);
        let endless = one.runtime().spawn(std::future::pending::<()>());
        drop(workers);
        assert!(endless.await.unwrap_err().is_cancelled());
    }
}

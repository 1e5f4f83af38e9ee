//! What other processes of the same tenant must hear of: words for it, and where they are dropped.
//!
//! Knows nothing of how they travel.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::mcp::rpc::Id;

/// Words that wait to be sent. Further ones are lost: who is told of what ended finds out by itself later.
const WAITING: usize = 1024;

/// What happened to a session that another process may know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Word {
    /// Its client ended it.
    Ended { session: Uuid },
    /// Its client wants no answer to a request, which is not running here.
    Cancelled { session: Uuid, request: Id },
}

/// The way out, where there are other processes.
#[derive(Default)]
pub(super) struct Elsewhere(OnceLock<mpsc::Sender<Word>>);

impl Elsewhere {
    /// Opens the way out; what comes out of it is to be sent on. None where it is open already.
    pub fn open(&self) -> Option<mpsc::Receiver<Word>> {
        let (sender, receiver) = mpsc::channel(WAITING);
        self.0.set(sender).is_ok().then_some(receiver)
    }

    /// Has the others told.
    pub fn say(&self, word: Word) {
        if let Some(way) = self.0.get() {
            let _ = way.try_send(word);
        }
    }
}

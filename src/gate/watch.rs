//! Streams that end only when somebody leaves: counted by agent, ended with it, told of changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde_json::{Map, Value};

use super::refusal::{Limit, Refusal};
use super::stream::Stream;
use crate::mcp::revision::Revision;
use crate::mcp::rpc::Id;

/// What is to be heard on a stream, and how it is said there.
pub(super) struct Topic {
    pub revision: &'static Revision,
    /// The request that opened the stream, and what it agreed on; none for a session's, which hears of every list.
    pub agreed: Option<(Id, Map<String, Value>)>,
}

/// The notifications of changes, and the names under which they are agreed on.
const CHANGES: [(&str, &str); 3] = [
    ("notifications/tools/list_changed", "toolsListChanged"),
    ("notifications/prompts/list_changed", "promptsListChanged"),
    ("notifications/resources/list_changed", "resourcesListChanged"),
];

impl Topic {
    /// The notification as it is said on this stream, if it is to be heard there.
    fn say(&self, method: &str, params: &Value) -> Option<Vec<u8>> {
        let listed = CHANGES.iter().find(|(change, _)| *change == method);
        let Some((id, agreed)) = &self.agreed else {
            return listed.map(|_| self.revision.notification(method, params));
        };
        let heard = match listed {
            Some((_, name)) => agreed.get(*name) == Some(&Value::Bool(true)),
            None => {
                let uris = agreed.get("resourceSubscriptions").and_then(Value::as_array);
                params.get("uri").is_some_and(|uri| uris.is_some_and(|uris| uris.contains(uri)))
            }
        };
        let mut params = params.as_object().cloned().unwrap_or_default();
        params.insert("_meta".to_owned(), self.revision.of_stream(id));
        heard.then(|| self.revision.notification(method, &params.into()))
    }
}

/// All such streams of this process.
#[derive(Default)]
pub(super) struct Watches {
    last: AtomicU64,
    open: Mutex<HashMap<u64, Open>>,
}

struct Open {
    agent: String,
    stream: Arc<Stream>,
    topic: Topic,
}

/// One that is open; dropping it says that it is not any more.
pub(super) struct Watch {
    all: Arc<Watches>,
    number: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.all.open.lock().remove(&self.number);
    }
}

impl Watches {
    /// Counts one more of `agent`'s, unless it has `most` already. 0 is no limit.
    pub fn open(
        self: &Arc<Self>,
        agent: &str,
        stream: Arc<Stream>,
        most: u32,
        topic: Topic,
    ) -> Result<Watch, Refusal> {
        let mut open = self.open.lock();
        let own = open.values().filter(|open| open.agent == agent).count();
        if most > 0 && own >= most as usize {
            return Err(Refusal::TooMany { limit: Limit::Streams, retry_after: 1 });
        }
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        open.insert(number, Open { agent: agent.to_owned(), stream, topic });
        Ok(Watch { all: self.clone(), number })
    }

    /// Ends those of agents for whom `gone` says so.
    pub fn end_of(&self, gone: impl Fn(&str) -> bool) {
        self.open.lock().values().filter(|open| gone(&open.agent)).for_each(|open| open.stream.end());
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.open.lock().len()
    }

    /// Says something on all that want to hear of it.
    pub fn tell(&self, method: &str, params: &Value) {
        for open in self.open.lock().values() {
            if let Some(said) = open.topic.say(method, params) {
                open.stream.say(said);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::mcp::revision::REVISIONS;

    fn topic() -> Topic {
        Topic { revision: REVISIONS[1], agreed: None }
    }

    #[test]
    fn an_agents_streams_are_bounded_and_end_with_it() {
        let watches = Arc::new(Watches::default());
        let (one, two) = (Stream::new(None), Stream::new(None));
        let first = watches.open("a", one.clone(), 1, topic()).unwrap_or_else(|_| panic!("refused"));
        assert!(matches!(watches.open("a", two.clone(), 1, topic()), Err(Refusal::TooMany { .. })));
        let _other = watches.open("b", two.clone(), 1, topic()).unwrap_or_else(|_| panic!("refused"));
        watches.end_of(|agent| agent == "a");
        assert!(one.ended().is_some() && two.ended().is_none());
        drop(first);
        assert_eq!(watches.count(), 1);
        assert!(watches.open("a", one, 1, topic()).is_ok());
    }

    #[test]
    fn a_stream_hears_of_what_it_agreed_on_and_under_its_own_name() {
        let agreed = json!({"toolsListChanged": true, "resourceSubscriptions": ["a:b"]});
        let topic = Topic {
            revision: REVISIONS[0],
            agreed: Some((Id::Number(7.into()), agreed.as_object().cloned().unwrap())),
        };
        let said = topic.say("notifications/tools/list_changed", &json!({})).unwrap();
        let said: Value = serde_json::from_slice(&said).unwrap();
        assert_eq!(said["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 7);
        assert!(topic.say("notifications/resources/updated", &json!({"uri": "a:b"})).is_some());
        for (method, params) in [
            ("notifications/prompts/list_changed", json!({})),
            ("notifications/resources/updated", json!({"uri": "a:c"})),
            ("notifications/message", json!({})),
        ] {
            assert!(topic.say(method, &params).is_none(), "{method}");
        }
    }
}

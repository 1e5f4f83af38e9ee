//! Which records are asked for.

use super::Facts;
use crate::clock::Millis;

/// What is none is not asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// See [`Facts::agent_id`].
    pub agent: Option<String>,
    /// See [`Facts::kind`].
    pub kind: Option<String>,
    /// See [`Facts::tool`].
    pub tool: Option<String>,
    /// Only calls and refusals with a tool, whichever.
    pub of_tools: bool,
    /// See [`Facts::entry_id`].
    pub entry: Option<String>,
    /// See [`Facts::decision`].
    pub decision: Option<String>,
    /// See [`Facts::outcome`].
    pub outcome: Option<String>,
    /// At this time or later.
    pub since: Option<Millis>,
    /// Before this time.
    pub until: Option<Millis>,
    /// See [`Facts::request_id`].
    pub request_id: Option<String>,
}

impl Filter {
    /// [`Filter::matches`], but for what the record says of itself: that is shown only where its kind is asked for.
    pub fn shows(&self, facts: &Facts) -> bool {
        self.matches(facts) && (self.kind.is_some() || !facts.is_own())
    }

    /// True where a record is asked for.
    pub fn matches(&self, facts: &Facts) -> bool {
        let wanted = |wanted: &Option<String>, is: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| Some(wanted) == is)
        };
        wanted(&self.agent, facts.agent_id.as_deref())
            && wanted(&self.kind, Some(&facts.kind))
            && wanted(&self.tool, facts.tool.as_deref())
            && wanted(&self.entry, facts.entry_id.as_deref())
            && wanted(&self.decision, facts.decision.as_deref())
            && wanted(&self.outcome, facts.outcome.as_deref())
            && wanted(&self.request_id, facts.request_id.as_deref())
            && (!self.of_tools || (facts.tool.is_some() && matches!(&*facts.kind, "call" | "refusal")))
            && self.since.is_none_or(|since| facts.at >= since)
            && self.until.is_none_or(|until| facts.at < until)
    }
}

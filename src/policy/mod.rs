//! Judgement: whether this caller may make this call. Pure; knows `tool` and
//! `identity`, neither the PSA nor how the answer is told.

mod permit;
pub mod quota;
pub mod scopes;

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use permit::Permit;
pub use scopes::{Lacking, scoped};

use crate::identity::trust::Caller;
use crate::tool::effect::Effect;
use crate::tool::rewrite::Bound;

/// The `[policy]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyConfig {
    /// The largest effect of an agent that names none of its own.
    pub default_max_effect: Effect,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self { default_max_effect: Effect::Read }
    }
}

impl PolicyConfig {
    /// What is wrong within the section: nothing can be, beyond its types.
    pub fn problems(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// What each agent of a tenant may do at most.
#[derive(Clone, Debug)]
pub struct Policies {
    /// For agents without an entry in `agents`.
    pub default_max: Effect,
    /// By agent id.
    pub agents: HashMap<String, Effect>,
    /// The longest that a call of an agent may take, by agent id, where it has a bound of its own.
    pub timeouts: HashMap<String, Duration>,
    /// The PSA roles that an agent's user was given, by agent id, where Sidegate gave them. Judged by the PSA alone.
    pub roles: HashMap<String, Vec<String>>,
}

impl Policies {
    /// The same for all agents.
    pub fn alike(default_max: Effect) -> Self {
        Self { default_max, agents: HashMap::new(), timeouts: HashMap::new(), roles: HashMap::new() }
    }

    /// The largest effect that the calls of an agent may have.
    pub fn most(&self, agent_id: &str) -> Effect {
        self.agents.get(agent_id).copied().unwrap_or(self.default_max)
    }
}

/// A judgement. Questions (approvals) will be a third answer.
#[derive(Debug)]
pub enum Decision {
    /// The call may be made, once, as it was judged.
    Allow(Permit),
    /// The call may not be made.
    Deny(Denial),
    /// The agent may make the call, and not with this token.
    Lacks(Lacking),
}

/// Why a call may not be made.
#[derive(Debug)]
pub struct Denial {
    /// The rule that denied, for the record.
    pub rule: &'static str,
    /// The same in words for the agent: what was refused, by which rule, who can change it.
    pub message: String,
    /// The call that was judged, for the record.
    pub bound: Bound,
}

/// The rule that compares a call's effect with the agent's maximum.
pub const RULE_MAX_EFFECT: &str = "max_effect";

/// The rule that compares a token's scopes with those that its issuer's tokens need.
pub const RULE_REQUIRED_SCOPES: &str = "required_scopes";

/// Judges one bound call of `caller`: its maximum first, for nobody should ask for scopes that do
/// not help. `_now` (Unix milliseconds) is for rules about time.
pub fn decide(policies: &Policies, caller: &Caller, bound: Bound, _now: i64) -> Decision {
    let allowed = policies.most(caller.agent_id());
    let effect = bound.effect();
    if effect <= allowed {
        return match scoped(caller, effect) {
            Ok(()) => Decision::Allow(Permit::new(bound, RULE_MAX_EFFECT)),
            Err(lacking) => Decision::Lacks(lacking),
        };
    }
    let message = format!(
        "Denied by rule {RULE_MAX_EFFECT}: {} is of effect `{}` and this agent may at most `{}`. \
         Nothing was sent. An administrator can raise the agent's max_effect.",
        bound.entry().id,
        effect.as_str(),
        allowed.as_str(),
    );
    Decision::Deny(Denial { rule: RULE_MAX_EFFECT, message, bound })
}

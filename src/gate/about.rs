//! What an agent is told about itself and about this gate: whose it is, what it may do, whether all is well.
//!
//! Asks nobody: neither the PSA nor the store. Tells an agent nothing of others.

use serde_json::{Map, Value, json};

use super::catalogue::Loaded;
use super::{Desk, Visitor};
use crate::clock::rfc3339;
use crate::policy;
use crate::tool::about::About;
use crate::tool::effect::Effect;
use crate::tool::rewrite::ToolResult;

const EFFECTS: [Effect; 3] = [Effect::Read, Effect::Write, Effect::Destroy];

impl Desk {
    /// The answer, in the form of the PSA's.
    pub(super) fn about(&self, about: About, visitor: &Visitor, loaded: &Loaded) -> ToolResult {
        let data = match about {
            About::Whoami => self.whoami(visitor),
            About::Permissions => self.permissions(visitor, loaded),
            About::Health => self.health(loaded),
        };
        ToolResult::json(json!({"status": 200, "ok": true, "data": data}))
    }

    fn whoami(&self, visitor: &Visitor) -> Value {
        let caller = &visitor.caller;
        let told = |value: Option<&str>| value.filter(|text| !text.is_empty()).map(Value::from);
        let members = [
            ("agent", told(Some(caller.agent_name()))),
            ("agentId", told(Some(caller.agent_id()))),
            ("tenant", told(Some(caller.tenant()))),
            ("issuer", told(Some(caller.issuer()))),
            ("subject", told(Some(caller.subject()))),
            ("person", told(caller.person())),
            ("client", told(caller.client_id())),
            ("roles", visitor.policies.roles.get(caller.agent_id()).map(|roles| json!(roles))),
            ("psaUser", told(caller.psa_user())),
            ("tokenEnds", visitor.until.map(|until| rfc3339(until.saturating_mul(1_000)).into())),
            ("maxEffect", Some(json!(visitor.policies.most(caller.agent_id())))),
        ];
        members
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect::<Map<_, _>>()
            .into()
    }

    fn permissions(&self, visitor: &Visitor, loaded: &Loaded) -> Value {
        let caller = &visitor.caller;
        let most = visitor.policies.most(caller.agent_id());
        let effect = |effect: Effect| {
            let endpoints = loaded.catalog.registered().iter().filter(|entry| entry.effect == effect).count();
            let mut told = json!({"endpoints": endpoints, "allowed": effect <= most});
            if effect > most {
                told["reason"] = "beyond the agent's max_effect, which an administrator can raise".into();
            } else if let Err(lacking) = policy::scoped(caller, effect) {
                told["allowed"] = false.into();
                told["reason"] =
                    format!("the token lacks scopes; it needs {}", lacking.scopes.join(" ")).into();
            }
            (effect.as_str().to_owned(), told)
        };
        let allowance = self.limits.allowance(caller.agent_id());
        let mut limits = json!({"callTimeoutSeconds": self.patience(visitor).as_secs_f64()});
        if let Some((most, left)) = allowance.per_minute {
            limits["callsPerMinute"] = json!({"limit": most, "left": left});
        }
        if let Some((most, now)) = allowance.in_flight {
            limits["callsInFlight"] = json!({"limit": most, "now": now});
        }
        json!({
            "maxEffect": most,
            "effects": EFFECTS.into_iter().map(effect).collect::<Map<_, _>>(),
            "scopes": caller.scopes(),
            "limits": limits,
            "note": "Within this the PSA judges by the roles of the agent's user there.",
        })
    }

    fn health(&self, loaded: &Loaded) -> Value {
        let now = self.parts.clock.now();
        let seconds = |since: i64| (now - since).max(0) / 1_000;
        let mut catalogue = json!({"endpoints": loaded.catalog.registered().len()});
        if let Some(fetched_at) = loaded.fetched_at {
            catalogue["ageSeconds"] = seconds(fetched_at).into();
        }
        if let Some(edition) = loaded.catalog.edition() {
            catalogue["edition"] = edition.into();
        }
        let psa = match self.parts.catalogue.asked() {
            Some((at, reachable)) => json!({"reachable": reachable, "askedSecondsAgo": seconds(at)}),
            None => json!({"reachable": null}),
        };
        let room = self.parts.audit.has_room();
        json!({
            "gate": {"healthy": room, "version": env!("CARGO_PKG_VERSION")},
            "psa": psa,
            "catalogue": catalogue,
            "record": {"keepsUp": room, "waiting": self.parts.audit.depth()},
        })
    }
}

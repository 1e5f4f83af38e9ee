//! Generated tokens against the token check: accepted is what the trusted key signed, and what an oracle that reads
//! the recipe instead of the token finds good.

mod damage;
mod inputs;
mod oracle;
mod recipe;

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;
use sidegate::identity::token::{Claims, Rules, peek, verify};
use sidegate::identity::trust::{AgentBinding, Trust, TrustedIssuer, caller};

use self::damage::damage;
use self::oracle::{acceptable, speaks_for};
use self::recipe::{Change, ISSUER, KEYS, LEEWAY, MAX_AGE, NOW, Part, RESOURCE, Recipe, Signer};
use super::{Verdict, check};

fn rules() -> Rules {
    Rules {
        issuer: ISSUER.to_owned(),
        aliases: Vec::new(),
        audiences: vec![RESOURCE.to_owned(), "api://sidegate".to_owned()],
        subject_claim: "sub".to_owned(),
        leeway: LEEWAY,
        max_age: Some(MAX_AGE),
    }
}

static TRUST: LazyLock<Trust> = LazyLock::new(|| {
    let bound = |agent_id: &str, issuer: &str, subject: &str, active| AgentBinding {
        agent_id: agent_id.to_owned(),
        name: agent_id.to_owned(),
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
        active,
        psa_user: None,
        kind: None,
    };
    let trusted = TrustedIssuer {
        issuer: ISSUER.to_owned(),
        max_age: Some(MAX_AGE),
        leeway: LEEWAY,
        ..TrustedIssuer::default()
    };
    let agents = vec![
        bound("seven", ISSUER, "agent-7", true),
        bound("off", ISSUER, "agent-off", false),
        bound("one", ISSUER, "agent-twice", true),
        bound("two", ISSUER, "agent-twice", true),
        bound("elsewhere", "https://other.example", "agent-other", true),
    ];
    Trust::new("acme", vec![trusted], agents)
});

/// The token's claims, if it is accepted: by either published key and by both together alike.
fn accepted(token: &str) -> Result<Option<Claims>, TestCaseError> {
    let Ok(peeked) = peek(token) else { return Ok(None) };
    let one = KEYS.published.iter().find_map(|key| verify(peeked.clone(), [key], &rules(), NOW).ok());
    let any = verify(peeked, &KEYS.published, &rules(), NOW).ok();
    prop_assert_eq!(&one, &any);
    Ok(any)
}

#[test]
fn a_token_is_accepted_exactly_if_its_recipe_is_good() {
    check("tokens", &inputs::recipe(), |recipe| {
        let claims = accepted(&recipe.token())?;
        prop_assert_eq!(claims.is_some(), acceptable(&recipe), "{:?} {}", claims, recipe.text(Part::Payload));
        let Some(claims) = claims else { return Ok(Verdict::Refused) };
        let agent = caller(&TRUST, &claims, None).ok().map(|caller| caller.agent_id().to_owned());
        prop_assert_eq!(agent.as_deref(), speaks_for(&recipe));
        Ok(Verdict::Accepted)
    });
}

#[test]
fn a_damaged_token_is_accepted_only_if_it_is_whole_after_all() {
    let damaged = prop_oneof![1 => Just(vec![]), 6 => vec(damage(), 1..3)];
    let good =
        (select(vec![Signer::Ed, Signer::Ec, Signer::OtherEd]), select(vec!["agent-7", "agent-8"]), damaged);
    check("damaged tokens", &good, |(signer, other, damaged)| {
        let subject = Change::Set(Part::Payload, "sub".into(), json!(other).to_string());
        let token = Recipe { signer, changes: vec![] }.token();
        let other = Recipe { signer: Signer::Ed, changes: vec![subject] }.token();
        let struck = damaged.iter().fold(token.clone(), |token, damage| damage.strike(&token, &other));
        let whole = (struck == token && signer != Signer::OtherEd) || struck == other;
        prop_assert_eq!(accepted(&struck)?.is_some(), whole, "{}", struck);
        Ok(if whole { Verdict::Accepted } else { Verdict::Refused })
    });
}

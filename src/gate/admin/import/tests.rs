//! What is taken over and what not, with the reason.

use super::*;
use crate::psa::{PsaUser, Role};

const ENTRA: &str = "https://login.microsoftonline.com/11111111-2222-4333-8444-555555555555/v2.0";

fn provider(kind: &str, issuer: &str, audience: Option<&str>) -> TakeoverProvider {
    TakeoverProvider {
        id: format!("id of {issuer}"),
        issuer: issuer.to_owned(),
        jwks_uri: "https://idp.example/jwks".to_owned(),
        audience: audience.map(ToOwned::to_owned),
        subject_claim: "sub".to_owned(),
        kind: kind.to_owned(),
        entra_tenant_id: None,
        active: true,
    }
}

fn agent(id: &str, name: &str, binding: Option<(&str, &str)>) -> TakeoverAgent {
    TakeoverAgent {
        id: id.to_owned(),
        name: name.to_owned(),
        description: None,
        issuer: binding.map(|(issuer, _)| issuer.to_owned()),
        subject: binding.map(|(_, subject)| subject.to_owned()),
        active: true,
        created_by: None,
        created_at: 7,
        user: Some(PsaUser {
            user_id: format!("user of {id}"),
            username: "mcp-agent".to_owned(),
            email: None,
            name: None,
            internal: true,
            active: true,
            ours: true,
        }),
        roles: vec![Role { role_id: "r".to_owned(), name: "Technician".to_owned(), description: None }],
    }
}

fn sorted(providers: Vec<TakeoverProvider>, agents: Vec<TakeoverAgent>, here: &Here<'_>) -> Sorted {
    sort(Takeover { providers, agents }, here)
}

fn nobody_here() -> Here<'static> {
    static HOSTED: Hosted = Hosted { google_client_id: None, microsoft_client_id: None };
    Here { issuers: Vec::new(), agents: Vec::new(), configured: &[], hosted: &HOSTED, judge: &|_| Ok(()) }
}

fn why(judged: &Judged) -> &str {
    assert!(!judged.taken, "{judged:?}");
    judged.why.as_deref().unwrap()
}

#[test]
fn a_provider_keeps_its_id_audience_and_subject_claim_and_an_agent_its_id_and_user() {
    let custom = TakeoverProvider {
        subject_claim: "azp".to_owned(),
        ..provider("custom", "https://idp.example", Some("api://mcp"))
    };
    let bot = agent("a-1", "Bot", Some(("https://idp.example", "app-1")));
    let done = sorted(vec![custom], vec![bot], &nobody_here());
    let [row] = &done.issuers[..] else { panic!("{:?}", done.told) };
    assert_eq!((row.id.as_str(), row.issuer.as_str()), ("id of https://idp.example", "https://idp.example"));
    assert_eq!(
        (row.audiences.as_slice(), row.subject_claim.as_str()),
        (&["api://mcp".to_owned()][..], "azp")
    );
    assert_eq!(row.jwks_uri.as_deref(), Some("https://idp.example/jwks"));
    assert!(row.active && row.managed_by == ManagedBy::Admin);
    let [(id, new)] = &done.agents[..] else { panic!("{:?}", done.told) };
    assert_eq!((id.as_str(), new.name.as_str(), new.subject.as_str()), ("a-1", "Bot", "app-1"));
    assert_eq!((new.psa_user.as_deref(), new.provisioned), (Some("user of a-1"), true));
    assert_eq!((new.roles.as_slice(), new.active), (&["Technician".to_owned()][..], true));
}

#[test]
fn a_provider_without_an_audience_is_not_taken_nor_are_its_agents() {
    let google = provider("google", "https://accounts.google.com", None);
    let bot = agent("a-1", "Bot", Some(("https://accounts.google.com", "1234")));
    let done = sorted(vec![google], vec![bot], &nobody_here());
    assert!(why(&done.told.providers[0]).contains("no audience"), "{:?}", done.told);
    assert!(why(&done.told.providers[0]).contains("--preset google"), "{:?}", done.told);
    assert!(
        why(&done.told.agents[0]).contains("https://accounts.google.com is not taken"),
        "{:?}",
        done.told
    );
    assert!(done.issuers.is_empty() && done.agents.is_empty());
}

#[test]
fn an_entra_directory_is_read_by_its_preset_and_one_for_everybody_is_not_taken() {
    let one = provider("microsoft", ENTRA, Some("api://mcp"));
    let all = TakeoverProvider {
        entra_tenant_id: Some("common".to_owned()),
        ..provider("microsoft", "https://login.microsoftonline.com/common/v2.0", Some("x"))
    };
    let custom = provider("custom", "https://login.microsoftonline.com/organizations/v2.0", Some("x"));
    let done = sorted(vec![one, all, custom], Vec::new(), &nobody_here());
    let [row] = &done.issuers[..] else { panic!("{:?}", done.told) };
    assert_eq!((row.kind.as_str(), row.jwks_uri.as_deref()), ("microsoft", None));
    assert_eq!(row.entra_tenant.as_deref(), Some("11111111-2222-4333-8444-555555555555"));
    assert!(!row.aliases.is_empty(), "tokens of version 1 are its too");
    assert!(why(&done.told.providers[1]).contains("common"), "{:?}", done.told.providers[1]);
    assert!(why(&done.told.providers[2]).contains("organizations"), "{:?}", done.told.providers[2]);
}

#[test]
fn what_the_rules_on_addresses_forbid_is_not_taken() {
    let here = Here { judge: &|_| Err("an address that is never reached".to_owned()), ..nobody_here() };
    let done = sorted(vec![provider("custom", "https://10.0.0.1", Some("x"))], Vec::new(), &here);
    assert!(why(&done.told.providers[0]).contains("never reached"), "{:?}", done.told);
    let done = sorted(vec![provider("custom", "not a url", Some("x"))], Vec::new(), &nobody_here());
    assert!(why(&done.told.providers[0]).starts_with("issuer: "), "{:?}", done.told);
}

#[test]
fn a_provider_that_is_here_stays_as_it_is_and_its_agents_are_taken() {
    let row = IssuerRow {
        issuer: "https://idp.example".to_owned(),
        subject_claim: "azp".to_owned(),
        ..IssuerRow::default()
    };
    let here = Here { issuers: vec![row], ..nobody_here() };
    let bot = agent("a-1", "Bot", Some(("https://idp.example", "app-1")));
    let done = sorted(vec![provider("custom", "https://idp.example", None)], vec![bot], &here);
    assert!(why(&done.told.providers[0]).contains("already"));
    assert!(done.told.providers[0].notes[0].contains("`azp` here and by `sub` there"), "{:?}", done.told);
    assert!(done.issuers.is_empty());
    assert_eq!(done.agents.len(), 1);
}

#[test]
fn an_agent_of_a_hosted_or_configured_provider_is_taken_without_a_row() {
    let hosted = Hosted { google_client_id: Some("app".to_owned()), microsoft_client_id: None };
    let configured = ["https://idp.example".to_owned()];
    let here = Here { hosted: &hosted, configured: &configured, ..nobody_here() };
    let agents = vec![
        agent("a-1", "One", Some(("https://accounts.google.com", "1"))),
        agent("a-2", "Two", Some(("https://idp.example", "2"))),
        agent("a-3", "Three", Some((ENTRA, "3"))),
    ];
    let done = sorted(Vec::new(), agents, &here);
    assert_eq!(done.agents.len(), 2);
    assert!(why(&done.told.agents[2]).contains(ENTRA));
}

#[test]
fn an_agent_without_an_identity_a_user_or_a_name_of_its_own_is_not_taken() {
    let idp = || Some(("https://idp.example", "s"));
    let other = |subject| Some(("https://idp.example", subject));
    let customer = |mut agent: TakeoverAgent| {
        agent.user.as_mut().unwrap().internal = false;
        agent
    };
    let agents = vec![
        agent("a-0", "Bot", idp()),
        agent("a-1", "Unbound", None),
        agent("a-2", "Blank", Some(("https://idp.example", " "))),
        TakeoverAgent { user: None, ..agent("a-3", "Ghost", other("g")) },
        customer(agent("a-4", "Customer", other("c"))),
        agent("a-5", "Bot", other("b")),
        agent("a-6", &"n".repeat(300), other("l")),
    ];
    let done = sorted(vec![provider("custom", "https://idp.example", Some("x"))], agents, &nobody_here());
    let told = &done.told.agents;
    assert!(told[0].taken);
    for (judged, word) in
        told[1..].iter().zip(["identity", "identity", "not there", "customer", "`Bot`", "name: "])
    {
        assert!(why(judged).contains(word), "{judged:?}");
    }
    assert_eq!(done.agents.len(), 1);
}

#[test]
fn what_is_here_already_or_was_removed_here_is_not_taken_twice() {
    let there = |id: &str, name: &str, subject: &str| AgentRow {
        id: id.to_owned(),
        name: name.to_owned(),
        description: None,
        kind: None,
        issuer: "https://idp.example".to_owned(),
        subject: subject.to_owned(),
        max_effect: None,
        call_timeout: None,
        psa_user: None,
        provisioned: false,
        roles: Vec::new(),
        managed_by: ManagedBy::Admin,
        created_by: None,
        active: true,
        disabled_at: None,
        retired_at: None,
        keys_void_before: None,
        deleted_at: None,
        created_at: 0,
        updated_at: 0,
        changed: 0,
    };
    let deleted = AgentRow { deleted_at: Some(1), retired_at: Some(1), ..there("a-2", "Removed", "2") };
    let here =
        Here { agents: vec![there("a-1", "One", "1"), deleted, there("b", "Other", "3")], ..nobody_here() };
    let idp = |subject| Some(("https://idp.example", subject));
    let agents = vec![
        agent("a-1", "One", idp("1")),
        agent("a-2", "Removed", idp("2")),
        agent("a-3", "Three", idp("3")),
        agent("a-4", "Other", idp("4")),
        // The name and identity of one that was removed are free.
        agent("a-5", "Removed", idp("2")),
    ];
    let done = sorted(vec![provider("custom", "https://idp.example", Some("x"))], agents, &here);
    let told = &done.told.agents;
    for (judged, word) in
        told.iter().zip(["here already", "was removed", "`Other` has its issuer", "named `Other`"])
    {
        assert!(why(judged).contains(word), "{judged:?}");
    }
    assert_eq!(done.agents.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["a-5"]);
}

#[test]
fn what_is_off_stays_off_and_what_an_administrator_should_know_is_said() {
    let off = TakeoverProvider { active: false, ..provider("custom", "https://idp.example", Some("x")) };
    let mut bot = agent("a-1", "Bot", Some(("https://idp.example", "s")));
    bot.active = false;
    bot.user.as_mut().unwrap().active = false;
    bot.roles[0].name = "ADMIN".to_owned();
    let idle =
        TakeoverAgent { roles: Vec::new(), ..agent("a-2", "Idle", Some(("https://idp.example", "t"))) };
    let done = sorted(vec![off], vec![bot, idle], &nobody_here());
    assert!(!done.issuers[0].active && !done.agents[0].1.active && done.agents[1].1.active);
    let notes = done.told.agents[0].notes.join("; ");
    assert!(
        notes.contains("switched off there") && notes.contains("no key") && notes.contains("administrator"),
        "{notes}"
    );
    assert!(done.told.agents[1].notes[0].contains("no role"));
}

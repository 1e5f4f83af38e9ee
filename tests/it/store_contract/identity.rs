//! Agents and issuers: whose name and identity is whose, what the configuration file says, what a switch survives.

use sidegate::clock::Clock;
use sidegate::store::{AgentRow, IssuerRow, ManagedBy, NewAgent, Store, StoreConfig, StoreError};

use super::{Place, TENANT, agent, issuer, on_both};

on_both!(
    what_was_written_is_there_after_a_second_opening,
    an_identity_and_a_name_belong_to_one_agent_of_a_tenant,
    another_tenants_identity_is_its_own_affair_and_is_not_told,
    a_version_changes_with_any_processes_write_to_its_tenant_and_with_nothing_else,
    an_administrators_switch_survives_the_configuration_file,
    what_the_configuration_file_switches_off_no_administrator_switches_on,
    agents_and_issuers_that_the_file_names_no_longer_are_gone_and_others_are_left_alone,
    an_agent_that_the_file_renames_or_rebinds_stays_who_it_was,
    two_agents_of_the_file_may_swap_their_subjects_or_their_names,
    an_identity_that_was_switched_off_stays_off_whatever_the_file_calls_it,
    what_the_file_has_dropped_is_free_for_an_administrator,
    an_identity_that_was_switched_off_and_dropped_is_bound_anew_only_after_that_is_lifted,
    a_file_that_cannot_be_applied_changes_nothing,
    an_administrator_does_not_replace_what_the_configuration_file_keeps,
    an_unknown_agent_is_named_in_the_error,
    the_kept_catalogue_is_the_last_one_and_its_time_moves_with_each_sight,
);

async fn what_was_written_is_there_after_a_second_opening(place: Place) {
    let store = place.store().await;
    let trusted = store.put_issuer(TENANT, &issuer(ManagedBy::Admin)).await.unwrap();
    let added = store.add_agent(TENANT, &agent("one", "a")).await.unwrap();
    store.close().await;
    let again = place.open().await;
    assert_eq!(again.agents(TENANT).await.unwrap(), [added]);
    assert_eq!(again.issuers(TENANT).await.unwrap(), [trusted]);
}

async fn an_identity_and_a_name_belong_to_one_agent_of_a_tenant(place: Place) {
    let store = place.store().await;
    store.add_agent(TENANT, &agent("one", "a")).await.unwrap();
    let twice = store.add_agent(TENANT, &agent("two", "a")).await.unwrap_err();
    assert!(twice.to_string().contains("already bound to agent `one`"), "{twice}");
    let named = store.add_agent(TENANT, &agent("one", "b")).await.unwrap_err();
    assert!(named.to_string().contains("named `one`"), "{named}");
}

async fn another_tenants_identity_is_its_own_affair_and_is_not_told(place: Place) {
    let store = place.store().await;
    store.ensure_tenant("other", "Other").await.unwrap();
    store.add_agent("other", &agent("theirs", "a")).await.unwrap();
    store.add_agent(TENANT, &agent("ours", "a")).await.unwrap();
    assert_eq!(store.agents(TENANT).await.unwrap().len(), 1);
}

async fn a_version_changes_with_any_processes_write_to_its_tenant_and_with_nothing_else(place: Place) {
    let store = place.store().await;
    let other = place.open().await;
    let version = async || store.versions().await.unwrap();
    let before = version().await;
    store.agents(TENANT).await.unwrap();
    assert_eq!(version().await, before);
    other.add_agent(TENANT, &agent("one", "a")).await.unwrap();
    assert_eq!(version().await, [(TENANT.to_owned(), before[0].1 + 1)]);
    other.ensure_tenant("other", "Other").await.unwrap();
    other.put_issuer("other", &issuer(ManagedBy::Admin)).await.unwrap();
    assert_eq!(version().await, [(TENANT.to_owned(), before[0].1 + 1), ("other".to_owned(), 1)]);
}

/// Applies a file with these agents and the one issuer.
async fn apply(store: &Store, agents: &[NewAgent]) -> Result<Vec<AgentRow>, StoreError> {
    store.apply_config(TENANT, &[issuer(ManagedBy::Config)], agents).await
}

/// The agents in use as (name, subject, on).
async fn in_use(store: &Store) -> Vec<(String, String, bool)> {
    let rows = store.agents(TENANT).await.unwrap();
    rows.into_iter().map(|row| (row.name.clone(), row.subject.clone(), row.is_on())).collect()
}

fn told(name: &str, subject: &str, on: bool) -> (String, String, bool) {
    (name.to_owned(), subject.to_owned(), on)
}

async fn an_administrators_switch_survives_the_configuration_file(place: Place) {
    let store = place.store().await;
    let rows = apply(&store, &[agent("one", "a")]).await.unwrap();
    assert!(!store.switch_agent(TENANT, "one", false).await.unwrap().is_on());
    let again = apply(&store, &[agent("one", "a")]).await.unwrap();
    assert!(!again[0].is_on() && again[0].id == rows[0].id);
    assert!(store.switch_agent(TENANT, &rows[0].id, true).await.unwrap().is_on());
}

async fn what_the_configuration_file_switches_off_no_administrator_switches_on(place: Place) {
    let store = place.store().await;
    apply(&store, &[NewAgent { active: false, ..agent("one", "a") }]).await.unwrap();
    let refused = store.switch_agent(TENANT, "one", true).await.unwrap_err();
    assert!(refused.to_string().contains("configuration file"), "{refused}");
    let taken = store.add_agent(TENANT, &agent("two", "a")).await.unwrap_err();
    assert!(taken.to_string().contains("already bound to agent `one`"), "{taken}");
}

async fn agents_and_issuers_that_the_file_names_no_longer_are_gone_and_others_are_left_alone(place: Place) {
    let store = place.store().await;
    let other = IssuerRow { issuer: "https://other.example".to_owned(), ..issuer(ManagedBy::Admin) };
    let other = store.put_issuer(TENANT, &other).await.unwrap();
    apply(&store, &[agent("from file", "a")]).await.unwrap();
    store.add_agent(TENANT, &agent("by hand", "b")).await.unwrap();
    store.apply_config(TENANT, &[], &[]).await.unwrap();
    assert_eq!(in_use(&store).await, [told("by hand", "b", true)]);
    assert_eq!(store.issuers(TENANT).await.unwrap(), [other]);
    let all = store.all_agents(TENANT).await.unwrap();
    let all: Vec<_> = all.iter().map(|row| (row.name.as_str(), row.is_on())).collect();
    assert_eq!(all, [("by hand", true), ("from file", false)]);
}

async fn an_agent_that_the_file_renames_or_rebinds_stays_who_it_was(place: Place) {
    let store = place.store().await;
    let id = apply(&store, &[agent("one", "a")]).await.unwrap()[0].id.clone();
    store.set_psa_user(&id, "user").await.unwrap();
    let renamed = apply(&store, &[agent("uno", "a")]).await.unwrap();
    assert_eq!((&renamed[0].id, renamed[0].psa_user.as_deref()), (&id, Some("user")));
    assert_eq!(in_use(&store).await, [told("uno", "a", true)]);
    assert_eq!(store.agents(TENANT).await.unwrap(), renamed);
    let rebound = apply(&store, &[agent("uno", "c")]).await.unwrap();
    assert_eq!(rebound[0].id, id);
    assert_eq!(in_use(&store).await, [told("uno", "c", true)]);
}

async fn two_agents_of_the_file_may_swap_their_subjects_or_their_names(place: Place) {
    let store = place.store().await;
    let before = apply(&store, &[agent("one", "a"), agent("two", "b")]).await.unwrap();
    let after = apply(&store, &[agent("one", "b"), agent("two", "a")]).await.unwrap();
    assert_eq!(in_use(&store).await, [told("one", "b", true), told("two", "a", true)]);
    assert_eq!([&after[0].id, &after[1].id], [&before[1].id, &before[0].id], "whoever calls is who it was");
    let new = apply(&store, &[agent("two", "c"), agent("three", "a")]).await.unwrap();
    assert_eq!(new[1].id, before[0].id, "the binding decides, not the name");
    assert!(before.iter().all(|row| row.id != new[0].id), "a name in use by another makes nobody the same");
}

async fn an_identity_that_was_switched_off_stays_off_whatever_the_file_calls_it(place: Place) {
    let store = place.store().await;
    apply(&store, &[agent("one", "a"), agent("two", "b")]).await.unwrap();
    store.switch_agent(TENANT, "one", false).await.unwrap();
    apply(&store, &[agent("uno", "a"), agent("two", "b")]).await.unwrap();
    assert_eq!(in_use(&store).await, [told("two", "b", true), told("uno", "a", false)]);
    apply(&store, &[agent("uno", "b"), agent("two", "a")]).await.unwrap();
    assert_eq!(in_use(&store).await, [told("two", "a", false), told("uno", "b", true)]);
    apply(&store, &[]).await.unwrap();
    apply(&store, &[agent("new", "a")]).await.unwrap();
    assert_eq!(in_use(&store).await, [told("new", "a", false)]);
}

async fn what_the_file_has_dropped_is_free_for_an_administrator(place: Place) {
    let store = place.store().await;
    apply(&store, &[agent("one", "a")]).await.unwrap();
    store.apply_config(TENANT, &[], &[]).await.unwrap();
    store.put_issuer(TENANT, &issuer(ManagedBy::Admin)).await.unwrap();
    store.add_agent(TENANT, &agent("one", "a")).await.unwrap();
    assert_eq!(in_use(&store).await, [told("one", "a", true)]);
    let back = apply(&store, &[agent("uno", "a")]).await.unwrap_err().to_string();
    assert!(back.contains("agent `uno`") && back.contains("agent `one`, which an administrator"), "{back}");
}

async fn an_identity_that_was_switched_off_and_dropped_is_bound_anew_only_after_that_is_lifted(place: Place) {
    let store = place.store().await;
    let id = apply(&store, &[agent("one", "a")]).await.unwrap()[0].id.clone();
    store.switch_agent(TENANT, "one", false).await.unwrap();
    apply(&store, &[]).await.unwrap();
    let refused = store.add_agent(TENANT, &agent("two", "a")).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("sidegate agent enable {id}")), "{refused}");
    assert!(!store.switch_agent(TENANT, &id, true).await.unwrap().is_on(), "it is dropped all the same");
    assert!(store.add_agent(TENANT, &agent("two", "a")).await.unwrap().is_on());
}

async fn a_file_that_cannot_be_applied_changes_nothing(place: Place) {
    let store = place.store().await;
    apply(&store, &[agent("one", "a")]).await.unwrap();
    store.add_agent(TENANT, &agent("by hand", "b")).await.unwrap();
    let before = (store.all_agents(TENANT).await.unwrap(), store.issuers(TENANT).await.unwrap());
    for stands_against in [agent("two", "b"), agent("by hand", "c")] {
        let agents = [agent("uno", "a"), stands_against];
        let taken = store.apply_config(TENANT, &[], &agents).await.unwrap_err();
        assert!(matches!(&taken, StoreError::Conflict(why) if why.contains("administrator")), "{taken}");
        let now = (store.all_agents(TENANT).await.unwrap(), store.issuers(TENANT).await.unwrap());
        assert_eq!(now, before);
    }
}

async fn an_administrator_does_not_replace_what_the_configuration_file_keeps(place: Place) {
    let store = place.store().await;
    apply(&store, &[]).await.unwrap();
    let refused = store.put_issuer(TENANT, &issuer(ManagedBy::Admin)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Conflict(_)), "{refused}");
}

async fn an_unknown_agent_is_named_in_the_error(place: Place) {
    let store = place.store().await;
    let error = store.switch_agent(TENANT, "nobody", false).await.unwrap_err();
    assert!(error.to_string().contains("`nobody`"), "{error}");
}

async fn the_kept_catalogue_is_the_last_one_and_its_time_moves_with_each_sight(place: Place) {
    let store = place.store().await;
    assert_eq!(store.catalog(TENANT).await.unwrap(), None);
    store.put_catalog(TENANT, "h1", b"one", 1).await.unwrap();
    store.put_catalog(TENANT, "h1", b"one", 2).await.unwrap();
    let kept = store.catalog(TENANT).await.unwrap().unwrap();
    assert_eq!((kept.body.as_slice(), kept.fetched_at), (&b"one"[..], 2));
    store.put_catalog(TENANT, "h2", b"two", 3).await.unwrap();
    assert_eq!(store.catalog(TENANT).await.unwrap().unwrap().body, b"two");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let config = StoreConfig::at("sqlite:///nowhere/at/all/sidegate.db");
    let error = Store::open(&config, Clock::System).await.err().unwrap().to_string();
    assert!(error.contains("/nowhere/at/all") && error.contains("store.url"), "{error}");
}

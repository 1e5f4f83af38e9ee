//! Rows that an administrator writes, and the lists that they are found in.

use sidegate::identity::trust::IssuerAlias;
use sidegate::store::{
    AdminTokenRow, AgentFilter, AgentRow, IssuerRow, ManagedBy, NewAgent, Store, StoreError, TenantRow,
};

use super::{ISSUER, Place, TENANT, agent, issuer, on_both};

on_both!(
    a_tenant_is_kept_whole_and_shares_neither_path_nor_host,
    an_issuer_keeps_its_id_and_its_other_names_are_its_own,
    an_issuer_is_removed_unless_the_file_keeps_it,
    an_agent_is_kept_whole,
    an_agent_is_changed_by_whoever_saw_it_last,
    a_deleted_agent_is_off_its_name_is_free_and_its_id_is_known,
    what_the_file_keeps_is_neither_changed_nor_deleted,
    pages_show_every_agent_once_the_newest_first,
    whoever_follows_a_version_reads_what_changed_since_and_no_more,
    a_start_that_says_nothing_new_changes_nothing,
    what_another_system_kept_is_taken_over_whole_or_not_at_all,
    an_administrators_token_is_found_by_its_hash_until_it_is_revoked,
);

fn conflict<T: std::fmt::Debug>(refused: Result<T, StoreError>, says: &str) {
    let error = refused.unwrap_err();
    assert!(matches!(&error, StoreError::Conflict(why) if why.contains(says)), "{error}");
}

async fn a_tenant_is_kept_whole_and_shares_neither_path_nor_host(place: Place) {
    let store = place.store().await;
    let row = TenantRow {
        id: "other".to_owned(),
        name: "Other".to_owned(),
        slug: Some("other".to_owned()),
        host: Some("other.example".to_owned()),
        psa_tenant: Some("6f2c9a52-0f3e-4a59-9d0c-6a1b4a0d7a11".to_owned()),
        catalog_user: Some("6f2c9a52-0f3e-4a59-9d0c-6a1b4a0d7a12".to_owned()),
        mcp: false,
        console: true,
        active: false,
        managed_by: ManagedBy::Admin,
        version: 0,
        created_at: 1_000,
    };
    assert_eq!(store.put_tenant(&row).await.unwrap(), row);
    let renamed = store.put_tenant(&TenantRow { name: "Another".to_owned(), ..row.clone() }).await.unwrap();
    assert_eq!(renamed, TenantRow { name: "Another".to_owned(), version: 1, ..row.clone() });
    assert_eq!(store.tenant("other").await.unwrap().as_ref(), Some(&renamed));
    assert_eq!(store.tenant("nobody").await.unwrap(), None);
    assert_eq!(store.tenants().await.unwrap().len(), 2);
    let third = TenantRow { id: "third".to_owned(), slug: row.slug, ..TenantRow::default() };
    conflict(store.put_tenant(&third).await, "slug: `other`");
    let third = TenantRow { slug: None, host: row.host, ..third };
    conflict(store.put_tenant(&third).await, "host: `other.example`");
    assert_eq!(store.versions().await.unwrap(), [(TENANT.to_owned(), 0), ("other".to_owned(), 1)]);
    store.ensure_tenant("other", "Another").await.unwrap();
    assert_eq!(store.tenant("other").await.unwrap(), Some(renamed), "nothing new was said of it");
}

async fn an_issuer_keeps_its_id_and_its_other_names_are_its_own(place: Place) {
    let store = place.store().await;
    let alias =
        IssuerAlias { issuer: "https://sts.example/".to_owned(), subject_claim: Some("appid".to_owned()) };
    let row = IssuerRow {
        id: "0195cafe-0000-7000-8000-000000000001".to_owned(),
        kind: "microsoft".to_owned(),
        entra_tenant: Some("6f2c9a52-0f3e-4a59-9d0c-6a1b4a0d7a11".to_owned()),
        aliases: vec![alias.clone()],
        jwks_uri: Some("https://login.example/keys".to_owned()),
        ..issuer(ManagedBy::Admin)
    };
    let put = store.put_issuer(TENANT, &row).await.unwrap();
    assert_eq!(put, IssuerRow { created_at: 1_000, updated_at: 1_000, changed: 1, ..row.clone() });
    place.clock.advance(1);
    let again = store.put_issuer(TENANT, &IssuerRow { id: String::new(), ..row.clone() }).await.unwrap();
    assert_eq!(again, IssuerRow { updated_at: 1_001, changed: 2, ..put });
    for name in [&row.id, ISSUER] {
        assert_eq!(store.issuer(TENANT, name).await.unwrap().as_ref(), Some(&again));
    }
    assert_eq!(store.issuer(TENANT, &alias.issuer).await.unwrap(), None);
    assert_eq!(store.known_issuers().await.unwrap(), [ISSUER, "https://sts.example/"]);
    let other = IssuerRow { issuer: alias.issuer.clone(), ..IssuerRow::default() };
    conflict(store.put_issuer(TENANT, &other).await, "https://sts.example/ already means");
    let other = IssuerRow {
        issuer: "https://new.example".to_owned(),
        aliases: vec![IssuerAlias { issuer: ISSUER.to_owned(), subject_claim: None }],
        ..IssuerRow::default()
    };
    conflict(store.put_issuer(TENANT, &other).await, "already means");
    let moved = IssuerRow { issuer: "https://new.example".to_owned(), aliases: Vec::new(), ..row };
    conflict(store.put_issuer(TENANT, &moved).await, "is another issuer's");
    let plain = |name: &str| IssuerRow { issuer: name.to_owned(), ..IssuerRow::default() };
    let [first, second] = [plain("https://one.example"), plain("https://two.example")];
    let first = store.put_issuer(TENANT, &first).await.unwrap();
    let second = store.put_issuer(TENANT, &second).await.unwrap();
    assert!(first.id.len() == 36 && first.id != second.id);
    store.ensure_tenant("other", "Other").await.unwrap();
    let theirs = store.put_issuer("other", &plain("https://one.example")).await.unwrap();
    assert_ne!(theirs.id, first.id, "no id tells what another tenant trusts");
}

async fn an_issuer_is_removed_unless_the_file_keeps_it(place: Place) {
    let store = place.store().await;
    store.apply_config(TENANT, &[issuer(ManagedBy::Config)], &[]).await.unwrap();
    conflict(store.remove_issuer(TENANT, ISSUER).await, "configuration file");
    store.apply_config(TENANT, &[], &[]).await.unwrap();
    let added = store.put_issuer(TENANT, &issuer(ManagedBy::Admin)).await.unwrap();
    assert_eq!(store.remove_issuer(TENANT, &added.id).await.unwrap(), added);
    assert_eq!(store.issuers(TENANT).await.unwrap(), []);
    assert!(matches!(store.remove_issuer(TENANT, &added.id).await, Err(StoreError::NotFound(_))));
}

async fn an_agent_is_kept_whole(place: Place) {
    let store = place.store().await;
    let new = NewAgent {
        description: Some("sorts tickets".to_owned()),
        kind: Some("unattended".to_owned()),
        max_effect: Some("write".to_owned()),
        call_timeout: Some(1_500),
        psa_user: Some("u1".to_owned()),
        provisioned: true,
        roles: vec!["Technician".to_owned(), "Billing, \"all\"".to_owned()],
        created_by: Some("Ada".to_owned()),
        active: false,
        ..agent("one", "a")
    };
    let added = store.add_agent_as(TENANT, "a1", &new).await.unwrap();
    let expected = AgentRow {
        id: "a1".to_owned(),
        name: new.name,
        description: new.description,
        kind: new.kind,
        issuer: new.issuer,
        subject: new.subject,
        max_effect: new.max_effect,
        call_timeout: new.call_timeout,
        psa_user: new.psa_user,
        provisioned: true,
        roles: new.roles,
        managed_by: ManagedBy::Admin,
        created_by: new.created_by,
        active: false,
        disabled_at: None,
        retired_at: None,
        deleted_at: None,
        keys_void_before: None,
        created_at: 1_000,
        updated_at: 1_000,
        changed: 1,
    };
    assert_eq!(added, expected);
    for name in ["a1", "one"] {
        assert_eq!(store.agent(TENANT, name).await.unwrap().as_ref(), Some(&expected));
    }
    assert_eq!(store.agent("other", "a1").await.unwrap(), None);
    conflict(store.add_agent_as(TENANT, "a1", &agent("two", "b")).await, "the id a1 is agent `one`'s");
    store.ensure_tenant("other", "Other").await.unwrap();
    let told = store.add_agent_as("other", "a1", &agent("two", "b")).await.unwrap_err().to_string();
    assert!(told.contains("cannot be used") && !told.contains("one"), "{told}");
    assert!(matches!(store.add_agent("nobody", &agent("two", "b")).await, Err(StoreError::NotFound(_))));
}

async fn an_agent_is_changed_by_whoever_saw_it_last(place: Place) {
    let store = place.store().await;
    let seen = store.add_agent(TENANT, &agent("one", "a")).await.unwrap();
    store.add_agent(TENANT, &agent("two", "b")).await.unwrap();
    place.clock.advance(5);
    let asked = AgentRow {
        name: "uno".to_owned(),
        subject: "c".to_owned(),
        roles: vec!["Technician".to_owned()],
        created_at: 7,
        ..seen.clone()
    };
    let changed = store.update_agent(TENANT, &asked).await.unwrap();
    assert_eq!(changed, AgentRow { created_at: 1_000, updated_at: 1_005, changed: 3, ..asked });
    assert_eq!(store.agent(TENANT, "uno").await.unwrap().as_ref(), Some(&changed));
    let named = AgentRow { name: "two".to_owned(), ..changed.clone() };
    conflict(store.update_agent(TENANT, &named).await, "named `two`");
    let bound = AgentRow { subject: "b".to_owned(), ..changed.clone() };
    conflict(store.update_agent(TENANT, &bound).await, "already bound to agent `two`");
    store.switch_agent(TENANT, "uno", false).await.unwrap();
    conflict(store.update_agent(TENANT, &changed).await, "changed by somebody else");
    assert!(!store.agent(TENANT, "uno").await.unwrap().unwrap().is_on(), "the switch was not undone");
    let nobody = AgentRow { id: "nobody".to_owned(), ..changed };
    assert!(matches!(store.update_agent(TENANT, &nobody).await, Err(StoreError::NotFound(_))));
}

async fn a_deleted_agent_is_off_its_name_is_free_and_its_id_is_known(place: Place) {
    let store = place.store().await;
    let added = store.add_agent(TENANT, &agent("one", "a")).await.unwrap();
    let deleted = store.delete_agent(TENANT, "one").await.unwrap();
    assert!(!deleted.is_on() && deleted.deleted_at == Some(1_000));
    assert_eq!(store.agent(TENANT, &added.id).await.unwrap().as_ref(), Some(&deleted));
    assert_eq!(store.agent(TENANT, "one").await.unwrap(), None);
    assert_eq!(store.all_agents(TENANT).await.unwrap(), []);
    let again = store.add_agent(TENANT, &agent("one", "a")).await.unwrap();
    assert_ne!(again.id, added.id);
    for refused in
        [store.switch_agent(TENANT, &added.id, true).await, store.delete_agent(TENANT, &added.id).await]
    {
        assert!(matches!(refused, Err(StoreError::NotFound(_))), "{refused:?}");
    }
    conflict(store.update_agent(TENANT, &deleted).await, "was deleted");
    // Switched off before it was deleted: to delete it was to be done with it.
    store.switch_agent(TENANT, "one", false).await.unwrap();
    store.delete_agent(TENANT, "one").await.unwrap();
    assert!(store.add_agent(TENANT, &agent("one", "a")).await.unwrap().is_on());
}

async fn what_the_file_keeps_is_neither_changed_nor_deleted(place: Place) {
    let store = place.store().await;
    let rows = store.apply_config(TENANT, &[], &[agent("one", "a")]).await.unwrap();
    conflict(store.update_agent(TENANT, &rows[0]).await, "configuration file");
    conflict(store.delete_agent(TENANT, "one").await, "configuration file");
    store.apply_config(TENANT, &[], &[]).await.unwrap();
    assert!(store.delete_agent(TENANT, "one").await.unwrap().deleted_at.is_some());
}

async fn names(store: &Store, filter: &AgentFilter) -> Vec<String> {
    store.page_agents(TENANT, filter).await.unwrap().into_iter().map(|row| row.name).collect()
}

async fn pages_show_every_agent_once_the_newest_first(place: Place) {
    let store = place.store().await;
    for number in 0..7 {
        // Pairs of one age: the id decides.
        place.clock.advance(number % 2);
        store.add_agent(TENANT, &agent(&format!("Bot_{number}"), &format!("s{number}"))).await.unwrap();
    }
    let mut filter = AgentFilter { limit: 3, ..AgentFilter::default() };
    let mut seen = Vec::new();
    loop {
        let page = store.page_agents(TENANT, &filter).await.unwrap();
        let Some(last) = page.last() else { break };
        filter.after = Some((last.created_at, last.id.clone()));
        seen.extend(page);
    }
    assert!(
        seen.windows(2).all(|pair| (pair[0].created_at, &pair[0].id) > (pair[1].created_at, &pair[1].id))
    );
    assert_eq!(seen.len(), 7);
    let all = AgentFilter::default();
    assert_eq!(names(&store, &all).await.len(), 7);
    store.switch_agent(TENANT, "Bot_3", false).await.unwrap();
    store.delete_agent(TENANT, "Bot_4").await.unwrap();
    let off = AgentFilter { active: Some(false), ..all.clone() };
    assert_eq!(names(&store, &off).await, ["Bot_3"]);
    let on = AgentFilter { active: Some(true), ..all.clone() };
    assert_eq!(names(&store, &on).await.len(), 5);
    let part = |text: &str| AgentFilter { name_contains: Some(text.to_owned()), ..all.clone() };
    assert_eq!(names(&store, &part("bOt_5")).await, ["Bot_5"]);
    assert_eq!(names(&store, &part("bot%")).await.len(), 0, "a part of a name is no pattern");
    let elsewhere = AgentFilter { issuer: Some("https://other.example".to_owned()), ..all };
    assert_eq!(names(&store, &elsewhere).await.len(), 0);
}

async fn whoever_follows_a_version_reads_what_changed_since_and_no_more(place: Place) {
    let store = place.store().await;
    assert_eq!(store.agents_since("nobody", -1).await.unwrap(), (0, Vec::new()));
    let one = store.add_agent(TENANT, &agent("one", "a")).await.unwrap();
    store.add_agent(TENANT, &agent("two", "b")).await.unwrap();
    let (version, rows) = store.agents_since(TENANT, -1).await.unwrap();
    assert_eq!((version, rows.len()), (2, 2));
    assert_eq!(store.agents_since(TENANT, version).await.unwrap(), (version, Vec::new()));
    let off = store.switch_agent(TENANT, "one", false).await.unwrap();
    assert_eq!(store.agents_since(TENANT, version).await.unwrap(), (3, vec![off]));
    store.set_psa_user(&one.id, "u1").await.unwrap();
    let (version, rows) = store.agents_since(TENANT, 3).await.unwrap();
    assert_eq!((rows[0].psa_user.as_deref(), rows[0].provisioned), (Some("u1"), true));
    place.clock.advance(5);
    assert_eq!(store.void_keys(TENANT, "one").await.unwrap().keys_void_before, Some(1_005));
    let version = version + 1;
    let deleted = store.delete_agent(TENANT, "one").await.unwrap();
    assert_eq!(deleted.keys_void_before, Some(1_005));
    assert_eq!(store.agents_since(TENANT, version).await.unwrap(), (6, vec![deleted]));
    let kept = store.apply_config(TENANT, &[], &[agent("three", "c")]).await.unwrap();
    assert_eq!(store.agents_since(TENANT, 6).await.unwrap(), (7, kept));
    store.apply_config(TENANT, &[], &[]).await.unwrap();
    let (version, rows) = store.agents_since(TENANT, 7).await.unwrap();
    assert_eq!((version, rows.len(), rows[0].is_on()), (8, 1, false), "what the file dropped is told too");
}

async fn a_start_that_says_nothing_new_changes_nothing(place: Place) {
    let store = place.store().await;
    let apply = async |agents: &[NewAgent]| {
        store.apply_config(TENANT, &[issuer(ManagedBy::Config)], agents).await.unwrap()
    };
    let first = apply(&[agent("one", "a"), agent("two", "b")]).await;
    store.set_psa_user(&first[0].id, "u1").await.unwrap();
    store.switch_agent(TENANT, "two", false).await.unwrap();
    let before = (store.versions().await.unwrap(), store.agents(TENANT).await.unwrap());
    place.clock.advance(1);
    let again = apply(&[agent("one", "a"), agent("two", "b")]).await;
    assert_eq!(again, before.1);
    assert_eq!((store.versions().await.unwrap(), store.agents(TENANT).await.unwrap()), before);
    let limited = NewAgent { max_effect: Some("write".to_owned()), ..agent("two", "b") };
    let limited = apply(&[agent("one", "a"), limited]).await;
    assert_eq!((limited[1].max_effect.as_deref(), limited[1].is_on()), (Some("write"), false));
    assert_ne!(store.versions().await.unwrap(), before.0);
}

async fn what_another_system_kept_is_taken_over_whole_or_not_at_all(place: Place) {
    let store = place.store().await;
    store.add_agent(TENANT, &agent("here", "a")).await.unwrap();
    let issuers = [IssuerRow { id: "i1".to_owned(), ..issuer(ManagedBy::Admin) }];
    let taken = [("a1".to_owned(), agent("one", "b")), ("a2".to_owned(), agent("two", "a"))];
    conflict(store.take_over(TENANT, &issuers, &taken).await, "already bound to agent `here`");
    assert_eq!(store.issuers(TENANT).await.unwrap(), []);
    assert_eq!(store.agents(TENANT).await.unwrap().len(), 1);
    let rows = store.take_over(TENANT, &issuers, &taken[..1]).await.unwrap();
    assert_eq!(store.agent(TENANT, "a1").await.unwrap().as_ref(), rows.first());
    assert!(store.issuer(TENANT, "i1").await.unwrap().is_some());
}

async fn an_administrators_token_is_found_by_its_hash_until_it_is_revoked(place: Place) {
    let store = place.store().await;
    let token = |id: &str, name: &str, hash: &str| AdminTokenRow {
        id: id.to_owned(),
        tenant_id: None,
        name: name.to_owned(),
        hash: hash.to_owned(),
        created_at: 1_000,
        expires_at: Some(90_000),
        revoked_at: None,
        last_used_at: None,
    };
    let (one, two) = (token("t1", "script", "h1"), token("t2", "script", "h2"));
    let two = AdminTokenRow { tenant_id: Some(TENANT.to_owned()), created_at: 1_001, ..two };
    store.add_admin_token(&one).await.unwrap();
    store.add_admin_token(&two).await.unwrap();
    conflict(store.add_admin_token(&token("t3", "third", "h1")).await, "such a token already");
    assert_eq!(store.admin_tokens().await.unwrap(), [two.clone(), one.clone()]);
    assert_eq!(store.admin_token_by_hash("h1").await.unwrap(), Some(one.clone()));
    assert_eq!(store.admin_token_by_hash("h3").await.unwrap(), None);
    let used = async |after| {
        place.clock.advance(after);
        store.touch_admin_token("t1").await.unwrap();
        store.admin_token_by_hash("h1").await.unwrap().unwrap().last_used_at
    };
    assert_eq!((used(0).await, used(59_999).await, used(1).await), (Some(1_000), Some(1_000), Some(61_000)));
    conflict(store.revoke_admin_token("script").await, "t2, t1");
    assert_eq!(store.revoke_admin_token("t2").await.unwrap().revoked_at, Some(61_000));
    assert_eq!(store.revoke_admin_token("script").await.unwrap().id, "t1", "the only one that is left");
    place.clock.advance(1);
    assert_eq!(store.revoke_admin_token("t1").await.unwrap().revoked_at, Some(61_000));
    assert!(store.admin_token_by_hash("h1").await.unwrap().unwrap().revoked_at.is_some());
    assert!(matches!(store.revoke_admin_token("t3").await, Err(StoreError::NotFound(_))));
}

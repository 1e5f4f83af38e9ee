//! What every source of keys must do, whatever is behind it. One function a
//! promise; [`keys_contract`] and [`directory_contract`] run them all.

use std::time::Duration;

use async_trait::async_trait;
use sidegate::clock::Millis;
use sidegate::psa::{Credential, Directory, KeyError, Principal, PsaDoor};
use sidegate::secret::Secret;

use crate::support::alga::{Alga, Edition};

/// A PSA with a source of keys. Implement it for a new source and call
/// [`keys_contract`], and [`directory_contract`] where it has a directory.
#[async_trait]
pub trait World: Send {
    fn door(&self) -> PsaDoor;
    /// The agents 1 and 2, which may hold keys.
    fn agent(&self, number: u8) -> Principal;
    /// Whether each key is a new one that expires and can be revoked.
    fn mints(&self) -> bool;
    /// The time by the PSA's clock.
    fn now(&self) -> Millis;
    /// Whether the PSA accepts the key now.
    async fn accepts(&mut self, key: &Secret) -> bool;
    /// The PSA suspends the tenant.
    async fn suspend(&mut self);
}

const TTL: Duration = Duration::from_secs(300);

async fn mint(world: &dyn World, agent: u8) -> Credential {
    world.door().keys.mint(&world.agent(agent), TTL, world.now()).await.unwrap()
}

/// All promises about keys. The world is used up: it ends suspended.
pub async fn keys_contract(mut world: impl World) {
    let world = &mut world;
    the_psa_accepts_a_minted_key(world).await;
    a_key_is_never_shown(world).await;
    what_is_unknown_can_be_revoked_without_an_error(world).await;
    if world.mints() {
        a_key_lives_as_long_as_was_asked(world).await;
        a_revoked_key_is_dead_and_the_others_live(world).await;
        revoking_an_agent_ends_its_keys_only(world).await;
        sweeping_takes_expired_keys_only(world).await;
        an_agent_without_a_user_gets_no_key(world).await;
        a_suspended_tenant_gets_no_key(world).await;
    }
}

async fn the_psa_accepts_a_minted_key(world: &mut dyn World) {
    let (first, second) = (mint(world, 1).await, mint(world, 2).await);
    assert!(world.accepts(first.key()).await && world.accepts(second.key()).await);
    assert_ne!(first.key().expose(), second.key().expose());
    assert_ne!(first.key_id(), second.key_id());
}

async fn a_key_is_never_shown(world: &mut dyn World) {
    let key = mint(world, 1).await;
    assert!(!format!("{key:?}").contains(key.key().expose()));
    assert!(!key.key_id().contains(key.key().expose()));
}

async fn what_is_unknown_can_be_revoked_without_an_error(world: &mut dyn World) {
    let keys = world.door().keys;
    for id in ["no such key", "00000000-0000-4000-8000-0000000000ff"] {
        assert_eq!(keys.revoke(id).await, Ok(()));
    }
    assert_eq!(keys.revoke_agent("no such agent").await, Ok(0));
}

async fn a_key_lives_as_long_as_was_asked(world: &mut dyn World) {
    let (keys, now) = (world.door().keys, world.now());
    let ttl = i64::try_from(TTL.as_millis()).unwrap();
    let fresh = keys.mint(&world.agent(1), TTL, now).await.unwrap();
    assert_eq!(fresh.expires_at(), Some(now + ttl));
    let old = keys.mint(&world.agent(1), TTL, now - ttl - 1_000).await.unwrap();
    assert_eq!(old.expires_at(), Some(now - 1_000));
    assert!(world.accepts(fresh.key()).await);
    assert!(!world.accepts(old.key()).await);
}

async fn a_revoked_key_is_dead_and_the_others_live(world: &mut dyn World) {
    let keys = world.door().keys;
    let (first, second) = (mint(world, 1).await, mint(world, 1).await);
    keys.revoke(first.key_id()).await.unwrap();
    assert!(!world.accepts(first.key()).await);
    assert!(world.accepts(second.key()).await);
    keys.revoke(first.key_id()).await.unwrap();
}

async fn revoking_an_agent_ends_its_keys_only(world: &mut dyn World) {
    let keys = world.door().keys;
    let agent = world.agent(1).agent_id;
    keys.revoke_agent(&agent).await.unwrap();
    let (one, two, other) = (mint(world, 1).await, mint(world, 1).await, mint(world, 2).await);
    assert_eq!(keys.revoke_agent(&agent).await, Ok(2));
    assert!(!world.accepts(one.key()).await && !world.accepts(two.key()).await);
    assert!(world.accepts(other.key()).await);
}

async fn sweeping_takes_expired_keys_only(world: &mut dyn World) {
    let (keys, now) = (world.door().keys, world.now());
    keys.sweep(now).await.unwrap();
    let live = mint(world, 1).await;
    for _ in 0..2 {
        keys.mint(&world.agent(1), TTL, now - 3_600_000).await.unwrap();
    }
    assert_eq!(keys.sweep(now).await, Ok(2));
    assert_eq!(keys.sweep(now).await, Ok(0));
    assert!(world.accepts(live.key()).await);
}

async fn an_agent_without_a_user_gets_no_key(world: &mut dyn World) {
    for psa_user in [None, Some("00000000-0000-4000-8000-0000000000ff".to_owned())] {
        let who = Principal { psa_user, ..world.agent(1) };
        let refused = world.door().keys.mint(&who, TTL, world.now()).await.unwrap_err();
        assert!(matches!(&refused, KeyError::NoUser(why) if why.contains(&who.agent_name)), "{refused:?}");
    }
}

async fn a_suspended_tenant_gets_no_key(world: &mut dyn World) {
    world.suspend().await;
    let refused = world.door().keys.mint(&world.agent(1), TTL, world.now()).await.unwrap_err();
    assert_eq!(refused, KeyError::Suspended);
}

/// All promises about users and roles. The PSA must have the two roles named
/// in `roles` for internal users.
pub async fn directory_contract(mut world: impl World, roles: [&str; 2]) {
    let directory = world.door().directory.expect("a source with a directory");
    let [first, second] = roles.map(ToOwned::to_owned);
    let names: Vec<_> = directory.roles().await.unwrap().into_iter().map(|role| role.name).collect();
    assert!(names.contains(&first) && names.contains(&second), "{names:?}");
    let who = world.agent(1);
    an_unknown_role_is_named_with_those_there_are(directory.as_ref(), &who, &first).await;

    let provision = |roles: Vec<String>| {
        let (directory, who) = (directory.clone(), who.clone());
        async move { directory.provision(&who.agent_id, &who.agent_name, &roles).await.unwrap() }
    };
    let user = provision(vec![first.clone()]).await;
    assert_eq!(provision(vec![first.clone(), second]).await, user);

    let bot = Principal { psa_user: Some(user.clone()), ..who.clone() };
    let keys = world.door().keys;
    let key = keys.mint(&bot, TTL, world.now()).await.unwrap();
    assert!(world.accepts(key.key()).await);
    directory.deactivate(&user).await.unwrap();
    assert!(!world.accepts(key.key()).await);
    // Provisioning runs at each start: it must not undo what the PSA's administrator switched off.
    assert_eq!(provision(vec![first]).await, user);
    let refused = keys.mint(&bot, TTL, world.now()).await.unwrap_err();
    assert!(matches!(refused, KeyError::NoUser(_)), "{refused:?}");
}

async fn an_unknown_role_is_named_with_those_there_are(
    directory: &dyn Directory,
    who: &Principal,
    known: &str,
) {
    let roles = [known.to_owned(), "Emperor".to_owned()];
    let refused = directory.provision(&who.agent_id, &who.agent_name, &roles).await.unwrap_err();
    assert!(matches!(refused, KeyError::Refused(_)), "{refused:?}");
    assert!(refused.to_string().contains("Emperor") && refused.to_string().contains(known), "{refused}");
}

#[tokio::test]
async fn the_commercial_editions_database_keeps_the_contract() {
    keys_contract(Alga::new(Edition::Commercial).await).await;
    directory_contract(Alga::new(Edition::Commercial).await, ["Technician", "Finance"]).await;
}

#[tokio::test]
async fn the_open_editions_database_keeps_the_contract() {
    keys_contract(Alga::new(Edition::Open).await).await;
    directory_contract(Alga::new(Edition::Open).await, ["Technician", "Finance"]).await;
}

#[tokio::test]
async fn static_keys_keep_the_contract() {
    keys_contract(crate::keys_static::Files::new().await).await;
}

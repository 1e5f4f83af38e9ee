//! Static keys: one a file, read when needed.

use std::fs;
use std::time::Duration;

use async_trait::async_trait;
use sidegate::clock::{Clock, Millis};
use sidegate::psa::{self, CatalogCredential, KeyError, Principal, PsaConfig, PsaDoor};
use sidegate::secret::Secret;
use tempfile::TempDir;

use crate::keys_contract::World;
use crate::support::alga::principal;

/// Two agents with a key each.
pub struct Files {
    pub directory: TempDir,
    pub door: PsaDoor,
}

/// A configuration with static keys in `directory`, for a PSA at `url`.
pub fn config(directory: &TempDir, url: &str) -> PsaConfig {
    let file = |name: &str| directory.path().join(name);
    PsaConfig {
        url: url.to_owned(),
        keys: "static".to_owned(),
        catalog_key: Secret::new("key-of-the-catalogue\n"),
        static_keys: [("Bot 1".to_owned(), file("1")), ("Bot 2".to_owned(), file("2"))].into(),
        ..PsaConfig::default()
    }
}

impl Files {
    pub async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("1"), "key-of-bot-1\n").unwrap();
        fs::write(directory.path().join("2"), "key-of-bot-2").unwrap();
        let door = psa::open(&config(&directory, "http://127.0.0.1:9"), Clock::System).await.unwrap();
        Self { directory, door }
    }

    async fn mint(&self, name: &str) -> Result<psa::Credential, KeyError> {
        self.door.keys.mint(&principal("agent", name, None), Duration::from_secs(300), 0).await
    }
}

#[async_trait]
impl World for Files {
    fn door(&self) -> PsaDoor {
        self.door.clone()
    }

    fn agent(&self, number: u8) -> Principal {
        principal(&format!("agent-{number}"), &format!("Bot {number}"), None)
    }

    fn mints(&self) -> bool {
        false
    }

    fn now(&self) -> Millis {
        Clock::System.now()
    }

    async fn accepts(&mut self, key: &Secret) -> bool {
        ["key-of-bot-1", "key-of-bot-2"].contains(&key.expose())
    }

    async fn suspend(&mut self) {}
}

#[tokio::test]
async fn a_static_key_does_not_expire_and_a_replaced_file_is_read_anew() {
    let files = Files::new().await;
    assert_eq!(files.mint("Bot 1").await.unwrap().expires_at(), None);
    fs::write(files.directory.path().join("1"), "  another-key \r\n").unwrap();
    assert_eq!(files.mint("Bot 1").await.unwrap().key().expose(), "another-key");
}

#[tokio::test]
async fn an_agent_without_a_file_or_with_an_empty_one_is_told_what_to_set() {
    let files = Files::new().await;
    fs::write(files.directory.path().join("2"), " \n").unwrap();
    fs::remove_file(files.directory.path().join("1")).unwrap();
    for name in ["Bot 1", "Bot 2", "Stranger"] {
        let KeyError::NoKey(why) = files.mint(name).await.unwrap_err() else { panic!("{name}") };
        assert!(why.contains(name) && why.contains("psa.static_keys"), "{why}");
    }
}

#[tokio::test]
async fn the_catalogue_has_a_key_of_its_own_without_its_line_end() {
    let files = Files::new().await;
    let CatalogCredential::Fixed(key) = &files.door.catalog_credential else { panic!("a minted key") };
    assert_eq!(key.key().expose(), "key-of-the-catalogue");
    assert!(files.door.directory.is_none());
}

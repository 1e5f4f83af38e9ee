//! The life of an agent's key between the gate and a source that really mints: the demo PSA,
//! both on one clock that the test moves.

use std::sync::Arc;
use std::time::Duration;

use sidegate::clock::Clock;
use sidegate::demo::DemoPsa;
use sidegate::gate::Credentials;
use sidegate::metrics::Metrics;
use sidegate::psa::{self, Principal, PsaConfig, PsaDoor};
use tokio::net::TcpListener;

use crate::support::world::until;

const TTL: Duration = Duration::from_secs(300);

struct Bench {
    psa: DemoPsa,
    door: PsaDoor,
    clock: Clock,
    metrics: Arc<Metrics>,
    credentials: Arc<Credentials>,
}

impl Bench {
    async fn new() -> Self {
        crate::support::install_crypto();
        let clock = Clock::manual(1_800_000_000_000);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let psa = DemoPsa::start(listener, clock.clone()).await.unwrap();
        let config = PsaConfig {
            url: psa.url.clone(),
            tenant: psa.tenant.clone(),
            keys: "demo".to_owned(),
            demo_secret: psa.control_secret.clone(),
            catalog_user: Some(psa.catalog_user.clone()),
            ..PsaConfig::default()
        };
        let door = psa::open(&config, clock.clone()).await.unwrap();
        let metrics = Arc::new(Metrics::new());
        let credentials = Credentials::new(door.keys.clone(), TTL, clock.clone(), metrics.clone(), None);
        Self { psa, door, clock, metrics, credentials }
    }

    fn agent(&self) -> Principal {
        Principal {
            tenant: "demo".to_owned(),
            agent_id: "4b0a1f36-6b5a-4b5e-9f0a-3a52f6d0c001".to_owned(),
            agent_name: "one".to_owned(),
            psa_user: Some(self.psa.technician().to_owned()),
        }
    }

    async fn key(&self) -> String {
        self.credentials.for_principal(&self.agent()).await.unwrap().key_id().to_owned()
    }

    fn mints(&self) -> u64 {
        self.metrics.key_mints.with_label_values(&["ok"]).get()
    }

    fn advance(&self, seconds: i64) {
        self.clock.advance(seconds * 1000);
    }
}

#[tokio::test]
async fn many_callers_at_once_share_one_mint() {
    let bench = Bench::new().await;
    let keys = futures_util::future::join_all((0..40).map(|_| bench.key())).await;
    assert!(keys.iter().all(|key| *key == keys[0]));
    assert_eq!(bench.mints(), 1);
}

#[tokio::test]
async fn a_key_is_renewed_ahead_of_its_end_without_anybody_waiting() {
    let bench = Bench::new().await;
    let first = bench.key().await;
    bench.advance(220);
    assert_eq!(bench.key().await, first, "three quarters are not over");
    bench.advance(10);
    assert_eq!(bench.key().await, first, "renewal goes on beside the call");
    until(|| async { (bench.key().await != first).then_some(()) }).await;
    assert_eq!(bench.mints(), 2);
}

#[tokio::test]
async fn a_key_about_to_end_is_not_used_for_another_call() {
    let bench = Bench::new().await;
    let first = bench.key().await;
    bench.advance(296);
    assert_ne!(bench.key().await, first);
}

#[tokio::test]
async fn a_shutdown_revokes_every_key_that_was_minted() {
    let bench = Bench::new().await;
    let first = bench.key().await;
    bench.advance(230);
    bench.key().await;
    until(|| async { (bench.key().await != first).then_some(()) }).await;
    bench.credentials.shutdown().await;
    assert_eq!(bench.metrics.key_removals.with_label_values(&["revoked"]).get(), 2);
    assert_eq!(bench.door.keys.revoke_agent(&bench.agent().agent_id).await.unwrap(), 0, "none is left");
}

#[tokio::test]
async fn a_failed_mint_is_told_to_all_who_wait_and_tried_again_later() {
    let bench = Bench::new().await;
    let nobody =
        Principal { psa_user: Some("4b0a1f36-6b5a-4b5e-9f0a-3a52f6d0ffff".to_owned()), ..bench.agent() };
    let waiting = (0..20).map(|_| bench.credentials.for_principal(&nobody));
    let answers = futures_util::future::join_all(waiting).await;
    assert!(answers.iter().all(Result::is_err));
    assert_eq!(bench.metrics.key_mints.with_label_values(&["error"]).get(), 1, "one asked for all");
}

//! The demo PSA's own key table keeps the contract of all key sources.

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use sidegate::clock::{Clock, Millis};
use sidegate::demo::DemoPsa;
use sidegate::psa::{self, Principal, PsaConfig, PsaDoor};
use sidegate::secret::Secret;
use tokio::net::TcpListener;

use crate::keys_contract::{World, directory_contract, keys_contract};
use crate::support::alga::principal;

pub struct Demo {
    pub psa: DemoPsa,
    pub door: PsaDoor,
}

impl Demo {
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let psa = DemoPsa::start(listener, Clock::System).await.unwrap();
        let config = PsaConfig {
            url: psa.url.clone(),
            tenant: psa.tenant.clone(),
            keys: "demo".to_owned(),
            demo_secret: psa.control_secret.clone(),
            catalog_user: Some(psa.catalog_user.clone()),
            ..PsaConfig::default()
        };
        let door = psa::open(&config, Clock::System).await.unwrap();
        Self { psa, door }
    }

    /// The status of the demo PSA's answer to a control request, and its JSON.
    pub async fn control(&self, method: &str, target: &str, body: &str) -> (u16, Value) {
        let secret = self.psa.control_secret.clone();
        self.ask(method, target, ("x-demo-control", secret.expose()), body).await
    }

    async fn ask(&self, method: &str, target: &str, header: (&str, &str), body: &str) -> (u16, Value) {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{}{target}", self.psa.url))
            .header(header.0, header.1)
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let answer = client.request(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }
}

#[async_trait]
impl World for Demo {
    fn door(&self) -> PsaDoor {
        self.door.clone()
    }

    fn agent(&self, number: u8) -> Principal {
        principal(&format!("agent-{number}"), &format!("Bot {number}"), Some(self.psa.technician()))
    }

    fn mints(&self) -> bool {
        true
    }

    fn now(&self) -> Millis {
        Clock::System.now()
    }

    async fn accepts(&mut self, key: &Secret) -> bool {
        let registry = "/api/v1/meta/mcp-registry";
        match self.ask("GET", registry, ("x-api-key", key.expose()), "").await.0 {
            200 => true,
            401 => false,
            status => panic!("{registry} answered {status}"),
        }
    }

    async fn suspend(&mut self) {
        assert_eq!(self.control("POST", "/__tenant", "{\"suspended\":true}").await.0, 204);
    }
}

#[tokio::test]
async fn the_demo_psas_key_table_keeps_the_contract() {
    keys_contract(Demo::new().await).await;
}

#[tokio::test]
async fn the_demo_psas_users_keep_the_contract() {
    directory_contract(Demo::new().await, ["Technician", "Dispatcher"]).await;
}

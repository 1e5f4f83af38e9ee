//! What each step of one call costs, alone: decode, verify, bind, decide, shape, encode, record, search.
//!
//! `cargo bench --bench hot` has criterion measure the time of each and compare it with the last run's, and prints first how
//! often each asks for memory, and for how much.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::Criterion;
use serde_json::{Value, json};
use sidegate::audit::{EventBuilder, Rules as Redaction, Verdict};
use sidegate::identity::token::{self, Rules, VerifyKey};
use sidegate::identity::trust::Caller;
use sidegate::mcp::message::{Reply, ToolAnswer};
use sidegate::mcp::revision::{self, Headers, Posted, REVISIONS};
use sidegate::mcp::rpc::Id;
use sidegate::policy::{Policies, decide};
use sidegate::tool::catalog::{Catalog, CatalogRules};
use sidegate::tool::effect::Effect;
use sidegate::tool::rest::RestResponse;
use sidegate::tool::rewrite::{Asked, CallArgs, bind};
use sidegate::tool::search::search;
use sidegate::tool::table::{ToolTable, standard_rows};
use tikv_jemallocator::Jemalloc;

use counting::{BYTES, Counting, TIMES};

#[path = "counting.rs"]
#[allow(dead_code)]
mod counting;

// The program's own, counted.
#[global_allocator]
static ALLOCATOR: Counting<Jemalloc> = Counting(Jemalloc);

/// Rounds over which memory is counted.
const ROUNDS: u64 = 1_000;

struct Bench(Criterion);

impl Bench {
    fn step<T>(&mut self, name: &str, mut step: impl FnMut() -> T) {
        // What is made once is not counted.
        black_box(step());
        let before = (TIMES.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed));
        for _ in 0..ROUNDS {
            black_box(step());
        }
        let per = |counter: &AtomicU64, before| (counter.load(Ordering::Relaxed) - before) / ROUNDS;
        println!("{name}: {} allocations, {} bytes", per(&TIMES, before.0), per(&BYTES, before.1));
        self.0.bench_function(name, |bencher| bencher.iter(&mut step));
    }
}

const ISSUER: &str = "https://login.example.com/realms/msp";
const RESOURCE: &str = "https://gate.example.com/api/mcp";
const NOW: i64 = 1_800_000_000;

/// A token that `sign` has signed, and the rules it keeps.
fn signed(algorithm: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let header = json!({"alg": algorithm, "typ": "at+jwt", "kid": algorithm});
    let claims = json!({"iss": ISSUER, "sub": "triage-bot", "aud": RESOURCE, "iat": NOW, "exp": NOW + 300, "jti": "t-1"});
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let message = format!("{header}.{claims}");
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(sign(message.as_bytes())))
}

/// A token of each algorithm, with its key.
fn tokens() -> Vec<(&'static str, String, Vec<VerifyKey>)> {
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let random = SystemRandom::new();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
    let (modulus, exponent) = (rsa.public_key().modulus(), rsa.public_key().exponent());
    let rsa_key = json!({"kty": "RSA", "kid": "RS256", "alg": "RS256",
        "n": text(modulus.big_endian_without_leading_zero()), "e": text(exponent.big_endian_without_leading_zero())});
    let by_rsa = |message: &[u8]| {
        let mut signature = vec![0; rsa.public_modulus_len()];
        rsa.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).expect("a signature");
        signature
    };
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    // 0x04, then x and y of 32 bytes each.
    let (x, y) = ec.public_key().as_ref()[1..].split_at(32);
    let ec_key =
        json!({"kty": "EC", "crv": "P-256", "kid": "ES256", "alg": "ES256", "x": text(x), "y": text(y)});
    let by_ec = |message: &[u8]| ec.sign(&random, message).expect("a signature").as_ref().to_vec();
    let ed = Ed25519KeyPair::generate().expect("a key");
    let ed_key = json!({"kty": "OKP", "crv": "Ed25519", "kid": "EdDSA", "x": text(ed.public_key().as_ref())});
    let by_ed = |message: &[u8]| ed.sign(message).as_ref().to_vec();
    let keys = |key: Value| {
        token::keys_from_jwks(json!({"keys": [key]}).to_string().as_bytes()).expect("a usable key")
    };
    vec![
        ("RS256", signed("RS256", by_rsa), keys(rsa_key)),
        ("ES256", signed("ES256", by_ec), keys(ec_key)),
        ("EdDSA", signed("EdDSA", by_ed), keys(ed_key)),
    ]
}

fn catalog() -> Catalog {
    let entry = |number: usize| {
        json!({"id": format!("get-_api_v1_things{number}"), "method": "get", "path": format!("/api/v1/things{number}"),
            "displayName": format!("List things of kind {number}"), "tags": ["Things"],
            "description": "Things of the tenant, newest first, with their status and the client they belong to.",
            "parameters": [
                {"name": "page", "in": "query", "schema": {"type": "integer", "minimum": 1}},
                {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 100}}]})
    };
    let entries: Vec<Value> = (0..790).map(entry).collect();
    Catalog::parse(json!({"data": {"entries": entries}}).to_string().as_bytes(), &CatalogRules::default())
        .expect("a catalogue")
}

/// A list of some records, about as long as `bytes`.
fn answer(bytes: usize) -> RestResponse {
    let row = |number: usize| {
        json!({"ticket_id": format!("00000000-0000-4000-8000-{number:012}"), "ticket_number": format!("TIC{number}"),
            "title": "VPN drops every hour", "status_name": "In Progress", "client_name": "Emerald City Tours",
            "entered_at": "2026-11-20T09:00:00.000Z"})
    };
    let rows: Vec<Value> = (0..bytes / 200).map(row).collect();
    let pages = json!({"page": 1, "limit": 4, "total": 4, "totalPages": 1});
    let body = json!({"data": rows, "pagination": pages}).to_string();
    RestResponse {
        status: 200,
        content_type: Some("application/json".to_owned()),
        body: body.into(),
        ..RestResponse::default()
    }
}

fn main() {
    let mut bench =
        Bench(Criterion::default().measurement_time(Duration::from_secs(2)).configure_from_args());
    let newest = REVISIONS[0];
    let arguments = json!({"entryId": "get-_api_v1_things7", "query": {"limit": 4}});
    let meta = json!({"io.modelcontextprotocol/protocolVersion": newest.name,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"}});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "call_api_endpoint", "arguments": arguments, "_meta": meta}})
    .to_string();
    let headers = Headers {
        protocol_version: Some(newest.name),
        method: Some("tools/call"),
        name: Some("call_api_endpoint"),
        ..Headers::default()
    };
    bench.step("decode", || match revision::decode(&headers, body.as_bytes()) {
        Ok(Posted::One(decoded)) => decoded,
        _ => panic!("the call is not understood"),
    });

    let rules = Rules {
        issuer: ISSUER.to_owned(),
        aliases: Vec::new(),
        audiences: vec![RESOURCE.to_owned()],
        subject_claim: "sub".to_owned(),
        leeway: 0,
        max_age: None,
    };
    for (algorithm, token, keys) in tokens() {
        bench.step(&format!("verify {algorithm}"), || {
            let peeked = token::peek(&token).expect("a readable token");
            token::verify(peeked, &keys, &rules, NOW).expect("a good token")
        });
    }

    let catalog = catalog();
    let entry = catalog.get("get-_api_v1_things7").expect("an entry");
    let args = CallArgs {
        query: json!({"limit": 4}).as_object().cloned().unwrap_or_default(),
        ..CallArgs::default()
    };
    bench.step("bind", || bind(entry, &args).expect("good arguments"));
    let policies = Policies::alike(Effect::Read);
    let caller = Caller::local("bench");
    bench.step("bind and decide", || {
        decide(&policies, &caller, bind(entry, &args).expect("good arguments"), NOW * 1000)
    });

    let tools = ToolTable::new(standard_rows()).expect("tools");
    for (name, bytes) in [("shape 0.8 KB", 800), ("shape 60 KB", 60_000)] {
        let response = answer(bytes);
        let asked = Asked { entry, args: &args, most: 65_536 };
        bench.step(name, || tools.shape(&response, &asked));
    }
    let result = tools.shape(&answer(800), &Asked { entry, args: &args, most: 65_536 });
    assert!(!result.is_error, "{}", result.text);
    let text = result.text.clone();
    let reply = Reply::Tool(ToolAnswer { text: result.text, structured: result.structured, is_error: false });
    let id = Id::Number(1.into());
    bench.step("encode", || newest.encode(&id, &reply));

    let redaction = Arc::new(Redaction::default());
    bench.step("record", || {
        let mut event =
            EventBuilder::new("0198f3a2-0000-7000-8000-000000000001", NOW * 1000, redaction.clone());
        event.ask("tools/call", Some("call_api_endpoint"));
        event.arguments(&arguments);
        event.bound("get-_api_v1_things7", "GET", "/api/v1/things7?limit=4", "read");
        event.decision(Verdict::Allow, Some("max_effect"));
        event.result(&text);
        event.finish("ok", Duration::from_micros(900)).into_facts()
    });
    bench.step("search", || search(&catalog, "list the things of a kind", 5).len());
    bench.0.final_summary();
}

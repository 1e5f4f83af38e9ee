//! Damaged input: nothing that arrives may cause a panic, and every refusal is JSON.

use serde_json::{Value, json};

use super::{MODERN, NEWEST_LEGACY, enveloped, request};
use crate::mcp::revision::{Headers, decode};

/// Xorshift: the same damage on every run.
struct Damage(u64);

impl Damage {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }

    fn strike(&mut self, body: &mut Vec<u8>) {
        const LURES: &[u8] = b"{}[]\",:\\0-.enul \xff\x00\xc3=?";
        let at = self.next(body.len().max(1)).min(body.len());
        match self.next(5) {
            0 if at < body.len() => body[at] ^= 1 << self.next(8),
            1 if at < body.len() => drop(body.remove(at)),
            2 => body.insert(at, LURES[self.next(LURES.len())]),
            3 => body.truncate(at),
            _ => {
                let end = (at + self.next(24)).min(body.len());
                let piece = body[at..end].to_vec();
                let to = self.next(body.len() + 1);
                body.splice(to..to, piece);
            }
        }
    }
}

#[test]
fn damaged_messages_never_panic_and_refusals_are_always_json() {
    let call = json!({ "name": "t", "arguments": { "path": { "id": 1e3 }, "ü": [null, true, "\u{1}"] } });
    let seeds = [
        enveloped("tools/call", call.clone()),
        request("tools/call", call),
        request("initialize", json!({ "protocolVersion": NEWEST_LEGACY, "clientInfo": { "name": "n" } })),
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        json!([request("ping", json!({}))]),
    ];
    let headers = [
        Headers::default(),
        Headers { protocol_version: Some(NEWEST_LEGACY), ..Headers::default() },
        Headers {
            protocol_version: Some(MODERN),
            method: Some("tools/call"),
            name: Some("=?base64?dA==?="),
            ..Headers::default()
        },
        Headers {
            protocol_version: Some("ü"),
            method: Some("\u{1}"),
            name: Some("=?base64?"),
            ..Headers::default()
        },
    ];
    let mut damage = Damage(0x9e37_79b9_7f4a_7c15);
    let (mut read, mut refused) = (0, 0);
    for round in 0..5000 {
        let mut body = seeds[round % seeds.len()].to_string().into_bytes();
        for _ in 0..damage.next(4) {
            damage.strike(&mut body);
        }
        match decode(&headers[damage.next(headers.len())], &body) {
            Ok(_) => read += 1,
            Err(rejected) => {
                refused += 1;
                let (status, bytes) = rejected.revision.encode_fault(rejected.id.as_ref(), &rejected.fault);
                let answer: Value = serde_json::from_slice(&bytes).expect("a refusal is JSON");
                assert!(answer["error"]["code"].is_i64() && [200, 400, 404].contains(&status));
            }
        }
    }
    assert!(read > 300 && refused > 300, "the damage misses one side: {read} read, {refused} refused");
}

#[test]
fn damaged_headers_never_panic() {
    let body = enveloped("tools/call", json!({ "name": "t" })).to_string();
    let mut damage = Damage(42);
    for _ in 0..2000 {
        let mut values = [MODERN, "tools/call", "=?base64?dA==?="].map(|value| value.as_bytes().to_vec());
        for _ in 0..=damage.next(3) {
            damage.strike(&mut values[damage.0 as usize % 3]);
        }
        let texts = values.map(|value| String::from_utf8_lossy(&value).into_owned());
        let headers = Headers {
            protocol_version: Some(&texts[0]),
            method: Some(&texts[1]),
            name: Some(&texts[2]),
            ..Headers::default()
        };
        if let Err(rejected) = decode(&headers, body.as_bytes()) {
            let (status, bytes) = rejected.revision.encode_fault(rejected.id.as_ref(), &rejected.fault);
            assert_eq!(status, 400);
            serde_json::from_slice::<Value>(&bytes).expect("a refusal is JSON");
        }
    }
}

//! A token from an issuer of agents never reaches the PSA, wherever it is put.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::{ask, in_front_of};
use crate::support::web::Web;

fn token_of(issuer: &str) -> String {
    let part = |json: String| URL_SAFE_NO_PAD.encode(json);
    format!(
        "{}.{}.c2ln",
        part(r#"{"alg":"RS256"}"#.to_owned()),
        part(format!(r#"{{"iss":"{issuer}","sub":"x"}}"#))
    )
}

#[tokio::test]
async fn an_agents_token_is_refused_with_the_endpoint_it_is_for() {
    let web = Web::friendly().await;
    let world = in_front_of(&web, "").await;
    let token = world.token("technician");
    let basic = STANDARD.encode(format!("user:{token}"));
    for lines in [
        format!("Authorization: Bearer {token}\r\n"),
        format!("authorization:bearer   {token}  \r\n"),
        format!("AUTHORIZATION: BEARER\t{token}\r\n"),
        format!("Authorization: Basic eDp5\r\nAuthorization: Bearer {token}\r\n"),
        format!("Authorization: Basic eDp5, Bearer {token}\r\n"),
        format!("Authorization: {token}\r\n"),
        format!("Authorization: Token token=\"{token}\"\r\n"),
        format!("Authorization: Basic {basic}\r\n"),
        format!("Proxy-Authorization: Bearer {token}\r\n"),
        format!("X-Access-Token: {token}\r\n"),
        format!("Sec-WebSocket-Protocol: bearer, {token}\r\n"),
    ] {
        let answer = ask(&world, "GET", "/msp", &lines, "").await;
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains(&world.mcp_url), "{lines}: {answer}");
        assert!(!answer.contains(&token), "{answer}");
    }
    let encoded = token.replace('.', "%2E");
    for target in [
        format!("/msp?access_token={token}"),
        format!("/msp?a=1&ACCESS_TOKEN={encoded}"),
        format!("/msp?token={}", encoded.replace('%', "%25")),
        format!("/msp/{token}"),
    ] {
        let answer = ask(&world, "GET", &target, "", "").await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{target}: {answer}");
    }
    assert!(web.seen().is_empty(), "{}", web.everything());
}

#[tokio::test]
async fn an_issuer_that_is_switched_off_is_still_an_issuer_of_agents_and_another_tenants_is_not_told_of() {
    let web = Web::friendly().await;
    let world = in_front_of(&web, "").await;
    world.store().await.inactive_issuer("other", "https://theirs.example/").await;
    world.store().await.inactive_issuer("demo", "https://former.example/").await;
    let lines = format!("Authorization: Bearer {}\r\n", token_of("https://former.example"));
    crate::support::wait::until(|| async {
        ask(&world, "GET", "/msp", &lines, "").await.starts_with("HTTP/1.1 403").then_some(())
    })
    .await;
    let theirs = format!("Authorization: Bearer {}\r\n", token_of("https://theirs.example"));
    let answer = ask(&world, "GET", "/msp", &theirs, "").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "as with an issuer that nobody knows: {answer}");
}

#[tokio::test]
async fn a_foreign_token_and_a_humans_key_pass() {
    let web = Web::friendly().await;
    let world = in_front_of(&web, "").await;
    let token = token_of("https://people.example");
    for lines in [
        format!("Authorization: Bearer {token}\r\n"),
        "Authorization: Bearer opaque\r\n".to_owned(),
        "Authorization: Basic eDp5\r\n".to_owned(),
        "X-API-Key: abc\r\n".to_owned(),
    ] {
        let answer = ask(&world, "GET", "/msp", &lines, "").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{lines}: {answer}");
    }
    assert!(web.everything().contains(&token));
}

#[tokio::test]
async fn the_registry_is_the_psas_for_its_own_clients_and_ours_for_agents_and_strangers() {
    let web = Web::friendly().await;
    let world = in_front_of(&web, "").await;
    let path = "/api/v1/meta/mcp-registry";
    for lines in ["X-API-Key: abc\r\n", "Cookie: session=1\r\n", "Authorization: Bearer opaque\r\n"] {
        let answer = ask(&world, "GET", path, lines, "").await;
        assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("etag"), "{lines}: {answer}");
    }
    let stranger = ask(&world, "GET", path, "", "").await;
    assert!(stranger.starts_with("HTTP/1.1 401"), "{stranger}");
    let agent = format!("Authorization: Bearer {}\r\n", world.token("technician"));
    let own = ask(&world, "GET", path, &agent, "").await;
    assert!(own.starts_with("HTTP/1.1 200") && own.to_ascii_lowercase().contains("etag: "), "{own}");
}

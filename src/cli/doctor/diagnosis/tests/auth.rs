//! Metadata, issuers and tokens that are wrong in one way each.

use super::*;
use crate::cli::doctor::client::ISSUER_EXACT;

fn nowhere(seen: &mut Seen, places: &[Place]) {
    for document in &mut seen.metadata {
        if places.contains(&document.place) {
            document.heard = answer(404, &[], "");
        }
    }
}

/// The server refuses the token that is given.
fn refuses(seen: &mut Seen, answer: Heard) {
    seen.legacy.as_mut().unwrap().initialize = answer.clone();
    seen.modern.as_mut().unwrap().discover = answer;
    seen.sse = None;
}

#[test]
fn a_401_without_a_challenge_leaves_clients_guessing_and_stops_them_where_there_is_nothing_to_guess() {
    let bare = || answer(401, &[JSON], "{}");
    let report = finds("challenge", Fail, &[], "WWW-Authenticate", |seen| seen.anonymous = bare());
    assert_eq!(step(&report, "challenge").clients, [ClaudeAi]);
    assert_eq!(of(&report, Python).connects, Some(true));
    let report = finds("challenge", Fail, &HTTP, "proxy", |seen| {
        seen.anonymous = bare();
        nowhere(seen, &[Place::Challenge, Place::Inserted, Place::Root]);
    });
    assert_eq!(step(&report, "metadata-path").status, Fail);
    assert_eq!(of(&report, Python).failing_step, Some("challenge"));
    let renamed = answer(401, &[("x-amzn-remapped-www-authenticate", "Bearer")], "");
    finds("challenge", Fail, &[], "CloudFront", |seen| seen.anonymous = renamed);
}

#[test]
fn a_challenge_that_names_no_metadata_or_the_wrong_place_is_told() {
    finds("challenge", Warn, &[], "RFC 9728", |seen| seen.anonymous = refused("Bearer realm=\"x\""));
    let others: Vec<Client> = HTTP.into_iter().filter(|client| *client != Python).collect();
    for (place, remedy) in [
        ("https://mcp.example.com/.well-known/elsewhere", "serve it there"),
        ("http://10.0.0.5:8080/.well-known/oauth-protected-resource", "server.public_url"),
        ("/.well-known/oauth-protected-resource", "as a whole URL"),
    ] {
        finds("challenge", Fail, &others, remedy, |seen| {
            seen.anonymous = refused(&format!("Bearer resource_metadata=\"{place}\""));
            seen.metadata[0].url = place.to_owned();
            nowhere(seen, &[Place::Challenge]);
        });
    }
}

#[test]
fn metadata_is_looked_for_where_each_client_looks() {
    let report = finds("metadata-path", Warn, &[], INSERTED, |seen| nowhere(seen, &[Place::Inserted]));
    assert!(!report.fails());
    let report = finds("metadata-path", Warn, &[], INSERTED, |seen| {
        seen.anonymous = refused("Bearer");
        nowhere(seen, &[Place::Challenge, Place::Inserted]);
    });
    assert_eq!(of(&report, ClaudeAi).connects, None);
    assert_eq!(step(&judged(|seen| nowhere(seen, &[Place::Root])), "metadata-root").status, Good);
    finds("metadata-path", Fail, &HTTP, "/.well-known/", |seen| {
        seen.anonymous = refused("Bearer");
        nowhere(seen, &[Place::Challenge, Place::Inserted, Place::Root]);
    });
    finds("metadata-root", Fail, &HTTP, ROOT, |seen| {
        seen.url = Url::parse("https://mcp.example.com/").unwrap();
        seen.anonymous = refused("Bearer");
        seen.metadata = vec![document(Place::Root, ROOT, json!({}))];
        nowhere(seen, &[Place::Root]);
    });
    let report = judged(|seen| {
        for document in &mut seen.metadata {
            document.heard = answer(200, &[JSON], "<!DOCTYPE html><p>");
        }
    });
    assert!(step(&report, "metadata-path").detail.contains("a web page"), "{report}");
}

#[test]
fn a_resource_that_is_not_the_url_stops_those_who_compare_it() {
    for (named, stopped, remedy) in [
        ("https://mcp.example.com/api/mcp/", &HTTP[..], "write both alike"),
        ("https://mcp.example.com", &[VsCode], "change resource"),
        ("https://mcp.example.com/api", &[VsCode], "change resource"),
        ("http://mcp.example.com/api/mcp", &HTTP, "server.public_url"),
        ("https://other.example.com/mcp", &HTTP, "change resource"),
    ] {
        finds("resource", Fail, stopped, remedy, |seen| seen.metadata = resource(named));
    }
    let report = finds("resource", Fail, &[VsCode], "write both alike", |seen| {
        seen.url = Url::parse("https://mcp.example.com/api/mcp/").unwrap();
    });
    assert_eq!(of(&report, VsCode).connects, Some(false));
    assert_eq!(of(&report, TypeScript).connects, Some(true));
    finds("resource", Fail, &HTTP, "add \"resource\"", |seen| {
        seen.metadata = vec![document(Place::Inserted, INSERTED, json!({"authorization_servers": [ISSUER]}))];
    });
    let report = finds("resource", Warn, &[], "slash", |seen| {
        seen.url = Url::parse("https://mcp.example.com/").unwrap();
        seen.metadata = resource("https://mcp.example.com");
    });
    assert_eq!(step(&report, "resource").clients, [Cursor, McpRemote, TypeScript]);
}

#[test]
fn scopes_that_issuers_refuse_or_clients_must_not_learn_are_told() {
    let with = |scopes: Value| {
        move |seen: &mut Seen| {
            let body =
                json!({"resource": URL, "authorization_servers": [ISSUER], "scopes_supported": scopes});
            seen.metadata = vec![document(Place::Inserted, INSERTED, body)];
        }
    };
    finds("scopes", Warn, &[], "offline_access", with(json!(["mcp", "offline_access"])));
    finds("scopes", Warn, &[], "one by one", with(json!(["mcp:*"])));
    assert_eq!(step(&judged(with(json!(["mcp"]))), "scopes").status, Good);
    finds("resource", Fail, &[VsCode], "array", with(json!("mcp")));
    let report = finds("scopes", Warn, &[], "offline_access", |seen| {
        seen.anonymous =
            refused(&format!("Bearer resource_metadata=\"{INSERTED}\", scope=\"a offline_access\""));
    });
    assert!(!report.fails());
}

#[test]
fn an_issuer_that_is_not_named_or_not_found_stops_all_that_log_in() {
    finds("issuer", Fail, &HTTP, "authorization_servers", |seen| seen.issuer = None);
    finds("issuer", Fail, &HTTP, "whole URL", |seen| {
        seen.issuer = Some(Issuer { name: "id.example.com".into(), named: true, tried: Vec::new() });
    });
    let report = finds("issuer", Fail, &HTTP, "one of these places", |seen| {
        let heard = answer(404, &[], "");
        let tried = vec![Document { place: (), url: format!("{ISSUER}/x"), heard }];
        seen.issuer = Some(Issuer { name: ISSUER.into(), named: true, tried });
    });
    assert!(step(&report, "issuer").detail.contains("status 404"));
    assert_eq!(step(&report, "pkce").status, Skip);
    finds("issuer", Warn, &[], "RFC 9728", |seen| seen.issuer.as_mut().unwrap().named = false);
    finds("issuer", Fail, &HTTP, "token_endpoint", |seen| {
        seen.issuer = changed(json!({"token_endpoint": null}))
    });
    finds("issuer", Fail, &[McpRemote, TypeScript], "https", |seen| {
        seen.issuer = changed(json!({"token_endpoint": "http://id.example.com/token"}));
    });
}

#[test]
fn metadata_of_another_issuer_stops_those_who_compare_it() {
    let report = finds("issuer", Fail, &ISSUER_EXACT, "https://other.example.com", |seen| {
        seen.issuer = changed(json!({"issuer": "https://other.example.com"}));
    });
    assert_eq!(of(&report, VsCode).connects, None);
    finds("issuer", Fail, &ISSUER_EXACT, "to the slash", |seen| {
        seen.issuer = changed(json!({"issuer": format!("{ISSUER}/")}));
    });
    finds("issuer", Fail, &[Copilot, Python], "to the slash", |seen| {
        seen.issuer = issuer(&format!("{ISSUER}/"), metadata());
    });
    finds("issuer", Fail, &ISSUER_EXACT, "tenant's own issuer", |seen| {
        seen.issuer = changed(json!({"issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"}));
    });
}

#[test]
fn pkce_must_be_on_offer_and_had_better_be_advertised() {
    finds("pkce", Fail, &HTTP, "S256", |seen| {
        seen.issuer = changed(json!({"code_challenge_methods_supported": ["plain"]}));
    });
    let report = finds("pkce", Warn, &[], "refuse", |seen| {
        seen.issuer = changed(json!({"code_challenge_methods_supported": null}));
    });
    assert_eq!((of(&report, ClaudeAi).connects, of(&report, Cursor).connects), (None, Some(true)));
}

#[test]
fn where_clients_can_neither_register_nor_show_a_document_they_need_an_id_by_hand() {
    let report = finds("registration", Warn, &[], "--static-oauth-client-info", |seen| {
        seen.issuer = changed(json!({"registration_endpoint": null}));
    });
    assert_eq!((of(&report, McpRemote).connects, of(&report, Python).connects), (None, Some(true)));
    let report = judged(|seen| {
        let changes = json!({"registration_endpoint": null, "client_id_metadata_document_supported": true});
        seen.issuer = changed(changes);
    });
    assert_eq!(step(&report, "registration").status, Good);
}

#[test]
fn entra_is_known_by_its_authorization_endpoint_and_doubted_for_every_client() {
    let report = finds("resource-parameter", Warn, &[], "Application ID URIs", |seen| {
        let endpoint = "https://login.microsoftonline.com/t/oauth2/v2.0/authorize";
        seen.issuer = changed(json!({"authorization_endpoint": endpoint}));
    });
    assert!(step(&report, "resource-parameter").detail.contains("AADSTS9010010"));
    assert!(HTTP.into_iter().all(|client| of(&report, client).connects.is_none()));
}

#[test]
fn keycloak_lacks_a_mapper_only_where_the_token_lacks_the_audience() {
    let keycloak = |seen: &mut Seen| {
        let issuer = seen.issuer.as_mut().unwrap();
        issuer.name = "https://id.example.com/realms/msp".to_owned();
        let mut body = metadata();
        body["issuer"] = json!(issuer.name);
        issuer.tried = vec![document((), "https://id.example.com/x", body)];
        seen.metadata[0].heard =
            answer(200, &[JSON], json!({"resource": URL, "authorization_servers": [issuer.name]}));
        seen.token.as_mut().unwrap().issuer = Some(issuer.name.clone());
    };
    let report = judged(keycloak);
    assert_eq!((step(&report, "resource-parameter").status, report.fails()), (Good, false));
    let report = finds("token", Fail, &ALL, "mapper of type Audience", |seen| {
        keycloak(seen);
        seen.token.as_mut().unwrap().audiences = vec!["account".to_owned()];
        refuses(seen, refused("Bearer error=\"invalid_token\", error_description=\"wrong audience\""));
    });
    let accepted = step(&report, "accepted");
    assert!(accepted.remedy.as_ref().unwrap().contains("mapper of type Audience"), "{accepted:#?}");
    assert!(accepted.detail.contains("wrong audience"), "{accepted:#?}");
    finds("resource-parameter", Warn, &[], URL, |seen| {
        keycloak(seen);
        (seen.token, seen.legacy, seen.modern, seen.sse) = (None, None, None, None);
    });
}

#[test]
fn a_refused_token_is_explained_by_what_it_says_and_by_what_came_back() {
    type Change = fn(&mut Said);
    let changes: [(&str, Change); 5] = [
        ("RFC 8707", |said| said.audiences = vec!["https://other.example.com".to_owned()]),
        ("into aud", |said| said.audiences = vec![format!("{URL}/")]),
        ("fresh", |said| said.expires_at = Some(NOW - 3600)),
        ("issuer that the metadata names", |said| said.issuer = Some("https://other.example.com".to_owned())),
        ("access token", |said| said.id_token = true),
    ];
    for (remedy, change) in changes {
        let report = finds("token", Fail, &ALL, remedy, |seen| {
            change(seen.token.as_mut().unwrap());
            refuses(seen, refused("Bearer error=\"invalid_token\""));
        });
        assert!(step(&report, "accepted").remedy.as_ref().unwrap().contains(remedy), "{report}");
    }
    finds("accepted", Fail, &ALL, "server's log", |seen| {
        refuses(seen, refused("Bearer error=\"invalid_token\""))
    });
    finds("accepted", Fail, &ALL, "server's log", |seen| {
        seen.token = Some(Said { opaque: true, ..Said::default() });
        refuses(seen, refused("Bearer error=\"invalid_token\""));
    });
    finds("accepted", Fail, &ALL, "scopes \"mcp:read\"", |seen| {
        let challenge = "Bearer error=\"insufficient_scope\", scope=\"mcp:read\"";
        refuses(seen, answer(403, &[("www-authenticate", challenge)], ""));
    });
    finds("accepted", Fail, &ALL, "switched off", |seen| refuses(seen, answer(403, &[], "agent_disabled")));
}

#[test]
fn a_token_of_the_second_issuer_is_explained_by_its_own_kind() {
    let own = "https://id.example.com/realms/msp";
    finds("token", Fail, &ALL, "mapper of type Audience", |seen| {
        let body = json!({"resource": URL, "authorization_servers": [ISSUER, own]});
        seen.metadata = vec![document(Place::Inserted, INSERTED, body)];
        seen.token = Some(Said { issuer: Some(own.to_owned()), audiences: Vec::new(), ..token() });
        refuses(seen, refused("Bearer error=\"invalid_token\""));
    });
}

#[test]
fn an_authorization_header_that_does_not_arrive_is_told_from_a_token_that_is_refused() {
    let report = finds("accepted", Fail, &ALL, "Authorization header does not seem to arrive", |seen| {
        seen.made_up = Some(seen.anonymous.clone());
        let greeting = seen.anonymous.clone();
        refuses(seen, greeting);
    });
    assert!(step(&report, "made-up-token").detail.contains("same words"));
    finds("accepted", Fail, &ALL, "server's log", |seen| {
        let greeting = seen.anonymous.clone();
        refuses(seen, greeting);
    });
}

#[test]
fn a_token_that_is_accepted_against_appearances_is_only_worth_a_word() {
    let report = finds("token", Warn, &[], "audiences", |seen| {
        seen.token.as_mut().unwrap().audiences = vec!["api://x".to_owned()];
    });
    assert_eq!(of(&report, Cursor).connects, Some(true));
    let report = judged(|seen| seen.token = Some(Said { opaque: true, ..Said::default() }));
    assert_eq!(step(&report, "token").status, Good);
}

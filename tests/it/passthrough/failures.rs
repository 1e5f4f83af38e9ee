//! What a client sees when the PSA is not there, is silent, or breaks off.

use std::time::{Duration, Instant};

use super::{ask, authority, in_front_of, over_tls, request};
use crate::support::wait::until;
use crate::support::web::{Raw, Web, exchange, http2};

#[tokio::test]
async fn a_psa_that_is_down_is_502_at_once_with_what_to_do() {
    let web = Web::friendly().await;
    let mut world = in_front_of(&web, "").await;
    world.stop().await;
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let text = std::fs::read_to_string(&world.config_file).unwrap();
    std::fs::write(&world.config_file, text.replace(&web.url, &format!("http://localhost:{}", gone.port())))
        .unwrap();
    let world = world.again().await;
    let began = Instant::now();
    let answer = ask(&world, "POST", "/msp", "Content-Length: 5\r\n", "hello").await;
    assert!(answer.starts_with("HTTP/1.1 502") && answer.contains("psa_unreachable"), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    world.metric_is("sidegate_passthrough_requests_total{class=\"none\"}", 1.0).await;
}

#[tokio::test]
async fn a_psa_that_is_silent_is_504_and_one_that_hangs_up_502() {
    let web = Web::new(|mut conn| async move {
        while let Some(head) = conn.request().await {
            match head.split(' ').nth(1).unwrap() {
                "/silent" => std::future::pending().await,
                "/garbage" => conn.say("SSH-2.0-OpenSSH_9\r\n\r\n").await,
                "/lengths" => {
                    conn.say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok").await
                }
                "/unasked" => {
                    conn.say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n").await
                }
                _ => return,
            }
        }
    })
    .await;
    let world = in_front_of(&web, "read_timeout = \"300ms\"").await;
    for (target, status) in [
        ("/silent", "504"),
        ("/hangs-up", "502"),
        ("/garbage", "502"),
        ("/lengths", "502"),
        ("/unasked", "502"),
    ] {
        let answer = ask(&world, "POST", target, "Content-Length: 0\r\n", "").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{target}: {answer}");
        assert!(answer.contains("\"error\":\"psa_"), "{target}: {answer}");
    }
    assert_eq!(web.seen().len(), 5, "each was asked once: {:?}", web.seen());
}

#[tokio::test]
async fn a_client_that_stalls_is_408_and_a_psa_that_keeps_it_waiting_504() {
    let web = Web::friendly().await;
    let world = in_front_of(&web, "read_timeout = \"300ms\"").await;
    for lines in ["Content-Length: 10\r\n", "Transfer-Encoding: chunked\r\n"] {
        let answer = ask(&world, "POST", "/msp", lines, "4\r\nhalf\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request_timeout"), "{answer}");
    }
    let world = over_tls(&web, "read_timeout = \"300ms\"").await;
    let mut send = http2(&world.base, world.ca_file()).await.ready().await.unwrap();
    let post = http::Request::post(format!("{}/up", world.base)).header("content-length", 10);
    let (answer, mut body) = send.send_request(post.body(()).unwrap(), false).unwrap();
    body.send_data("half".into(), false).unwrap();
    assert_eq!(answer.await.unwrap().status(), 408);
    // Told to go on by nobody, it has not stalled.
    let post = http::Request::post(format!("{}/up", world.base));
    let post = post.header("content-length", 10).header("expect", "100-continue");
    let (answer, _body) = send.ready().await.unwrap().send_request(post.body(()).unwrap(), false).unwrap();
    assert_eq!(answer.await.unwrap().status(), 504);
}

#[tokio::test]
async fn an_http_2_body_that_stalls_behind_its_answer_does_not_hold_its_place() {
    let web = Web::new(|mut conn| async move {
        while let Some(head) = conn.head().await {
            if head.starts_with("GET") {
                conn.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                continue;
            }
            conn.say("HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n").await;
            std::future::pending::<()>().await;
        }
    })
    .await;
    let world = over_tls(&web, "read_timeout = \"300ms\"\nmax_in_flight = 1").await;
    let send = http2(&world.base, world.ca_file()).await;
    let post = http::Request::post(format!("{}/up", world.base)).header("content-length", 10);
    let mut send = send.ready().await.unwrap();
    let (answer, mut body) = send.send_request(post.body(()).unwrap(), false).unwrap();
    body.send_data("half".into(), false).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 413);
    // Its stream stays open: the client neither sends the rest nor resets it.
    let page = format!("{}/msp", world.base);
    until(|| async { (world.get(&page).await.status == 200).then_some(()) }).await;
    drop((answer, body));
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_not_end_well() {
    let web = Web::new(|mut conn| async move {
        if let Some(head) = conn.request().await {
            let kind = if head.contains("/chunks") {
                "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"
            } else {
                "content-length: 8\r\n\r\nhalf"
            };
            conn.say(&format!("HTTP/1.1 200 OK\r\n{kind}")).await;
        }
    })
    .await;
    let world = over_tls(&web, "").await;
    let mut send = http2(&world.base, world.ca_file()).await;
    for target in ["/chunks", "/length"] {
        send = send.ready().await.unwrap();
        let request = http::Request::get(format!("{}{target}", world.base)).body(()).unwrap();
        let mut body = send.send_request(request, true).unwrap().0.await.unwrap().into_body();
        let mut end = Ok(());
        while let Some(piece) = body.data().await {
            if let Err(error) = piece {
                end = Err(error);
                break;
            }
        }
        assert!(end.is_err(), "{target}: the stream ended as if it were whole");
    }
    let plain = in_front_of(&web, "").await;
    let answer = ask(&plain, "GET", "/chunks", "", "").await;
    assert!(answer.contains("half") && !answer.contains("\r\n0\r\n"), "{answer}");
}

/// Answers the first request of each connection, and breaks off at its second.
async fn forgetful() -> Web {
    Web::new(|mut conn| async move {
        if conn.request().await.is_some() {
            conn.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            conn.request().await;
        }
    })
    .await
}

#[tokio::test]
async fn on_a_kept_connection_that_breaks_a_write_is_never_sent_twice_and_a_read_is() {
    for (method, status, times) in
        [("POST", "502", 1), ("PUT", "502", 1), ("DELETE", "502", 1), ("GET", "200", 2)]
    {
        let web = forgetful().await;
        let world = in_front_of(&web, "").await;
        // One client: another's connection may be served by another thread, which keeps its own to the PSA.
        let mut client = Raw::connect(&world.base).await;
        client.say(request(&world, "GET", "/first", "", "").replace("Connection: close\r\n", "")).await;
        assert!(client.until("\r\n\r\nok").await.starts_with("HTTP/1.1 200"));
        client.say(request(&world, method, "/second", "Content-Length: 4\r\n", "once")).await;
        let answer = client.rest().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{method}: {answer}");
        assert_eq!(web.everything().matches("/second").count(), times, "{method}: {:?}", web.seen());
        let first = web.seen().first().cloned().unwrap_or_default();
        assert!(first.contains("/first") && first.contains("/second"), "the connection was kept: {first}");
    }
}

#[tokio::test]
async fn too_many_at_once_are_503_and_agents_do_not_notice() {
    let web = Web::new(|mut conn| async move {
        while conn.request().await.is_some() {
            std::future::pending::<()>().await;
        }
    })
    .await;
    let world = in_front_of(&web, "max_in_flight = 1").await;
    let mut first = Raw::connect(&world.base).await;
    first.say(request(&world, "GET", "/first", "", "")).await;
    until(|| async { (!web.seen().is_empty()).then_some(()) }).await;
    let answer = ask(&world, "GET", "/second", "", "").await;
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.to_lowercase().contains("retry-after: 1"),
        "{answer}"
    );
    let listed = world.ask("technician", "tools/list", serde_json::json!({})).await;
    assert_eq!(listed.status, 200, "{listed:?}");
    drop(first);
    until(|| async {
        let mut next = Raw::connect(&world.base).await;
        next.say(request(&world, "GET", "/third", "", "")).await;
        web.everything().contains("/third").then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_old_client_gets_a_body_that_ends_with_the_connection() {
    let web = Web::new(|mut conn| async move {
        while conn.request().await.is_some() {
            conn.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").await;
        }
    })
    .await;
    let world = in_front_of(&web, "").await;
    let answer =
        exchange(&world.base, format!("GET /msp HTTP/1.0\r\nHost: {}\r\n\r\n", authority(&world))).await;
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    assert!(!answer.to_lowercase().contains("transfer-encoding"), "{answer}");
}

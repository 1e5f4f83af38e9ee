//! A proxy in front of a server that does one thing wrong.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use sidegate::outbound::{Guard, Limits, Outbound};
use tokio::net::TcpListener;

use super::server::{Server, Ways};

/// What it does wrong.
#[derive(Clone, Copy, PartialEq)]
pub enum Manner {
    /// It reads an answer to its end before it passes any of it on, as any of these do here.
    Buffers,
    StripsChallenge,
    StripsAuthorization,
}

#[derive(Clone)]
struct Behind {
    upstream: String,
    manner: Manner,
    client: Outbound,
}

/// A server that is reached through the proxy, and knows it.
pub async fn before(ways: Ways, manner: Manner) -> Server {
    let own = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let inner = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", own.local_addr().unwrap());
    let upstream = format!("http://{}", inner.local_addr().unwrap());
    let patience = Duration::from_secs(60);
    let limits = Limits { deadline: patience, connect: patience, body: 1 << 20 };
    let client = Outbound::new(Guard::operator_chosen(), limits).unwrap();
    let behind = Behind { upstream, manner, client };
    let router = Router::new().fallback(pass).with_state(behind);
    tokio::spawn(async move { axum::serve(own, router).await.unwrap() });
    Server::known_as(base, inner, ways)
}

async fn pass(State(behind): State<Behind>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut asked = http::Request::builder().method(head.method).uri(format!("{}{target}", behind.upstream));
    for (name, value) in &head.headers {
        let stripped = behind.manner == Manner::StripsAuthorization && name == "authorization";
        if !stripped && !["host", "content-length", "connection"].contains(&name.as_str()) {
            asked = asked.header(name, value);
        }
    }
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let (mut head, body) = match behind.client.send(asked.body(body).unwrap()).await {
        Ok(answer) => answer.into_parts(),
        Err(_) => return Response::builder().status(504).body(Body::empty()).unwrap(),
    };
    if behind.manner == Manner::StripsChallenge {
        head.headers.remove("www-authenticate");
    }
    head.headers.remove("transfer-encoding");
    Response::from_parts(head, Body::from(body))
}

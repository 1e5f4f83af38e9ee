//! The end of a server under load: what is in flight is answered, what comes then is refused, and
//! nothing is left behind.

mod connections;
mod order;
mod pod;

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::json;
use sidegate::outbound::{Guard, Limits, Outbound};

use crate::support::http::send;
use crate::support::world::World;

/// A client that waits for as long as the slowest of these tests takes.
fn patient() -> Outbound {
    Outbound::new(Guard::operator_chosen(), LIMITS).unwrap()
}

const LIMITS: Limits =
    Limits { deadline: Duration::from_secs(60), connect: Duration::from_secs(20), body: 1 << 20 };

fn order(world: &World, method: &str, path: &str) -> http::Request<Bytes> {
    let request = http::Request::builder().method(method).uri(format!("{}{path}", world.ops_url));
    request.body(Bytes::new()).unwrap()
}

#[tokio::test]
async fn who_waits_for_a_drain_that_nobody_begins_is_told_so_and_only_a_few_may_wait() {
    let world = World::start().await;
    let client = patient();
    let began = Instant::now();
    let waiting: Vec<_> = (0..16).map(|_| send(&client, order(&world, "GET", "/drained"))).collect();
    let one_too_many = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let answer = send(&client, order(&world, "GET", "/drained")).await;
        (answer, began.elapsed())
    };
    let (waited, (refused, after)) = tokio::join!(join_all(waiting), one_too_many);
    assert!(waited.iter().all(|answer| answer.status == 409), "{:?}", waited[0]);
    assert!(began.elapsed() >= Duration::from_secs(10));
    assert!(refused.status == 503 && after < Duration::from_secs(9), "{refused:?} after {after:?}");
    assert_eq!(world.get(&format!("{}/readyz", world.ops_url)).await.status, 200);
}

#[tokio::test]
async fn a_drain_is_ordered_by_post_and_by_no_web_page_and_stays() {
    let mut world = World::start().await;
    let page = http::Request::post(format!("{}/drain", world.ops_url)).header("origin", "http://localhost");
    assert_eq!(world.send(page.body(Bytes::new()).unwrap()).await.status, 403);
    assert_eq!(world.send(order(&world, "GET", "/drain")).await.status, 405);
    assert_eq!(world.metric("sidegate_draining").await, 0.0);
    for _ in 0..2 {
        assert_eq!(world.send(order(&world, "POST", "/drain")).await.status, 202);
        let drained = world.send(order(&world, "GET", "/drained")).await;
        assert_eq!(drained.status, 200, "{drained:?}");
        assert_eq!(world.get(&format!("{}/readyz", world.ops_url)).await.status, 503);
        assert_eq!(world.get(&format!("{}/livez", world.ops_url)).await.status, 200);
        assert_eq!(world.metric("sidegate_draining").await, 1.0);
    }
    world.stop().await;
}

#[tokio::test]
async fn calls_are_accepted_for_as_long_as_balancers_need_to_notice() {
    let mut world = World::with("drain_delay = \"3s\"", "").await;
    let began = Instant::now();
    assert_eq!(world.send(order(&world, "POST", "/drain")).await.status, 202);
    assert_eq!(world.get(&format!("{}/readyz", world.ops_url)).await.status, 503);
    let boards = json!({"entryId": "get-_api_v1_boards"});
    let call = world.call("technician", "call_api_endpoint", boards).await;
    assert!(call.status == 200 && !call.is_error(), "{call:?}");
    assert_eq!(world.send(order(&world, "GET", "/drained")).await.status, 200);
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
    let stopping = Instant::now();
    world.stop().await;
    assert!(stopping.elapsed() < Duration::from_secs(3), "no second delay: {:?}", stopping.elapsed());
}

//! The documented orders: in a pod, where the PSA is stopped first and waits for Sidegate's drain, and
//! elsewhere, where Sidegate is.

use std::fs;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::Value;

use super::pod::{Pod, all_good};
use crate::support::http::Answer;
use crate::support::wait::until;
use crate::support::wire::{Tls, leaf};

const MANY: usize = 200;

/// Whether it says to come again, and that the connection ends.
fn refused(answer: &Answer) -> bool {
    (answer.status, answer.header("retry-after"), answer.header("connection")) == (503, "5", "close")
}

/// Calls until one is refused; those before are good.
async fn until_refused(pod: &Pod) -> Answer {
    until(|| async {
        let answer = pod.quick().await.unwrap().expect("the listener is open");
        assert!(answer.status != 200 || !answer.is_error(), "{answer:?}");
        (answer.status != 200).then_some(answer)
    })
    .await
}

#[tokio::test]
async fn in_a_pod_two_hundred_calls_end_before_the_psa_goes_and_new_ones_are_refused() {
    let mut pod = Pod::start("drain_delay = \"1s\"").await;
    let calls = pod.slow(MANY).await;
    // The kubelet runs both hooks at once: the PSA's, and Sidegate's.
    let hook = pod.asked("/drained");
    let ended = pod.exec(&["drain"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!((pod.ops("/readyz").await.status, pod.ops("/livez").await.status), (503, 200));
    assert_eq!(pod.exec(&["health"]).await.code, Some(1));
    assert_eq!(pod.exec(&["health", "--live"]).await.code, Some(0));
    let answer = until_refused(&pod).await;
    assert!(refused(&answer) && answer.body["error"] == "shutting_down", "{answer:?}");
    assert!(!hook.is_finished() && calls.iter().all(|call| !call.is_finished()), "all are in flight");
    pod.reports_are_done();

    // The hook returns, and the PSA is told to stop; Sidegate only when the PSA has.
    let hook = hook.await.unwrap();
    assert_eq!(hook.status, 200, "{hook:?}");
    pod.psa_goes();
    all_good(calls).await;
    assert_eq!(pod.exec(&["drain", "--wait"]).await.code, Some(0), "it is over");
    assert!(pod.quick().await.unwrap().is_none(), "the listener is closed");
    assert!(pod.keys().await > 0);
    let told = Instant::now();
    pod.process.terminate();
    pod.ended_well().await;
    assert!(told.elapsed() < Duration::from_secs(8), "no second delay or grace: {:?}", told.elapsed());
    assert_eq!(pod.keys().await, 0);
    let outcomes = pod.outcomes();
    assert!(outcomes.len() >= MANY && outcomes.iter().all(|outcome| outcome == "ok"), "{outcomes:?}");
}

#[tokio::test]
async fn certificates_and_configuration_are_swapped_under_load_and_the_server_stops_before_the_psa() {
    let mut pod = Pod::start("").await;
    let tls = Tls::trusting(&pod.folder.path().join("ca.pem"), None, "http/1.1");
    let old = leaf(&tls.connect(pod.port).await.unwrap());
    let slow = pod.slow(MANY).await;
    pod.renew();
    let file = pod.folder.path().join("own.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text + "[policy]\ndefault_max_effect = \"write\"\n[log]\nfilter = \"info\"\n").unwrap();
    pod.process.signal("HUP");
    let mut quick = Vec::new();
    until(|| {
        quick.extend((0..5).map(|_| pod.quick()));
        let errors = pod.process.errors();
        let tls = &tls;
        let (port, old) = (pod.port, &old);
        async move {
            let new = leaf(&tls.connect(port).await.unwrap()) != *old;
            (new && errors.contains("the new configuration is in use")).then_some(())
        }
    })
    .await;
    assert!(pod.process.errors().contains("new certificates are in use"));
    quick.extend((0..5).map(|_| pod.quick()));
    let quicks = quick.len();
    all_good(quick).await;

    pod.process.terminate();
    let answer = until_refused(&pod).await;
    assert!(refused(&answer), "{answer:?}");
    assert!(slow.iter().all(|call| !call.is_finished()), "all are in flight");
    pod.reports_are_done();
    pod.ended_well().await;
    pod.psa_goes();
    all_good(slow).await;
    assert_eq!(pod.keys().await, 0);
    let outcomes = pod.outcomes();
    assert!(outcomes.len() >= MANY + quicks && outcomes.iter().all(|outcome| outcome == "ok"));
}

#[tokio::test]
async fn a_call_that_outlives_the_grace_is_cut_and_that_is_said() {
    let mut pod = Pod::start("grace = \"1s\"").await;
    let calls = pod.slow(2).await;
    assert_eq!(pod.exec(&["drain"]).await.code, Some(0));
    let hook = pod.ops("/drained").await;
    assert_eq!((hook.status, &hook.body), (503, &Value::from("requests still in flight: 2\n")));
    let waited = pod.exec(&["drain", "--wait"]).await;
    assert!(waited.code == Some(1) && waited.err.contains("in flight: 2"), "{waited:?}");
    assert!(calls.iter().all(|call| !call.is_finished()), "the PSA may still be there for them");
    let told = Instant::now();
    pod.process.terminate();
    let ended = pod.ended_well().await;
    assert!(told.elapsed() < Duration::from_secs(8), "{:?}", told.elapsed());
    for words in ["the grace period is over with requests in flight", "requests in flight are cut"] {
        assert!(ended.err.contains(words), "{words}: {ended:?}");
    }
    for answer in join_all(calls).await {
        let answer = answer.unwrap().expect("it is told");
        assert!(answer.is_error() && answer.text().contains("is being stopped"), "{answer:?}");
    }
    assert_eq!(pod.keys().await, 0);
    assert_eq!(pod.outcomes(), ["cancelled", "cancelled"]);
}

#[tokio::test]
async fn a_second_signal_changes_nothing() {
    let mut pod = Pod::start("").await;
    let calls = pod.slow(3).await;
    for _ in 0..2 {
        pod.process.terminate();
        until_refused(&pod).await;
    }
    assert!(calls.iter().all(|call| !call.is_finished()), "they are waited for");
    pod.reports_are_done();
    pod.ended_well().await;
    all_good(calls).await;
    assert_eq!(pod.keys().await, 0);
}

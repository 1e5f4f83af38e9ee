//! Several writers at once, in one process and in many.

use std::collections::BTreeMap;

use sidegate::store::{Store, StoreError};

use super::{Place, TENANT, agent, on_both};

on_both!(
    of_many_that_bind_one_identity_at_once_one_does,
    whoever_follows_while_others_write_misses_nothing,
    tables_are_brought_up_to_date_by_many_at_once,
);

async fn of_many_that_bind_one_identity_at_once_one_does(place: Place) {
    let stores = [place.store().await, place.open().await];
    let tries: Vec<_> = (0..12)
        .map(|number| {
            let store = stores[number % 2].clone();
            tokio::spawn(async move { store.add_agent(TENANT, &agent(&format!("a{number}"), "one")).await })
        })
        .collect();
    let mut added = 0;
    for tried in tries {
        match tried.await.unwrap() {
            Ok(_) => added += 1,
            Err(StoreError::Conflict(why)) => assert!(why.contains("already bound"), "{why}"),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(added, 1);
    assert_eq!(
        stores[0].versions().await.unwrap(),
        [(TENANT.to_owned(), 1)],
        "who was refused changed nothing"
    );
}

async fn write(store: Store, writer: usize) {
    for number in 0..15 {
        let name = format!("{writer}-{number}");
        store.add_agent(TENANT, &agent(&name, &name)).await.unwrap();
        if number % 3 == 0 {
            store.switch_agent(TENANT, &name, false).await.unwrap();
        }
    }
}

async fn whoever_follows_while_others_write_misses_nothing(place: Place) {
    let store = place.store().await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let store = place.open().await;
        writers.spawn(write(store, writer));
    }
    let (mut version, mut followed) = (-1, BTreeMap::new());
    while version < 80 {
        let (now, rows) = store.agents_since(TENANT, version).await.unwrap();
        assert!(now >= version);
        version = now;
        followed.extend(rows.into_iter().map(|row| (row.id.clone(), row)));
        tokio::task::yield_now().await;
        if let Some(ended) = writers.try_join_next() {
            ended.expect("a writer failed");
        }
    }
    let there: BTreeMap<_, _> =
        store.agents(TENANT).await.unwrap().into_iter().map(|row| (row.id.clone(), row)).collect();
    assert_eq!((followed.len(), &followed), (60, &there));
}

async fn tables_are_brought_up_to_date_by_many_at_once(place: Place) {
    let opened: Vec<_> = (0..4)
        .map(|_| {
            let (config, clock) = (place.config.clone(), place.clock.clone());
            tokio::spawn(async move { Store::open(&config, clock).await })
        })
        .collect();
    for store in opened {
        let store = store.await.unwrap().unwrap_or_else(|error| panic!("{error}"));
        let status = store.status().await.unwrap();
        assert!(status.len() >= 4 && status.iter().all(|(_, _, applied)| *applied), "{status:?}");
    }
}

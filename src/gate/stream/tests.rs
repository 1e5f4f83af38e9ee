//! Streams: order, loss, resumption and their ends.

use super::*;

async fn text(reader: &mut EventReader) -> Option<String> {
    Some(String::from_utf8(reader.next().await?.data.to_vec()).unwrap())
}

#[tokio::test]
async fn a_reader_gets_everything_in_order_and_then_the_end() {
    let stream = Stream::new(None);
    let mut reader = stream.read(None);
    stream.mention("a");
    stream.say("b");
    stream.end();
    stream.say("too late");
    assert_eq!(text(&mut reader).await.as_deref(), Some("a"));
    assert_eq!(text(&mut reader).await.as_deref(), Some("b"));
    assert_eq!(text(&mut reader).await, None);
}

#[tokio::test]
async fn a_slow_reader_loses_what_may_be_lost_and_nothing_else() {
    let stream = Stream::new(None);
    stream.say("first");
    for number in 0..1000 {
        stream.mention(number.to_string());
    }
    stream.say("answer");
    stream.end();
    let mut reader = stream.read(None);
    let mut all = Vec::new();
    while let Some(event) = text(&mut reader).await {
        all.push(event);
    }
    assert!(all.len() <= ROOM && all[1] != "0", "{all:?}");
    assert_eq!((all[0].as_str(), all[all.len() - 2].as_str()), ("first", "999"));
    assert_eq!(all.last().unwrap(), "answer");
}

#[tokio::test]
async fn a_kept_stream_is_read_again_from_any_place() {
    let stream = Stream::new(Some(7));
    for said in ["a", "b", "c"] {
        stream.say(said);
    }
    let mut reader = stream.read(None);
    let first = reader.next().await.unwrap();
    assert_eq!(first.id.as_deref(), Some("7-0"));
    drop(reader);
    stream.end();
    let mut again = stream.read(place("7-0").map(|(_, event)| event));
    assert_eq!(text(&mut again).await.as_deref(), Some("b"));
    assert_eq!(text(&mut again).await.as_deref(), Some("c"));
    assert_eq!(text(&mut again).await, None);
}

#[tokio::test]
async fn who_is_sent_away_reads_what_there_is_and_may_come_back() {
    let stream = Stream::primed(1);
    stream.hang_up(Duration::from_millis(500));
    let mut reader = stream.read(None);
    let first = reader.next().await.unwrap();
    assert_eq!((first.id.as_deref(), first.data.len(), first.retry), (Some("1-0"), 0, None));
    assert_eq!(reader.next().await.unwrap().retry, Some(Duration::from_millis(500)));
    assert!(reader.next().await.is_none());
    drop(reader);
    let mut again = stream.read(Some(1));
    stream.say("answer");
    assert_eq!(text(&mut again).await.as_deref(), Some("answer"));
}

#[tokio::test]
async fn of_two_readers_the_later_one_reads_and_the_former_ends() {
    let stream = Stream::new(Some(1));
    stream.say("a");
    let mut former = stream.read(None);
    assert_eq!(text(&mut former).await.as_deref(), Some("a"));
    let waiting = tokio::spawn(async move { (text(&mut former).await, former) });
    tokio::task::yield_now().await;
    let mut later = stream.read(Some(0));
    let (said, former) = waiting.await.unwrap();
    assert_eq!(said, None);
    drop(former);
    assert!(stream.is_read(), "the later one does");
    stream.say("b");
    assert_eq!(text(&mut later).await.as_deref(), Some("b"));
}

#[tokio::test]
async fn who_leaves_trips_the_token() {
    let stream = Stream::new(None);
    let gone = CancellationToken::new();
    let reader = stream.read(None).tripping(gone.clone());
    assert!(stream.is_read() && !gone.is_cancelled());
    drop(reader);
    assert!(!stream.is_read() && gone.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_a_term_says_goodbye_when_it_is_over() {
    let stream = Stream::new(None);
    let left = Some(Duration::from_secs(5));
    let mut reader = stream.read(None).with_goodbye("bye".into()).staying(left);
    assert!(!reader.will_end());
    assert_eq!(text(&mut reader).await.as_deref(), Some("bye"));
    assert_eq!(text(&mut reader).await, None);
}

#[test]
fn an_event_id_names_stream_and_event() {
    assert_eq!(place("3-17"), Some((3, 17)));
    for broken in ["", "3", "-", "3-", "a-1", "1-2-3", "-1-2"] {
        assert_eq!(place(broken), None, "{broken}");
    }
}

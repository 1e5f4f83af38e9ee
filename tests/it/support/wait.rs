//! Waiting for what must come, and no longer than it may take.

use std::time::Duration;

/// How long a test waits for something that must come.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Asks again until there is an answer; fails after [`PATIENCE`].
pub async fn until<T, F: Future<Output = Option<T>>>(ask: impl FnMut() -> F) -> T {
    until_within(PATIENCE, ask).await
}

/// Asks again until there is an answer; fails after `limit`.
pub async fn until_within<T, F: Future<Output = Option<T>>>(
    limit: Duration,
    mut ask: impl FnMut() -> F,
) -> T {
    let asking = async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(limit, asking).await.expect("it came in time")
}

//! The connector's other half: a server elsewhere answers the lines.

use crate::bridge::{Bridge, Gate};
use crate::clock::Clock;
use crate::edge::stdio::{self, Far, LONGEST};

/// Carries what comes on standard input to `gate` and its answers back, to the input's end.
///
/// # Errors
/// In words: what cannot be used.
pub async fn across(gate: Gate) -> Result<(), String> {
    let (bridge, said) = Bridge::open(gate, Clock::System)?;
    let (input, output) = super::standard()?;
    stdio::serve(input, output, &*bridge, said).await;
    bridge.leave().await;
    Ok(())
}

#[async_trait::async_trait]
impl Far for Bridge {
    fn take(&self, line: &[u8]) {
        self.take(line);
    }

    fn lost(&self) {
        self.turn_down(LONGEST);
    }

    async fn room(&self) {
        self.room().await;
    }

    async fn idle(&self) {
        self.idle().await;
    }

    fn close(&self) {
        self.close();
    }
}

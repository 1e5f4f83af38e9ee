//! Whether the store still has what was recorded.

use super::AdminError;
use super::export::kept;
use crate::record::{Head, PublicKey, Report, Verifier};
use crate::store::Store;

/// Records that are read at once.
const PIECE: u32 = 512;

/// Checks the whole record of `tenant`, as it stands now. `pins` are the keys that may sign; `tell` hears how many records
/// were read, of how many.
///
/// # Errors
/// The store cannot be read.
pub async fn verify_store(
    store: &Store,
    tenant: &str,
    pins: Vec<PublicKey>,
    tell: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Report, AdminError> {
    let mut chains = Vec::new();
    for row in store.chains(Some(tenant)).await? {
        chains.push((kept(store, &row).await?, row.head.link));
    }
    let all = chains.iter().map(|(span, _)| (span.to - span.from + 1).unsigned_abs()).sum();
    let mut verifier = Verifier::store(pins, &chains);
    let mut done = 0;
    for (span, _) in &chains {
        let mut next = span.from;
        while next <= span.to && !verifier.done() {
            let records = store.records(span.chain, next, PIECE).await?;
            for record in records.iter().filter(|record| record.seq <= span.to) {
                verifier.record(record);
            }
            done += records.len() as u64;
            tell(done.min(all), all);
            next = records.last().map_or(span.to, |record| record.seq) + 1;
        }
    }
    for head in verifier.asks() {
        if let Some(record) = store.records(head.chain, head.seq, 1).await?.first() {
            verifier.saw(Head { chain: record.chain, seq: record.seq, link: record.link });
        }
    }
    Ok(verifier.finish())
}

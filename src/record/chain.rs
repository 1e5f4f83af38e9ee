//! How records hang together: each link covers the record and all before it.

use super::{ChainId, Digest, Facts, Record};

/// What the first link is made of, with the chain's id; of this form of the chain and no other.
const FIRST: &[u8] = b"sidegate record chain 1\n";

/// The end of a chain, from which it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    id: ChainId,
    next: i64,
    link: Digest,
}

/// Where a chain stood: its last record and the link that covers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub chain: ChainId,
    pub seq: i64,
    pub link: Digest,
}

/// How new records move a chain's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    /// The number of the last record before; none for a chain that begins.
    pub from: Option<i64>,
    pub to: Head,
    /// What the new records take.
    pub bytes: i64,
    /// Nothing follows.
    pub last: bool,
}

impl Chain {
    /// One without records.
    pub fn begin(id: ChainId) -> Self {
        Self { id, next: 0, link: Digest::of_parts(&[FIRST, &id.0.to_be_bytes()]) }
    }

    /// From where it stood.
    pub fn resume(head: Head) -> Self {
        Self { id: head.chain, next: head.seq + 1, link: head.link }
    }

    /// Which it is.
    pub fn id(&self) -> ChainId {
        self.id
    }

    /// The number of the next record.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// The link that the next record follows.
    pub fn link(&self) -> Digest {
        self.link
    }

    /// Its last record; none before the first.
    pub fn head(&self) -> Option<Head> {
        (self.next > 0).then(|| Head { chain: self.id, seq: self.next - 1, link: self.link })
    }

    /// Goes on by a record of which only the digest is known; returns the link that covers it.
    pub fn follow(&mut self, digest: Digest) -> Digest {
        self.link = Digest::of_parts(&[&self.link.0, &digest.0]);
        self.next += 1;
        self.link
    }

    /// Gives `facts` the next place.
    pub fn append(&mut self, facts: Facts) -> Record {
        let digest = Digest::of(&facts.body);
        let seq = self.next;
        let link = self.follow(digest);
        Record { facts, chain: self.id, seq, digest, link }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_goes_on_from_its_head_and_from_digests_alone() {
        let facts = |body: &str| Facts { body: body.to_owned(), ..Facts::default() };
        let mut chain = Chain::begin(ChainId(7));
        assert!(chain.head().is_none());
        let records: Vec<_> =
            ["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"].map(|body| chain.append(facts(body))).into();
        assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), [0, 1, 2]);
        let mut digests = Chain::begin(ChainId(7));
        for record in &records {
            assert_eq!(digests.follow(record.digest), record.link);
        }
        let head = Head { chain: ChainId(7), seq: 1, link: records[1].link };
        assert_eq!(Chain::resume(head).append(facts("{\"a\":3}")), records[2]);
        assert_ne!(Chain::begin(ChainId(8)).link(), Chain::begin(ChainId(7)).link());
    }
}

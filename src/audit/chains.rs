//! This process's chains, one a tenant: gives records their places, and vouches for them now and then.
//!
//! What a plan says counts only once it is committed: until then the chains stand where they stood.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::ledger::{Ledger, Unwritten};
use crate::clock::Millis;
use crate::record::{Advance, Chain, ChainId, Checkpoint, Facts, Head, Record, Signer, Start};

/// The most heads of other chains that a signed record names.
const HEADS: u32 = 100;

/// By how much the clocks of replicas may differ, in milliseconds.
const SKEW: Millis = 10_000;

/// The chains that this process writes.
pub(super) struct Chains {
    /// A UUID of this process.
    process: String,
    signer: Arc<Signer>,
    open: HashMap<String, Open>,
}

#[derive(Clone)]
struct Open {
    chain: Chain,
    /// The end of it that was signed for, and when.
    signed: (i64, Millis),
    ended: bool,
}

/// Whether a plan signs for what it ends with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Signing {
    #[default]
    No,
    /// Each chain that went on.
    Due,
    /// Each chain, and it ends with that.
    Last,
}

/// Records with their places, to be committed together.
#[derive(Default)]
pub(super) struct Plan {
    pub records: Vec<Arc<Record>>,
    /// How far each tenant's chain goes with them.
    pub advances: Vec<(String, Advance)>,
    after: HashMap<String, Open>,
    /// How many of the records are the record's own.
    own: usize,
}

/// How the chains of other processes stand.
#[derive(Default)]
pub(super) struct Others {
    signing: Signing,
    /// Of tenants whose chain begins.
    before: BTreeMap<String, Vec<Head>>,
    /// Of tenants whose chain is signed for.
    beside: BTreeMap<String, Vec<Head>>,
}

impl Open {
    fn is_unsigned(&self) -> bool {
        self.chain.next() > self.signed.0
    }
}

impl Plan {
    /// How many records were asked for.
    pub fn asked(&self) -> usize {
        self.records.len() - self.own
    }

    /// What was asked for, without places.
    pub fn undo(self) -> Vec<Facts> {
        let asked = self.records.into_iter().filter(|record| !record.facts.is_own());
        asked.map(|record| Arc::unwrap_or_clone(record).facts).collect()
    }
}

impl Chains {
    pub fn new(process: String, signer: Arc<Signer>) -> Self {
        Self { process, signer, open: HashMap::new() }
    }

    /// When the next chain is to be signed for, if each is `every` so many milliseconds at the most.
    pub fn due(&self, every: Millis) -> Option<Millis> {
        let unsigned = self.open.values().filter(|open| open.is_unsigned());
        unsigned.map(|open| open.signed.1 + every).min()
    }

    /// Asks how other chains stand, as far as records for `tenants` and `signing` need it.
    ///
    /// # Errors
    /// Where the ledger cannot say.
    pub async fn prepare(
        &self,
        tenants: BTreeSet<&str>,
        signing: Signing,
        ledger: &mut dyn Ledger,
    ) -> Result<Others, Unwritten> {
        let mut others = Others { signing, ..Others::default() };
        for tenant in tenants {
            if self.current(tenant).is_none() {
                let heads = ledger.heads(tenant, 0, HEADS).await?;
                others.before.insert(tenant.to_owned(), heads);
            }
        }
        if signing == Signing::No {
            return Ok(others);
        }
        for (tenant, open) in self.open.iter().filter(|(_, open)| !open.ended) {
            if signing == Signing::Last || open.is_unsigned() {
                let mut heads = ledger.heads(tenant, open.signed.1 - SKEW, HEADS).await?;
                heads.retain(|head| head.chain != open.chain.id());
                others.beside.insert(tenant.clone(), heads);
            }
        }
        Ok(others)
    }

    fn current(&self, tenant: &str) -> Option<&Open> {
        self.open.get(tenant).filter(|open| !open.ended)
    }

    /// Gives `facts`, of the tenants that [`Chains::prepare`] was told, their places, and signs. Nothing has changed
    /// until [`Chains::commit`].
    pub fn plan(&self, facts: Vec<Facts>, others: &Others, now: Millis) -> Plan {
        let mut plan = Plan::default();
        let mut begun = Vec::new();
        for (tenant, heads) in &others.before {
            let mut chain = Chain::begin(ChainId::from_random(rand::random()));
            let start = Start { tenant, at: now, process: &self.process, heads };
            begun.push(Arc::new(chain.append(start.facts(chain.id(), &self.signer))));
            let open = Open { signed: (chain.next(), now), chain, ended: false };
            plan.after.insert(tenant.clone(), open);
        }
        plan.own = begun.len();
        plan.records = begun;
        for facts in facts {
            let tenant = &facts.tenant;
            if !plan.after.contains_key(tenant)
                && let Some(open) = self.current(tenant)
            {
                plan.after.insert(tenant.clone(), open.clone());
            }
            if let Some(open) = plan.after.get_mut(tenant) {
                plan.records.push(Arc::new(open.chain.append(facts)));
            }
        }
        if others.signing != Signing::No {
            self.sign(others, now, &mut plan);
        }
        plan.advances = self.advances(&plan);
        plan
    }

    fn sign(&self, others: &Others, now: Millis, plan: &mut Plan) {
        let last = others.signing == Signing::Last;
        for tenant in others.beside.keys() {
            if !plan.after.contains_key(tenant)
                && let Some(open) = self.current(tenant)
            {
                plan.after.insert(tenant.clone(), open.clone());
            }
        }
        for (tenant, open) in &mut plan.after {
            if !last && !open.is_unsigned() {
                continue;
            }
            let heads = others.beside.get(tenant).map_or(&[][..], Vec::as_slice);
            let checkpoint = Checkpoint { tenant, at: now, heads, last };
            let facts = checkpoint.facts(&open.chain, &self.signer);
            plan.records.push(Arc::new(open.chain.append(facts)));
            plan.own += 1;
            open.signed = (open.chain.next(), now);
            open.ended = last;
        }
    }

    fn advances(&self, plan: &Plan) -> Vec<(String, Advance)> {
        let mut bytes: HashMap<ChainId, i64> = HashMap::new();
        for record in &plan.records {
            *bytes.entry(record.chain).or_default() += record.facts.body.len() as i64;
        }
        let moved = plan.after.iter().filter_map(|(tenant, open)| {
            let to = open.chain.head()?;
            let before = self.open.get(tenant).filter(|before| before.chain.id() == to.chain);
            let from = before.and_then(|before| before.chain.head()).map(|Head { seq, .. }| seq);
            let bytes = bytes.get(&to.chain).copied().unwrap_or_default();
            (from != Some(to.seq)).then(|| (tenant.clone(), Advance { from, to, bytes, last: open.ended }))
        });
        moved.collect()
    }

    /// What was planned has been committed.
    pub fn commit(&mut self, plan: Plan) -> Vec<Arc<Record>> {
        self.open.extend(plan.after);
        plan.records
    }

    /// These chains are not ours any more: what comes next begins new ones.
    pub fn lose(&mut self, lost: &[ChainId]) {
        self.open.retain(|_, open| !lost.contains(&open.chain.id()));
    }
}

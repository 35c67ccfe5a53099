//! Whose the topics of a target cluster are: no two migrations may write into one.
//!
//! Each run claims its topics under the key of the cluster before it touches them. It writes its claim first and looks at those
//! of others then, all strongly consistent: of two runs that claim the same topic at once, whichever wrote last sees the other.
//! Both may; then neither has it, and one that is repeated gets it. A claim holds until its run is over.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use migration::{Error, MigrationId, Result};
use sha2::{Digest, Sha256};

use crate::table::{Item, Key, number};
use crate::write::Write;
use crate::{Journal, RACE_ATTEMPTS};

/// Bytes of a topic's name in a claim: the beginning of its SHA-256. 10,000 topics take 80 kB of the 400 kB that an item may have.
const FINGERPRINT: usize = 8;

/// Names of topics, by their beginnings of a hash.
type Topics = BTreeSet<[u8; FINGERPRINT]>;

/// A claim in the table.
#[derive(Default)]
struct Claim {
    topics: Topics,
    /// Whether no other run had claimed any of the topics.
    held: bool,
    /// How often it was stored. Of two invocations of one run only one stores the next.
    epoch: u64,
}

/// What became of one attempt.
enum Outcome {
    Held,
    /// By whom, and all that it has claimed.
    Taken(MigrationId, Topics),
    /// Another invocation of this run stored a claim meanwhile.
    Raced,
}

impl Claim {
    fn read(item: &Item) -> Self {
        let bytes = item.get("topics").and_then(|value| value.as_b().ok()).map_or(&[][..], AsRef::as_ref);
        let topics = bytes.chunks_exact(FINGERPRINT).filter_map(|bytes| bytes.try_into().ok()).collect();
        let held = item.get("held").and_then(|value| value.as_bool().ok()) == Some(&true);
        Self { topics, held, epoch: number(item, "epoch").unwrap_or_default() }
    }
}

impl Journal {
    /// Claims `topics` of the target with Kafka's cluster id `cluster` for the run, beside what it has there already.
    ///
    /// # Errors
    /// [`ErrorKind::Blocked`](migration::ErrorKind::Blocked), naming topics and run, when another run that is not over has claimed
    /// one of them; then none of `topics` is claimed.
    pub async fn claim_topics(&self, cluster: &str, topics: &[&str]) -> Result<()> {
        let wanted: Topics = topics.iter().map(|topic| fingerprint(topic)).collect();
        for _ in 0..RACE_ATTEMPTS {
            match self.try_to_claim(cluster, &wanted).await? {
                Outcome::Held => return Ok(()),
                Outcome::Taken(rival, theirs) => return Err(self.taken(&rival, &theirs, topics).await),
                Outcome::Raced => {}
            }
        }
        Err(self.lost_races("claim the target's topics"))
    }

    async fn try_to_claim(&self, cluster: &str, wanted: &Topics) -> Result<Outcome> {
        let before = self.own_claim(cluster).await?;
        if before.held && wanted.is_subset(&before.topics) {
            return Ok(Outcome::Held);
        }
        let topics = before.topics.union(wanted).copied().collect();
        let claim = Claim { topics, held: false, epoch: before.epoch + 1 };
        if !self.store_claim(cluster, &claim).await? {
            return Ok(Outcome::Raced);
        }
        let (last, outcome) = match self.rival(cluster, wanted).await? {
            None => (Claim { held: true, ..claim }, Outcome::Held),
            Some((rival, theirs)) if before.held => (before, Outcome::Taken(rival, theirs)),
            Some((rival, theirs)) => (Claim::default(), Outcome::Taken(rival, theirs)),
        };
        let stored = self.store_claim(cluster, &Claim { epoch: claim.epoch + 1, ..last }).await?;
        Ok(if stored { outcome } else { Outcome::Raced })
    }

    async fn taken(&self, rival: &MigrationId, theirs: &Topics, topics: &[&str]) -> Error {
        let mut shared = topics.iter().filter(|topic| theirs.contains(&fingerprint(topic)));
        let (first, more) = (shared.next().copied().unwrap_or_default(), shared.count());
        let phase = self.of(rival).meta().await.map_or_else(|_| "unknown".to_owned(), |meta| meta.phase.to_string());
        let others = if more == 0 { String::new() } else { format!(" and {more} more") };
        let message = format!(
            "migration {rival}, in phase {phase}, copies to topic {first}{others} of this target already: finish it or roll it \
             back, or leave its topics out of this one (topology.exclude), then resume"
        );
        let mut error = Error::blocked(message).in_run(&self.run);
        error.context.topic = Some(first.to_owned());
        error
    }

    /// Another run that is not over and has claimed one of `wanted`, with all that it has claimed.
    async fn rival(&self, cluster: &str, wanted: &Topics) -> Result<Option<(MigrationId, Topics)>> {
        for item in self.query("read who owns the target's topics", &key(cluster, "").pk, "run#").await? {
            let Some(run) = item.get("run").and_then(|run| run.as_s().ok()) else { continue };
            let (run, topics) = (run.parse::<MigrationId>()?, Claim::read(&item).topics);
            if run == self.run || topics.is_disjoint(wanted) {
                continue;
            }
            // One that cannot be read now, since it begins again for example, keeps what it has.
            let over = self.of(&run).find().await.is_ok_and(|meta| meta.is_none_or(|meta| meta.phase.is_terminal()));
            if !over {
                return Ok(Some((run, topics)));
            }
        }
        Ok(None)
    }

    async fn own_claim(&self, cluster: &str) -> Result<Claim> {
        let item = self.get("read what the run owns on the target", &key(cluster, self.run.as_str())).await?;
        Ok(item.as_ref().map(Claim::read).unwrap_or_default())
    }

    /// Stores `claim` unless another invocation has stored one since; whether it did.
    async fn store_claim(&self, cluster: &str, claim: &Claim) -> Result<bool> {
        let bytes = claim.topics.iter().flatten().copied().collect::<Vec<u8>>();
        let write = Write::to(key(cluster, self.run.as_str()))
            .set("run", self.run.as_str())
            .set("held", claim.held)
            .set("epoch", claim.epoch)
            .set("topics", AttributeValue::B(Blob::new(bytes)))
            .if_at_most("epoch", claim.epoch - 1);
        Ok(self.update("claim the target's topics", write).await?.is_some())
    }

    /// The journal of another run in the same table.
    fn of(&self, run: &MigrationId) -> Self {
        Self { run: run.clone(), created_at: None, ..self.clone() }
    }
}

fn key(cluster: &str, run: &str) -> Key {
    Key { pk: format!("target#{cluster}"), sk: format!("run#{run}") }
}

fn fingerprint(topic: &str) -> [u8; FINGERPRINT] {
    let hash: [u8; 32] = Sha256::digest(topic).into();
    std::array::from_fn(|at| hash[at])
}

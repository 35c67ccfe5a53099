//! Removing what a migration made, so that it can begin again under its id: after its configuration has changed in what must not
//! change on the way, or when its journal, its working data or the target are damaged.
//!
//! Removed are the topics that it created on the target, with their records; its working data; the items of its journal. Nothing
//! else on the target is touched, nor is evidence. Whatever cannot be shown to be the migration's own refuses the removal by
//! name, before anything is removed.
//!
//! The order makes every step safe to repeat: a document with what is removed, and the journal's mark; topics; working data; the
//! journal, its own item last. Functions of the removed run may still be at work. They cannot write to the journal any more from
//! the mark on. On the target nothing keeps one from sending what it had begun to a topic of the same name: before the removal
//! ends it waits until none can have anything left to send ([`OUTLIVES`]).

mod decide;
mod look;
mod record;
mod remove;

use std::collections::BTreeSet;
use std::sync::Arc;

use copy::writer::OUTLIVES;
use documents::settings::TopicConfigs;
use documents::{Restart as Document, restart as document};
use journal::{Journal, ProducerId, Remains, RestartLease};
use kafka::Cluster;
use migration::restart::{Removal, RestartAnswer};
use migration::{Config, Error, MigrationId, Phase, Result};
use runtime::{Budget, Host, Run, Store};
use serde_json::{Value, json};

use self::decide::{Decision, Known, decide};
use self::record::Record;

/// What a removal has to do with.
#[derive(Debug)]
pub struct Restart<'a> {
    host: &'a Host,
    id: MigrationId,
    /// Of the run that is removed.
    config: Config,
    journal: Journal,
    /// What is left of the run's own item.
    remains: Option<Remains>,
    /// The run's working data.
    store: Store,
    notes: Vec<String>,
}

/// What is to be removed, and what follows from.
struct Plan {
    removal: Removal,
    record: Record,
}

impl<'a> Restart<'a> {
    /// Reads what there is of the migration `id`. `given` is the configuration that it is to begin again with: it says how to sign
    /// in to the target, and stands in for the migration's own where that cannot be read.
    ///
    /// # Errors
    /// Blocked behind the point of no return, and while producers are frozen; Invalid when there is no configuration.
    pub async fn open(host: &'a Host, id: &MigrationId, given: Option<&Value>) -> Result<Self> {
        let journal = host.journal(id);
        let remains = journal.remains().await?;
        let given = given.map(Config::from_json).transpose()?;
        let own = remains.as_ref().and_then(|remains| Config::from_json(remains.config.as_ref()?).ok());
        let (config, notes) = configuration(own, given)?;
        let store = host.backup(&config, id);
        let restart = Self { host, id: id.clone(), config, journal, remains, store, notes };
        restart.refuse().await?;
        Ok(restart)
    }

    /// Refuses where the target is no copy in the making any more, or where somebody stands still.
    async fn refuse(&self) -> Result<()> {
        let remains = self.remains.clone().unwrap_or_default();
        if remains.committed == Some(true) || remains.phase == Some(Phase::Finalized) {
            return Err(Error::blocked(
                "offsets are committed on the target, which may belong to the clients by now: the migration cannot begin \
                 again. Resume it, or start another one with an id of its own",
            ));
        }
        let is_known = remains.committed.is_some() || remains.restarting.is_some();
        if !is_known && self.began_a_cutover().await? {
            return Err(Error::blocked(format_args!(
                "the journal does not say whether offsets were committed on the target, and {} shows that a cutover had begun: \
                 the migration cannot begin again; start another one with an id of its own",
                self.store.url("cutover/")
            )));
        }
        if self.journal.write_fence().await?.is_some_and(|stored| stored.fence.may_hold()) {
            return Err(Error::blocked(format_args!(
                "the write fence of a cutover still keeps producers from writing to the source: lift it first. `msk-kraft rollback \
                 --migration-id {}` does that, and a migration that is rolled back can begin again",
                self.id
            )));
        }
        let freeze = self.journal.freeze_state().await?;
        if freeze.is_some_and(|freeze| freeze.may_hold_producers()) {
            return Err(Error::blocked(format_args!(
                "producers are FROZEN, or were asked to stop: let them go on against the source first. `msk-kraft rollback \
                 --migration-id {}` does that, and a migration that is rolled back can begin again",
                self.id
            )));
        }
        Ok(())
    }

    async fn began_a_cutover(&self) -> Result<bool> {
        let names = self.store.list("cutover/", None).await?;
        Ok(names.iter().any(|name| !name.starts_with("cutover/rehearsals/")))
    }

    /// What would be removed. Changes nothing.
    ///
    /// # Errors
    /// Unsafe for records that are not the migration's, Blocked for topics that were there before and hold records, or that it
    /// must not delete; otherwise what the target, S3 and the journal give.
    pub async fn removal(&self) -> Result<Removal> {
        Ok(self.plan(&self.target().await?).await?.removal)
    }

    /// Removes it, as far as `budget` allows. Repeated after a stop at any point it goes on.
    ///
    /// # Errors
    /// As [`Restart::removal`]; Fenced when another invocation goes on with it.
    pub async fn remove(&self, budget: Budget) -> Result<RestartAnswer> {
        let target = self.target().await?;
        let plan = self.plan(&target).await?;
        if plan.removal.is_empty() {
            return Ok(RestartAnswer { removal: plan.removal, done: true });
        }
        let lease = self.claim(&plan).await?;
        let removing = remove::Removing { restart: self, target: &target, lease: &lease, budget };
        match removing.carry_out().await {
            Ok(done) => Ok(RestartAnswer { removal: plan.removal, done }),
            Err(stopped) => {
                // Somebody has to act first, and may want to go on with the run as it was.
                if !plan.removal.interrupted && !stopped.removed_something && !stopped.error.kind.is_retryable() {
                    self.journal.abandon_restart(&lease).await?;
                    self.store.delete(std::slice::from_ref(&lease.document)).await?;
                }
                Err(stopped.error)
            }
        }
    }

    async fn target(&self) -> Result<Cluster> {
        self.host.clusters.connect(&self.host.aws, &self.config.target).await
    }

    /// What is to be removed as things are now.
    async fn plan(&self, target: &Cluster) -> Result<Plan> {
        let mark = self.remains.as_ref().and_then(|remains| remains.restarting.as_deref());
        let mut record = match mark {
            Some(mark) => self.marked(mark).await?,
            None => record::read(&self.store, &self.journal, self.remains.as_ref()).await?,
        };
        let wanted: BTreeSet<&Arc<str>> = record.known.topics().collect();
        let Decision { remove, keep } = decide(&record.known, &look::look(target, &wanted).await?)?;
        let names: Vec<Arc<str>> = remove.iter().map(|topic| topic.topic.as_str().into()).collect();
        look::refuse_denied(target, self.config.target.auth.mode, &names).await?;
        let batches = self.remains.as_ref().map_or(0, |remains| remains.batches);
        let removal = Removal {
            migration_id: self.id.clone(),
            phase: self.remains.as_ref().and_then(|remains| remains.phase),
            target: self.config.target.cluster_arn.clone(),
            topics: remove,
            kept: keep,
            working_data: self.store.url(""),
            objects: self.objects().await?.len(),
            journal_items: self.journal.count_items(batches).await?,
            interrupted: mark.is_some(),
            notes: self.notes.iter().cloned().chain(std::mem::take(&mut record.notes)).collect(),
        };
        Ok(Plan { removal, record })
    }

    /// What is on record of a removal that had begun. Its own document says more than working data of which a part is gone.
    async fn marked(&self, mark: &str) -> Result<Record> {
        let document = match documents::read_if_there::<Document>(&self.store, mark).await {
            Ok(Some(document)) => document,
            Err(error) if error.kind.is_retryable() => return Err(error),
            Ok(None) | Err(_) => return record::read(&self.store, &self.journal, self.remains.as_ref()).await,
        };
        let topics = || document.removal.topics.iter();
        let known = Known {
            created: topics().map(|topic| topic.topic.as_str().into()).collect(),
            before: document.had.keys().cloned().collect(),
            unclear: BTreeSet::new(),
            producer: document.producer.map(|(id, epoch)| ProducerId { id, epoch }),
            marked: Some(topics().map(|topic| (topic.topic.as_str().into(), topic.id.clone())).collect()),
        };
        Ok(Record { known, had: document.had, notes: Vec::new() })
    }

    /// Puts on record what is removed, and marks the run.
    async fn claim(&self, plan: &Plan) -> Result<RestartLease> {
        let key = document::key(self.journal.now());
        if !plan.removal.interrupted {
            let events = self.journal.events().await.unwrap_or_default();
            let document = Document {
                removal: plan.removal.clone(),
                producer: plan.record.known.producer.map(|producer| (producer.id, producer.epoch)),
                had: plan.record.had.clone(),
                config: self.config.to_json(),
                journal: events.iter().map(|event| json!(event)).collect(),
            };
            documents::write(&self.store, &key, &document).await?;
        }
        let reason = format!("begins again: what it made is removed, see {}", self.store.url(&key));
        self.journal.claim_restart(self.remains.as_ref(), &key, &reason).await
    }

    /// Names of the objects that go: all but the records of removals, and evidence where it shares the place.
    async fn objects(&self) -> Result<Vec<String>> {
        let evidence = self.host.evidence(&self.config, &self.id);
        let mut names = self.store.list("", None).await?;
        let (own, other) = (self.store.key(""), evidence.key(""));
        let shared = (self.store.bucket() == evidence.bucket()).then(|| other.strip_prefix(&own)).flatten();
        names.retain(|name| !name.starts_with(document::FOLDER) && !is_evidence(name, shared));
        Ok(names)
    }
}

/// Whether the object `name` is evidence, which lies in `place` below the working data when it shares its bucket and prefix. Right
/// beside the working data evidence is what lies in no folder.
fn is_evidence(name: &str, place: Option<&str>) -> bool {
    match place {
        None => false,
        Some("") => !name.contains('/'),
        Some(folder) => name.starts_with(folder),
    }
}

/// The configuration of what is removed, and what there is to know about it.
fn configuration(own: Option<Config>, given: Option<Config>) -> Result<(Config, Vec<String>)> {
    match (own, given) {
        (Some(mut own), Some(given)) => {
            // Passwords change, and listeners: what is given was checked last.
            if own.target.cluster_arn == given.target.cluster_arn {
                own.target = given.target;
            }
            Ok((own, Vec::new()))
        }
        (Some(own), None) => Ok((own, Vec::new())),
        (None, Some(given)) => Ok((
            given,
            vec![
                "the journal does not say which clusters and buckets the migration was started with: what is removed is looked \
                 for where the given configuration says"
                    .to_owned(),
            ],
        )),
        (None, None) => Err(Error::invalid(
            "the journal does not say which clusters and buckets the migration was started with; give it with --config",
        )),
    }
}

/// The configs that topics had on the target before the last run that was removed touched them.
///
/// # Errors
/// What S3 gives, and when that record cannot be read.
pub async fn configs_before(run: &Run<'_>) -> Result<std::collections::BTreeMap<Arc<str>, TopicConfigs>> {
    let Some(newest) = run.store.list(document::FOLDER, None).await?.pop() else { return Ok(Default::default()) };
    Ok(documents::read::<Document>(&run.store, &newest).await?.had)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_beside_the_working_data_is_told_from_it() {
        assert!(!is_evidence("evidence.json", None), "it lies elsewhere");
        for name in ["evidence.json", "evidence-2.json", "bundle.sig", "failure.json"] {
            assert!(is_evidence(name, Some("")), "{name}");
        }
        assert!(!is_evidence("segments/orders/0/1.0.log", Some("")) && !is_evidence("topology/before.json", Some("")));
        assert!(
            is_evidence("proofs/m1/evidence.json", Some("proofs/m1/"))
                && !is_evidence("evidence.json", Some("proofs/m1/"))
        );
    }

    fn config(target: &str, servers: &str) -> Config {
        let cluster = |name: &str| format!("arn:aws:kafka:us-east-1:123456789012:cluster/{name}/uuid-1");
        let bucket = |name: &str| json!({"s3_bucket": name, "s3_prefix": "p/"});
        let config = json!({
            "source": {"cluster_arn": cluster("old"), "auth": {"mode": "plaintext"}},
            "target": {"cluster_arn": cluster(target), "bootstrap_servers": servers, "auth": {"mode": "plaintext"}},
            "backup": bucket("segments"),
            "evidence": bucket("proofs"),
        });
        Config::from_json(&config).unwrap()
    }

    #[test]
    fn what_is_removed_lies_where_the_run_put_it_and_is_signed_in_to_as_is_given() {
        let servers = |own: Option<Config>, given: Option<Config>| {
            let (config, notes) = configuration(own, given)?;
            Ok::<_, Error>((config.target.name().to_owned(), config.target.bootstrap_servers.unwrap(), notes.len()))
        };
        let (own, same, other) = (config("new", "a:1"), config("new", "b:2"), config("newer", "c:3"));
        assert_eq!(servers(Some(own.clone()), Some(same)).unwrap(), ("new".to_owned(), "b:2".to_owned(), 0));
        assert_eq!(servers(Some(own.clone()), Some(other.clone())).unwrap(), ("new".to_owned(), "a:1".to_owned(), 0));
        assert_eq!(servers(Some(own), None).unwrap(), ("new".to_owned(), "a:1".to_owned(), 0));
        assert_eq!(servers(None, Some(other)).unwrap(), ("newer".to_owned(), "c:3".to_owned(), 1));
        assert!(servers(None, None).unwrap_err().message.contains("--config"));
    }
}

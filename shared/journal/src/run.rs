//! A run's own item: what it is and where it stands.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use chrono::{DateTime, Utc};
use migration::{Error, Phase, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::Event;
use crate::schema;
use crate::table::{Item, Key, number};
use crate::write::{Scalar, Write};
use crate::{Journal, RACE_ATTEMPTS, restart};

/// What a run is created from.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRun {
    /// The configuration, without secrets.
    pub config: Value,
    /// Fingerprint of what a resume must find unchanged.
    pub fingerprint: String,
}

/// Outcome of [`Journal::create`].
#[derive(Debug, Clone, PartialEq)]
pub enum Created {
    /// The run was created now.
    New(Meta),
    /// The run was there already, and is left as it is. Its fingerprint may differ from the one that was offered.
    Exists(Meta),
}

/// Producer id with which all records are written to the target (KIP-98).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProducerId {
    /// The id that the target's coordinator gave out.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
}

/// A run as it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Meta {
    /// The phase.
    pub phase: Phase,
    /// Counts transitions, from 1.
    pub version: u64,
    /// The configuration the run was created with.
    pub config: Value,
    /// Fingerprint the run was created with.
    pub fingerprint: String,
    /// When the run was created.
    #[serde(with = "clock::micros")]
    pub created_at: DateTime<Utc>,
    /// Producer id of the target, once it is known.
    pub producer: Option<ProducerId>,
    /// The phase that failed, while the run is in [`Phase::Failed`].
    pub failed_in: Option<Phase>,
    /// Whether the point of no return is passed: an offset was, or may have been, committed on the target.
    pub committed: bool,
    /// Key of the plan that the cutover carries out, from the point of no return on.
    pub plan: Option<String>,
    /// Claims of the run's cutovers so far, see [`CutoverLease`](crate::CutoverLease).
    pub cutover_epoch: u64,
    /// Claims of the run's late records so far, see [`LateLease`](crate::LateLease).
    pub late_epoch: u64,
    /// Step Functions executions started for the run.
    pub executions: u32,
    /// Small facts by name, see [`Journal::set_fact`].
    pub facts: BTreeMap<String, Value>,
}

/// [`Meta`] in the table. JSON documents are kept as text, so that their numbers come back as they were.
#[derive(Debug, Serialize, Deserialize)]
struct MetaItem {
    schema: u32,
    phase: Phase,
    version: u64,
    config: String,
    fingerprint: String,
    #[serde(with = "clock::micros")]
    created_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    producer_id: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    producer_epoch: Option<i16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed_in: Option<Phase>,
    committed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    plan: Option<String>,
    #[serde(default)]
    cutover_epoch: u64,
    #[serde(default)]
    late_epoch: u64,
    executions: u32,
    facts: BTreeMap<String, String>,
}

impl Meta {
    /// Checks that the run may go to `to`: the table of phases, and two rules that need the run's history. A failed run
    /// goes on only where [`Phase::resumes_at`] says, and after the point of no return there is no way back.
    ///
    /// # Errors
    /// [`ErrorKind::Blocked`](migration::ErrorKind::Blocked) says what stands in the way.
    pub fn check_transition(&self, to: Phase) -> Result<()> {
        self.phase.check_transition(to)?;
        if self.committed && matches!(to, Phase::RolledBack | Phase::Tail) {
            return Err(Error::blocked(format_args!(
                "offsets are committed on the target: a migration in phase {} cannot go to {to} any more; resume it",
                self.phase
            )));
        }
        match self.resumes_at() {
            Some(resumes_at) if to != resumes_at && to != Phase::RolledBack => Err(Error::blocked(format_args!(
                "a migration that failed resumes in {resumes_at}, it cannot go to {to}"
            ))),
            _ => Ok(()),
        }
    }

    /// Where a failed run goes on; `None` when it is not failed.
    pub fn resumes_at(&self) -> Option<Phase> {
        self.failed_in.filter(|_| self.phase == Phase::Failed).map(|phase| phase.resumes_at(self.committed))
    }
}

impl Journal {
    /// Creates the run in phase `planned`, together with its first event, or finds it there already.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](migration::ErrorKind::Invalid) when a run of this id has an unknown schema version.
    pub async fn create(&self, new: &NewRun) -> Result<Created> {
        for _ in 0..RACE_ATTEMPTS {
            if let Some(meta) = self.find().await? {
                return Ok(Created::Exists(meta));
            }
            if let Some(meta) = self.try_create(new).await? {
                tracing::info!(run = %self.run, "run created");
                return Ok(Created::New(meta));
            }
        }
        Err(self.lost_races("create the run"))
    }

    async fn try_create(&self, new: &NewRun) -> Result<Option<Meta>> {
        let earlier = self.restarted().await?;
        let meta = MetaItem {
            schema: schema::VERSION,
            phase: Phase::Planned,
            version: 1,
            config: new.config.to_string(),
            fingerprint: new.fingerprint.clone(),
            created_at: self.now(),
            producer_id: None,
            producer_epoch: None,
            failed_in: None,
            committed: false,
            plan: None,
            cutover_epoch: 0,
            late_epoch: 0,
            // Names of executions are numbered on.
            executions: earlier.as_ref().map_or(0, |earlier| earlier.executions),
            facts: BTreeMap::new(),
        };
        let event = Event {
            number: 1,
            from: None,
            to: Phase::Planned,
            at: meta.created_at,
            reason: format!("planned | resume_fp={}", new.fingerprint),
        };
        let put = Put::builder()
            .table_name(&*self.table)
            .set_item(Some(self.item(self.key("meta"), &meta)?))
            .condition_expression("attribute_not_exists(pk)");
        let put = put.build().map_err(|error| self.broken_request(&error))?;
        let mut parts = vec![TransactWriteItem::builder().put(put).build(), self.put_event(&event)?];
        parts.extend(earlier.map(|_| self.note_begun_again()).transpose()?);
        Ok(if self.transact("create the run", parts).await? { Some(self.meta_from(meta)?) } else { None })
    }

    /// The run as it stands.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](migration::ErrorKind::Invalid) when the run does not exist, or was written with a schema
    /// version that this build does not know.
    pub async fn meta(&self) -> Result<Meta> {
        self.find().await?.ok_or_else(|| {
            Error::invalid(format_args!(
                "migration {} does not exist in DynamoDB table {}; check the migration id and the table",
                self.run, self.table
            ))
            .in_run(&self.run)
        })
    }

    pub(crate) async fn find(&self) -> Result<Option<Meta>> {
        let item = self.get("read the run", &self.key("meta")).await?;
        item.map(|item| self.meta_item(item)).transpose()
    }

    pub(crate) fn meta_item(&self, item: Item) -> Result<Meta> {
        // What is being removed is nobody's run any more, and may be damaged.
        self.refuse_restarting(&item)?;
        // Before anything else is read: another version may name or mean things differently.
        match number(&item, "schema") {
            Some(version) if version == u64::from(schema::VERSION) => {
                let item: MetaItem = self.read(item)?;
                self.check_bound(item.created_at)?;
                self.meta_from(item)
            }
            found => Err(self.unknown_schema(found)),
        }
    }

    pub(crate) fn unknown_schema(&self, found: Option<u64>) -> Error {
        Error::invalid(format_args!(
            "migration {} was written with journal schema {}, this build knows {}; go on with the release that started it",
            self.run,
            found.map_or("unknown".to_owned(), |version| version.to_string()),
            schema::VERSION
        ))
        .in_run(&self.run)
    }

    /// Refuses another run of the same id than the one this journal is about.
    fn check_bound(&self, created_at: DateTime<Utc>) -> Result<()> {
        match self.created_at {
            Some(bound) if bound != created_at => Err(Error::fenced(format_args!(
                "migration {} has begun again at {}: what belongs to the run of {} stops",
                self.run,
                clock::timestamp(created_at),
                clock::timestamp(bound)
            ))
            .in_run(&self.run)),
            _ => Ok(()),
        }
    }

    /// A write to the run's own item: of the run that this journal is about, if it is about one.
    pub(crate) fn to_meta(&self) -> Write {
        let write = Write::to(self.key("meta"));
        match self.created_at {
            Some(created_at) => write.if_equal("created_at", created_at),
            None => write,
        }
    }

    fn meta_from(&self, item: MetaItem) -> Result<Meta> {
        let facts = item.facts.iter().map(|(name, text)| Ok((name.clone(), self.json(name, text)?)));
        Ok(Meta {
            phase: item.phase,
            version: item.version,
            config: self.json("config", &item.config)?,
            fingerprint: item.fingerprint,
            created_at: item.created_at,
            producer: item.producer_id.zip(item.producer_epoch).map(|(id, epoch)| ProducerId { id, epoch }),
            failed_in: item.failed_in,
            committed: item.committed,
            plan: item.plan,
            cutover_epoch: item.cutover_epoch,
            late_epoch: item.late_epoch,
            executions: item.executions,
            facts: facts.collect::<Result<_>>()?,
        })
    }

    /// A JSON document of the table.
    pub(crate) fn json<T: DeserializeOwned>(&self, name: &str, text: &str) -> Result<T> {
        serde_json::from_str(text)
            .map_err(|error| Error::internal(format_args!("{name} is not JSON: {error}")).in_run(&self.run))
    }

    /// Counts a further Step Functions execution and returns its number, from 1.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](migration::ErrorKind::Invalid) when the run does not exist.
    pub async fn begin_execution(&self) -> Result<u32> {
        let item = self.update_meta("count the execution", |write| write.add("executions", 1)).await?;
        Ok(item.executions)
    }

    /// Remembers a small fact of the run under `name`; the last write stands. Facts share the run's item, which DynamoDB
    /// limits to 400 KB, so lists belong into S3 and their key here.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](migration::ErrorKind::Invalid) when the run does not exist.
    pub async fn set_fact(&self, name: &str, value: &Value) -> Result<()> {
        let text = value.to_string();
        self.update_meta("store a fact", |write| write.set_entry("facts", name, text.as_str())).await?;
        Ok(())
    }

    /// Replaces the configuration by one of the same fingerprint, so that a resumed run goes by what the operator changed,
    /// such as a longer timeout.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](migration::ErrorKind::Invalid) when the run does not exist.
    pub async fn set_config(&self, config: &Value) -> Result<()> {
        let text = config.to_string();
        self.update_meta("store the configuration", |write| write.set("config", text.as_str())).await?;
        Ok(())
    }

    /// Offers the producer id to write with. The first offer stands; what stands is returned.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](migration::ErrorKind::Invalid) when the run does not exist.
    pub async fn set_producer(&self, offered: ProducerId) -> Result<ProducerId> {
        let write = self
            .to_meta()
            .set("producer_id", offered.id)
            .set("producer_epoch", offered.epoch)
            .if_absent("producer_id")
            .if_exists();
        if self.update("store the producer id", write).await?.is_some() {
            return Ok(offered);
        }
        let stored = self.meta().await?.producer;
        stored.ok_or_else(|| Error::internal("the producer id was neither stored nor found").in_run(&self.run))
    }

    async fn update_meta(&self, action: &str, change: impl FnOnce(Write) -> Write) -> Result<Meta> {
        match self.update(action, change(self.to_meta()).if_exists().if_absent(restart::MARK)).await? {
            Some(item) => self.meta_item(item),
            // Either there is no run or it is being removed, which reading reports, or it was created this very moment.
            None => self.meta().await.and_then(|_| Err(self.lost_races(action))),
        }
    }

    /// The part of a transaction that appends `event`.
    pub(crate) fn put_event(&self, event: &Event) -> Result<TransactWriteItem> {
        let mut item = self.item(self.key(Key::event_sk(event.number)), event)?;
        item.insert("number".into(), event.number.value());
        let put = Put::builder()
            .table_name(&*self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)");
        Ok(TransactWriteItem::builder().put(put.build().map_err(|error| self.broken_request(&error))?).build())
    }

    /// An error of the request itself, before it is sent.
    pub(crate) fn broken_request(&self, error: &dyn std::error::Error) -> Error {
        Error::internal(format_args!("cannot build a request: {error}")).in_run(&self.run)
    }
}

//! Final configs in place of copy-time ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka::{ConfigChange, ConfigEntry, ConfigOp, ConfigSource};
use migration::Result;

use super::port::Target;
use super::{Applied, LOOK_EVERY, LOOKS};
use crate::configs::{TopicConfigs, copying, left_from_copy, restore, same_value};
use crate::settings::commands::Commands;

/// Topics that a line names.
const NAMED: usize = 10;

/// What a topic has.
#[derive(Debug, Clone, Default)]
struct Found {
    /// Set on the topic itself.
    own: TopicConfigs,
    /// In force, wherever it comes from.
    in_force: TopicConfigs,
}

/// What became of one change of a config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// It is as wanted.
    InPlace,
    /// The target made something else of it.
    Otherwise,
    /// It is as it was before.
    NotYet,
}

/// Changes of one topic that the target took.
struct Taken {
    ops: Vec<ConfigOp>,
    before: Option<Found>,
    now: Option<Found>,
}

/// Gives each topic its `wanted` configs and no others.
///
/// # Errors
/// When `target` does not list its topics.
pub(super) async fn put(
    target: &impl Target,
    wanted: &BTreeMap<Arc<str>, TopicConfigs>,
    commands: &Commands,
    applied: &mut Applied,
) -> Result<()> {
    let listed = target.listed().await?;
    let (there, missing): (Vec<_>, Vec<_>) = wanted.keys().cloned().partition(|topic| listed.contains(topic));
    applied.warnings.extend(missing.iter().map(|topic| without_topic(topic, &wanted[topic], commands)));
    let mut before = look(target, &there).await;
    let changes: Vec<_> = there.iter().filter_map(|topic| change(topic, &wanted[topic], before.get(topic))).collect();
    let outcomes = target.alter(&changes).await;
    let mut ops: BTreeMap<_, _> = changes.into_iter().map(|change| (change.topic, change.ops)).collect();
    let (mut taken, mut left) = (BTreeMap::new(), Vec::new());
    for (topic, outcome) in outcomes {
        let (ops, before) = (ops.remove(&topic).unwrap_or_default(), before.remove(&topic));
        match outcome {
            Ok(()) => drop(taken.insert(topic, Taken { ops, before, now: None })),
            Err(error) => {
                applied.warnings.push(refused(&topic, &error, &ops, commands));
                if before.is_none_or(|found| !left_from_copy(&wanted[&topic], &found.own).is_empty()) {
                    left.push(topic);
                }
            }
        }
    }
    applied.configs += taken.len();
    confirm(target, &mut taken).await;
    for (topic, taken) in &taken {
        applied.warnings.extend(taken.lines(topic, commands));
        let now = taken.now.as_ref();
        if now.is_some_and(|found| !left_from_copy(&wanted[topic], &found.own).is_empty()) {
            left.push(topic.clone());
        }
    }
    applied.warnings.extend(unread(&taken));
    applied.warnings.extend(still_copying(&left));
    Ok(())
}

/// What each topic has, without those that the target does not describe.
async fn look(target: &impl Target, topics: &[Arc<str>]) -> BTreeMap<Arc<str>, Found> {
    let described = target.describe(topics).await.into_iter();
    described.filter_map(|(topic, entries)| Some((topic, Found::from(entries.ok()?)))).collect()
}

impl From<Vec<ConfigEntry>> for Found {
    fn from(entries: Vec<ConfigEntry>) -> Self {
        let mut found = Self::default();
        for ConfigEntry { name, value, source, read_only, .. } in entries {
            let Some(value) = value else { continue };
            if source == ConfigSource::DynamicTopic && !read_only {
                found.own.insert(name.clone(), value.clone());
            }
            found.in_force.insert(name, value);
        }
        found
    }
}

/// What to change on a topic, if anything. Of one that the target does not describe all copy-time configs are taken back.
fn change(topic: &Arc<str>, wanted: &TopicConfigs, found: Option<&Found>) -> Option<ConfigChange> {
    let ops = match found {
        Some(found) => restore(wanted, &found.own),
        None => {
            let set = |(name, value): (&String, &String)| ConfigOp::Set { name: name.clone(), value: value.clone() };
            let left = copying(0).into_keys().filter(|name| !wanted.contains_key(name));
            wanted.iter().map(set).chain(left.map(|name| ConfigOp::Delete { name })).collect()
        }
    };
    (!ops.is_empty()).then(|| ConfigChange { topic: topic.clone(), ops })
}

/// Looks at topics until each shows what it took, or something else than before, for a limited number of times.
async fn confirm(target: &impl Target, taken: &mut BTreeMap<Arc<str>, Taken>) {
    for look_number in 0..LOOKS {
        let open = taken.iter().filter(|(_, taken)| taken.is_open()).map(|(topic, _)| topic.clone());
        let open: Vec<_> = open.collect();
        if open.is_empty() {
            return;
        }
        if look_number > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        for (topic, found) in look(target, &open).await {
            if let Some(taken) = taken.get_mut(&topic) {
                taken.now = Some(found);
            }
        }
    }
}

impl Taken {
    fn is_open(&self) -> bool {
        self.now.is_none() || self.ops.iter().any(|op| self.seen(op) == Seen::NotYet)
    }

    fn seen(&self, op: &ConfigOp) -> Seen {
        let Some(now) = &self.now else { return Seen::NotYet };
        let found = now.own.get(op.name());
        let is_wanted = match op {
            ConfigOp::Delete { .. } => found.is_none(),
            ConfigOp::Set { name, value } => {
                now.in_force.get(name).is_some_and(|in_force| same_value(name, value, in_force))
            }
        };
        let was = self.before.as_ref().map(|before| before.own.get(op.name()));
        match is_wanted {
            true => Seen::InPlace,
            false if was.is_some_and(|was| was != found) => Seen::Otherwise,
            false => Seen::NotYet,
        }
    }

    /// What is not as it was set.
    fn lines(&self, topic: &str, commands: &Commands) -> Vec<String> {
        let Some(now) = &self.now else { return Vec::new() };
        let line = |op: &ConfigOp| {
            let (name, set_to) = match op {
                ConfigOp::Set { name, value } => (name, value.as_str()),
                ConfigOp::Delete { name } => (name, "nothing"),
            };
            let found = now.own.get(name).map_or("nothing", String::as_str);
            let shows = match self.seen(op) {
                Seen::InPlace => return None,
                Seen::Otherwise => format!("stores {found} instead"),
                Seen::NotYet => format!("shows {found} for it"),
            };
            let command = commands.alter_topic(topic, std::slice::from_ref(op));
            Some(format!(
                "topic {topic}: config {name} was set to {set_to}; the target took that and {shows}; if that is not what you \
                 want: {command}"
            ))
        };
        self.ops.iter().filter_map(line).collect()
    }
}

fn without_topic(topic: &str, wanted: &TopicConfigs, commands: &Commands) -> String {
    let set: Vec<_> =
        wanted.iter().map(|(name, value)| ConfigOp::Set { name: name.clone(), value: value.clone() }).collect();
    let then = match set.is_empty() {
        true => String::new(),
        false => format!("; once it is there: {}", commands.alter_topic(topic, &set)),
    };
    format!(
        "topic {topic}: its configs are not set, the target does not list it: somebody deleted it there, or an ACL hides it from \
         the principal of target.auth{then}"
    )
}

fn refused(topic: &str, error: &kafka::Error, ops: &[ConfigOp], commands: &Commands) -> String {
    format!("topic {topic}: its configs are not set: {error}; to set them: {}", commands.alter_topic(topic, ops))
}

/// A line about topics that the target does not describe.
fn unread(taken: &BTreeMap<Arc<str>, Taken>) -> Option<String> {
    let unread: Vec<_> = taken.iter().filter(|(_, taken)| taken.now.is_none()).map(|(topic, _)| topic).collect();
    let first = unread.first()?;
    Some(format!(
        "the target took the configs of {} topics and does not describe them, first {first}: whether they are in place is not \
         known; look with `kafka-configs.sh --describe --topic '{first}'`",
        unread.len()
    ))
}

/// A line about topics that still keep what they have to let go.
fn still_copying(topics: &[Arc<str>]) -> Option<String> {
    let named: Vec<_> = topics.iter().take(NAMED).map(|topic| &**topic).collect();
    let more = topics.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!topics.is_empty()).then(|| {
        format!(
            "{} topics still have copy-time configs, under which nothing expires or is compacted and the brokers' disks fill: \
             {}{more}; set theirs with the commands in these warnings",
            topics.len(),
            named.join(", ")
        )
    })
}

//! A fence in a world of one cluster, one journal and one bucket: what is set, what is left, and what is not touched.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use documents::{FenceRules, Object, Objects, PutOnce, fence_rules};
use journal::{CutoverLease, LIFETIME, StoredFence, WriteFence};
use kafka::{AclBinding, AclOperation, AclPermission, AclResource};
use migration::{Error, ErrorKind, Result, TopicPartition};
use write_fence::ports::{Acls, Record};
use write_fence::rules::{allow, deny};
use write_fence::trial::{Trial, try_out, unprovable};
use write_fence::{Claim, Lift, Lifted, lift, lifted_by_hand, raise, settle, standing};

#[derive(Default)]
struct World {
    rules: Mutex<BTreeSet<AclBinding>>,
    record: Mutex<Option<StoredFence>>,
    objects: Mutex<BTreeMap<String, Bytes>>,
    /// Everybody may do everything where no rule is about a topic.
    is_open: bool,
    is_super: bool,
    has_no_authorizer: bool,
    /// ACLs cannot be altered.
    is_refused: AtomicBool,
    /// The next changes of ACLs take effect and are not answered.
    lost: AtomicU64,
    /// Seconds since 1970.
    now: AtomicI64,
    /// How many rules each request removed.
    removals: Mutex<Vec<usize>>,
    /// Looks at leaders until they have heard of what was removed.
    deaf: AtomicU64,
}

impl World {
    fn open() -> Self {
        Self { is_open: true, ..Self::default() }
    }

    fn rules(&self) -> BTreeSet<AclBinding> {
        self.rules.lock().unwrap().clone()
    }

    fn fence(&self) -> WriteFence {
        self.record.lock().unwrap().clone().unwrap().fence
    }

    fn answer(&self) -> Result<()> {
        let taken = self.lost.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |lost| lost.checked_sub(1));
        if taken.is_ok() { Err(Error::transient("no answer")) } else { Ok(()) }
    }

    async fn raise(&self, epoch: u64, topics: &[&str]) -> Result<()> {
        self.raise_in(CutoverLease { version: 7, epoch }, 1, topics, Ok(())).await
    }

    async fn raise_in(&self, lease: CutoverLease, attempt: u32, topics: &[&str], holds: Result<()>) -> Result<()> {
        let topics = topics.iter().map(|topic| Arc::from(*topic)).collect();
        raise(self, self, self, Claim { lease: &lease, attempt }, &topics, async { holds }).await
    }

    async fn lift(&self) -> Result<Lifted> {
        self.lift_of(9).await
    }

    async fn lift_of(&self, version: u64) -> Result<Lifted> {
        lift(async || Ok(Borrowed(self)), self, self, Lift { version, by: "ada" }).await
    }

    /// Raises the fence of the invocation 1, whose answer is lost.
    async fn raise_in_vain(&self) {
        self.lost.store(1, Ordering::SeqCst);
        let lease = CutoverLease { version: 7, epoch: 1 };
        assert_eq!(self.raise_in(lease, 1, &["a"], Ok(())).await.unwrap_err().kind, ErrorKind::Transient);
    }
}

/// The world as a connection to its cluster.
struct Borrowed<'a>(&'a World);

impl Acls for Borrowed<'_> {
    async fn rules(&self) -> Result<Option<Vec<AclBinding>>> {
        Acls::rules(self.0).await
    }

    async fn add(&self, rules: &[AclBinding]) -> Result<()> {
        self.0.add(rules).await
    }

    async fn remove(&self, rules: &[AclBinding]) -> Result<()> {
        self.0.remove(rules).await
    }

    async fn permitted(&self, topics: &[Arc<str>], operation: AclOperation) -> Result<BTreeSet<Arc<str>>> {
        self.0.permitted(topics, operation).await
    }

    async fn unrefused(&self, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, String>> {
        self.0.unrefused(partitions).await
    }

    async fn refusing(&self, topics: &BTreeSet<Arc<str>>) -> Result<BTreeSet<Arc<str>>> {
        self.0.refusing(topics).await
    }
}

impl Acls for World {
    async fn rules(&self) -> Result<Option<Vec<AclBinding>>> {
        Ok((!self.has_no_authorizer).then(|| World::rules(self).into_iter().collect()))
    }

    async fn add(&self, rules: &[AclBinding]) -> Result<()> {
        if self.is_refused.load(Ordering::SeqCst) {
            return Err(Error::blocked("not authorized"));
        }
        self.rules.lock().unwrap().extend(rules.iter().cloned());
        self.answer()
    }

    async fn remove(&self, rules: &[AclBinding]) -> Result<()> {
        if self.is_refused.load(Ordering::SeqCst) {
            return Err(Error::blocked("not authorized"));
        }
        self.removals.lock().unwrap().push(rules.len());
        let gone: BTreeSet<_> = rules.iter().collect();
        self.rules.lock().unwrap().retain(|rule| !gone.contains(rule));
        self.answer()
    }

    async fn permitted(&self, topics: &[Arc<str>], operation: AclOperation) -> Result<BTreeSet<Arc<str>>> {
        let rules = World::rules(self);
        let may = |topic: &&Arc<str>| {
            let about: Vec<_> = rules.iter().filter(|rule| rule.is_about(AclResource::Topic, topic)).collect();
            let denied = about.iter().any(|rule| {
                rule.permission == AclPermission::Deny && rule.principal == "User:*" && rule.operation == operation
            });
            let allowed =
                about.iter().any(|rule| rule.permission == AclPermission::Allow && rule.principal == "User:*");
            self.is_super || (!denied && (allowed || (about.is_empty() && self.is_open)))
        };
        Ok(topics.iter().filter(may).cloned().collect())
    }

    async fn unrefused(&self, _: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, String>> {
        Ok(BTreeMap::new())
    }

    async fn refusing(&self, topics: &BTreeSet<Arc<str>>) -> Result<BTreeSet<Arc<str>>> {
        let taken = self.deaf.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |deaf| deaf.checked_sub(1));
        Ok(if taken.is_ok() { topics.clone() } else { BTreeSet::new() })
    }
}

impl Record for World {
    async fn load(&self) -> Result<Option<StoredFence>> {
        Ok(self.record.lock().unwrap().clone())
    }

    async fn store(&self, edition: Option<u64>, fence: &WriteFence) -> Result<bool> {
        let mut record = self.record.lock().unwrap();
        let holds = record.as_ref().map(|stored| stored.edition) == edition;
        if holds {
            *record = Some(StoredFence { edition: edition.unwrap_or_default() + 1, fence: fence.clone() });
        }
        Ok(holds)
    }

    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.now.load(Ordering::SeqCst), 0).unwrap()
    }
}

impl Objects for World {
    async fn put(&self, name: &str, body: Bytes) -> Result<()> {
        self.objects.lock().unwrap().insert(name.to_owned(), body);
        Ok(())
    }

    async fn put_new(&self, name: &str, body: Bytes) -> Result<PutOnce> {
        let mut objects = self.objects.lock().unwrap();
        if objects.contains_key(name) {
            return Ok(PutOnce::Taken);
        }
        objects.insert(name.to_owned(), body);
        Ok(PutOnce::Stored)
    }

    async fn get(&self, name: &str) -> Result<Option<Object>> {
        let body = self.objects.lock().unwrap().get(name).cloned();
        Ok(body.map(|body| Object { body, metadata: HashMap::new() }))
    }

    fn url(&self, name: &str) -> String {
        format!("memory://{name}")
    }
}

fn reads(topic: &str) -> AclBinding {
    let (operation, permission) = (AclOperation::Read, AclPermission::Allow);
    AclBinding { principal: "User:alice".to_owned(), operation, permission, ..deny(topic) }
}

#[tokio::test(start_paused = true)]
async fn what_was_there_is_there_again_after_the_fence() {
    let world = World::open();
    let before = BTreeSet::from([reads("ruled"), deny("stopped"), allow("stopped"), reads("elsewhere")]);
    world.rules.lock().unwrap().extend(before.clone());
    world.raise(1, &["bare", "ruled", "stopped"]).await.unwrap();
    let set: BTreeSet<_> = world.rules().difference(&before).cloned().collect();
    assert_eq!(set, BTreeSet::from([allow("bare"), deny("bare"), deny("ruled")]));
    assert_eq!(standing(&world, &world).await.unwrap(), set);
    let fence = world.fence();
    assert_eq!((fence.topics, fence.own, fence.foreign), (3, 3, 1));
    assert!(fence.set_at.is_some() && fence.setters.is_empty() && fence.stands());
    assert_eq!(world.lift().await.unwrap(), Lifted::Rules(3));
    assert_eq!(world.rules(), before);
    assert!(!world.fence().may_hold() && world.fence().lifted_by.as_deref() == Some("ada"));
    assert!(standing(&world, &world).await.unwrap().is_empty());
    // Somebody sets the same himself: that is his.
    world.rules.lock().unwrap().insert(deny("bare"));
    assert_eq!(world.lift().await.unwrap(), Lifted::Nothing);
    assert!(world.rules().contains(&deny("bare")));
}

#[tokio::test(start_paused = true)]
async fn where_no_rule_means_nobody_nobody_is_allowed_by_the_fence() {
    let world = World::default();
    world.raise(1, &["bare"]).await.unwrap();
    assert_eq!(world.rules(), BTreeSet::from([deny("bare")]));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_repeated_knows_what_is_its_own() {
    let world = World::open();
    world.lost.store(1, Ordering::SeqCst);
    let lease = CutoverLease { version: 7, epoch: 1 };
    let error = world.raise_in(lease, 1, &["a", "b"], Ok(())).await.unwrap_err();
    assert!(error.kind == ErrorKind::Transient && world.fence().is_set_by(1), "{error}");
    // Another invocation goes on, and a topic is new.
    world.raise(2, &["a", "b", "c"]).await.unwrap();
    assert_eq!((world.rules().len(), world.fence().own), (6, 6));
    assert_eq!(world.lift().await.unwrap(), Lifted::Rules(6));
    assert!(world.rules().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_set_behind_a_removal_is_removed_by_whoever_set_it() {
    let world = World::open();
    world.lost.store(1, Ordering::SeqCst);
    let lease = CutoverLease { version: 7, epoch: 1 };
    world.raise_in(lease, 1, &["a"], Ok(())).await.unwrap_err();
    world.lift().await.unwrap();
    assert!(!world.fence().stands() && world.fence().may_hold(), "one that may still set rules stays on record");
    // The same invocation tries again, in the cutover that was given up.
    let error = world.raise_in(lease, 2, &["a"], Ok(())).await.unwrap_err();
    assert_eq!((error.kind, world.rules().len()), (ErrorKind::Blocked, 0));
    assert!(!world.fence().stands());
    // What it had sent arrives late: whoever enters next removes it.
    world.rules.lock().unwrap().extend([allow("a"), deny("a")]);
    world.lift().await.unwrap();
    assert!(world.rules().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_invocation_that_was_overtaken_sets_nothing() {
    let world = World::open();
    let lease = CutoverLease { version: 7, epoch: 1 };
    let error = world.raise_in(lease, 1, &["a"], Err(Error::fenced("overtaken"))).await.unwrap_err();
    assert_eq!((error.kind, world.rules().len()), (ErrorKind::Fenced, 0));
    assert!(world.fence().setters.is_empty() && world.fence().set_at.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_fence_is_on_record_with_its_rules_before_the_first_is_set() {
    let world = World::open();
    world.is_refused.store(true, Ordering::SeqCst);
    let error = world.raise(3, &["a"]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Blocked);
    let fence = world.fence();
    assert_eq!((&*fence.rules, fence.stands()), (&*fence_rules::key(7, 3, 1, 0), true));
    let listed: FenceRules = documents::read(&world, &fence.rules).await.unwrap();
    assert_eq!(listed.denied, BTreeSet::from(["a".to_owned()]));
    // It stays so until the rules can be removed.
    assert_eq!(world.lift().await.unwrap_err().kind, ErrorKind::Blocked);
    assert!(world.fence().stands());
    world.is_refused.store(false, Ordering::SeqCst);
    world.lift().await.unwrap();
    assert!(!world.fence().may_hold());
}

#[tokio::test(start_paused = true)]
async fn without_an_authorizer_nothing_is_recorded() {
    let world = World { has_no_authorizer: true, ..World::default() };
    let error = world.raise(1, &["a"]).await.unwrap_err();
    assert!(error.kind == ErrorKind::Blocked && error.message.contains("cutover.write_fence none"), "{error}");
    assert!(world.record.lock().unwrap().is_none());
    let never = async || -> Result<Borrowed<'_>> { panic!("nothing is to be lifted, and nobody is to be asked") };
    assert_eq!(lift(never, &world, &world, Lift { version: 9, by: "ada" }).await.unwrap(), Lifted::Nothing);
}

#[tokio::test(start_paused = true)]
async fn a_trial_says_whether_a_fence_would_hold_and_leaves_nothing() {
    let id = "m1".parse().unwrap();
    for (world, expected) in [
        (World::open(), Trial::Binds),
        (World::default(), Trial::Binds),
        (World { is_super: true, ..World::open() }, Trial::DoesNotBind),
        (World { has_no_authorizer: true, ..World::default() }, Trial::NoAuthorizer),
        (World { is_refused: AtomicBool::new(true), ..World::open() }, Trial::Refused("not authorized".to_owned())),
    ] {
        assert_eq!(try_out(&world, &id).await.unwrap(), expected);
        assert!(world.rules().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_topic_on_which_the_migration_may_not_write_anyway_proves_nothing() {
    let world = World::open();
    let topics: BTreeSet<Arc<str>> = ["open", "ruled", "stopped"].map(Arc::from).into();
    world.rules.lock().unwrap().extend([deny("stopped"), allow("stopped")]);
    assert!(unprovable(&world, &topics).await.unwrap().is_empty(), "somebody else's fence is one too");
    world.rules.lock().unwrap().insert(reads("ruled"));
    assert_eq!(unprovable(&world, &topics).await.unwrap(), [Arc::from("ruled")]);
}

#[tokio::test(start_paused = true)]
async fn an_invocation_that_was_cut_off_counts_for_as_long_as_one_may_last() {
    let world = World::open();
    world.raise_in_vain().await;
    world.lift().await.unwrap();
    world.now.store(LIFETIME.num_seconds() - 1, Ordering::SeqCst);
    world.lift().await.unwrap();
    assert!(!world.fence().stands() && world.fence().may_hold());
    // What was on its way all that time is removed once more.
    world.rules.lock().unwrap().extend([allow("a"), deny("a")]);
    world.now.store(LIFETIME.num_seconds(), Ordering::SeqCst);
    world.lift().await.unwrap();
    assert!(!world.fence().may_hold() && world.rules().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_invocation_that_ends_takes_itself_out_and_what_it_set_behind_a_removal_away() {
    let world = World::open();
    world.raise_in_vain().await;
    settle(&world, &world, &world, 2).await.unwrap();
    assert!(world.fence().is_set_by(1), "another one does not speak for it");
    settle(&world, &world, &world, 1).await.unwrap();
    assert!(world.fence().stands() && !world.fence().is_set_by(1) && !world.rules().is_empty());

    let world = World::open();
    world.raise_in_vain().await;
    world.lift().await.unwrap();
    world.rules.lock().unwrap().extend([allow("a"), deny("a")]);
    assert_eq!(settle(&world, &world, &world, 1).await.unwrap_err().kind, ErrorKind::Blocked);
    assert!(!world.fence().may_hold() && world.rules().is_empty());
}

#[tokio::test(start_paused = true)]
async fn producers_are_not_let_go_before_leaders_have_heard_of_it() {
    let world = World::open();
    world.raise(1, &["a", "b"]).await.unwrap();
    world.deaf.store(12, Ordering::SeqCst);
    world.lift().await.unwrap();
    assert_eq!(world.deaf.load(Ordering::SeqCst), 0);
    // Leaders that never hear of it keep nobody for ever.
    let world = World::open();
    world.raise(1, &["a"]).await.unwrap();
    world.deaf.store(u64::MAX, Ordering::SeqCst);
    world.lift().await.unwrap();
    assert!(!world.fence().may_hold());
    // Where somebody else's rule denies it there is nothing to wait for.
    let world = World::open();
    world.raise(1, &["a"]).await.unwrap();
    world.rules.lock().unwrap().insert(kafka::AclBinding { host: "192.0.2.1".to_owned(), ..deny("a") });
    world.deaf.store(12, Ordering::SeqCst);
    let (rule, before) = (reads("a"), world.deaf.load(Ordering::SeqCst));
    world.rules.lock().unwrap().insert(rule);
    world.lift().await.unwrap();
    assert_eq!(world.deaf.load(Ordering::SeqCst), before - 1, "one look, at nothing");
}

#[tokio::test(start_paused = true)]
async fn the_fence_of_a_later_cutover_is_left_to_it() {
    let world = World::open();
    world.raise(1, &["a"]).await.unwrap();
    let error = world.lift_of(6).await.unwrap_err();
    assert!(error.kind == ErrorKind::Fenced && error.message.contains("another cutover"), "{error}");
    assert!(world.fence().stands() && world.rules().contains(&deny("a")));
    world.lift_of(8).await.unwrap();
    assert!(!world.fence().stands());
}

#[tokio::test(start_paused = true)]
async fn thousands_of_rules_go_part_by_part_and_what_is_gone_is_not_removed_again() {
    let world = World::open();
    let topics: Vec<_> = (0..1_200).map(|number| format!("t{number:04}")).collect();
    let topics: Vec<_> = topics.iter().map(String::as_str).collect();
    world.raise(1, &topics).await.unwrap();
    world.now.store(3_600, Ordering::SeqCst);
    // Somebody has removed most of them; a broker that shows what allows alone has to forget both.
    let kept = [deny("t0000"), allow("t0001")];
    world.rules.lock().unwrap().retain(|rule| kept.contains(rule));
    world.lift().await.unwrap();
    assert_eq!(*world.removals.lock().unwrap(), [4]);
    assert!(world.rules().is_empty() && !world.fence().may_hold());

    let world = World::open();
    world.raise(1, &topics).await.unwrap();
    world.lift().await.unwrap();
    assert_eq!(*world.removals.lock().unwrap(), [500, 500, 500, 500, 400]);
    assert!(world.rules().is_empty());

    // All of them by hand, after the right to alter them was taken away.
    let world = World::open();
    world.raise(1, &topics).await.unwrap();
    world.now.store(3_600, Ordering::SeqCst);
    world.rules.lock().unwrap().clear();
    world.is_refused.store(true, Ordering::SeqCst);
    world.lift().await.unwrap();
    assert!(!world.fence().may_hold() && world.removals.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_an_operator_removed_is_on_record_with_his_name() {
    let world = World::open();
    assert!(!lifted_by_hand(&world, "ada").await.unwrap());
    world.raise_in_vain().await;
    assert!(lifted_by_hand(&world, "ada").await.unwrap());
    assert_eq!(world.fence().lifted_by.as_deref(), Some("ada, by hand"));
    assert!(world.fence().may_hold(), "an invocation may still set rules");
    world.now.store(LIFETIME.num_seconds(), Ordering::SeqCst);
    assert!(lifted_by_hand(&world, "grace").await.unwrap() && !lifted_by_hand(&world, "ada").await.unwrap());
    assert_eq!(world.fence().lifted_by.as_deref(), Some("ada, by hand"));
    assert!(!world.fence().may_hold());
}

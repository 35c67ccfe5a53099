//! One invocation's view of the world: ports whose requests take time, get lost, or take effect after all.
//!
//! A request is a task of its own, so that it goes on when whoever sent it is gone.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use copy::ports::{Bucket, Ledger, Ports};
use documents::{Object, Objects, PutOnce};
use journal::{Beat, Claimed, CopyControl, Health, Lease};
use migration::config::Throttle;
use migration::progress::PartitionProgress;
use migration::{BatchId, Error, Phase, Result};
use runtime::Content;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::faults::{Breaks, Fate};
use crate::link::Link;
use crate::world::{Shared, World};

/// Attempts that the AWS SDK makes at a request.
const ATTEMPTS: usize = 3;

/// The ports of one invocation.
#[derive(Debug)]
pub(crate) struct Invocation {
    source: Side<true>,
    target: Side<false>,
    cloud: Cloud,
}

impl Invocation {
    pub(crate) fn new(world: &Shared, number: usize) -> Self {
        Self {
            source: Side::new(world, number),
            target: Side::new(world, number),
            cloud: Cloud { world: world.clone(), number },
        }
    }
}

impl Ports for Invocation {
    type Source = Side<true>;
    type Target = Side<false>;
    type Ledger = Cloud;
    type Bucket = Cloud;

    fn source(&self) -> &Side<true> {
        &self.source
    }

    fn target(&self) -> &Side<false> {
        &self.target
    }

    fn ledger(&self) -> &Cloud {
        &self.cloud
    }

    fn bucket(&self) -> &Cloud {
        &self.cloud
    }
}

/// A client of one of the clusters.
#[derive(Debug)]
pub(crate) struct Side<const SOURCE: bool> {
    pub(crate) world: Shared,
    pub(crate) number: usize,
    /// What this client knows of leaders.
    pub(crate) leaders: Mutex<BTreeMap<usize, usize>>,
    /// Connections for producing, by broker.
    pub(crate) links: Mutex<BTreeMap<usize, Arc<Link>>>,
}

impl<const SOURCE: bool> Side<SOURCE> {
    fn new(world: &Shared, number: usize) -> Self {
        Self { world: world.clone(), number, leaders: Mutex::default(), links: Mutex::default() }
    }
}

impl<const SOURCE: bool> Drop for Side<SOURCE> {
    fn drop(&mut self) {
        self.links.lock().unwrap().values().for_each(|link| link.break_now());
    }
}

/// Sends a request of which nothing is known but its effect. `None` when no answer came.
pub(crate) async fn ask<T: Send + 'static>(
    world: &Shared,
    effect: impl FnOnce(&mut World) -> T + Send + 'static,
) -> Option<T> {
    let fate = {
        let World { dice, faults, .. } = &mut *world.lock();
        Fate::draw(faults, dice)
    };
    let (answer, answered) = oneshot::channel();
    let world = world.clone();
    tokio::spawn(async move {
        sleep(fate.out).await;
        if fate.breaks == Some(Breaks::BeforeEffect) {
            let Some(later) = fate.lingers else { return };
            // The sender learns of the break now, and the effect comes later.
            drop(answer);
            sleep(later).await;
            let world = &mut *world.lock();
            world.saw("late request");
            effect(world);
            return;
        }
        let result = effect(&mut world.lock());
        sleep(fate.back).await;
        if fate.breaks.is_none() {
            let _ = answer.send(result);
        }
    });
    answered.await.ok()
}

/// S3 and DynamoDB as one invocation sees them, through a client that repeats.
#[derive(Debug)]
pub(crate) struct Cloud {
    world: Shared,
    number: usize,
}

impl Cloud {
    /// Repeats a request whose answer was lost, as the SDK does.
    async fn repeat<T: Send + 'static>(&self, effect: impl Fn(&mut World) -> T + Clone + Send + 'static) -> Result<T> {
        for _ in 0..ATTEMPTS {
            if let Some(answer) = ask(&self.world, effect.clone()).await {
                return Ok(answer);
            }
            sleep(Duration::from_millis(50)).await;
        }
        Err(Error::transient("no answer from AWS"))
    }
}

impl Ledger for Cloud {
    async fn phase(&self) -> Result<Phase> {
        self.repeat(|world| world.item.phase).await
    }

    async fn control(&self) -> Result<CopyControl> {
        let control = |world: &mut World| {
            let throttle = world
                .faults
                .bytes_per_second
                .map(|limit| Throttle { bytes_per_second: Some(limit), bytes_per_second_per_broker: Some(limit) });
            CopyControl { wanted: world.item.wanted, generation: 0, throttle }
        };
        self.repeat(control).await
    }

    async fn claim(&self, batch: BatchId, owner: &str) -> Result<Claimed> {
        let (number, owner) = (self.number, owner.to_owned());
        let claim = move |world: &mut World| {
            let claimed = world.item.claim(batch, &owner);
            world.knowledge.claimer = number;
            world.note(|| format!("{number} claims, epoch {}", claimed.lease.epoch));
            claimed
        };
        self.repeat(claim).await
    }

    async fn checkpoint(&self, lease: &mut Lease, partitions: &[PartitionProgress], tail_next: u64) -> Result<()> {
        let (number, held, partitions) = (self.number, lease.clone(), partitions.to_vec());
        let positions: Vec<_> = partitions.iter().map(|part| (part.source_next, part.target_next)).collect();
        let write = {
            let (held, partitions) = (held.clone(), partitions.clone());
            move |world: &mut World| {
                let beside = world.goes_on_beside_a_refusal(&partitions);
                let written = world.item.write(&held, &partitions, tail_next);
                if beside && written {
                    world.saw("went on beside a refused partition");
                }
                world.note(|| format!("{number} checkpoints {positions:?} tail {tail_next}: {written}"));
                written
            }
        };
        if !self.repeat(write).await? {
            self.repeat(move |world| world.item.check_replay(&held, &partitions, tail_next)).await??;
        }
        lease.checkpoints += 1;
        Ok(())
    }

    async fn check_lease(&self, lease: &Lease) -> Result<()> {
        let lease = lease.clone();
        self.repeat(move |world| world.item.check_lease(&lease)).await?
    }

    async fn beat(&self, lease: &Lease, beat: &Beat) -> Result<bool> {
        let (number, lease, beat) = (self.number, lease.clone(), beat.clone());
        let beat = move |world: &mut World| {
            if world.dice.chance(world.faults.refused) {
                return Err(Error::transient("throttled"));
            }
            let taken = world.item.beat(&lease, &beat);
            world.saw(match &beat.health {
                _ if !taken => "beat of an overtaken claim",
                Health::Failing(_) => "beat with an error",
                Health::Well | Health::Unproven => "beat",
            });
            world.note(|| format!("{number} beats, epoch {}: {:?}", lease.epoch, beat.health));
            Ok(taken)
        };
        let told = self.repeat(beat).await.and_then(|told| told);
        if told.is_err() {
            self.world.lock().saw("beat lost");
        }
        told
    }
}

impl Bucket for Cloud {
    async fn put_once(&self, name: &str, content: Content, metadata: HashMap<String, String>) -> Result<PutOnce> {
        let (number, name, body) = (self.number, name.to_owned(), content.concat());
        assert_eq!(content.crc(), crc32c::crc32c(&body), "S3 would refuse {name}");
        let put = move |world: &mut World| {
            if world.dice.chance(world.faults.refused / 4) {
                return Err(Error::transient("409: being written by another invocation"));
            }
            let put = world.objects.put_once(&name, body.clone(), metadata.clone());
            world.note(|| format!("{number} stores {name}, {} bytes: {put:?}", body.len()));
            if put == PutOnce::Taken {
                world.saw("object taken");
            }
            Ok(put)
        };
        self.repeat(put).await?
    }
}

impl Objects for Cloud {
    async fn put(&self, name: &str, body: Bytes) -> Result<()> {
        let name = name.to_owned();
        self.repeat(move |world| world.objects.put(&name, body.clone())).await
    }

    async fn put_new(&self, name: &str, body: Bytes) -> Result<PutOnce> {
        self.put_once(name, body.into(), HashMap::new()).await
    }

    async fn get(&self, name: &str) -> Result<Option<Object>> {
        let name = name.to_owned();
        self.repeat(move |world| world.objects.get(&name)).await
    }

    fn url(&self, name: &str) -> String {
        format!("s3://bucket/{name}")
    }
}

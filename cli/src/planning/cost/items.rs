//! The items of the estimate: how much of what each phase uses.

use migration::report::{Meaning, Plan};
use serde::Serialize;

use super::work::Work;
use super::{GB, STORED_DAYS, TAIL_ROUND_BYTES, TAIL_ROUNDS_PER_SECOND, ZONES};
use crate::planning::Planning;
use crate::planning::prices::RegionPrices;

/// How often a copy function asks the journal how to go on (`copy::engine::rounds`).
const QUESTIONS_PER_SECOND: f64 = 2.0;
/// Transitions of an execution without trouble, outside of its maps (`statemachine/migration.asl.json`).
const TRANSITIONS: f64 = 40.0;

/// A quantity and what it costs.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Item {
    pub(super) service: &'static str,
    pub(super) phase: &'static str,
    what: &'static str,
    pub(super) quantity: f64,
    pub(super) unit: &'static str,
    pub(super) unit_price: f64,
    pub(super) cost: f64,
    meaning: Meaning,
}

/// A service's unit and the price of one.
#[derive(Clone, Copy)]
struct Offer {
    service: &'static str,
    unit: &'static str,
    price: f64,
}

impl Offer {
    fn estimated(self, phase: &'static str, what: &'static str, quantity: f64) -> Item {
        let Self { service, unit, price } = self;
        let cost = rounded(quantity * price);
        let quantity = rounded(quantity);
        Item { service, phase, what, quantity, unit, unit_price: price, cost, meaning: Meaning::Estimated }
    }

    fn at_most(self, phase: &'static str, what: &'static str, quantity: f64) -> Item {
        Item { meaning: Meaning::AtMost, ..self.estimated(phase, what, quantity) }
    }
}

/// What the services offer in one region.
struct Offers {
    memory: Offer,
    invocations: Offer,
    transitions: Offer,
    puts: Offer,
    gets: Offer,
    storage: Offer,
    writes: Offer,
    reads: Offer,
    zones: Offer,
    regions: Offer,
    keys: Offer,
}

impl Offers {
    fn of(prices: &RegionPrices) -> Self {
        let offer = |service, unit, price| Offer { service, unit, price };
        Self {
            memory: offer("Lambda", "GB-s", prices.lambda_gb_second),
            invocations: offer("Lambda", "requests", prices.lambda_million_requests / 1e6),
            transitions: offer("Step Functions", "transitions", prices.states_thousand_transitions / 1e3),
            puts: offer("S3", "PUT requests", prices.s3_thousand_puts / 1e3),
            gets: offer("S3", "GET requests", prices.s3_thousand_gets / 1e3),
            storage: offer("S3", "GB-months", prices.s3_gb_month),
            writes: offer("DynamoDB", "write units", prices.dynamodb_million_writes / 1e6),
            reads: offer("DynamoDB", "read units", prices.dynamodb_million_reads / 1e6),
            zones: offer("between zones", "GB", prices.cross_zone_gb),
            regions: offer("between regions", "GB", prices.cross_region_gb),
            keys: offer("KMS", "requests", prices.kms_ten_thousand_requests / 1e4),
        }
    }
}

/// What the seed uses.
pub(super) fn seed(work: &Work, prices: &RegionPrices) -> Vec<Item> {
    let offers = Offers::of(prices);
    let invocations = work.seed_invocations();
    vec![
        offers.memory.estimated("seed", "copy functions", work.memory(work.function_seconds())),
        offers.invocations.estimated("seed", "invocations", invocations),
        offers.transitions.estimated("seed", "children of the map", 3.0 * invocations),
        offers.puts.estimated("seed", "segments stored", work.segments()),
        offers.storage.estimated("seed", "segments kept", work.bytes / GB * STORED_DAYS / 30.0),
        offers.writes.estimated("seed", "checkpoints", work.seed_checkpoints() * work.writes_per_checkpoint()),
        offers.reads.estimated("seed", "questions how to go on", work.function_seconds() * QUESTIONS_PER_SECOND),
    ]
}

/// The tail, in which something arrives for every batch all the time. What that is adds [`written`].
pub(super) fn tail(work: &Work, prices: &RegionPrices, seconds: f64) -> Vec<Item> {
    let offers = Offers::of(prices);
    let invocations = work.tail_invocations(seconds);
    let rounds = work.batches * seconds * TAIL_ROUNDS_PER_SECOND;
    let memory = work.memory((work.batches + 1.0) * seconds);
    let questions = work.batches * seconds * QUESTIONS_PER_SECOND;
    vec![
        offers.memory.estimated("tail", "copy functions, one for each batch, and the drain", memory),
        offers.invocations.estimated("tail", "invocations", invocations),
        offers.transitions.estimated("tail", "children of the map", 2.0 * invocations + 3.0 * work.batches),
        offers.puts.at_most("tail", "objects stored by rounds that wait for records", rounds),
        offers.writes.at_most("tail", "checkpoints of these rounds", rounds * work.writes_per_checkpoint()),
        offers.reads.estimated("tail", "questions how to go on", questions),
    ]
}

/// What `bytes` add that are written meanwhile: a round of the tail ends as soon as every broker has enough for it.
pub(super) fn written(work: &Work, prices: &RegionPrices, bytes: f64) -> Vec<Item> {
    let offers = Offers::of(prices);
    let rounds = (bytes / TAIL_ROUND_BYTES).ceil();
    vec![
        offers.puts.at_most("tail", "objects stored by rounds that are full", rounds),
        offers.writes.at_most("tail", "checkpoints of these rounds", rounds * work.writes_per_checkpoint()),
        offers.storage.estimated("tail", "segments kept", bytes / GB * STORED_DAYS / 30.0),
    ]
}

/// Precheck, topology, cutover, validation and evidence.
pub(super) fn rest(work: &Work, prices: &RegionPrices) -> Vec<Item> {
    const PHASES: &str = "other phases";
    let offers = Offers::of(prices);
    let seconds = work.functions * work.validate_seconds + work.other_seconds;
    let transitions = TRANSITIONS + 3.0 * work.batches;
    vec![
        offers.memory.estimated(PHASES, "functions of the other phases", work.memory(seconds)),
        offers.transitions.estimated(PHASES, "states outside of maps, and validation", transitions),
        offers.gets.estimated(PHASES, "maps of offsets read for groups", work.partitions),
    ]
}

/// Traffic of `bytes` from the source's leaders to the functions, and from them to the target's leaders. Replication
/// inside a cluster costs nothing (<https://aws.amazon.com/msk/pricing/>).
pub(super) fn traffic(planning: &Planning, plan: &Plan, prices: &RegionPrices, bytes: f64) -> Vec<Item> {
    let Planning { config, deployment, .. } = planning;
    let offers = Offers::of(prices);
    let leg = |what_zone, what_region, region: &str, brokers: usize| {
        let zones = brokers.clamp(1, ZONES) as f64;
        match region == deployment.region {
            true => offers.zones.estimated("seed", what_zone, bytes / GB * (1.0 - 1.0 / zones)),
            false => offers.regions.estimated("seed", what_region, bytes / GB),
        }
    };
    let from = leg(
        "from the source's leaders, of which a function meets those of its own zone for nothing",
        "from the source's region to the functions'",
        config.source.region(),
        plan.source.brokers,
    );
    let to = leg(
        "to the target's leaders, as from the source's",
        "from the functions' region to the target's",
        config.target.region(),
        plan.target.brokers,
    );
    [from, to].into_iter().filter(|item| item.quantity > 0.0).collect()
}

/// Requests of the backup's key: one for each object, less where the bucket has a bucket key.
pub(super) fn keys(items: &[Item], prices: &RegionPrices) -> Vec<Item> {
    let offers = Offers::of(prices);
    let puts = items.iter().filter(|item| item.unit == offers.puts.unit);
    puts.map(|item| offers.keys.at_most(item.phase, "keys of objects, without a bucket key", item.quantity)).collect()
}

/// Four decimals: what is below is noise.
pub(super) fn rounded(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}

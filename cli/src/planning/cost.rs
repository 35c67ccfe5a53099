//! What a migration may cost: quantities from the plan, prices from a table, and every assumption said.

use migration::Phase;
use migration::report::Meaning;
use serde::Serialize;

use super::Planning;
use super::prices::RegionPrices;

/// Memory of a function in MB: one vCPU
/// (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>).
const MEMORY_MB: f64 = 1_769.0;
/// Hours from the end of the seed to the cutover.
const TAIL_HOURS: f64 = 24.0;
/// Days until somebody deletes the segments.
const STORED_DAYS: f64 = 30.0;
/// Rounds that a function of the tail stores in a second when something always arrives (`copy::reader`, 250 ms).
const TAIL_ROUNDS_PER_SECOND: f64 = 4.0;
/// How often a copy function asks the journal how to go on (`copy::engine::rounds`).
const QUESTIONS_PER_SECOND: f64 = 2.0;
/// Bytes of a round of the seed, and of the largest segment (`copy::engine::rounds`).
const ROUND_BYTES: f64 = 16.0 * 1024.0 * 1024.0;
/// Seconds that an invocation works: Lambda's 15 minutes less the reserve (`runtime::budget`).
const WORKING_SECONDS: f64 = 840.0;
/// Partitions in a write unit of the journal: a checkpoint writes a kilobyte for three of them (`journal::batch`).
const PARTITIONS_PER_WRITE: f64 = 3.0;
/// Transitions of an execution without trouble, outside of its maps (`statemachine/migration.asl.json`).
const TRANSITIONS: f64 = 40.0;
/// Zones that a cluster is spread over, at most.
const ZONES: usize = 3;

const GB: f64 = 1e9;
const HOUR: f64 = 3_600.0;

/// `cost-estimate.json`.
#[derive(Debug, Serialize)]
pub(super) struct Cost {
    schema: u32,
    migration_id: String,
    currency: String,
    /// Sum of the items.
    total: f64,
    /// What each hour between seed and cutover adds, at most.
    most_per_hour_of_tail: f64,
    /// What each GB adds that producers write from the plan to the cutover; not in the total.
    per_gb_written_meanwhile: f64,
    items: Vec<Item>,
    assumptions: Vec<Assumption>,
    not_included: [&'static str; 5],
    prices: Source,
}

/// Where prices come from.
#[derive(Debug, Serialize)]
struct Source {
    as_of: String,
    note: String,
    region: String,
    prices_of_region: String,
    table: RegionPrices,
}

/// A quantity and what it costs.
#[derive(Debug, Clone, Serialize)]
struct Item {
    service: &'static str,
    phase: &'static str,
    what: &'static str,
    quantity: f64,
    unit: &'static str,
    unit_price: f64,
    cost: f64,
    meaning: Meaning,
}

/// A number that the plan cannot know.
#[derive(Debug, Serialize)]
struct Assumption {
    name: &'static str,
    value: f64,
    why: &'static str,
}

/// What the items are computed from.
struct Work {
    bytes: f64,
    partitions: f64,
    batches: f64,
    functions: f64,
    seed_seconds: f64,
    validate_seconds: f64,
    other_seconds: f64,
    segment_bytes: f64,
}

impl Work {
    fn of(planning: &Planning) -> Self {
        let plan = &planning.plan;
        let seconds = |wanted: &[Phase]| {
            plan.phases
                .iter()
                .filter(|phase| wanted.contains(&phase.phase))
                .map(|phase| phase.seconds as f64)
                .sum::<f64>()
        };
        Self {
            bytes: plan.estimated_seed_bytes as f64,
            partitions: plan.partitions as f64,
            batches: plan.batches as f64,
            functions: f64::from(plan.estimated_seed.functions),
            seed_seconds: seconds(&[Phase::Seed]),
            validate_seconds: seconds(&[Phase::Validating]),
            other_seconds: seconds(&[Phase::Precheck, Phase::TopologyCopy, Phase::Cutover]),
            segment_bytes: f64::from(planning.config.seed.segment_max_bytes).min(ROUND_BYTES),
        }
    }

    /// Write units of one checkpoint of a batch.
    fn writes_per_checkpoint(&self) -> f64 {
        (self.partitions / self.batches.max(1.0) / PARTITIONS_PER_WRITE).ceil().max(1.0)
    }

    /// Invocations of the copy functions during the seed, and during `tail_seconds` of the tail.
    fn invocations(&self, tail_seconds: f64) -> (f64, f64) {
        let seed = self.batches + (self.functions * self.seed_seconds / WORKING_SECONDS).ceil();
        (seed, (self.batches + 1.0) * (tail_seconds / WORKING_SECONDS).ceil())
    }
}

/// The estimate.
pub(super) fn estimate(planning: &Planning) -> Cost {
    let region = &planning.deployment.region;
    let (of_region, prices) =
        planning.prices.of(region).map_or(("", RegionPrices::default()), |(name, prices)| (name, prices));
    let work = Work::of(planning);
    let mut items = seed(&work, &prices);
    let tail = tail(&work, &prices, TAIL_HOURS * HOUR);
    let hour_of_tail = self::tail(&work, &prices, HOUR);
    items.extend(tail);
    items.extend(rest(&work, &prices));
    let traffic = traffic(planning, &prices, work.bytes);
    items.extend(traffic.iter().cloned());
    if planning.config.backup.kms_key_arn.is_some() {
        items.extend(keys(&items, &prices));
    }
    items.retain(|item| item.quantity > 0.0);
    let written: f64 = self::traffic(planning, &prices, GB).iter().map(|item| item.cost).sum();
    Cost {
        schema: super::SCHEMA,
        migration_id: planning.line.migration_id.to_string(),
        currency: planning.prices.currency.clone(),
        total: rounded(items.iter().map(|item| item.cost).sum()),
        most_per_hour_of_tail: rounded(hour_of_tail.iter().map(|item| item.cost).sum()),
        per_gb_written_meanwhile: rounded(written + prices.s3_gb_month * STORED_DAYS / 30.0),
        items,
        assumptions: assumptions(),
        not_included: [
            "both MSK clusters, which run meanwhile",
            "what producers write between the plan and the cutover (per_gb_written_meanwhile, and the tail's items)",
            "logs and metrics in CloudWatch",
            "VPC endpoints, NAT and transit gateways",
            "repeats after faults",
        ],
        prices: Source {
            as_of: planning.prices.as_of.clone(),
            note: planning.prices.note.clone(),
            region: region.clone(),
            prices_of_region: of_region.to_owned(),
            table: prices,
        },
    }
}

fn seed(work: &Work, prices: &RegionPrices) -> Vec<Item> {
    let (invocations, _) = work.invocations(0.0);
    let rounds = (work.bytes / ROUND_BYTES).ceil() + work.batches;
    let puts = (work.bytes / work.segment_bytes).ceil().max(work.partitions);
    let item =
        |service, what, quantity, unit, price| item(service, "seed", what, quantity, unit, price, Meaning::Estimated);
    vec![
        item(
            "Lambda",
            "copy functions",
            gb_seconds(work.functions * work.seed_seconds),
            "GB-s",
            prices.lambda_gb_second,
        ),
        item("Lambda", "invocations", invocations, "requests", prices.lambda_million_requests / 1e6),
        item(
            "Step Functions",
            "children of the map",
            3.0 * invocations,
            "transitions",
            prices.states_thousand_transitions / 1e3,
        ),
        item("S3", "segments stored", puts, "PUT requests", prices.s3_thousand_puts / 1e3),
        item("S3", "segments kept", work.bytes / GB * STORED_DAYS / 30.0, "GB-months", prices.s3_gb_month),
        item(
            "DynamoDB",
            "checkpoints",
            rounds * work.writes_per_checkpoint(),
            "write units",
            prices.dynamodb_million_writes / 1e6,
        ),
        item(
            "DynamoDB",
            "questions how to go on",
            work.functions * work.seed_seconds * QUESTIONS_PER_SECOND,
            "read units",
            prices.dynamodb_million_reads / 1e6,
        ),
    ]
}

/// The tail at its most expensive: something arrives for every batch all the time.
fn tail(work: &Work, prices: &RegionPrices, seconds: f64) -> Vec<Item> {
    let (_, invocations) = work.invocations(seconds);
    let rounds = work.batches * seconds * TAIL_ROUNDS_PER_SECOND;
    let item =
        |service, what, quantity, unit, price, meaning| item(service, "tail", what, quantity, unit, price, meaning);
    let transitions = 2.0 * invocations + 3.0 * work.batches;
    vec![
        item(
            "Lambda",
            "copy functions, one for each batch, and the drain",
            gb_seconds((work.batches + 1.0) * seconds),
            "GB-s",
            prices.lambda_gb_second,
            Meaning::Estimated,
        ),
        item(
            "Lambda",
            "invocations",
            invocations,
            "requests",
            prices.lambda_million_requests / 1e6,
            Meaning::Estimated,
        ),
        item(
            "Step Functions",
            "children of the map",
            transitions,
            "transitions",
            prices.states_thousand_transitions / 1e3,
            Meaning::Estimated,
        ),
        item("S3", "objects stored", rounds, "PUT requests", prices.s3_thousand_puts / 1e3, Meaning::AtMost),
        item(
            "DynamoDB",
            "checkpoints",
            rounds * work.writes_per_checkpoint(),
            "write units",
            prices.dynamodb_million_writes / 1e6,
            Meaning::AtMost,
        ),
        item(
            "DynamoDB",
            "questions how to go on",
            work.batches * seconds * QUESTIONS_PER_SECOND,
            "read units",
            prices.dynamodb_million_reads / 1e6,
            Meaning::Estimated,
        ),
    ]
}

/// Precheck, topology, cutover, validation and evidence.
fn rest(work: &Work, prices: &RegionPrices) -> Vec<Item> {
    let seconds = work.functions * work.validate_seconds + work.other_seconds;
    let item = |service, what, quantity, unit, price| {
        item(service, "other phases", what, quantity, unit, price, Meaning::Estimated)
    };
    vec![
        item("Lambda", "functions of the other phases", gb_seconds(seconds), "GB-s", prices.lambda_gb_second),
        item(
            "Step Functions",
            "states outside of maps, and validation",
            TRANSITIONS + 3.0 * work.batches,
            "transitions",
            prices.states_thousand_transitions / 1e3,
        ),
        item("S3", "maps of offsets read for groups", work.partitions, "GET requests", prices.s3_thousand_gets / 1e3),
    ]
}

/// Traffic of `bytes` from the source's leaders to the functions, and from them to the target's leaders. Replication
/// inside a cluster costs nothing (<https://aws.amazon.com/msk/pricing/>).
fn traffic(planning: &Planning, prices: &RegionPrices, bytes: f64) -> Vec<Item> {
    let Planning { config, plan, deployment, .. } = planning;
    let leg = |what_zone, what_region, region: &str, brokers: usize| {
        let zones = brokers.clamp(1, ZONES) as f64;
        match region == deployment.region {
            true => ("between zones", what_zone, bytes / GB * (1.0 - 1.0 / zones), prices.cross_zone_gb),
            false => ("between regions", what_region, bytes / GB, prices.cross_region_gb),
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
    [from, to]
        .map(|(service, what, gb, price)| item(service, "seed", what, gb, "GB", price, Meaning::Estimated))
        .into_iter()
        .filter(|item| item.quantity > 0.0)
        .collect()
}

/// Requests of the backup's key: one for each object, less where the bucket has a bucket key.
fn keys(items: &[Item], prices: &RegionPrices) -> Vec<Item> {
    let puts = items.iter().filter(|item| item.unit == "PUT requests");
    let key = |item: &Item| {
        let price = prices.kms_ten_thousand_requests / 1e4;
        self::item(
            "KMS",
            item.phase,
            "keys of objects, without a bucket key",
            item.quantity,
            "requests",
            price,
            Meaning::AtMost,
        )
    };
    puts.map(key).collect()
}

fn item(
    service: &'static str,
    phase: &'static str,
    what: &'static str,
    quantity: f64,
    unit: &'static str,
    unit_price: f64,
    meaning: Meaning,
) -> Item {
    Item {
        service,
        phase,
        what,
        quantity: rounded(quantity),
        unit,
        unit_price,
        cost: rounded(quantity * unit_price),
        meaning,
    }
}

fn gb_seconds(seconds: f64) -> f64 {
    seconds * MEMORY_MB / 1_024.0
}

/// Four decimals: what is below is noise.
fn rounded(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}

fn assumptions() -> Vec<Assumption> {
    let assumption = |name, value, why| Assumption { name, value, why };
    vec![
        assumption("function_memory_mb", MEMORY_MB, "one vCPU; the deployment decides"),
        assumption("tail_hours", TAIL_HOURS, "from the end of the seed to the cutover; you decide"),
        assumption("stored_days", STORED_DAYS, "until you delete the segments in the backup bucket"),
        assumption(
            "tail_rounds_per_second",
            TAIL_ROUNDS_PER_SECOND,
            "the most: something arrives for every batch all the time",
        ),
        assumption(
            "zones",
            ZONES as f64,
            "brokers and functions are spread evenly over as many, or over one for each broker",
        ),
        assumption("working_seconds", WORKING_SECONDS, "of an invocation, before the next one takes over"),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn cost(change: impl FnOnce(&mut Planning)) -> Cost {
        let mut planning = sample::planning();
        change(&mut planning);
        estimate(&planning)
    }

    fn of(cost: &Cost, service: &str) -> f64 {
        cost.items.iter().filter(|item| item.service == service).map(|item| item.cost).sum()
    }

    #[test]
    fn the_total_is_the_sum_of_its_items() {
        let cost = cost(|_| ());
        let sum: f64 = cost.items.iter().map(|item| item.cost).sum();
        assert!((cost.total - sum).abs() < 1e-4, "{} and {sum}", cost.total);
        for item in &cost.items {
            assert!((item.cost - item.quantity * item.unit_price).abs() < 0.001, "{item:?}");
        }
        for service in ["Lambda", "Step Functions", "S3", "DynamoDB", "between zones", "KMS"] {
            assert!(of(&cost, service) > 0.0, "{service}");
        }
    }

    #[test]
    fn a_terabyte_costs_what_two_thirds_of_it_between_zones_cost() {
        let cost = cost(|planning| planning.plan.estimated_seed_bytes = 1_000_000_000_000);
        let expected = 2.0 * 1_000.0 * (2.0 / 3.0) * 0.02;
        assert!((of(&cost, "between zones") - expected).abs() < 0.01, "{}", of(&cost, "between zones"));
    }

    #[test]
    fn another_region_is_another_price_and_no_zones() {
        let cost = cost(|planning| {
            let source = &mut planning.config.source.cluster_arn;
            *source = source.replace("us-east-1", "eu-west-1");
        });
        let regions: Vec<_> = cost.items.iter().filter(|item| item.service == "between regions").collect();
        assert_eq!(regions.len(), 1);
        assert!(of(&cost, "between zones") > 0.0, "the target's side stays in its region");
    }

    #[test]
    fn prices_of_another_table_count() {
        let cheap = cost(|_| ()).total;
        let dear = cost(|planning| {
            for prices in planning.prices.regions.values_mut() {
                prices.lambda_gb_second *= 10.0;
            }
        });
        assert!(dear.total > cheap * 2.0, "{} and {cheap}", dear.total);
    }

    #[test]
    fn a_region_without_prices_is_said() {
        let cost = cost(|planning| planning.deployment.region = "mars-north-1".to_owned());
        assert_eq!((cost.prices.region.as_str(), cost.prices.prices_of_region.as_str()), ("mars-north-1", "us-east-1"));
    }

    #[test]
    fn an_hour_of_tail_is_its_share_of_the_whole_tail() {
        let cost = cost(|_| ());
        let tail: f64 =
            cost.items.iter().filter(|item| item.phase == "tail" && item.service != "KMS").map(|item| item.cost).sum();
        let share = tail / TAIL_HOURS;
        assert!((cost.most_per_hour_of_tail / share - 1.0).abs() < 0.05, "{} and {share}", cost.most_per_hour_of_tail);
    }
}

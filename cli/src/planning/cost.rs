//! What a migration may cost: quantities from the plan, prices from a table, and every assumption said.

mod items;
mod work;

use items::{Item, keys, rest, rounded, seed, tail, traffic, written};
use migration::report::Plan;
use serde::Serialize;
use work::{HOUR, Work};

use super::Planning;
use super::prices::RegionPrices;

/// Memory of a function in MB: one vCPU
/// (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>).
const MEMORY_MB: f64 = 1_769.0;
/// Hours from the end of the seed to the cutover.
const TAIL_HOURS: f64 = 24.0;
/// Days until somebody deletes the segments.
const STORED_DAYS: f64 = 30.0;
/// Rounds that a function of the tail stores in a second when something always arrives, but not so much that a round is
/// worth ending early: brokers wait 250 ms (`copy::reader`).
const TAIL_ROUNDS_PER_SECOND: f64 = 4.0;
/// Bytes that end a round of the tail before that (`copy::reader`).
const TAIL_ROUND_BYTES: f64 = 256.0 * 1024.0;
/// Seconds that an invocation works: Lambda's 15 minutes less the reserve (`runtime::budget`).
const WORKING_SECONDS: f64 = 840.0;
/// Zones that a cluster is spread over, at most.
const ZONES: usize = 3;

const GB: f64 = 1e9;

/// `cost-estimate.json`.
#[derive(Debug, Serialize)]
pub(super) struct Cost {
    schema: u32,
    migration_id: String,
    currency: String,
    /// Sum of the items.
    total: f64,
    /// What each hour between seed and cutover adds, at most, beside what is written meanwhile.
    most_per_hour_of_tail: f64,
    /// What each GB adds at most that producers write from the plan to the cutover; not in the total.
    per_gb_written_meanwhile: f64,
    items: Vec<Item>,
    assumptions: Vec<Assumption>,
    not_included: [&'static str; 6],
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

/// A number that the plan cannot know.
#[derive(Debug, Serialize)]
struct Assumption {
    name: &'static str,
    value: f64,
    why: &'static str,
}

/// The estimate for `plan`.
pub(super) fn estimate(planning: &Planning, plan: &Plan) -> Cost {
    let region = &planning.deployment.region;
    let (of_region, prices) =
        planning.prices.of(region).map_or(("", RegionPrices::default()), |(name, prices)| (name, prices));
    let work = Work::of(planning, plan);
    let mut items = seed(&work, &prices);
    items.extend(tail(&work, &prices, TAIL_HOURS * HOUR));
    items.extend(rest(&work, &prices));
    items.extend(traffic(planning, plan, &prices, work.bytes));
    let keyed = planning.config.backup.kms_key_arn.is_some();
    let with_keys = |mut items: Vec<Item>| {
        if keyed {
            items.extend(keys(&items, &prices));
        }
        items.retain(|item| item.quantity > 0.0);
        items
    };
    let sum = |items: &[Item]| rounded(items.iter().map(|item| item.cost).sum());
    let items = with_keys(items);
    let hour = with_keys(tail(&work, &prices, HOUR));
    let mut of_a_gb = with_keys(written(&work, &prices, GB));
    of_a_gb.extend(traffic(planning, plan, &prices, GB));
    Cost {
        schema: super::SCHEMA,
        migration_id: planning.line.migration_id.to_string(),
        currency: planning.prices.currency.clone(),
        total: sum(&items),
        most_per_hour_of_tail: sum(&hour),
        per_gb_written_meanwhile: sum(&of_a_gb),
        items,
        assumptions: assumptions(),
        not_included: [
            "both MSK clusters, which run meanwhile",
            "what producers write between the plan and the cutover (per_gb_written_meanwhile)",
            "logs and metrics in CloudWatch",
            "the secrets of the run, and requests to Secrets Manager",
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

fn assumptions() -> Vec<Assumption> {
    let assumption = |name, value, why| Assumption { name, value, why };
    vec![
        assumption("function_memory_mb", MEMORY_MB, "one vCPU; the deployment decides"),
        assumption("tail_hours", TAIL_HOURS, "from the end of the seed to the cutover; you decide"),
        assumption("stored_days", STORED_DAYS, "until you delete the segments in the backup bucket"),
        assumption(
            "tail_rounds_per_second",
            TAIL_ROUNDS_PER_SECOND,
            "something arrives for every batch all the time; more are stored where more than 1 MiB a second is written for \
             one, one for each 256 KiB, which per_gb_written_meanwhile has",
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
        estimate(&planning, planning.plan.as_ref().unwrap())
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
        let cost = cost(|planning| planning.plan.as_mut().unwrap().estimated_seed_bytes = 1_000_000_000_000);
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
    fn what_is_written_meanwhile_costs_a_round_for_each_answer_that_is_full() {
        let written = |key: bool| {
            let cost = cost(|planning| {
                planning.config.backup.kms_key_arn.take_if(|_| !key);
            });
            cost.per_gb_written_meanwhile
        };
        let prices = sample::planning().prices.of("us-east-1").unwrap().1;
        let rounds = GB / TAIL_ROUND_BYTES;
        // 19 partitions in one batch: seven write units a checkpoint.
        let round = prices.s3_thousand_puts / 1e3 + 7.0 * prices.dynamodb_million_writes / 1e6;
        let expected = rounds * round + prices.s3_gb_month + 2.0 * (2.0 / 3.0) * prices.cross_zone_gb;
        assert!((written(false) - expected).abs() < 1e-3, "{} and {expected}", written(false));
        let keys = rounds * prices.kms_ten_thousand_requests / 1e4;
        assert!((written(true) - written(false) - keys).abs() < 1e-3, "{}", written(true));
    }

    #[test]
    fn an_hour_of_tail_is_its_share_of_the_whole_tail() {
        let cost = cost(|_| ());
        let tail: f64 = cost.items.iter().filter(|item| item.phase == "tail").map(|item| item.cost).sum();
        let share = tail / TAIL_HOURS;
        assert!((cost.most_per_hour_of_tail / share - 1.0).abs() < 0.05, "{} and {share}", cost.most_per_hour_of_tail);
    }
}

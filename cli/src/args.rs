//! The command line: verbs, flags, and their help.

mod finalize;
mod plan;
mod unfence;

use std::num::NonZeroU64;
use std::path::PathBuf;

use bytesize::ByteSize;
use clap::{Args, Parser, Subcommand, ValueEnum};
use journal::GateName;
use migration::MigrationId;
use migration::config::Throttle;

pub(crate) use finalize::FinalizeArgs;
pub(crate) use plan::{PlanArgs, PlanFormat};
pub(crate) use unfence::UnfenceArgs;

/// What every `--help` of the whole program ends with.
const ENVIRONMENT: &str = "\
Exit codes:
  0    done, or the migration got where the verb takes it
  1    failed; stderr says why, and what to do
  2    the command line cannot be used
  10   resume: the migration waits for you; stderr names the next_command
  130  interrupted; a migration under way goes on in AWS

Environment:
  MSK_KRAFT_DEPLOYMENT         name of the deployment, as --deployment
  MSK_KRAFT_STATE_MACHINE_ARN  state machine of the migrations      (these four override
  MSK_KRAFT_TABLE              DynamoDB table of the journal         what the deployment
  MSK_KRAFT_FUNCTION_PREFIX    what the functions' names begin with  says of itself)
  MSK_KRAFT_FUNCTION_QUALIFIER alias by which functions are invoked
  RUST_LOG                     log level on stderr [default: warn]
  AWS_*                        region and credentials, as everywhere

Credentials that the configuration refers to are kept in Secrets Manager until the migration is finalized or rolled back.
Data goes to stdout, everything else to stderr.";

/// Migrates an MSK cluster from ZooKeeper to a KRaft cluster.
///
/// The migration runs in AWS, as a state machine; these verbs start it, watch it through its journal and decide where it
/// waits for you: execute, cutover, cutover-ack, finalize.
#[derive(Debug, Parser)]
#[command(name = "msk-kraft", version, after_help = ENVIRONMENT, max_term_width = 120)]
pub(crate) struct Cli {
    /// Name of the deployment [default: what the environment describes, else msk-kraft]
    #[arg(long, global = true, env = "MSK_KRAFT_DEPLOYMENT", value_name = "NAME", hide_env = true)]
    pub(crate) deployment: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show what a migration would create and copy, without touching anything
    #[command(after_help = plan::HELP)]
    Plan(PlanArgs),
    /// Check both clusters and AWS, read-only; exit code 1 when there is a blocker
    #[command(after_help = "\
Changes nothing but one probe object under backup.s3_prefix. Findings come with their cause and a fix, blockers first, as a
table on a terminal and one on a line elsewhere; docs/PRECHECK_CODES.md explains each code. Exit code 0 says that there is
no blocker, warnings or not.

Examples:
  msk-kraft precheck --config migration.yaml
  msk-kraft precheck --config migration.yaml --output json > precheck.json
  msk-kraft precheck --config migration.yaml --output json | jq '.findings[] | select(.severity == \"blocker\")'")]
    Precheck(PrecheckArgs),
    /// Start a migration and follow it until its data is caught up (drain_ready)
    #[command(after_help = "\
Prechecks first, and starts nothing when there is a blocker. Blocks until drain_ready. With the id of a migration that
exists already it does what resume does; when that one is finalized or rolled back it starts nothing (exit code 1).

With --force-restart a migration begins again under its id: with other clusters, buckets or topics, or because its journal, its
working data or the target are damaged. What it made is removed: the topics that it created on the target, with their records, its
working data and its journal. All of it is said first by name and number, and you are asked. Refused once offsets are committed
on the target, and when a topic there holds anything that the migration did not write.

Examples:
  msk-kraft execute --config migration.yaml --journal-dir ./journal
  msk-kraft execute --config migration.yaml --migration-id prod-to-kraft
  msk-kraft execute --config other-topics.yaml --migration-id prod-to-kraft --force-restart")]
    Execute(ExecuteArgs),
    /// Follow a migration again, and start it anew where it stopped
    #[command(after_help = "\
Exit code 10 says that the migration waits for you; stderr names the next_command. Where the newest rehearsal of the cutover has
blockers and --config differs from what the migration runs with, another execution takes that up. With --force-restart it begins
again as with execute; without --config with the configuration that it has.

Examples:
  msk-kraft resume --config migration.yaml --migration-id prod-to-kraft
  msk-kraft resume --migration-id prod-to-kraft --force-restart")]
    Resume(ResumeArgs),
    /// Show where a migration stands: phase, lag, open gate, what runs, what comes next
    #[command(after_help = "\
While something is copied the source is asked for its lag of now; where it cannot be, the lag is the one that the copy saw last,
and says so with its age.

Examples:
  msk-kraft status --migration-id prod-to-kraft
  watch -n 10 msk-kraft status --migration-id prod-to-kraft
  msk-kraft status --migration-id prod-to-kraft --output json | jq .lag")]
    Status(StatusArgs),
    /// Freeze producers, copy the rest, translate consumer offsets (from drain_ready)
    #[command(after_help = "\
Without cutover.producer_freeze_webhook in the configuration you are asked to freeze the producers, so it needs a
terminal. Returns when clients can be switched. Exit code 1 says that the cutover failed, and whether producers go on.

With --rehearse everything that a cutover depends on is tried or decided while producers go on, and stored; exit code 1
says that a cutover would be refused. A cutover approves the newest rehearsal, or makes one first.

Examples:
  msk-kraft cutover --rehearse --migration-id prod-to-kraft
  msk-kraft cutover --rehearse --migration-id prod-to-kraft --output json | jq '.findings[] | select(.weight == \"blocker\")'
  msk-kraft cutover --config migration.yaml --migration-id prod-to-kraft")]
    Cutover(CutoverArgs),
    /// Confirm that clients run against the target (from awaiting_client_switch)
    #[command(after_help = "\
Example:
  msk-kraft cutover-ack --config migration.yaml --migration-id prod-to-kraft")]
    CutoverAck(RunArgs),
    /// Give a migration up, before offsets are committed on the target
    #[command(after_help = "\
Possible until the cutover's point of no return, also while producers are frozen: the cutover is given up first, and they
go on. Topics and data on the target stay: delete them by hand.

With --by-hand neither the freeze webhook nor the source is asked, because you have let producers go and removed the ACLs of a
write fence yourself; the journal says that it was you. It works on a migration that is rolled back, too.

Examples:
  msk-kraft rollback --config migration.yaml --migration-id prod-to-kraft
  msk-kraft rollback --by-hand --migration-id prod-to-kraft")]
    Rollback(RollbackArgs),
    /// Validate the target and store the signed evidence (from validating)
    #[command(after_help = finalize::HELP)]
    Finalize(FinalizeArgs),
    /// Remove the ACLs that keep everybody from writing to the source, after the cutover
    #[command(after_help = unfence::HELP)]
    Unfence(UnfenceArgs),
    /// Print the input for `aws stepfunctions start-execution`
    #[command(after_help = "\
Example:
  aws stepfunctions start-execution --state-machine-arn \"$MSK_KRAFT_STATE_MACHINE_ARN\" \\
    --name prod-to-kraft-1 --input \"$(msk-kraft input --config migration.yaml --migration-id prod-to-kraft)\"")]
    Input(InputArgs),
    /// Answer one gate, for whoever runs the state machine without the other verbs
    #[command(after_help = "\
Rejecting the freeze gives the cutover up, at any moment before its point of no return.

Examples:
  msk-kraft ack freeze --migration-id prod-to-kraft --by ada
  msk-kraft ack freeze --migration-id prod-to-kraft --reject --reason 'the batch job cannot stop'
  msk-kraft ack cutover --migration-id prod-to-kraft --reject --reason 'maintenance window closed'")]
    Ack(AckArgs),
    /// Show or change how fast a migration copies, while it runs
    #[command(after_help = "\
Without a limit it shows the ones in force. Bytes are those of record batches as the source stores them. Every copy function
takes an equal share of a limit, so a limit is kept and not always used up.

Examples:
  msk-kraft throttle --migration-id prod-to-kraft
  msk-kraft throttle --migration-id prod-to-kraft --bytes-per-second 200MB --per-broker 50MB
  msk-kraft throttle --migration-id prod-to-kraft --off")]
    Throttle(ThrottleArgs),
    /// Translate source offsets for consumers that keep theirs outside of Kafka: one, a file of them, or the whole map
    #[command(after_help = "\
Works from the first checkpoint of the copy on; offsets that are not copied yet make exit code 1. docs/OFFSETS.md has the
files' format and the rule of translation.

Examples:
  msk-kraft offsets --migration-id prod-to-kraft --topic orders --partition 3 --source-offset 12345
  msk-kraft offsets --migration-id prod-to-kraft --lookup checkpoint.csv > translated.csv
  msk-kraft offsets --migration-id prod-to-kraft --topic orders --partition 3 > orders-3.csv
  msk-kraft offsets --migration-id prod-to-kraft --format json --out-dir ./offsets")]
    Offsets(OffsetsArgs),
    /// List what was written to the source behind the cutover's fence; append it to the target
    #[command(
        name = "late-records",
        after_help = "\
Looks at the source just now: committed records behind the end of the copy, without those of aborted transactions. Possible once the
cutover is complete, also when the migration is finalized, as long as the migration's credentials are still there.

With --append they are appended to the same partitions of the target, exactly once, however often it is interrupted and repeated.
They come to lie behind what clients wrote there since the switch, and keep their timestamps, keys, values and headers. What the
target would not take as it is, is named before anything is sent; exit code 1 says that something was left out.

Examples:
  msk-kraft late-records --migration-id prod-to-kraft
  msk-kraft late-records --migration-id prod-to-kraft --append
  msk-kraft late-records --migration-id prod-to-kraft --output json | jq '.late.records[] | {topic, partition, records}'"
    )]
    LateRecords(LateRecordsArgs),
    /// Print the IAM policies that stand for the source's ACLs, for a target whose clients sign in with IAM
    #[command(
        name = "access-map",
        after_help = "\
Always JSON. The topology copy stores it; IAM itself is not touched.

Examples:
  msk-kraft access-map --migration-id prod-to-kraft
  msk-kraft access-map --migration-id prod-to-kraft --principal User:billing \\
    | jq '.principals[0].policies[0]' > billing.json
  aws iam create-policy --policy-name billing --policy-document file://billing.json"
    )]
    AccessMap(AccessMapArgs),
    /// Print a migration's transitions
    #[command(after_help = "\
Examples:
  msk-kraft journal --migration-id prod-to-kraft
  msk-kraft journal --migration-id prod-to-kraft --output json > journal.jsonl")]
    Journal(RunArgs),
}

/// How data is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// Flags of `precheck`.
#[derive(Debug, Args)]
pub(crate) struct PrecheckArgs {
    /// Migration configuration
    #[arg(long, value_name = "PATH")]
    pub(crate) config: PathBuf,
    /// Form on stdout
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) output: Output,
}

/// Flags of `execute`.
#[derive(Debug, Args)]
pub(crate) struct ExecuteArgs {
    /// Migration configuration
    #[arg(long, value_name = "PATH")]
    pub(crate) config: PathBuf,
    /// Name of the migration [default: made from the clusters' names and the time]
    #[arg(long, value_name = "ID")]
    pub(crate) migration_id: Option<MigrationId>,
    /// Folder to keep a copy of the journal in, as ID/journal.jsonl
    #[arg(long, value_name = "PATH")]
    pub(crate) journal_dir: Option<PathBuf>,
    /// Form on stdout
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) output: Output,
    /// Beginning again.
    #[command(flatten)]
    pub(crate) restart: RestartArgs,
}

/// Flags of the verbs that can begin a migration again.
#[derive(Debug, Args)]
pub(crate) struct RestartArgs {
    /// Remove what the migration has made so far, and begin it again
    #[arg(long, requires = "migration_id")]
    pub(crate) force_restart: bool,
    /// Do not ask before that
    #[arg(long, requires = "force_restart")]
    pub(crate) yes: bool,
}

/// Flags of `resume`.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The migration.
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Beginning again.
    #[command(flatten)]
    pub(crate) restart: RestartArgs,
}

/// Flags of the verbs about one migration.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunArgs {
    /// Migration configuration; must be the one the migration was started with
    #[arg(long, value_name = "PATH")]
    pub(crate) config: Option<PathBuf>,
    /// The migration
    #[arg(long, value_name = "ID")]
    pub(crate) migration_id: MigrationId,
    /// Folder to keep a copy of the journal in, as ID/journal.jsonl
    #[arg(long, value_name = "PATH")]
    pub(crate) journal_dir: Option<PathBuf>,
    /// Form on stdout
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) output: Output,
}

/// Flags of `cutover`.
#[derive(Debug, Args)]
pub(crate) struct CutoverArgs {
    /// The migration.
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Only rehearse: producers go on, and nothing is cut over
    #[arg(long)]
    pub(crate) rehearse: bool,
}

/// Flags of `throttle`.
#[derive(Debug, Args)]
pub(crate) struct ThrottleArgs {
    /// The migration.
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Most bytes a second in all, such as 200MB or 100MiB; 0 is no limit
    #[arg(long, value_name = "BYTES")]
    bytes_per_second: Option<ByteSize>,
    /// Most bytes a second from each broker of the source and to each broker of the target; 0 is no limit
    #[arg(long, value_name = "BYTES")]
    per_broker: Option<ByteSize>,
    /// No limits
    #[arg(long, conflicts_with_all = ["bytes_per_second", "per_broker"])]
    off: bool,
}

impl ThrottleArgs {
    /// `now` with what was asked for.
    pub(crate) fn change(&self, now: Throttle) -> Throttle {
        if self.off {
            return Throttle::default();
        }
        let limit = |wanted: Option<ByteSize>, now| wanted.map_or(now, |bytes| NonZeroU64::new(bytes.as_u64()));
        Throttle {
            bytes_per_second: limit(self.bytes_per_second, now.bytes_per_second),
            bytes_per_second_per_broker: limit(self.per_broker, now.bytes_per_second_per_broker),
        }
    }
}

/// Flags of `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The migration.
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Show every partition, not only the 20 with the largest lag
    #[arg(long)]
    pub(crate) all: bool,
}

/// Flags of `rollback`.
#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// The migration.
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Producers were let go, and a write fence was removed, by hand: the webhook and the source are not asked
    #[arg(long)]
    pub(crate) by_hand: bool,
}

/// Flags of `late-records`.
#[derive(Debug, Args)]
pub(crate) struct LateRecordsArgs {
    /// The migration.
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Append them to the target
    #[arg(long)]
    pub(crate) append: bool,
    /// Do not ask before that
    #[arg(long, requires = "append")]
    pub(crate) yes: bool,
}

/// Forms of lookups and maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MapFormat {
    /// A line for each lookup or run, after a header.
    Csv,
    /// A line for each lookup, an object for each map.
    Json,
}

impl MapFormat {
    /// The ending of a file's name.
    pub(crate) const fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
        }
    }
}

/// Flags of `offsets`.
#[derive(Debug, Args)]
pub(crate) struct OffsetsArgs {
    /// The migration.
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Only this topic
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub(crate) topic: Option<String>,
    /// Only this partition of --topic
    #[arg(long, value_name = "NUMBER", requires = "topic", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) partition: Option<i32>,
    /// Look up this offset of the source
    #[arg(long, value_name = "OFFSET", requires = "partition", conflicts_with_all = ["lookup", "out_dir", "format"],
          value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) source_offset: Option<i64>,
    /// Look up every line topic,partition,offset of this file (- is stdin)
    #[arg(long, value_name = "PATH", conflicts_with_all = ["topic", "out_dir"])]
    pub(crate) lookup: Option<PathBuf>,
    /// Form of lookups from a file and of maps [default: csv; json with --output json]
    #[arg(long, value_enum)]
    pub(crate) format: Option<MapFormat>,
    /// Folder to write the map of each partition to, as TOPIC-PARTITION.csv or .json
    #[arg(long, value_name = "PATH")]
    pub(crate) out_dir: Option<PathBuf>,
    /// Overwrite files in --out-dir
    #[arg(long, requires = "out_dir")]
    pub(crate) force: bool,
}

impl OffsetsArgs {
    /// The form that was asked for.
    pub(crate) fn format(&self) -> MapFormat {
        let default = if self.run.output == Output::Json { MapFormat::Json } else { MapFormat::Csv };
        self.format.unwrap_or(default)
    }
}

/// Flags of `access-map`.
#[derive(Debug, Args)]
pub(crate) struct AccessMapArgs {
    /// The migration.
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Only this principal, as the ACLs name it (User:billing)
    #[arg(long, value_name = "NAME")]
    pub(crate) principal: Option<String>,
}

/// Flags of `input`.
#[derive(Debug, Args)]
pub(crate) struct InputArgs {
    /// Migration configuration
    #[arg(long, value_name = "PATH")]
    pub(crate) config: PathBuf,
    /// Name of the migration [default: made from the clusters' names and the time]
    #[arg(long, value_name = "ID")]
    pub(crate) migration_id: Option<MigrationId>,
}

/// Flags of `ack`.
#[derive(Debug, Args)]
pub(crate) struct AckArgs {
    /// The gate: cutover, freeze, client-switch or finalize
    #[arg(value_name = "GATE")]
    pub(crate) gate: GateName,
    /// The migration
    #[arg(long, value_name = "ID")]
    pub(crate) migration_id: MigrationId,
    /// Who decides, for the journal and the evidence; user@host unless given
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
    /// Say no instead of yes
    #[arg(long)]
    pub(crate) reject: bool,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    /// The rehearsal that is approved, for the gate cutover [default: the newest]
    #[arg(long, value_name = "ID", conflicts_with = "reject")]
    pub(crate) rehearsal: Option<String>,
}

#[cfg(test)]
mod tests;

//! Flags of `finalize`.

use clap::Args;
use migration::report::Acceptable;

use super::RunArgs;

/// What the verb's `--help` ends with.
pub(super) const HELP: &str = "\
Compares topics, counts, sampled records, what proved the ends, and consumer groups; what clients did on the target since the switch
is a warning. After a failed validation, repair and run it again. What differs and is to stay can be accepted: that repairs nothing,
and the evidence is signed as PASSED_WITH_EXCEPTIONS with each difference, the reason and who accepted it. A failed finalize prints
the command that would accept what failed.

CHECK is topic_parity, counts_and_offsets, spot_check_records, sentinel_presence or consumer_group_reconciliation; SUBJECT a topic,
a partition (topic/number) or a group. Without SUBJECT everything is accepted that the check finds.

Examples:
  msk-kraft finalize --config migration.yaml --migration-id prod-to-kraft
  msk-kraft finalize --migration-id prod-to-kraft --accept counts_and_offsets:orders/3 \\
    --reason 'two heartbeats of a monitor, not needed'";

/// Flags of `finalize`.
#[derive(Debug, Args)]
pub(crate) struct FinalizeArgs {
    /// The migration.
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Accept what a check finds, of one subject or all of it; can be repeated
    #[arg(long, value_name = "CHECK[:SUBJECT]", requires = "reason")]
    pub(crate) accept: Vec<Acceptable>,
    /// Why it may stay, for the signed evidence
    #[arg(long, value_name = "TEXT", requires = "accept")]
    pub(crate) reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::args::{Cli, Verb};

    fn parse(line: &[&str]) -> Result<Vec<String>, String> {
        let begin = ["msk-kraft", "finalize", "--migration-id", "a"];
        match Cli::try_parse_from(begin.iter().chain(line)).map(|cli| cli.verb) {
            Ok(Verb::Finalize(args)) => Ok(args.accept.iter().map(ToString::to_string).collect()),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn what_is_accepted_needs_a_reason() {
        assert_eq!(parse(&[]).unwrap(), [""; 0]);
        let two = ["--accept", "counts_and_offsets:orders/3", "--accept", "topic_parity", "--reason", "known"];
        assert_eq!(parse(&two).unwrap(), ["counts_and_offsets:orders/3", "topic_parity"]);
        assert!(parse(&["--accept", "topic_parity"]).unwrap_err().contains("--reason"));
        assert!(parse(&["--reason", "known"]).unwrap_err().contains("--accept"));
        let unknown = parse(&["--accept", "counts:orders", "--reason", "known"]).unwrap_err();
        assert!(unknown.contains("consumer_group_reconciliation"), "{unknown}");
    }
}

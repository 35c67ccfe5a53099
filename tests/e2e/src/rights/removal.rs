//! A migration that lacks one right: it stops and says which one, and goes on when the right is given back.

use anyhow::{Context, ensure};

use super::Statement;
use crate::deployment::finish;
use crate::{Cli, Deployment, SignIn};

/// Statements that a migration of this kind does not miss in the stand-in, by the end of their names, and why. The rights that
/// no migration uses, and that this cannot show either, are in [`super::usage`].
pub const SILENT: [(&str, &str); 22] = [
    ("WriteItsLog", "the stand-in writes the functions' logs itself"),
    ("DecryptTheSecrets", "the stand-in asks for no right to the key behind a secret"),
    ("ReachTheEvidenceBucket", LISTED),
    ("OperatorReachTheBackupBucket", LISTED),
    ("SeedPartitionReachTheBackupBucket", LISTED),
    ("TailBatchReachTheBackupBucket", LISTED),
    ("CutoverReachTheBackupBucket", LISTED),
    ("ValidateReachTheBackupBucket", LISTED),
    ("EvidenceReachTheBackupBucket", LISTED),
    ("GateReachTheBackupBucket", LISTED),
    ("OperatorReadTheEvidence", "the runbook has the operator copy the evidence; no verb does"),
    (
        "TheSecretsOfAQuestion",
        "in a deployment the secrets of runs are all below msk-kraft/, those of questions among them",
    ),
    ("TopologyCopyListTheScramSecrets", "it is for the plan alone, which goes on without"),
    ("PrecheckReadTheEvidence", "only an evidence bucket without Object Lock is tried"),
    ("PrecheckWriteTheEvidence", "only an evidence bucket without Object Lock is tried"),
    ("ValidateWriteTheJournal", "finalize --accept, and a comparison that fails"),
    ("EvidenceLockTheEvidence", "AWS asks for it when an object is stored with a retention, the stand-in does not"),
    ("EvidenceDescribeBothClusters", "the evidence says that the clusters could not be described, and why"),
    ("ForgetTheSecretsOfARun", "the operator's program deletes them again"),
    ("GateReadTheJournalsEvents", "the pulse tells people of them; no migration waits for it"),
    ("GateAnnounceMigrations", "the pulse tells people; no migration waits for it"),
    ("GateWriteTheEvidence", "a failure or a rollback is reported there as far as it can be"),
];
const LISTED: &str = "with it AWS answers 404 for an object that is not there, without it 403; the stand-in always 404";

/// Why a statement is not missed, when that is known.
pub fn silent(sid: &str) -> Option<&'static str> {
    // Precheck asks whether it reaches the buckets, and nobody deletes secrets behind the operator's program.
    let missed = ["PrecheckReachTheEvidenceBucket", "OperatorForgetTheSecretsOfARun"].contains(&sid);
    let found = SILENT.iter().find(|(end, _)| !missed && sid.ends_with(end));
    found.map(|(_, why)| *why)
}

/// How a migration without a right went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The verb that was refused.
    pub verb: &'static str,
    /// Its flags.
    pub flags: &'static [&'static str],
    /// The action that was named.
    pub action: String,
    /// The line that named it.
    pub said: String,
}

/// Migrates one topic, called `id`, without `statement` until a verb is refused, gives the right back, and goes on to the end.
///
/// # Errors
/// When nothing is refused, when the refusal does not name the action, or when the migration does not end after all.
pub async fn migrate_without(deployment: &Deployment, statement: &Statement, id: &str) -> anyhow::Result<Refusal> {
    deployment.fill(id, 1, 5).await?;
    let cli = deployment.operator(id, Some(id), SignIn::Scram)?;
    let role = deployment.stack.role(&statement.who).await?;
    deployment.stack.take_away(&role, &statement.sid).await?;
    let refused = until_refused(&cli, statement).await;
    deployment.stack.give_back(&role).await?;
    let refusal = refused?;
    if cli.run("status", &[]).await?.code != 0 {
        // It was refused before there was a migration, or while one was removed to begin again.
        cli.run("execute", refusal.flags).await?.ok().context("with the right given back")?;
    }
    finish(&cli).await.context("with the right given back")?;
    deployment.arrived(id).await?;
    Ok(refusal)
}

/// The verbs of a migration, with a further one for rights that only it needs.
fn verbs(statement: &Statement) -> Vec<(&'static str, &'static [&'static str])> {
    let extra: Option<(&str, &[&str])> = match statement.sid.as_str() {
        "OperatorSetTheThrottle" => Some(("throttle", &["--bytes-per-second", "100MB"])),
        "TopologyCopyReadTheJournalsEvents"
        | "TopologyCopyRemoveFromTheBackup"
        | "TopologyCopyRemoveFromTheJournal" => Some(("execute", &["--force-restart", "--yes"])),
        _ => None,
    };
    let begin: [(&str, &[&str]); 3] = [("plan", &[]), ("precheck", &[]), ("execute", &[])];
    let end: [(&str, &[&str]); 3] = [("cutover", &[]), ("cutover-ack", &[]), ("finalize", &[])];
    begin.into_iter().chain(extra).chain(end).collect()
}

async fn until_refused(cli: &Cli, statement: &Statement) -> anyhow::Result<Refusal> {
    for (verb, flags) in verbs(statement) {
        let output = match verb {
            "plan" | "precheck" => cli.ask(verb, flags).await?,
            verb => cli.run(verb, flags).await?,
        };
        let said = format!("{}\n{}", output.stdout, output.stderr);
        if let Some((action, line)) = named(&statement.actions, &said) {
            return Ok(Refusal { verb, flags, action, said: line });
        }
        ensure!(output.code == 0, "{verb} was refused and names none of {:?}:\n{said}", statement.actions);
    }
    anyhow::bail!("nobody missed {}", statement.sid)
}

/// The first of `actions` that a line of `said` calls denied, and that line.
fn named(actions: &[String], said: &str) -> Option<(String, String)> {
    let denied = |line: &&str, action: &str| {
        line.contains(action) && ["not authorized", "denied"].iter().any(|word| line.contains(word))
    };
    actions.iter().find_map(|action| {
        let line = said.lines().find(|line| denied(line, action))?;
        Some((action.clone(), line.trim().to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_action_on_the_line_that_denies_it() {
        let actions = ["s3:PutObject".to_owned(), "s3:GetObject".to_owned()];
        let said = "reading s3:PutObject\nUser: x is not authorized to perform: s3:GetObject on resource y";
        let (action, line) = named(&actions, said).unwrap();
        assert_eq!((action.as_str(), line.starts_with("User: x")), ("s3:GetObject", true));
        assert_eq!(named(&actions, "s3:PutObject failed"), None);
    }
}

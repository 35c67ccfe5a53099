//! `plan`: what a migration would do.

use std::path::{Path, PathBuf};

use chrono::Utc;
use migration::{Config, Error, Result};

use super::Exit;
use crate::args::{Output, PlanArgs, PlanFormat};
use crate::command_line::CommandLine;
use crate::console::Console;
use crate::deployed::Deployed;
use crate::lambda::Functions;
use crate::planning::{Artifact, Planning, Prices, names};
use crate::{naming, render, session};

/// Runs the verb.
pub(super) async fn run(args: &PlanArgs) -> Result<Exit> {
    let console = Console::new(Output::Table);
    let config = session::load_config(&args.config)?;
    let prices = prices(args.prices.as_deref())?;
    let artifacts = Artifact::of(args.format);
    if let Some(dir) = args.out_dir.as_deref().filter(|_| !args.force) {
        refuse_existing(dir, artifacts)?;
    }
    let planning = plan(&console, args, config, prices).await?;
    let (made, left_out): (Vec<_>, Vec<_>) =
        artifacts.iter().partition(|artifact| planning.plan.is_some() || !artifact.needs_plan());
    match (args.out_dir.as_deref(), &planning.plan) {
        (Some(dir), plan) => {
            for path in write(dir, &planning, &made, args.force)? {
                console.say(format!("wrote {}", path.display()));
            }
            if let Some(plan) = plan {
                console.data(render::plan_summary(plan));
            }
        }
        (None, Some(plan)) if args.format == PlanFormat::Summary => console.data(render::plan_summary(plan)),
        (None, _) => console.data(planning.text(artifacts[0])?),
    }
    if left_out.is_empty() {
        return Ok(Exit::Done);
    }
    let left_out = left_out.iter().map(|artifact| artifact.file()).collect::<Vec<_>>().join(", ");
    console.say(format!("not written: {left_out}; deploy msk-kraft, then run this again with --force"));
    Ok(Exit::Failed)
}

/// Asks the function where the format needs it, and adds what only this machine knows.
async fn plan(console: &Console, args: &PlanArgs, config: Config, prices: Prices) -> Result<Planning> {
    let (host, deployed) = Deployed::connect().await?;
    let functions = Functions::new(&host.aws, &deployed);
    let plan = match args.format {
        // Roles, and so policies, come before functions.
        PlanFormat::IamPolicy => None,
        PlanFormat::AwsCli | PlanFormat::All => functions
            .plan(&config)
            .await?
            .map_err(|error| {
                console.say(format!("{}; so the clusters were not asked", Error::from(error).message));
            })
            .ok(),
        _ => Some(functions.plan(&config).await??),
    };
    let migration_id = match args.migration_id.clone() {
        Some(id) => id,
        None => naming::migration_id(&config, Utc::now())?,
    };
    let line = CommandLine { migration_id, config: Some(args.config.clone()), journal_dir: None };
    let region = host.aws.config().region().map(AsRef::as_ref);
    let deployment = names(&config, region, &host.aws.table, &deployed);
    Ok(Planning { line, config, deployment, plan, prices })
}

fn prices(path: Option<&Path>) -> Result<Prices> {
    let Some(path) = path else { return Prices::built_in() };
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::invalid(format_args!("cannot read {}: {error}", path.display())))?;
    Prices::parse(&text).map_err(|error| Error::invalid(format_args!("{} cannot be used: {error}", path.display())))
}

/// Refuses to go on when a file of `artifacts` is there already.
fn refuse_existing(dir: &Path, artifacts: &[Artifact]) -> Result<()> {
    let there = artifacts.iter().map(|artifact| dir.join(artifact.file())).filter(|path| path.exists());
    let there: Vec<_> = there.map(|path| path.display().to_string()).collect();
    if there.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(format_args!(
        "already there: {}; nothing was written: name another --out-dir, or add --force",
        there.join(", ")
    )))
}

/// Writes the files: all of them beside their places first, then each to its place in one step.
fn write(dir: &Path, planning: &Planning, artifacts: &[Artifact], force: bool) -> Result<Vec<PathBuf>> {
    let texts = artifacts.iter().map(|artifact| planning.text(*artifact)).collect::<Result<Vec<_>>>()?;
    let failed = |error: std::io::Error| Error::blocked(format_args!("cannot write to {}: {error}", dir.display()));
    std::fs::create_dir_all(dir).map_err(failed)?;
    let mut written = Vec::new();
    for (artifact, text) in artifacts.iter().zip(texts) {
        written.push((dir.join(artifact.file()), beside(dir, *artifact, &text).map_err(failed)?));
    }
    let place = |(path, file): (PathBuf, tempfile::NamedTempFile)| {
        let placed = if force { file.persist(&path) } else { file.persist_noclobber(&path) };
        placed.map(|_| path).map_err(|error| failed(error.error))
    };
    written.into_iter().map(place).collect()
}

/// A file of `text` that has no name yet, with the rights that it is to have.
fn beside(dir: &Path, artifact: Artifact, text: &str) -> std::io::Result<tempfile::NamedTempFile> {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    let mode = if artifact.is_executable() { 0o755 } else { 0o644 };
    let permissions = std::fs::Permissions::from_mode(mode);
    let mut file = tempfile::Builder::new().permissions(permissions).tempfile_in(dir)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planning::sample;

    #[test]
    fn a_plan_is_overwritten_by_force_only_and_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("deep/plan");
        let planning = sample::planning();
        let written = write(&out, &planning, &Artifact::ALL, false).unwrap();
        assert_eq!(written.len(), 6);
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 6, "nothing is left beside them");
        assert!(write(&out, &planning, &Artifact::ALL, false).is_err());
        std::fs::write(out.join("plan.json"), "x".repeat(100_000)).unwrap();
        write(&out, &planning, &Artifact::ALL, true).unwrap();
        let text = std::fs::read_to_string(out.join("plan.json")).unwrap();
        assert_eq!(text, planning.text(Artifact::Plan).unwrap());
    }

    #[test]
    fn one_file_that_is_there_keeps_all_from_being_written() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("runbook.md"), "mine").unwrap();
        refuse_existing(dir.path(), Artifact::of(PlanFormat::Cost)).unwrap();
        let error = refuse_existing(dir.path(), &Artifact::ALL).unwrap_err();
        assert!(error.message.contains("runbook.md") && !error.message.contains("plan.json"), "{error}");
    }

    #[test]
    fn only_the_script_is_a_program() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        for path in write(dir.path(), &sample::planning(), &Artifact::ALL, false).unwrap() {
            let executable = std::fs::metadata(&path).unwrap().permissions().mode() & 0o111 != 0;
            assert_eq!(executable, path.ends_with("aws-cli.sh"), "{}", path.display());
        }
    }
}

//! `plan`: what a migration would do.

use std::path::Path;

use migration::report::Plan;
use migration::{Error, Result};
use runtime::Aws;

use super::Exit;
use crate::args::{Output, PlanArgs, PlanFormat};
use crate::console::Console;
use crate::lambda::Functions;
use crate::{render, session};

/// Name of the plan in the output folder.
const FILE: &str = "plan.json";

/// Runs the verb.
pub(super) async fn run(args: &PlanArgs) -> Result<Exit> {
    let console = Console::new(Output::Table);
    let config = session::load_config(&args.config)?;
    let path = args.out_dir.as_deref().map(|dir| dir.join(FILE));
    if let Some(path) = path.as_deref().filter(|path| !args.force && path.exists()) {
        return Err(Error::invalid(format_args!("{} exists: name another --out-dir, or add --force", path.display())));
    }
    let plan = Functions::new(&Aws::from_env().await).plan(&config).await?;
    if let Some(path) = &path {
        write(path, &plan, args.force)?;
        console.say(format!("wrote {}", path.display()));
    }
    match args.format {
        PlanFormat::Json => console.json(&plan)?,
        PlanFormat::Summary => console.data(render::plan_summary(&plan)),
    }
    Ok(Exit::Done)
}

fn write(path: &Path, plan: &Plan, force: bool) -> Result<()> {
    let mut text = serde_json::to_string_pretty(plan)
        .map_err(|error| Error::internal(format_args!("encode the plan: {error}")))?;
    text.push('\n');
    let write = || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // Once more, by the file system: somebody may have written it since.
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).truncate(force).create(force).create_new(!force).open(path)?;
        std::io::Write::write_all(&mut file, text.as_bytes())
    };
    write().map_err(|error| Error::blocked(format_args!("cannot write {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use migration::report::{Binding, Estimate, PlannedCluster};

    #[test]
    fn a_plan_is_overwritten_by_force_only() {
        let cluster = || PlannedCluster {
            name: "a".to_owned(),
            arn: String::new(),
            metadata: String::new(),
            kafka: String::new(),
            brokers: 1,
        };
        let plan = Plan {
            source: cluster(),
            target: cluster(),
            topics: Vec::new(),
            skipped_internal: Vec::new(),
            partitions_to_create: 0,
            estimated_seed_bytes: 0,
            estimated_seed: Estimate { seconds: 0, bytes_per_second: 1, bound_by: Binding::Functions, functions: 1 },
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/plan.json");
        write(&path, &plan, false).unwrap();
        assert!(write(&path, &plan, false).is_err());
        std::fs::write(&path, "x".repeat(100_000)).unwrap();
        write(&path, &plan, true).unwrap();
        let read: Plan = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(read, plan);
    }
}

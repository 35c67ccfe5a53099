//! Writes the seeds of every body to `<folder>/<body>/`, which `scripts/fuzz` gives to the fuzzer.

use std::path::PathBuf;

use fuzz_bodies::{BODIES, seeds};
use migration::{Error, Result};

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).ok_or_else(|| Error::invalid("usage: fuzz-seeds FOLDER"))?;
    for body in BODIES {
        let folder = PathBuf::from(&folder).join(body.name);
        let cannot = |error| Error::blocked(format_args!("cannot write to {}: {error}", folder.display()));
        std::fs::create_dir_all(&folder).map_err(cannot)?;
        for seed in seeds::of(body.name)? {
            std::fs::write(folder.join(seed.name), seed.bytes).map_err(cannot)?;
        }
    }
    Ok(())
}

//! The ACLs of a write fence on the source: which topics it is about, and which of its rules are the migration's own.
//!
//! Written by `cutover` under a name that can be taken once, [`key`], before the first rule is set; never changed. The journal's
//! write fence names the one that counts. Read by `cutover`, `gate` and the CLI.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::document::Document;

/// The key for the invocation with the lease `epoch`, in its `attempt`, of the cutover that began with the run's `version`; the
/// journal's record had the `edition` that the rules were decided by.
pub fn key(version: u64, epoch: u64, attempt: u32, edition: u64) -> String {
    format!("cutover/fences/{version:06}-{epoch:06}-{attempt:03}-{edition:06}.json")
}

/// The rules of a fence, by the names of topics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceRules {
    /// Topics on which the migration sets the rule that denies Write to everybody.
    pub denied: BTreeSet<String>,
    /// Those of them on which it sets beside it the rule that allows everybody what is not denied, because no rule was about
    /// them before.
    pub allowed: BTreeSet<String>,
    /// Topics that had the rule that denies already: it is somebody else's, and stays.
    pub foreign: BTreeSet<String>,
}

impl Document for FenceRules {
    const NAME: &'static str = "the list of the write fence's rules";
    const VERSION: u32 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{decode, encode};

    #[test]
    fn rules_read_back_and_keys_sort_by_version_and_epoch() {
        let of = |name: &str| BTreeSet::from([name.to_owned()]);
        let rules = FenceRules { denied: of("orders"), allowed: of("orders"), foreign: of("users") };
        assert_eq!(decode::<FenceRules>(&encode(&rules).unwrap()).unwrap(), rules);
        assert!(key(9, 1, 1, 0) < key(10, 1, 1, 0) && key(10, 2, 1, 9) < key(10, 10, 1, 10));
    }
}

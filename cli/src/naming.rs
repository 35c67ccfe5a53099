//! Names the CLI makes up: ids of new migrations, and who decides.

use chrono::{DateTime, Utc};
use migration::{Config, MigrationId, Result};

/// Longest part of an id that a cluster's name takes, in bytes: two of them, `--` twice and the time make 64.
const MAX_NAME_BYTES: usize = 22;

/// Id of a migration started at `now`: `<source>--<target>--<time>`, cut to fit.
///
/// # Errors
/// Invalid never, as long as the rule for ids holds.
pub(crate) fn migration_id(config: &Config, now: DateTime<Utc>) -> Result<MigrationId> {
    let (source, target) = (slug(config.source.name()), slug(config.target.name()));
    format!("{source}--{target}--{}", now.format("%Y%m%dT%H%M%SZ")).parse()
}

/// `name` with what an id cannot hold replaced, cut to its share.
fn slug(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let slug: String = name.chars().take(MAX_NAME_BYTES).map(|c| if allowed(c) { c } else { '-' }).collect();
    // An id that is cut within a name must not show three dashes in a row.
    slug.trim_matches('-').to_owned()
}

/// Who decides at this terminal: `user@host`.
pub(crate) fn operator() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "operator".to_owned());
    format!("{user}@{}", gethostname::gethostname().to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::config;

    fn id(source: &str, target: &str) -> String {
        let mut config = config();
        config.source.cluster_arn = format!("arn:aws:kafka:us-east-1:123456789012:cluster/{source}/abc-1");
        config.target.cluster_arn = format!("arn:aws:kafka:us-east-1:123456789012:cluster/{target}/def-2");
        migration_id(&config, "2026-04-25T06:15:02.5Z".parse().unwrap()).unwrap().to_string()
    }

    #[test]
    fn an_id_names_clusters_and_time() {
        assert_eq!(id("orders", "orders-kraft"), "orders--orders-kraft--20260425T061502Z");
    }

    #[test]
    fn long_and_odd_names_fit() {
        let long = id(&"x".repeat(64), &"y".repeat(64));
        assert_eq!(long.len(), 64);
        assert!(long.ends_with("--20260425T061502Z"), "the time is never cut");
        assert_eq!(id("a.b", "c"), "a-b--c--20260425T061502Z");
        assert_eq!(id(&format!("{}-x", "a".repeat(21)), "c"), format!("{}--c--20260425T061502Z", "a".repeat(21)));
    }

    #[test]
    fn the_operator_has_a_name_and_a_host() {
        let operator = operator();
        assert!(operator.contains('@') && !operator.starts_with('@') && !operator.ends_with('@'), "{operator}");
    }
}

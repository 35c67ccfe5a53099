//! Saved queries of CloudWatch Logs Insights over the functions' logs.

use serde::Serialize;

/// A query.
#[derive(Debug, Serialize)]
pub(crate) struct Query {
    /// Its name, below the deployment's.
    pub(crate) name: &'static str,
    /// Its text. `MIGRATION` stands for a migration's id.
    pub(crate) query: &'static str,
}

/// Every query.
pub(crate) const QUERIES: &[Query] = &[
    Query {
        name: "one-migration",
        query: "fields @timestamp, @log, level, fields.message\n| filter fields.migration = 'MIGRATION'\n| sort @timestamp asc",
    },
    Query {
        name: "errors",
        query: "fields @timestamp, @log, fields.migration, fields.kind, fields.message\n| filter level = 'ERROR'\n| sort @timestamp desc\n| limit 200",
    },
    Query {
        name: "lag",
        query: "filter ispresent(MaxPartitionLag)\n| stats max(MaxPartitionLag) as lag, sum(BytesCopied) as bytes by migration, bin(1m)",
    },
    Query {
        name: "cold-starts",
        query: "filter @type = 'REPORT'\n| stats count(@initDuration) as cold, max(@initDuration) as slowest_ms, max(@maxMemoryUsed) / 1000 / 1000 as memory_mb, max(@duration) as longest_ms by @log",
    },
];

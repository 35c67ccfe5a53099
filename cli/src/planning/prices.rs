//! What AWS asks for its services: a dated table by region, which the operator can replace.

use std::collections::BTreeMap;

use migration::{Error, Result};
use serde::{Deserialize, Serialize};

/// The table that is built in.
const BUILT_IN: &str = include_str!("../../prices.json");

/// Prices by region.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prices {
    /// Day or month of the prices.
    pub(crate) as_of: String,
    /// Where they come from and what they leave out.
    pub(crate) note: String,
    /// Currency of all of them.
    pub(crate) currency: String,
    /// Region whose prices stand in for those that are not in the table.
    pub(crate) default_region: String,
    /// The prices.
    pub(crate) regions: BTreeMap<String, RegionPrices>,
}

/// Prices of one region.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegionPrices {
    /// Lambda on arm64, a GB of memory for a second.
    pub(crate) lambda_gb_second: f64,
    /// A million invocations.
    pub(crate) lambda_million_requests: f64,
    /// A thousand state transitions of standard workflows.
    pub(crate) states_thousand_transitions: f64,
    /// A GB in S3 Standard for a month.
    pub(crate) s3_gb_month: f64,
    /// A thousand PUT, COPY, POST or LIST requests.
    pub(crate) s3_thousand_puts: f64,
    /// A thousand GET requests.
    pub(crate) s3_thousand_gets: f64,
    /// A million write units on demand.
    pub(crate) dynamodb_million_writes: f64,
    /// A million read units on demand.
    pub(crate) dynamodb_million_reads: f64,
    /// A GB between zones, both directions together.
    pub(crate) cross_zone_gb: f64,
    /// A GB to another region.
    pub(crate) cross_region_gb: f64,
    /// Ten thousand requests of a KMS key.
    pub(crate) kms_ten_thousand_requests: f64,
}

impl Prices {
    /// The built-in table.
    ///
    /// # Errors
    /// Internal when it cannot be read, which a test rules out.
    pub(crate) fn built_in() -> Result<Self> {
        Self::parse(BUILT_IN).map_err(|error| Error::internal(format_args!("the built-in prices: {error}")))
    }

    /// The table in `text`.
    ///
    /// # Errors
    /// Invalid with line and column.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let prices: Self = serde_json::from_str(text).map_err(Error::invalid)?;
        if !prices.regions.contains_key(&prices.default_region) {
            return Err(Error::invalid(format_args!(
                "default_region {:?} is not among the regions",
                prices.default_region
            )));
        }
        Ok(prices)
    }

    /// The region whose prices count for `region`, and the prices.
    pub(crate) fn of(&self, region: &str) -> Option<(&str, RegionPrices)> {
        let found = self.regions.get_key_value(region).or_else(|| self.regions.get_key_value(&self.default_region));
        found.map(|(name, prices)| (name.as_str(), *prices))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_table_has_only_prices() {
        let prices = Prices::built_in().unwrap();
        assert!(!prices.as_of.is_empty() && prices.regions.len() >= 5);
        for (region, prices) in &prices.regions {
            let values = serde_json::to_value(prices).unwrap();
            assert!(values.as_object().unwrap().values().all(|price| price.as_f64().unwrap() > 0.0), "{region}");
        }
    }

    #[test]
    fn a_region_that_is_not_in_the_table_has_the_defaults_prices() {
        let prices = Prices::built_in().unwrap();
        assert_eq!(prices.of("eu-west-1").unwrap().0, "eu-west-1");
        assert_eq!(prices.of("mars-north-1").unwrap().0, prices.default_region);
    }

    #[test]
    fn a_table_that_cannot_be_used_is_refused_with_its_place() {
        let error = Prices::parse("{\"as_of\": \"2026\",\n \"regoins\": {}}").unwrap_err();
        assert!(error.message.contains("regoins") && error.message.contains("line 2"), "{error}");
        let elsewhere = BUILT_IN.replace("\"default_region\": \"us-east-1\"", "\"default_region\": \"x\"");
        assert!(Prices::parse(&elsewhere).unwrap_err().message.contains("default_region"));
    }
}

//! Which deployment this program talks to: the one that is named, else the one that the environment describes, else the one
//! of the usual name.

use std::sync::OnceLock;

use deployment::Parameter;
use migration::{Error, Result};
use runtime::aws::sdk_error;
use runtime::{Aws, Host};

/// Variable that names the state machine.
pub(crate) const STATE_MACHINE: &str = "MSK_KRAFT_STATE_MACHINE_ARN";
/// Variable with the journal's table.
const TABLE: &str = "MSK_KRAFT_TABLE";
/// Variable with what the functions' names begin with.
pub(crate) const PREFIX: &str = "MSK_KRAFT_FUNCTION_PREFIX";
/// Variable with the alias of the functions.
const QUALIFIER: &str = "MSK_KRAFT_FUNCTION_QUALIFIER";
/// Name of a deployment that nobody named.
const USUAL: &str = "msk-kraft";

/// The deployment that was named on the command line or in the environment.
static NAMED: OnceLock<String> = OnceLock::new();

/// Remembers the deployment that was named.
pub(crate) fn choose(name: Option<String>) {
    if let Some(name) = name {
        let _ = NAMED.set(name);
    }
}

/// The deployment that was named, for commands that a person is to repeat.
pub(crate) fn named() -> Option<&'static str> {
    NAMED.get().map(String::as_str)
}

/// What of a deployment this program uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Deployed {
    /// Its name, when it was found by that.
    pub(crate) name: Option<String>,
    /// ARN of the state machine.
    pub(crate) state_machine: Option<String>,
    /// The journal's table.
    pub(crate) table: Option<String>,
    /// What the functions' names begin with.
    pub(crate) prefix: String,
    /// Alias by which functions are invoked.
    pub(crate) qualifier: Option<String>,
}

impl Deployed {
    /// AWS from the environment, and the deployment there.
    ///
    /// # Errors
    /// Those of [`Deployed::find`].
    pub(crate) async fn connect() -> Result<(Host, Self)> {
        let mut host = Host::from_env().await;
        let deployed = Self::find(&mut host.aws).await?;
        Ok((host, deployed))
    }

    /// Finds the deployment, and has `aws` use its table.
    ///
    /// # Errors
    /// Blocked when a deployment was named and there is none of that name, or it must not be looked up; Invalid when it is one
    /// of a newer program; Transient when SSM was not reached.
    async fn find(aws: &mut Aws) -> Result<Self> {
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let described = [STATE_MACHINE, TABLE, PREFIX].into_iter().any(|name| env(name).is_some());
        let parameter = match named() {
            Some(name) => Some(parameter(aws, name).await?),
            None if described => None,
            // Whoever has deployed nothing yet is told so by what needs it.
            None => parameter(aws, USUAL).await.inspect_err(|error| tracing::debug!("{error}")).ok(),
        };
        let deployed = Self::from(parameter).overridden(env);
        if let Some(table) = &deployed.table {
            aws.table.clone_from(table);
        }
        Ok(deployed)
    }

    /// The same with what the environment says of it.
    fn overridden(self, env: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            name: self.name,
            state_machine: env(STATE_MACHINE).or(self.state_machine),
            table: env(TABLE).or(self.table),
            prefix: env(PREFIX).unwrap_or(self.prefix),
            qualifier: env(QUALIFIER).or(self.qualifier),
        }
    }

    /// Name of a function.
    pub(crate) fn function(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// ARN of the state machine.
    ///
    /// # Errors
    /// Invalid when there is none.
    pub(crate) fn state_machine(&self) -> Result<&str> {
        let arn = self.state_machine.as_deref().filter(|arn| arn.contains(":stateMachine:"));
        arn.ok_or_else(|| {
            Error::invalid(format_args!(
                "there is no deployment called {USUAL} in this account and region, and none is named: say which with \
                 --deployment NAME (the stack's name), or set {STATE_MACHINE} to the ARN of the state machine \
                 (arn:aws:states:REGION:ACCOUNT:stateMachine:NAME); docs/DEPLOY.md says how to deploy"
            ))
        })
    }
}

impl From<Option<Parameter>> for Deployed {
    fn from(parameter: Option<Parameter>) -> Self {
        let Some(parameter) = parameter else { return Self::default() };
        Self {
            name: Some(parameter.name),
            state_machine: Some(parameter.state_machine_arn),
            table: Some(parameter.table),
            prefix: parameter.function_prefix,
            qualifier: Some(parameter.qualifier),
        }
    }
}

/// What SSM has about the deployment `name`.
async fn parameter(aws: &Aws, name: &str) -> Result<Parameter> {
    let path = Parameter::path(name);
    let answer = aws_sdk_ssm::Client::new(aws.config()).get_parameter().name(&path).send().await;
    let answer = match answer {
        Err(error) if error.as_service_error().is_some_and(|error| error.is_parameter_not_found()) => {
            return Err(Error::blocked(format_args!(
                "there is no deployment called {name} in this account and region: SSM has no parameter {path}; check the name, \
                 AWS_REGION and the credentials"
            )));
        }
        answer => answer.map_err(|error| sdk_error(&format!("look up the deployment {name}"), &error))?,
    };
    let value = answer.parameter.and_then(|parameter| parameter.value).unwrap_or_default();
    let parameter: Parameter = serde_json::from_str(&value).map_err(|error| {
        Error::invalid(format_args!("the SSM parameter {path} does not describe a deployment of msk-kraft: {error}"))
    })?;
    if parameter.schema > Parameter::SCHEMA {
        return Err(Error::invalid(format_args!(
            "the deployment {name} is of a newer msk-kraft ({}) than this program: install that version of the CLI",
            parameter.version
        )));
    }
    Ok(parameter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter() -> Parameter {
        Parameter {
            schema: 1,
            name: "prod".to_owned(),
            version: "0.1.0".to_owned(),
            region: "eu-west-1".to_owned(),
            account: "123456789012".to_owned(),
            state_machine_arn: "arn:aws:states:eu-west-1:123456789012:stateMachine:prod".to_owned(),
            table: "prod".to_owned(),
            function_prefix: "prod-".to_owned(),
            qualifier: "live".to_owned(),
            backup_bucket: "b".to_owned(),
            evidence_bucket: "e".to_owned(),
            acknowledge_url: None,
        }
    }

    #[test]
    fn a_deployment_says_everything_and_the_environment_overrides_it() {
        let found = Deployed::from(Some(parameter()));
        assert_eq!(found.clone().overridden(|_| None), found);
        assert_eq!((found.function("gate").as_str(), found.qualifier.as_deref()), ("prod-gate", Some("live")));
        let other = found.overridden(|name| (name == TABLE).then(|| "other".to_owned()));
        assert_eq!(other.table.as_deref(), Some("other"));
        assert_eq!(other.name.as_deref(), Some("prod"));
    }

    #[test]
    fn without_a_state_machine_both_ways_out_are_named() {
        let error = Deployed::default().state_machine().unwrap_err().to_string();
        assert!(error.contains("--deployment") && error.contains(STATE_MACHINE), "{error}");
        let wrong = Deployed { state_machine: Some("msk-kraft".to_owned()), ..Deployed::default() };
        assert!(wrong.state_machine().is_err());
    }
}

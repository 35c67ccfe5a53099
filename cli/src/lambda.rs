//! Asking the functions directly: precheck and plan need no state machine, and whoever decides a gate, gives a cutover up or
//! rolls back asks the gate function, whose clock and permissions count.

use std::time::Duration;

use aws_sdk_lambda::config::StalledStreamProtectionConfig;
use aws_sdk_lambda::config::timeout::TimeoutConfig;
use aws_sdk_lambda::primitives::Blob;
use copy::measure::Measured;
use cutover::late::Report;
use cutover::late::live::Listing;
use journal::{Decision, GateName};
use migration::message::{BatchInput, CutoverInput, PrecheckInput};
use migration::report::{Acceptable, Plan, PrecheckReport};
use migration::restart::RestartAnswer;
use migration::{Config, Error, ErrorKind, MigrationId, Result};
use runtime::Aws;
use runtime::aws::sdk_error;
use runtime::gates::Answered;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::deployed::{Deployed, PREFIX};
use crate::sealing;

/// How often a function that ended without an answer is invoked again, as the state machine does it (`statemachine::errors`).
const REPEATS: u32 = 3;

/// Pause before the first repeat; each further one doubles.
const PAUSE: Duration = Duration::from_secs(1);

/// Longest time that an answer is waited for: that of a function, and some for the way.
const ANSWER_LIMIT: Duration = Duration::from_secs(deployment::Function::TIMEOUT_S as u64 + 30);

/// How long whoever wants to know the lag waits for it.
const MEASURED_WITHIN: Duration = Duration::from_secs(20);

/// What a rehearsal came to.
#[derive(Debug, Deserialize)]
pub(crate) struct Rehearsed {
    /// Its id.
    pub(crate) rehearsal: String,
    /// What is otherwise than in the one before.
    pub(crate) differences: Vec<String>,
}

/// The deployed functions.
#[derive(Debug)]
pub(crate) struct Functions {
    aws: Aws,
    client: aws_sdk_lambda::Client,
    deployed: Deployed,
}

/// Payload of an invocation that failed, as Lambda defines it.
#[derive(Debug, Deserialize)]
struct Failure {
    #[serde(rename = "errorType", default)]
    kind: String,
    #[serde(rename = "errorMessage", default)]
    message: String,
}

/// The key that evidence is signed with, as its function knows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct SigningKey {
    /// `configured` or `demo`.
    key: String,
}

impl SigningKey {
    /// Whether it is the one that everybody has.
    pub(crate) fn is_demo(&self) -> bool {
        self.key == "demo"
    }
}

impl Functions {
    /// The functions of `deployed`.
    pub(crate) fn new(aws: &Aws, deployed: &Deployed) -> Self {
        // A function may work for minutes before it answers; the connection is silent until then.
        let limits = aws.config().timeout_config().map_or_else(TimeoutConfig::builder, TimeoutConfig::to_builder);
        let config = aws_sdk_lambda::config::Builder::from(aws.config())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(limits.read_timeout(ANSWER_LIMIT).build())
            .build();
        Self { aws: aws.clone(), client: aws_sdk_lambda::Client::from_conf(config), deployed: deployed.clone() }
    }

    /// What precheck finds for `config`.
    ///
    /// # Errors
    /// The function's own.
    pub(crate) async fn precheck(&self, config: &Config) -> Result<PrecheckReport> {
        Ok(self.ask_precheck(config, |config| PrecheckInput::Report { config }).await??)
    }

    /// What a migration with `config` would do; nothing where there is no function yet to find out.
    ///
    /// # Errors
    /// The function's own.
    pub(crate) async fn plan(&self, config: &Config) -> Result<Result<Plan, NotDeployed>> {
        self.ask_precheck(config, |config| PrecheckInput::Plan { config }).await
    }

    /// The function gets the ARNs of secrets in place of what only this machine knows.
    async fn ask_precheck<T: DeserializeOwned>(
        &self,
        config: &Config,
        input: impl FnOnce(serde_json::Value) -> PrecheckInput,
    ) -> Result<Result<T, NotDeployed>> {
        let ask = async |config: Config| self.invoke("precheck", &input(config.to_json())).await;
        sealing::briefly(&self.aws, config, ask).await
    }

    /// Decides a gate of `id`, in the name of `by`.
    ///
    /// # Errors
    /// The function's own.
    pub(crate) async fn decide(
        &self,
        id: &MigrationId,
        gate: GateName,
        decision: &Decision,
        by: &str,
    ) -> Result<Answered> {
        let Decision { verdict, reason, rehearsal } = decision;
        let input = json!({
            "op": "decide", "migration_id": id, "gate": gate, "verdict": verdict, "by": by, "reason": reason,
            "rehearsal": rehearsal,
        });
        Ok(self.invoke("gate", &input).await??)
    }

    /// Gives the cutover of `id` up before its point of no return, in the name of `by`.
    ///
    /// # Errors
    /// The function's own.
    pub(crate) async fn give_up(&self, id: &MigrationId, by: &str, reason: &str) -> Result<()> {
        let input = json!({"op": "give_up", "migration_id": id, "by": by, "reason": reason});
        let _: serde_json::Value = self.invoke("gate", &input).await??;
        Ok(())
    }

    /// Lifts the write fence of `id` behind its cutover, in the name of `by`, or records that he has done so by hand; answers with how many rules are gone.
    ///
    /// # Errors
    /// The function's own.
    pub(crate) async fn unfence(&self, id: &MigrationId, by: &str, by_hand: bool) -> Result<usize> {
        let input = json!({"op": "unfence", "migration_id": id, "by": by, "by_hand": by_hand});
        let answer: serde_json::Value = self.invoke("gate", &input).await??;
        Ok(answer["rules"].as_u64().and_then(|rules| usize::try_from(rules).ok()).unwrap_or_default())
    }

    /// How far the copy of `id` is behind its source now.
    ///
    /// # Errors
    /// The function's own; Transient when it takes too long.
    pub(crate) async fn measure(&self, id: &MigrationId) -> Result<Measured> {
        let input = BatchInput::Measure { migration_id: id.clone() };
        let asked = self.invoke("tail-batch", &input);
        match tokio::time::timeout(MEASURED_WITHIN, asked).await {
            Ok(answer) => Ok(answer??),
            Err(_) => Err(Error::transient(format_args!(
                "function tail-batch did not answer within {} s",
                MEASURED_WITHIN.as_secs()
            ))),
        }
    }

    /// Marks `id` as rolled back, where `by_hand` has let producers go and removed the write fence himself; answers with the address
    /// of the report.
    ///
    /// # Errors
    /// The function's own.
    pub(crate) async fn rollback(
        &self,
        id: &MigrationId,
        reason: &str,
        by_hand: Option<&str>,
    ) -> Result<Option<String>> {
        let by_hand = by_hand.map(|by| json!({"by": by}));
        let input = json!({"op": "rollback", "migration_id": id, "reason": reason, "by_hand": by_hand});
        let answer: serde_json::Value = self.invoke("gate", &input).await??;
        Ok(answer["report"].as_str().map(str::to_owned))
    }

    /// What has to be removed so that `id` can begin again with the configuration `given`, else with its own; to `apply`, removes
    /// it.
    ///
    /// # Errors
    /// The function's own.
    pub(crate) async fn restart(&self, id: &MigrationId, given: Option<&Config>, apply: bool) -> Result<RestartAnswer> {
        let input = |config| json!({"op": "restart", "migration_id": id, "config": config, "apply": apply});
        let ask = async |config: Option<Config>| {
            self.invoke("topology-copy", &input(config.map(|config| config.to_json()))).await
        };
        match given {
            Some(config) => Ok(sealing::briefly(&self.aws, config, async |sealed| ask(Some(sealed)).await).await??),
            None => Ok(ask(None).await??),
        }
    }

    /// Rehearses the cutover of `id`, and has the key of the evidence looked at.
    ///
    /// # Errors
    /// The function's own.
    pub(crate) async fn rehearse(&self, id: &MigrationId) -> Result<Rehearsed> {
        let signing_key = match self.signing_key(id).await {
            Ok(_) => None,
            Err(error) if error.kind == ErrorKind::Blocked => Some(error.message),
            Err(error) => return Err(error),
        };
        let input = CutoverInput::Rehearse { migration_id: id.clone(), approved: false, signing_key };
        Ok(self.invoke("cutover", &input).await??)
    }

    /// The late records of `id`, looked at just now.
    ///
    /// # Errors
    /// The function's own.
    pub(crate) async fn list_late(&self, id: &MigrationId) -> Result<Listing> {
        Ok(self.invoke("cutover", &CutoverInput::ListLate { migration_id: id.clone() }).await??)
    }

    /// Appends late records of `id` to the target, in the name of `by`.
    ///
    /// # Errors
    /// The function's own.
    pub(crate) async fn append_late(&self, id: &MigrationId, by: &str) -> Result<Report> {
        let input = CutoverInput::AppendLate { migration_id: id.clone(), by: by.to_owned() };
        Ok(self.invoke("cutover", &input).await??)
    }

    /// The key that the evidence function would sign with.
    ///
    /// # Errors
    /// Blocked, naming the file, when the key is configured and cannot be used.
    pub(crate) async fn signing_key(&self, id: &MigrationId) -> Result<SigningKey> {
        Ok(self.invoke("evidence", &json!({"op": "check", "migration_id": id})).await??)
    }

    /// Records that `by` accepts `what`, whatever the next validation finds of it.
    ///
    /// # Errors
    /// The function's own.
    pub(crate) async fn accept(&self, id: &MigrationId, what: &[Acceptable], reason: &str, by: &str) -> Result<()> {
        let what: Vec<_> = what.iter().map(ToString::to_string).collect();
        let input = json!({"op": "accept", "migration_id": id, "accept": what, "reason": reason, "by": by});
        let _: serde_json::Value = self.invoke("validate", &input).await??;
        Ok(())
    }

    /// Invokes a function, again if it was killed or failed for a passing reason: what the functions do here is either only
    /// reading, or changes nothing when it is done twice.
    async fn invoke<T: DeserializeOwned>(
        &self,
        function: &str,
        input: &(impl Serialize + Sync),
    ) -> Result<Result<T, NotDeployed>> {
        let name = self.deployed.function(function);
        let internal = |what: &str, error| Error::internal(format_args!("{what} of function {name}: {error}"));
        let payload = serde_json::to_vec(input).map_err(|error| internal("input", error))?;
        let mut pause = PAUSE;
        for _ in 0..REPEATS {
            match self.invoke_once(&name, &payload).await? {
                Answer::Failed(failure) if failure.is_worth_a_repeat() => {
                    tracing::warn!(
                        function = name,
                        kind = failure.kind,
                        "failed, invoking it again: {}",
                        failure.message
                    );
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                answer => return answer.read(&name),
            }
        }
        self.invoke_once(&name, &payload).await?.read(&name)
    }

    async fn invoke_once(&self, name: &str, payload: &[u8]) -> Result<Answer> {
        let request = self.client.invoke().function_name(name).set_qualifier(self.deployed.qualifier.clone());
        let answer = request.payload(Blob::new(payload)).send().await;
        let answer = match answer {
            Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) => {
                return Ok(Answer::NotDeployed(sdk_error(&format!("invoke function {name}"), &error)));
            }
            answer => answer.map_err(|error| sdk_error(&format!("invoke function {name}"), &error))?,
        };
        let payload = answer.payload.map(Blob::into_inner).unwrap_or_default();
        Ok(match answer.function_error {
            Some(_) => Answer::Failed(Failure::read(&payload)),
            None => Answer::Done(payload),
        })
    }
}

/// How an invocation ended.
#[derive(Debug)]
enum Answer {
    /// With this payload.
    Done(Vec<u8>),
    /// With an error of the function, or of Lambda about it.
    Failed(Failure),
    /// Not at all: there is no such function.
    NotDeployed(Error),
}

/// There is no function of the name that was invoked.
#[derive(Debug)]
pub(crate) struct NotDeployed(Error);

impl From<NotDeployed> for Error {
    fn from(NotDeployed(mut error): NotDeployed) -> Self {
        error.message.push_str(&format!(
            "; check the region, --deployment for the name of the deployment, and {PREFIX} if it is set"
        ));
        error
    }
}

impl Answer {
    fn read<T: DeserializeOwned>(self, name: &str) -> Result<Result<T, NotDeployed>> {
        match self {
            Self::NotDeployed(error) => Ok(Err(NotDeployed(error))),
            Self::Failed(failure) => Err(failure.into_error(name)),
            Self::Done(payload) => serde_json::from_slice(&payload)
                .map(Ok)
                .map_err(|error| Error::internal(format_args!("answer of function {name}: {error}"))),
        }
    }
}

impl Failure {
    /// A payload that is not JSON is the message.
    fn read(payload: &[u8]) -> Self {
        let text = || String::from_utf8_lossy(payload).into_owned();
        serde_json::from_slice(payload).unwrap_or_else(|_| Self { kind: String::new(), message: text() })
    }

    /// Our kind of the error; none for what Lambda says when a function crashed, was killed or ran out of time.
    fn known(&self) -> Option<ErrorKind> {
        ErrorKind::ALL.into_iter().find(|known| known.name() == self.kind)
    }

    fn is_worth_a_repeat(&self) -> bool {
        self.known().is_none_or(ErrorKind::is_retryable)
    }

    /// One of ours keeps its kind; anything else is a defect of the function or of its deployment.
    fn into_error(self, name: &str) -> Error {
        match self.known() {
            Some(known) => Error::new(known, self.message),
            None => Error::internal(format_args!(
                "function {name} failed again and again: {}: {}; its log tells more",
                self.kind, self.message
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(payload: &[u8]) -> (bool, Error) {
        let failure = Failure::read(payload);
        (failure.is_worth_a_repeat(), failure.into_error("x-precheck"))
    }

    #[test]
    fn a_functions_error_keeps_its_kind_and_message() {
        let (repeated, error) = failure(br#"{"errorType":"Blocked","errorMessage":"no such cluster"}"#);
        assert_eq!((repeated, error), (false, Error::blocked("no such cluster")));
        assert!(failure(br#"{"errorType":"Transient","errorMessage":"NOT_CONTROLLER"}"#).0);
    }

    #[test]
    fn a_function_that_was_killed_is_invoked_again_and_named_in_the_end() {
        let (repeated, error) = failure(br#"{"errorType":"Runtime.ExitError","errorMessage":"signal: killed"}"#);
        assert!(repeated);
        assert_eq!(error.kind, ErrorKind::Internal);
        assert!(
            error.message.contains("x-precheck failed again and again: Runtime.ExitError: signal: killed"),
            "{error}"
        );
        assert!(failure(b"<html>").1.message.contains("<html>"));
    }
}

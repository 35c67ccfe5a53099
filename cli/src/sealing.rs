//! Credentials on their way into AWS: for a migration they stay in its own secrets until its end, for a question that the
//! precheck function answers as long as the question takes.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use migration::{Config, Result};
use runtime::{Aws, secrets};

/// Secrets that this program created and that nothing else uses yet, by ARN: they go when it fails or is interrupted.
static BRIEF: Mutex<Option<(Aws, Vec<String>)>> = Mutex::new(None);

fn brief() -> MutexGuard<'static, Option<(Aws, Vec<String>)>> {
    BRIEF.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seals `config` under `owner`. What is created belongs to this program until [`hand_over`].
///
/// # Errors
/// Those of [`secrets::seal`].
pub(crate) async fn seal(aws: &Aws, config: &Config, owner: &str) -> Result<Config> {
    let remember = |arn: &str| brief().get_or_insert_with(|| (aws.clone(), Vec::new())).1.push(arn.to_owned());
    secrets::seal(aws, config, owner, remember).await
}

/// Seals `config` for as long as `question` takes.
///
/// # Errors
/// Those of [`secrets::seal`] and of `question`.
pub(crate) async fn briefly<T, F: Future<Output = Result<T>>>(
    aws: &Aws,
    config: &Config,
    question: impl FnOnce(Config) -> F,
) -> Result<T> {
    // Each hasher has keys of its own: two questions at once have to have two secrets.
    let owner = format!("question-{:016x}", RandomState::new().build_hasher().finish());
    // No question is about the webhooks.
    let config = Config { cutover: config.cutover.sealed(None, None), ..config.clone() };
    let answer = async { question(seal(aws, &config, &owner).await?).await }.await;
    forget_brief().await;
    answer
}

/// From now on an execution may need what was created: neither a failure nor an interrupt of this program deletes it.
/// Returns the ARNs.
pub(crate) fn hand_over() -> Vec<String> {
    brief().take().map(|(_, arns)| arns).unwrap_or_default()
}

/// Deletes what nothing else uses yet, if there is anything.
pub(crate) async fn forget_brief() {
    let Some((aws, arns)) = brief().clone() else { return };
    delete(&aws, arns.iter().map(String::as_str)).await;
    // Not before: an interrupt in the middle has to try again.
    brief().take();
}

/// Deletes the secrets `arns`. What cannot be deleted is named on stderr.
pub(crate) async fn delete<'a>(aws: &Aws, arns: impl IntoIterator<Item = &'a str>) {
    if let Err(error) = secrets::delete(aws, arns).await {
        crate::say(&format!("a secret with credentials is left, delete it by hand: {error}"));
    }
}

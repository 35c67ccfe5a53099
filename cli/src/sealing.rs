//! Credentials on their way into AWS: for a migration they stay in its own secrets until its end, for a question that the
//! precheck function answers as long as the question takes.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use migration::{Config, Result};
use runtime::{Aws, secrets};

/// What is sealed for the question under way, so that an interrupt can clean up too.
static BRIEF: Mutex<Option<(Aws, Config)>> = Mutex::new(None);

fn brief() -> MutexGuard<'static, Option<(Aws, Config)>> {
    BRIEF.lock().unwrap_or_else(PoisonError::into_inner)
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
    let sealed = secrets::seal(aws, config, &owner).await?;
    *brief() = Some((aws.clone(), sealed.clone()));
    let answer = question(sealed).await;
    forget_brief().await;
    answer
}

/// Deletes what is sealed for a question under way, if anything is. What cannot be deleted is named on stderr.
pub(crate) async fn forget_brief() {
    let Some((aws, config)) = brief().take() else { return };
    if let Err(error) = secrets::forget(&aws, &config).await {
        crate::say(&format!("a secret with credentials is left, delete it by hand: {error}"));
    }
}

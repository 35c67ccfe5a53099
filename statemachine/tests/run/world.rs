//! What the functions of one scenario answer, and what was asked of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use migration::Phase;
use migration::message::{BatchOutput, Drained, Entered, Expired, Reconciled, Rehearsed, Watched};
use serde_json::{Value, json};

const POLL: Duration = Duration::from_millis(20);
/// How long a function of the tail works before it wants to be called again.
const PASS: Duration = Duration::from_secs(3);

/// A migration whose functions do as they are told, and otherwise what goes well.
///
/// Calls are named by function and operation, the opening of a gate by the gate too: `cutover rehearse`,
/// `gate open freeze`, `evidence`.
pub(crate) struct World {
    pub(crate) id: String,
    phase: Phase,
    freeze_reaction: u64,
    freeze_limit: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: BTreeMap<String, VecDeque<Answer>>,
    always: BTreeMap<String, Answer>,
    calls: Vec<String>,
    tokens: Vec<(String, String)>,
    lost_manifest: bool,
    stop: bool,
    committed: bool,
    finalized: bool,
    failure: Option<Value>,
}

/// What a function does.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// What goes well.
    Well,
    /// Returns this.
    Returns(Value),
    /// Fails with an error of this kind.
    Fails(&'static str),
    /// Is not run, for too many others run.
    Throttled,
    /// Does not answer while the world says so.
    Hangs,
}

/// A call without an answer.
pub(crate) enum Refused {
    Failed(&'static str),
    Throttled,
}

impl World {
    /// A migration that is to begin, with limits that no scenario reaches.
    pub(crate) fn new(id: &str) -> Self {
        let state = Mutex::default();
        Self { id: id.to_owned(), phase: Phase::Precheck, freeze_reaction: 3600, freeze_limit: 3600, state }
    }

    /// Begins in `phase`.
    pub(crate) fn in_phase(self, phase: Phase) -> Self {
        Self { phase, ..self }
    }

    /// Lets producers be frozen within `reaction` seconds, for at most `limit` seconds.
    pub(crate) fn limits(self, reaction: u64, limit: u64) -> Self {
        Self { freeze_reaction: reaction, freeze_limit: limit, ..self }
    }

    /// Begins with a tail that was told to stop.
    pub(crate) fn stopped(self) -> Self {
        self.lock().stop = true;
        self
    }

    /// Answers the next calls of `call`; what comes after them goes as without.
    pub(crate) fn next(self, call: &str, answers: impl IntoIterator<Item = Answer>) -> Self {
        self.lock().next.insert(call.to_owned(), answers.into_iter().collect());
        self
    }

    /// Answers all calls of `call`.
    pub(crate) fn always(self, call: &str, answer: Answer) -> Self {
        self.set(call, answer);
        self
    }

    /// Answers all calls of `call` from now on; one that hangs is let go.
    pub(crate) fn set(&self, call: &str, answer: Answer) {
        self.lock().always.insert(call.to_owned(), answer);
    }

    /// Begins without a manifest.
    pub(crate) fn without_manifest(self) -> Self {
        self.lock().lost_manifest = true;
        self
    }

    /// Has the manifest again.
    pub(crate) fn find_manifest(&self) {
        self.lock().lost_manifest = false;
    }

    /// What was called so far.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.lock().calls.clone()
    }

    /// How often `call` was made.
    pub(crate) fn count(&self, call: &str) -> usize {
        self.lock().calls.iter().filter(|made| *made == call).count()
    }

    /// The newest token of a gate, once: an earlier one is not waited for any more.
    pub(crate) fn token(&self, gate: &str) -> Option<String> {
        let mut state = self.lock();
        let newest = state.tokens.iter().rposition(|(name, _)| name == gate)?;
        let (_, token) = state.tokens.remove(newest);
        state.tokens.retain(|(name, _)| name != gate);
        Some(token)
    }

    /// Whether a gate was opened whose token was not taken yet.
    pub(crate) fn is_open(&self, gate: &str) -> bool {
        self.lock().tokens.iter().any(|(name, _)| name == gate)
    }

    /// What was to be recorded of a failure.
    pub(crate) fn failure(&self) -> Option<Value> {
        self.lock().failure.clone()
    }

    /// The batches, if they are still known.
    pub(crate) fn manifest(&self) -> Option<Value> {
        let batch = json!([{"migration_id": self.id, "batch": 0, "generation": 1}]);
        (!self.lock().lost_manifest).then_some(batch)
    }

    /// Answers an invocation.
    pub(crate) async fn answer(&self, function: &str, payload: &Value) -> Result<Value, Refused> {
        let words = [Some(function), payload["op"].as_str(), payload["gate"].as_str()];
        let call = words.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let told = self.told(&call);
        match told {
            Answer::Well => {}
            Answer::Returns(answer) => return Ok(answer),
            Answer::Fails(kind) => return Err(Refused::Failed(kind)),
            Answer::Throttled => return Err(Refused::Throttled),
            Answer::Hangs => {
                while matches!(self.lock().always.get(&call), Some(Answer::Hangs)) {
                    tokio::time::sleep(POLL).await;
                }
            }
        }
        if call == "tail-batch work" {
            let begun = tokio::time::Instant::now();
            while begun.elapsed() < PASS && !self.lock().stop {
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(self.well(&call, payload))
    }

    fn told(&self, call: &str) -> Answer {
        let mut state = self.lock();
        state.calls.push(call.to_owned());
        let next = state.next.get_mut(call).and_then(VecDeque::pop_front);
        next.or_else(|| state.always.get(call).cloned()).unwrap_or(Answer::Well)
    }

    /// What a function returns that has done its work.
    fn well(&self, call: &str, payload: &Value) -> Value {
        let mut state = self.lock();
        match call {
            "gate enter" => json!(Entered {
                migration_id: self.id.parse().unwrap(),
                phase: self.phase,
                bucket: "segments".to_owned(),
                manifest: self.id.clone(),
                copy_functions: 2,
                freeze_reaction_seconds: self.freeze_reaction,
                freeze_limit_seconds: self.freeze_limit,
            }),
            "seed-partition work" | "validate work" => json!(BatchOutput { again: false }),
            "seed-partition reconcile" | "validate reconcile" => json!(Reconciled { complete: true, progress: 1 }),
            "tail-batch work" => json!(BatchOutput { again: !state.stop }),
            "tail-batch reconcile" => json!(Reconciled { complete: state.stop, progress: 1 }),
            "tail-batch drain" => json!(Drained { ready: true }),
            "cutover rehearse" => json!(Rehearsed { go: true }),
            "cutover watch" => json!(Watched { again: !state.finalized, wait_seconds: 1 }),
            "gate expire" => json!(Expired { expired: !state.committed }),
            "cutover cut_over" => {
                (state.committed, state.stop) = (true, true);
                json!({})
            }
            "gate rollback" => {
                state.stop = true;
                json!({})
            }
            "gate fail" => {
                (state.stop, state.failure) = (true, Some(payload["cause"].clone()));
                json!({})
            }
            "evidence" => {
                state.finalized = true;
                json!({})
            }
            "precheck check" | "topology-copy" | "gate switched" => json!({}),
            _ => {
                let gate = call.strip_prefix("gate open ").unwrap_or_else(|| panic!("nothing is known of {call}"));
                state.tokens.push((gate.to_owned(), payload["token"].as_str().unwrap().to_owned()));
                json!({})
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

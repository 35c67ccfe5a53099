//! Gates in the table.

use chrono::{DateTime, Utc};
use clock::timestamp;
use migration::{Error, Phase, Result};
use serde::{Deserialize, Serialize};

use super::{Decided, Decision, Gate, GateName, GateState, Verdict};
use crate::table::Key;
use crate::token::Token;
use crate::write::Write;
use crate::{Journal, RACE_ATTEMPTS};

/// Tokens of earlier attempts that are recognised when they arrive late.
const REMEMBERED_TOKENS: usize = 32;

/// A gate in the table. It derives no `Debug`: it holds the token.
#[derive(Serialize, Deserialize)]
struct GateItem {
    attempt: u32,
    state: GateState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    token_digest: String,
    former_digests: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    decision: Option<Verdict>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rehearsal: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    decided_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "clock::micros_option")]
    decided_at: Option<DateTime<Utc>>,
    #[serde(with = "clock::micros")]
    opened_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "clock::micros_option")]
    deadline: Option<DateTime<Utc>>,
}

impl GateItem {
    /// The gate armed with `token`, after `former`.
    fn armed(token: &Token, former: Option<&Self>, opened_at: DateTime<Utc>, deadline: Option<DateTime<Utc>>) -> Self {
        let former_digests = former.map_or_else(Vec::new, |former| {
            let all = former.former_digests.iter().chain([&former.token_digest]).cloned().collect::<Vec<_>>();
            all[all.len().saturating_sub(REMEMBERED_TOKENS)..].to_vec()
        });
        Self {
            attempt: former.map_or(1, |former| former.attempt + 1),
            state: GateState::Open,
            token: Some(token.expose().to_owned()),
            token_digest: token.digest(),
            former_digests,
            decision: None,
            reason: None,
            rehearsal: None,
            decided_by: None,
            decided_at: None,
            opened_at,
            deadline,
        }
    }

    fn gate(&self, name: GateName) -> Gate {
        Gate {
            name,
            attempt: self.attempt,
            state: self.state,
            decision: self.decision.map(|verdict| Decision {
                verdict,
                reason: self.reason.clone().unwrap_or_default(),
                rehearsal: self.rehearsal.clone(),
            }),
            decided_by: self.decided_by.clone(),
            decided_at: self.decided_at,
            opened_at: self.opened_at,
            deadline: self.deadline,
        }
    }

    /// The decision in words, for an error.
    fn told(&self) -> String {
        let verdict = match self.decision {
            None => return "undecided".to_owned(),
            Some(Verdict::Approve) => "approved",
            Some(Verdict::Reject) => "rejected",
        };
        let at = self.decided_at.map_or_else(String::new, |at| format!(" at {}", timestamp(at)));
        format!("{verdict} by {}{at}", self.decided_by.as_deref().unwrap_or("somebody"))
    }
}

impl Journal {
    fn gate_key(&self, name: GateName) -> Key {
        self.key(format!("gate#{name}"))
    }

    async fn gate_item(&self, name: GateName) -> Result<Option<GateItem>> {
        let item = self.get("read a gate", &self.gate_key(name)).await?;
        item.map(|item| self.read(item)).transpose()
    }

    /// The gate `name`, if it was ever armed.
    pub async fn gate(&self, name: GateName) -> Result<Option<Gate>> {
        Ok(self.gate_item(name).await?.map(|item| item.gate(name)))
    }

    /// Arms the gate with `token`. A new token makes a new attempt, whatever became of the one before; the same token
    /// again changes nothing and returns the gate as it stands, which may be decided by now.
    ///
    /// # Errors
    /// [`ErrorKind::Fenced`](migration::ErrorKind::Fenced) for a token of an earlier attempt that arrives late.
    pub async fn open(&self, name: GateName, token: &Token, deadline: Option<DateTime<Utc>>) -> Result<Gate> {
        for _ in 0..RACE_ATTEMPTS {
            let former = self.gate_item(name).await?;
            if let Some(former) = &former {
                if former.former_digests.contains(&token.digest()) {
                    return Err(self.superseded(name, former.attempt));
                }
                if former.token_digest == token.digest() {
                    return Ok(former.gate(name));
                }
            }
            let armed = GateItem::armed(token, former.as_ref(), self.now(), deadline);
            let expected = former.map(|former| ("attempt", u64::from(former.attempt)));
            if self.put("arm a gate", self.gate_key(name), &armed, expected).await? {
                tracing::info!(run = %self.run, gate = %name, attempt = armed.attempt, "gate armed");
                return Ok(armed.gate(name));
            }
        }
        Err(self.lost_races("arm a gate"))
    }

    /// Decides the gate, in the name of `by`. The same verdict again, while it is not sent, returns the token again so
    /// that sending can be repeated; the first reason and the first name stand.
    ///
    /// # Errors
    /// [`ErrorKind::Blocked`](migration::ErrorKind::Blocked) when nothing waits at this gate, or when it was decided the
    /// other way; the message names what the migration waits for.
    pub async fn decide(&self, name: GateName, decision: &Decision, by: &str) -> Result<Decided> {
        for _ in 0..RACE_ATTEMPTS {
            let phase = self.meta().await?.phase;
            let item = match self.gate_item(name).await? {
                Some(item) if phase == name.phase() => item,
                other => return Err(self.nothing_waits(name, phase, other.as_ref())),
            };
            if let Some(decided) = self.decided(name, decision, &item)? {
                return Ok(decided);
            }
            // Whoever wins this write, the next round reads what was decided.
            self.write_decision(name, item.attempt, decision, by).await?;
        }
        Err(self.lost_races("decide a gate"))
    }

    /// What a gate that is no longer open answers to `decision`; nothing when it is open.
    fn decided(&self, name: GateName, decision: &Decision, item: &GateItem) -> Result<Option<Decided>> {
        match (item.state, item.decision) {
            (GateState::Open, _) => Ok(None),
            (GateState::Sent, _) => Ok(Some(Decided::AlreadySent(item.gate(name)))),
            (GateState::Decided, Some(verdict)) if verdict == decision.verdict => {
                let token = item.token.as_deref().map(Token::new).ok_or_else(|| {
                    Error::internal(format_args!("gate {name} is decided without a token")).in_run(&self.run)
                })?;
                Ok(Some(Decided::Send { token, gate: item.gate(name) }))
            }
            (GateState::Decided, _) => Err(Error::blocked(format_args!(
                "gate {name} was {}; only the same decision can be repeated until it is sent",
                item.told()
            ))
            .in_run(&self.run)),
        }
    }

    async fn write_decision(&self, name: GateName, attempt: u32, decision: &Decision, by: &str) -> Result<()> {
        let verdict = decision.verdict;
        let write = Write::to(self.gate_key(name))
            .set("state", GateState::Decided.name())
            .set("decision", verdict.name())
            .set("reason", decision.reason.as_str())
            .set("decided_by", by)
            .set("decided_at", self.now())
            .if_equal("state", GateState::Open.name())
            .if_equal("attempt", attempt);
        let write = match &decision.rehearsal {
            Some(rehearsal) => write.set("rehearsal", rehearsal.as_str()),
            None => write,
        };
        if self.update("decide a gate", write).await?.is_some() {
            tracing::info!(run = %self.run, gate = %name, attempt, %verdict, by, "gate decided");
        }
        Ok(())
    }

    /// Records that Step Functions took the decision of `attempt`, and forgets the token. Repeating it is fine.
    ///
    /// # Errors
    /// [`ErrorKind::Fenced`](migration::ErrorKind::Fenced) when the gate was armed again meanwhile,
    /// [`ErrorKind::Blocked`](migration::ErrorKind::Blocked) when it is not decided.
    pub async fn mark_sent(&self, name: GateName, attempt: u32) -> Result<()> {
        let write = Write::to(self.gate_key(name))
            .set("state", GateState::Sent.name())
            .remove("token")
            .if_equal("attempt", attempt)
            .if_equal("state", GateState::Decided.name());
        if self.update("mark a gate as sent", write).await?.is_some() {
            return Ok(());
        }
        match self.gate_item(name).await? {
            Some(gate) if gate.attempt != attempt => Err(self.superseded(name, gate.attempt)),
            Some(gate) if gate.state == GateState::Sent => Ok(()),
            _ => Err(Error::blocked(format_args!("gate {name} is not decided, so nothing was sent")).in_run(&self.run)),
        }
    }

    fn superseded(&self, name: GateName, attempt: u32) -> Error {
        Error::fenced(format_args!("gate {name} was armed again, its attempt {attempt} counts now")).in_run(&self.run)
    }

    fn nothing_waits(&self, name: GateName, phase: Phase, gate: Option<&GateItem>) -> Error {
        let waits = match phase {
            Phase::Failed => "it failed: resume it first".to_owned(),
            _ if phase.is_terminal() => "it has ended".to_owned(),
            _ if phase == name.phase() => "the state machine has not armed the gate yet: try again shortly".to_owned(),
            _ => format!("gate {name} is decided in phase {}", name.phase()),
        };
        let before = gate.map_or_else(String::new, |gate| format!("; attempt {} was {}", gate.attempt, gate.told()));
        Error::blocked(format_args!(
            "nothing waits at gate {name}: the migration is in phase {phase}, and {waits}{before}"
        ))
        .in_run(&self.run)
    }
}

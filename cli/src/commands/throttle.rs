//! `throttle`: how fast a migration copies, changed while it runs.

use indicatif::HumanBytes;
use journal::CopyControl;
use migration::config::Throttle;
use migration::{Config, Result};
use serde_json::json;

use super::Exit;
use crate::args::ThrottleArgs;
use crate::session::Session;

/// Runs the verb.
pub(super) async fn run(args: &ThrottleArgs) -> Result<Exit> {
    let (session, snapshot) = Session::open(&args.run).await?;
    let CopyControl { throttle, .. } =
        session.patiently("read the throttle", || session.journal().copy_control()).await?;
    let now = throttle.unwrap_or(Config::from_json(&snapshot.meta.config)?.throttle);
    let wanted = args.change(now);
    if wanted != now {
        session.patiently("set the throttle", || session.journal().set_throttle(&wanted)).await?;
        session.console.say("running functions follow within a second");
    }
    if session.console.is_json() {
        session.console.json(&json!(wanted))?;
    } else {
        session.console.data(text(&wanted));
    }
    Ok(Exit::Done)
}

/// Limits in words.
pub(super) fn text(throttle: &Throttle) -> String {
    let rate = |bytes: std::num::NonZeroU64| format!("{}/s", HumanBytes(bytes.get()));
    let limits = [
        throttle.bytes_per_second.map(|bytes| format!("{} in all", rate(bytes))),
        throttle.bytes_per_second_per_broker.map(|bytes| format!("{} from and to each broker", rate(bytes))),
    ];
    let limits: Vec<_> = limits.into_iter().flatten().collect();
    if limits.is_empty() { "no limit".to_owned() } else { limits.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU64;

    #[test]
    fn limits_are_told_in_words() {
        let mut throttle = Throttle::default();
        assert_eq!(text(&throttle), "no limit");
        throttle.bytes_per_second = NonZeroU64::new(50 << 20);
        throttle.bytes_per_second_per_broker = NonZeroU64::new(20 << 20);
        assert_eq!(text(&throttle), "50.00 MiB/s in all, 20.00 MiB/s from and to each broker");
    }
}

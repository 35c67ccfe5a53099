//! Who can have done what is found on the target. Up to the client switch that is nobody but the migration, which has verified
//! ends, log starts, commits and configs; from then on the target belongs to the clients, and what they do there is theirs.

use chrono::{DateTime, Utc};
use journal::{Event, timestamp};
use migration::Phase;
use migration::report::validation::Problem;

/// Since when clients may be at work on the target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Switch(Option<DateTime<Utc>>);

impl Switch {
    /// What the journal says: clients may be switched from [`Phase::AwaitingClientSwitch`] on.
    pub(crate) fn of(events: &[Event]) -> Self {
        Self(events.iter().find(|event| event.to == Phase::AwaitingClientSwitch).map(|event| event.at))
    }

    /// A difference that a client, or the owner of the cluster, can have made: a warning if anybody but the migration was there
    /// to make it.
    pub(crate) fn explains(self, place: impl std::fmt::Display, message: impl std::fmt::Display) -> Problem {
        match self.0 {
            Some(at) => Problem::warning(
                place,
                format_args!("{message}; that was done after the clients could be switched ({})", timestamp(at)),
            ),
            None => Problem::failed(place, format_args!("{message}, and no client can have been switched yet")),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use migration::report::Outcome;

    /// Clients could be switched.
    pub(crate) const SWITCHED: Switch = Switch(DateTime::from_timestamp(1_700_000_000, 0));

    #[test]
    fn nothing_is_the_clients_doing_before_they_were_there() {
        let event = |to, second| Event {
            number: 1,
            from: None,
            to,
            at: DateTime::from_timestamp(second, 0).unwrap(),
            reason: String::new(),
        };
        let way = [event(Phase::Cutover, 5), event(Phase::AwaitingClientSwitch, 9), event(Phase::Validating, 20)];
        let early = Switch::of(&way[..1]).explains("orders/3", "5 records were removed");
        assert_eq!(early.outcome, Outcome::Failed);
        let later = Switch::of(&way).explains("orders/3", "5 records were removed");
        assert_eq!(later.outcome, Outcome::Warning);
        assert!(later.message.contains("1970-01-01T00:00:09"), "{}", later.message);
    }
}

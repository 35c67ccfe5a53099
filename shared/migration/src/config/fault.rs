//! Why a value cannot be what its type wants, in words for operators.

use std::fmt;

use serde::de::{Expected, Unexpected};

use super::problem::Place;

/// One reason why reading stopped.
#[derive(Debug)]
pub(super) struct Fault {
    /// Where: place and path, known as soon as it passes the value it is about.
    pub(super) at: Option<(Place, String)>,
    /// What.
    pub(super) what: What,
}

/// What is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A mapping lacks this field.
    Missing(&'static str),
    /// Anything else, in words.
    Unusable(String),
}

impl Fault {
    /// A fault in words, so far without a place.
    pub(super) fn new(message: impl fmt::Display) -> Self {
        Self { at: None, what: What::Unusable(message.to_string()) }
    }

    /// Begins with the value that it is about.
    pub(super) fn about(mut self, value: &str) -> Self {
        if let What::Unusable(message) = &mut self.what {
            message.insert_str(0, &format!("{value:?} "));
        }
        self
    }

    /// Says where, unless that is known already: the innermost place wins.
    pub(super) fn or_at(mut self, place: Place, path: &str) -> Self {
        self.at.get_or_insert_with(|| (place, path.to_owned()));
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Missing(field) => write!(f, "{field} is missing"),
            What::Unusable(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Fault {}

impl serde::de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message)
    }

    fn missing_field(field: &'static str) -> Self {
        Self { at: None, what: What::Missing(field) }
    }

    /// Names kinds and no values: the value may be a secret at a wrong place.
    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Bool(_) => "true or false",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a number",
            Unexpected::Float(_) => "a fraction, or too large a number",
            Unexpected::Unit | Unexpected::Option => "nothing",
            Unexpected::Seq => "a list",
            Unexpected::Map | Unexpected::StructVariant => "a mapping",
            _ => "text",
        };
        Self::new(format_args!("{expected} is expected, this is {found}"))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        match found {
            Unexpected::Unsigned(number) => Self::new(format_args!("{expected} is expected, this is {number}")),
            Unexpected::Signed(number) => Self::new(format_args!("{expected} is expected, this is {number}")),
            _ => Self::new(format_args!("{expected} is expected")),
        }
    }

    /// Leaves out what was found, which whoever knows the field puts in front where it may be shown.
    fn unknown_variant(found: &str, known: &'static [&'static str]) -> Self {
        Self::new(format_args!("is not one of {}{}", known.join(", "), did_you_mean(found, known)))
    }
}

/// `; did you mean x?` where one of `known` is close to what was written, else nothing.
pub(super) fn did_you_mean(written: &str, known: &[&str]) -> String {
    let distance = |candidate: &str| strsim::damerau_levenshtein(&written.to_lowercase(), candidate);
    let closest = known.iter().map(|candidate| (distance(candidate), candidate)).min();
    let abbreviated = known.iter().find(|candidate| written.len() > 2 && candidate.starts_with(written));
    match (closest, abbreviated) {
        (Some((distance, candidate)), _) if distance <= (candidate.len() / 3).max(1) => {
            format!("; did you mean {candidate}?")
        }
        (_, Some(candidate)) => format!("; did you mean {candidate}?"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let known = ["s3_bucket", "s3_prefix", "retention"];
        for (written, meant) in [("s3_buckt", "s3_bucket"), ("S3_Prefix", "s3_prefix"), ("reten", "retention")] {
            assert_eq!(did_you_mean(written, &known), format!("; did you mean {meant}?"), "{written}");
        }
        assert_eq!(did_you_mean("colour", &known), "");
        assert_eq!(did_you_mean("x", &[]), "");
    }
}

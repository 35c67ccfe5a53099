//! `${NAME}` in a configuration's strings.

use serde_json::Value;

use super::Config;
use crate::error::{Error, Result};

/// Fields that stay references: what they name is a secret.
const SECRETS: [&str; 3] = ["password", "keystore_password", "truststore_password"];

/// The configuration with every `${NAME}` outside of secrets replaced by what `env` answers.
///
/// # Errors
/// Names every variable that is not set.
pub(super) fn apply(config: &Config, env: impl Fn(&str) -> Option<String>) -> Result<Config> {
    let mut value = config.to_json();
    let mut missing = Vec::new();
    walk(&mut value, &env, &mut missing);
    if !missing.is_empty() {
        return Err(Error::invalid(format_args!("environment variables are not set: {}", missing.join(", "))));
    }
    serde_json::from_value(value).map_err(|error| Error::invalid(format_args!("after filling in variables: {error}")))
}

fn walk(value: &mut Value, env: &impl Fn(&str) -> Option<String>, missing: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let open = fields.iter_mut().filter(|(name, _)| !SECRETS.contains(&name.as_str()));
            open.for_each(|(_, field)| walk(field, env, missing));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, env, missing)),
        Value::String(text) => *text = fill(text, env, missing),
        _ => {}
    }
}

fn fill(text: &str, env: &impl Fn(&str) -> Option<String>, missing: &mut Vec<String>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, tail)) = after.split_once('}') else { break };
        filled.push_str(before);
        match env(name) {
            Some(found) => filled.push_str(&found),
            None => missing.push(name.to_owned()),
        }
        rest = tail;
    }
    filled.push_str(rest);
    filled
}

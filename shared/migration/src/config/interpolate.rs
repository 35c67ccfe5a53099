//! `${NAME}` in a configuration's strings.

use std::rc::Rc;

use super::problem::Problem;
use super::reading::join;
use super::yaml::{Entry, Kind, Node};

/// Fields that stay references: what they name is a secret.
const SECRETS: [&str; 3] = ["password", "keystore_password", "truststore_password"];

/// The file with every `${NAME}` outside of secrets replaced by what `env` answers, and a problem for each variable that
/// is not set.
pub(super) fn apply(root: &Rc<Node>, env: impl Fn(&str) -> Option<String>) -> (Rc<Node>, Vec<Problem>) {
    let mut unset = Vec::new();
    (walk(root, "", &env, &mut unset), unset)
}

fn walk(node: &Rc<Node>, path: &str, env: &impl Fn(&str) -> Option<String>, unset: &mut Vec<Problem>) -> Rc<Node> {
    let kind = match &node.kind {
        Kind::Mapping(entries) => {
            let mut entry = |Entry { key, place, value }: &Entry| {
                let secret = SECRETS.contains(&key.as_str());
                let value = if secret { Rc::clone(value) } else { walk(value, &join(path, key), env, unset) };
                Entry { key: key.clone(), place: *place, value }
            };
            Kind::Mapping(entries.iter().map(&mut entry).collect())
        }
        Kind::Sequence(items) => {
            let items = items.iter().enumerate();
            Kind::Sequence(items.map(|(n, item)| walk(item, &format!("{path}[{n}]"), env, unset)).collect())
        }
        Kind::Scalar { text, plain } => {
            let mut missing = |name: &str| {
                unset.push(Problem::at(node.place, path, format!("the environment variable {name} is not set")));
            };
            Kind::Scalar { text: fill(text, env, &mut missing), plain: *plain }
        }
    };
    Rc::new(Node { place: node.place, kind })
}

fn fill(text: &str, env: &impl Fn(&str) -> Option<String>, missing: &mut impl FnMut(&str)) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, tail)) = after.split_once('}') else { break };
        filled.push_str(before);
        match env(name) {
            Some(found) => filled.push_str(&found),
            None => missing(name),
        }
        rest = tail;
    }
    filled.push_str(rest);
    filled
}

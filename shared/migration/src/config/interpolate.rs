//! `${NAME}` in a configuration's strings.

use std::rc::Rc;

use super::problem::Problem;
use super::reading::join;
use super::yaml::{Entry, Kind, Node};

/// Fields that stay references: what they name is a secret.
const SECRETS: [&str; 3] = ["password", "keystore_password", "truststore_password"];

/// How a text has a dollar sign that is meant: values of variables are not looked through again.
const AS_IT_STANDS: &str = "; a $ that is meant as it stands comes out of a variable";

/// The file with every `${NAME}` outside of secrets replaced by what `env` answers, and a problem for each variable that
/// is not set, and for what looks like a variable and is none.
pub(super) fn apply(root: &Rc<Node>, env: impl Fn(&str) -> Option<String>) -> (Rc<Node>, Vec<Problem>) {
    let mut problems = Vec::new();
    (walk(root, "", &env, &mut problems), problems)
}

fn walk(node: &Rc<Node>, path: &str, env: &impl Fn(&str) -> Option<String>, problems: &mut Vec<Problem>) -> Rc<Node> {
    let kind = match &node.kind {
        Kind::Mapping(entries) => {
            let mut entry = |Entry { key, place, value }: &Entry| {
                let secret = SECRETS.contains(&key.as_str());
                let value = if secret { Rc::clone(value) } else { walk(value, &join(path, key), env, problems) };
                Entry { key: key.clone(), place: *place, value }
            };
            Kind::Mapping(entries.iter().map(&mut entry).collect())
        }
        Kind::Sequence(items) => {
            let items = items.iter().enumerate();
            Kind::Sequence(items.map(|(n, item)| walk(item, &format!("{path}[{n}]"), env, problems)).collect())
        }
        Kind::Scalar { text, plain } => {
            let mut found = |problem: String| problems.push(Problem::at(node.place, path, problem));
            Kind::Scalar { text: fill(text, env, &mut found), plain: *plain }
        }
    };
    Rc::new(Node { place: node.place, kind })
}

fn fill(text: &str, env: &impl Fn(&str) -> Option<String>, problem: &mut impl FnMut(String)) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        filled.push_str(before);
        let named = after.strip_prefix('{').map(|after| after.split_once('}'));
        match named {
            Some(Some((name, tail))) => {
                match env(name) {
                    Some(found) => filled.push_str(&found),
                    None => problem(format!("the environment variable {name} is not set")),
                }
                rest = tail;
                continue;
            }
            Some(None) => problem(format!("${{ is not closed by }}: a variable is written as ${{NAME}}{AS_IT_STANDS}")),
            // The end of a pattern is a $ too, before which there is no name.
            None => {
                let name: String = after.chars().take_while(|at| at.is_ascii_alphanumeric() || *at == '_').collect();
                if name.starts_with(|first: char| !first.is_ascii_digit()) {
                    problem(format!("${name} is not replaced: a variable is written as ${{{name}}}{AS_IT_STANDS}"));
                }
            }
        }
        filled.push('$');
        rest = after;
    }
    filled.push_str(rest);
    filled
}

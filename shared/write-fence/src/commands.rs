//! The commands of Kafka's own tool that remove a fence by hand.

use documents::FenceRules;

/// Topics that are named.
const NAMED: usize = 3;

/// The commands for the first topics of `rules`, where the cluster is behind `servers` and the whole list in `list`.
pub fn by_hand(rules: &FenceRules, servers: &str, list: &str) -> String {
    let command = |topic: &str, principal: &str, operation: &str| {
        format!(
            "`kafka-acls.sh --bootstrap-server {servers} --remove --force {principal} --operation {operation} --topic {topic}`"
        )
    };
    let deny = |topic: &str| command(topic, "--deny-principal 'User:*' --deny-host '*'", "Write");
    let allow = |topic: &str| command(topic, "--allow-principal 'User:*' --allow-host '*'", "All");
    let of = |topic: &String| {
        let beside = rules.allowed.contains(topic).then(|| allow(topic));
        std::iter::once(deny(topic)).chain(beside).collect::<Vec<_>>().join(" then ")
    };
    let shown: Vec<_> = rules.denied.iter().take(NAMED).map(of).collect();
    let more = rules.denied.len().saturating_sub(NAMED);
    let more = if more > 0 {
        format!(
            "; and so for {more} more topics: {list} lists them, with `allowed` for those that have the second rule"
        )
    } else {
        String::new()
    };
    shown.join("; ") + &more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_rules_of_a_topic_are_removed_what_denies_first() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let rules =
            FenceRules { denied: names(&["a", "b", "c", "d", "e"]), allowed: names(&["a"]), foreign: names(&[]) };
        let text = by_hand(&rules, "b-1:9092", "s3://b/list.json");
        assert!(
            text.starts_with(
                "`kafka-acls.sh --bootstrap-server b-1:9092 --remove --force --deny-principal 'User:*' --deny-host '*' \
                 --operation Write --topic a` then `kafka-acls.sh --bootstrap-server b-1:9092 --remove --force \
                 --allow-principal 'User:*' --allow-host '*' --operation All --topic a`; `kafka-acls.sh"
            ),
            "{text}"
        );
        assert!(text.contains("2 more topics: s3://b/list.json lists them") && !text.contains("--topic d"), "{text}");
    }
}

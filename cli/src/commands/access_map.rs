//! `access-map`: the IAM policies that stand for the source's ACLs.

use migration::{Config, Error, Result};
use topology::access_map::{AccessMap, STORED};

use super::Exit;
use crate::args::AccessMapArgs;
use crate::session::Session;

/// Runs the verb.
pub(super) async fn run(args: &AccessMapArgs) -> Result<Exit> {
    let (session, snapshot) = Session::open(&args.run).await?;
    let store = session.backup(&Config::from_json(&snapshot.meta.config)?);
    let object = session.patiently("read the access map", || store.get(STORED)).await?.ok_or_else(|| {
        Error::blocked(format_args!(
            "there is no {}: the topology is not copied yet, or clients of the target do not sign in with IAM",
            store.url(STORED)
        ))
    })?;
    let map: AccessMap = serde_json::from_slice(&object.body)
        .map_err(|error| Error::internal(format_args!("{} cannot be read: {error}", store.url(STORED))))?;
    if !map.not_expressible.is_empty() {
        let count = map.not_expressible.len();
        session.console.say(format!("note: {count} ACLs are in no policy; they are listed under not_expressible"));
    }
    match &args.principal {
        None => session.console.json(&map)?,
        Some(principal) => session.console.json(&access_of(&map, principal)?)?,
    }
    Ok(Exit::Done)
}

/// The access of `principal`, alone.
///
/// # Errors
/// Invalid, naming the principals there are, when it is none of them.
fn access_of(map: &AccessMap, principal: &str) -> Result<AccessMap> {
    let principals: Vec<_> = map.principals.iter().filter(|access| access.principal == principal).cloned().collect();
    let mut not_expressible = map.not_expressible.clone();
    not_expressible.retain(|rule| rule.rule.principal == principal);
    if principals.is_empty() && not_expressible.is_empty() {
        let known: Vec<_> = map.principals.iter().map(|access| access.principal.as_str()).collect();
        return Err(Error::invalid(format_args!("no ACL is for {principal}; there are {}", known.join(", "))));
    }
    Ok(AccessMap { cluster_arn: map.cluster_arn.clone(), principals, not_expressible })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_is_found_by_its_whole_name() {
        let access = |name: &str| serde_json::json!({"principal": name, "policies": []});
        let map: AccessMap = serde_json::from_value(serde_json::json!({
            "cluster_arn": "arn", "principals": [access("User:a"), access("User:ab")], "not_expressible": [],
        }))
        .unwrap();
        assert_eq!(access_of(&map, "User:a").unwrap().principals, map.principals[..1]);
        let error = access_of(&map, "a").unwrap_err();
        assert!(error.message.contains("User:a, User:ab"), "{error}");
    }
}

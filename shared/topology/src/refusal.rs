//! Requests that a cluster may refuse without harm to the migration.

use kafka::{Code, Error};
use migration::Result;

/// `answer`, or why the cluster does not give it: the principal may not ask, or the cluster cannot tell.
///
/// # Errors
/// Every other error.
pub fn unless_refused<T>(answer: kafka::Result<T>) -> Result<std::result::Result<T, String>> {
    match answer {
        Ok(answer) => Ok(Ok(answer)),
        Err(error) if is_refusal(&error) => Ok(Err(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// Whether the principal is not permitted to ask for it, or the cluster does not have it.
pub fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::UnsupportedApi { .. })
        || matches!(
            error.code(),
            Some(Code::ClusterAuthorizationFailed | Code::SecurityDisabled | Code::UnsupportedVersion)
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::{Api, Place};

    #[test]
    fn only_a_refusal_is_taken_for_an_answer() {
        let error = |code| Error::Broker { api: Api::DescribeAcls, code, place: Place::Cluster, message: None };
        assert_eq!(unless_refused(Ok(1)).unwrap(), Ok(1));
        let refused = unless_refused::<()>(Err(error(Code::ClusterAuthorizationFailed))).unwrap();
        assert!(refused.unwrap_err().contains("ClusterAuthorizationFailed"));
        assert!(unless_refused::<()>(Err(error(Code::NotController))).is_err());
    }
}

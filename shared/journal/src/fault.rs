//! What a failed DynamoDB call means to a migration.

use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::RequestId;
use migration::{Error, ErrorKind};

use crate::Journal;

/// Error codes that only a change outside (deployment, policy, credentials) can cure.
const DENIED: [&str; 8] = [
    "AccessDeniedException",
    "AccessDenied",
    "UnrecognizedClientException",
    "InvalidSignatureException",
    "IncompleteSignatureException",
    "MissingAuthenticationTokenException",
    "ExpiredTokenException",
    "KMSAccessDeniedException",
];

/// Error codes that pass by themselves, beside everything with an HTTP status of 500 and above.
const PASSING: [&str; 9] = [
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
    "LimitExceededException",
    "TransactionInProgressException",
    "TransactionConflictException",
    "ReplicatedWriteConflictException",
    "InternalServerError",
    "ServiceUnavailable",
];

/// What is known about a call that failed.
#[derive(Debug, Default)]
struct Failure<'a> {
    code: Option<&'a str>,
    message: &'a str,
    status: u16,
    request: &'a str,
}

impl Journal {
    /// The error for a call to DynamoDB that failed while doing `action` ("read the run").
    ///
    /// Only the service's code, message and request id are told: its raw answer may hold items, and so a task token.
    pub(crate) fn fault<E, R>(&self, action: &str, error: &SdkError<E, R>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug + Status,
        SdkError<E, R>: RequestId,
    {
        let error = match error {
            SdkError::ServiceError(service) => self.refused(
                action,
                &Failure {
                    code: service.err().code(),
                    message: service.err().message().unwrap_or("no message"),
                    status: service.raw().status_code(),
                    request: error.request_id().unwrap_or("unknown"),
                },
            ),
            SdkError::ConstructionFailure(_) => {
                Error::internal(format_args!("cannot {action}: the request is invalid"))
            }
            SdkError::DispatchFailure(failure) if !failure.is_io() && !failure.is_timeout() => self.not_sent(
                action,
                &failure.as_connector_error().map(|cause| DisplayErrorContext(cause).to_string()).unwrap_or_default(),
            ),
            SdkError::ResponseError(_) => {
                Error::transient(format_args!("cannot {action}: DynamoDB's answer was cut off"))
            }
            _ => Error::transient(format_args!("cannot {action}: DynamoDB cannot be reached or does not answer")),
        };
        error.in_run(&self.run)
    }

    /// An error of the service itself.
    fn refused(&self, action: &str, failure: &Failure<'_>) -> Error {
        let table = &self.table;
        let code = failure.code.unwrap_or("no code");
        let told = format!("{code}: {}, request {}", failure.message, failure.request);
        match kind_of(failure) {
            ErrorKind::Blocked if code == "ResourceNotFoundException" => Error::blocked(format_args!(
                "cannot {action}: DynamoDB table {table} does not exist in this account and region; deploy the stack, or \
                 set MSK_KRAFT_TABLE to its table ({told})"
            )),
            ErrorKind::Blocked => Error::blocked(format_args!(
                "cannot {action}: access to DynamoDB table {table} is denied; give this role GetItem, Query, PutItem \
                 and UpdateItem on it, or refresh the credentials ({told})"
            )),
            kind => Error::new(kind, format_args!("cannot {action} in DynamoDB table {table}: {told}")),
        }
    }

    /// A request that never left: most often the credentials are missing.
    fn not_sent(&self, action: &str, cause: &str) -> Error {
        Error::blocked(format_args!(
            "cannot {action}: no request can be sent to DynamoDB for table {}; check the credentials, the region and the \
             endpoint ({cause})",
            self.table
        ))
    }
}

/// The HTTP status of a raw answer.
pub(crate) trait Status {
    /// The code, such as 400.
    fn status_code(&self) -> u16;
}

impl Status for aws_sdk_dynamodb::config::http::HttpResponse {
    fn status_code(&self) -> u16 {
        self.status().as_u16()
    }
}

fn kind_of(failure: &Failure<'_>) -> ErrorKind {
    match failure.code {
        Some("ResourceNotFoundException") => ErrorKind::Blocked,
        Some(code) if DENIED.contains(&code) => ErrorKind::Blocked,
        Some(code) if PASSING.contains(&code) => ErrorKind::Transient,
        _ if failure.status >= 500 => ErrorKind::Transient,
        _ => ErrorKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: &str, status: u16) -> ErrorKind {
        kind_of(&Failure { code: Some(code), status, ..Failure::default() })
    }

    #[test]
    fn codes_say_who_can_help() {
        assert_eq!(kind("ResourceNotFoundException", 400), ErrorKind::Blocked);
        assert_eq!(kind("AccessDeniedException", 400), ErrorKind::Blocked);
        assert_eq!(kind("ProvisionedThroughputExceededException", 400), ErrorKind::Transient);
        assert_eq!(kind("ThrottlingException", 400), ErrorKind::Transient);
        assert_eq!(kind("Unheard", 503), ErrorKind::Transient);
        assert_eq!(kind("ValidationException", 400), ErrorKind::Internal);
        assert_eq!(kind_of(&Failure { status: 500, ..Failure::default() }), ErrorKind::Transient);
    }
}

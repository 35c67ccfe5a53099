//! Why a call of a webhook came to nothing.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use migration::{Error, ErrorKind};
use reqwest::Url;

/// Scheme, host and port of an address: what may be told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Where(String);

impl Where {
    /// That of `url`; nothing when it names no host.
    pub(crate) fn of(url: &str) -> Option<Self> {
        let url = Url::parse(url).ok()?;
        let host = url.host_str()?;
        let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
        Some(Self(format!("{}://{host}{port}", url.scheme())))
    }
}

impl fmt::Display for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name has no address.
#[derive(Debug)]
pub(super) struct NoAddress(pub(super) String);

impl fmt::Display for NoAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for NoAddress {}

/// What went wrong with a call. Displayed it is one line that names no more than scheme and host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Its URL is none.
    NoUrl,
    /// Its host has no address.
    Name { at: Where, why: String },
    /// Nothing listens there.
    Refused { at: Where },
    /// No connection, TLS included, stood in time.
    Unreachable { at: Where, after: Duration },
    /// No connection could be made for another reason.
    Network { at: Where, why: String },
    /// TLS could not be agreed on; most often the certificate is not trusted.
    Tls { at: Where, why: String },
    /// It was called and did not answer in time.
    Silent { after: Duration },
    /// It was called, and the connection ended before it answered.
    Lost { why: String },
    /// It wants to be asked elsewhere.
    Redirect { status: u16, to: Option<Where> },
    /// It answered that it would not.
    Answer { status: u16, text: String },
}

impl Fault {
    /// What `error` of a call of `url` means, which had `limit` to be answered.
    pub(super) fn of(error: &reqwest::Error, url: &str, limit: Duration) -> Self {
        let Some(at) = Where::of(url).filter(|_| !error.is_builder()) else { return Self::NoUrl };
        if !error.is_connect() {
            return if error.is_timeout() {
                Self::Silent { after: limit }
            } else {
                Self::Lost { why: innermost(error) }
            };
        }
        if let Some(NoAddress(why)) = find::<NoAddress>(error) {
            return Self::Name { at, why: why.clone() };
        }
        if let Some(why) = find::<rustls::Error>(error) {
            return Self::Tls { at, why: why.to_string() };
        }
        if error.is_timeout() {
            return Self::Unreachable { at, after: super::CONNECT.min(limit) };
        }
        match find::<io::Error>(error).map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => Self::Refused { at },
            _ => Self::Network { at, why: innermost(error) },
        }
    }

    /// Whether the call may have reached the webhook. When it certainly did not, nobody was asked for anything.
    pub(crate) const fn may_have_reached(&self) -> bool {
        matches!(self, Self::Silent { .. } | Self::Lost { .. } | Self::Redirect { .. } | Self::Answer { .. })
    }

    /// Whether the same call, made again soon, may get there. A certificate does not mend itself.
    pub(crate) const fn may_pass(&self) -> bool {
        matches!(self, Self::Name { .. } | Self::Refused { .. } | Self::Unreachable { .. } | Self::Network { .. })
    }

    /// The HTTP status, when there was an answer.
    pub(crate) const fn status(&self) -> Option<u16> {
        match self {
            Self::Redirect { status, .. } | Self::Answer { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The error for the operator: the webhook's `title`, what it was asked (`action`), and the way out.
    pub(crate) fn into_error(self, title: &str, action: &str) -> Error {
        let way_out = match &self {
            Self::NoUrl => "correct it in the configuration",
            Self::Name { .. } => "correct the host, or let the gate function's network resolve it",
            Self::Refused { .. } => "start the webhook, or correct its port",
            Self::Unreachable { .. } | Self::Network { .. } => {
                "let the gate function reach it: subnets, routes and security groups"
            }
            Self::Tls { .. } => {
                "give it a certificate for this host that has not expired, of an authority that the gate function's system trusts"
            }
            Self::Silent { .. } => "answer 202 at once and acknowledge later, or raise cutover.freeze_reaction_timeout",
            Self::Lost { .. } => "look into its log: whether it began is unknown",
            Self::Redirect { .. } => {
                "redirects are not followed, so nobody counts as asked: configure the address that takes the call itself"
            }
            Self::Answer { .. } => "",
        };
        let kind = if matches!(self, Self::Silent { .. }) { ErrorKind::Deadline } else { ErrorKind::Blocked };
        match self {
            Self::Answer { status, text } => {
                Error::new(kind, format_args!("{title} returned HTTP {status} ({action}): {text}"))
            }
            other => Error::new(kind, format_args!("{title} ({action}): {other}; {way_out}")),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoUrl => f.write_str("its URL cannot be used"),
            Self::Name { at, why } => write!(f, "the host of {at} has no address ({why})"),
            Self::Refused { at } => write!(f, "{at} refused the connection"),
            Self::Unreachable { at, after } => {
                write!(f, "no connection to {at} within {:.0} s", after.as_secs_f64())
            }
            Self::Network { at, why } => write!(f, "no connection to {at}: {why}"),
            Self::Tls { at, why } => write!(f, "no TLS with {at}: {why}"),
            Self::Silent { after } => write!(f, "it did not answer in time ({:.0} s)", after.as_secs_f64()),
            Self::Lost { why } => write!(f, "the connection ended before it answered: {why}"),
            Self::Redirect { status, to: Some(to) } => write!(f, "HTTP {status}, a redirect to {to}"),
            Self::Redirect { status, to: None } => write!(f, "HTTP {status}, a redirect"),
            Self::Answer { status, text } if text.is_empty() => write!(f, "HTTP {status}"),
            Self::Answer { status, text } => write!(f, "HTTP {status}: {text}"),
        }
    }
}

/// The outermost `T` among what caused `error`.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        // What an I/O error holds is skipped by its own `source`.
        let held = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = held.map(|held| held as &(dyn StdError + 'static)).or_else(|| cause.source());
    }
    None
}

/// What caused `error` in the first place. It holds no URL: only reqwest's own errors do.
fn innermost(error: &dyn StdError) -> String {
    let mut cause = error.source();
    while let Some(next) = cause.and_then(StdError::source) {
        cause = Some(next);
    }
    cause.map_or_else(|| "no reason is given".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_scheme_host_and_port_are_told() {
        for (url, told) in [
            ("https://bob:hunter2@example.com:8443/freeze?token=hunter3#hunter4", Some("https://example.com:8443")),
            ("https://login.example.com/sso?continue=hunter2", Some("https://login.example.com")),
            ("http://[::1]:80/hooks", Some("http://[::1]")),
            ("/login?token=hunter2", None),
            ("data:text/plain,hunter2", None),
        ] {
            assert_eq!(Where::of(url).map(|at| at.to_string()).as_deref(), told, "{url}");
        }
    }

    #[test]
    fn each_fault_says_what_it_is_and_the_way_out() {
        let at = Where::of("https://h.example/x?hunter2").unwrap();
        let why = "because".to_owned();
        let after = Duration::from_secs(7);
        // What it says, its kind, whether it may have reached the webhook, whether another try may help.
        for (fault, says, kind, reached, passes) in [
            (Fault::NoUrl, "correct it", ErrorKind::Blocked, false, false),
            (Fault::Name { at: at.clone(), why: why.clone() }, "no address", ErrorKind::Blocked, false, true),
            (Fault::Refused { at: at.clone() }, "https://h.example refused", ErrorKind::Blocked, false, true),
            (Fault::Unreachable { at: at.clone(), after }, "within 7 s; let the gate", ErrorKind::Blocked, false, true),
            (Fault::Network { at: at.clone(), why: why.clone() }, "security groups", ErrorKind::Blocked, false, true),
            (Fault::Tls { at: at.clone(), why: why.clone() }, "certificate", ErrorKind::Blocked, false, false),
            (Fault::Silent { after }, "answer 202 at once", ErrorKind::Deadline, true, false),
            (Fault::Lost { why }, "whether it began is unknown", ErrorKind::Blocked, true, false),
            (Fault::Redirect { status: 302, to: Some(at) }, "not followed", ErrorKind::Blocked, true, false),
            (Fault::Redirect { status: 303, to: None }, "HTTP 303", ErrorKind::Blocked, true, false),
            (
                Fault::Answer { status: 504, text: "deaf".to_owned() },
                "504 (freeze): deaf",
                ErrorKind::Blocked,
                true,
                false,
            ),
        ] {
            assert_eq!((fault.may_have_reached(), fault.may_pass()), (reached, passes), "{fault}");
            let error = fault.into_error("producer freeze webhook", "freeze");
            assert!(error.message.starts_with("producer freeze webhook") && error.message.contains(says), "{error}");
            assert!(error.kind == kind && !error.message.contains("hunter2"), "{error}");
        }
    }
}

//! Errors of downloads, and of single attempts at them.

use super::Address;
use std::time::Duration;

/// The error of a download that has failed for good.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{address}: {}{}", self.reason(), self.advice.as_ref().map(|advice| format!("; {advice}")).unwrap_or_default())]
pub struct FetchError {
    /// The address of the file.
    pub address: Address,
    /// The kind of the failure.
    pub failure: FetchFailure,
    /// The number of requests that were made.
    pub attempts: u32,
    /// The cause of the last request's failure.
    pub cause: String,
    /// What the user may set or change, where that can help.
    pub advice: Option<String>,
}

/// The kind of a download's failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchFailure {
    /// The server says that the file does not exist.
    Missing,
    /// The server, its certificate or its response is such that another attempt cannot succeed.
    Refused,
    /// The server requires credentials, or other ones.
    Denied,
    /// Too many attempts in a row brought nothing new; a later download may succeed.
    GaveUp,
    /// The file could not be written on this machine.
    Disk,
    /// The download was stopped, or never started.
    Stopped,
}

impl FetchError {
    /// A failure for which no request was made.
    pub(super) fn unsent(address: &Address, failure: FetchFailure, cause: impl Into<String>) -> FetchError {
        FetchError {
            address: address.clone(),
            failure,
            attempts: 0,
            cause: cause.into(),
            advice: None,
        }
    }

    /// The cause of the failure, without the address and the advice.
    pub fn reason(&self) -> String {
        let FetchError { cause, attempts, .. } = self;
        match self.failure {
            FetchFailure::GaveUp => format!("{cause} (given up after {attempts} attempts)"),
            _ => cause.clone(),
        }
    }
}

/// The messages by which resolvers say that a host does not exist (`EAI_NONAME` of `getaddrinfo`, in glibc, musl and
/// macOS). Their message while the network is down is another one.
const NO_SUCH_HOST: [&str; 3] = [
    "Name or service not known",
    "Name does not resolve",
    "nodename nor servname provided",
];

/// The error of one attempt.
#[derive(Debug)]
pub(super) enum AttemptError {
    /// Every other attempt would fail, too.
    Permanent {
        failure: FetchFailure,
        cause: String,
        advice: Option<String>,
    },
    /// Another attempt may succeed.
    Temporary {
        cause: String,
        /// The wait that the server asks for (`Retry-After`).
        after: Option<Duration>,
        kind: TemporaryKind,
        advice: Option<String>,
    },
}

/// What a temporary failure says of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TemporaryKind {
    /// The server says that requests come too fast.
    Throttled,
    /// The server may throttle: a 403 without a reason.
    PerhapsThrottled,
    /// The failure says nothing of the server's load: a broken connection, an internal error.
    Broken,
}

impl AttemptError {
    pub(super) fn permanent(failure: FetchFailure, cause: impl Into<String>) -> AttemptError {
        AttemptError::Permanent {
            failure,
            cause: cause.into(),
            advice: None,
        }
    }

    pub(super) fn temporary(cause: impl Into<String>) -> AttemptError {
        AttemptError::Temporary {
            cause: cause.into(),
            after: None,
            kind: TemporaryKind::Broken,
            advice: None,
        }
    }

    /// This error, with the host in its cause to which a redirect led.
    pub(super) fn at(self, host: &str) -> AttemptError {
        self.with_detail(&format!(", at {host}, to which it redirects"))
    }

    /// This error, with `detail` at the end of its cause.
    pub(super) fn with_detail(mut self, detail: &str) -> AttemptError {
        let (AttemptError::Permanent { cause, .. } | AttemptError::Temporary { cause, .. }) = &mut self;
        *cause += detail;
        self
    }

    pub(super) fn disk(path: &std::path::Path, e: &std::io::Error) -> AttemptError {
        AttemptError::permanent(FetchFailure::Disk, format!("{}: {e}", path.display()))
    }

    /// An error of the HTTP client, with all its causes, but without the URL, which may hold secrets. Permanent is an
    /// untrusted certificate or a host that does not exist.
    pub(super) fn of_client(error: reqwest::Error) -> AttemptError {
        let error = error.without_url();
        let mut cause = error.to_string();
        let mut permanent = error.is_builder() || error.is_redirect();
        let mut source: Option<&dyn std::error::Error> = std::error::Error::source(&error);
        while let Some(e) = source {
            let text = e.to_string();
            if !cause.contains(&text) {
                cause = format!("{cause}: {text}");
            }
            let tls = tls_error(e);
            permanent |= matches!(tls, Some(rustls::Error::InvalidCertificate(_)));
            permanent |= NO_SUCH_HOST.iter().any(|sign| text.contains(sign));
            source = e.source();
        }
        match permanent {
            true => AttemptError::permanent(FetchFailure::Refused, cause),
            false => AttemptError::temporary(cause),
        }
    }
}

/// The TLS error in an error. An I/O error that wraps one does not give it as its source.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    match error.downcast_ref::<std::io::Error>() {
        Some(io) => tls_error(io.get_ref()?),
        None => error.downcast_ref(),
    }
}

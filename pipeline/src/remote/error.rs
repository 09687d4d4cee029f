//! Why a file could not be fetched.

use super::Address;
use std::time::Duration;

/// A file that could not be fetched, for good.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{address}: {}", self.reason())]
pub struct FetchError {
    /// Where it should be.
    pub address: Address,
    /// What kind of failure it is.
    pub failure: FetchFailure,
    /// Requests that were made.
    pub attempts: u32,
    /// What the last one failed of.
    pub cause: String,
}

/// Kinds of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchFailure {
    /// The server says that there is no such file.
    Missing,
    /// The server, or its certificate, is such that another attempt cannot do better.
    Refused,
    /// Too many attempts in a row brought nothing new; a later one may.
    GaveUp,
    /// The file could not be written here.
    Disk,
    /// The download was stopped, or never begun.
    Stopped,
}

impl FetchError {
    /// Without the address.
    pub fn reason(&self) -> String {
        let FetchError {
            cause, attempts, ..
        } = self;
        match self.failure {
            FetchFailure::GaveUp => format!("{cause} (given up after {attempts} attempts)"),
            _ => cause.clone(),
        }
    }
}

/// How resolvers say that a name is none (`EAI_NONAME` of `getaddrinfo`, in glibc, musl and macOS); what
/// they say while the network is down is another error.
const NO_SUCH_HOST: [&str; 3] = [
    "Name or service not known",
    "Name does not resolve",
    "nodename nor servname provided",
];

/// Why one attempt failed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// So will every other.
    Final(FetchFailure, String),
    /// Another may not.
    Passing {
        cause: String,
        /// The wait that the server asks for.
        after: Option<Duration>,
    },
}

impl Trouble {
    pub(super) fn passing(cause: impl Into<String>) -> Trouble {
        Trouble::Passing {
            cause: cause.into(),
            after: None,
        }
    }

    pub(super) fn disk(path: &std::path::Path, e: &std::io::Error) -> Trouble {
        Trouble::Final(FetchFailure::Disk, format!("{}: {e}", path.display()))
    }

    /// Of the client: all causes, but not the URL, which may hold secrets. A certificate that is
    /// not trusted will not be at the next attempt, and a host that does not exist will not either.
    pub(super) fn of_client(error: reqwest::Error) -> Trouble {
        let error = error.without_url();
        let mut cause = error.to_string();
        let mut hopeless = error.is_builder() || error.is_redirect();
        let mut source: Option<&dyn std::error::Error> = std::error::Error::source(&error);
        while let Some(e) = source {
            let text = e.to_string();
            if !cause.contains(&text) {
                cause = format!("{cause}: {text}");
            }
            let tls = of_tls(e);
            hopeless |= matches!(tls, Some(rustls::Error::InvalidCertificate(_)));
            hopeless |= NO_SUCH_HOST.iter().any(|sign| text.contains(sign));
            source = e.source();
        }
        match hopeless {
            true => Trouble::Final(FetchFailure::Refused, cause),
            false => Trouble::passing(cause),
        }
    }
}

/// The error of TLS in errors of I/O, which do not show what they hold as their source.
fn of_tls<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    match error.downcast_ref::<std::io::Error>() {
        Some(io) => of_tls(io.get_ref()?),
        None => error.downcast_ref(),
    }
}

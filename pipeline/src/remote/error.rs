//! Why a file could not be fetched.

use super::Address;
use std::time::Duration;

/// A file that could not be fetched, for good.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{address}: {}{}", self.reason(), self.advice.as_ref().map(|advice| format!("; {advice}")).unwrap_or_default())]
pub struct FetchError {
    /// Where it should be.
    pub address: Address,
    /// What kind of failure it is.
    pub failure: FetchFailure,
    /// Requests that were made.
    pub attempts: u32,
    /// What the last one failed of.
    pub cause: String,
    /// What to set or change, where that can help.
    pub advice: Option<String>,
}

/// Kinds of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchFailure {
    /// The server says that there is no such file.
    Missing,
    /// The server, or its certificate, is such that another attempt cannot do better.
    Refused,
    /// The server wants credentials, or others than it got.
    Denied,
    /// Too many attempts in a row brought nothing new; a later one may.
    GaveUp,
    /// The file could not be written here.
    Disk,
    /// The download was stopped, or never begun.
    Stopped,
}

impl FetchError {
    /// The cause, without the address and the advice.
    pub fn reason(&self) -> String {
        let FetchError { cause, attempts, .. } = self;
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
    Final {
        failure: FetchFailure,
        cause: String,
        advice: Option<String>,
    },
    /// Another may not.
    Passing {
        cause: String,
        /// The wait that the server asks for.
        after: Option<Duration>,
        kind: Passing,
        advice: Option<String>,
    },
}

/// What a failure that may pass says of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passing {
    /// It says that one asks too fast.
    Throttled,
    /// It may say so: a 403 without a reason.
    PerhapsThrottled,
    /// Nothing: a broken line, an error of its own.
    Broken,
}

impl Trouble {
    pub(super) fn last(failure: FetchFailure, cause: impl Into<String>) -> Trouble {
        Trouble::Final {
            failure,
            cause: cause.into(),
            advice: None,
        }
    }

    pub(super) fn passing(cause: impl Into<String>) -> Trouble {
        Trouble::Passing {
            cause: cause.into(),
            after: None,
            kind: Passing::Broken,
            advice: None,
        }
    }

    /// The same, at the host that a redirect led to.
    pub(super) fn at(self, host: &str) -> Trouble {
        self.with(&format!(", at {host}, where it redirects to"))
    }

    /// The same, and more about it.
    pub(super) fn with(mut self, more: &str) -> Trouble {
        let (Trouble::Final { cause, .. } | Trouble::Passing { cause, .. }) = &mut self;
        *cause += more;
        self
    }

    pub(super) fn disk(path: &std::path::Path, e: &std::io::Error) -> Trouble {
        Trouble::last(FetchFailure::Disk, format!("{}: {e}", path.display()))
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
            true => Trouble::last(FetchFailure::Refused, cause),
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

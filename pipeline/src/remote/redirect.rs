//! Redirects: where a request is redirected to, and whether it may have credentials there.
//!
//! The client follows none by itself: it would send along what it does not know to be secret (`x-amz-security-token`, a
//! signature made for another host). Here each hop is decided anew.

use super::error::{AttemptError, FetchFailure};
use http::{HeaderValue, StatusCode};
use percent_encoding::percent_decode_str;
use reqwest::Url;

/// The most redirects that are followed: 10, as in reqwest; browsers follow 20.
const MAX_HOPS: usize = 10;
/// The length in bytes from which a value in a query may be a signature or a token.
const MIN_SECRET_BYTES: usize = 16;

/// The way of one request over redirects.
pub(super) struct Route {
    /// The URLs that were requested so far, the address first, without user and password.
    visited: Vec<Url>,
}

impl Route {
    /// A route that starts with a request to `start`.
    pub(super) fn new(start: &Url) -> Route {
        Route {
            visited: vec![bare(start)],
        }
    }

    /// Whether a response with this status redirects the request.
    pub(super) fn is_redirect(status: StatusCode) -> bool {
        matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
    }

    /// The URL to which the request has come.
    pub(super) fn here(&self) -> &Url {
        &self.visited[self.visited.len() - 1]
    }

    /// Whether all hops so far led to the scheme, host and port of the address. Only then may a request have its
    /// credentials: from elsewhere another server decides where it is sent.
    pub(super) fn is_at_home(&self) -> bool {
        let home = self.visited[0].origin();
        self.visited.iter().all(|url| url.origin() == home)
    }

    /// Whether the request has been redirected.
    pub(super) fn has_moved(&self) -> bool {
        self.visited.len() > 1
    }

    /// Follows a redirect to `location`.
    ///
    /// # Errors
    /// The redirect is refused, for good.
    pub(super) fn follow(&mut self, location: &HeaderValue) -> Result<(), AttemptError> {
        let refused = |cause: String| AttemptError::permanent(FetchFailure::Refused, cause);
        let here = self.here();
        let next = location.to_str().ok().and_then(|to| here.join(to).ok());
        let Some(next) = next.map(|next| bare(&next)) else {
            return Err(refused("redirects to something that is not a URL".to_owned()));
        };
        let host = next.host_str().unwrap_or_default();
        match (here.scheme(), next.scheme()) {
            ("https", "http") => {
                return Err(refused(format!(
                    "redirects from https to http ({host}), where anybody on the way could change it"
                )));
            }
            (_, "http" | "https") => {}
            (_, scheme) => {
                return Err(refused(format!("redirects to {scheme}:, which cannot be read")));
            }
        }
        if let Some(name) = self.query_value_in(&next) {
            return Err(refused(format!(
                "redirects to another host ({host}) and passes it the value of `{name}` in this URL, which may be a \
                 signature; if it is not, use the address on that host"
            )));
        }
        if self.visited.contains(&next) {
            return Err(refused("redirects in a circle".to_owned()));
        }
        if self.visited.len() > MAX_HOPS {
            return Err(refused(format!("more than {MAX_HOPS} redirects")));
        }
        self.visited.push(next);
        Ok(())
    }

    /// The name of a long value in the address's query that `next`, on another host, contains, too.
    fn query_value_in(&self, next: &Url) -> Option<String> {
        let home = &self.visited[0];
        // From http to https nothing leaves the host.
        let upgraded = next.scheme() == "https" && next.host() == home.host();
        if next.origin() == home.origin() || upgraded {
            return None;
        }
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (raw, plain) = (next.as_str(), decoded(next.as_str()));
        home.query()?.split('&').find_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or(("", pair));
            let is_there = raw.contains(value) || plain.contains(&decoded(value));
            (value.len() >= MIN_SECRET_BYTES && is_there).then(|| decoded(name))
        })
    }
}

/// `url` without user, password and fragment.
fn bare(url: &Url) -> Url {
    let mut url = url.clone();
    // These fail only for URLs without a host, which are refused.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the redirect `location` leads from `from` and whether that is at home; or why it is refused.
    fn follow(from: &str, location: &str) -> Result<(String, bool), String> {
        let mut route = Route::new(&from.parse().unwrap());
        match route.follow(&HeaderValue::from_str(location).unwrap()) {
            Ok(()) => Ok((route.here().to_string(), route.is_at_home())),
            Err(AttemptError::Permanent { cause, .. }) => Err(cause),
            Err(AttemptError::Temporary { .. }) => panic!("{location}: no attempt can succeed"),
        }
    }

    #[test]
    fn home_is_scheme_host_and_port() {
        for (from, location, to, home) in [
            ("http://u:p@h/a", "/b?c#d", "http://h/b?c", true),
            ("http://h/a/x", "y", "http://h/a/y", true),
            ("https://h/a", "https://h:443/b", "https://h/b", true),
            ("https://h/a", "HTTPS://H/b", "https://h/b", true),
            ("http://h/a", "https://h/a", "https://h/a", false),
            ("https://h/a", "https://h:8443/a", "https://h:8443/a", false),
            ("https://h/a", "https://h.g/a", "https://h.g/a", false),
            ("https://h/a", "//g/a", "https://g/a", false),
            ("https://h/a", "\\\\g\\a", "https://g/a", false),
            // Credentials that another server makes up are not ours, and are not sent.
            ("https://h/a", "https://u:p@g/a", "https://g/a", false),
            ("https://h/a", "https://h@g/a", "https://g/a", false),
        ] {
            assert_eq!(follow(from, location), Ok((to.into(), home)), "{location}");
        }
    }

    #[test]
    fn refused() {
        let signed = "https://h/a?X-Amz-Date=20260101&X-Amz-Signature=0123456789abcdef0%2Fb";
        for (from, location, cause) in [
            ("https://h/a", "http://h/a", "from https to http"),
            ("https://h/a", "ftp://h/a", "ftp:, which cannot be read"),
            ("https://h/a", "file:///etc/passwd", "file:, which"),
            ("https://h/a", "s3://bucket/key", "s3:, which"),
            ("https://h/a", "https://", "not a URL"),
            ("https://h/a", "/a#b", "in a circle"),
            (signed, "https://g/?s=0123456789abcdef0%2Fb", "X-Amz-Signa"),
            (signed, "https://g/?s=0123456789abcdef0/b", "X-Amz-Signa"),
            (signed, "https://g/0123456789abcdef0%2fb/", "X-Amz-Signa"),
        ] {
            let said = follow(from, location).unwrap_err();
            assert!(said.contains(cause), "{location}: {said}");
        }
        assert!(follow(signed, "https://g/?d=20260101").is_ok());
        assert!(follow(signed, "/b?s=0123456789abcdef0%2Fb").is_ok());
        assert!(follow("http://h/?s=0123456789abcdef", "https://h/?s=0123456789abcdef").is_ok());
        let mut route = Route::new(&"https://h/".parse().unwrap());
        let unreadable = HeaderValue::from_bytes(b"/\xff").unwrap();
        assert!(route.follow(&unreadable).is_err());
    }

    #[test]
    fn a_route_that_was_elsewhere_is_not_at_home_again() {
        let mut route = Route::new(&"https://h/".parse().unwrap());
        let mut follow = |to| route.follow(&HeaderValue::from_static(to));
        follow("https://g/").unwrap();
        follow("https://h/secret").unwrap();
        assert!(!route.is_at_home() && route.has_moved());
    }

    #[test]
    fn hops_are_counted() {
        let mut route = Route::new(&"https://h/".parse().unwrap());
        for hop in 1..=MAX_HOPS {
            let location = HeaderValue::from_str(&format!("/{hop}")).unwrap();
            route.follow(&location).unwrap();
        }
        let said = route.follow(&HeaderValue::from_static("/on"));
        assert!(format!("{said:?}").contains("more than 10 redirects"));
    }
}

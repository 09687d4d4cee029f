//! Refusals: what a response means that brings nothing.

use super::backoff;
use super::error::{AttemptError, FetchFailure, TemporaryKind};
use super::network::Session;
use super::redirect::Route;
use super::{Address, crawl, s3};
use http::StatusCode;
use http::header;
use std::time::Duration;
use tokio::time::timeout;

/// The most bytes that are read of the body of a refusal, which may say why.
const EXPLANATION_BYTES: usize = 4096;
/// The time in which the body of a refusal must have come.
const EXPLANATION_TIMEOUT: Duration = Duration::from_secs(5);
/// The header in which S3 names the region of a bucket.
const BUCKET_REGION: &str = "x-amz-bucket-region";

/// A response that brings nothing.
pub(super) struct Refusal {
    status: StatusCode,
    /// The `Code` of an S3 error in the body.
    code: Option<String>,
    /// The region in which the bucket is, according to S3.
    pub(super) region: Option<String>,
    /// The wait that the server asks for (`Retry-After`).
    after: Option<Duration>,
}

impl Refusal {
    /// Reads the refusal in `response`; its body only if it `explains` the refusal.
    pub(super) async fn read(mut response: reqwest::Response, explains: bool) -> Refusal {
        let text = |name: &str| response.headers().get(name)?.to_str().ok();
        let after = text(header::RETRY_AFTER.as_str());
        let after = after.and_then(|value| backoff::retry_after(value, chrono::Utc::now()));
        let region = text(BUCKET_REGION).map(str::to_owned);
        let body = match explains {
            true => explanation(&mut response).await,
            false => String::new(),
        };
        Refusal {
            status: response.status(),
            code: element(&body, "Code"),
            region: region.or_else(|| element(&body, "Region")),
            after,
        }
    }
}

impl Session {
    /// The error that a refusal of the request for `address` means.
    pub(super) fn refused(&self, address: &Address, route: &Route, refusal: Refusal) -> AttemptError {
        let Refusal {
            status,
            code,
            region,
            after,
        } = refusal;
        let cause = match &code {
            Some(code) => format!("{status} ({code})"),
            None => status.to_string(),
        };
        let code = code.as_deref().unwrap_or_default();
        let temporary = |kind, advice| {
            if let Some(after) = after {
                // The wait is meant for all downloads.
                let wait = after.min(self.policy.longest_asked);
                self.gate.close(self.clock.now() + wait);
            }
            AttemptError::Temporary {
                cause: cause.clone(),
                after,
                kind,
                advice,
            }
        };
        let failure = match status {
            _ if s3::is_denial(code) => FetchFailure::Denied,
            _ if s3::is_of_region(code) || s3::is_final(code) => FetchFailure::Refused,
            _ if s3::is_busy(code) => return temporary(TemporaryKind::Throttled, None),
            StatusCode::NOT_FOUND | StatusCode::GONE => FetchFailure::Missing,
            StatusCode::UNAUTHORIZED => FetchFailure::Denied,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                return temporary(TemporaryKind::Throttled, None);
            }
            // All files of Common Crawl are public, so a 403 says that requests come too fast.
            StatusCode::FORBIDDEN if is_common_crawl(address) => {
                return temporary(TemporaryKind::Throttled, None);
            }
            StatusCode::FORBIDDEN => {
                return match (address, &self.s3) {
                    // S3 itself throttles by 503.
                    (Address::S3 { bucket, .. }, Ok(s3)) => {
                        temporary(TemporaryKind::Broken, s3.advice(bucket, "AccessDenied", None))
                    }
                    _ => temporary(TemporaryKind::PerhapsThrottled, None),
                };
            }
            StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED => FetchFailure::Refused,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => {
                return temporary(TemporaryKind::Broken, None);
            }
            status if status.is_server_error() => return temporary(TemporaryKind::Broken, None),
            _ => FetchFailure::Refused,
        };
        let advice = match (address, &self.s3) {
            (Address::S3 { bucket, .. }, Ok(s3)) => {
                let code = if route.is_at_home() { code } else { "TemporaryRedirect" };
                s3.advice(bucket, code, region.as_deref())
            }
            _ if failure == FetchFailure::Denied => Some(
                "it asks for credentials: put user and password into the URL, or use a signed URL that has not expired; \
                 for a bucket, use its s3:// address, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                    .to_owned(),
            ),
            _ => None,
        };
        AttemptError::Permanent { failure, cause, advice }
    }
}

fn is_common_crawl(address: &Address) -> bool {
    let store: Result<Address, _> = crawl::STORE.parse();
    store.is_ok_and(|store| address.root() == store)
}

/// The first bytes of the body of a refusal as text.
async fn explanation(response: &mut reqwest::Response) -> String {
    let mut body = Vec::new();
    let read = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() >= EXPLANATION_BYTES {
                break;
            }
        }
    };
    // After a timeout, what has come is used.
    let _ = timeout(EXPLANATION_TIMEOUT, read).await;
    String::from_utf8_lossy(&body).into_owned()
}

/// The content of the element `name` of an S3 error, if it is a word, which can be shown to the user.
fn element(body: &str, name: &str) -> Option<String> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (word, _) = rest.split_once(&format!("</{name}>"))?;
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (word.len() < 64 && word.bytes().all(is_word)).then(|| word.to_owned())
}

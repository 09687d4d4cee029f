//! S3: URLs of objects, regions, credentials, signatures, and the meaning of error codes.

use super::Address;
use super::error::{AttemptError, FetchFailure};
use crate::runtime::parallel::lock;
use http::{HeaderValue, Method};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpService,
};
use object_store::{ClientOptions, HeaderMap};
use reqwest::Url;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::timeout;

/// The time in which credentials that a server gives (a role's) must have come, over all attempts.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(300);

/// The configuration of S3: variables of the environment, as the AWS command line reads them.
///
/// Read are `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`
/// (or `AWS_DEFAULT_REGION`; default us-east-1, where Common Crawl is), `AWS_ENDPOINT_URL_S3` or
/// `AWS_ENDPOINT_URL`, the variables of container roles (`AWS_CONTAINER_CREDENTIALS_...`) and of web
/// identities (`AWS_WEB_IDENTITY_TOKEN_FILE`), `AWS_REQUEST_PAYER`, and `AWS_SKIP_SIGNATURE`. Without any
/// credentials requests are anonymous. Profiles and credential files are not read. Where S3 says that a bucket is
/// in another region, that one is used.
#[derive(Clone, Default)]
pub struct S3Options {
    variables: BTreeMap<String, String>,
}

/// The variables of which any says that requests are to be signed.
const CREDENTIALS: [AmazonS3ConfigKey; 5] = [
    AmazonS3ConfigKey::AccessKeyId,
    AmazonS3ConfigKey::SecretAccessKey,
    AmazonS3ConfigKey::WebIdentityTokenFile,
    AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
    AmazonS3ConfigKey::ContainerCredentialsFullUri,
];

impl S3Options {
    /// The configuration in the variables of the environment.
    pub fn from_env() -> S3Options {
        let variables = std::env::vars_os();
        S3Options::from_variables(
            variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    /// The configuration in the given variables. Empty ones count as not set; white space around a value is ignored.
    pub fn from_variables(variables: impl IntoIterator<Item = (String, String)>) -> S3Options {
        let trimmed = |(name, value): (String, String)| (name, value.trim().to_owned());
        let ours = |(name, value): &(String, String)| name.starts_with("AWS_") && !value.is_empty();
        S3Options {
            variables: variables.into_iter().map(trimmed).filter(ours).collect(),
        }
    }
}

/// Shows the names of the variables alone: values may be secret.
impl fmt::Debug for S3Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

/// A server with the S3 API.
pub(super) struct S3 {
    /// The URL of the server; `None`: AWS, where each region has a server of its own.
    endpoint: Option<String>,
    region: String,
    /// The regions that S3 has named, by bucket.
    regions: Mutex<BTreeMap<String, String>>,
    /// The source of credentials; `None`: requests are anonymous.
    credentials: Option<AwsCredentialProvider>,
    request_payer: bool,
}

impl S3 {
    pub(super) fn new(options: &S3Options, client: &reqwest::Client) -> Result<S3, String> {
        let mut builder = AmazonS3Builder::new();
        for (name, value) in &options.variables {
            if let Ok(key) = name.to_ascii_lowercase().parse() {
                builder = builder.with_config(key, value);
            }
        }
        let value = |key| builder.get_config_value(&key);
        let region = value(AmazonS3ConfigKey::Region).unwrap_or_else(|| "us-east-1".to_owned());
        if !is_region(&region) {
            return Err("AWS_REGION is not the name of a region, such as us-east-1".to_owned());
        }
        let endpoint = value(AmazonS3ConfigKey::S3Endpoint).or(value(AmazonS3ConfigKey::Endpoint));
        let yes = |key| value(key).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let anonymous =
            yes(AmazonS3ConfigKey::SkipSignature) || CREDENTIALS.into_iter().all(|key| value(key).is_none());
        let payer = value(AmazonS3ConfigKey::RequestPayer);
        let payer = payer.is_some_and(|v| ["true", "requester"].contains(&&*v.to_lowercase()));
        let credentials = if anonymous {
            None
        } else {
            // The store itself makes no request for files, so any bucket will do.
            let store = builder
                .with_bucket_name("any")
                .with_http_connector(Connector(client.clone()))
                .build();
            Some(store.map_err(|e| e.to_string())?.credentials().clone())
        };
        Ok(S3 {
            endpoint,
            region,
            regions: Mutex::default(),
            credentials,
            request_payer: payer,
        })
    }

    /// The region in which the objects of a bucket are requested.
    pub(super) fn region(&self, bucket: &str) -> String {
        let named = lock(&self.regions).get(bucket).cloned();
        named.unwrap_or_else(|| self.region.clone())
    }

    /// Records the region that S3 has named for a bucket; false if it cannot be one.
    pub(super) fn learn(&self, bucket: &str, region: &str) -> bool {
        let is_region = is_region(region);
        if is_region {
            lock(&self.regions).insert(bucket.to_owned(), region.to_owned());
        }
        is_region
    }

    /// The URL of an object in a region.
    pub(super) fn url(&self, bucket: &str, key: &str, region: &str) -> Result<Url, AttemptError> {
        let of_region = || {
            // Source: https://docs.aws.amazon.com/general/latest/gr/s3.html
            let china = if region.starts_with("cn-") { ".cn" } else { "" };
            format!("https://s3.{region}.amazonaws.com{china}")
        };
        let endpoint = self.endpoint.clone().unwrap_or_else(of_region);
        Address::object_url(bucket, key, &endpoint).map_err(|e| refused(&e))
    }

    /// The request for a URL of this server, signed with its headers if there are credentials.
    pub(super) async fn request(
        &self,
        url: Url,
        headers: HeaderMap,
        region: &str,
    ) -> Result<reqwest::Request, AttemptError> {
        let mut request = http::Request::get(url.as_str())
            .body(HttpRequestBody::empty())
            .map_err(|e| refused(&e))?;
        *request.headers_mut() = headers;
        if let Some(credentials) = &self.credentials {
            let credential = timeout(CREDENTIALS_TIMEOUT, credentials.get_credential()).await;
            let credential = credential.map_err(|_| refused(&"no credentials in time"))?;
            let credential = credential.map_err(|e| refused(&format!("no credentials: {e}")))?;
            // Both become values of headers.
            let token = credential.token.as_deref().unwrap_or_default();
            if [&credential.key_id, token]
                .map(HeaderValue::from_str)
                .iter()
                .any(Result::is_err)
            {
                return Err(refused(
                    &"AWS_ACCESS_KEY_ID or AWS_SESSION_TOKEN has a character that credentials cannot have",
                ));
            }
            AwsAuthorizer::new(&credential, "s3", region)
                .with_request_payer(self.request_payer)
                .try_authorize(&mut request, None)
                .map_err(|e| refused(&e))?;
        }
        let mut ours = reqwest::Request::new(Method::GET, url);
        *ours.headers_mut() = std::mem::take(request.headers_mut());
        Ok(ours)
    }

    /// What the user can do about the refusal `code`; `region` is the bucket's, if S3 has named it.
    pub(super) fn advice(&self, bucket: &str, code: &str, region: Option<&str>) -> Option<String> {
        let keys = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN, if they are a session's)";
        let advice = match (code, region.filter(|region| is_region(region))) {
            ("InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken", _) => {
                format!("check {keys} in the environment")
            }
            ("ExpiredToken" | "TokenRefreshRequired", _) => {
                format!("the session has ended: set new {keys}")
            }
            ("RequestTimeTooSkewed", _) => "set the clock of this machine right".to_owned(),
            (code, Some(region)) if is_of_region(code) || code.is_empty() => match &self.endpoint {
                None => format!("the bucket is in {region}: set AWS_REGION={region}"),
                Some(_) => format!(
                    "the bucket is in {region}: set AWS_REGION={region}, and set AWS_ENDPOINT_URL to the server of that \
                     region or unset it"
                ),
            },
            _ if is_of_region(code) => "set AWS_REGION to the region of the bucket".to_owned(),
            _ if !is_denial(code) => return None,
            _ if self.credentials.is_none() => {
                let elsewhere = match bucket {
                    "commoncrawl" => {
                        format!("; or use --store {}, which needs none", super::crawl::STORE)
                    }
                    _ => String::new(),
                };
                format!(
                    "the request had no credentials: set {keys}; profiles and credential files are not read{elsewhere}"
                )
            }
            _ => format!(
                "the credentials in {keys} may not read this: set others, AWS_SKIP_SIGNATURE=true to ask for public \
                 files without any, or AWS_REQUEST_PAYER=requester where the reader pays"
            ),
        };
        Some(advice)
    }
}

fn refused(cause: &dyn fmt::Display) -> AttemptError {
    AttemptError::permanent(FetchFailure::Refused, cause.to_string())
}

/// Whether a text can be a region. It becomes part of a host's name, so nothing else may pass.
fn is_region(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=32).contains(&text.len()) && text.bytes().all(plain)
}

/// Whether `code` says that the request was sent to another region than the bucket's.
/// Source of this list and the next: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
pub(super) fn is_of_region(code: &str) -> bool {
    [
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
        "PermanentRedirect",
        "TemporaryRedirect",
    ]
    .contains(&code)
}

/// Whether `code` refuses the request's credentials, or the lack of them.
pub(super) fn is_denial(code: &str) -> bool {
    [
        "AccessDenied",
        "AccountProblem",
        "AllAccessDisabled",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidPayer",
        "InvalidSecurity",
        "InvalidToken",
        "NotSignedUp",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnauthorizedAccess",
    ]
    .contains(&code)
}

/// Whether `code` is another refusal that every attempt would meet, whatever the status.
pub(super) fn is_final(code: &str) -> bool {
    ["InvalidBucketName", "InvalidObjectState", "NoSuchBucket"].contains(&code)
}

/// Whether `code` says that the server is busy for now.
pub(super) fn is_busy(code: &str) -> bool {
    ["InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown"].contains(&code)
}

/// Our HTTP client, for the requests by which `object_store` gets credentials.
#[derive(Debug)]
struct Connector(reqwest::Client);

#[derive(Debug)]
struct Service(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Service(self.0.clone())))
    }
}

impl HttpService for Service {
    fn call<'a, 'b>(
        &'a self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let unknown = |e: reqwest::Error| HttpError::new(HttpErrorKind::Unknown, e);
            let (parts, body) = request.into_parts();
            let url = parts.uri.to_string();
            let mut request = self.0.request(parts.method, url).headers(parts.headers);
            if let Some(body) = body.as_bytes() {
                request = request.body(body.clone());
            }
            let mut received = request.send().await.map_err(unknown)?;
            let mut response = http::Response::new(());
            *response.status_mut() = received.status();
            *response.headers_mut() = std::mem::take(received.headers_mut());
            let body = received.bytes().await.map_err(unknown)?;
            Ok(response.map(|()| body.into()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3(variables: &[(&str, &str)]) -> Result<S3, String> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let owned = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
        let options = S3Options::from_variables(variables.iter().map(owned));
        S3::new(&options, &reqwest::Client::new())
    }

    #[test]
    fn regions_have_servers_of_their_own() {
        let s3 = s3(&[("AWS_REGION", "eu-west-3\n")]).unwrap();
        for (named, host) in [
            (None, "s3.eu-west-3.amazonaws.com"),
            (Some("us-west-2"), "s3.us-west-2.amazonaws.com"),
            (Some("cn-north-1"), "s3.cn-north-1.amazonaws.com.cn"),
        ] {
            assert!(named.is_none_or(|region| s3.learn("b", region)));
            let url = s3.url("b", "k", &s3.region("b")).unwrap();
            assert_eq!(url.as_str(), format!("https://{host}/b/k"));
        }
        assert_eq!(s3.region("other"), "eu-west-3");
        // The name becomes part of a host that receives signatures.
        for no in ["", "evil.example/", "a.b", "a@b", "x#", "US", "a\r\nb", &"x".repeat(33)] {
            assert!(!s3.learn("c", no), "{no:?}");
            assert_eq!(s3.region("c"), "eu-west-3");
        }
        assert!(self::s3(&[("AWS_REGION", "evil.example/")]).is_err());
    }

    #[test]
    fn advice_says_what_to_set() {
        let anonymous = s3(&[]).unwrap();
        let says = |bucket, code, region| anonymous.advice(bucket, code, region).unwrap_or_default();
        assert!(says("b", "AccessDenied", None).contains("set AWS_ACCESS_KEY_ID and"));
        let crawl = says("commoncrawl", "AccessDenied", None);
        assert!(crawl.contains("--store https://data.commoncrawl.org/"), "{crawl}");
        let named = says("b", "PermanentRedirect", Some("eu-west-3"));
        assert!(named.contains("set AWS_REGION=eu-west-3"), "{named}");
        let unnamed = says("b", "PermanentRedirect", Some("evil\u{1b}[2J"));
        assert_eq!(unnamed, "set AWS_REGION to the region of the bucket");
        assert_eq!(says("b", "NoSuchKey", None), "");
        let keys = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "key")];
        let signed = s3(&keys).unwrap().advice("b", "AccessDenied", None).unwrap();
        assert!(signed.contains("AWS_SKIP_SIGNATURE=true"), "{signed}");
    }
}

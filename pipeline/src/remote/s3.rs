//! S3: URLs of objects, credentials, signatures.

use super::Address;
use super::error::{FetchFailure, Trouble};
use http::Method;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpService,
};
use object_store::{ClientOptions, HeaderMap};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// How to talk to S3: variables of the environment, as the AWS command line knows them.
///
/// Read are `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`
/// (or `AWS_DEFAULT_REGION`; default us-east-1, where Common Crawl is), `AWS_ENDPOINT_URL_S3` or
/// `AWS_ENDPOINT_URL`, those of roles of containers (`AWS_CONTAINER_CREDENTIALS_...`) and of web
/// identities (`AWS_WEB_IDENTITY_TOKEN_FILE`), and `AWS_REQUEST_PAYER`. Without any credentials
/// requests are anonymous. Profiles and credential files are not read.
#[derive(Clone, Default)]
pub struct S3Options {
    variables: BTreeMap<String, String>,
}

/// Any of these says that requests are to be signed.
const CREDENTIALS: [AmazonS3ConfigKey; 5] = [
    AmazonS3ConfigKey::AccessKeyId,
    AmazonS3ConfigKey::SecretAccessKey,
    AmazonS3ConfigKey::WebIdentityTokenFile,
    AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
    AmazonS3ConfigKey::ContainerCredentialsFullUri,
];

impl S3Options {
    /// Of the environment.
    pub fn from_env() -> S3Options {
        let variables = std::env::vars_os();
        S3Options::from_variables(variables.filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }))
    }

    /// Of variables given. Empty ones count as not set.
    pub fn from_variables(variables: impl IntoIterator<Item = (String, String)>) -> S3Options {
        let ours = |(name, value): &(String, String)| name.starts_with("AWS_") && !value.is_empty();
        S3Options {
            variables: variables.into_iter().filter(ours).collect(),
        }
    }
}

/// Names only: values may be secret.
impl fmt::Debug for S3Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

/// A server with the S3 API.
pub(super) struct S3 {
    endpoint: String,
    region: String,
    /// `None`: anonymous.
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
        let endpoint = value(AmazonS3ConfigKey::S3Endpoint).or(value(AmazonS3ConfigKey::Endpoint));
        let endpoint = endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let yes = |key| value(key).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let anonymous = yes(AmazonS3ConfigKey::SkipSignature)
            || CREDENTIALS.into_iter().all(|key| value(key).is_none());
        let payer = value(AmazonS3ConfigKey::RequestPayer);
        let payer = payer.is_some_and(|v| ["true", "requester"].contains(&&*v.to_lowercase()));
        let credentials = if anonymous {
            None
        } else {
            // The store itself makes no request of ours, so any bucket will do.
            let store = builder
                .with_bucket_name("any")
                .with_http_connector(Connector(client.clone()))
                .build();
            Some(store.map_err(|e| e.to_string())?.credentials().clone())
        };
        Ok(S3 {
            endpoint,
            region,
            credentials,
            request_payer: payer,
        })
    }

    /// The request for an object; with credentials, headers are signed too.
    pub(super) async fn request(
        &self,
        bucket: &str,
        key: &str,
        headers: HeaderMap,
    ) -> Result<reqwest::Request, Trouble> {
        let refused = |e: &dyn fmt::Display| Trouble::Final(FetchFailure::Refused, e.to_string());
        let url = Address::object_url(bucket, key, &self.endpoint).map_err(|e| refused(&e))?;
        let mut request = http::Request::get(url.as_str())
            .body(HttpRequestBody::empty())
            .map_err(|e| refused(&e))?;
        *request.headers_mut() = headers;
        if let Some(credentials) = &self.credentials {
            let credential = credentials.get_credential().await;
            let credential = credential.map_err(|e| refused(&format!("no credentials: {e}")))?;
            AwsAuthorizer::new(&credential, "s3", &self.region)
                .with_request_payer(self.request_payer)
                .try_authorize(&mut request, None)
                .map_err(|e| refused(&e))?;
        }
        let mut ours = reqwest::Request::new(Method::GET, url);
        *ours.headers_mut() = std::mem::take(request.headers_mut());
        Ok(ours)
    }
}

/// Why S3 says no, if another attempt cannot do better. A mere `AccessDenied` may be one that asks
/// too fast, elsewhere than on AWS.
pub(super) fn is_final(code: &str) -> bool {
    [
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidBucketName",
        "InvalidToken",
        "PermanentRedirect",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    ]
    .contains(&code)
}

/// Our client, for the requests that get credentials.
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
            let mut answer = request.send().await.map_err(unknown)?;
            let mut response = http::Response::new(());
            *response.status_mut() = answer.status();
            *response.headers_mut() = std::mem::take(answer.headers_mut());
            let body = answer.bytes().await.map_err(unknown)?;
            Ok(response.map(|()| body.into()))
        })
    }
}

//! Against a server with the S3 API: `moto`, which checks signatures. Where there is none
//! (`c4_tests::python`), the tests say so and pass. What moto does not do (regions, denials for the wrong reason) a
//! server of ours says as AWS does.

use c4_pipeline::input::{self, Places};
use c4_pipeline::remote::crawl::{CrawlFiles, Sample};
use c4_pipeline::remote::{
    Address, FetchError, FetchFailure, FetchOptions, Fetcher, Network, NetworkOptions, RetryPolicy, S3Options, Transfer,
};
use c4_tests::python::Script;
use c4_tests::server::{Heard, breaking_proxy, noise, reply, serve};
use c4_tests::{gzip, skipped};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

/// Serves the files of a folder from the bucket `crawl`; those below `public/` to everybody. A user
/// and a role may read the others. Ends when its standard input does.
const SCRIPT: &str = r#"
import json, os, sys, urllib.request
import boto3, logging
from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
host, port = server.get_host_and_port()
endpoint = f"http://{host}:{port}"
def client(name):
    return boto3.client(name, endpoint_url=endpoint, region_name="eu-west-3",
                        aws_access_key_id="admin", aws_secret_access_key="admin")
s3, iam, sts = client("s3"), client("iam"), client("sts")
s3.create_bucket(Bucket="crawl", CreateBucketConfiguration={"LocationConstraint": "eu-west-3"})
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        path = os.path.join(folder, name)
        key = os.path.relpath(path, sys.argv[1])
        acl = "public-read" if key.startswith("public/") else "private"
        with open(path, "rb") as file:
            s3.put_object(Bucket="crawl", Key=key, Body=file.read(), ACL=acl)
allow = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::crawl/*"}]}
iam.create_user(UserName="reader")
iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=json.dumps(allow))
user = iam.create_access_key(UserName="reader")["AccessKey"]
trust = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
role = iam.create_role(RoleName="reader", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
iam.put_role_policy(RoleName="reader", PolicyName="read", PolicyDocument=json.dumps(allow))
session = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="session")["Credentials"]
if sys.argv[2] == "checks":
    # From here on, signatures and policies count.
    reset = f"{endpoint}/moto-api/reset-auth"
    plain = {"Content-Type": "text/plain"}
    urllib.request.urlopen(urllib.request.Request(reset, data=b"0", headers=plain)).read()
print(json.dumps({
    "address": f"{host}:{port}",
    "user": [user["AccessKeyId"], user["SecretAccessKey"]],
    "session": [session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"]],
}), flush=True)
sys.stdin.read()
"#;

struct Moto {
    address: SocketAddr,
    user: [String; 2],
    session: [String; 3],
    _script: Script,
}

/// Serves anybody what is public; takes any signature.
static OPEN: LazyLock<Option<Moto>> = LazyLock::new(|| start("open"));
/// Checks signatures; knows nothing of requests without.
static CHECKS: LazyLock<Option<Moto>> = LazyLock::new(|| start("checks"));

fn start(mode: &str) -> Option<Moto> {
    let dir = tempfile::tempdir().unwrap();
    for (key, bytes) in objects() {
        let path = dir.path().join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let mut script = Script::start(SCRIPT, &[dir.path(), Path::new(mode)])?;
    let json: serde_json::Value = serde_json::from_str(&script.line()).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    Some(Moto {
        address: text(&json["address"]).parse().unwrap(),
        user: [0, 1].map(|i| text(&json["user"][i])),
        session: [0, 1, 2].map(|i| text(&json["session"][i])),
        _script: script,
    })
}

const LARGE: &str = "private/large.warc.gz";
/// Only without signatures: moto does not check those of such keys as AWS does, not even boto3's. Our
/// unit tests compare its URL with boto3's.
const STRANGE: &str = "public/a b+c=é~(1),'x'/*&$@:;!.gz";

fn objects() -> BTreeMap<String, Vec<u8>> {
    let mut objects = BTreeMap::from([
        ("public/a.gz".to_owned(), noise("a", 100_000)),
        (STRANGE.to_owned(), noise("strange", 1000)),
        (LARGE.to_owned(), noise("large", 3_000_000)),
        ("private/one-byte.gz".to_owned(), vec![7]),
    ]);
    let listing: Vec<String> = (0..30).map(|i| format!("crawl-data/x/{i:02}.warc.gz")).collect();
    let key = "crawl-data/CC-MAIN-2019-18/warc.paths.gz".to_owned();
    objects.insert(key, gzip(listing.join("\n").as_bytes()));
    objects
}

fn network(endpoint: SocketAddr, variables: &[(&str, &str)]) -> Network {
    let endpoint = format!("http://{endpoint}");
    let given = [("AWS_ENDPOINT_URL", endpoint.as_str()), ("AWS_REGION", "eu-west-3")];
    let variables = given.iter().chain(variables);
    let variables = variables.map(|(name, value)| (name.to_string(), value.to_string()));
    Network::new(NetworkOptions {
        retry: RetryPolicy {
            outage: Duration::ZERO,
            base: Duration::from_millis(2),
            cap: Duration::from_millis(20),
            ..RetryPolicy::default()
        },
        s3: S3Options::from_variables(variables),
        ..NetworkOptions::default()
    })
}

fn as_user(moto: &Moto, endpoint: SocketAddr) -> Network {
    let [id, secret] = &moto.user;
    network(
        endpoint,
        &[("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret)],
    )
}

fn get(network: &Network, key: &str) -> Result<Vec<u8>, FetchError> {
    network.get(&format!("s3://crawl/{key}").parse().unwrap())
}

#[test]
fn anybody_reads_what_is_public() {
    let Some(moto) = &*OPEN else {
        skipped("no server with the S3 API");
        return;
    };
    let network = network(moto.address, &[("AWS_ACCESS_KEY_ID", "")]);
    for key in ["public/a.gz", STRANGE] {
        assert!(get(&network, key).unwrap() == objects()[key], "{key}");
    }
    let refused = get(&network, LARGE).unwrap_err();
    // moto gives no reason, so it may be one that asks too fast.
    assert_eq!((refused.failure, refused.attempts), (FetchFailure::GaveUp, 8));
    let said = refused.to_string();
    for part in ["403 Forbidden", LARGE, "set AWS_ACCESS_KEY_ID"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn credentials_sign_requests() {
    let Some(moto) = &*CHECKS else {
        skipped("no server with the S3 API");
        return;
    };
    let objects = objects();
    let user = as_user(moto, moto.address);
    for key in [LARGE, "private/one-byte.gz"] {
        assert!(get(&user, key).unwrap() == objects[key], "{key}");
    }
    let missing = get(&user, "private/missing.gz").unwrap_err();
    assert_eq!((missing.failure, missing.attempts), (FetchFailure::Missing, 1));
    assert!(missing.to_string().contains("404 Not Found (NoSuchKey)"), "{missing}");

    let [id, secret, token] = &moto.session;
    let session = network(
        moto.address,
        &[
            ("AWS_ACCESS_KEY_ID", id),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("AWS_SESSION_TOKEN", token),
        ],
    );
    assert!(get(&session, LARGE).unwrap() == objects[LARGE]);

    // That the server does check.
    let wrong = network(
        moto.address,
        &[("AWS_ACCESS_KEY_ID", &moto.user[0]), ("AWS_SECRET_ACCESS_KEY", "wrong")],
    );
    let refused = get(&wrong, LARGE).unwrap_err();
    assert_eq!((refused.failure, refused.attempts), (FetchFailure::Denied, 1));
    let said = refused.to_string();
    assert!(
        said.contains("SignatureDoesNotMatch") && !said.contains("wrong"),
        "{said}"
    );
    assert!(said.contains("check AWS_ACCESS_KEY_ID"), "{said}");
    let half = network(moto.address, &[("AWS_ACCESS_KEY_ID", "only")]);
    let refused = get(&half, LARGE).unwrap_err();
    assert_eq!(
        (refused.failure, refused.attempts),
        (FetchFailure::Refused, 1),
        "{refused}"
    );
}

/// Signed requests with ranges and conditions, over a line that breaks.
#[test]
fn cut_downloads_go_on_where_they_were() {
    let Some(moto) = &*CHECKS else {
        skipped("no server with the S3 API");
        return;
    };
    let network = as_user(moto, breaking_proxy(moto.address, 700_000));
    let dir = tempfile::tempdir().unwrap();
    let address: Address = format!("s3://crawl/{LARGE}").parse().unwrap();
    let options = FetchOptions {
        folder: dir.path().to_owned(),
        keep: true,
        read_ahead: 1,
        connections: 1,
    };
    let fetch = |network: &Network| -> Transfer {
        let fetcher = Fetcher::start(network, vec![(7, address.clone())], &options).unwrap();
        let file = fetcher.take(7).unwrap();
        assert!(fs::read(file.path()).unwrap() == objects()[LARGE]);
        network.transfer()
    };
    let done = fetch(&network);
    assert!(done.failed_requests > 0 && done.restarts == 0, "{done:?}");
    assert_eq!(done.bytes, 3_000_000, "nothing comes twice: {done:?}");
    let again = fetch(&as_user(moto, moto.address));
    assert_eq!((again.files, again.reused, again.bytes), (0, 1, 0));
}

#[test]
fn crawls_resolve_in_a_bucket() {
    let Some(moto) = &*CHECKS else {
        skipped("no server with the S3 API");
        return;
    };
    let network = as_user(moto, moto.address);
    let places = Places {
        base: None,
        store: "s3://crawl/".parse().unwrap(),
        crawl_files: CrawlFiles::Warc,
        sample: Some(Sample { files: 3, seed: 1 }),
        network: Some(&network),
        any_file: false,
    };
    let (recipe, _) = c4_data::Recipe::load("en").unwrap();
    let inputs = input::resolve_in(&["CC-MAIN-2019-18".into()], &places, &recipe.read).unwrap();
    assert_eq!(inputs.len(), 3);
    for input in inputs {
        let at = input.location.to_string();
        assert!(at.starts_with("s3://crawl/crawl-data/x/"), "{at}");
    }
}

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "key")];

/// The region that a request is signed for.
fn region(heard: &Heard) -> String {
    let signed = &heard.headers["authorization"];
    signed.split('/').nth(2).unwrap().to_owned()
}

/// How AWS says that a bucket is elsewhere.
/// Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
#[test]
fn the_region_that_s3_names_is_used() {
    let malformed = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region 'eu-west-3' is wrong; \
                     expecting 'us-west-2'</Message><Region>us-west-2</Region></Error>";
    let header = "x-amz-bucket-region: us-west-2";
    for (status, headers, body) in [
        ("400 Bad Request", vec![], malformed),
        (
            "301 Moved Permanently",
            vec![header],
            "<Error><Code>PermanentRedirect</Code></Error>",
        ),
        ("301 Moved Permanently", vec![header], ""),
        (
            "307 Temporary Redirect",
            vec![header, "Location: http://127.0.0.1:9/x"],
            "",
        ),
    ] {
        let headers: Vec<String> = headers.into_iter().map(str::to_owned).collect();
        let (server, heard) = serve("127.0.0.1", move |request, stream| match region(request).as_str() {
            "us-west-2" => reply(stream, "200 OK", &[], b"the file"),
            _ => reply(stream, status, &headers, body.as_bytes()),
        });
        let network = network(server, &KEYS);
        for key in ["a.gz", "b.gz"] {
            assert_eq!(get(&network, key).unwrap(), b"the file", "{status}");
        }
        let regions: Vec<String> = heard.lock().unwrap().iter().map(region).collect();
        // Once learned, it holds for the bucket.
        assert_eq!(regions, ["eu-west-3", "us-west-2", "us-west-2"]);
        assert_eq!(network.transfer().failed_requests, 0);
    }
}

#[test]
fn a_region_that_cannot_be_used_is_told() {
    for (header, says) in [
        // It names what was asked, another each time, none, or what is no region.
        ("x-amz-bucket-region: eu-west-3", "set AWS_REGION=eu-west-3"),
        ("x-amz-bucket-region: us-west-1", "set AWS_REGION=us-west-1"),
        ("x-nothing: said", "set AWS_REGION to the region of the bucket"),
        (
            "x-amz-bucket-region: evil.example/",
            "set AWS_REGION to the region of the bucket",
        ),
    ] {
        let (server, heard) = serve("127.0.0.1", move |_, stream| {
            let body = b"<Error><Code>PermanentRedirect</Code></Error>";
            reply(stream, "301 Moved Permanently", &[header.to_owned()], body);
        });
        let error = get(&network(server, &KEYS), "a.gz").unwrap_err();
        let said = error.to_string();
        assert_eq!((error.failure, error.attempts), (FetchFailure::Refused, 1));
        assert!(said.contains(says) && said.contains("PermanentRedirect"), "{said}");
        assert!(heard.lock().unwrap().len() <= 2, "{said}");
    }
}

#[test]
fn credentials_that_no_header_can_hold_are_refused() {
    let (server, heard) = serve("127.0.0.1", |_, stream| reply(stream, "200 OK", &[], b"x"));
    // What a shell leaves at the end of a line does no harm.
    let [id, key] = KEYS;
    let trimmed = [id, key, ("AWS_SESSION_TOKEN", "token\r\n")];
    get(&network(server, &trimmed), "a.gz").unwrap();
    assert_eq!(heard.lock().unwrap()[0].headers["x-amz-security-token"], "token");
    let broken = [id, key, ("AWS_SESSION_TOKEN", "to\nken")];
    let error = get(&network(server, &broken), "a.gz").unwrap_err();
    let said = error.to_string();
    assert_eq!(error.failure, FetchFailure::Refused, "{said}");
    assert!(said.contains("AWS_SESSION_TOKEN") && !said.contains("ken "), "{said}");
}

#[test]
fn denials_say_which_variables_to_set() {
    let (server, heard) = serve("127.0.0.1", |_, stream| {
        let body = b"<Error><Code>AccessDenied</Code></Error>";
        reply(stream, "403 Forbidden", &[], body);
    });
    for (variables, says) in [
        (&[][..], "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        (&KEYS[..], "AWS_SKIP_SIGNATURE=true"),
    ] {
        heard.lock().unwrap().clear();
        let error = get(&network(server, variables), "a.gz").unwrap_err();
        let said = error.to_string();
        assert_eq!((error.failure, error.attempts), (FetchFailure::Denied, 1));
        assert!(said.contains("(AccessDenied)") && said.contains(says), "{said}");
        assert_eq!(heard.lock().unwrap().len(), 1);
    }
}

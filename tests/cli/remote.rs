//! `c4 build` of archives that are elsewhere, as a user meets it.

use crate::common::{c4, c4_command};
use c4_tests::program::stderr;
use c4_tests::python::Script;
use c4_tests::server::{Fault, Plan, Server, reply, serve};
use c4_tests::*;
use std::fs;
use std::path::Path;

const CRAWLS: [&str; 2] = ["CC-MAIN-2018-34", "CC-MAIN-2018-39"];

/// Two crawls of twelve archives each, on the server and in the folder.
fn crawls(server: &Server, dir: &Path) {
    for (c, crawl) in CRAWLS.into_iter().enumerate() {
        let mut listing = String::new();
        for i in 0..12 {
            let path = format!("crawl-data/{crawl}/segments/{}/wet/{i:05}.warc.wet.gz", i % 3);
            let record = |page: usize| {
                let url = format!("https://a{page}.example/{}", page % 9 + i);
                gzip(&conversion(&url, &good_text(1000 * c + 100 * i + page)))
            };
            let bytes: Vec<u8> = (0..20).flat_map(record).collect();
            fs::create_dir_all(dir.join(&path).parent().unwrap()).unwrap();
            fs::write(dir.join(&path), &bytes).unwrap();
            server.put(&format!("/{path}"), bytes);
            listing += &format!("{path}\n");
        }
        let path = format!("crawl-data/{crawl}/wet.paths.gz");
        fs::write(dir.join(format!("{crawl}.paths")), &listing).unwrap();
        server.put(&format!("/{path}"), gzip(listing.as_bytes()));
    }
}

/// A corpus is the same from wherever its archives came, over however bad a line.
#[test]
fn a_sample_of_crawls_by_name_is_the_corpus_of_their_files() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(Plan::First(1, Fault::CutBody));
    crawls(&server, dir.path());
    let store = server.url("");
    let remote = dir.path().join("remote");
    let sample: [&dyn AsRef<std::ffi::OsStr>; 5] = [&"build", &CRAWLS[1], &CRAWLS[0], &"--sample", &"5"];
    let place: [&dyn AsRef<std::ffi::OsStr>; 6] = [&"--store", &store, &"--read-ahead", &"2", &"-o", &remote];
    let arguments = [&sample[..], &place[..]].concat();
    let done = c4(&arguments);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    // Two listings and ten archives, each over two requests.
    assert_eq!(server.requests().len(), 24);

    let local = dir.path().join("local");
    let listings = CRAWLS.map(|crawl| dir.path().join(format!("{crawl}.paths")));
    let again = c4(&[
        &"build",
        &listings[0],
        &listings[1],
        &"--sample",
        &"5",
        &"-t",
        &"1",
        &"-o",
        &local,
    ]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    let (remote_files, local_files) = (corpus_files(&remote), corpus_files(&local));
    assert!(remote_files.contains_key(Path::new("manifest.json")));
    assert!(remote_files.keys().eq(local_files.keys()));
    for (path, bytes) in &remote_files {
        assert!(*bytes == local_files[path], "{}", path.display());
    }

    // Whether it is done already is known without fetching archives again.
    server.set_plan(Plan::None);
    let nothing = c4(&arguments);
    assert_eq!(nothing.status.code(), Some(0), "{}", stderr(&nothing));
    assert!(stderr(&nothing).contains("Nothing to do"), "{}", stderr(&nothing));
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn kept_downloads_serve_the_next_build_and_base() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(Plan::None);
    crawls(&server, dir.path());
    let (store, keep) = (server.url(""), dir.path().join("keep"));
    let build = |recipe: &str| {
        let out = dir.path().join(recipe);
        let done = c4(&[
            &"build",
            &CRAWLS[0],
            &"--sample",
            &"3",
            &"--store",
            &store,
            &"-r",
            &recipe,
            &"--keep-downloads",
            &keep,
            &"-o",
            &out,
        ]);
        assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    };
    build("en");
    let sent = server.sent();
    build("c4");
    let listing = server.get(&format!("/crawl-data/{}/wet.paths.gz", CRAWLS[0]));
    assert_eq!(server.sent() - sent, listing.len() as u64, "nothing but the listing");
    let based = dir.path().join("based");
    let listing = dir.path().join(format!("{}.paths", CRAWLS[0]));
    let done = c4(&[
        &"build",
        &listing,
        &"--sample",
        &"3",
        &"--base",
        &keep,
        &"-r",
        &"en",
        &"-o",
        &based,
    ]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    assert!(corpus_files(&based) == corpus_files(&dir.path().join("en")));
    // As a folder, notes and parts are no archives.
    let folder = dir.path().join("folder");
    let done = c4(&[&"build", &keep, &"-r", &"en", &"-o", &folder]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    assert!(corpus_files(&folder) == corpus_files(&based));
}

#[test]
fn what_cannot_be_fetched_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(Plan::None);
    crawls(&server, dir.path());
    let good = server.url(&format!("crawl-data/{}/segments/0/wet/00000.warc.wet.gz", CRAWLS[0]));
    let (missing, out) = (server.url("no/such.warc.wet.gz"), dir.path().join("out"));
    let done = c4(&[&"build", &good, &missing, &"-o", &out]);
    let said = stderr(&done);
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains(&missing) && said.contains("404"), "{said}");

    // A page in place of the archive is none; when the archive is there, the same command reads it.
    let (name, out) = ("late.warc.wet.gz", dir.path().join("late"));
    server.put(&format!("/{name}"), b"<html>Access denied</html>".to_vec());
    let late = server.url(name);
    let build: [&dyn AsRef<std::ffi::OsStr>; 5] = [&"build", &good, &late, &"-o", &out];
    let done = c4(&build);
    let said = stderr(&done);
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains(&late) && said.contains("not a crawl archive"), "{said}");
    let page = conversion("https://late.example/", &good_text(9));
    server.put(&format!("/{name}"), gzip(&page));
    let done = c4(&build);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));

    let out = dir.path().join("out");
    for (arguments, words) in [
        (vec!["build", "ftp://host/x.warc.gz"], ["ftp://host/x.warc.gz", "https"]),
        (vec!["build", CRAWLS[0], "--store", "nowhere"], ["--store", "nowhere"]),
        (
            vec!["build", "CC-MAIN-2031-01", "--store", &server.url("")],
            ["CC-MAIN-2031-01", "404"],
        ),
    ] {
        let mut arguments: Vec<&dyn AsRef<std::ffi::OsStr>> =
            arguments.iter().map(|a| a as &dyn AsRef<std::ffi::OsStr>).collect();
        arguments.extend([&"-o" as &dyn AsRef<std::ffi::OsStr>, &out]);
        let refused = c4(&arguments);
        let said = stderr(&refused);
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
    }
    let sweep = c4(&[&"sweep", &good, &"--set", &"line.min_words=3,4"]);
    let said = stderr(&sweep);
    assert_eq!(sweep.status.code(), Some(2), "{said}");
    assert!(said.contains("only `c4 build` fetches archives"), "{said}");
}

/// Serves a folder over TLS, with a certificate of an authority that nobody knows.
const HTTPS: &str = r#"
import datetime, http.server, ipaddress, os, ssl, sys, threading
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

def name(text):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])
def certificate(subject, key, issuer, issuer_key, extension):
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    builder = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer))
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - day).not_valid_after(now + day)
    return builder.add_extension(extension, critical=False).sign(issuer_key, hashes.SHA256())
def pem(thing):
    return thing.public_bytes(serialization.Encoding.PEM)

folder = sys.argv[1]
root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
root = certificate("root", root_key, "root", root_key, x509.BasicConstraints(True, None))
host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
leaf = certificate("leaf", key, "root", root_key, host)
with open(os.path.join(folder, "root.pem"), "wb") as file:
    file.write(pem(root))
with open(os.path.join(folder, "server.pem"), "wb") as file:
    file.write(pem(leaf) + key.private_bytes(serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
class Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *args):
        super().__init__(*args, directory=folder)
    def log_message(self, *args):
        pass
    def do_GET(self):
        if not self.path.startswith("/to/"):
            return super().do_GET()
        self.send_response(302)
        self.send_header("Location", self.path[len("/to/"):])
        self.end_headers()
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(os.path.join(folder, "server.pem"))
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
"#;

#[test]
fn https_needs_a_certificate_that_the_system_trusts() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut script) = Script::start(HTTPS, &[dir.path()]) else {
        return;
    };
    let port = script.line();
    let bytes: Vec<u8> = (0..20)
        .flat_map(|i| gzip(&conversion(&format!("https://a.example/{i}"), &good_text(i))))
        .collect();
    fs::write(dir.path().join("a.warc.wet.gz"), bytes).unwrap();
    let build = |out: &str, path: &str, trusted: Option<&str>| {
        let mut command = c4_command();
        command
            .arg("build")
            .arg(format!("https://127.0.0.1:{port}/{path}a.warc.wet.gz"));
        command.arg("-o").arg(dir.path().join(out));
        command.envs(trusted.map(|file| ("SSL_CERT_FILE", dir.path().join(file))));
        command.output().unwrap()
    };
    let done = build("trusted", "", Some("root.pem"));
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    let refused = build("unknown", "", None);
    let said = stderr(&refused);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    // At once: the next attempt would find the same certificate.
    assert!(said.contains("certificate") && !said.contains("attempts"), "{said}");

    // Nothing that came by TLS goes on without.
    let plain = Server::start(Plan::None);
    let refused = build("plain", &format!("to/{}", plain.url("")), Some("root.pem"));
    let said = stderr(&refused);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("from https to http"), "{said}");
    assert!(plain.requests().is_empty());
    let home = format!("to/https://127.0.0.1:{port}/");
    let done = build("home", &home, Some("root.pem"));
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
}

/// Where it is the credentials, the last line says which variables to set.
#[test]
fn the_last_line_says_what_to_set() {
    let (server, _) = serve("127.0.0.1", |_, stream| {
        let body = b"<Error><Code>AccessDenied</Code></Error>";
        reply(stream, "403 Forbidden", &[], body);
    });
    let dir = tempfile::tempdir().unwrap();
    let build = |arguments: &[&str]| {
        let mut command = c4_command();
        command
            .arg("build")
            .args(arguments)
            .arg("-o")
            .arg(dir.path().join("out"));
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
            command.env_remove(name);
        }
        command.env("AWS_ENDPOINT_URL", format!("http://{server}"));
        let done = command.output().unwrap();
        let said = stderr(&done);
        let last = said.lines().last().unwrap().to_owned();
        (done.status.code(), last, said)
    };
    let (code, last, said) = build(&["s3://bucket/x.warc.wet.gz", "--no-plan"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(last.contains("set AWS_ACCESS_KEY_ID"), "{said}");
    let (code, last, said) = build(&["CC-MAIN-2019-18", "--store", "s3://commoncrawl"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(last.contains("--store https://data.commoncrawl.org/"), "{said}");
}

//! Programs of others, for tests: from PyPI, in virtual environments below `target/`.

#![allow(clippy::unwrap_used)]

use super::skipped;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A server with the S3 API, licence Apache-2.0; brings `boto3` and `cryptography`.
const MOTO: &str = "moto[server]==5.2.2";

/// A running script. It is to end when its standard input does: when this is dropped, or the process
/// ends.
pub struct Script {
    process: Child,
    stdout: BufReader<ChildStdout>,
}

impl Script {
    /// Starts a script; `None`, said on stdout, where there is no Python or no way to PyPI.
    pub fn start(script: &str, arguments: &[&Path]) -> Option<Script> {
        let python = python("venv-moto", MOTO)?;
        let mut process = Command::new(python)
            .args(["-c", script])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        Some(Script { process, stdout })
    }

    /// The next line that it prints.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the script has ended");
        line.trim_end().to_owned()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// The Python of the virtual environment `venv`, which has `package` (`name==version`); `None`, said on stdout,
/// where there is no Python or no way to PyPI.
pub fn python(venv: &str, package: &str) -> Option<PathBuf> {
    let python = environment(venv, package);
    if let Err(why) = &python {
        skipped(&format!("no Python with {package}: {}", why.trim().replace('\n', " ")));
    }
    python.ok()
}

fn environment(venv: &str, package: &str) -> Result<PathBuf, String> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    fs::create_dir_all(&target).map_err(|e| e.to_string())?;
    // Other test processes may be at it.
    let lock = target.join(format!("{venv}.lock"));
    let lock = File::create(lock).map_err(|e| e.to_string())?;
    lock.lock().map_err(|e| e.to_string())?;
    let venv = target.join(venv);
    let ready = venv.join(format!("ready-{package}"));
    if !ready.exists() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
        run(Command::new(venv.join("bin/pip")).args(["install", "--quiet", package]))?;
        File::create(&ready).map_err(|e| e.to_string())?;
    }
    Ok(venv.join("bin/python"))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

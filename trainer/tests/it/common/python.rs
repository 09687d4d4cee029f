//! Python with a package, below `target/`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The Python of the virtual environment `venv`, which has `package` (`name==version`); `None`, said on stdout,
/// where there is no Python or no way to PyPI.
pub fn python(venv: &str, package: &str) -> Option<PathBuf> {
    let python = environment(venv, package);
    if let Err(why) = &python {
        println!("skipped: no Python with {package}: {why}");
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

//! Compiles the kernels: with the feature `cuda` by nvcc to PTX for any GPU of a compute capability or a later one,
//! with the feature `cuda-emulated` by the host's C++ compiler. Without either, nothing.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // `cfg(devices)`: there is a device of one kind or the other.
    println!("cargo:rustc-check-cfg=cfg(devices)");
    #[cfg(any(feature = "cuda", feature = "cuda-emulated"))]
    println!("cargo:rustc-cfg=devices\ncargo:rerun-if-changed=kernels");
    #[cfg(feature = "cuda")]
    cuda::compile();
    #[cfg(feature = "cuda-emulated")]
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .opt_level(2)
        .warnings(true)
        .extra_warnings(true)
        // CUDA's own, and no fused operations where a CPU has them: the same bits everywhere.
        .flag_if_supported("-Wno-unknown-pragmas")
        .flag_if_supported("-ffp-contract=off")
        .file("kernels/emulate.cpp")
        .compile("emulated_kernels");
}

#[cfg(feature = "cuda")]
mod cuda {
    use std::path::PathBuf;
    use std::process::{Command, exit};
    use std::{env, fs};

    /// The latest version whose PTX a driver of the 580 series takes; cudarc is told the same.
    const LATEST: &str = "13.0";

    pub fn compile() {
        for variable in ["CUDA_HOME", "CUDA_COMPUTE_CAP"] {
            println!("cargo:rerun-if-env-changed={variable}");
        }
        let nvcc = match env::var_os("CUDA_HOME") {
            Some(home) => PathBuf::from(home).join("bin/nvcc"),
            None => {
                println!("cargo:rerun-if-env-changed=PATH");
                PathBuf::from("nvcc")
            }
        };
        let capability = env::var("CUDA_COMPUTE_CAP").unwrap_or_else(|_| "90".to_owned());
        if !capability.chars().all(|c| c.is_ascii_digit()) || capability.len() < 2 {
            fail(&format!(
                "CUDA_COMPUTE_CAP is `{capability}`; write it without a dot, as 90 for an H100"
            ));
        }
        let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("kernels.ptx");
        let mut command = Command::new(&nvcc);
        command
            .args(["-std=c++17", "-O3", "-ptx", "--Werror", "all-warnings"])
            .arg(format!("-arch=compute_{capability}"))
            .arg("-o")
            .arg(&out)
            .arg("kernels/all.cu");
        match command.output() {
            Err(e) => fail(&format!(
                "{}: {e}. The feature `cuda` needs nvcc of CUDA {LATEST} or earlier: type `make cuda`, which gets it, or set CUDA_HOME to the folder \
                 that has bin/nvcc",
                nvcc.display()
            )),
            Ok(done) if !done.status.success() => fail(&format!(
                "{} failed:\n{}{}",
                nvcc.display(),
                String::from_utf8_lossy(&done.stdout),
                String::from_utf8_lossy(&done.stderr)
            )),
            Ok(_) => {}
        }
        if fs::metadata(&out).is_ok_and(|file| file.len() > 0) {
            return;
        }
        fail(&format!("{} wrote no PTX", nvcc.display()));
    }

    fn fail(problem: &str) -> ! {
        for line in problem.lines() {
            println!("cargo:warning={line}");
        }
        eprintln!("{problem}");
        exit(1)
    }
}

//! Several processes that train one model on this machine: started by `--processes` and `--devices`, or by variables as
//! torchrun sets them.

use crate::common::program::{Place, checkpoints, losses, refused, said, state, stderr, t5};
use serde_json::Value;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Four batches a step, for four processes.
const STEPS: [&str; 6] = [
    "--steps",
    "12",
    "--set",
    "batches_per_step=4",
    "--set",
    "checkpoint_every=6",
];

fn lines(run: &str) -> Vec<Value> {
    let text = fs::read_to_string(Path::new(run).join("metrics.jsonl")).unwrap_or_default();
    // The last one may not be whole yet.
    text.lines().map_while(|line| serde_json::from_str(line).ok()).collect()
}

fn validations(run: &str) -> Vec<(u64, f64)> {
    let found = lines(run);
    let found = found
        .iter()
        .filter_map(|line| Some((line["step"].as_u64()?, line["validation_loss"].as_f64()?)));
    found.collect()
}

fn cursor(run: &str, step: u64) -> Value {
    let file = Path::new(run).join(format!("checkpoints/step-{step:08}/checkpoint.json"));
    let note: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    assert!(note["cursor"]["examples"].as_u64().unwrap() > 0);
    note["cursor"].clone()
}

#[track_caller]
fn near(ours: &[(u64, f64)], theirs: &[(u64, f64)]) {
    assert!(!ours.is_empty() && ours.len() == theirs.len(), "{ours:?}, {theirs:?}");
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert!(
            ours.0 == theirs.0 && (ours.1 - theirs.1).abs() < 1e-4,
            "{ours:?}, {theirs:?}"
        );
    }
}

#[test]
fn any_number_of_processes_has_the_same_losses() {
    let place = Place::new();
    let run = |name: &str, more: &[&str]| {
        let folder = place.path(name);
        said(&place.begin(&folder, &[&STEPS[..], more].concat()));
        folder
    };
    let one = run("one", &[]);
    // To the bit where that can be.
    let itself = run("itself", &["--processes", "1"]);
    assert_eq!(state(&itself, 12), state(&one, 12));
    assert_eq!(losses(&itself), losses(&one));
    let several: Vec<String> = ["2", "3", "4"].map(|n| run(n, &["--processes", n])).into();
    for several in &several {
        near(&losses(several), &losses(&one));
        near(&validations(several), &validations(&one));
        // The sum of losses has one order: before the first update all have the same bits.
        assert_eq!(losses(several)[0], losses(&one)[0]);
        assert_eq!(cursor(several, 12), cursor(&one, 12));
        assert_eq!(checkpoints(several), checkpoints(&one));
    }
    // Gradients are summed in another order, so this is no test of nothing.
    assert_ne!(state(&several[0], 12), state(&one, 12));
    let again = run("again", &["--processes", "2"]);
    assert_eq!(state(&again, 12), state(&several[0], 12));
    assert_eq!(losses(&again), losses(&several[0]));
}

#[test]
fn a_checkpoint_opens_with_any_number_of_processes() {
    let place = Place::new();
    let [whole, run] = ["whole", "run"].map(|name| place.path(name));
    let of = |steps: &'static str| [&STEPS[2..], &["--steps", steps, "--processes"]].concat();
    said(&place.begin(&whole, &[&of("12")[..], &["2"]].concat()));
    said(&place.begin(&run, &[&of("6")[..], &["2"]].concat()));
    assert_eq!(state(&run, 6), state(&whole, 6));
    let on = |more: &[&str]| said(&[&["pretrain", "-o", &run, "--resume", "--steps", "12"][..], more].concat());
    let anew = || fs::remove_dir_all(Path::new(&run).join("checkpoints/step-00000012")).unwrap();
    // As many: to the bit.
    on(&["--processes", "2"]);
    assert_eq!(state(&run, 12), state(&whole, 12));
    assert_eq!(losses(&run), losses(&whole));
    for more in [&["--processes", "4"][..], &["--processes", "3"], &[]] {
        anew();
        on(more);
        near(&losses(&run), &losses(&whole));
        near(&validations(&run), &validations(&whole));
        assert_eq!(cursor(&run, 12), cursor(&whole, 12));
    }
}

/// Processes with the variables that torchrun sets.
struct Ranks(Vec<Child>);

impl Ranks {
    fn start(arguments: &[Vec<&str>]) -> Ranks {
        // Free now; who takes it until rank 0 does would be told.
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let size = arguments.len();
        let start = |(rank, arguments): (usize, &Vec<&str>)| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_t5"));
            command.args(arguments).stderr(Stdio::piped()).stdout(Stdio::piped());
            for (name, value) in [
                ("RANK", rank),
                ("LOCAL_RANK", rank),
                ("WORLD_SIZE", size),
                ("MASTER_PORT", free.into()),
            ] {
                command.env(name, value.to_string());
            }
            command.env("MASTER_ADDR", "localhost").spawn().unwrap()
        };
        Ranks(arguments.iter().enumerate().map(start).collect())
    }

    /// What they have left, in the order of ranks. All must have ended soon.
    fn end(mut self) -> Vec<Output> {
        let begun = Instant::now();
        for rank in &mut self.0 {
            while rank.try_wait().unwrap().is_none() {
                assert!(begun.elapsed() < Duration::from_secs(20), "not all have ended");
                sleep(Duration::from_millis(10));
            }
        }
        std::mem::take(&mut self.0)
            .into_iter()
            .map(|rank| rank.wait_with_output().unwrap())
            .collect()
    }
}

impl Drop for Ranks {
    fn drop(&mut self) {
        for rank in &mut self.0 {
            let _ = rank.kill();
            let _ = rank.wait();
        }
    }
}

/// Waits until a run has so many metrics more.
fn wait_for_steps(run: &str, more: usize) {
    let (begun, before) = (Instant::now(), lines(run).len());
    while lines(run).len() < before + more {
        assert!(begun.elapsed() < Duration::from_secs(60), "no steps");
        sleep(Duration::from_millis(5));
    }
}

/// The lines that processes have ended with.
fn last_words(outputs: &[Output]) -> Vec<String> {
    let told: Vec<String> = outputs.iter().map(stderr).collect();
    let lines = told.iter().flat_map(|told| told.lines());
    lines
        .filter(|line| line.starts_with("t5: "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_process_that_is_killed_ends_all() {
    let place = Place::new();
    let run = place.path("run");
    let endless = [
        "--steps",
        "1000000",
        "--set",
        "batches_per_step=4",
        "--set",
        "evaluate_every=0",
    ];
    let begin = place.begin(&run, &endless);
    let resume = vec!["pretrain", "-o", &run, "--resume", "-t", "1"];
    let mut saved = 0;
    // Another one each time, rank 0 last: nobody saves then.
    for (victim, arguments) in [(2, &begin), (1, &resume), (0, &resume)] {
        let mut ranks = Ranks::start(&vec![arguments.clone(); 3]);
        wait_for_steps(&run, 3);
        let pid = ranks.0[victim].id();
        ranks.0[victim].kill().unwrap();
        let outputs = ranks.end();
        for (rank, output) in outputs.iter().enumerate().filter(|(rank, _)| *rank != victim) {
            assert_eq!(output.status.code(), Some(2), "rank {rank}: {}", stderr(output));
        }
        let told = last_words(&outputs);
        assert_eq!(told.len(), 1, "{told:?}");
        for word in [
            &format!("rank {victim} of 3 (process {pid} on 127.0.0.1)")[..],
            "was killed",
            "--resume goes on",
        ] {
            assert!(told[0].contains(word), "{word} in {told:?}");
        }
        let last = checkpoints(&run).pop().unwrap();
        let last: u64 = last.strip_prefix("step-").unwrap().parse().unwrap();
        if victim == 0 {
            assert_eq!(last, saved);
        } else {
            assert!(last > saved, "{last}");
            let (_, after) = told[0].rsplit_once("after step ").unwrap();
            assert_eq!(after, last.to_string());
            saved = last;
        }
    }
    // All that was done and saved is as if nothing had been.
    let steps = (saved + 3).to_string();
    said(&[
        "pretrain",
        "-o",
        &run,
        "--resume",
        "--processes",
        "3",
        "--steps",
        &steps,
    ]);
    let whole = place.path("whole");
    let unbroken = ["--steps", &steps, "--processes", "3"];
    said(&place.begin(&whole, &[&endless[2..], &unbroken].concat()));
    assert_eq!(state(&run, saved + 3), state(&whole, saved + 3));
    assert_eq!(losses(&run), losses(&whole));
}

/// Children of `--processes` end with the one that has started them, and it with them.
#[cfg(target_os = "linux")]
#[test]
fn processes_that_were_started_end_with_their_first() {
    let place = Place::new();
    let run = place.path("run");
    let endless = [
        "--steps",
        "1000000",
        "--set",
        "batches_per_step=4",
        "--set",
        "evaluate_every=0",
        "--processes",
        "3",
    ];
    let begin = place.begin(&run, &endless);
    let resume = ["pretrain", "-o", &run, "--resume", "--processes", "3"];
    let is_there = |pid: u32| Path::new(&format!("/proc/{pid}")).exists();
    for (arguments, kills_first) in [(&begin[..], false), (&resume, true)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_t5"));
        let mut first = command.args(arguments).stderr(Stdio::piped()).spawn().unwrap();
        wait_for_steps(&run, 3);
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", first.id())).unwrap();
        let children: Vec<u32> = children.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
        assert_eq!(children.len(), 2);
        match kills_first {
            true => first.kill().unwrap(),
            false => {
                let killed = Command::new("kill").args(["-KILL", &children[1].to_string()]).status();
                assert!(killed.unwrap().success());
            }
        }
        // Their standard error is one pipe, so this waits for all.
        let told = stderr(&first.wait_with_output().unwrap());
        let lost = if kills_first { "rank 0 of 3" } else { "rank 2 of 3" };
        let words: Vec<&str> = told.lines().filter(|line| line.starts_with("t5: ")).collect();
        assert!(words.len() == 1 && words[0].contains(lost), "{told}");
        let begun = Instant::now();
        while children.iter().any(|pid| is_there(*pid)) {
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "{children:?} are still there"
            );
            sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn all_stop_at_the_same_step() {
    let place = Place::new();
    let settings = ["--set", "batches_per_step=4", "--set", "evaluate_every=0"];
    // Who is told: each of them, as by Ctrl-C, rank 0 alone, another one alone.
    for told in [&[0, 1, 2][..], &[0], &[2]] {
        let run = place.path(&format!("told-{told:?}"));
        let begin = place.begin(&run, &[&["--steps", "1000000"][..], &settings].concat());
        let ranks = Ranks::start(&vec![begin; 3]);
        wait_for_steps(&run, 3);
        let pids: Vec<String> = told.iter().map(|rank| ranks.0[*rank].id().to_string()).collect();
        assert!(Command::new("kill").args(&pids).status().unwrap().success());
        let outputs = ranks.end();
        for output in &outputs {
            assert_eq!(output.status.code(), Some(143), "{}", stderr(output));
        }
        let steps = losses(&run).len() as u64;
        assert_eq!(checkpoints(&run), [format!("step-{steps:08}")]);
        let lines = outputs
            .iter()
            .map(|output| stderr(output).matches("Stopped after step").count());
        assert_eq!(lines.collect::<Vec<_>>(), [1, 0, 0]);
        // It is where an unbroken run is.
        let whole = place.path(&format!("whole-{told:?}"));
        let steps = steps.to_string();
        said(&place.begin(
            &whole,
            &[&["--steps", &steps, "--processes", "3"][..], &settings].concat(),
        ));
        assert_eq!(losses(&run), losses(&whole));
        let last = losses(&whole).len() as u64;
        assert_eq!(state(&run, last), state(&whole, last));
    }
}

#[test]
fn processes_that_cannot_be_are_said_in_one_line() {
    let place = Place::new();
    let out = place.path("run");
    let too_many = place.begin(&out, &["--processes", "3"]);
    refused(&too_many, &["batches_per_step = 2", "3 processes", "feed.rows"]);
    let twice = place.begin(&out, &["--devices", "0,1,0"]);
    refused(&twice, &["GPU 0 twice"]);
    let gpus = place.begin(&out, &["--processes", "2", "--device", "cuda"]);
    refused(&gpus, &["--processes is for the CPU", "--devices 0,1"]);
    let both = t5(&place.begin(&out, &["--devices", "0,1", "--device", "cuda:1"]));
    assert!(stderr(&both).contains("cannot be used with"), "{}", stderr(&both));
    let one = place.begin(&out, &[]);
    for (variables, more, words) in [
        (
            &[("WORLD_SIZE", "2")][..],
            &[][..],
            &["WORLD_SIZE=2", "RANK is not set", "torchrun"][..],
        ),
        (&[("WORLD_SIZE", "two")], &[], &["WORLD_SIZE=two", "unset WORLD_SIZE"]),
        (
            &[
                ("WORLD_SIZE", "2"),
                ("RANK", "0"),
                ("LOCAL_RANK", "0"),
                ("MASTER_ADDR", "localhost"),
                ("MASTER_PORT", "1"),
            ],
            &["--processes", "2"],
            &["--processes 2", "WORLD_SIZE=2"],
        ),
        (
            &[
                ("WORLD_SIZE", "2"),
                ("RANK", "1"),
                ("LOCAL_RANK", "1"),
                ("MASTER_ADDR", "localhost"),
                ("MASTER_PORT", "1"),
            ],
            &["--devices", "3"],
            &["LOCAL_RANK=1", "names 1 GPU"],
        ),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_t5"));
        let output = command
            .args(&one)
            .args(more)
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{told}");
        for word in words {
            assert!(told.starts_with("t5: ") && told.contains(word), "{word} in {told}");
        }
    }
    assert!(!Path::new(&out).exists());

    // What is wrong with one of them is told once, by rank 0.
    let wrong = place.begin(&out, &["--device", "cuda:77"]);
    let outputs = Ranks::start(&[one.clone(), wrong]).end();
    assert!(outputs.iter().all(|output| output.status.code() == Some(2)));
    let told = last_words(&outputs);
    assert!(stderr(&outputs[0]).contains(&told[0]), "{told:?}");
    assert!(
        told.len() == 1 && told[0].contains("rank 1 of 2 (process ") && told[0].contains("--device cuda"),
        "{told:?}"
    );

    // Two runs at one port, or ranks of another number of processes.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let start = |rank: &str, size: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_t5"));
        command
            .args(place.begin(&place.path("other"), &[]))
            .stderr(Stdio::piped());
        let variables = [
            ("RANK", rank),
            ("LOCAL_RANK", "0"),
            ("WORLD_SIZE", size),
            ("MASTER_ADDR", "127.0.0.1"),
        ];
        command
            .envs(variables)
            .env("MASTER_PORT", free.to_string())
            .spawn()
            .unwrap()
    };
    let ranks = Ranks(vec![start("0", "3"), start("1", "2")]);
    let outputs = ranks.end();
    let told = stderr(&outputs[0]);
    assert!(
        told.contains("rank 0 of 3 processes was found by rank 1 of 2"),
        "{told}"
    );
    let told = stderr(&outputs[1]);
    assert!(
        told.contains("rank 1: what listens at") && told.contains("MASTER_PORT"),
        "{told}"
    );
}

/// By another device than the CPU: the GPU's kernels and launches on the CPU, or a driver and an NCCL that stand for
/// GPUs.
#[test]
fn processes_on_a_device_have_the_losses_of_one() {
    let place = Place::new();
    let [one, two] = ["one", "two"].map(|name| place.path(name));
    let f32 = ["--precision", "f32"];
    let (single, several): (&[&str], &[&str]) = match std::env::var_os("T5_TEST_DEVICE") {
        Some(_) if std::env::var_os("T5_FAKE_DRIVER").is_some() => (&["--device", "cuda"], &["--devices", "0,1"]),
        None if cfg!(feature = "cuda-emulated") => {
            (&["--device", "emulated"], &["--device", "emulated", "--processes", "2"])
        }
        _ => {
            println!("skipped: built without a device that is tested by several processes");
            return;
        }
    };
    let run = |folder: &str, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_t5"));
        command.args(place.begin(folder, &[&STEPS[..], &f32, more].concat()));
        let output = command.env("FAKE_CUDA_DEVICES", "2").output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    };
    run(&one, single);
    run(&two, several);
    near(&losses(&two), &losses(&one));
    near(&validations(&two), &validations(&one));
    assert_ne!(state(&two, 12), state(&one, 12));
    let again = place.path("again");
    run(&again, several);
    assert_eq!(state(&again, 12), state(&two, 12));
}

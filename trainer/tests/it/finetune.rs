//! `t5 finetune`, `predict`, `eval --task` and `mix` as a user meets them, on made-up tasks that a tiny model learns
//! fast. (Above 500 lines: all of it stands on the same run and tasks.)

use crate::common::events::{measured, shown};
use crate::common::program::{Place, checkpoints, kill_until_done, losses, refused, said, state, stderr, t5};
use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Settings of a fine-tuning that takes a second.
const QUICK: [&str; 6] = [
    "feed.rows=2",
    "batches_per_step=1",
    "schedule.rate=0.02",
    "model.dropout=0.0",
    "evaluate_every=20",
    "checkpoint_every=20",
];

/// A place with a run of one step, and two tasks.
pub struct Tasks {
    place: Place,
    pub start: String,
    pub kinds: String,
    sizes: String,
    pub data: String,
}

impl Tasks {
    pub fn new() -> Tasks {
        Tasks::of(&[])
    }

    /// `more`: settings of the run that is begun with.
    fn of(more: &[&str]) -> Tasks {
        let place = Place::new();
        let start = place.path("start");
        let settings: Vec<&str> = more.iter().flat_map(|setting| ["--set", setting]).collect();
        said(&place.begin(&start, &[&["--steps", "1"], &settings[..]].concat()));
        let data = place.path("data");
        let kinds = task(
            &place,
            "kinds",
            ["animal", "thing"],
            ["cat dog cow horse", "table chair lamp spoon"],
        );
        let sizes = task(
            &place,
            "sizes",
            ["large", "little"],
            ["whale house hill ship", "mouse pin seed ant"],
        );
        Tasks {
            place,
            start,
            kinds,
            sizes,
            data,
        }
    }

    pub fn path(&self, name: &str) -> String {
        self.place.path(name)
    }

    pub fn finetune<'a>(&'a self, output: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
        let mut arguments = vec!["finetune", &self.start, "--data", &self.data, "-o", output, "-t", "2"];
        arguments.extend(QUICK.into_iter().flat_map(|setting| ["--set", setting]));
        arguments.extend(rest);
        arguments
    }
}

/// Writes a task whose label is that of the one word that matters, with its card's path.
fn task(place: &Place, name: &str, labels: [&str; 2], words: [&str; 2]) -> String {
    let folder = place.dir.path().join("data").join(name);
    fs::create_dir_all(&folder).unwrap();
    let words = words.map(|words| words.split(' ').collect::<Vec<_>>());
    let around = ["old", "new", "red", "blue", "kind", "dark"];
    for (split, first, rows) in [("train", 0, 160), ("validation", 7, 40), ("test", 11, 20)] {
        let mut text = String::new();
        for i in first..first + rows {
            let label = (i * 5 / 3) % 2;
            let (before, after) = (around[i % 6], around[i * 7 / 4 % 6]);
            let word = words[label][i / 2 % 4];
            let row = serde_json::json!({ "id": i, "text": format!("the {before} {word} of {after}"), "label": label });
            writeln!(text, "{row}").unwrap();
        }
        fs::write(folder.join(format!("{split}.jsonl")), text).unwrap();
    }
    let card = place.path(&format!("{name}.toml"));
    let toml = format!(
        "name = \"{name}\"\ninputs = \"{name}: {{text}}\"\ntargets = \"{{label}}\"\nlabels = {labels:?}\nid = \"{{id}}\"\n\
         [score]\npostprocess = \"label\"\nmetrics = [\"accuracy\"]\n[decode]\nmax_length = 8\n[lengths]\ninputs = 40\ntargets = 12\n"
    );
    fs::write(&card, toml).unwrap();
    card
}

/// The validations of a run: step, average, headlines by task.
fn validations(run: &str) -> Vec<(u64, f64, Vec<f64>)> {
    let text = fs::read_to_string(Path::new(run).join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let found = lines.filter_map(|line| {
        let tasks = line["tasks"].as_array()?.iter();
        let headlines = tasks.map(|task| task["headline"].as_f64().unwrap()).collect();
        Some((line["step"].as_u64()?, line["average"].as_f64()?, headlines))
    });
    found.collect()
}

fn note(run: &str, step: u64) -> Value {
    let path = Path::new(run).join(format!("checkpoints/step-{step:08}/checkpoint.json"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_task_is_learned_and_answered() {
    let tasks = Tasks::new();
    let run = tasks.path("run");
    let output = t5(&tasks.finetune(&run, &["--task", &tasks.kinds, "--steps", "90"]));
    let told = stderr(&output);
    assert!(output.status.success(), "{told}");
    for words in [
        "start/checkpoints/step-00000001 after 1 step, with an optimiser that has seen nothing yet",
        "2 rows of 40 + 12 tokens a step; 90 steps",
        "kinds: 160 rows to train on, 40 to validate with; inputs of 40 tokens at most, targets of 12",
        "step 90: kinds ",
    ] {
        assert!(told.contains(words), "{words} in {told}");
    }
    // The last step is validated, too.
    let found = validations(&run);
    assert!(
        found.iter().map(|(step, ..)| *step).eq([20, 40, 60, 80, 90]),
        "{found:?}"
    );
    let (best, score) = found
        .iter()
        .fold((0, -1.0), |best, (step, average, _)| match *average > best.1 {
            true => (*step, *average),
            false => best,
        });
    assert!(score > 90.0, "{found:?}");
    assert_eq!(note(&run, best)["tasks"]["kinds"].as_f64(), Some(score));
    assert_eq!(shown(&run), measured(&run));
    let origin = &note(&run, 90)["origin"];
    assert!(origin["path"].as_str().unwrap().ends_with("step-00000001"), "{origin}");
    assert_eq!(
        (origin["step"].as_u64(), origin["xxh3"].as_str().unwrap().len()),
        (Some(1), 32)
    );

    // The same score again, by the checkpoint that had it.
    let eval: Value = serde_json::from_str(&said(&["eval", &run, "--task", &tasks.kinds, "--json"])).unwrap();
    let task = &eval["tasks"][0];
    assert_eq!(
        (task["headline"].as_f64(), task["step"].as_u64()),
        (Some(score), Some(best))
    );
    let accuracy = &task["scores"]["accuracy"];
    assert!(
        accuracy["low"].as_f64().unwrap() <= score && score <= accuracy["high"].as_f64().unwrap(),
        "{task}"
    );
    let table = said(&[
        "eval",
        &run,
        "--all",
        "--split",
        "train",
        "--checkpoint",
        "last",
        "--examples",
        "10",
    ]);
    assert!(table.contains("95 % interval") && table.contains("kinds"), "{table}");

    // Answers, in three forms.
    let file = tasks.path("answers");
    said(&["predict", &run, "--split", "validation", "-o", &file]);
    let text = fs::read_to_string(&file).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!((rows.len(), &rows[0][..]), (41, &["index", "prediction"][..]));
    said(&[
        "predict",
        &run,
        "--split",
        "validation",
        "-o",
        &file,
        "--format",
        "jsonl",
        "--beams",
        "2",
        "--rows",
        "3",
    ]);
    let text = fs::read_to_string(&file).unwrap();
    let mut right = 0;
    for (line, row) in text.lines().zip(&rows[1..]) {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["id"], row[0]);
        right += u32::from(line["targets"] == row[1]);
    }
    assert_eq!(f64::from(right) / 40.0 * 100.0, score);
    // Alone and with itself, a model says the same.
    let (alone, both) = (tasks.path("alone"), tasks.path("both"));
    said(&["predict", &run, "-o", &alone]);
    for kind in ["mean-logit", "mean-probability"] {
        said(&["predict", &run, &run, "-o", &both, "--ensemble", kind]);
        assert_eq!(fs::read(&alone).unwrap(), fs::read(&both).unwrap());
    }
    refused(&["predict", &run, "-o", &file, "--format", "glue"], &["kinds", "jsonl"]);
    refused(
        &["predict", &run, "-o", &file, "--checkpoint", "7"],
        &["no checkpoint of step 7", "90"],
    );
    // Of a run that read no corpus, the tasks are meant.
    let unnamed: Value = serde_json::from_str(&said(&["eval", &run, "--json"])).unwrap();
    assert_eq!(unnamed["tasks"][0]["headline"], task["headline"]);
    said(&["plot", &run]);
    let plot = fs::read_to_string(Path::new(&run).join("plot.svg")).unwrap();
    assert!(plot.contains("score"));
}

/// A mixture of a corpus and two tasks; validated between, and killed at any moment.
#[test]
fn a_mixture_that_is_killed_ends_as_one_that_is_not() {
    let tasks = Tasks::new();
    let whole = tasks.path("whole");
    let corpus = tasks.place.corpus.clone();
    let mixed = [
        "--task",
        &tasks.kinds,
        "--task",
        &tasks.sizes,
        "--corpus",
        &corpus,
        "--steps",
        "30",
        "--set",
        "mixing={kind='proportional', limit=100}",
        "--set",
        "evaluate_batches=2",
        "--set",
        "evaluate_every=3",
        "--set",
        "evaluate_examples=10",
        "--set",
        "model.dropout=0.1",
    ];
    said(&tasks.finetune(&whole, &mixed));
    let found = losses(&whole);
    assert!(found.iter().map(|(step, _)| *step).eq(1..=30), "{found:?}");
    assert!(validations(&whole).iter().all(|(_, _, headlines)| headlines.len() == 2));

    let killed = tasks.path("killed");
    let every = [&mixed[..], &["--set", "checkpoint_every=1"]].concat();
    kill_until_done(&killed, &tasks.finetune(&killed, &every));
    assert_eq!(state(&killed, 30), state(&whole, 30));
    assert_eq!(losses(&killed), found);
    assert_eq!(validations(&killed), validations(&whole));
    assert_eq!(shown(&killed), measured(&killed));

    // Several processes share the answers of a validation.
    let shared = tasks.path("shared");
    let two = [
        "--processes",
        "2",
        "--set",
        "batches_per_step=2",
        "--set",
        "feed.rows=1",
        "-t",
        "1",
    ];
    let mut arguments = tasks.finetune(&shared, &mixed);
    arguments.retain(|argument| !["-t", "2"].contains(argument));
    arguments.extend(two);
    said(&arguments);
    assert_eq!(validations(&shared).len(), 10);
    let one = tasks.path("one");
    let two = ["--set", "batches_per_step=2", "--set", "feed.rows=1"];
    said(&tasks.finetune(&one, &[&mixed[..], &two].concat()));
    assert_eq!(validations(&shared), validations(&one));
    // A file that has changed is told, by whoever goes on with the run.
    let rows = Path::new(&tasks.data).join("sizes/train.jsonl");
    let text = fs::read_to_string(&rows).unwrap();
    fs::write(&rows, text.replacen("whale", "snail", 1)).unwrap();
    refused(
        &["finetune", "-o", &whole, "--resume", "--steps", "31"],
        &["sizes/train.jsonl", "has changed since the run began"],
    );
    fs::write(&rows, text).unwrap();
    said(&[
        "finetune",
        "-o",
        &whole,
        "--resume",
        "--steps",
        "31",
        "--data",
        &tasks.data,
    ]);
}

#[test]
fn models_without_an_encoder_get_a_task_as_prefix() {
    for (architecture, objective) in [("language_model", "lm"), ("prefix_lm", "prefix_lm")] {
        let tasks = Tasks::of(&[
            &format!("model.architecture={architecture}"),
            &format!("feed.objective.name={objective}"),
        ]);
        for packing in ["packed", "one_per_row"] {
            let run = tasks.path(packing);
            let packing = format!("feed.packing={packing}");
            let rows = if packing.ends_with("packed") {
                "feed.rows=2"
            } else {
                "feed.rows=4"
            };
            let more = [
                "--task",
                &tasks.kinds,
                "--steps",
                "200",
                "--set",
                &packing,
                "--set",
                rows,
            ];
            said(&tasks.finetune(&run, &more));
            let best = validations(&run)
                .into_iter()
                .map(|(_, average, _)| average)
                .fold(0.0, f64::max);
            assert!(best > 90.0, "{architecture}, {packing}: {:?}", validations(&run));
        }
    }
}

#[test]
fn the_best_of_each_task_is_kept_and_patience_ends_a_run() {
    let tasks = Tasks::new();
    let run = tasks.path("run");
    let more = [
        "--task",
        &tasks.kinds,
        "--task",
        &tasks.sizes,
        "--steps",
        "400",
        "--patience",
        "3",
        "--set",
        "checkpoints_kept=1",
        "--set",
        "evaluate_every=10",
        "--set",
        "checkpoint_every=10",
    ];
    let output = t5(&tasks.finetune(&run, &more));
    let told = stderr(&output);
    assert!(output.status.success(), "{told}");
    let found = validations(&run);
    let best = |scores: Vec<f64>| {
        let steps = found.iter().map(|(step, ..)| *step);
        let best = steps.zip(scores).fold((0, -1.0), |best, found| match found.1 > best.1 {
            true => found,
            false => best,
        });
        best.0
    };
    let average = best(found.iter().map(|(_, average, _)| *average).collect());
    let (last, ..) = *found.last().unwrap();
    assert!(last < 400 && last == average + 30, "{found:?}");
    assert!(
        told.contains(&format!("was best after step {average}, 3 validations ago")),
        "{told}"
    );
    let of_task = |task: usize| found.iter().map(|(_, _, headlines)| headlines[task]).collect();
    let mut kept = vec![average, best(of_task(0)), best(of_task(1)), last];
    kept.sort_unstable();
    kept.dedup();
    let kept: Vec<String> = kept.iter().map(|step| format!("step-{step:08}")).collect();
    let mut are = checkpoints(&run);
    are.sort();
    assert_eq!(are, kept);
    // Gone on with, it ends at once; with more patience it goes on.
    said(&["finetune", "-o", &run, "--resume"]);
    assert_eq!(losses(&run).len() as u64, last);
    said(&[
        "finetune",
        "-o",
        &run,
        "--resume",
        "--set",
        "patience=0",
        "--steps",
        &(last + 5).to_string(),
    ]);
    assert_eq!(losses(&run).len() as u64, last + 5);
}

#[test]
fn a_start_may_be_of_others_or_of_nothing() {
    let tasks = Tasks::new();
    let folder = tasks.path("folder");
    said(&["export", &tasks.start, "-o", &folder]);
    let begin = |start: &str, output: &str, more: &[&str]| {
        let mut arguments = tasks.finetune(output, &["--task", &tasks.kinds, "--steps", "4"]);
        arguments[1] = start;
        arguments.extend(more);
        let output = t5(&arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        stderr(&output)
    };
    let (run, other) = (tasks.path("run"), tasks.path("other"));
    begin(&tasks.start, &run, &[]);
    begin(&folder, &other, &[]);
    // The same model by another way, so the same steps.
    assert_eq!(state(&run, 4), state(&other, 4));
    assert_eq!(note(&run, 4)["origin"]["xxh3"], note(&other, 4)["origin"]["xxh3"]);
    // Shape and vocabulary alone; the optimiser's state as well.
    let scratch = tasks.path("scratch");
    assert!(begin(&folder, &scratch, &["--from-scratch"]).contains("nothing that it has learned"));
    assert_ne!(state(&scratch, 4)[0], state(&run, 4)[0]);
    assert!(note(&scratch, 4)["origin"]["xxh3"].is_null());
    let kept = tasks.path("kept");
    assert!(begin(&tasks.start, &kept, &["--keep-optimizer"]).contains("with the state of its optimiser"));
    assert_ne!(state(&kept, 4)[1], state(&run, 4)[1]);
    assert_eq!(note(&kept, 4)["origin"]["optimizer_steps"], 1);
    // A fine-tuned run is a start as well, and so is one of its checkpoints.
    let again = tasks.path("again");
    begin(
        &format!("{kept}/checkpoints/step-00000004"),
        &again,
        &["--keep-optimizer"],
    );
    assert_eq!(note(&again, 4)["origin"]["optimizer_steps"], 5);

    let out = tasks.path("out");
    let mut arguments = tasks.finetune(&out, &["--task", &tasks.kinds, "--keep-optimizer"]);
    arguments[1] = &folder;
    refused(&arguments, &["no state of an optimiser", "--keep-optimizer"]);
    refused(&tasks.finetune(&out, &[]), &["no task", "--task"]);
    refused(
        &tasks.finetune(&out, &["--task", "glue/nothing"]),
        &["glue/nothing", "glue/rte"],
    );
    refused(
        &tasks.finetune(&run, &["--task", &tasks.kinds]),
        &["holds a run", "--resume"],
    );
    let mut nowhere = tasks.finetune(&out, &["--task", &tasks.kinds]);
    nowhere[1] = "nowhere";
    refused(&nowhere, &["nowhere"]);
    let without: Vec<&str> = vec!["finetune", &tasks.start, "--task", &tasks.kinds, "-o", &out];
    refused(&without, &["no folder of rows", "--data"]);
    // Rows of another task; a column that is missing in some rows, and in all.
    refused(
        &tasks.finetune(&out, &["--task", "glue/rte"]),
        &["none is named as glue/rte"],
    );
    let own = format!("{}/kinds", tasks.data);
    let mut other = tasks.finetune(&out, &["--task", "glue/rte"]);
    other[3] = &own;
    refused(&other, &["is of another task: glue/rte wants", "sentence1"]);
    let rows = Path::new(&tasks.data).join("kinds/train.jsonl");
    let text = fs::read_to_string(&rows).unwrap();
    fs::write(&rows, text.replacen("\"label\"", "\"lable\"", 2)).unwrap();
    let told = begin(&tasks.start, &out, &[]);
    let lines: Vec<&str> = told
        .lines()
        .filter(|line| line.contains("the row is not used"))
        .collect();
    assert!(lines.len() == 2 && lines[0].contains("train.jsonl: line "), "{told}");
    fs::write(&rows, text.replace("\"text\"", "\"words\"")).unwrap();
    let out = tasks.path("out2");
    refused(
        &tasks.finetune(&out, &["--task", &tasks.kinds]),
        &["train.jsonl", "text"],
    );
    assert!(!Path::new(&out).exists());
}

/// Tasks in a configuration, pre-trained on beside the corpus, and what share each has.
#[test]
fn tasks_of_a_configuration_are_pretrained_on() {
    let tasks = Tasks::new();
    let config = tasks.path("mixture.toml");
    let toml = format!(
        "[[corpora]]\npath = \"C4\"\nexamples = 1000\n[[tasks]]\nname = {:?}\n[[tasks]]\nname = {:?}\nexamples = 40\n\
         [mixing]\nkind = \"temperature\"\ntemperature = 2.0\nlimit = 400\n",
        tasks.kinds, tasks.sizes
    );
    fs::write(&config, toml).unwrap();
    let (corpus, data) = (&tasks.place.corpus, &tasks.data);
    let show = |of: &str, more: &[&str]| -> Vec<Value> {
        serde_json::from_str(&said(&[&["mix", "show", of, "--json"], more].concat())).unwrap()
    };
    let where_from = ["--corpus", corpus, "--data", data];
    let found = show(&config, &where_from);
    let rates: Vec<f64> = found.iter().map(|of| of["rate"].as_f64().unwrap()).collect();
    assert_eq!(rates, [20.0, 160_f64.sqrt(), 40_f64.sqrt()]);
    let equal = show(&config, &[&where_from[..], &["--set", "mixing.kind=equal"]].concat());
    assert!(
        equal.iter().all(|of| of["share"].as_f64() == Some(1.0 / 3.0)),
        "{equal:?}"
    );
    let run = tasks.path("run");
    let more = [
        "--config",
        &config,
        "--data",
        data,
        "--steps",
        "20",
        "--set",
        "evaluate_examples=5",
    ];
    said(&tasks.place.begin(&run, &more));
    let found = validations(&run);
    assert!(found.iter().map(|(step, ..)| *step).eq([10, 20]), "{found:?}");
    let text = fs::read_to_string(Path::new(&run).join("metrics.jsonl")).unwrap();
    assert!(
        text.lines()
            .any(|line| line.contains("validation_loss") && line.contains("average"))
    );
    assert_eq!(show(&run, &[])[1]["rate"], rates[1]);
    let table = said(&["mix", "show", &run]);
    assert!(table.contains("kinds") && table.contains(" %"), "{table}");
    let seen = said(&["inspect", &run, "-n", "1"]);
    assert!(seen.contains("[[tasks]]") && seen.contains("[mixing]"), "{seen}");
    // Without one of them.
    let left_out = tasks.path("left-out");
    said(
        &tasks
            .place
            .begin(&left_out, &[&more[..], &["--leave-out", "sizes"]].concat()),
    );
    assert!(
        validations(&left_out)
            .iter()
            .all(|(_, _, headlines)| headlines.len() == 1)
    );
    refused(
        &tasks
            .place
            .begin(&tasks.path("none"), &[&more[..], &["--leave-out", "rte"]].concat()),
        &["rte", "--leave-out"],
    );
}

/// The paper's mixtures can be read, and are of tasks that there are.
#[test]
fn mixtures_of_the_paper_are_configurations() {
    use t5_trainer::RunConfig;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/mixtures");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let config = RunConfig::resolve("base", Some(&file), &[], None).unwrap_or_else(|error| panic!("{error}"));
        for task in &config.tasks {
            t5_trainer::Task::open(&task.name).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        // All of the paper's, once: GLUE's and SuperGLUE's training sets, DPR, SQuAD, CNN/Daily Mail, WMT.
        assert_eq!(config.tasks.len(), 22, "{name}");
        assert_eq!(config.corpora.len(), usize::from(name != "supervised_only"), "{name}");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("# ") && text.contains("Source: "), "{name}");
    }
}

/// What the servers of GLUE and SuperGLUE take, of rows without labels.
#[test]
fn answers_are_written_as_the_benchmarks_take_them() {
    let tasks = Tasks::new();
    let answer = |task: &str, rows: &str| {
        let folder = tasks.place.dir.path().join("benchmarks").join(task);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("test.jsonl"), rows).unwrap();
        let (data, file) = (tasks.path("benchmarks"), tasks.path("handed-in"));
        let arguments = ["predict", &tasks.start, "--task", task, "--data", &data, "-o", &file];
        let output = t5(&[&arguments[..], &["--format", "glue", "--max-tokens", "3"]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        fs::read_to_string(file).unwrap()
    };
    // The model has learned nothing, so that no answer is a label.
    let pair = |idx| format!("{{\"sentence1\": \"a\", \"sentence2\": \"b\", \"idx\": {idx}, \"label\": -1}}\n");
    let pairs = pair(4) + &pair(9);
    assert_eq!(
        answer("glue/rte", &pairs),
        "index\tprediction\n4\tentailment\n9\tentailment\n"
    );
    assert_eq!(answer("glue/mrpc", &pairs), "index\tprediction\n4\t0\n9\t0\n");
    assert_eq!(answer("glue/stsb", &pairs), "index\tprediction\n4\t0.000\n9\t0.000\n");
    let boolq = "{\"passage\": \"a\", \"question\": \"b\", \"idx\": 3}\n";
    assert_eq!(answer("super_glue/boolq", boolq), "{\"idx\":3,\"label\":\"false\"}\n");
    let copa = "{\"premise\": \"a\", \"choice1\": \"b\", \"choice2\": \"c\", \"question\": \"cause\", \"idx\": 5}\n";
    assert_eq!(answer("super_glue/copa", copa), "{\"idx\":5,\"label\":0}\n");
    let multirc = |question, answer| {
        format!(
            "{{\"paragraph\": \"a\", \"question\": \"b\", \"answer\": \"c\", \
             \"idx\": {{\"paragraph\": 2, \"question\": {question}, \"answer\": {answer}}}}}\n"
        )
    };
    let found = answer(
        "super_glue/multirc",
        &[multirc(6, 0), multirc(6, 1), multirc(7, 2)].concat(),
    );
    let found: Value = serde_json::from_str(&found).unwrap();
    let label = |idx| serde_json::json!({ "idx": idx, "label": 0 });
    let questions = serde_json::json!([
        { "idx": 6, "answers": [label(0), label(1)] },
        { "idx": 7, "answers": [label(2)] },
    ]);
    assert_eq!(
        found,
        serde_json::json!({ "idx": 2, "passage": { "questions": questions } })
    );
    let wsc = "{\"text\": \"Ann saw it\", \"span1_text\": \"Ann\", \"span2_text\": \"it\", \"span1_index\": 0, \
               \"span2_index\": 2, \"idx\": 8}\n";
    assert_eq!(answer("super_glue/wsc", wsc), "{\"idx\":8,\"label\":\"False\"}\n");
}

//! The public forms of every task: GLUE's and SuperGLUE's own archives, the Hub's columns, what else is about. Each
//! gives the same examples. (Above 500 lines: rows of some twenty data sets.)

use crate::common::archive::zip;
use arrow::array::{ArrayRef, Float32Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Int32Type};
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use t5_trainer::Task;
use t5_trainer::internals::{TaskData, TaskSplit, TextExample};
use tempfile::{TempDir, tempdir};

const TRAIN: TaskSplit = TaskSplit::Train;
const VALIDATION: TaskSplit = TaskSplit::Validation;
const TEST: TaskSplit = TaskSplit::Test;

fn examples(name: &str, data: &Path, split: TaskSplit) -> Vec<TextExample> {
    let task = Task::open(name).unwrap();
    let found = TaskData::open(&task, data).unwrap();
    let files = found.split(split).unwrap_or_else(|| panic!("{name}: no {split}"));
    let mut rows = files.open(0).unwrap();
    let (mut all, mut read) = (Vec::new(), 0);
    while let Some(row) = rows.next().unwrap() {
        let found = task.examples(&row, split);
        all.push(found.unwrap_or_else(|problem| panic!("{name}: {}: {problem}", row.place())));
        read += 1;
    }
    assert_eq!(read, files.rows());
    // From every row on, the same.
    for from in 0..=read {
        let mut rows = files.open(from).unwrap();
        for want in &all[from as usize..] {
            assert_eq!(
                task.examples(&rows.next().unwrap().unwrap(), split).unwrap(),
                *want,
                "{name} from {from}"
            );
        }
        assert!(rows.next().unwrap().is_none());
    }
    all.into_iter().flatten().collect()
}

/// The folder holds these files.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempdir().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    dir
}

fn pairs(examples: &[TextExample]) -> Vec<(&str, &str)> {
    examples
        .iter()
        .map(|e| (e.inputs.as_str(), e.targets.as_str()))
        .collect()
}

/// Whatever the files hold, the examples of the split are these.
#[track_caller]
fn gives(name: &str, split: TaskSplit, files: &[(&str, &[u8])], want: &[(&str, &str)]) -> Vec<TextExample> {
    let dir = folder(files);
    let found = examples(name, dir.path(), split);
    assert_eq!(
        pairs(&found),
        want,
        "{name}: {:?}",
        files.iter().map(|(name, _)| name).collect::<Vec<_>>()
    );
    found
}

fn lines(rows: &[Value]) -> Vec<u8> {
    rows.iter().flat_map(|row| format!("{row}\n").into_bytes()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn text(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn numbers(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.iter().copied()))
}

fn lists(values: &[&[&str]]) -> ArrayRef {
    let mut list = arrow::array::ListBuilder::new(arrow::array::StringBuilder::new());
    for value in values {
        for text in *value {
            list.values().append_value(text);
        }
        list.append(true);
    }
    let list: ListArray = list.finish();
    Arc::new(list)
}

fn fields(columns: &[(&str, ArrayRef)]) -> ArrayRef {
    let field = |(name, array): &(&str, ArrayRef)| {
        let field = Field::new(*name, array.data_type().clone(), true);
        (Arc::new(field), array.clone())
    };
    Arc::new(StructArray::from(columns.iter().map(field).collect::<Vec<_>>()))
}

fn parquet(columns: &[(&str, ArrayRef)]) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns.iter().map(|(name, array)| (*name, array.clone()))).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn cola() {
    let want = [
        ("cola sentence: They \"said\" so.", "acceptable"),
        ("cola sentence: Him left.", "unacceptable"),
    ];
    let table = b"gj04\t1\t\tThey \"said\" so.\ngj04\t0\t*\tHim left.\n";
    gives("glue/cola", TRAIN, &[("train.tsv", table)], &want);
    gives("glue/cola", TRAIN, &[("x/CoLA/in_domain_train.tsv", table)], &want);
    // GLUE's archive has the corpus inside, in two forms.
    let originals = b"gj04\t1\t\tOriginal .\n";
    let archive = zip(&[
        ("CoLA/original/raw/in_domain_train.tsv", originals),
        ("CoLA/original/tokenized/in_domain_train.tsv", originals),
        ("CoLA/original/raw/in_domain_dev.tsv", originals),
        ("CoLA/dev.tsv", table),
        ("CoLA/test.tsv", b"index\tsentence\n0\tThey left.\n"),
        ("CoLA/train.tsv", table),
    ]);
    gives("glue/cola", TRAIN, &[("CoLA.zip", &archive)], &want);
    gives("glue/cola", VALIDATION, &[("CoLA.zip", &archive)], &want);
    let found = gives(
        "glue/cola",
        TEST,
        &[("CoLA.zip", &archive)],
        &[("cola sentence: They left.", "<unk>")],
    );
    assert_eq!((found[0].truth.id.as_deref(), found[0].truth.known), (Some("0"), false));
    let hub = parquet(&[
        ("sentence", text(&["They \"said\" so.", "Him left."])),
        ("label", numbers(&[1, 0])),
        ("idx", numbers(&[0, 1])),
    ]);
    gives(
        "glue/cola",
        TRAIN,
        &[("cola/train-00000-of-00001.parquet", &hub)],
        &want,
    );
    // Both parts of the validation set of the corpus itself.
    let parts: [(&str, &[u8]); 2] = [
        ("in_domain_dev.tsv", b"a\t1\t\tOne.\n"),
        ("out_of_domain_dev.tsv", b"b\t0\t\tTwo.\n"),
    ];
    let both = [
        ("cola sentence: One.", "acceptable"),
        ("cola sentence: Two.", "unacceptable"),
    ];
    gives("glue/cola", VALIDATION, &parts, &both);
}

#[test]
fn sst2_and_qnli() {
    let want = [
        ("sst2 sentence: it 's \" good", "positive"),
        ("sst2 sentence: it is bad", "negative"),
    ];
    gives(
        "glue/sst2",
        TRAIN,
        &[("SST-2/train.tsv", b"sentence\tlabel\nit 's \" good\t1\nit is bad\t0\n")],
        &want,
    );
    gives(
        "glue/sst2",
        TRAIN,
        &[("train.tsv", b"it 's \" good\t1\nit is bad\t0\n")],
        &want,
    );
    let csv = b"sentence,label\n\"it 's \"\" good\",positive\nit is bad,0\n";
    gives("glue/sst2", TRAIN, &[("train.csv", csv)], &want);
    let test = b"index\tsentence\n7\tit is odd\n";
    gives(
        "glue/sst2",
        TEST,
        &[("SST-2/test.tsv", test)],
        &[("sst2 sentence: it is odd", "<unk>")],
    );
    let want = [("qnli question: Where? sentence: There.", "not_entailment")];
    let table = b"index\tquestion\tsentence\tlabel\r\n0\tWhere?\tThere.\tnot_entailment\r\n";
    gives("glue/qnli", VALIDATION, &[("QNLI/dev.tsv", table)], &want);
}

#[test]
fn mrpc_stsb_and_qqp() {
    let want = [("mrpc sentence1: He \"left . sentence2: He went .", "equivalent")];
    let table = "\u{feff}Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n1\t702876\t702977\tHe \"left .\tHe went .\r\n";
    gives(
        "glue/mrpc",
        TRAIN,
        &[("msr_paraphrase_train.txt", table.as_bytes())],
        &want,
    );
    gives(
        "glue/mrpc",
        TEST,
        &[("MRPC/msr_paraphrase_test.txt", table.as_bytes())],
        &want,
    );
    let test = b"index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t1\t2\tA .\tB .\n";
    gives(
        "glue/mrpc",
        TEST,
        &[("MRPC/test.tsv", test)],
        &[("mrpc sentence1: A . sentence2: B .", "<unk>")],
    );

    // The folder of GLUE's script: its tables beside the corpus and a list of ids.
    let glue = b"Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t1\t2\tA .\tB .\n";
    let files: [(&str, &[u8]); 5] = [
        ("MRPC/msr_paraphrase_train.txt", table.as_bytes()),
        ("MRPC/msr_paraphrase_test.txt", table.as_bytes()),
        ("MRPC/dev_ids.tsv", b"1\t2\n"),
        ("MRPC/train.tsv", glue),
        ("MRPC/dev.tsv", glue),
    ];
    let of_glue = [("mrpc sentence1: A . sentence2: B .", "not_equivalent")];
    gives("glue/mrpc", TRAIN, &files, &of_glue);
    gives("glue/mrpc", VALIDATION, &files, &of_glue);
    gives("glue/mrpc", TEST, &files, &want);

    let want = [("stsb sentence1: A \"plane. sentence2: A jet.", "3.2")];
    let head = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2";
    let row = "0\tmain-captions\tMSRvid\t2012test\t0001\tnone\tnone\tA \"plane.\tA jet.";
    gives(
        "glue/stsb",
        TRAIN,
        &[("STS-B/train.tsv", format!("{head}\tscore\n{row}\t3.250\n").as_bytes())],
        &want,
    );
    let hub = parquet(&[
        ("sentence1", text(&["A \"plane."])),
        ("sentence2", text(&["A jet."])),
        ("label", Arc::new(Float32Array::from(vec![3.25]))),
        ("idx", numbers(&[0])),
    ]);
    gives(
        "glue/stsb",
        TRAIN,
        &[("stsb/train-00000-of-00001.parquet", &hub)],
        &want,
    );
    let unknown = [(want[0].0, "<unk>")];
    gives(
        "glue/stsb",
        TEST,
        &[("STS-B/test.tsv", format!("{head}\n{row}\n").as_bytes())],
        &unknown,
    );

    let want = [("qqp question1: Why? question2: How so?", "duplicate")];
    let table = b"id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n5\t1\t2\tWhy?\tHow so?\t1\n";
    let found = gives("glue/qqp", TRAIN, &[("QQP/train.tsv", table)], &want);
    assert_eq!(found[0].truth.id.as_deref(), Some("5"));
    let test = b"id\tquestion1\tquestion2\n0\tWhy?\tHow so?\n";
    gives("glue/qqp", TEST, &[("QQP/test.tsv", test)], &[(want[0].0, "<unk>")]);
}

#[test]
fn mnli_and_its_diagnostic_set() {
    let head = "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\tsentence1\tsentence2";
    let row = |premise: &str| format!("0\t1\t1e\tfiction\t( a )\t( b )\t(ROOT a)\t(ROOT b)\t{premise}\tIt is.");
    let table =
        |premise: &str| format!("{head}\tlabel1\tgold_label\n{}\tneutral\tcontradiction\n", row(premise)).into_bytes();
    let (train, matched, mismatched) = (table("T"), table("M"), table("MM"));
    let test = format!("{head}\n{}\n", row("MT")).into_bytes();
    let archive = zip(&[
        (
            "MNLI/original/multinli_1.0_train.txt",
            b"gold_label\tsentence1\tsentence2\nneutral\tx\ty\n",
        ),
        ("MNLI/dev_matched.tsv", &matched),
        ("MNLI/dev_mismatched.tsv", &mismatched),
        ("MNLI/test_matched.tsv", &test),
        ("MNLI/test_mismatched.tsv", &mismatched),
        ("MNLI/train.tsv", &train),
    ]);
    let files: [(&str, &[u8]); 1] = [("MNLI.zip", &archive)];
    let said = |premise: &str| format!("mnli hypothesis: It is. premise: {premise}");
    for (task, split, premise, target) in [
        ("glue/mnli", TRAIN, "T", "contradiction"),
        ("glue/mnli", VALIDATION, "M", "contradiction"),
        ("glue/mnli", TEST, "MT", "<unk>"),
        ("glue/mnli_mismatched", TRAIN, "T", "contradiction"),
        ("glue/mnli_mismatched", VALIDATION, "MM", "contradiction"),
        ("glue/mnli_mismatched", TEST, "MM", "contradiction"),
    ] {
        gives(task, split, &files, &[(&said(premise), target)]);
    }
    let hub = |premise: &str| {
        parquet(&[
            ("premise", text(&[premise])),
            ("hypothesis", text(&["It is."])),
            ("label", numbers(&[1])),
            ("idx", numbers(&[0])),
        ])
    };
    let (train, matched, mismatched) = (hub("T"), hub("M"), hub("MM"));
    let files: [(&str, &[u8]); 3] = [
        ("mnli/train-00000-of-00001.parquet", &train),
        ("mnli/validation_matched-00000-of-00001.parquet", &matched),
        ("mnli/validation_mismatched-00000-of-00001.parquet", &mismatched),
    ];
    gives("glue/mnli", VALIDATION, &files, &[(&said("M"), "neutral")]);
    gives("glue/mnli_mismatched", VALIDATION, &files, &[(&said("MM"), "neutral")]);
    let want = [(said("P"), "<unk>")];
    let want = [(want[0].0.as_str(), "<unk>")];
    gives(
        "glue/ax",
        TEST,
        &[(
            "diagnostic/diagnostic.tsv",
            b"index\tsentence1\tsentence2\n0\tP\tIt is.\n",
        )],
        &want,
    );
    gives(
        "glue/ax",
        TEST,
        &[("AX.tsv", b"index\tsentence1\tsentence2\n0\tP\tIt is.\n")],
        &want,
    );
}

#[test]
fn wnli() {
    let table =
        b"index\tsentence1\tsentence2\tlabel\n3\tThe fish ate the worm. It was tasty.\tThe fish was tasty.\t0\n";
    let want = [("wsc: The fish ate the worm. *It* was tasty.", "The fish")];
    let found = gives("glue/wnli", VALIDATION, &[("WNLI/dev.tsv", table)], &want);
    let truth = &found[0].truth;
    assert_eq!(
        (truth.id.as_deref(), truth.known, truth.holds),
        (Some("3"), true, false)
    );
    let test = b"index\tsentence1\tsentence2\n3\tThe fish ate the worm. It was tasty.\tThe worm was tasty.\n";
    let want = [("wsc: The fish ate the worm. *It* was tasty.", "The worm")];
    let found = gives("glue/wnli", TEST, &[("WNLI/test.tsv", test)], &want);
    assert!(!found[0].truth.known);
    gives("glue/wnli", TRAIN, &[("WNLI/train.tsv", table)], &[]);
    for (premise, hypothesis, inputs, answer) in [
        // Only what is behind the pronoun is found, at the start: all of the sentence.
        (
            "But her Ann door.",
            "Ann mother he she.",
            "But *her* Ann door.",
            "Ann mother he she",
        ),
        // From the last article on, and not possessive.
        (
            "I saw his dog.",
            "I saw a man and the boy's dog.",
            "I saw *his* dog.",
            "the boy",
        ),
        // A mark behind the pronoun is set apart.
        ("Tom hit it.", "Tom hit a wall.", "Tom hit *it* .", "a wall"),
    ] {
        let row = json!({"sentence1": premise, "sentence2": hypothesis, "idx": 0});
        gives(
            "glue/wnli",
            TEST,
            &[("test.jsonl", &lines(&[row]))],
            &[(&format!("wsc: {inputs}"), answer)],
        );
    }
    let row = lines(&[json!({"sentence1": "No one.", "sentence2": "One.", "label": 1, "idx": 0})]);
    let dir = folder(&[("validation.jsonl", &row)]);
    let task = Task::open("glue/wnli").unwrap();
    let data = TaskData::open(&task, dir.path()).unwrap();
    let row = data
        .split(VALIDATION)
        .unwrap()
        .open(0)
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let problem = task.examples(&row, VALIDATION).unwrap_err();
    assert_eq!(problem.to_string(), "the first sentence has no pronoun");
}

#[test]
fn superglue_of_one_text_or_two() {
    for (task, folder, row, hub, want) in [
        (
            "super_glue/boolq",
            "BoolQ",
            json!({"question": "is it cold", "passage": "Lake -- It is.", "idx": 4, "label": true}),
            json!({"question": "is it cold", "passage": "Lake -- It is.", "idx": 4, "label": 1}),
            ("boolq passage: Lake -- It is. question: is it cold", "True"),
        ),
        (
            "super_glue/cb",
            "CB",
            json!({"premise": "P", "hypothesis": "H", "label": "contradiction", "idx": 4}),
            json!({"premise": "P", "hypothesis": "H", "label": 1, "idx": 4}),
            ("cb hypothesis: H premise: P", "contradiction"),
        ),
        (
            "super_glue/copa",
            "COPA",
            json!({"premise": "P", "choice1": "A", "choice2": "B", "question": "cause", "label": 0, "idx": 4}),
            json!({"premise": "P", "choice1": "A", "choice2": "B", "question": "cause", "label": 0, "idx": 4}),
            ("copa choice1: A choice2: B premise: P question: cause", "choice1"),
        ),
        (
            "super_glue/rte",
            "RTE",
            json!({"premise": "P", "hypothesis": "H", "label": "not_entailment", "idx": 4}),
            json!({"premise": "P", "hypothesis": "H", "label": 1, "idx": 4}),
            ("rte hypothesis: H premise: P", "not_entailment"),
        ),
        (
            "super_glue/wic",
            "WiC",
            json!({"word": "bank", "sentence1": "A .", "sentence2": "B .", "idx": 4, "label": false, "start1": 0, "start2": 0, "end1": 1,
                   "end2": 1, "version": 1.1}),
            json!({"word": "bank", "sentence1": "A .", "sentence2": "B .", "start1": 0, "start2": 0, "end1": 1, "end2": 1, "idx": 4,
                   "label": 0}),
            ("wic sentence1: A . sentence2: B . word: bank", "False"),
        ),
    ] {
        let (rows, hub) = (lines(std::slice::from_ref(&row)), lines(&[hub]));
        let archive = zip(&[
            (&format!("{folder}/train.jsonl"), &rows),
            (&format!("{folder}/val.jsonl"), &rows),
            (&format!("__MACOSX/{folder}/._train.jsonl"), b"\0\x05\x16"),
        ]);
        gives(task, VALIDATION, &[(&format!("{folder}.zip"), &archive)], &[want]);
        gives(
            task,
            TRAIN,
            &[(&format!("{folder}/train.jsonl.gz"), &gzip(&rows))],
            &[want],
        );
        let found = gives(task, TRAIN, &[("train.json", &hub)], &[want]);
        assert_eq!(found[0].truth.id.as_deref(), Some("4"));
        assert_eq!(found[0].truth.answers, [want.1]);
        let mut row = row;
        row.as_object_mut().unwrap().remove("label");
        gives(
            task,
            TEST,
            &[(&format!("{folder}/test.jsonl"), &lines(&[row]))],
            &[(want.0, "<unk>")],
        );
    }
    let row =
        |label: Value| lines(&[json!({"sentence1": "P", "sentence2": "H", "idx": 0, "label": label, "logic": "x"})]);
    let want = [("rte hypothesis: H premise: P", "entailment")];
    gives(
        "super_glue/axb",
        TEST,
        &[("AX-b/AX-b.jsonl", &row("entailment".into()))],
        &want,
    );
    gives(
        "super_glue/axb",
        TEST,
        &[("axb/test-00000-of-00001.jsonl", &row(0.into()))],
        &want,
    );
    let row = lines(&[json!({"premise": "P", "hypothesis": "H", "idx": 0, "label": "entailment", "pair_id": 1})]);
    let archive = zip(&[("AX-g/AX-g.jsonl", &row)]);
    gives("super_glue/axg", TEST, &[("AX-g.zip", &archive)], &want);
    // One archive of all of them.
    let rte = lines(&[json!({"premise": "P", "hypothesis": "H", "idx": 0, "label": "entailment"})]);
    let all = zip(&[("CB/train.jsonl", b"{}"), ("RTE/train.jsonl", &rte)]);
    let dir = folder(&[("combined.zip", &all)]);
    assert_eq!(
        pairs(&examples("super_glue/rte", &dir.path().join("combined.zip"), TRAIN)),
        want
    );
}

#[test]
fn multirc() {
    let want = [
        (
            "multirc question: Who ran? answer: Tom paragraph: Sent 1: Tom ran. ",
            "True",
        ),
        (
            "multirc question: Who ran? answer: Ann paragraph: Sent 1: Tom ran. ",
            "False",
        ),
        (
            "multirc question: Why? answer: Fear paragraph: Sent 1: Tom ran. ",
            "False",
        ),
    ];
    let paragraph = "<b>Sent 1: </b>Tom ran.<br>";
    let nested = json!({"idx": 7, "version": 1.1, "passage": {"text": paragraph, "questions": [
        {"question": "Who ran?", "idx": 3, "sentences_used": [0], "answers": [
            {"text": "Tom", "idx": 11, "label": 1}, {"text": "Ann", "idx": 12, "label": 0}]},
        {"question": "Why?", "idx": 4, "answers": [{"text": "Fear", "idx": 13, "label": 0}]},
    ]}});
    let archive = zip(&[("MultiRC/train.jsonl", &lines(&[nested]))]);
    let found = gives("super_glue/multirc", TRAIN, &[("MultiRC.zip", &archive)], &want);
    let of = |e: &TextExample| (e.truth.group.clone().unwrap(), e.truth.id.clone().unwrap());
    let groups: Vec<_> = found.iter().map(of).collect();
    let said = |group: &str, id: &str| (group.to_owned(), id.to_owned());
    assert_eq!(groups, [said("7-3", "11"), said("7-3", "12"), said("7-4", "13")]);
    let hub = parquet(&[
        ("paragraph", text(&[paragraph; 3])),
        ("question", text(&["Who ran?", "Who ran?", "Why?"])),
        ("answer", text(&["Tom", "Ann", "Fear"])),
        (
            "idx",
            fields(&[
                ("paragraph", numbers(&[7, 7, 7])),
                ("question", numbers(&[3, 3, 4])),
                ("answer", numbers(&[11, 12, 13])),
            ]),
        ),
        ("label", numbers(&[1, 0, 0])),
    ]);
    let of_hub = gives(
        "super_glue/multirc",
        TRAIN,
        &[("multirc/train-00000-of-00001.parquet", &hub)],
        &want,
    );
    assert_eq!(found, of_hub);
}

#[test]
fn record() {
    // A code point of four bytes before the entities: places count code points.
    let passage = "\u{1d11e} Rome -- Ann met Bob.\n@highlight\nAnn is tall\n@highlight\nBob left.";
    let inputs = "record query: @placeholder was seen. entities: Ann, Bob passage: \u{1d11e} Rome -- Ann met Bob. Ann is tall. Bob left.";
    let nested = json!({"source": "Daily mail", "idx": 7, "passage": {"text": passage, "entities": [
        {"start": 18, "end": 20}, {"start": 10, "end": 12}, {"start": 34, "end": 36}]},
        "qas": [{"query": "@placeholder was seen.", "idx": 9, "answers": [
            {"start": 18, "end": 20, "text": "Bob"}, {"start": 10, "end": 12, "text": "Ann"}, {"start": 34, "end": 36, "text": "Ann"}]}]});
    let rows = lines(&[nested]);
    let archive = zip(&[("ReCoRD/train.jsonl", &rows), ("ReCoRD/val.jsonl", &rows)]);
    let files: [(&str, &[u8]); 1] = [("ReCoRD.zip", &archive)];
    gives("super_glue/record", TRAIN, &files, &[(inputs, "Ann"), (inputs, "Bob")]);
    // One example for each query where answers are compared.
    let found = gives("super_glue/record", VALIDATION, &files, &[(inputs, "Ann")]);
    assert_eq!(found[0].truth.answers, ["Ann", "Bob"]);
    assert_eq!(
        (found[0].truth.group.as_deref(), found[0].truth.id.as_deref()),
        (Some("7-9"), Some("9"))
    );
    let hub = parquet(&[
        ("passage", text(&[passage])),
        ("query", text(&["@placeholder was seen."])),
        ("entities", lists(&[&["Ann", "Bob"]])),
        ("answers", lists(&[&["Ann", "Bob"]])),
        ("idx", fields(&[("passage", numbers(&[7])), ("query", numbers(&[9]))])),
    ]);
    let of_hub = gives(
        "super_glue/record",
        VALIDATION,
        &[("record/validation-00000-of-00001.parquet", &hub)],
        &[(inputs, "Ann")],
    );
    assert_eq!(found, of_hub);
    let test = json!({"idx": 1, "passage": {"text": "A.", "entities": [{"start": 0, "end": 0}]}, "qas": [{"query": "@placeholder", "idx": 2}]});
    let unknown = [("record query: @placeholder entities: A passage: A.", "<unk>")];
    gives(
        "super_glue/record",
        TEST,
        &[("ReCoRD/test.jsonl", &lines(&[test]))],
        &unknown,
    );
}

#[test]
fn wsc_and_dpr() {
    let said = "Mitchell asked Tom if he could lend some money.";
    let nested = |label: bool| {
        json!({"text": said, "idx": 4, "label": label, "target": {"span1_index": 0, "span1_text": "Mitchell", "span2_index": 4,
               "span2_text": "he"}})
    };
    let want = ("wsc: Mitchell asked Tom if *he* could lend some money.", "Mitchell");
    let rows = lines(&[nested(false), nested(true)]);
    let archive = zip(&[("WSC/train.jsonl", &rows), ("WSC/val.jsonl", &rows)]);
    gives("super_glue/wsc", TRAIN, &[("WSC.zip", &archive)], &[want]);
    let found = gives("super_glue/wsc", VALIDATION, &[("WSC.zip", &archive)], &[want, want]);
    assert_eq!(found.iter().map(|e| e.truth.holds).collect::<Vec<_>>(), [false, true]);
    let hub = parquet(&[
        ("text", text(&[said])),
        ("span1_index", numbers(&[0])),
        ("span2_index", numbers(&[4])),
        ("span1_text", text(&["Mitchell"])),
        ("span2_text", text(&["he"])),
        ("idx", numbers(&[4])),
        ("label", numbers(&[1])),
    ]);
    let files: [(&str, &[u8]); 1] = [("super_glue/wsc.fixed/validation-00000-of-00001.parquet", &hub)];
    let of_hub = gives("super_glue/wsc", VALIDATION, &files, &[want]);
    let both: [(&str, &[u8]); 2] = [files[0], ("super_glue/wsc/validation-00000-of-00001.parquet", b"PAR1")];
    gives("super_glue/wsc", VALIDATION, &both, &[want]);
    assert_eq!(of_hub[0], found[1]);
    // Two rows of the set point beside the pronoun, one at a word with more behind it.
    for (text, index, pronoun, want) in [
        (
            "So they would use it , but really",
            3,
            "it",
            "wsc: So they would use *it* , but really",
        ),
        (
            "\"Good for him,\" he said",
            2,
            "him",
            "wsc: \"Good for *him* ,\" he said",
        ),
        ("It was late", 0, "It", "wsc: *It* was late"),
    ] {
        let row =
            json!({"text": text, "idx": 4, "target": {"span1_text": "x", "span2_index": index, "span2_text": pronoun}});
        gives(
            "super_glue/wsc",
            TEST,
            &[("test.jsonl", &lines(&[row]))],
            &[(want, "x")],
        );
    }
    let row = json!({"sentence": "Bob asked Tom if he can lend, he said.", "pronoun": "he", "candidates": ["Bob", "Tom"], "label": 1});
    let want = [("wsc: Bob asked Tom if *he* can lend, he said.", "Tom")];
    gives("dpr", TRAIN, &[("train.jsonl", &lines(&[row]))], &want);
    let hub = parquet(&[
        ("sentence", text(&["Bob asked Tom if he can lend, he said."])),
        ("pronoun", text(&["he"])),
        ("candidates", lists(&[&["Bob", "Tom"]])),
        ("label", numbers(&[1])),
    ]);
    gives(
        "dpr",
        TRAIN,
        &[(
            "definite_pronoun_resolution/plain_text/train-00000-of-00001.parquet",
            &hub,
        )],
        &want,
    );
}

#[test]
fn squad() {
    let (context, question) = ("Ann met Bob's dog.", "Who did Ann meet?");
    let want = [(
        "question: Who did Ann meet ? context: Ann met Bob ' s dog . ",
        "Bob ' s dog",
    )];
    let answer = json!({"text": "Bob's dog", "answer_start": 8});
    let other = json!({"text": "Bob", "answer_start": 8});
    let own = json!({"version": "1.1", "data": [{"title": "x", "paragraphs": [{"context": context, "qas": [
        {"id": "q1", "question": question, "answers": [answer, other]}]}]}]});
    let plain = json!({"id": "q1", "title": "x", "context": context, "question": question,
                       "answers": {"text": ["Bob's dog", "Bob"], "answer_start": [8, 8]}});
    let of_rows = json!({"version": "1.1", "data": [plain]});
    let hub = parquet(&[
        ("id", text(&["q1"])),
        ("context", text(&[context])),
        ("question", text(&[question])),
        (
            "answers",
            fields(&[
                ("text", lists(&[&["Bob's dog", "Bob"]])),
                (
                    "answer_start",
                    Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some([
                        Some(8),
                        Some(8),
                    ])])),
                ),
            ]),
        ),
    ]);
    let files: [(&str, Vec<u8>); 6] = [
        ("SQUAD/train-v1.1.json", own.to_string().into_bytes()),
        ("train.json", serde_json::to_vec_pretty(&own).unwrap()),
        ("train.json", serde_json::to_vec_pretty(&of_rows).unwrap()),
        ("train.jsonl", lines(std::slice::from_ref(&plain))),
        ("train.json", serde_json::to_vec_pretty(&json!([plain])).unwrap()),
        ("plain_text/train-00000-of-00001.parquet", hub),
    ];
    for (name, bytes) in &files {
        let found = gives("squad", TRAIN, &[(name, bytes)], &want);
        assert_eq!(found[0].truth.answers, ["Bob ' s dog", "Bob"]);
        assert_eq!(found[0].truth.id.as_deref(), Some("q1"));
    }
    let files: [(&str, &[u8]); 2] = [("train-v1.1.json", &files[0].1), ("train-v2.0.json", b"{\"data\": []}")];
    gives("squad", TRAIN, &files, &want);
}

#[test]
fn summaries_and_translations() {
    let row = lines(&[json!({"id": "0f", "article": "A dog ran .", "highlights": "Dog ran .\nIt did ."})]);
    let want = [("summarize: A dog ran .", "Dog ran .\nIt did .")];
    gives(
        "cnn_dailymail",
        TEST,
        &[("cnn_dailymail/3.0.0/test-00000-of-00001.jsonl", &row)],
        &want,
    );
    let csv = b"id,article,highlights\n0f,A dog ran .,\"Dog ran .\nIt did .\"\n";
    gives("cnn_dailymail", TEST, &[("test.csv", csv)], &want);
    let want = [("translate English to German: Good.", "Gut.")];
    gives(
        "wmt/en-de",
        TRAIN,
        &[(
            "train.json",
            &lines(&[json!({"translation": {"de": "Gut.", "en": "Good."}})]),
        )],
        &want,
    );
    gives(
        "wmt/en-de",
        TRAIN,
        &[("train.jsonl", &lines(&[json!({"de": "Gut.", "en": "Good."})]))],
        &want,
    );
    gives("wmt/en-de", TRAIN, &[("train.tsv", b"Good.\tGut.\n")], &want);
    let hub = parquet(&[(
        "translation",
        fields(&[("de", text(&["Gut."])), ("en", text(&["Good."]))]),
    )]);
    let shards: [(&str, &[u8]); 2] = [
        ("wmt14/de-en/train-00000-of-00002.parquet", &hub),
        ("wmt14/de-en/train-00001-of-00002.parquet", &hub),
    ];
    let dir = folder(&shards);
    assert_eq!(
        pairs(&examples("wmt/en-de", &dir.path().join("wmt14"), TRAIN)),
        [want[0], want[0]]
    );
}

/// As `datasets` saves: a folder for each split, with its notes.
#[test]
fn saved_data_sets() {
    let columns = [
        ("sentence1", text(&["A"])),
        ("sentence2", text(&["B"])),
        ("label", numbers(&[1])),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    assert_eq!(batch.column(2).data_type(), &DataType::Int64);
    let dir = folder(&[
        ("glue/rte/dataset_dict.json", b"{\"splits\": [\"train\"]}"),
        ("glue/rte/train/dataset_info.json", b"{\n}"),
        ("glue/rte/train/state.json", b"{\n}"),
    ]);
    let path = dir.path().join("glue/rte/train/data-00000-of-00001.arrow");
    let mut writer = arrow::ipc::writer::StreamWriter::try_new(File::create(path).unwrap(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    for data in [
        dir.path().to_owned(),
        dir.path().join("glue"),
        dir.path().join("glue/rte"),
    ] {
        let found = examples("glue/rte", &data, TRAIN);
        assert_eq!(pairs(&found), [("rte sentence1: A sentence2: B", "not_entailment")]);
    }
}

//! Rows and files that are not what they should be: each is refused or counted, by file and row, and nothing else is
//! lost.

use crate::common::archive::zip;
use crate::common::program::{refused, said};
use arrow::array::{Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tempfile::{TempDir, tempdir};

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempdir().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    dir
}

fn preview(task: &str, data: &Path) -> Value {
    let shown = said(&[
        "task",
        "preview",
        task,
        "--data",
        data.to_str().unwrap(),
        "--json",
        "--rows",
        "100",
    ]);
    serde_json::from_str(&shown).unwrap()
}

/// The texts that were read, and for each reason how many rows were refused and where the first is.
fn found(preview: &Value) -> (Vec<&str>, Vec<(&str, u64, &str)>) {
    let shown = preview["shown"].as_array().unwrap().iter();
    let texts = shown.map(|shown| shown["inputs"]["text"].as_str().unwrap()).collect();
    let refused = preview["refused"].as_object().unwrap().iter();
    let refused = refused.map(|(reason, refused)| {
        let first = refused["first"][0].as_str().unwrap();
        (reason.as_str(), refused["rows"].as_u64().unwrap(), first)
    });
    let mut refused: Vec<_> = refused.collect();
    refused.sort_unstable();
    (texts, refused)
}

#[track_caller]
fn refuses(task: &str, file: &str, bytes: &[u8], texts: &[&str], want: &[(&str, u64, &str)]) {
    let dir = folder(&[(file, bytes)]);
    let preview = preview(task, dir.path());
    let (read, refused) = found(&preview);
    assert_eq!(read, texts, "{file}");
    assert_eq!(refused.len(), want.len(), "{refused:?}");
    for ((reason, rows, first), (of, count, words)) in refused.iter().zip(want) {
        assert_eq!((reason, rows), (of, count));
        let path = dir.path().join(file);
        assert!(
            first.starts_with(path.to_str().unwrap()) && first.ends_with(words),
            "{words} in {first}"
        );
    }
    let counted = refused.iter().map(|(_, rows, _)| rows).sum::<u64>() + read.len() as u64;
    assert_eq!(preview["rows"], counted);
}

#[test]
fn lines_of_json() {
    let mut rows = b"{\"sentence\": \"good\", \"label\": 1}\n".to_vec();
    rows.extend(b"{\"sentence\": \"cut\n\n");
    rows.extend(b"{\"label\": 1}\n");
    rows.extend(b"{\"sentence\": null, \"label\": 1}\n");
    rows.extend(b"{\"sentence\": 3.5, \"label\": 0}\n");
    rows.extend(b"{\"sentence\": [1], \"label\": 1}\n");
    rows.extend(b"{\"sentence\": \"  \", \"label\": 1}\n");
    rows.extend(b"{\"sentence\": \"far\", \"label\": 7}\n");
    rows.extend(b"{\"sentence\": \"odd\", \"label\": \"good\"}\n");
    rows.extend(b"{\"sentence\": \"none\", \"label\": -1}\n");
    rows.extend(b"{\"sentence\": \"\xff\", \"label\": 1}\n");
    rows.extend(b"{\"sentence\": \"last\", \"label\": 0}");
    refuses(
        "glue/sst2",
        "train.jsonl",
        &rows,
        &["sst2 sentence: good", "sst2 sentence: 3.5", "sst2 sentence: last"],
        &[
            ("empty_text", 1, "line 8: column `sentence` is empty"),
            ("missing_column", 2, "line 4: column `sentence` is missing"),
            ("no_label", 1, "line 11: has no `label`, which training needs"),
            (
                "unknown_label",
                2,
                "line 9: label 7 is none of negative, positive (0 to 1)",
            ),
            (
                "unreadable",
                2,
                "line 2: is not a JSON object: EOF while parsing a string at column 17",
            ),
            ("wrong_type", 1, "line 7: column `sentence` is not text"),
        ],
    );
}

#[test]
fn lines_of_tables() {
    let rows = b"sentence\tlabel\ngood\t1\nonly\na\tb\t1\n\xffx\t1\n\t1\nodd\t2\nlast\t0";
    refuses(
        "glue/sst2",
        "train.tsv",
        rows,
        &["sst2 sentence: good", "sst2 sentence: last"],
        &[
            ("empty_text", 1, "line 6: column `sentence` is empty"),
            (
                "unknown_label",
                1,
                "line 7: label \"2\" is none of negative, positive (0 to 1)",
            ),
            ("unreadable", 3, "line 3: has 1 fields, and the table has 2"),
        ],
    );
    let rows = b"sentence,label\n\"a, b\",1\nonly\n\xffx,1\n\"two\nlines\",0\nodd,2\n";
    refuses(
        "glue/sst2",
        "train.csv",
        rows,
        &["sst2 sentence: a, b", "sst2 sentence: two\nlines"],
        &[
            (
                "unknown_label",
                1,
                "line 7: label \"2\" is none of negative, positive (0 to 1)",
            ),
            ("unreadable", 2, "line 3: has 1 fields, and the table has 2"),
        ],
    );
}

#[test]
fn rows_that_preprocessors_refuse() {
    let wsc = |index: u32, pronoun: &str| {
        let target = format!("{{\"span1_text\": \"Tom\", \"span2_text\": \"{pronoun}\", \"span2_index\": {index}}}");
        format!("{{\"text\": \"Tom said he left\", \"label\": true, \"target\": {target}}}\n")
    };
    let rows = wsc(2, "he") + &wsc(2, "she");
    let refusal = ("no_pronoun", 1, "line 2: the pronoun `she` is no word of the text");
    refuses(
        "super_glue/wsc",
        "train.jsonl",
        rows.as_bytes(),
        &["wsc: Tom said *he* left"],
        &[refusal],
    );
    let rows = b"sentence1\tsentence2\tscore\nA\tB\t5.1\nA\tB\tx\nA\tB\tnan\nA\tB\t4.9\n";
    refuses(
        "glue/stsb",
        "train.tsv",
        rows,
        &["stsb sentence1: A sentence2: B"],
        &[
            ("unknown_label", 2, "line 2: label 5.1 is no score from 0 to 5"),
            ("wrong_type", 1, "line 3: column `label` is not a number"),
        ],
    );
    let rows = b"{\"context\": \"c\", \"question\": \"q\", \"answers\": {\"text\": [\"a\"]}, \"id\": 1}
{\"context\": \"c\", \"question\": \"q\", \"answers\": {\"text\": []}}
{\"context\": \"c\", \"question\": \"q\", \"answers\": {\"text\": [1]}}\n";
    refuses(
        "squad",
        "train.jsonl",
        rows,
        &["question: q context: c"],
        &[
            ("no_label", 1, "line 2: has no `answer`, which training needs"),
            ("wrong_type", 1, "line 3: column `answers` is not a list of texts"),
        ],
    );
}

#[test]
fn a_million_characters_are_a_row_like_any_other() {
    let long = "word ".repeat(200_000);
    let row = format!(
        "{{\"article\": \"{long}\", \"highlights\": \"words\"}}\n{{\"article\": \"b\", \"highlights\": \"c\"}}\n"
    );
    let dir = folder(&[("train.jsonl", row.as_bytes())]);
    let preview = preview("cnn_dailymail", dir.path());
    assert_eq!(preview["examples"], 2);
    assert_eq!(preview["input_lengths"]["most"], "summarize: ".len() + 1_000_000);
}

fn parquet() -> Vec<u8> {
    let sentences = StringArray::from_iter_values((0..2000).map(|i| format!("sentence {i} {}", "x".repeat(i % 97))));
    let labels = Int64Array::from_iter_values((0..2000).map(|i| i % 2));
    let batch =
        RecordBatch::try_from_iter([("sentence", Arc::new(sentences) as _), ("label", Arc::new(labels) as _)]).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// What cannot be read to its end is refused as a whole: its rows are not known.
#[test]
fn files_that_were_cut() {
    let whole = parquet();
    let refuses = |file: &str, bytes: &[u8], words: &[&str]| {
        let dir = folder(&[(file, bytes)]);
        let arguments = ["task", "preview", "glue/sst2", "--data", dir.path().to_str().unwrap()];
        refused(&arguments, &[&[file][..], words].concat());
    };
    refuses("train-00000-of-00001.parquet", &whole[..whole.len() / 2], &["Parquet"]);
    refuses("train-00000-of-00001.parquet", &whole[..whole.len() - 1], &["Parquet"]);
    let mut damaged = whole.clone();
    let middle = whole.len() / 4;
    damaged[middle..middle + 64].fill(0xff);
    refuses("train-00000-of-00001.parquet", &damaged, &["damaged"]);
    let table = "sentence\tlabel\n".to_owned() + &"it is good\t1\n".repeat(10_000);
    let gzip = {
        use std::io::Write;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(table.as_bytes()).unwrap();
        gzip.finish().unwrap()
    };
    refuses("train.tsv.gz", &gzip[..gzip.len() / 2], &["cannot be read"]);
    let array = b"[{\"sentence\": \"a\", \"label\": 1},\n {\"sentence\": \"b\", ";
    refuses("train.json", array, &["object 2 of the array"]);

    let archive = zip(&[("SST-2/train.tsv", table.as_bytes())]);
    let dir = folder(&[("SST-2.zip", &archive)]);
    assert_eq!(preview("glue/sst2", dir.path())["examples"], 10_000);
    let refuses = |bytes: &[u8], words: &[&str]| {
        let dir = folder(&[("SST-2.zip", bytes)]);
        refused(
            &["task", "preview", "glue/sst2", "--data", dir.path().to_str().unwrap()],
            words,
        );
    };
    refuses(&archive[..archive.len() / 2], &["SST-2.zip", "damaged or cut zip"]);
    // A byte of the checksum, as the directory at the end has it.
    let mut other = archive.clone();
    let directory = archive.windows(4).rposition(|bytes| bytes == b"PK\x01\x02").unwrap();
    other[directory + 16] ^= 1;
    refuses(&other, &["SST-2.zip/SST-2/train.tsv", "checksum"]);
}

#[test]
fn a_folder_of_another_task() {
    let boolq = b"{\"question\": \"q\", \"passage\": \"p\", \"label\": true}\n";
    let dir = folder(&[("train.jsonl", boolq)]);
    let data = dir.path().to_str().unwrap();
    refused(
        &["task", "preview", "glue/rte", "--data", data],
        &[
            "train.jsonl: is of another task",
            "wants the columns sentence1, sentence2",
            "has question, passage, label",
        ],
    );
    let dir = folder(&[
        ("BoolQ/train.jsonl", boolq),
        ("CB/train.jsonl", boolq),
        ("notes/readme.txt", b"x, y"),
    ]);
    let data = dir.path().to_str().unwrap();
    refused(
        &["task", "preview", "glue/rte", "--data", data],
        &["holds several folders (BoolQ, CB)", "none is named as glue/rte"],
    );
    // The folder of its name is of another task of that name.
    let dir = folder(&[(
        "RTE/train.jsonl",
        b"{\"premise\": \"p\", \"hypothesis\": \"h\", \"label\": 0}\n",
    )]);
    let data = dir.path().to_str().unwrap();
    refused(
        &["task", "preview", "glue/rte", "--data", data],
        &["RTE/train.jsonl: is of another task"],
    );
    let dir = folder(&[(
        "train.jsonl",
        b"{\"premise\": \"p\", \"hypothesis\": \"h\", \"label\": 0}\n",
    )]);
    let data = dir.path().to_str().unwrap();
    refused(
        &["task", "preview", "super_glue/rte", "--data", data, "--split", "test"],
        &["has no rows of super_glue/rte for test; it has those for train"],
    );
    let empty = tempdir().unwrap();
    let data = empty.path().to_str().unwrap();
    refused(
        &["task", "preview", "glue/rte", "--data", data],
        &["no rows of glue/rte are there", "t5 task get"],
    );
    refused(
        &["task", "preview", "glue/rte", "--data", "/nowhere"],
        &["/nowhere", "No such file"],
    );
}

//! A corpus with shards by language, as `DIR:LANGUAGE` on the command line.

use crate::common::corpus::{Shard, write};
use crate::common::program::{Place, refused, said};
use c4_data::{Format, Manifest, Split};
use std::collections::BTreeMap;
use std::path::Path;

/// Lines of two languages.
const LINES: [(&str, [&str; 3]); 2] = [
    (
        "en",
        [
            "The ferry of number {i} crosses the wide river every morning, and the people who wait for it on the old stone landing know \
             each other well enough to talk about the weather, the price of apples, and the children who went away.",
            "When the water was high in spring, house {i} stood in it up to the windows, so that the family who lived there moved to the \
             upper floor and let down a basket by a rope for bread, letters, and whatever else the neighbours brought by boat.",
            "Nobody remembers why the mill with the number {i} was painted blue, but everyone in the village agrees that it should stay \
             like this, because strangers find their way by it and because the paint was a present from the teacher.",
        ],
    ),
    (
        "de",
        [
            "Die Fähre mit der Nummer {i} überquert jeden Morgen den breiten Fluss, und die Leute, die auf dem alten steinernen Steg auf \
             sie warten, kennen einander gut genug, um über das Wetter, die Apfelpreise und die fortgezogenen Kinder zu sprechen.",
            "Als im Frühling das Wasser hoch stand, reichte es dem Haus {i} bis an die Fenster, sodass die Familie, die darin wohnte, in \
             den oberen Stock zog und an einem Seil einen Korb für Brot, Briefe und alles andere herunterließ.",
            "Niemand weiß mehr, warum die Mühle mit der Nummer {i} blau gestrichen wurde, aber alle im Dorf sind sich einig, dass es so \
             bleiben soll, weil Fremde sich danach richten und weil die Farbe ein Geschenk der Lehrerin war.",
        ],
    ),
];

#[test]
fn one_language_of_a_corpus_is_read_alone() {
    let place = Place::new();
    let mut shards: BTreeMap<(&str, bool), Vec<(String, String)>> = BTreeMap::new();
    for i in 0..160 {
        let (language, lines) = LINES[usize::from(i % 4 == 0)];
        let text = lines.map(|line| line.replace("{i}", &i.to_string()) + "\n");
        let url = format!("http://{language}{i}.example/");
        let shard = shards.entry((language, i / 4 % 5 == 0)).or_default();
        shard.push((url, text.concat()));
    }
    let shard = |((language, validation), documents)| Shard {
        language: Some(language),
        split: if validation { Split::Validation } else { Split::Train },
        documents,
    };
    let shards: Vec<Shard> = shards.into_iter().map(shard).collect();
    let corpus = place.path("languages");
    write(Path::new(&corpus), Format::Arrow, &shards);
    let manifest = Manifest::read(Path::new(&corpus)).unwrap().unwrap();
    let mut rows: BTreeMap<(String, bool), u64> = BTreeMap::new();
    for shard in manifest.shards {
        let set = (shard.language.unwrap(), shard.split == Split::Train);
        *rows.entry(set).or_default() += shard.rows;
    }
    let of = |language: &str, train| rows[&(language.to_owned(), train)];
    assert!(of("en", true) > 60 && of("de", true) > 20, "{rows:?}");

    // Only its documents are measured.
    let run = place.path("run");
    let vocab = place.path("both.model");
    let source = |language: &str| format!("{corpus}:{language}");
    let (en, de) = (source("en"), source("de"));
    said(&[
        "vocab",
        "train",
        &format!("{en}=1"),
        &format!("{de}=1"),
        "--size",
        "250",
        "-o",
        &vocab,
    ]);
    let mixed = [format!("{en}=1"), format!("{de}=3")];
    let mut arguments = place.begin(&run, &["--steps", "3"]);
    let at = arguments.iter().position(|a| *a == "--corpus").unwrap();
    arguments[at + 1] = &mixed[0];
    arguments.extend(["--corpus", &mixed[1]]);
    let at = arguments.iter().position(|a| *a == "--vocab").unwrap();
    arguments[at + 1] = &vocab;
    said(&arguments);
    for (language, source) in [("en", &en), ("de", &de)] {
        let by = ["--by", "domain", "--top", "0", "--json"];
        let line = said(&[&["eval", &run, "--corpus", source][..], &by].concat());
        let found: serde_json::Value = serde_json::from_str(&line).unwrap();
        let domains = found["domains"].as_array().unwrap();
        assert_eq!(domains.len() as u64, of(language, false), "{line}");
        let all_of_it = |d: &serde_json::Value| d["domain"].as_str().unwrap().starts_with(language);
        assert!(domains.iter().all(all_of_it), "{line}");
    }
    // The run knows its mixture: three quarters of what it is shown are German.
    let shown = said(&["inspect", &run, "-n", "2"]);
    for word in ["language = \"de\"", "weight = 3.0", "(en):", "(de):"] {
        assert!(shown.contains(word), "{word} in {shown}");
    }
    let french = source("fr");
    refused(&["eval", &run, "--corpus", &french], &["no shards of language \"fr\""]);
}

//! Finished corpora, written by the corpus crate's own writer as a build would, and prose to fill them.

use c4_data::{
    Document, Format, InputEntry, LedgerEntry, LedgerMode, Manifest, Page, Recipe, ShardMeta, ShardSet, ShardWriter,
    Split, Versions,
};
use std::path::{Path, PathBuf};

/// A shard to be written.
pub struct Shard<'a> {
    pub language: Option<&'a str>,
    pub split: Split,
    /// URL and text of each document.
    pub documents: Vec<(String, String)>,
}

impl<'a> Shard<'a> {
    /// A shard of texts, whose URLs are numbered.
    pub fn of_texts(language: Option<&'a str>, split: Split, texts: Vec<String>) -> Shard<'a> {
        let texts = texts.into_iter().enumerate();
        Shard {
            language,
            split,
            documents: texts
                .map(|(i, text)| (format!("https://a.example/{i}"), text))
                .collect(),
        }
    }
}

fn document((url, text): &(String, String), i: usize) -> Document {
    Document {
        page: Page {
            url: url.clone(),
            text: text.clone(),
            timestamp: "2019-04-18T10:12:43Z".into(),
            content_type: "text/plain".into(),
            content_length: text.len().to_string(),
            record_offset: i as u64,
        },
        archive: "a.warc.wet.gz".into(),
        language: "en".into(),
        language_score: 0.99,
    }
}

/// Writes a finished corpus of these shards, as a build would.
pub fn write(dir: &Path, format: Format, shards: &[Shard]) -> PathBuf {
    let scratch = dir.join("_c4_work");
    std::fs::create_dir_all(&scratch).unwrap();
    let (mut recipe, _) = Recipe::load("en").unwrap();
    recipe.split.by_language = shards.iter().any(|shard| shard.language.is_some());
    let hash = c4_data::atomic_file::sha256_hex(b"recipe");
    let meta = ShardMeta {
        recipe: recipe.name.clone(),
        recipe_hash: hash.clone(),
    };
    let mut entries = Vec::new();
    let of_set = |shard: &Shard| (shard.language.map(str::to_owned), shard.split);
    for (i, shard) in shards.iter().enumerate() {
        let set = ShardSet {
            language: shard.language,
            split: shard.split,
        };
        let same = |shards: &[Shard]| shards.iter().filter(|other| of_set(other) == of_set(shard)).count();
        let path = dir.join(format.file_name(set, same(&shards[..i]), same(shards)));
        let mut writer = ShardWriter::create(&path, &scratch, format, set, &meta).unwrap();
        let documents = shard.documents.iter().enumerate();
        writer
            .write(documents.map(|(i, of)| document(of, i)).collect())
            .unwrap();
        entries.push(writer.finish().unwrap());
    }
    let manifest = Manifest {
        versions: Versions {
            program: "0.1.0".into(),
            schema: 1,
        },
        recipe_hash: hash.clone(),
        recipe,
        format,
        shard_size_bytes: 1 << 20,
        inputs: Vec::<InputEntry>::new(),
        shards: entries,
        ledger: LedgerEntry {
            mode: LedgerMode::None,
            seed: 0,
            files: Vec::new(),
        },
        stats_sha256: hash,
    };
    manifest.write(dir).unwrap();
    std::fs::remove_dir(&scratch).unwrap();
    dir.to_owned()
}

/// One shard of documents for training and one for validation.
pub fn write_two(dir: &Path, train: Vec<(String, String)>, validation: Vec<(String, String)>) -> PathBuf {
    let shard = |split, documents| Shard {
        language: None,
        split,
        documents,
    };
    write(
        dir,
        Format::Arrow,
        &[shard(Split::Train, train), shard(Split::Validation, validation)],
    )
}

/// Pages of [`prose`], of 5 to 25 sentences each.
pub fn pages(numbers: std::ops::Range<u64>) -> Vec<(String, String)> {
    let page = |i: u64| {
        (
            format!("https://prose.example/{i}"),
            prose(i, 5 + (i * 7 % 21) as usize),
        )
    };
    numbers.map(page).collect()
}

/// Three English sentences, of their own for each `i`.
pub fn good_text(i: usize) -> String {
    format!(
        "The people of house number {i} walked down to the river in the morning.\n\
         They carried {i} baskets of apples, and nobody asked them where they went.\n\
         In the evening all {i} of them came home again, tired and happy as they were.\n"
    )
}

const WHO: [&str; 24] = [
    "the ferryman",
    "a teacher",
    "the old miller",
    "my neighbour",
    "the children",
    "a stranger",
    "the baker's daughter",
    "somebody",
    "the mayor",
    "a shepherd",
    "the postman",
    "our grandmother",
    "the fishermen",
    "a travelling singer",
    "the carpenter",
    "an engineer",
    "the two sisters",
    "a doctor",
    "the librarian",
    "a thoughtful student",
    "the gardener",
    "everybody in the village",
    "the captain",
    "a quiet clockmaker",
];
const DID: [&str; 26] = [
    "was painting",
    "carried",
    "has forgotten",
    "kept looking for",
    "sold",
    "had been repairing",
    "remembers",
    "never understood",
    "described",
    "was hiding",
    "brought home",
    "is measuring",
    "bought",
    "found",
    "would like to see",
    "wrote a letter about",
    "counted",
    "has been collecting",
    "dreamed of",
    "threw away",
    "discovered",
    "was cleaning",
    "asked for",
    "paid too much for",
    "could not lift",
    "kept talking about",
];
const WHAT: [&str; 30] = [
    "the bridge",
    "a basket of apples",
    "seven silver spoons",
    "the blue mill",
    "an ancient map",
    "the harvest",
    "a wooden boat",
    "the lantern above the door",
    "some bread and cheese",
    "a strange instrument",
    "the garden wall",
    "a box of buttons",
    "the winter coat",
    "a kettle",
    "the painted sign",
    "an umbrella",
    "the school's only telescope",
    "a rusty key",
    "the longest rope",
    "a photograph of the harbour",
    "the weather report",
    "a bundle of letters",
    "the church bell",
    "an enormous pumpkin",
    "the railway timetable",
    "a sack of flour",
    "the broken window",
    "a recipe for plum cake",
    "the fishing net",
    "a quarter of the money",
];
const WHERE: [&str; 18] = [
    "by the river",
    "behind the station",
    "in the market square",
    "near the lighthouse",
    "under the oak trees",
    "at the end of the valley",
    "on the island",
    "between the hills",
    "in the upper town",
    "along the canal",
    "across the frozen lake",
    "outside the inn",
    "in front of the museum",
    "beyond the orchard",
    "at the crossroads",
    "inside the warehouse",
    "on the northern shore",
    "beside the quarry",
];
const WHEN: [&str; 16] = [
    "this morning",
    "in the evening",
    "after the storm",
    "every Sunday",
    "before breakfast",
    "last summer",
    "while it was raining",
    "at midnight",
    "when the water was high",
    "in the year 1907",
    "during the festival",
    "long ago",
    "as usual",
    "on a cold day in March",
    "twice a week",
    "without saying anything",
];
const LINK: [&str; 8] = [
    "and",
    "but",
    "because",
    "although",
    "so",
    "until",
    "which is why",
    "and nobody noticed that",
];

const STEMS: [&str; 60] = [
    "paint", "wait", "work", "turn", "help", "talk", "walk", "look", "mend", "sort", "load", "point", "plant", "count",
    "land", "pull", "push", "roll", "sail", "fish", "row", "cook", "boil", "clean", "clear", "cross", "draw", "dream",
    "end", "fill", "form", "gather", "hand", "heat", "kick", "learn", "light", "mark", "need", "open", "order", "own",
    "pack", "pay", "play", "print", "reach", "rest", "sound", "start", "stay", "stock", "teach", "test", "thank",
    "touch", "train", "travel", "visit", "wonder",
];
const ENDINGS: [&str; 12] = [
    "ing", "ed", "er", "ers", "s", "less", "ful", "able", "ings", "fully", "ness", "ingly",
];
/// Beginnings and ends of the names of places.
const NAMES: [[&str; 24]; 2] = [
    [
        "Al", "Bram", "Cold", "Dun", "East", "Fox", "Gold", "Hart", "Ivy", "Kings", "Long", "Mill", "North", "Oak",
        "Pen", "Queen", "Red", "South", "Thorn", "Up", "Vale", "West", "Yar", "Zeal",
    ],
    [
        "bury", "by", "combe", "cote", "dale", "don", "field", "ford", "gate", "ham", "hurst", "ingham", "ley", "low",
        "mere", "minster", "mouth", "stead", "stock", "thorpe", "ton", "well", "wick", "worth",
    ],
];

/// English-looking sentences, a line each, always the same for a seed; with enough different words for a vocabulary of
/// some hundred pieces.
pub fn prose(seed: u64, sentences: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut pick = move |words: &[&'static str]| -> &'static str {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        words[(state >> 33) as usize % words.len()]
    };
    let mut text = String::new();
    for number in 0..sentences {
        let mut clause = || {
            let clause = format!("{} {} {} {}", pick(&WHO), pick(&DID), pick(&WHAT), pick(&WHERE));
            let name = [pick(&NAMES[0]), pick(&NAMES[1])].concat();
            let word = [pick(&STEMS), pick(&ENDINGS)].concat();
            format!("{clause} of {name}, {word}")
        };
        let (first, second) = (clause(), clause());
        let mut sentence = match number % 4 {
            0 => format!("{first} {}.", pick(&WHEN)),
            1 => format!("{}, {first}.", pick(&WHEN)),
            2 => format!("{first}, {} {second}.", pick(&LINK)),
            _ => format!("what is the page of {} and {}?", pick(&WHAT), pick(&WHO)),
        };
        sentence[..1].make_ascii_uppercase();
        text += &sentence;
        text += "\n";
    }
    text
}

//! The dataset card of a corpus: `README.md` with the head that the Hugging Face Hub reads.
//!
//! A card is a function of `manifest.json` and `stats.json`, so it is the same whenever and wherever
//! it is written.

mod sections;

use crate::corpus::CARD_MARK;
use c4_data::{Format, Manifest, Recipe, ShardSet, Split, Stats, printable_json};
use serde_json::Value;
use std::collections::BTreeMap;

/// The licence under which the published C4 stands.
pub(crate) const LICENSE: &str = "odc-by";

/// The facts of a card that the corpus does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardOptions {
    /// The licence, by its identifier in the Hub's list.
    pub license: String,
    /// The name of the dataset; `None`: one made of the recipe's name.
    pub pretty_name: Option<String>,
}

impl Default for CardOptions {
    fn default() -> Self {
        CardOptions {
            license: LICENSE.to_owned(),
            pretty_name: None,
        }
    }
}

/// Whether a file with this content was written as a card and may be replaced.
pub fn is_card(content: &[u8]) -> bool {
    String::from_utf8_lossy(content).contains(CARD_MARK)
}

/// The card of a corpus in Markdown. `stats` is the content of `stats.json`; what it lacks is left out.
pub fn card(manifest: &Manifest, stats: &Stats, options: &CardOptions) -> String {
    let name = match &options.pretty_name {
        Some(name) => name.clone(),
        None => format!("C4 rebuilt by recipe {}", manifest.recipe.name),
    };
    let facts = Facts::new(manifest);
    let head = head(manifest, &facts, &name, &options.license);
    let mut text = format!("---\n{head}---\n\n{CARD_MARK}\n\n# {}\n\n", sections::plain(&name));
    text += &sections::summary(manifest, stats, &facts);
    text += &sections::recipe(manifest, &facts);
    text += &sections::statistics(stats);
    text += &sections::provenance(manifest, &options.license);
    text += &sections::limitations(manifest);
    text += &sections::loading(manifest, &facts);
    text += &sections::reproduction(manifest, &facts);
    text
}

#[derive(Debug, Clone, Copy, Default)]
struct SplitFacts {
    rows: u64,
    text_bytes: u64,
    file_bytes: u64,
}

impl SplitFacts {
    fn add(&mut self, other: SplitFacts) {
        self.rows += other.rows;
        self.text_bytes += other.text_bytes;
        self.file_bytes += other.file_bytes;
    }
}

/// A configuration, in the Hub's words: all documents, or those of one language.
struct Config<'a> {
    language: Option<&'a str>,
    splits: [SplitFacts; 2],
}

impl Config<'_> {
    fn name(&self) -> &str {
        self.language.unwrap_or("default")
    }

    /// The splits that hold rows: `datasets` refuses others.
    fn splits(&self) -> impl Iterator<Item = (ShardSet<'_>, SplitFacts)> {
        let pairs = Split::ALL.into_iter().zip(self.splits);
        let there = pairs.filter(|(_, facts)| facts.rows > 0);
        there.map(|(split, facts)| {
            let language = self.language;
            (ShardSet { language, split }, facts)
        })
    }

    fn sum(&self, of: impl Fn(&SplitFacts) -> u64) -> u64 {
        self.splits.iter().map(of).sum()
    }
}

struct Facts<'a> {
    all: Config<'a>,
    /// The configurations of the languages, if each has shards of its own; else one as `all`.
    configs: Vec<Config<'a>>,
    /// The arguments that name the recipe, if it comes with the program.
    builtin: Option<String>,
}

impl Facts<'_> {
    fn new(manifest: &Manifest) -> Facts<'_> {
        let mut all = [SplitFacts::default(); 2];
        let mut configs: BTreeMap<Option<&str>, [SplitFacts; 2]> = BTreeMap::new();
        for shard in &manifest.shards {
            let facts = SplitFacts {
                rows: shard.rows,
                text_bytes: shard.text_bytes,
                file_bytes: shard.bytes,
            };
            all[shard.split as usize].add(facts);
            let config = configs.entry(shard.language.as_deref()).or_default();
            config[shard.split as usize].add(facts);
        }
        if configs.is_empty() {
            configs.insert(None, all);
        }
        let config = |(language, splits)| Config { language, splits };
        let builtin = c4_data::BUILTIN_RECIPES.iter().find_map(|(name, text)| {
            let recipe = Recipe::parse(name, text).ok()?;
            builtin(recipe, &manifest.recipe)
        });
        Facts {
            all: config((None, all)),
            configs: configs.into_iter().map(config).collect(),
            builtin,
        }
    }

    /// The configurations that hold rows.
    fn configs(&self) -> impl Iterator<Item = &Config<'_>> {
        let there = |config: &&Config<'_>| config.sum(|split| split.rows) > 0;
        self.configs.iter().filter(there)
    }

    /// The languages that have shards of their own.
    fn languages(&self) -> impl Iterator<Item = &str> {
        self.configs().filter_map(|config| config.language)
    }
}

/// The arguments that name `recipe`, if it is `builtin`, perhaps for some languages and with other lists.
fn builtin(mut builtin: Recipe, recipe: &Recipe) -> Option<String> {
    let mut name = builtin.name.clone();
    let codes = recipe.language.as_ref().map(|step| &step.keep[..]);
    if recipe.name != builtin.name {
        let codes = codes.filter(|_| recipe.name.starts_with(&name))?;
        builtin = builtin.with_languages(codes).ok()?;
        codes.iter().for_each(|code| {
            name += " --language ";
            name += code;
        });
    }
    builtin.description.clone_from(&recipe.description);
    builtin.expect.clone_from(&recipe.expect);
    if let (Some(step), Some(other)) = (&mut builtin.domains, &recipe.domains) {
        step.file.clone_from(&other.file);
    }
    if let (Some(step), Some(other)) = (&mut builtin.urls, &recipe.urls) {
        step.files.clone_from(&other.files);
    }
    (builtin == *recipe).then_some(name)
}

/// The columns and their types in the Hub's words.
fn features(format: Format) -> &'static [(&'static str, &'static str)] {
    match format {
        Format::Jsonl => &[("text", "string"), ("timestamp", "string"), ("url", "string")],
        Format::Arrow | Format::Parquet => &[
            ("url", "string"),
            ("text", "string"),
            ("timestamp", "string"),
            ("content_type", "string"),
            ("content_length", "string"),
            ("language", "string"),
            ("language_score", "float32"),
            ("archive", "string"),
            ("record_offset", "uint64"),
        ],
    }
}

/// The languages of the corpus, those in `there` or else those of the recipe, as codes without a region.
fn languages<'a>(recipe: &'a Recipe, there: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut codes: Vec<&str> = there.collect();
    if codes.is_empty() {
        let keep = recipe.language.iter().flat_map(|step| &step.keep);
        codes.extend(keep.map(String::as_str));
    }
    for code in &mut codes {
        *code = code.split('-').next().unwrap_or_default();
    }
    codes.sort_unstable();
    codes.dedup();
    codes
}

/// The Hub's size class of a corpus of `rows` documents.
fn size_category(rows: u64) -> &'static str {
    const CLASSES: [(u64, &str); 10] = [
        (1_000, "n<1K"),
        (10_000, "1K<n<10K"),
        (100_000, "10K<n<100K"),
        (1_000_000, "100K<n<1M"),
        (10_000_000, "1M<n<10M"),
        (100_000_000, "10M<n<100M"),
        (1_000_000_000, "100M<n<1B"),
        (10_000_000_000, "1B<n<10B"),
        (100_000_000_000, "10B<n<100B"),
        (1_000_000_000_000, "100B<n<1T"),
    ];
    let class = CLASSES.iter().find(|(below, _)| rows < *below);
    class.map_or("n>1T", |(_, name)| name)
}

/// The text as a string of JSON, which YAML takes for nothing else.
fn quoted(text: &str) -> String {
    printable_json(&Value::from(text).to_string())
}

/// The YAML at the head of the card.
fn head(manifest: &Manifest, facts: &Facts<'_>, name: &str, license: &str) -> String {
    let mut yaml = String::new();
    let mut line = |text: String| {
        yaml += &text;
        yaml.push('\n');
    };
    let languages = languages(&manifest.recipe, facts.languages());
    if !languages.is_empty() {
        line("language:".into());
        // `no` is a truth value to YAML.
        languages.iter().for_each(|code| line(format!("- {}", quoted(code))));
    }
    line(format!("license: {}", quoted(license)));
    line(format!("pretty_name: {}", quoted(name)));
    line("size_categories:".into());
    line(format!("- {}", size_category(facts.all.sum(|split| split.rows))));
    line("task_categories:".into());
    line("- text-generation".into());
    line("- fill-mask".into());
    for (i, config) in facts.configs().enumerate() {
        if i == 0 {
            line("configs:".into());
        }
        line(format!("- config_name: {}", quoted(config.name())));
        line("  data_files:".into());
        for (set, _) in config.splits() {
            line(format!("  - split: {}", set.split.name()));
            let path = manifest.format.file_pattern(set);
            line(format!("    path: {}", quoted(&path)));
        }
    }
    line("dataset_info:".into());
    for config in &facts.configs {
        if config.language.is_some() {
            line(format!("- config_name: {}", quoted(config.name())));
        }
        line("  features:".into());
        for (name, dtype) in features(manifest.format) {
            line(format!("  - name: {name}"));
            line(format!("    dtype: {dtype}"));
        }
        for (i, (set, sums)) in config.splits().enumerate() {
            if i == 0 {
                line("  splits:".into());
            }
            line(format!("  - name: {}", set.split.name()));
            line(format!("    num_bytes: {}", sums.text_bytes));
            line(format!("    num_examples: {}", sums.rows));
        }
        let sum = |of: fn(&SplitFacts) -> u64| config.sum(of);
        line(format!("  download_size: {}", sum(|s| s.file_bytes)));
        line(format!("  dataset_size: {}", sum(|s| s.text_bytes)));
    }
    yaml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_fall_into_the_hubs_classes() {
        for (rows, class) in [
            (0, "n<1K"),
            (999, "n<1K"),
            (1_000, "1K<n<10K"),
            (364_868_892, "100M<n<1B"),
            (u64::MAX, "n>1T"),
        ] {
            assert_eq!(size_category(rows), class);
        }
    }

    #[test]
    fn languages_have_no_region() {
        let (mut recipe, _) = Recipe::load("en").unwrap();
        let step = recipe.language.as_mut().unwrap();
        step.keep = ["zh-tw", "no", "zh-cn"].map(String::from).into();
        assert_eq!(languages(&recipe, [].into_iter()), ["no", "zh"]);
        let there = ["de", "ru-Latn", "und"].into_iter();
        assert_eq!(languages(&recipe, there), ["de", "ru", "und"]);
        assert_eq!(quoted("no"), "\"no\"");
    }

    #[test]
    fn recipes_of_the_program_are_known_with_their_options() {
        let load = |name| Recipe::load(name).unwrap().0;
        let some = load("multilingual").with_languages(&["fr".into(), "de".into()]);
        let mut listed = load("realnewslike");
        listed.domains.as_mut().unwrap().file = Some("news.json".into());
        let mut other = load("en");
        other.clean.as_mut().unwrap().min_words = 4;
        let known = |recipe: &Recipe| {
            let builtins = c4_data::BUILTIN_RECIPES.iter();
            let mut names = builtins.filter_map(|(name, _)| builtin(load(name), recipe));
            let name = names.next();
            assert_eq!(names.next(), None);
            name
        };
        for (recipe, name) in [
            (&load("en"), Some("en")),
            (&load("en.noclean"), Some("en.noclean")),
            (&some.unwrap(), Some("multilingual --language de --language fr")),
            (&listed, Some("realnewslike")),
            (&other, None),
        ] {
            assert_eq!(known(recipe).as_deref(), name);
        }
    }

    #[test]
    fn features_are_those_of_the_schema() {
        let schema = c4_data::schema::schema("", "");
        let columns = schema.fields().iter().map(|field| field.name().as_str());
        let features = features(Format::Arrow).iter().map(|(name, _)| *name);
        assert!(columns.eq(features));
    }
}

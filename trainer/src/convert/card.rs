//! The model card: `README.md` with the head that the Hugging Face Hub reads.

use crate::model::{ModelConfig, RelativeBias};
use c4_data::Manifest;
use std::fmt::Write;

/// The line by which a card is known to be one that may be replaced.
pub const MARK: &str = "<!-- Written by `t5 export`, which replaces this file as long as this line is in it. -->";

/// What a card says of a corpus that a model was trained on.
#[derive(Debug, Clone, PartialEq)]
pub struct CorpusOfCard {
    /// Its name: that of its folder or file.
    pub name: String,
    /// Its share in the mixture, where that was said.
    pub weight: Option<f64>,
    /// The one language that was read of it.
    pub language: Option<String>,
    /// Its manifest, where it is a corpus that `c4 build` wrote and is still in its place.
    pub manifest: Option<Manifest>,
}

/// What a model card says.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelCard {
    /// The model's name.
    pub name: String,
    /// The licence, by its identifier in the Hub's list.
    pub license: Option<String>,
    /// The model.
    pub model: ModelConfig,
    /// PyTorch's name of the values' type.
    pub dtype: &'static str,
    /// The objective's name.
    pub objective: &'static str,
    /// Steps, and rows of each.
    pub steps: u64,
    /// Rows of a step.
    pub rows: u64,
    /// Tokens of a row at most: of its inputs, and of its targets.
    pub lengths: (usize, usize),
    /// Tokens of inputs and targets that it was trained on, without padding, where the run still says so.
    pub tokens: Option<u64>,
    /// Mean cross entropy on validation documents, in nats a target, and after how many steps.
    pub validation: Option<(f64, u64)>,
    /// The corpora.
    pub corpora: Vec<CorpusOfCard>,
    /// SHA-256 of the vocabulary's file.
    pub vocab_sha256: String,
    /// The run's settings as TOML.
    pub settings: String,
    /// Whether there is a tokenizer.json.
    pub has_tokenizer: bool,
}

impl ModelCard {
    /// The languages of the corpora, as codes without a region.
    fn languages(&self) -> Vec<String> {
        let mut codes: Vec<String> = Vec::new();
        for corpus in &self.corpora {
            let Some(manifest) = &corpus.manifest else { continue };
            let of_shards = manifest.shards.iter().filter_map(|shard| shard.language.clone());
            match &corpus.language {
                Some(language) => codes.push(language.clone()),
                None if manifest.shards.iter().any(|shard| shard.language.is_some()) => codes.extend(of_shards),
                None => {
                    let keep = manifest.recipe.language.iter().flat_map(|step| &step.keep);
                    codes.extend(keep.cloned());
                }
            }
        }
        for code in &mut codes {
            code.truncate(code.find('-').unwrap_or(code.len()));
        }
        codes.sort_unstable();
        codes.dedup();
        codes
    }

    /// The card in Markdown.
    pub fn to_markdown(&self) -> String {
        let mut text = String::from("---\n");
        let mut line = |args: std::fmt::Arguments<'_>| {
            // Nothing but memory is written to.
            let _ = writeln!(text, "{args}");
        };
        line(format_args!(
            "license: {}",
            self.license.as_deref().unwrap_or("unknown")
        ));
        line(format_args!("library_name: transformers"));
        line(format_args!("pipeline_tag: text2text-generation"));
        let languages = self.languages();
        if !languages.is_empty() {
            line(format_args!("language:"));
            // In quotes: `no` is false in YAML.
            languages.iter().for_each(|code| line(format_args!("- \"{code}\"")));
        }
        line(format_args!("tags:\n- t5\n---\n\n{MARK}\n"));
        let model = &self.model;
        let parameters = model.parameters().unwrap_or_default();
        line(format_args!("# {}\n", plain(&self.name)));
        line(format_args!(
            "A T5 of {parameters} parameters ({} + {} layers, width {}, {} heads), pre-trained by the objective {} with `t5 pretrain`. \
             It fills the blanks of a text; for a task of your own, train it further.\n",
            model.encoder_layers, model.decoder_layers, model.d_model, model.heads, self.objective
        ));
        line(format_args!("## How to use\n"));
        line(format_args!("{}", self.usage()));
        line(format_args!("## Training\n"));
        line(format_args!("| | |\n|---|---|"));
        line(format_args!("| steps | {}, of {} rows each |", self.steps, self.rows));
        line(format_args!(
            "| a row | {} + {} tokens at most |",
            self.lengths.0, self.lengths.1
        ));
        match self.tokens {
            Some(tokens) => line(format_args!("| tokens seen, without padding | {tokens} |")),
            None => line(format_args!("| tokens seen, without padding | not known |")),
        }
        match self.validation {
            Some((loss, step)) => line(format_args!(
                "| validation loss | {loss:.4} nats a target (perplexity {:.2}), after step {step} |",
                loss.exp()
            )),
            None => line(format_args!("| validation loss | not measured |")),
        }
        line(format_args!("| values | {} |", self.dtype));
        line(format_args!("| vocabulary | SHA-256 `{}` |\n", self.vocab_sha256));
        line(format_args!("## Data\n"));
        match self.corpora.is_empty() {
            true => line(format_args!(
                "The run has no corpus: the model was imported from elsewhere.\n"
            )),
            false => {
                line(format_args!(
                    "| corpus | share | recipe | SHA-256 of the recipe | documents | bytes of text |"
                ));
                line(format_args!("|---|---|---|---|---|---|"));
                self.corpora
                    .iter()
                    .for_each(|corpus| line(format_args!("{}", corpus.row())));
                line(format_args!(""));
            }
        }
        line(format_args!("## Settings\n\n```toml\n{}```", self.settings));
        if self.license.is_none() {
            line(format_args!("\n## Licence\n\nWho made the model has named none yet."));
        }
        text
    }

    fn usage(&self) -> String {
        let class = match self.model.relative_bias {
            RelativeBias::Shared => "T5ForConditionalGeneration",
            RelativeBias::EachLayer => "UMT5ForConditionalGeneration",
        };
        // Without a tokenizer.json, transformers makes one of spiece.model.
        let note = match self.has_tokenizer {
            true => "",
            false => "\nThe vocabulary is `spiece.model` alone (SentencePiece).\n",
        };
        format!(
            "```python\nfrom transformers import AutoTokenizer, {class}\n\nfolder = \"{}\"\ntokenizer = \
             AutoTokenizer.from_pretrained(folder)\nmodel = {class}.from_pretrained(folder)\ninputs = tokenizer(\"The river \
             <extra_id_0> the town.\", return_tensors=\"pt\")\nprint(tokenizer.decode(model.generate(**inputs, \
             max_new_tokens=20)[0]))\n```\n{note}",
            self.name.replace(['"', '\\'], "_")
        )
    }
}

impl CorpusOfCard {
    fn row(&self) -> String {
        let name = match &self.language {
            Some(language) => format!("{} ({language})", self.name),
            None => self.name.clone(),
        };
        let share = self
            .weight
            .map_or("by its bytes".to_owned(), |weight| weight.to_string());
        let of_manifest = |what: &dyn Fn(&Manifest) -> String| self.manifest.as_ref().map_or("-".to_owned(), what);
        let sum = |of: fn(&c4_data::ShardEntry) -> u64| {
            of_manifest(&|manifest| {
                let train = manifest
                    .shards
                    .iter()
                    .filter(|shard| shard.split == c4_data::Split::Train);
                let read = train.filter(|shard| self.language.is_none() || shard.language == self.language);
                read.map(of).sum::<u64>().to_string()
            })
        };
        format!(
            "| {} | {share} | {} | `{}` | {} | {} |",
            plain(&name),
            of_manifest(&|manifest| plain(&manifest.recipe.name)),
            of_manifest(&|manifest| manifest.recipe_hash.clone()),
            sum(|shard| shard.rows),
            sum(|shard| shard.text_bytes)
        )
    }
}

/// A text within a line or a cell of Markdown.
fn plain(text: &str) -> String {
    let printable = c4_data::printable(text).to_string();
    let mut plain = String::new();
    for character in printable.chars() {
        if "|*_`<[\\#".contains(character) {
            plain.push('\\');
        }
        plain.push(character);
    }
    plain
}

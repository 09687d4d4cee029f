//! What of a model is trained: the options of `t5 finetune`.

use clap::{ArgAction, Args};
use toml::Value;

/// Options that are written as settings of `transfer`.
#[derive(Debug, Args)]
pub(super) struct TransferArgs {
    /// Train adapters of this width behind each feed-forward layer, and all norms, in place of all parameters (paper,
    /// section 3.5.1). A model that has none gets new ones.
    #[arg(long, value_name = "WIDTH", value_parser = clap::value_parser!(u32).range(1..))]
    #[arg(conflicts_with_all = ["unfreeze", "only", "resume"])]
    adapters: Option<u32>,
    /// With --adapters: whether all of the model's norms are trained, too, as in the paper; false: the adapters alone.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, requires = "adapters")]
    adapter_norms: bool,
    /// Train more and more layers, from the top down, in so many episodes of the run.
    #[arg(long, value_name = "EPISODES", conflicts_with_all = ["only", "resume"])]
    unfreeze: Option<u64>,
    /// Train the variables of this name alone, in which * stands for any characters, as 'decoder.*'; may be given
    /// several times.
    #[arg(long, value_name = "PATTERN", conflicts_with = "resume")]
    only: Vec<String>,
}

impl TransferArgs {
    /// The options as settings.
    pub(super) fn settings(&self) -> Vec<String> {
        if let Some(width) = self.adapters {
            let norms = self.adapter_norms;
            let transfer = format!("transfer={{kind='adapters', norms={norms}}}");
            return vec![format!("model.adapter={width}"), transfer];
        }
        if let Some(episodes) = self.unfreeze {
            return vec![format!("transfer={{kind='unfreezing', episodes={episodes}}}")];
        }
        match &self.only[..] {
            [] => Vec::new(),
            patterns => {
                let patterns = Value::from(patterns.to_vec());
                vec![format!("transfer={{kind='only', variables={patterns}}}")]
            }
        }
    }
}

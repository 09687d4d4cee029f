//! What of a model a run trains: transfer methods (Raffel et al. 2020, section 3.5.1).

use super::settings::RunConfig;
use crate::Error;
use crate::base::limits;
use crate::model::{Layout, ModelConfig, Variable};
use glob::Pattern;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What of a model is trained. All else is frozen: it keeps its bits, and has neither gradients nor an optimiser's
/// state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Transfer {
    /// All parameters.
    #[default]
    All,
    /// The adapters, which `model.adapter` gives their width.
    Adapters {
        /// Whether all of the model's norms are trained, too, as in the paper; else the adapters alone, with their own
        /// norms.
        ///
        /// Source: paper, section 3.5.1; the released configuration `task_adapter` trains the adapters alone.
        #[serde(default = "yes")]
        norms: bool,
    },
    /// More and more layers of encoder and decoder together, from the top down, in episodes of the same length over
    /// `steps`. The head and the final norms are trained from the start, a tied embedding with them; an untied one, and
    /// a table of relative positions that all layers read, with the lowest layer.
    Unfreezing {
        /// Episodes: in episode `n` of `e` the upper `n / e` of a stack's layers are trained, rounded up. Left out, as
        /// many as the deeper stack has layers.
        ///
        /// Unit: episodes. Source: paper, section 3.5.1: 12 of 12 layers, after Howard and Ruder 2018.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        episodes: Option<u64>,
    },
    /// The variables that are named.
    Only {
        /// Names of variables, in which `*` stands for any characters, as `decoder.*` or `*.layer_norm.weight`.
        ///
        /// Source: ours.
        variables: Vec<String>,
    },
}

fn yes() -> bool {
    true
}

/// Names that are offered where a pattern matches none.
const NEAR: usize = 3;

impl Transfer {
    pub(super) fn is_all(&self) -> bool {
        *self == Transfer::All
    }

    /// Episodes in all: 1 where what is trained stays the same.
    pub(crate) fn episodes(&self, model: &ModelConfig) -> u64 {
        match self {
            Transfer::Unfreezing { episodes } => {
                episodes.unwrap_or(model.encoder_layers.max(model.decoder_layers) as u64)
            }
            _ => 1,
        }
    }

    /// Refuses what does not go with the model, or with so many steps.
    pub(super) fn validate(&self, model: &ModelConfig, steps: u64) -> Result<(), Error> {
        match self {
            Transfer::Adapters { .. } if model.adapter == 0 => Err(limits::refuse(
                "kind",
                "adapters",
                "the model has none; give their width by model.adapter, as model.adapter=32",
            )),
            Transfer::Unfreezing { episodes } => {
                if let Some(episodes) = episodes {
                    limits::whole("episodes", *episodes, 1..=1 << 10)?;
                }
                let episodes = self.episodes(model);
                match episodes <= steps {
                    true => Ok(()),
                    false => Err(limits::refuse(
                        "episodes",
                        episodes,
                        format!("must be no more than the {steps} steps of the run"),
                    )),
                }
            }
            Transfer::Only { variables } => only(variables, &Layout::new(model)).map(|_| ()),
            Transfer::All | Transfer::Adapters { .. } => Ok(()),
        }
    }

    /// For each variable the step (from 0) from which on it is trained; `None`: never.
    fn since(&self, model: &ModelConfig, steps: u64, layout: &Layout) -> Result<Vec<Option<u64>>, Error> {
        let each = |of: &dyn Fn(&Variable) -> Option<u64>| layout.variables().iter().map(of).collect();
        Ok(match self {
            Transfer::All => each(&|_| Some(0)),
            Transfer::Adapters { norms } => {
                let is_norm = |name: &str| *norms && name.ends_with("layer_norm.weight");
                each(&|v| (v.name.contains(".adapter.") || is_norm(&v.name)).then_some(0))
            }
            Transfer::Unfreezing { .. } => {
                let episodes = self.episodes(model);
                // The first episode in which more layers are trained than are above the variable's.
                let episode = |v: &Variable| {
                    let (layer, layers) = layer(v, model)?;
                    Some(episodes * (layers - 1 - layer) / layers)
                };
                let lowest = episodes - 1;
                let of = |v: &Variable| match episode(v) {
                    Some(episode) => episode,
                    None if v.range == layout.embedding && v.range != layout.head => lowest,
                    None => 0,
                };
                each(&|v| Some(start(of(v), episodes, steps)))
            }
            Transfer::Only { variables } => only(variables, layout)?,
        })
    }
}

/// The step with which an episode (from 0) begins.
fn start(episode: u64, episodes: u64, steps: u64) -> u64 {
    (u128::from(steps) * u128::from(episode) / u128::from(episodes)) as u64
}

/// The number of the layer that a variable belongs to, from 0, and how many its stack has; tables of relative positions
/// belong to the layer that they lie in, which for all layers of a stack is the lowest.
fn layer(variable: &Variable, model: &ModelConfig) -> Option<(u64, u64)> {
    let stacks = [
        ("encoder.block.", model.encoder_layers),
        ("decoder.block.", model.decoder_layers),
    ];
    stacks.into_iter().find_map(|(stack, layers)| {
        let (number, _) = variable.name.strip_prefix(stack)?.split_once('.')?;
        Some((number.parse().ok()?, layers as u64))
    })
}

/// As [`Transfer::since`], of the variables that match a pattern.
fn only(patterns: &[String], layout: &Layout) -> Result<Vec<Option<u64>>, Error> {
    const KEY: &str = "variables";
    if patterns.is_empty() {
        return Err(limits::refuse(KEY, "[]", "names no variable; name one, as decoder.*"));
    }
    let mut since = vec![None; layout.variables().len()];
    for text in patterns {
        let refuse = |problem: String| limits::refuse(KEY, format!("{text:?}"), problem);
        let pattern = Pattern::new(text).map_err(|e| refuse(format!("is no pattern ({}); use * alone", e.msg)))?;
        let mut matches = 0;
        for (variable, since) in layout.variables().iter().zip(&mut since) {
            if pattern.matches(&variable.name) {
                *since = Some(0);
                matches += 1;
            }
        }
        if matches == 0 {
            let near = near(text, layout).join(", ");
            return Err(refuse(format!("matches no variable of the model; near are {near}")));
        }
    }
    Ok(since)
}

/// The variables whose names are most like a pattern's, those of a lower layer first.
fn near<'l>(pattern: &str, layout: &'l Layout) -> Vec<&'l str> {
    let mut names: Vec<(f64, &str)> = layout
        .variables()
        .iter()
        .map(|variable| (strsim::jaro_winkler(pattern, &variable.name), &variable.name[..]))
        .collect();
    names.sort_by(|a, b| b.0.total_cmp(&a.0));
    names.into_iter().take(NEAR).map(|(_, name)| name).collect()
}

impl RunConfig {
    /// The layout of the model, with what is trained at `step` (from 0) by an optimiser that began at step `began`.
    ///
    /// # Errors
    /// A pattern that matches nothing.
    pub fn layout_at(&self, step: u64, began: u64) -> Result<Layout, Error> {
        let mut layout = Layout::new(&self.model);
        let mut trained = self.transfer.since(&self.model, self.steps, &layout)?;
        for since in &mut trained {
            *since = since
                .filter(|since| *since <= step)
                .map(|since| since.saturating_sub(began));
        }
        layout.train(&trained);
        Ok(layout)
    }

    /// The layout of the model, with all that the run trains at one time or another.
    ///
    /// # Errors
    /// A pattern that matches nothing.
    pub(crate) fn last_layout(&self) -> Result<Layout, Error> {
        self.layout_at(self.steps, 0)
    }

    /// Refuses to go on with a run that trains other variables than `begun`, by its end: its checkpoints would stand on
    /// others.
    pub(super) fn refuse_other_transfer(&self, begun: &RunConfig) -> Result<(), Error> {
        let trained = |config: &RunConfig| -> Result<Vec<bool>, Error> {
            let layout = config.last_layout()?;
            Ok(layout.variables().iter().map(|v| v.trained.is_some()).collect())
        };
        match self.transfer == begun.transfer || trained(self)? == trained(begun)? {
            true => Ok(()),
            false => Err(Error::Setting(
                "transfer: what a run trains stays the same, since its checkpoints stand on the rest; leave the setting out, or begin \
                 another run from this one's model"
                    .into(),
            )),
        }
    }

    /// Whether a run trains in every step the variables that `before` has trained at its end, so that the optimiser's
    /// state is of them.
    pub(crate) fn goes_on_training_what(&self, before: &RunConfig) -> bool {
        let is_same = self.transfer == before.transfer && self.model.adapter == before.model.adapter;
        is_same && !matches!(self.transfer, Transfer::Unfreezing { .. })
    }

    /// The first step of each episode, from 0.
    pub(crate) fn episodes(&self) -> impl Iterator<Item = u64> {
        let episodes = self.transfer.episodes(&self.model);
        (0..episodes).map(move |episode| start(episode, episodes, self.steps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(settings: &[&str]) -> Result<RunConfig, Error> {
        let settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
        RunConfig::resolve("base", None, &settings, None)
    }

    fn trained(config: &RunConfig, step: u64) -> Vec<String> {
        let layout = config.layout_at(step, 0).unwrap();
        let trained = layout.variables().iter().filter(|v| v.trained.is_some());
        trained.map(|v| v.name.clone()).collect()
    }

    /// New parameters of Base for widths of 32, 128, 512 and 2048 (paper, Table 10): 1.18, 4.72, 18.9 and 75.5 million,
    /// which are the two matrices of 24 adapters; their norms are 18,432 more.
    #[test]
    fn adapters_have_the_papers_numbers_of_parameters() {
        let without = config(&[]).unwrap().model.parameters().unwrap();
        for (width, millions, matrices) in [
            (32, 1.18, 1_179_648),
            (128, 4.72, 4_718_592),
            (512, 18.9, 18_874_368),
            (2048, 75.5, 75_497_472),
        ] {
            let width = format!("model.adapter={width}");
            let config = config(&[&width, "transfer={kind='adapters', norms=false}"]).unwrap();
            let layout = config.last_layout().unwrap();
            let new = config.model.parameters().unwrap() - without;
            assert_eq!(new, matrices + 24 * 768);
            assert_eq!(layout.len() as u64, without + new);
            assert_eq!(layout.trained_parameters() as u64, new);
            assert_eq!(layout.gradients_len() as u64, new);
            assert!((matrices as f64 / 1e6 / millions - 1.0).abs() < 0.003, "{width}");
        }
        // With all norms: of 12 layers with 2 and 12 with 3 sublayers, and 2 at the end.
        let config = config(&["model.adapter=32", "transfer.kind=adapters"]).unwrap();
        let trained = config.last_layout().unwrap().trained_parameters();
        assert_eq!(trained, 1_179_648 + 24 * 768 + (12 * 5 + 2) * 768);
    }

    #[test]
    fn layers_are_unfrozen_from_the_top() {
        let config = config(&["transfer.kind=unfreezing", "steps=262144"]).unwrap();
        assert_eq!(config.transfer.episodes(&config.model), 12);
        let starts: Vec<u64> = config.episodes().collect();
        assert_eq!(starts[..3], [0, 21_845, 43_690]);
        assert_eq!(starts[11], 240_298);
        for (episode, first) in (1..).zip(starts) {
            let lowest = 12 - episode;
            for step in [first, first + 21_844] {
                let trained = trained(&config, step);
                for stack in ["encoder", "decoder"] {
                    let block = format!("{stack}.block.");
                    let layers = trained
                        .iter()
                        .filter_map(|name| name.strip_prefix(&block)?.split_once('.'));
                    let mut layers: Vec<u64> = layers.map(|(number, _)| number.parse().unwrap()).collect();
                    layers.dedup();
                    assert_eq!(layers, (lowest..12).collect::<Vec<_>>(), "{step}");
                }
                for always in [
                    "shared.weight",
                    "encoder.final_layer_norm.weight",
                    "decoder.final_layer_norm.weight",
                ] {
                    assert!(trained.iter().any(|name| name == always), "{step}: {always}");
                }
            }
            // A variable's own steps are counted from its episode on.
            let layout = config.layout_at(first, 0).unwrap();
            let name = format!("encoder.block.{lowest}.layer.0.SelfAttention.k.weight");
            assert_eq!(layout.variable(&name).unwrap().trained, Some(first));
            let layout = config.layout_at(first + 5, 30_000).unwrap();
            assert_eq!(
                layout.variable(&name).unwrap().trained,
                Some(first.saturating_sub(30_000))
            );
        }
        // Other numbers than a stack's layers: all of it at the end.
        for episodes in [1, 3, 5, 24] {
            let config = config.with(&[format!("transfer.episodes={episodes}")]).unwrap();
            assert_eq!(config.last_layout().unwrap().trained_parameters(), 222_903_552);
            let upper = trained(&config, 0)
                .iter()
                .filter(|name| name.contains("SelfAttention.k."))
                .count();
            assert_eq!(upper, 2 * 12_usize.div_ceil(episodes), "{episodes}");
        }
        // An embedding that is not the head is the lowest of all.
        let untied = config.with(&["model.head=untied".to_owned()]).unwrap();
        assert!(!trained(&untied, 240_297).contains(&"shared.weight".to_owned()));
        assert!(trained(&untied, 240_298).contains(&"shared.weight".to_owned()));
        assert!(trained(&untied, 0).contains(&"lm_head.weight".to_owned()));
    }

    #[test]
    fn patterns_name_variables() {
        let only = |patterns: &str| config(&[&format!("transfer={{kind='only', variables=[{patterns}]}}")]);
        let all = trained(&only("'decoder.*', 'shared.weight'").unwrap(), 0);
        assert!(
            all.iter()
                .all(|name| name.starts_with("decoder.") || name == "shared.weight")
        );
        assert_eq!(all.len(), 1 + 12 * 13 + 2);
        let queries = only("'*.11.*.q.weight'").unwrap();
        assert_eq!(trained(&queries, 0).len(), 3);
        // Keys and values come of the same product, but are not trained.
        let layout = queries.last_layout().unwrap();
        assert_eq!(layout.trained_parameters(), 3 * 768 * 768);
        assert_eq!(layout.gradients_len(), (2 * 3 + 1) * 768 * 768);
        assert_eq!(layout.spare_gradients().count(), 4);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (settings, words) in [
            (
                &["transfer.kind=adapters"][..],
                &["transfer.kind = adapters", "model.adapter=32"][..],
            ),
            (
                &["transfer={kind='only', variables=['decodr.block.3.layer.2.DenseReluDense.wi.wieght']}"],
                &[
                    "transfer.variables = ",
                    "matches no variable",
                    "decoder.block.3.layer.2.DenseReluDense.wi.weight",
                ],
            ),
            (
                &["transfer={kind='only', variables=[]}"],
                &["transfer.variables = []", "decoder.*"],
            ),
            (
                &["transfer={kind='only', variables=['a[']}"],
                &["transfer.variables", "use * alone"],
            ),
            (
                &["transfer.kind=unfreezing", "transfer.episodes=0"],
                &["transfer.episodes = 0", "1 to 1024"],
            ),
            (
                &["transfer.kind=unfreezing", "steps=11"],
                &["transfer.episodes = 12", "11 steps"],
            ),
            (&["transfer.kind=some"], &["transfer"]),
            (&["transfer={kind='adapters', width=3}"], &["width"]),
            (&["model.adapter=9999999"], &["model.adapter", "must be 0 to 1048576"]),
        ] {
            let error = config(settings).unwrap_err().to_string();
            for word in words {
                assert!(error.contains(word), "{settings:?}: {word} in {error}");
            }
        }
    }

    /// Files of runs that train everything are as before.
    #[test]
    fn nothing_is_written_of_the_default() {
        let text = config(&[]).unwrap().to_toml(true).unwrap();
        assert!(!text.contains("transfer") && !text.contains("adapter"), "{text}");
    }
}

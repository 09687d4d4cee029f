//! `stats.json`: the statistics of a build, as one typed schema that is written by the filters and read by whoever
//! shows them.
//!
//! Fields are in the order of the file, so that the same statistics are the same bytes. A part that is missing from a
//! file is read as empty, and a key that this version does not know is skipped, so that files of other versions can be
//! read.

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

/// The content of `stats.json`. Holds nothing that depends on when, where or how fast the build ran, so that the same
/// inputs give the same bytes.
///
/// ```
/// use c4_data::Stats;
///
/// let stats: Stats = serde_json::from_str(r#"{"recipe": "en", "tally": {"pages": {"in": 5, "out": 2}}}"#)?;
/// assert_eq!((stats.tally.pages.read, stats.tally.pages.kept), (5, 2));
/// assert!(stats.domains.is_none(), "a part that is missing");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// The name of the recipe.
    pub recipe: String,
    /// The hash of the recipe ([`Recipe::hash`](crate::Recipe::hash)).
    pub recipe_hash: String,
    /// Warnings about the build, a sentence each.
    pub warnings: Vec<String>,
    /// The reference's counters, by name.
    pub counters: BTreeMap<String, u64>,
    /// The tally: every record, page and line in exactly one place.
    pub tally: TallyStats,
    /// The tally by step, in the order of the steps that the recipe has.
    pub stages: Vec<StageStats>,
    /// Histograms of sizes and probabilities, by what they count.
    pub histograms: Named<HistogramStats>,
    /// Pages read and kept, by the year of their timestamp.
    pub years: BTreeMap<String, InOut>,
    /// Pages that came to the language step and pages kept, by language.
    pub languages: BTreeMap<String, InOut>,
    /// The domains with the most pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domains: Option<DomainStats>,
    /// The top-level domains with the most pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_level_domains: Option<DomainStats>,
    /// The listed words that dropped the most pages.
    pub bad_words: Vec<BadWordStats>,
    /// The lines or spans with the most copies.
    pub duplicates: Vec<DuplicateStats>,
}

impl Stats {
    /// The file name of the statistics in the folder of a corpus.
    pub const FILE: &str = "stats.json";

    /// The bytes of the file: JSON for people, with a line end.
    pub fn to_file(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("statistics have only string keys");
        bytes.push(b'\n');
        bytes
    }
}

/// The tally of a build, by unit. For each unit, what was read is what was kept plus everything that was dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TallyStats {
    /// Records of archives; those kept became pages.
    pub records: Account,
    /// Pages.
    pub pages: Account,
    /// UTF-8 bytes of the pages' texts.
    pub text_bytes: InOut,
    /// Lines of the pages.
    pub lines: Account,
    /// Code points of the lines.
    pub chars: Account,
    /// Words of the lines.
    pub words: Account,
}

/// The account of one unit of the tally: what was read is the sum of everything else.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Account {
    /// The amount read.
    #[serde(rename = "in")]
    pub read: u64,
    /// The amount kept.
    #[serde(rename = "out")]
    pub kept: u64,
    /// The amount dropped by itself, by the code of the reason.
    pub dropped: Named<u64>,
    /// The amount dropped with its page, by the code of the page's reason; `None` for records and pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gone_with_page: Option<Named<u64>>,
    /// The amount trimmed off kept lines; `None` for records and pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trimmed: Option<u64>,
}

impl Account {
    /// The amount that is neither kept nor dropped nor trimmed; 0 if the account adds up.
    pub fn missing(&self) -> i128 {
        let with_page = self.gone_with_page.iter().flat_map(Named::values);
        let gone = self.dropped.values().chain(with_page).chain(&self.trimmed);
        let gone: i128 = gone.copied().map(i128::from).sum();
        i128::from(self.read) - i128::from(self.kept) - gone
    }
}

/// An amount that was read, and how much of it was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InOut {
    /// The amount read, or before a step.
    #[serde(rename = "in")]
    pub read: u64,
    /// The amount kept, or after a step.
    #[serde(rename = "out")]
    pub kept: u64,
}

/// The amounts before and after one step of a build.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StageStats {
    /// The step's name.
    pub stage: String,
    /// A few words on what the step does.
    pub doc: String,
    /// Pages before and after the step.
    pub pages: InOut,
    /// Lines before and after the step.
    pub lines: InOut,
    /// Code points before and after the step.
    pub chars: InOut,
    /// Words before and after the step.
    pub words: InOut,
    /// The pages and lines that the step dropped.
    pub dropped: StageDropped,
}

/// The pages and lines that a step dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StageDropped {
    /// The number of pages, by the code of the reason.
    pub pages: Named<u64>,
    /// The number of lines that were dropped by themselves, by the code of the reason.
    pub lines: Named<u64>,
}

/// A histogram: counts by size.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HistogramStats {
    /// The unit of the sizes, in words.
    pub unit: String,
    /// The edges of the bins, one more than there are bins; `None` for an open end.
    pub edges: Vec<Option<u64>>,
    /// The counts of what was read, by bin; `None` if only kept pages were measured.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub read: Option<Vec<u64>>,
    /// The counts of what was kept, by bin.
    #[serde(rename = "out")]
    pub kept: Vec<u64>,
    /// The sample that was measured; `None` if everything was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<SampleStats>,
}

/// The sample of pages that a histogram was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SampleStats {
    /// The number of pages in the sample.
    pub pages: u64,
    /// The number of pages that the sample was drawn from.
    pub of: u64,
}

/// Pages by domain, counted after each step.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DomainStats {
    /// The names of the steps, in order.
    pub stages: Vec<String>,
    /// The number of different domains.
    pub distinct: u64,
    /// The domains with the most pages read, and those with the most pages kept.
    pub top: Vec<DomainRow>,
}

/// The pages of one domain.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DomainRow {
    /// The domain.
    pub name: String,
    /// The number of pages after each step of [`DomainStats::stages`].
    pub pages: Vec<u64>,
}

/// A listed word that dropped pages.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BadWordStats {
    /// The word, as it is listed.
    pub word: String,
    /// The number of pages that were dropped and hold it as their first listed word.
    pub pages: u64,
}

/// A line or span with many copies.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DuplicateStats {
    /// The number of copies, the kept one among them.
    pub copies: u64,
    /// The text of the kept copy.
    pub text: String,
    /// The URL of the page with the kept copy.
    pub url: String,
}

/// Values by name, in the order in which they were written: a JSON object.
///
/// ```
/// use c4_data::Named;
///
/// let counts: Named<u64> = serde_json::from_str(r#"{"b": 1, "a": 2}"#)?;
/// assert_eq!(counts.get("a"), Some(&2));
/// assert_eq!(serde_json::to_string(&counts)?, r#"{"b":1,"a":2}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<V>(Vec<(String, V)>);

impl<V> Named<V> {
    /// The value of `name`, if there is one. Takes time linear in the number of values.
    pub fn get(&self, name: &str) -> Option<&V> {
        self.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// The names with their values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &V)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// The values, in order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }
}

impl<V> Default for Named<V> {
    fn default() -> Self {
        Named(Vec::new())
    }
}

impl<V> FromIterator<(String, V)> for Named<V> {
    /// Makes an object of names, which must be different, and values.
    fn from_iter<I: IntoIterator<Item = (String, V)>>(values: I) -> Self {
        Named(values.into_iter().collect())
    }
}

impl<V: Serialize> Serialize for Named<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Named<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for Object<V> {
            type Value = Named<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<V>, A::Error> {
                let mut values = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    values.push(entry);
                }
                Ok(Named(values))
            }
        }

        deserializer.deserialize_map(Object(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every key of a file, in the order of all files so far.
    const FILE: &str = r#"{
  "recipe": "en",
  "recipe_hash": "h",
  "warnings": [
    "One."
  ],
  "counters": {
    "clean-page/passed": 1
  },
  "tally": {
    "records": {
      "in": 3,
      "out": 2,
      "dropped": {
        "record_type": 1,
        "http_status": 0
      }
    },
    "pages": {
      "in": 2,
      "out": 1,
      "dropped": {
        "too_long": 1
      }
    },
    "text_bytes": {
      "in": 9,
      "out": 5
    },
    "lines": {
      "in": 3,
      "out": 1,
      "dropped": {
        "no_end_mark": 1
      },
      "gone_with_page": {
        "too_long": 1
      },
      "trimmed": 0
    },
    "chars": {
      "in": 0,
      "out": 0,
      "dropped": {},
      "gone_with_page": {},
      "trimmed": 0
    },
    "words": {
      "in": 0,
      "out": 0,
      "dropped": {},
      "gone_with_page": {},
      "trimmed": 0
    }
  },
  "stages": [
    {
      "stage": "read",
      "doc": "pages in the archives",
      "pages": {
        "in": 2,
        "out": 2
      },
      "lines": {
        "in": 3,
        "out": 3
      },
      "chars": {
        "in": 0,
        "out": 0
      },
      "words": {
        "in": 0,
        "out": 0
      },
      "dropped": {
        "pages": {},
        "lines": {}
      }
    }
  ],
  "histograms": {
    "page_lines": {
      "unit": "lines of a page",
      "edges": [
        0,
        1,
        null
      ],
      "in": [
        0,
        2
      ],
      "out": [
        0,
        1
      ]
    },
    "page_sentences": {
      "unit": "sentences of a page",
      "edges": [
        0,
        null
      ],
      "out": [
        1
      ],
      "sample": {
        "pages": 1,
        "of": 1
      }
    }
  },
  "years": {
    "2019": {
      "in": 2,
      "out": 1
    }
  },
  "languages": {
    "en": {
      "in": 1,
      "out": 1
    }
  },
  "domains": {
    "stages": [
      "read"
    ],
    "distinct": 1,
    "top": [
      {
        "name": "a.example",
        "pages": [
          2
        ]
      }
    ]
  },
  "top_level_domains": {
    "stages": [],
    "distinct": 0,
    "top": []
  },
  "bad_words": [
    {
      "word": "heck",
      "pages": 1
    }
  ],
  "duplicates": [
    {
      "copies": 2,
      "text": "A line.",
      "url": "http://a.example/"
    }
  ]
}
"#;

    #[test]
    fn a_file_that_is_read_and_written_has_the_same_bytes() {
        let stats: Stats = serde_json::from_str(FILE).unwrap();
        assert_eq!(String::from_utf8(stats.to_file()).unwrap(), FILE);
        let codes: Vec<&String> = stats.tally.records.dropped.iter().map(|(code, _)| code).collect();
        assert_eq!(codes, ["record_type", "http_status"], "not sorted");
        let tally = &stats.tally;
        let missing = [&tally.records, &tally.pages, &tally.lines].map(Account::missing);
        assert_eq!(missing, [0; 3]);
    }

    #[test]
    fn missing_and_unknown_parts_are_no_errors_and_wrong_ones_are() {
        let stats: Stats = serde_json::from_str(r#"{"new": 1, "tally": {"pages": {"in": 5}}}"#).unwrap();
        let pages = Account {
            read: 5,
            ..Account::default()
        };
        assert_eq!(stats.tally.pages, pages);
        for (wrong, message) in [
            (r#"{"years": 7}"#, "invalid type: integer `7`, expected a map"),
            (r#"{"histograms": []}"#, "invalid type: sequence, expected a map"),
            (
                r#"{"tally": {"pages": {"in": -1}}}"#,
                "invalid value: integer `-1`, expected u64",
            ),
        ] {
            let error = serde_json::from_str::<Stats>(wrong).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }
}

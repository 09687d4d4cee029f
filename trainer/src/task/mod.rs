//! What is a task? Cards, rows to text, metrics.

mod averages;
mod bootstrap;
mod metrics;
mod postprocess;
mod pystr;
mod score;

pub use averages::averages;
pub use bootstrap::Bootstrap;
pub use postprocess::Postprocess;
pub use score::{BleuTokenizer, Metric, Score, Scoring, Stemming, headline, score};

/// What an answer is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth {
    /// All right answers; of most tasks the one target.
    pub answers: Vec<String>,
    /// Rows that are scored together: MultiRC's question, ReCoRD's query.
    pub group: Option<String>,
    /// The row's own id (`idx`, `id`), for submission files.
    pub id: Option<String>,
    /// False for a row without label, as test splits have.
    pub known: bool,
    /// Whether `answers` are right. Only rows of the Winograd schemas give a noun that may be the wrong one.
    pub holds: bool,
}

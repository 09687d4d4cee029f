//! A sweep for people and for programs.

use super::settings::{Grid, on_and_off};
use super::{DomainKept, Kept, Swept};
use crate::terminal::table::{TextTable, percent};
use crate::view::number::thousands;
use c4_data::Recipe;
use serde_json::{Map, Value, json};

/// The width of a whole bar in cells.
const BAR_CELLS: u64 = 20;
/// The number of combinations beside each other in the table of domains.
const COLUMNS: usize = 8;

/// The report of a sweep, for people and for programs.
#[derive(Debug)]
pub struct SweepReport<'a> {
    /// The recipe whose values vary.
    pub recipe: &'a Recipe,
    /// The combinations.
    pub grid: &'a Grid,
    /// What the combinations keep.
    pub swept: &'a Swept,
    /// Whether all steps were taken.
    pub full: bool,
}

impl SweepReport<'_> {
    /// The steps that were taken, in one line.
    fn note(&self) -> String {
        let (on, off) = on_and_off(self.recipe);
        let list = |steps: &[String]| match steps {
            [] => "no step".to_owned(),
            steps => steps.join(", "),
        };
        if self.full || off.is_empty() {
            return "All steps of the recipe.".to_owned();
        }
        format!(
            "Steps: {}, and the newest page of each URL. Off: {} (--full takes all steps).",
            list(&on),
            list(&off)
        )
    }

    /// Two aligned tables: the combinations with a bar for the share of pages, and the domains.
    pub fn to_text(&self) -> String {
        let read = self.swept.pages_read;
        let mut out = format!(
            "recipe {}: {} pages read. {}\n\n",
            self.recipe.name,
            thousands(read),
            self.note()
        );
        out += &self.combinations();
        if !self.grid.combinations.iter().any(|c| c.own) {
            out += "The recipe's own values are not among these.\n";
        }
        let numbers: Vec<usize> = (0..self.grid.combinations.len()).collect();
        for columns in numbers.chunks(COLUMNS) {
            out.push('\n');
            out += &self.domains(columns);
        }
        out
    }

    fn combinations(&self) -> String {
        let mut table = TextTable::default();
        let mut row = vec!["#".to_owned()];
        row.extend(self.grid.keys.iter().cloned());
        row.extend(["pages", "lines", "characters", "pages kept"].map(str::to_owned));
        table.cells(row);
        let kept = self.grid.combinations.iter().zip(&self.swept.kept);
        for (i, (combination, kept)) in kept.enumerate() {
            let mut row = vec![(i + 1).to_string()];
            row.extend(combination.values.iter().map(Value::to_string));
            row.extend(numbers(kept).map(thousands));
            row.push(percent(kept.pages, self.swept.pages_read));
            row.push(bar(kept.pages, self.swept.pages_read));
            if combination.own {
                row.push("<- recipe".to_owned());
            }
            table.cells(row);
        }
        table.render()
    }

    /// The domains by some of the combinations.
    fn domains(&self, columns: &[usize]) -> String {
        let mut table = TextTable::default();
        let mut row = ["domain", "pages read", "kept"].map(str::to_owned).to_vec();
        row.extend(columns.iter().map(|i| format!("#{}", i + 1)));
        table.cells(row);
        for domain in &self.swept.domains {
            for (i, name) in ["pages", "lines", "characters"].into_iter().enumerate() {
                let mut row = match i {
                    0 => vec![domain.domain.clone(), thousands(domain.pages_read)],
                    _ => vec![String::new(); 2],
                };
                row.push(name.to_owned());
                row.extend(columns.iter().map(|&c| thousands(numbers(&domain.kept[c])[i])));
                table.cells(row);
            }
        }
        table.render()
    }

    /// The report as JSON. Shares are 0 to 1.
    pub fn to_json(&self) -> Value {
        let (on, off) = on_and_off(self.recipe);
        let (on, off) = if self.full {
            ([on, off].concat(), Vec::new())
        } else {
            (on, off)
        };
        let read = self.swept.pages_read;
        let combinations = self.grid.combinations.iter().zip(&self.swept.kept);
        let combinations = combinations.map(|(combination, kept)| {
            let keys = self.grid.keys.iter().cloned();
            let set: Map<String, Value> = keys.zip(combination.values.iter().cloned()).collect();
            let mut row = with_kept(json!({"set": set, "own": combination.own}), kept);
            row["share_of_pages"] = json!(kept.pages as f64 / read.max(1) as f64);
            row
        });
        let domain = |domain: &DomainKept| {
            let kept = domain.kept.iter();
            json!({
                "domain": domain.domain,
                "pages_read": domain.pages_read,
                "combinations": kept.map(|kept| with_kept(json!({}), kept)).collect::<Vec<_>>(),
            })
        };
        json!({
            "recipe": self.recipe.name,
            "full": self.full,
            "steps": on,
            "steps_off": off,
            "pages_read": read,
            "combinations": combinations.collect::<Vec<_>>(),
            "domains": self.swept.domains.iter().map(domain).collect::<Vec<_>>(),
            "inputs": self.swept.inputs,
        })
    }
}

/// Pages, lines and characters.
fn numbers(kept: &Kept) -> [u64; 3] {
    [kept.pages, kept.lines, kept.characters]
}

fn with_kept(mut object: Value, kept: &Kept) -> Value {
    object["pages"] = json!(kept.pages);
    object["lines"] = json!(kept.lines);
    object["characters"] = json!(kept.characters);
    object
}

/// `part` of `whole` as a bar, in eighths of a cell, padded so that bars stand below each other.
fn bar(part: u64, whole: u64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (u128::from(part) * u128::from(BAR_CELLS * 8))
        .checked_div(u128::from(whole))
        .unwrap_or(0);
    let (full, rest) = ((eighths / 8) as usize, (eighths % 8) as usize);
    let bar = "█".repeat(full) + EIGHTHS[rest];
    format!("{bar:<width$}", width = BAR_CELLS as usize)
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn bars_are_of_one_width() {
        assert_eq!(bar(1, 1), "█".repeat(20));
        assert_eq!(bar(0, 1), " ".repeat(20));
        assert_eq!(bar(0, 0), " ".repeat(20));
        assert_eq!(bar(1, 160).trim_end(), "▏");
        assert_eq!(bar(81, 160).trim_end(), "██████████▏");
    }
}

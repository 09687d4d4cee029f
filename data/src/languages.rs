//! Narrows a recipe to some of its languages.

use crate::{Error, Recipe, Undetermined};

impl Recipe {
    /// This recipe for some of the languages that it keeps: pages in others are dropped, and so are those whose
    /// language is undetermined. All steps before the language are unchanged, so that the corpus holds the pages that
    /// the whole one holds in these languages. The codes become part of the name: `multilingual.de`. Without any code,
    /// the recipe as it is.
    ///
    /// ```
    /// let (recipe, _) = c4_data::Recipe::load("multilingual")?;
    /// let recipe = recipe.with_languages(&["fr".into(), "de".into()])?;
    /// assert_eq!(recipe.name, "multilingual.de.fr");
    /// # Ok::<(), c4_data::Error>(())
    /// ```
    ///
    /// # Errors
    /// The recipe has no language step, or does not keep one of the codes.
    pub fn with_languages(mut self, codes: &[String]) -> Result<Recipe, Error> {
        if codes.is_empty() {
            return Ok(self);
        }
        let fail = |reason: String| Error::Setting {
            key: "--language".into(),
            reason,
        };
        let Some(step) = &mut self.language else {
            let reason = format!("recipe {} does not look at languages", self.name);
            return Err(fail(reason));
        };
        if let Some(code) = codes.iter().find(|code| !step.keep.contains(code)) {
            let lower = code.to_ascii_lowercase();
            if step.keep.contains(&lower) {
                return Err(fail(format!("`{code}` is written `{lower}`")));
            }
            if code == crate::UNDETERMINED_LANGUAGE {
                return Err(fail(format!(
                    "`{code}` is no language; recipe {} without --language has it as a split",
                    self.name
                )));
            }
            return Err(fail(format!(
                "recipe {} does not keep `{code}`; it keeps {}",
                self.name,
                step.keep.join(", ")
            )));
        }
        let mut codes = codes.to_vec();
        codes.sort_unstable();
        codes.dedup();
        for code in &codes {
            self.name.push('.');
            self.name.push_str(code);
        }
        step.keep = codes;
        step.undetermined = Undetermined::Drop;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Lists, Recipe, Undetermined};

    #[test]
    fn languages_are_those_that_the_recipe_keeps() {
        let whole = Recipe::load("multilingual").unwrap().0;
        assert_eq!(whole.clone().with_languages(&[]).unwrap(), whole);
        let some = |codes: &[&str]| {
            let codes: Vec<String> = codes.iter().map(|code| (*code).to_owned()).collect();
            whole.clone().with_languages(&codes)
        };
        let two = some(&["zh-Latn", "de", "de"]).unwrap();
        assert_eq!(two.name, "multilingual.de.zh-Latn");
        assert_eq!(two, some(&["de", "zh-Latn"]).unwrap());
        let step = two.language.as_ref().unwrap();
        assert_eq!(step.undetermined, Undetermined::Drop);
        two.validate().unwrap();
        let none = Lists::default();
        let hashes = [&whole, &two, &some(&["de"]).unwrap()].map(|recipe| recipe.hash(&none));
        assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2]);

        // CLD3 knows Croatian, C4 does not keep it.
        for (code, word) in [
            ("hr", "does not keep `hr`; it keeps "),
            ("german", "does not keep `german`; it keeps "),
            ("", "does not keep ``; it keeps "),
            ("und", "as a split"),
            ("FR", "`fr`"),
        ] {
            let error = some(&["de", code]).unwrap_err().to_string();
            assert!(error.contains(&format!("`{code}`")), "{error}");
            assert!(error.contains(word), "{error}");
        }
    }
}

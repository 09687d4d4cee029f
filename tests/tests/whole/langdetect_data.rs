//! The language profiles in `data/langdetect/` against the package that they come from.

use cargo_metadata::MetadataCommand;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn data_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/langdetect/profiles.bin")
}

/// The folder of the 55 JSON files, which the crate `langdetect` ships unchanged.
fn package_profiles() -> PathBuf {
    // This platform's packages alone; what other programs of the workspace want may have to be fetched.
    let version = Command::new("rustc").arg("-vV").output().expect("rustc");
    let version = String::from_utf8(version.stdout).expect("text");
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .expect("a host");
    let options = ["--locked", "--filter-platform", host];
    let metadata = MetadataCommand::new()
        .manifest_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .other_options(options.map(str::to_owned))
        .exec()
        .expect("cargo metadata");
    let package = metadata
        .packages
        .iter()
        .find(|package| package.name.as_str() == "langdetect")
        .expect("the crate");
    let manifest = package.manifest_path.as_std_path();
    manifest.parent().expect("a folder").join("profiles")
}

/// One of the 55 JSON files.
struct Profile {
    name: String,
    /// How many 1-, 2- and 3-grams were counted.
    totals: [u32; 3],
    grams: BTreeMap<Vec<char>, u32>,
}

fn read(file: &Path) -> Profile {
    let number = |value: &Value| u32::try_from(value.as_u64().expect("a number")).expect("32 bits");
    let text = fs::read_to_string(file).expect("a readable file");
    let json: Value = serde_json::from_str(&text).expect("JSON");
    let totals = json["n_words"].as_array().expect("n_words");
    let grams = json["freq"].as_object().expect("freq");
    Profile {
        name: json["name"].as_str().expect("a name").to_owned(),
        totals: [0, 1, 2].map(|i| number(&totals[i])),
        grams: grams
            .iter()
            .map(|(gram, count)| (gram.chars().collect(), number(count)))
            .collect(),
    }
}

/// The letters in the order of their classes: ASCII, the nine other Latin letters that take up the
/// largest shares of their languages, the rest by code point.
fn letters(profiles: &[Profile]) -> Vec<char> {
    let mut shares: BTreeMap<char, f64> = BTreeMap::new();
    for profile in profiles {
        for (gram, &count) in profile.grams.iter().filter(|(gram, _)| gram.len() == 1) {
            *shares.entry(gram[0]).or_default() += f64::from(count) / f64::from(profile.totals[0]);
        }
    }
    let mut latin: Vec<char> = shares.keys().copied().collect();
    latin.retain(|c| ('\u{80}'..'\u{250}').contains(c));
    latin.sort_by(|a, b| shares[b].total_cmp(&shares[a]));
    let frequent = &latin[..9];
    let ascii = shares.keys().filter(|c| c.is_ascii());
    let rest = shares.keys().filter(|c| !c.is_ascii() && !frequent.contains(c));
    ascii.chain(frequent).chain(rest).copied().collect()
}

/// Derives `profiles.bin`; its README.md describes the layout.
fn derive(folder: &Path) -> Vec<u8> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    assert_eq!(files.len(), 55);
    let mut profiles: Vec<Profile> = files.iter().map(|file| read(file)).collect();

    // A text meets the n-grams of normalised characters only.
    let normalised: BTreeSet<char> = ('\0'..=char::MAX).map(langdetect::text::normalize).collect();
    for profile in &mut profiles {
        profile
            .grams
            .retain(|gram, _| gram.len() <= 3 && gram.iter().all(|c| normalised.contains(c)));
    }

    let letters = letters(&profiles);
    let mut classes: BTreeMap<char, u16> = (3u16..).zip(&letters).map(|(class, &c)| (c, class)).collect();
    classes.insert(' ', 0);

    let mut out = vec![profiles.len() as u8];
    let mut grams: [BTreeMap<Vec<u16>, Vec<u32>>; 3] = Default::default();
    for (language, profile) in profiles.iter().enumerate() {
        out.push(profile.name.len() as u8);
        out.extend_from_slice(profile.name.as_bytes());
        out.extend(profile.totals.iter().flat_map(|total| total.to_le_bytes()));
        for (gram, &count) in &profile.grams {
            assert!(count < 1 << 26);
            let key: Vec<u16> = gram.iter().map(|c| classes[c]).collect();
            let entries = grams[gram.len() - 1].entry(key).or_default();
            entries.push(count << 6 | language as u32);
        }
    }
    let half = |c: char| u16::try_from(u32::from(c)).expect("16 bits").to_le_bytes();
    out.extend_from_slice(&(letters.len() as u16).to_le_bytes());
    out.extend(letters.iter().flat_map(|&c| half(c)));
    let kanji: Vec<(char, char)> = ('\u{4e00}'..='\u{9fff}')
        .map(|c| (c, langdetect::text::normalize(c)))
        .filter(|(from, to)| from != to)
        .collect();
    out.extend_from_slice(&(kanji.len() as u16).to_le_bytes());
    for (from, to) in kanji {
        out.extend_from_slice(&half(from));
        out.extend_from_slice(&half(to));
    }
    for grams in grams {
        out.extend_from_slice(&(grams.len() as u32).to_le_bytes());
        out.extend(grams.keys().flatten().flat_map(|class| class.to_le_bytes()));
        out.extend(grams.values().map(|entries| entries.len() as u8));
        out.extend(grams.values().flatten().flat_map(|entry| entry.to_le_bytes()));
    }
    out
}

#[test]
fn the_data_file_is_that_of_the_package() {
    let derived = derive(&package_profiles());
    if std::env::var_os("WRITE_DATA").is_some() {
        fs::write(data_file(), &derived).expect("a writable file");
    }
    let file = fs::read(data_file()).expect("the data file");
    // No `assert_eq`: it would print the files.
    assert!(file == derived, "WRITE_DATA=1 writes the file anew");
}

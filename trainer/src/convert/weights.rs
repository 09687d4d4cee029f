//! The files that hold a model's weights in a folder of Hugging Face's: which they are, and what is in each.

use super::pytorch::PyTorchFile;
use crate::Error;
use safetensors::tensor::{Dtype, Metadata, SafeTensors};
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

pub(super) const WEIGHTS: &str = "model.safetensors";
pub(super) const INDEX: &str = "model.safetensors.index.json";

/// A file and the index of several, in the order in which transformers looks for them.
const KINDS: [(&str, &str); 2] = [(WEIGHTS, INDEX), ("pytorch_model.bin", "pytorch_model.bin.index.json")];
/// Weights of other programs.
const OTHERS: [&str; 4] = [
    "tf_model.h5",
    "flax_model.msgpack",
    "model.ckpt.index",
    "adapter_model.safetensors",
];

/// The files of weights in a folder.
///
/// # Errors
/// There are none, or some of those that an index names are missing.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    for (single, index) in KINDS {
        let (single, index) = (folder.join(single), folder.join(index));
        if single.is_file() {
            return Ok(vec![single]);
        }
        if index.is_file() {
            return parts(folder, &index);
        }
    }
    let there = |name: &&&str| folder.join(name).exists();
    let problem = if let Some(part) = any_part(folder) {
        format!(
            "missing, and so is its index; {part} is one of several files, which need model.safetensors.index.json: copy that, too"
        )
    } else if let Some(name) = OTHERS.iter().find(there) {
        format!(
            "missing; there is {name}, which only another program reads: in Python, load it and call `save_pretrained`"
        )
    } else {
        "missing; give a folder that `save_pretrained` wrote".to_owned()
    };
    Err(Error::format(&folder.join(WEIGHTS), problem))
}

/// One of several files of weights.
fn any_part(folder: &Path) -> Option<String> {
    let entries = std::fs::read_dir(folder).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let is_part =
        |name: &String| (name.starts_with("model-") || name.starts_with("pytorch_model-")) && name.contains("-of-");
    names.filter(is_part).min()
}

/// The files that an index names.
fn parts(folder: &Path, index: &Path) -> Result<Vec<PathBuf>, Error> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: HashMap<String, String>,
    }
    let text = std::fs::read(index).map_err(|error| Error::io(index, error))?;
    let parsed: Index = serde_json::from_slice(&text).map_err(|error| Error::format(index, error.to_string()))?;
    let files: BTreeSet<String> = parsed.weight_map.into_values().collect();
    if let Some(name) = files
        .iter()
        .find(|name| name.contains(['/', '\\']) || name.starts_with('.'))
    {
        let problem = format!("names `{}`, which is no file of this folder", name.escape_debug());
        return Err(Error::format(index, problem));
    }
    let missing: Vec<&String> = files.iter().filter(|name| !folder.join(name).is_file()).collect();
    if let Some(first) = missing.first() {
        let problem = format!(
            "missing, one of {} files that {} names ({} of them are not there); copy all of them into the folder",
            files.len(),
            index.file_name().unwrap_or_default().display(),
            missing.len()
        );
        return Err(Error::format(&folder.join(first), problem));
    }
    Ok(files.iter().map(|name| folder.join(name)).collect())
}

/// A file of tensors by name.
pub(super) enum WeightFile {
    SafeTensors {
        path: PathBuf,
        bytes: Vec<u8>,
        /// Where the tensors' bytes begin.
        start: usize,
        metadata: Metadata,
    },
    PyTorch(PyTorchFile),
}

impl WeightFile {
    pub fn open(path: &Path) -> Result<WeightFile, Error> {
        if path.extension().is_none_or(|extension| extension != "safetensors") {
            return Ok(WeightFile::PyTorch(PyTorchFile::open(path)?));
        }
        let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
        let (header, metadata) =
            SafeTensors::read_metadata(&bytes).map_err(|error| Error::format(path, error.to_string()))?;
        Ok(WeightFile::SafeTensors {
            path: path.to_owned(),
            // Behind the header's length.
            start: 8 + header,
            bytes,
            metadata,
        })
    }

    /// Names and shapes, in the order of the names.
    pub fn list(&self) -> Vec<(String, Vec<usize>)> {
        match self {
            WeightFile::SafeTensors { metadata, .. } => {
                let tensors = metadata.tensors().into_iter();
                let mut all: Vec<_> = tensors.map(|(name, info)| (name, info.shape.clone())).collect();
                all.sort_unstable();
                all
            }
            WeightFile::PyTorch(file) => file.list().map(|(name, shape)| (name.to_owned(), shape)).collect(),
        }
    }

    /// The values of a tensor whose shape is as it should be.
    pub fn values(&mut self, name: &str) -> Result<Vec<f32>, Error> {
        let (path, bytes, start, metadata) = match self {
            WeightFile::PyTorch(file) => return file.values(name),
            WeightFile::SafeTensors {
                path,
                bytes,
                start,
                metadata,
            } => (path, bytes, start, metadata),
        };
        let info = metadata.info(name);
        let info = info.ok_or_else(|| Error::format(path, format!("variable `{name}` is missing")))?;
        let data = &bytes[*start..][info.data_offsets.0..info.data_offsets.1];
        let (pairs, _) = data.as_chunks::<2>();
        let (quads, _) = data.as_chunks::<4>();
        match info.dtype {
            Dtype::F32 => Ok(quads.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()),
            Dtype::BF16 => Ok(pairs.iter().map(|b| half::bf16::from_le_bytes(*b).to_f32()).collect()),
            Dtype::F16 => Ok(pairs.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect()),
            other => {
                let problem = format!("variable `{name}` is {other:?}; only F32, BF16 and F16 can be read");
                Err(Error::format(path, problem))
            }
        }
    }
}

//! Files that `torch.save` wrote: tensors by name. Since PyTorch 1.6 a zip with a pickle and a file a storage; before,
//! pickles with the storages' bytes behind them.

use super::pickle::{self, Pickle, Storage, Tensor, Type, Value};
use crate::Error;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use zip::read::ZipFile;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

/// How a file before PyTorch 1.6 begins: a pickle of its magic number.
const OLD: [u8; 15] = *b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e";
const ZIP: [u8; 4] = *b"PK\x03\x04";

/// A file of tensors, opened.
pub(super) struct PyTorchFile {
    path: PathBuf,
    storages: Storages,
    tensors: BTreeMap<String, (Tensor, Storage)>,
}

/// Where the storages are.
enum Storages {
    /// Files of the archive, behind `folder/data/`.
    Zip {
        archive: ZipArchive<File>,
        folder: String,
        length: u64,
    },
    /// Offset and length in bytes, by key.
    Old {
        file: File,
        places: HashMap<String, (u64, u64)>,
    },
}

impl PyTorchFile {
    pub fn open(path: &Path) -> Result<PyTorchFile, Error> {
        let io = |error| Error::io(path, error);
        let wrong = |problem| Error::format(path, problem);
        let mut file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let mut start = Vec::new();
        file.by_ref()
            .take(OLD.len() as u64)
            .read_to_end(&mut start)
            .map_err(io)?;
        let (storages, tensors) = if start.starts_with(&ZIP) {
            open_zip(file, length).map_err(wrong)?
        } else if start == OLD {
            open_old(file, length).map_err(wrong)?
        } else {
            return Err(wrong(
                "is no file that torch.save wrote, or damaged; take another copy".to_owned(),
            ));
        };
        Ok(PyTorchFile {
            path: path.to_owned(),
            storages,
            tensors,
        })
    }

    /// Names and shapes, in the order of the names.
    pub fn list(&self) -> impl Iterator<Item = (&str, Vec<usize>)> {
        let size = |size: &u64| usize::try_from(*size).unwrap_or(usize::MAX);
        let tensors = self.tensors.iter();
        tensors.map(move |(name, (tensor, _))| (&name[..], tensor.shape.iter().map(size).collect()))
    }

    /// The values of a tensor, the last dimension first. Whoever asks has looked at its shape: they are as many as that
    /// says.
    pub fn values(&mut self, name: &str) -> Result<Vec<f32>, Error> {
        let wrong = |problem: String| Error::format(&self.path, format!("variable `{name}` {problem}"));
        let Some((tensor, storage)) = self.tensors.get(name) else {
            return Err(wrong("is missing".to_owned()));
        };
        let item = storage.of.size();
        if let Type::Other(of, _) = storage.of {
            return Err(wrong(format!(
                "is {of}; only float32, bfloat16 and float16 can be read"
            )));
        }
        let bytes = storage.elements.checked_mul(item);
        let span = span(tensor).filter(|end| *end <= storage.elements);
        let (Some(bytes), Some(_)) = (bytes, span) else {
            return Err(wrong(format!(
                "lies outside of its storage: shape {:?}, strides {:?}, from {} of {} on; the file is damaged, take another copy",
                tensor.shape, tensor.strides, tensor.offset, storage.elements
            )));
        };
        let stored = self.storages.read(&storage.key, bytes).map_err(wrong)?;
        Ok(gather(tensor, &floats(&stored, storage.of)))
    }
}

/// One more than the last element that a tensor has in its storage; `None` where that is no number.
fn span(tensor: &Tensor) -> Option<u64> {
    if tensor.shape.contains(&0) {
        return Some(tensor.offset);
    }
    let mut dimensions = tensor.shape.iter().zip(&tensor.strides);
    let last = dimensions.try_fold(tensor.offset, |last, (size, stride)| {
        last.checked_add((size - 1).checked_mul(*stride)?)
    });
    last?.checked_add(1)
}

fn floats(bytes: &[u8], of: Type) -> Vec<f32> {
    let (pairs, _) = bytes.as_chunks::<2>();
    let (quads, _) = bytes.as_chunks::<4>();
    match of {
        Type::F32 => quads.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        Type::F16 => pairs.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect(),
        Type::Bf16 => pairs.iter().map(|b| half::bf16::from_le_bytes(*b).to_f32()).collect(),
        Type::Other(..) => Vec::new(),
    }
}

/// A tensor's elements in order; within `stored`, as [`span`] says.
fn gather(tensor: &Tensor, stored: &[f32]) -> Vec<f32> {
    if tensor.shape.contains(&0) {
        return Vec::new();
    }
    let mut starts = vec![tensor.offset as usize];
    let dimensions: Vec<(u64, u64)> = tensor
        .shape
        .iter()
        .copied()
        .zip(tensor.strides.iter().copied())
        .collect();
    let Some((&(columns, step), outer)) = dimensions.split_last() else {
        return vec![stored[starts[0]]];
    };
    for &(size, stride) in outer {
        let offsets = (0..size as usize).map(|i| i * stride as usize);
        let from = |start: &usize| {
            let start = *start;
            offsets.clone().map(move |offset| start + offset)
        };
        starts = starts.iter().flat_map(from).collect();
    }
    let mut values = Vec::with_capacity(starts.len() * columns as usize);
    for start in starts {
        match step {
            1 => values.extend_from_slice(&stored[start..start + columns as usize]),
            _ => values.extend((0..columns as usize).map(|i| stored[start + i * step as usize])),
        }
    }
    values
}

impl Storages {
    fn read(&mut self, key: &str, bytes: u64) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        match self {
            Storages::Zip {
                archive,
                folder,
                length,
            } => {
                let name = format!("{folder}/data/{key}");
                let entry = stored(archive, &name, *length)?;
                if entry.size() < bytes {
                    return Err(format!("needs {bytes} bytes of {name}, which has {}", entry.size()));
                }
                // All of it, so that its checksum is compared.
                read_all(entry, &name, &mut out)?;
            }
            Storages::Old { file, places } => {
                let place = places.get(key).copied();
                let (start, length) = place.ok_or_else(|| format!("is of storage {key}, which is not there"))?;
                let mut read = || {
                    file.seek(SeekFrom::Start(start))?;
                    file.by_ref().take(bytes.min(length)).read_to_end(&mut out)
                };
                read().map_err(|error| format!("cannot be read: {error}"))?;
            }
        }
        match out.len() as u64 >= bytes {
            true => Ok(out),
            false => Err(format!(
                "needs {bytes} bytes of storage {key}, which has {}; it was cut",
                out.len()
            )),
        }
    }
}

type Tensors = BTreeMap<String, (Tensor, Storage)>;

/// A file of an archive of `length` bytes, where it is stored as it is.
fn stored<'z>(archive: &'z mut ZipArchive<File>, name: &str, length: u64) -> Result<ZipFile<'z, File>, String> {
    let compressed = || format!("has {name} compressed, which torch.save does not do; take another copy");
    let entry = archive.by_name(name).map_err(|error| match error {
        ZipError::FileNotFound => format!("has no {name}; it was cut or is no file of weights, take another copy"),
        error => format!("{name}: {error}; it is damaged, take another copy"),
    })?;
    // Before anything is reserved for it.
    if entry.size() > length {
        let size = entry.size();
        return Err(format!(
            "says that {name} has {size} bytes, more than the file; it is damaged, take another copy"
        ));
    }
    match entry.compression() == CompressionMethod::Stored && entry.size() == entry.compressed_size() {
        true => Ok(entry),
        false => Err(compressed()),
    }
}

fn read_all(mut from: impl Read, name: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let read = from.read_to_end(out);
    read.map_err(|error| format!("has {name} damaged ({error}); take another copy"))?;
    Ok(())
}

fn open_zip(file: File, length: u64) -> Result<(Storages, Tensors), String> {
    let damaged = |error: ZipError| format!("is a damaged or cut zip ({error}); take another copy");
    let mut archive = ZipArchive::new(file).map_err(damaged)?;
    let pickles = archive.file_names().filter_map(|name| {
        let name = name.ok()?;
        name.strip_suffix("/data.pkl").map(str::to_owned)
    });
    let folders: Vec<String> = pickles.collect();
    let [folder] = &folders[..] else {
        let problem = match folders.is_empty() {
            true => "is a zip, but none that torch.save wrote: it has no data.pkl",
            false => "has several data.pkl, and torch.save writes one",
        };
        return Err(format!("{problem}; take another copy"));
    };
    let folder = folder.clone();
    let order = format!("{folder}/byteorder");
    if archive.index_for_name(&order).is_some() {
        let mut bytes = Vec::new();
        read_all(stored(&mut archive, &order, length)?.take(16), &order, &mut bytes)?;
        if bytes != b"little" {
            return Err("was written by a machine with the highest byte first; save it on another one".to_owned());
        }
    }
    let name = format!("{folder}/data.pkl");
    let entry = stored(&mut archive, &name, length)?;
    if entry.size() > pickle::MOST as u64 {
        return Err(format!(
            "has a pickle of {} bytes; {} at most",
            entry.size(),
            pickle::MOST
        ));
    }
    let mut bytes = Vec::new();
    read_all(entry, &name, &mut bytes)?;
    let (made, value, _) = pickle::read(&bytes)?;
    let tensors = by_name(&made, value)?;
    Ok((
        Storages::Zip {
            archive,
            folder,
            length,
        },
        tensors,
    ))
}

/// Pickles of the magic number, a version, the system, the tensors, the storages' keys; then each storage, its number
/// of values before it.
fn open_old(mut file: File, length: u64) -> Result<(Storages, Tensors), String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let mut bytes = Vec::new();
    file.rewind().map_err(unreadable)?;
    file.by_ref()
        .take(pickle::MOST as u64)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    let mut at = OLD.len();
    let mut next = || {
        let (made, value, length) = pickle::read(&bytes[at..])?;
        at += length;
        Ok::<_, String>((made, value))
    };
    if next()?.1 != Value::Int(1001) {
        return Err("is of a version that PyTorch does not write; take another copy".to_owned());
    }
    let (system, value) = next()?;
    let is_little = (Value::Text("little_endian"), Value::Bool(true));
    if !system.dict(value).unwrap_or_default().contains(&is_little) {
        return Err("was written by a machine with the highest byte first; save it on another one".to_owned());
    }
    let (made, value) = next()?;
    let tensors = by_name(&made, value)?;
    let (keys, value) = next()?;
    let keys = keys
        .list(value)
        .ok_or("does not list its storages; take another copy")?;
    let sizes: HashMap<&str, u64> = made.storages.iter().map(|s| (&s.key[..], s.of.size())).collect();
    let mut places = HashMap::new();
    let mut place = at as u64;
    for key in keys {
        let Value::Text(key) = key else {
            return Err("does not list its storages; take another copy".to_owned());
        };
        let mut count = [0; 8];
        file.seek(SeekFrom::Start(place)).map_err(unreadable)?;
        file.read_exact(&mut count)
            .map_err(|_| format!("ends before storage {key}; it was cut, take another copy"))?;
        let size = sizes
            .get(key)
            .and_then(|size| size.checked_mul(u64::from_le_bytes(count)));
        let start = place + 8;
        let size = size.filter(|size| start.checked_add(*size).is_some_and(|end| end <= length));
        let size = size.ok_or_else(|| format!("ends within storage {key}; it was cut, take another copy"))?;
        places.insert((*key).to_owned(), (start, size));
        place = start + size;
    }
    Ok((Storages::Old { file, places }, tensors))
}

/// The tensors of a dictionary.
fn by_name(made: &Pickle<'_>, value: Value<'_>) -> Result<Tensors, String> {
    let pairs = made
        .dict(value)
        .ok_or("holds no tensors by name; give the weights alone, as `save_pretrained` writes them")?;
    let mut tensors = Tensors::new();
    for (name, value) in pairs {
        let Value::Text(name) = name else {
            return Err(
                "has a tensor without a name; give the weights alone, as `save_pretrained` writes them".to_owned(),
            );
        };
        let Value::Tensor(number) = value else {
            return Err(format!(
                "has `{}`, which is no tensor; give the weights alone, as `save_pretrained` writes them",
                name.escape_debug()
            ));
        };
        let tensor = made.tensors[*number].clone();
        let storage = made.storages[tensor.storage].clone();
        if tensors.insert((*name).to_owned(), (tensor, storage)).is_some() {
            return Err(format!("has `{}` twice; take another copy", name.escape_debug()));
        }
    }
    Ok(tensors)
}

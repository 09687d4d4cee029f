//! `pytorch_model.bin`: read as its tensors say, whatever else is in it. Files are made here, in the form of
//! `torch.save`; the proof with PyTorch's own is `benches/import.sh`. (Above 500 lines: what is refused is listed here,
//! and how such files are written.)

use crate::common::program::{Place, refused, said};
use crate::common::{floats, golden, ids, one_example_a_row, relative, shifted};
use half::{bf16, f16};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use safetensors::tensor::SafeTensors;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use t5_trainer::Batch;
use t5_trainer::internals::huggingface;

/// A tensor to be saved: a view of a storage.
#[derive(Clone)]
struct Saved {
    name: String,
    storage: &'static str,
    key: String,
    elements: i64,
    offset: i64,
    shape: Vec<i64>,
    strides: Vec<i64>,
}

fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

/// BININT, or LONG1 where that is too small.
fn int(number: i64) -> Vec<u8> {
    match i32::try_from(number) {
        Ok(number) => [b"J", &number.to_le_bytes()[..]].concat(),
        Err(_) => [&[0x8a, 8][..], &number.to_le_bytes()].concat(),
    }
}

fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

fn tuple(parts: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let parts: Vec<u8> = parts.into_iter().flatten().collect();
    [b"(", &parts[..], b"t"].concat()
}

fn ordered_dict() -> Vec<u8> {
    [&global("collections", "OrderedDict")[..], b")R"].concat()
}

/// The pickle of a storage, in older files with a view behind.
fn storage(saved: &Saved, more: &[u8]) -> Vec<u8> {
    let parts = [
        text("storage"),
        global("torch", saved.storage),
        text(&saved.key),
        text("cpu"),
        int(saved.elements),
        more.to_vec(),
    ];
    [&tuple(parts)[..], b"Q"].concat()
}

fn tensor(saved: &Saved, more: &[u8]) -> Vec<u8> {
    let sizes = |sizes: &[i64]| tuple(sizes.iter().map(|size| int(*size)));
    let arguments = tuple([
        storage(saved, more),
        int(saved.offset),
        sizes(&saved.shape),
        sizes(&saved.strides),
        vec![0x89],
        ordered_dict(),
    ]);
    [&global("torch._utils", "_rebuild_tensor_v2")[..], &arguments, b"R"].concat()
}

/// How a pickle is refused that no version of PyTorch writes.
const DAMAGED: &str = "damaged, take another copy";

/// A whole pickle of tensors by name, as `torch.save(model.state_dict())` writes it: attributes of modules at its end.
fn state_dict(tensors: &[Saved], more: &[u8]) -> Vec<u8> {
    let items: Vec<u8> = tensors
        .iter()
        .flat_map(|saved| [text(&saved.name), tensor(saved, more)].concat())
        .collect();
    let metadata = [&b"}"[..], &text("_metadata"), &ordered_dict(), b"sb"].concat();
    [b"\x80\x02", &ordered_dict()[..], b"q\0(", &items, b"u", &metadata, b"."].concat()
}

/// A zip of files as they are.
fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in files {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        let size = (bytes.len() as u32).to_le_bytes();
        let common = [
            &[20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0][..],
            &crc.sum().to_le_bytes(),
            &size,
            &size,
            &(name.len() as u16).to_le_bytes(),
            &[0, 0],
        ]
        .concat();
        let at = (out.len() as u32).to_le_bytes();
        directory.extend([b"PK\x01\x02\x14\0", &common[..], &[0; 10], &at, name.as_bytes()].concat());
        out.extend([b"PK\x03\x04", &common[..], name.as_bytes(), bytes].concat());
    }
    let count = (files.len() as u16).to_le_bytes();
    let (size, at) = ((directory.len() as u32).to_le_bytes(), (out.len() as u32).to_le_bytes());
    let end = [b"PK\x05\x06\0\0\0\0", &count[..], &count, &size, &at, &[0, 0]].concat();
    [out, directory, end].concat()
}

/// A file of `torch.save`: the pickle, and each storage's bytes.
fn saved_file(pickle: &[u8], storages: &[(String, Vec<u8>)]) -> Vec<u8> {
    let names: Vec<String> = storages.iter().map(|(key, _)| format!("archive/data/{key}")).collect();
    let mut files: Vec<(&str, &[u8])> = vec![("archive/data.pkl", pickle), ("archive/byteorder", b"little")];
    files.extend(
        names
            .iter()
            .map(|name| &name[..])
            .zip(storages.iter().map(|(_, bytes)| &bytes[..])),
    );
    files.push(("archive/version", b"3\n"));
    zip(&files)
}

/// A file as PyTorch wrote it before version 1.6.
fn old_file(tensors: &[Saved], storages: &[(String, Vec<u8>)]) -> Vec<u8> {
    let little = [&b"\x80\x02}"[..], &text("little_endian"), b"\x88s."].concat();
    let mut file = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.".to_vec();
    file.extend(little);
    file.extend(state_dict(tensors, b"N"));
    let keys: Vec<u8> = storages.iter().flat_map(|(key, _)| text(key)).collect();
    file.extend([b"\x80\x02](", &keys[..], b"e."].concat());
    for (key, bytes) in storages {
        let of = tensors.iter().find(|saved| saved.key == *key).unwrap();
        file.extend(of.elements.to_le_bytes());
        file.extend(bytes);
    }
    file
}

/// Name, shape, values.
type Named = (String, Vec<usize>, Vec<f32>);

/// All tensors of a folder's model.safetensors.
fn tensors(folder: &str) -> Vec<Named> {
    let bytes = fs::read(Path::new(folder).join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors().into_iter();
    let of = |(name, tensor): (String, safetensors::tensor::TensorView<'_>)| {
        let values = tensor.data().as_chunks().0.iter().map(|quad| f32::from_le_bytes(*quad));
        (name, tensor.shape().to_vec(), values.collect())
    };
    let mut tensors: Vec<_> = tensors.map(of).collect();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    tensors
}

/// How values are stored.
#[derive(Clone, Copy, PartialEq, Debug)]
enum As {
    F32,
    F16,
    Bf16,
}

impl As {
    fn name(self) -> &'static str {
        match self {
            As::F32 => "FloatStorage",
            As::F16 => "HalfStorage",
            As::Bf16 => "BFloat16Storage",
        }
    }

    fn bytes(self, value: f32) -> Vec<u8> {
        match self {
            As::F32 => value.to_le_bytes().to_vec(),
            As::F16 => f16::from_f32(value).to_le_bytes().to_vec(),
            As::Bf16 => bf16::from_f32(value).to_le_bytes().to_vec(),
        }
    }

    fn rounded(self, value: f32) -> f32 {
        match self {
            As::F32 => value,
            As::F16 => f16::from_f32(value).to_f32(),
            As::Bf16 => bf16::from_f32(value).to_f32(),
        }
    }
}

/// A model's tensors as a state dictionary has them: the embedding by all its names in one storage, matrices of the
/// decoder turned, norms behind one another in one storage.
fn state(tensors: &[Named], of: As) -> (Vec<Saved>, Vec<(String, Vec<u8>)>) {
    let (mut saved, mut storages) = (Vec::new(), Vec::new());
    let mut norms = Vec::new();
    for (name, shape, values) in tensors {
        let shape: Vec<i64> = shape.iter().map(|size| *size as i64).collect();
        let key = match shape.len() {
            1 => "norms".to_owned(),
            _ => storages.len().to_string(),
        };
        let mut one = Saved {
            name: name.clone(),
            storage: of.name(),
            key: key.clone(),
            elements: values.len() as i64,
            offset: 0,
            strides: shape.iter().skip(1).copied().chain([1]).collect(),
            shape,
        };
        match one.shape[..] {
            [_] => {
                one.offset = norms.len() as i64;
                norms.extend(values.iter().copied());
            }
            [rows, columns] if name.starts_with("decoder.block.0") => {
                one.strides = vec![1, rows];
                let turned = (0..columns).flat_map(|column| (0..rows).map(move |row| row * columns + column));
                let bytes = turned.flat_map(|at| of.bytes(values[at as usize]));
                storages.push((key, bytes.collect()));
            }
            _ => storages.push((key, values.iter().flat_map(|value| of.bytes(*value)).collect())),
        }
        if name == "shared.weight" {
            for other in ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"] {
                saved.push(Saved {
                    name: other.to_owned(),
                    ..one.clone()
                });
            }
        }
        saved.push(one);
    }
    let elements = norms.len() as i64;
    for norm in saved.iter_mut().filter(|saved| saved.key == "norms") {
        norm.elements = elements;
    }
    storages.push((
        "norms".to_owned(),
        norms.iter().flat_map(|value| of.bytes(*value)).collect(),
    ));
    (saved, storages)
}

/// An exported folder of a small model, its weights moved out.
fn place() -> (Place, String, Vec<Named>) {
    let place = Place::new();
    let (run, folder) = (place.path("trained"), place.path("folder"));
    said(&place.begin(&run, &["--steps", "2"]));
    said(&["export", &run, "-o", &folder]);
    let tensors = tensors(&folder);
    fs::remove_file(Path::new(&folder).join("model.safetensors")).unwrap();
    (place, folder, tensors)
}

fn values(folder: &str) -> Result<Vec<f32>, String> {
    let model = huggingface::load(Path::new(folder));
    model
        .map(|model| model.parameters().to_vec())
        .map_err(|error| error.to_string())
}

/// Models of transformers as `torch.save` wrote them, before and after PyTorch 1.6, with their logits
/// (`tests/golden/README.md`).
#[test]
fn transformers_umt5_and_mt5_have_their_logits() {
    for name in ["hf_umt5", "hf_mt5"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
        let case = golden(&format!("{name}/case.json"));
        let mut model = huggingface::load(&folder).unwrap();
        let targets = one_example_a_row(6, ids(&case["targets"]));
        let batch = Batch {
            rows: 2,
            inputs: one_example_a_row(24, ids(&case["inputs"])),
            decoder_inputs: shifted(&targets),
            targets,
        };
        let away = relative(&model.logits(&batch).unwrap(), &floats(&case["logits"]));
        assert!(away < 1e-5, "{name}: {away:e}");
        // Each layer's table is read: another one, other logits.
        let table = "decoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight";
        let variable = model.layout().variable(table).map(|variable| variable.range.clone());
        assert_eq!(variable.is_some(), name == "hf_umt5");
        if let Some(range) = variable {
            model.parameters_mut()[range].fill(0.0);
            let away = relative(&model.logits(&batch).unwrap(), &floats(&case["logits"]));
            assert!(away > 1e-4, "{away:e}");
        }
    }
}

#[test]
fn the_values_of_a_pytorch_model_bin_are_those_of_safetensors() {
    let (place, folder, tensors) = place();
    let trained = huggingface::load(Path::new(&{
        let again = place.path("again");
        said(&["export", &place.path("trained"), "-o", &again]);
        again
    }));
    let wanted = trained.unwrap().parameters().to_vec();
    let file = Path::new(&folder).join("pytorch_model.bin");
    for of in [As::F32, As::F16, As::Bf16] {
        let wanted: Vec<f32> = wanted.iter().map(|value| of.rounded(*value)).collect();
        let (saved, storages) = state(&tensors, of);
        fs::write(&file, saved_file(&state_dict(&saved, b""), &storages)).unwrap();
        assert!(values(&folder).unwrap() == wanted, "{of:?}");
        fs::write(&file, old_file(&saved, &storages)).unwrap();
        assert!(values(&folder).unwrap() == wanted, "{of:?}, before 1.6");
    }
    // In several files, by an index; and as a run that is trained further.
    fs::remove_file(&file).unwrap();
    let (saved, storages) = state(&tensors, As::F32);
    let mut map = serde_json::Map::new();
    for (number, part) in saved.chunks(saved.len().div_ceil(3)).enumerate() {
        let name = format!("pytorch_model-{:05}-of-00003.bin", number + 1);
        fs::write(
            Path::new(&folder).join(&name),
            saved_file(&state_dict(part, b""), &storages),
        )
        .unwrap();
        map.extend(part.iter().map(|saved| (saved.name.clone(), name.clone().into())));
    }
    let index = serde_json::json!({"metadata": {}, "weight_map": map});
    fs::write(
        Path::new(&folder).join("pytorch_model.bin.index.json"),
        index.to_string(),
    )
    .unwrap();
    assert!(values(&folder).unwrap() == wanted);
    let run = place.path("imported");
    said(&[
        "import",
        &folder,
        "-o",
        &run,
        "--set",
        "feed.objective.inputs_length=64",
    ]);
    said(&["eval", &run, "--corpus", &place.corpus, "--batches", "1", "-t", "1"]);
    // A part that is missing is named, and so is one that is no file of the folder.
    fs::remove_file(Path::new(&folder).join("pytorch_model-00002-of-00003.bin")).unwrap();
    let out = place.path("out");
    refused(
        &["import", &folder, "-o", &out],
        &[
            "pytorch_model-00002-of-00003.bin: missing",
            "3 files",
            "index.json names",
            "1 of them",
        ],
    );
    let outside = index
        .to_string()
        .replace("pytorch_model-00002", "../pytorch_model-00002");
    fs::write(Path::new(&folder).join("pytorch_model.bin.index.json"), outside).unwrap();
    refused(
        &["import", &folder, "-o", &out],
        &["no file of this folder", "../pytorch_model"],
    );
    fs::remove_file(Path::new(&folder).join("pytorch_model.bin.index.json")).unwrap();
    refused(
        &["import", &folder, "-o", &out],
        &["model.safetensors: missing", "pytorch_model-00001-of-00003.bin"],
    );
    assert!(!Path::new(&out).exists());
}

/// The pickle `program` in place of a state dictionary.
fn with_pickle(program: &[u8]) -> Vec<u8> {
    saved_file(&[b"\x80\x02", program, b"."].concat(), &[])
}

#[test]
fn nothing_but_tensors_comes_out_of_a_pickle() {
    let (place, folder, tensors) = place();
    let file = Path::new(&folder).join("pytorch_model.bin");
    let (saved, storages) = state(&tensors, As::F32);
    let pickle = state_dict(&saved, b"");
    let marker = place.path("marker");
    let command = format!("touch {marker}");
    let call = |module: &str, name: &str| [&global(module, name)[..], &tuple([text(&command)]), b"R"].concat();
    let changed = |change: &dyn Fn(&mut Saved)| {
        let mut saved = saved.clone();
        change(&mut saved[0]);
        saved_file(&state_dict(&saved, b""), &storages)
    };
    let in_dict = |value: &[u8]| with_pickle(&[b"}", &text("shared.weight")[..], value, b"s"].concat());
    let short_text = |text: &str| [&[0x8c, text.len() as u8][..], text.as_bytes()].concat();
    let stack_global = [short_text("os"), short_text("system"), vec![0x93]].concat();
    let instance = b"(X\x04\0\0\0trueiposix\nsystem\n".to_vec();
    // Each level twice the one before: 2^60 values if it were followed.
    let mut bomb = b")".to_vec();
    (0..60).for_each(|_| bomb.extend(b"q\0h\0h\0\x87"));
    let mut copied = b"]q\0".to_vec();
    (0..60).for_each(|_| copied.extend(b"(h\0h\0e"));
    let deep = [b")", &b"\x85".repeat(1_000_000)[..]].concat();
    let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
        (
            "system",
            with_pickle(&call("posix", "system")),
            &["`posix.system`", "trust"],
        ),
        ("eval", with_pickle(&call("builtins", "eval")), &["`builtins.eval`"]),
        ("in a dictionary", in_dict(&call("os", "system")), &["`os.system`"]),
        ("by the stack", with_pickle(&stack_global), &["`os.system`"]),
        (
            "torch's own",
            with_pickle(&call("torch.hub", "load")),
            &["`torch.hub.load`"],
        ),
        (
            "no storage of torch",
            with_pickle(&call("torch", "load")),
            &["`torch.load`"],
        ),
        ("INST", with_pickle(&instance), &["opcode INST", "may run code"]),
        ("OBJ", with_pickle(b"(o"), &["opcode OBJ"]),
        ("NEWOBJ", with_pickle(b"))\x81"), &["opcode NEWOBJ"]),
        ("EXT1", with_pickle(b"\x82\x01"), &["opcode EXT"]),
        ("PERSID", with_pickle(b"Pstorage\n"), &["opcode PERSID"]),
        ("an old opcode", with_pickle(b"I1\n"), &["opcode 0x49"]),
        ("protocol 9", saved_file(b"\x80\x09N.", &[]), &["protocol 9"]),
        ("a bomb of tuples", with_pickle(&bomb), &["no tensors by name"]),
        ("a bomb of lists", with_pickle(&copied), &["no tensors by name"]),
        ("depth", with_pickle(&deep), &["no tensors by name"]),
        (
            "a far place",
            with_pickle(b"Nr\xff\xff\xff\xffj\xff\xff\xff\xff"),
            &["no tensors by name"],
        ),
        ("a place of nothing", with_pickle(b"h\x07"), &[DAMAGED]),
        (
            "a long text",
            with_pickle(b"X\xff\xff\xff\xffabc"),
            &["ends within its pickle"],
        ),
        (
            "a long number",
            with_pickle(&[&b"\x8a\xff"[..], &[1; 255]].concat()),
            &["more than 64 bits"],
        ),
        ("nothing", with_pickle(b""), &[DAMAGED]),
        ("an end without a mark", with_pickle(b"Nt"), &[DAMAGED]),
        ("below a mark", with_pickle(b"N(\x85"), &[DAMAGED]),
        ("an odd dictionary", with_pickle(b"}(Nu"), &[DAMAGED]),
        (
            "a call of a text",
            with_pickle(&[&text("x")[..], b")R"].concat()),
            &[DAMAGED],
        ),
        (
            "a call with other arguments",
            with_pickle(&call("collections", "OrderedDict")),
            &["OrderedDict"],
        ),
        ("attributes", with_pickle(b"]Nb"), &["no dictionary"]),
        ("a reference to a number", with_pickle(b"K\x01Q"), &["no storage"]),
        ("a number", in_dict(b"K\x07"), &["`shared.weight`, which is no tensor"]),
        ("no name", with_pickle(b"}K\x01K\x02s"), &["without a name"]),
        ("a long pickle", with_pickle(&b"N".repeat(9 << 20)), &["at most"]),
        (
            "twice",
            saved_file(&state_dict(&[saved.clone(), saved.clone()].concat(), b""), &storages),
            &["twice"],
        ),
        (
            "beyond the end",
            changed(&|one| one.offset = 1),
            &["outside of its storage", "take another copy"],
        ),
        (
            "far beyond",
            changed(&|one| one.offset = i64::MAX),
            &["outside of its storage"],
        ),
        (
            "wide strides",
            changed(&|one| one.strides = vec![i64::MAX; one.shape.len()]),
            &["outside of its storage"],
        ),
        ("before the start", changed(&|one| one.offset = -1), &[DAMAGED]),
        ("strides back", changed(&|one| one.strides[0] = -1), &[DAMAGED]),
        ("more strides", changed(&|one| one.strides.push(1)), &[DAMAGED]),
        (
            "a huge shape",
            changed(&|one| one.shape = vec![1 << 40, 1 << 40]),
            &["by config.json it should be"],
        ),
        (
            "another shape",
            changed(&|one| one.shape[0] += 1),
            &["by config.json it should be"],
        ),
        (
            "a huge storage",
            changed(&|one| one.elements = 1 << 61),
            &["needs 9223372036854775808 bytes of archive/data/0, which has"],
        ),
        (
            "more than there is",
            changed(&|one| one.elements += 1),
            &["needs", "bytes of archive/data/"],
        ),
        (
            "no such storage",
            changed(&|one| one.key = "77".to_owned()),
            &["has no archive/data/77"],
        ),
        (
            "a storage elsewhere",
            changed(&|one| one.key = "../../x".to_owned()),
            &["has no archive/data/../../x"],
        ),
        (
            "float64",
            changed(&|one| one.storage = "DoubleStorage"),
            &["float64", "float32"],
        ),
        (
            "a view",
            saved_file(&state_dict(&saved, &tuple([int(0)])), &storages),
            &["view of a storage"],
        ),
        ("no pickle", zip(&[("archive/version", b"3")]), &["no data.pkl"]),
        (
            "two pickles",
            zip(&[("a/data.pkl", &pickle), ("b/data.pkl", &pickle)]),
            &["several data.pkl"],
        ),
        (
            "big end",
            zip(&[("a/data.pkl", &pickle), ("a/byteorder", b"big")]),
            &["highest byte first"],
        ),
        (
            "text",
            b"version https://git-lfs.github.com/spec/v1\n".to_vec(),
            &["no file that torch.save wrote"],
        ),
        ("empty", Vec::new(), &["no file that torch.save wrote"]),
    ];
    for (name, bytes, words) in cases {
        fs::write(&file, bytes).unwrap();
        let started = Instant::now();
        let error = values(&folder).unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(20), "{name}");
        for word in words {
            assert!(error.contains(word), "{name}: {word} in {error}");
        }
        assert!(
            error.contains("pytorch_model.bin: ") && error.lines().count() == 1,
            "{name}: {error}"
        );
    }
    assert!(!Path::new(&marker).exists());
    // As the program says it.
    fs::write(&file, with_pickle(&call("posix", "system"))).unwrap();
    let out = place.path("out");
    refused(
        &["import", &folder, "-o", &out],
        &["pytorch_model.bin", "`posix.system`"],
    );
    assert!(!Path::new(&out).exists());

    // A compressed file, a size that is none, and a file with a byte changed.
    let good = saved_file(&pickle, &storages);
    fs::write(&file, &good).unwrap();
    values(&folder).unwrap();
    let directory = memchr::memmem::find(&good, b"PK\x01\x02").unwrap();
    for (at, bytes, words) in [
        (10, &[8, 0][..], &["compressed"][..]),
        (20, &[0xff, 0xff, 0xff, 0x7f], &["take another copy"]),
        (24, &[0xff, 0xff, 0xff, 0x7f], &["take another copy"]),
    ] {
        let mut changed = good.clone();
        changed[directory + at..directory + at + bytes.len()].copy_from_slice(bytes);
        fs::write(&file, changed).unwrap();
        let error = values(&folder).unwrap_err();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
    let mut changed = good.clone();
    // Within the last storage; what is behind it is short.
    changed[directory - 300] ^= 1;
    fs::write(&file, changed).unwrap();
    let error = values(&folder).unwrap_err();
    assert!(error.contains("has archive/data/norms damaged"), "{error}");
}

/// Whatever becomes of a file, it is read or refused.
#[test]
fn cut_and_changed_files_do_no_harm() {
    let (_place, folder, tensors) = place();
    let file = Path::new(&folder).join("pytorch_model.bin");
    let (saved, storages) = state(&tensors, As::Bf16);
    let mut random = ChaCha8Rng::seed_from_u64(5);
    for (name, good) in [
        ("zip", saved_file(&state_dict(&saved, b""), &storages)),
        ("old", old_file(&saved, &storages)),
    ] {
        fs::write(&file, &good).unwrap();
        values(&folder).unwrap();
        // All within the pickle, some behind.
        let cuts = (0..good.len()).step_by(good.len() / 150);
        for cut in (0..60).chain(cuts).chain([good.len() - 1]) {
            fs::write(&file, &good[..cut]).unwrap();
            let error = values(&folder).unwrap_err();
            assert!(error.contains("pytorch_model.bin"), "{name} {cut}: {error}");
        }
        let pickle = good.len().min(20_000);
        let mut refused = 0;
        for _ in 0..1500 {
            let mut changed = good.clone();
            for _ in 0..1 + random.next_u32() % 3 {
                changed[random.next_u32() as usize % pickle] = random.next_u32() as u8;
            }
            fs::write(&file, &changed).unwrap();
            refused += usize::from(values(&folder).is_err());
        }
        assert!(refused > 500, "{name}: {refused}");
    }
}

//! The pickles of PyTorch's files of weights, read without running any of their code.
//!
//! A pickle is a program for a machine with a stack; Python's runs whatever functions it names. This one knows a closed
//! list of opcodes and of names, those that `torch.save` writes for tensors by name, and refuses everything else by its
//! name. Values are numbers of entries in lists, so nothing is followed, copied or freed in depth, and memory is in
//! proportion to the pickle.
//!
//! (Above 500 lines with its tests: what each opcode does stands in one place.)
//!
//! Opcodes: `pickletools` of Python's standard library; the functions: `torch/_utils.py`, `torch/serialization.py`.

use std::collections::HashMap;

/// The longest pickle that is read; that of T5-11b has some 100 KB.
pub(super) const MOST: usize = 1 << 22;

/// The type of a storage's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    F32,
    F16,
    Bf16,
    /// One that no weights have here, by PyTorch's name and with its bytes.
    Other(&'static str, u64),
}

impl Type {
    /// Bytes of a value.
    pub fn size(self) -> u64 {
        match self {
            Type::F32 => 4,
            Type::F16 | Type::Bf16 => 2,
            Type::Other(_, size) => size,
        }
    }
}

/// PyTorch's storages.
const STORAGES: [(&str, Type); 11] = [
    ("FloatStorage", Type::F32),
    ("HalfStorage", Type::F16),
    ("BFloat16Storage", Type::Bf16),
    ("DoubleStorage", Type::Other("float64", 8)),
    ("LongStorage", Type::Other("int64", 8)),
    ("IntStorage", Type::Other("int32", 4)),
    ("ShortStorage", Type::Other("int16", 2)),
    ("CharStorage", Type::Other("int8", 1)),
    ("ByteStorage", Type::Other("uint8", 1)),
    ("BoolStorage", Type::Other("bool", 1)),
    ("ComplexFloatStorage", Type::Other("complex64", 8)),
];

/// What tensors share: a part of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Storage {
    pub key: String,
    pub of: Type,
    /// Number of its values.
    pub elements: u64,
}

/// A view of a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tensor {
    /// Which of [`Pickle::storages`].
    pub storage: usize,
    /// The first element.
    pub offset: u64,
    pub shape: Vec<u64>,
    /// From an element to the next, by dimension.
    pub strides: Vec<u64>,
}

/// A function or class that may be named.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Name {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Type),
}

/// A value: small, and compound ones by their number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// A number that nothing here depends on.
    Float,
    Text(&'a str),
    Tuple(usize),
    List(usize),
    Dict(usize),
    Storage(usize),
    Tensor(usize),
    Function(Name),
}

/// What a pickle made.
#[derive(Debug, Default)]
pub(super) struct Pickle<'a> {
    pub storages: Vec<Storage>,
    pub tensors: Vec<Tensor>,
    tuples: Vec<Vec<Value<'a>>>,
    lists: Vec<Vec<Value<'a>>>,
    dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
}

impl<'a> Pickle<'a> {
    /// The values of a list.
    pub fn list(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        match value {
            Value::List(number) => Some(&self.lists[number]),
            _ => None,
        }
    }

    /// The pairs of a dictionary.
    pub fn dict(&self, value: Value<'a>) -> Option<&[(Value<'a>, Value<'a>)]> {
        match value {
            Value::Dict(number) => Some(&self.dicts[number]),
            _ => None,
        }
    }

    fn tuple(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        match value {
            Value::Tuple(number) => Some(&self.tuples[number]),
            _ => None,
        }
    }

    /// A tuple of numbers that are not negative.
    fn sizes(&self, value: Value<'a>) -> Option<Vec<u64>> {
        let sizes = self.tuple(value)?.iter().map(|value| natural(*value));
        sizes.collect()
    }

    fn new_tuple(&mut self, values: Vec<Value<'a>>) -> Value<'a> {
        self.tuples.push(values);
        Value::Tuple(self.tuples.len() - 1)
    }

    fn new_dict(&mut self) -> Value<'a> {
        self.dicts.push(Vec::new());
        Value::Dict(self.dicts.len() - 1)
    }
}

fn natural(value: Value<'_>) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(number).ok(),
        _ => None,
    }
}

/// Runs the pickle at the start of `bytes`; gives what it made, its value, and its length. The error is a sentence
/// about the file.
pub(super) fn read(bytes: &[u8]) -> Result<(Pickle<'_>, Value<'_>, usize), String> {
    let mut machine = Machine {
        bytes,
        at: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        made: Pickle::default(),
    };
    let value = machine.run()?;
    Ok((machine.made, value, machine.at))
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value<'a>>,
    /// Lengths of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    made: Pickle<'a>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Value<'a>, String> {
        loop {
            let opcode = self.take::<1>()?[0];
            match opcode {
                // PROTO, FRAME.
                0x80 => match self.take::<1>()?[0] {
                    2..=5 => {}
                    version => return Err(format!("is a pickle of protocol {version}; 2 to 5 can be read")),
                },
                0x95 => drop(self.take::<8>()?),
                // NONE, NEWTRUE, NEWFALSE, BININT, BININT1, BININT2, LONG1, BINFLOAT.
                b'N' => self.stack.push(Value::None),
                0x88 => self.stack.push(Value::Bool(true)),
                0x89 => self.stack.push(Value::Bool(false)),
                b'J' => {
                    let number = i32::from_le_bytes(self.take()?);
                    self.stack.push(Value::Int(number.into()));
                }
                b'K' => {
                    let number = self.take::<1>()?[0];
                    self.stack.push(Value::Int(number.into()));
                }
                b'M' => {
                    let number = u16::from_le_bytes(self.take()?);
                    self.stack.push(Value::Int(number.into()));
                }
                0x8a => self.long()?,
                b'G' => {
                    self.take::<8>()?;
                    self.stack.push(Value::Float);
                }
                // SHORT_BINSTRING, SHORT_BINUNICODE, BINUNICODE.
                b'U' | 0x8c => {
                    let length = self.take::<1>()?[0];
                    self.text(length.into())?;
                }
                b'X' => {
                    let length = u32::from_le_bytes(self.take()?);
                    self.text(length as usize)?;
                }
                // MARK, EMPTY_TUPLE, TUPLE, TUPLE1 to TUPLE3.
                b'(' => self.marks.push(self.stack.len()),
                b')' => self.tuple(0)?,
                b't' => {
                    let count = self.since_mark()?;
                    self.tuple(count)?;
                }
                0x85..=0x87 => self.tuple(usize::from(opcode) - 0x84)?,
                // EMPTY_LIST, APPEND, APPENDS.
                b']' => {
                    self.made.lists.push(Vec::new());
                    self.stack.push(Value::List(self.made.lists.len() - 1));
                }
                b'a' => self.append(1)?,
                b'e' => {
                    let count = self.since_mark()?;
                    self.append(count)?;
                }
                // EMPTY_DICT, SETITEM, SETITEMS.
                b'}' => {
                    let dict = self.made.new_dict();
                    self.stack.push(dict);
                }
                b's' => self.set(2)?,
                b'u' => {
                    let count = self.since_mark()?;
                    self.set(count)?;
                }
                // BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET.
                b'q' => {
                    let place = self.take::<1>()?[0];
                    self.put(place.into())?;
                }
                b'r' => {
                    let place = u32::from_le_bytes(self.take()?);
                    self.put(place)?;
                }
                0x94 => {
                    let place = u32::try_from(self.memo.len()).unwrap_or(u32::MAX);
                    self.put(place)?;
                }
                b'h' => {
                    let place = self.take::<1>()?[0];
                    self.get(place.into())?;
                }
                b'j' => {
                    let place = u32::from_le_bytes(self.take()?);
                    self.get(place)?;
                }
                // GLOBAL, STACK_GLOBAL.
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.global(module, name)?;
                }
                0x93 => match self.pop_many(2)?[..] {
                    [Value::Text(module), Value::Text(name)] => self.global(module, name)?,
                    _ => return Err(damaged()),
                },
                // BINPERSID, REDUCE, BUILD, STOP.
                b'Q' => self.storage()?,
                b'R' => self.call()?,
                b'b' => self.build()?,
                b'.' => return self.pop(),
                other => return Err(refused(other)),
            }
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let taken = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        let taken = *taken.ok_or_else(cut)?;
        self.at += N;
        Ok(taken)
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(length).ok_or_else(cut)?;
        let taken = self.bytes.get(self.at..end).ok_or_else(cut)?;
        self.at = end;
        Ok(taken)
    }

    fn text(&mut self, length: usize) -> Result<(), String> {
        let text = std::str::from_utf8(self.bytes(length)?).map_err(|_| damaged())?;
        self.stack.push(Value::Text(text));
        Ok(())
    }

    /// A text up to the line's end.
    fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.bytes[self.at..];
        let length = memchr::memchr(b'\n', rest).ok_or_else(cut)?;
        let line = self.bytes(length)?;
        self.at += 1;
        std::str::from_utf8(line).map_err(|_| damaged())
    }

    /// Its bytes, the lowest first, are a number in two's complement.
    fn long(&mut self) -> Result<(), String> {
        let length = self.take::<1>()?[0].into();
        let bytes = self.bytes(length)?;
        let sign = if bytes.last().is_some_and(|byte| *byte >= 0x80) {
            0xff
        } else {
            0
        };
        let mut number = [sign; 8];
        let room = number.get_mut(..length).ok_or("has a number of more than 64 bits")?;
        room.copy_from_slice(bytes);
        self.stack.push(Value::Int(i64::from_le_bytes(number)));
        Ok(())
    }

    /// Values below the last mark are somebody else's.
    fn pop(&mut self) -> Result<Value<'a>, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len() > floor {
            true => self.stack.pop().ok_or_else(damaged),
            false => Err(damaged()),
        }
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Value<'a>>, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let start = self.stack.len().checked_sub(count).filter(|start| *start >= floor);
        Ok(self.stack.split_off(start.ok_or_else(damaged)?))
    }

    /// How many values are above the last mark, which is taken off.
    fn since_mark(&mut self) -> Result<usize, String> {
        let mark = self.marks.pop().ok_or_else(damaged)?;
        self.stack.len().checked_sub(mark).ok_or_else(damaged)
    }

    fn tuple(&mut self, count: usize) -> Result<(), String> {
        let values = self.pop_many(count)?;
        let tuple = self.made.new_tuple(values);
        self.stack.push(tuple);
        Ok(())
    }

    fn append(&mut self, count: usize) -> Result<(), String> {
        let values = self.pop_many(count)?;
        match self.stack.last() {
            Some(Value::List(number)) => self.made.lists[*number].extend(values),
            _ => return Err(damaged()),
        }
        Ok(())
    }

    fn set(&mut self, count: usize) -> Result<(), String> {
        let values = self.pop_many(count)?;
        let (pairs, rest) = values.as_chunks::<2>();
        match self.stack.last() {
            Some(Value::Dict(number)) if rest.is_empty() => {
                self.made.dicts[*number].extend(pairs.iter().map(|pair| (pair[0], pair[1])));
            }
            _ => return Err(damaged()),
        }
        Ok(())
    }

    fn put(&mut self, place: u32) -> Result<(), String> {
        let value = self.stack.last().copied().ok_or_else(damaged)?;
        self.memo.insert(place, value);
        Ok(())
    }

    fn get(&mut self, place: u32) -> Result<(), String> {
        let value = self.memo.get(&place).copied().ok_or_else(damaged)?;
        self.stack.push(value);
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), String> {
        let storage = || {
            let mut all = STORAGES.into_iter();
            all.find(|(storage, _)| *storage == name)
                .map(|(_, of)| Name::Storage(of))
        };
        let found = match (module, name) {
            ("collections", "OrderedDict") => Some(Name::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Name::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Name::RebuildParameter),
            ("torch", _) => storage(),
            _ => None,
        };
        let found = found.ok_or_else(|| {
            format!(
                "names `{module}.{name}`, which weights do not need; Python would run it when the file is opened, so take a copy from a \
                 source that you trust, or one in safetensors"
            )
        })?;
        self.stack.push(Value::Function(found));
        Ok(())
    }

    /// `("storage", type, key, device, elements)`, in older files also a view, which is none.
    fn storage(&mut self) -> Result<(), String> {
        let what = self.pop()?;
        let parts = self.made.tuple(what).unwrap_or_default();
        let (parts, view) = parts.split_at(parts.len().min(5));
        let [
            Value::Text("storage"),
            Value::Function(Name::Storage(of)),
            Value::Text(key),
            Value::Text(_),
            elements,
        ] = *parts
        else {
            return Err(
                "refers to something that is no storage of values; save it again by a newer PyTorch".to_owned(),
            );
        };
        if !matches!(view, [] | [Value::None]) {
            return Err(
                "has a view of a storage, as PyTorch before 0.2 wrote it; save it again by a newer one".to_owned(),
            );
        }
        let elements = natural(elements).ok_or_else(damaged)?;
        self.made.storages.push(Storage {
            key: key.to_owned(),
            of,
            elements,
        });
        self.stack.push(Value::Storage(self.made.storages.len() - 1));
        Ok(())
    }

    fn call(&mut self) -> Result<(), String> {
        let called = self.pop_many(2)?;
        let [Value::Function(name), arguments] = called[..] else {
            return Err(damaged());
        };
        let arguments = self.made.tuple(arguments).ok_or_else(damaged)?.to_vec();
        let made = match (name, &arguments[..]) {
            (Name::OrderedDict, []) => self.made.new_dict(),
            // What follows says whether gradients are wanted, and by whom.
            (Name::RebuildTensor, [Value::Storage(storage), offset, shape, strides, ..]) => {
                let tensor = Tensor {
                    storage: *storage,
                    offset: natural(*offset).ok_or_else(damaged)?,
                    shape: self.made.sizes(*shape).ok_or_else(damaged)?,
                    strides: self.made.sizes(*strides).ok_or_else(damaged)?,
                };
                if tensor.shape.len() != tensor.strides.len() {
                    return Err(damaged());
                }
                self.made.tensors.push(tensor);
                Value::Tensor(self.made.tensors.len() - 1)
            }
            (Name::RebuildParameter, [tensor @ Value::Tensor(_), ..]) => *tensor,
            (name, _) => return Err(format!("calls {name:?} in a way that PyTorch does not write")),
        };
        self.stack.push(made);
        Ok(())
    }

    /// Attributes of a dictionary (versions of modules) say nothing of the values.
    fn build(&mut self) -> Result<(), String> {
        self.pop()?;
        match self.stack.last() {
            Some(Value::Dict(_)) => Ok(()),
            _ => Err("sets attributes of something that is no dictionary".to_owned()),
        }
    }
}

fn cut() -> String {
    "ends within its pickle; it was cut, take another copy".to_owned()
}

fn damaged() -> String {
    "holds a pickle that PyTorch does not write; it is damaged, take another copy".to_owned()
}

fn refused(opcode: u8) -> String {
    let name = match opcode {
        b'i' => "INST",
        b'o' => "OBJ",
        0x81 => "NEWOBJ",
        0x92 => "NEWOBJ_EX",
        0x82..=0x84 => "EXT",
        b'P' => "PERSID",
        _ => return format!("holds a pickle with opcode 0x{opcode:02x}, which weights do not need; take another copy"),
    };
    format!("holds a pickle with opcode {name}, which may run code and which weights do not need; take another copy")
}

//! What a pickle may name and call: the makers of arrays and tensors, each known by what it does.

use super::{Machine, Node, Source, Trust, damaged, refused};
use crate::legacy::array::{Array, Elements};
use crate::legacy::tensor::StorageName;
use crate::legacy::{pickle::Value, stream};
use contract::Result;

/// The names that are understood.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// Makes an empty array.
    Reconstruct,
    /// Makes a number from its bytes.
    Scalar,
    /// Makes an array from its bytes.
    FromBuffer,
    /// The class of arrays.
    NdArray,
    /// The class of element types.
    DType,
    /// Turns Latin-1 text into bytes (Python 2 protocols).
    Encode,
    /// Makes no bytes (Python 2 protocols).
    Bytes,
    /// Makes an empty dictionary.
    OrderedDict,
    /// Makes a tensor from a storage, an offset, a shape and strides.
    RebuildTensor,
    /// Marks a tensor as learned.
    RebuildParameter,
    /// Makes a storage from a file of PyTorch in bytes.
    LoadFromBytes,
    /// A class of storages.
    Storage(Elements),
}

impl Name {
    pub(super) fn of(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Self::Reconstruct,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Self::Scalar,
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Self::FromBuffer,
            ("numpy", "ndarray") => Self::NdArray,
            ("numpy", "dtype") => Self::DType,
            ("_codecs", "encode") => Self::Encode,
            ("builtins" | "__builtin__", "bytes") => Self::Bytes,
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch.storage", "_load_from_bytes") => Self::LoadFromBytes,
            ("torch", "DoubleStorage") => Self::Storage(Elements::Float(8)),
            ("torch", "FloatStorage") => Self::Storage(Elements::Float(4)),
            ("torch", "HalfStorage") => Self::Storage(Elements::Float(2)),
            ("torch", "LongStorage") => Self::Storage(Elements::Signed(8)),
            ("torch", "IntStorage") => Self::Storage(Elements::Signed(4)),
            ("torch", "ShortStorage") => Self::Storage(Elements::Signed(2)),
            ("torch", "CharStorage") => Self::Storage(Elements::Signed(1)),
            ("torch", "ByteStorage" | "BoolStorage") => Self::Storage(Elements::Unsigned(1)),
            _ => return None,
        })
    }
}

impl Machine<'_> {
    pub(super) fn global(&mut self, module: &str, name: &str) -> Result<()> {
        let known = Name::of(module, name).ok_or_else(|| refused(&format!("asks for `{module}.{name}`")))?;
        self.push(Node::Name(known));
        Ok(())
    }

    pub(super) fn pop_text(&mut self) -> Result<String> {
        let node = self.pop()?;
        self.text_of(node)
    }

    /// Text, also where Python 2 wrote bytes.
    fn text_of(&self, node: usize) -> Result<String> {
        match &self.nodes[node] {
            Node::Text(text) => Ok(text.clone()),
            Node::Slice(range) => {
                std::str::from_utf8(&self.bytes[range.clone()]).map(str::to_owned).map_err(|_| damaged("bytes stand where a text belongs"))
            }
            _ => Err(damaged("a text is missing")),
        }
    }

    fn tuple_of(&self, node: usize) -> Result<&[usize]> {
        match &self.nodes[node] {
            Node::Tuple(items) => Ok(items),
            _ => Err(damaged("a tuple is missing")),
        }
    }

    /// A whole number that is not negative.
    fn count_of(&self, node: usize, what: &str) -> Result<usize> {
        match self.nodes[node] {
            Node::Int(number) => usize::try_from(number).map_err(|_| damaged(&format!("{what} is negative"))),
            _ => Err(damaged(&format!("{what} is no number"))),
        }
    }

    fn counts_of(&self, node: usize, what: &str) -> Result<Vec<usize>> {
        self.tuple_of(node)?.iter().map(|item| self.count_of(*item, what)).collect()
    }

    fn shape_of(&self, node: usize) -> Result<Vec<usize>> {
        self.counts_of(node, "an array's axis")
    }

    fn dtype_of(&self, node: usize) -> Result<(Elements, bool)> {
        match self.nodes[node] {
            Node::DType { elements, big_endian } => Ok((elements, big_endian)),
            _ => Err(damaged("an array's type is missing")),
        }
    }

    pub(super) fn data_of(&self, node: usize) -> Result<&[u8]> {
        match &self.nodes[node] {
            Node::Slice(range) => Ok(&self.bytes[range.clone()]),
            Node::Bytes(bytes) => Ok(bytes),
            _ => Err(refused("holds an array of objects")),
        }
    }

    /// The call of a name: only those that make arrays, tensors, their types and their bytes are known.
    pub(super) fn reduce(&mut self) -> Result<()> {
        let arguments = self.pop()?;
        let callee = self.pop()?;
        let Node::Name(name) = self.nodes[callee] else { return Err(refused("calls what is no name")) };
        let arguments = self.tuple_of(arguments)?.to_vec();
        let node = match (name, arguments.as_slice()) {
            (Name::Reconstruct, [class, ..]) if matches!(self.nodes[*class], Node::Name(Name::NdArray)) => Node::EmptyArray,
            (Name::DType, [code, ..]) => {
                let code = self.text_of(*code)?;
                let (big_endian, plain) = match code.strip_prefix('>') {
                    Some(plain) => (true, plain),
                    None => (false, code.trim_start_matches(['<', '|', '='])),
                };
                let elements = Elements::of_code(plain).ok_or_else(|| refused(&format!("holds an array of type `{code}`")))?;
                Node::DType { elements, big_endian }
            }
            (Name::Scalar, [dtype, data]) => {
                let (elements, big_endian) = self.dtype_of(*dtype)?;
                let array = Array { shape: Vec::new(), elements, big_endian, fortran: false, data: self.data_of(*data)?.to_vec() };
                match array.to_f64()?.first() {
                    Some(number) => Node::Float(*number),
                    None => return Err(damaged("a number is missing")),
                }
            }
            (Name::FromBuffer, [data, dtype, shape, order]) => {
                let (elements, big_endian) = self.dtype_of(*dtype)?;
                Node::Array { shape: self.shape_of(*shape)?, elements, big_endian, fortran: self.text_of(*order)? == "F", data: *data }
            }
            (Name::Encode, [text, ..]) => {
                let text = self.text_of(*text)?;
                let latin1 = text.chars().map(|character| u8::try_from(u32::from(character)).map_err(|_| damaged("a text is not Latin-1")));
                Node::Bytes(latin1.collect::<Result<Vec<u8>>>()?)
            }
            (Name::Bytes, []) => Node::Bytes(Vec::new()),
            (Name::OrderedDict, []) => Node::Dict(Vec::new()),
            (Name::RebuildTensor, [storage, offset, shape, strides, ..]) if matches!(self.nodes[*storage], Node::Storage { .. }) => {
                Node::Tensor {
                    storage: *storage,
                    offset: self.count_of(*offset, "a tensor's offset")?,
                    shape: self.counts_of(*shape, "a tensor's axis")?,
                    strides: self.counts_of(*strides, "a tensor's stride")?,
                }
            }
            (Name::RebuildParameter, [tensor, ..]) if matches!(self.nodes[*tensor], Node::Tensor { .. }) => self.nodes[*tensor].clone(),
            (Name::LoadFromBytes, [bytes]) if self.trust.nested => self.nested_storage(*bytes)?,
            _ => return Err(refused("calls a name in an unknown way")),
        };
        self.push(node);
        Ok(())
    }

    /// A storage in a file of PyTorch in a text of bytes; no such file may hold another one.
    fn nested_storage(&self, node: usize) -> Result<Node> {
        let Node::Slice(outer) = &self.nodes[node] else { return Err(damaged("a storage's bytes are missing")) };
        let read = stream::read(&self.bytes[outer.clone()], Trust { storages: true, nested: false })?;
        match read.value {
            Value::Tensor(view) => match &view.storage {
                StorageName::Named(key) => {
                    let inner = read.storages.get(key).cloned().ok_or_else(|| damaged("a storage has no bytes"))?;
                    let here = outer.start + inner.start..outer.start + inner.end;
                    Ok(Node::Storage { source: Source::Here(here), elements: view.elements, count: view.count })
                }
                StorageName::Here(_) => Err(damaged("a storage has no name")),
            },
            _ => Err(damaged("a storage is missing")),
        }
    }

    /// A storage by its name: `("storage", class, name, device, elements)`.
    pub(super) fn storage(&mut self) -> Result<()> {
        let node = self.pop()?;
        if !self.trust.storages {
            return Err(refused("refers to what lies outside it"));
        }
        let [kind, class, key, _, count, ..] = self.tuple_of(node)?.to_vec()[..] else {
            return Err(refused("refers to something in an unknown way"));
        };
        let Node::Name(Name::Storage(elements)) = self.nodes[class] else { return Err(refused("refers to something that is no storage")) };
        if self.text_of(kind)? != "storage" {
            return Err(refused("refers to something that is no storage"));
        }
        let (key, count) = (self.text_of(key)?, self.count_of(count, "a storage's length")?);
        self.storages.push((key.clone(), (elements, count)));
        self.push(Node::Storage { source: Source::Named(key), elements, count });
        Ok(())
    }

    /// Fills an array, or sets a type's byte order. What hangs on a dictionary besides its entries is not kept.
    pub(super) fn build(&mut self) -> Result<()> {
        let state = self.pop()?;
        let target = self.top()?;
        if matches!(self.nodes[target], Node::Dict(_)) {
            return Ok(());
        }
        let state = self.tuple_of(state)?.to_vec();
        match self.nodes[target].clone() {
            Node::DType { elements, .. } => {
                let order = state.get(1).copied().ok_or_else(|| damaged("a type's state is too short"))?;
                let big_endian = self.text_of(order)? == ">";
                self.nodes[target] = Node::DType { elements, big_endian };
            }
            Node::EmptyArray => {
                let [.., shape, dtype, fortran, data] = state[..] else { return Err(damaged("an array's state is too short")) };
                let (elements, big_endian) = self.dtype_of(dtype)?;
                let fortran = matches!(self.nodes[fortran], Node::Bool(true) | Node::Int(1));
                self.nodes[target] = Node::Array { shape: self.shape_of(shape)?, elements, big_endian, fortran, data };
            }
            _ => return Err(refused("sets the state of what is no array")),
        }
        Ok(())
    }
}

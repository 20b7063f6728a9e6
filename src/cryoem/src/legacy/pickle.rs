//! The machine that reads pickles of plain arrays and nothing else.
//!
//! A pickle is a program for a stack machine. This one knows the instructions that build tuples, lists, numbers, texts and bytes, and
//! treats the five names of which NumPy arrays are made as plain marks. It calls nothing. Values live in an arena and refer to each other
//! by number, so that no nesting in the file can exhaust the program's own stack; expansion at the end is bounded by the file's length.

use super::array::{Array, Elements};
use contract::{Problem, Result};
use std::collections::HashMap;
use std::ops::Range;

/// Newest protocol.
const PROTOCOL: u8 = 5;

/// Nesting of the values that are handed out: a tuple of lists of tuples is 3.
const DEPTH: usize = 8;

/// What a pickle may hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    None,
    /// Truth value.
    Bool(bool),
    /// Whole number.
    Int(i64),
    /// Number.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Tuple.
    Tuple(Vec<Value>),
    /// List.
    List(Vec<Value>),
    /// Array.
    Array(Array),
}

/// Reads a pickle.
///
/// # Errors
/// It is damaged, or asks for anything but plain arrays, numbers, texts, tuples and lists.
pub fn parse(bytes: &[u8]) -> Result<Value> {
    if bytes.starts_with(b"PK") {
        return Err(
            Problem::input("a zip archive, as PyTorch saves tensors, is no plain pickle").hint("save NumPy arrays with `pickle.dump`")
        );
    }
    let mut machine = Machine { bytes, at: 0, nodes: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    let top = machine.run()?;
    let mut budget = bytes.len();
    machine.value(top, DEPTH, &mut budget)
}

/// The names that are understood.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
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
}

impl Name {
    fn of(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Self::Reconstruct,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Self::Scalar,
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Self::FromBuffer,
            ("numpy", "ndarray") => Self::NdArray,
            ("numpy", "dtype") => Self::DType,
            ("_codecs", "encode") => Self::Encode,
            _ => return None,
        })
    }
}

/// A value under construction.
#[derive(Clone)]
enum Node {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// Bytes of the file.
    Slice(Range<usize>),
    /// Bytes made from text.
    Bytes(Vec<u8>),
    Tuple(Vec<usize>),
    List(Vec<usize>),
    Name(Name),
    DType {
        elements: Elements,
        big_endian: bool,
    },
    /// Made, but not yet filled.
    EmptyArray,
    Array {
        shape: Vec<usize>,
        elements: Elements,
        big_endian: bool,
        fortran: bool,
        data: usize,
    },
}

struct Machine<'b> {
    bytes: &'b [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<usize>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u64, usize>,
}

fn damaged(what: &str) -> Problem {
    Problem::input(format!("a damaged pickle: {what}")).hint("copy or write the file again")
}

fn refused(what: &str) -> Problem {
    Problem::input(format!("not a plain archive: it {what}; nothing in it was run"))
        .hint("only arrays, numbers, texts, tuples and lists are read")
}

/// Counts what is copied out of the file.
fn spend(budget: &mut usize, bytes: usize) -> Result<()> {
    *budget = budget.checked_sub(bytes).ok_or_else(|| refused("repeats its contents without end"))?;
    Ok(())
}

impl<'b> Machine<'b> {
    fn run(&mut self) -> Result<usize> {
        loop {
            let code = self.take(1)?[0];
            match code {
                b'.' => return self.pop(),
                0x80 => {
                    let protocol = self.take(1)?[0];
                    if protocol > PROTOCOL {
                        return Err(damaged(&format!("protocol {protocol} is unknown")));
                    }
                }
                0x95 => {
                    self.take(8)?;
                }
                b'(' => self.marks.push(self.stack.len()),
                b'0' => {
                    self.pop()?;
                }
                b'1' => {
                    self.pop_mark()?;
                }
                b'2' => {
                    let top = self.top()?;
                    self.stack.push(top);
                }
                b'N' => self.push(Node::None),
                0x88 => self.push(Node::Bool(true)),
                0x89 => self.push(Node::Bool(false)),
                b'K' | b'M' | b'J' | 0x8a | b'I' | b'L' | b'G' | b'F' => self.number(code)?,
                b'X' | 0x8c | 0x8d => self.text(code)?,
                b'C' | b'B' | 0x8e | 0x96 | b'U' | b'T' => self.bytes(code)?,
                b')' | b't' | 0x85..=0x87 => self.tuple(code)?,
                b']' => self.push(Node::List(Vec::new())),
                b'l' => {
                    let items = self.pop_mark()?;
                    self.push(Node::List(items));
                }
                b'a' | b'e' => self.append(code)?,
                b'q' | b'r' | b'p' | 0x94 | b'h' | b'j' | b'g' => self.memory(code)?,
                b'c' => {
                    let module = self.line()?;
                    let name = self.line()?;
                    self.global(module, name)?;
                }
                0x93 => {
                    let name = self.pop_text()?;
                    let module = self.pop_text()?;
                    self.global(&module, &name)?;
                }
                b'R' => self.reduce()?,
                b'b' => self.build()?,
                _ => return Err(refused(&format!("uses instruction 0x{code:02x} at byte {}", self.at - 1))),
            }
        }
    }

    fn take(&mut self, count: usize) -> Result<&'b [u8]> {
        let range = self.range(count)?;
        Ok(&self.bytes[range])
    }

    fn range(&mut self, count: usize) -> Result<Range<usize>> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len()).ok_or_else(|| damaged("it ends too early"))?;
        let range = self.at..end;
        self.at = end;
        Ok(range)
    }

    /// A little-endian number of up to eight bytes.
    fn unsigned(&mut self, count: usize) -> Result<u64> {
        Ok(self.take(count)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A length, then so many bytes.
    fn counted(&mut self, length_bytes: usize) -> Result<Range<usize>> {
        let count = usize::try_from(self.unsigned(length_bytes)?).map_err(|_| damaged("a length is too large"))?;
        self.range(count)
    }

    fn line(&mut self) -> Result<&'b str> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| *byte == b'\n').ok_or_else(|| damaged("it ends too early"))?;
        self.at += length + 1;
        std::str::from_utf8(&rest[..length]).map_err(|_| damaged("a line is no text"))
    }

    fn push(&mut self, node: Node) {
        self.nodes.push(node);
        self.stack.push(self.nodes.len() - 1);
    }

    /// Takes the top of the stack, never from below a mark.
    fn pop(&mut self) -> Result<usize> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(damaged("its stack is empty"));
        }
        self.stack.pop().ok_or_else(|| damaged("its stack is empty"))
    }

    fn top(&self) -> Result<usize> {
        self.stack.last().copied().ok_or_else(|| damaged("its stack is empty"))
    }

    fn pop_mark(&mut self) -> Result<Vec<usize>> {
        let mark = self.marks.pop().ok_or_else(|| damaged("a mark is missing"))?;
        if mark > self.stack.len() {
            return Err(damaged("a mark is above its stack"));
        }
        Ok(self.stack.split_off(mark))
    }

    fn number(&mut self, code: u8) -> Result<()> {
        let bad = || damaged("a number cannot be read");
        let node = match code {
            b'K' => Node::Int(self.unsigned(1)? as i64),
            b'M' => Node::Int(self.unsigned(2)? as i64),
            b'J' => Node::Int(i64::from(self.unsigned(4)? as u32 as i32)),
            0x8a => {
                let count = self.take(1)?[0] as usize;
                if count > 8 {
                    return Err(damaged("a number has more than 64 bits"));
                }
                let bits = self.unsigned(count)?;
                let unused = 64 - 8 * count as u32;
                Node::Int(if count == 0 { 0 } else { ((bits << unused) as i64) >> unused })
            }
            b'I' | b'L' => match self.line()? {
                "00" => Node::Bool(false),
                "01" => Node::Bool(true),
                text => Node::Int(text.trim_end_matches('L').parse().map_err(|_| bad())?),
            },
            b'G' => {
                let bytes: [u8; 8] = self.take(8)?.try_into().map_err(|_| bad())?;
                Node::Float(f64::from_be_bytes(bytes))
            }
            _ => Node::Float(self.line()?.parse().map_err(|_| bad())?),
        };
        self.push(node);
        Ok(())
    }

    fn text(&mut self, code: u8) -> Result<()> {
        let range = self.counted(match code {
            0x8c => 1,
            b'X' => 4,
            _ => 8,
        })?;
        let text = std::str::from_utf8(&self.bytes[range]).map_err(|_| damaged("a text is not UTF-8"))?;
        self.push(Node::Text(text.to_owned()));
        Ok(())
    }

    fn bytes(&mut self, code: u8) -> Result<()> {
        let range = self.counted(match code {
            b'C' | b'U' => 1,
            b'B' | b'T' => 4,
            _ => 8,
        })?;
        self.push(Node::Slice(range));
        Ok(())
    }

    fn tuple(&mut self, code: u8) -> Result<()> {
        let items = match code {
            b')' => Vec::new(),
            b't' => self.pop_mark()?,
            _ => {
                let count = usize::from(code - 0x84);
                let mut items = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>>>()?;
                items.reverse();
                items
            }
        };
        self.push(Node::Tuple(items));
        Ok(())
    }

    fn append(&mut self, code: u8) -> Result<()> {
        let items = if code == b'a' { vec![self.pop()?] } else { self.pop_mark()? };
        let list = self.top()?;
        match &mut self.nodes[list] {
            Node::List(there) => there.extend(items),
            _ => return Err(damaged("it appends to what is no list")),
        }
        Ok(())
    }

    fn memory(&mut self, code: u8) -> Result<()> {
        let key = match code {
            b'q' | b'h' => self.unsigned(1)?,
            b'r' | b'j' => self.unsigned(4)?,
            b'p' | b'g' => self.line()?.parse().map_err(|_| damaged("a number cannot be read"))?,
            _ => self.memo.len() as u64,
        };
        if matches!(code, b'h' | b'j' | b'g') {
            let node = self.memo.get(&key).copied().ok_or_else(|| damaged("it recalls what it has not stored"))?;
            self.stack.push(node);
        } else {
            let top = self.top()?;
            self.memo.insert(key, top);
        }
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Result<()> {
        let known = Name::of(module, name).ok_or_else(|| refused(&format!("asks for `{module}.{name}`")))?;
        self.push(Node::Name(known));
        Ok(())
    }

    fn pop_text(&mut self) -> Result<String> {
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

    fn shape_of(&self, node: usize) -> Result<Vec<usize>> {
        let axis = |item: &usize| match self.nodes[*item] {
            Node::Int(length) => usize::try_from(length).map_err(|_| damaged("an array's axis is negative")),
            _ => Err(damaged("an array's axis is no number")),
        };
        self.tuple_of(node)?.iter().map(axis).collect()
    }

    fn dtype_of(&self, node: usize) -> Result<(Elements, bool)> {
        match self.nodes[node] {
            Node::DType { elements, big_endian } => Ok((elements, big_endian)),
            _ => Err(damaged("an array's type is missing")),
        }
    }

    fn data_of(&self, node: usize) -> Result<&[u8]> {
        match &self.nodes[node] {
            Node::Slice(range) => Ok(&self.bytes[range.clone()]),
            Node::Bytes(bytes) => Ok(bytes),
            _ => Err(refused("holds an array of objects")),
        }
    }

    /// The call of a name: only those that make arrays, their types and their bytes are known.
    fn reduce(&mut self) -> Result<()> {
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
            _ => return Err(refused("calls a name in an unknown way")),
        };
        self.push(node);
        Ok(())
    }

    /// Fills an array, or sets a type's byte order.
    fn build(&mut self) -> Result<()> {
        let state = self.pop()?;
        let target = self.top()?;
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

    /// The finished value; `budget` bounds what is copied by the file's length.
    fn value(&self, node: usize, depth: usize, budget: &mut usize) -> Result<Value> {
        spend(budget, 1)?;
        Ok(match &self.nodes[node] {
            Node::None => Value::None,
            Node::Bool(value) => Value::Bool(*value),
            Node::Int(value) => Value::Int(*value),
            Node::Float(value) => Value::Float(*value),
            Node::Text(text) => {
                spend(budget, text.len())?;
                Value::Text(text.clone())
            }
            Node::Slice(_) | Node::Bytes(_) => {
                let bytes = self.data_of(node)?;
                spend(budget, bytes.len())?;
                Value::Bytes(bytes.to_vec())
            }
            Node::Tuple(items) => Value::Tuple(self.values(items, depth, budget)?),
            Node::List(items) => Value::List(self.values(items, depth, budget)?),
            Node::Array { shape, elements, big_endian, fortran, data } => {
                let data = self.data_of(*data)?;
                spend(budget, data.len())?;
                let array =
                    Array { shape: shape.clone(), elements: *elements, big_endian: *big_endian, fortran: *fortran, data: data.to_vec() };
                array.check()?;
                Value::Array(array)
            }
            Node::Name(_) | Node::DType { .. } | Node::EmptyArray => return Err(refused("holds a name or a type as a value")),
        })
    }

    fn values(&self, items: &[usize], depth: usize, budget: &mut usize) -> Result<Vec<Value>> {
        let depth = depth.checked_sub(1).ok_or_else(|| refused(&format!("is nested more than {DEPTH} deep")))?;
        items.iter().map(|item| self.value(*item, depth, budget)).collect()
    }
}

//! The machine that reads pickles of plain values, arrays and tensors, and nothing else.
//!
//! A pickle is a program for a stack machine. This one knows the instructions that build tuples, lists, dictionaries, numbers, texts and
//! bytes, and treats the few names of which arrays and tensors are made as plain marks. It calls nothing. Values live in an arena and refer
//! to each other by number, so that no nesting in the file can exhaust the program's own stack; expansion at the end is bounded by the
//! file's length.

mod call;
mod finish;

use super::array::{Array, Elements};
use super::tensor::View;
use call::Name;
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
    /// Dictionary, in its order.
    Dict(Vec<(Value, Value)>),
    /// Array.
    Array(Array),
    /// Tensor: which part of which storage.
    Tensor(View),
}

impl Value {
    /// The entry of a dictionary under a text.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Dict(entries) => entries.iter().find(|(k, _)| matches!(k, Self::Text(text) if text == key)).map(|(_, value)| value),
            _ => None,
        }
    }
}

/// Reads a pickle; what follows it in the file is not looked at.
///
/// # Errors
/// It is damaged, or asks for anything but plain arrays, numbers, texts, tuples, lists and dictionaries.
pub fn parse(bytes: &[u8]) -> Result<Value> {
    if bytes.starts_with(b"PK") {
        return Err(
            Problem::input("a zip archive, as PyTorch saves tensors, is no plain pickle").hint("save NumPy arrays with `pickle.dump`")
        );
    }
    Machine::new(bytes, Trust { storages: false, nested: true }).finished()
}

/// A pickle that was read, and what it told of storages.
pub(super) struct Read {
    pub(super) value: Value,
    /// Type and length of the elements of every storage that was named, in their order.
    pub(super) storages: Vec<(String, (Elements, usize))>,
}

/// Reads one pickle of a file of PyTorch, in which tensors name storages that lie elsewhere in the file.
pub(super) fn parse_with_storages(bytes: &[u8]) -> Result<Read> {
    let mut machine = Machine::new(bytes, Trust { storages: true, nested: true });
    let value = machine.finished()?;
    Ok(Read { value, storages: machine.storages })
}

/// What a pickle may refer to.
#[derive(Clone, Copy)]
pub(super) struct Trust {
    /// Storages by name.
    pub(super) storages: bool,
    /// A storage with its bytes, saved in a text of bytes.
    pub(super) nested: bool,
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
    Dict(Vec<(usize, usize)>),
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
    Storage {
        source: Source,
        elements: Elements,
        count: usize,
    },
    Tensor {
        storage: usize,
        offset: usize,
        shape: Vec<usize>,
        strides: Vec<usize>,
    },
}

/// Where a storage's bytes lie.
#[derive(Clone)]
enum Source {
    /// Elsewhere in the file, under this name.
    Named(String),
    /// In the pickle.
    Here(Range<usize>),
}

pub(super) struct Machine<'b> {
    bytes: &'b [u8],
    trust: Trust,
    /// Bytes that were read.
    pub(super) at: usize,
    nodes: Vec<Node>,
    stack: Vec<usize>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u64, usize>,
    /// Type and length of the elements of every storage that was named.
    pub(super) storages: Vec<(String, (Elements, usize))>,
}

fn damaged(what: &str) -> Problem {
    Problem::input(format!("a damaged pickle: {what}")).hint("copy or write the file again")
}

fn refused(what: &str) -> Problem {
    Problem::input(format!("not a plain archive: it {what}; nothing in it was run"))
        .hint("only arrays, tensors, numbers, texts, tuples, lists and dictionaries are read")
}

impl<'b> Machine<'b> {
    pub(super) fn new(bytes: &'b [u8], trust: Trust) -> Self {
        let (nodes, stack, marks, memo) = (Vec::new(), Vec::new(), Vec::new(), HashMap::new());
        Self { bytes, trust, at: 0, nodes, stack, marks, memo, storages: Vec::new() }
    }

    /// Runs it, and hands its value out.
    pub(super) fn finished(&mut self) -> Result<Value> {
        let top = self.run()?;
        let mut budget = self.bytes.len();
        self.value(top, DEPTH, &mut budget)
    }

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
                b'}' => self.push(Node::Dict(Vec::new())),
                b'd' => {
                    let items = self.pop_mark()?;
                    self.push(Node::Dict(pairs(&items)?));
                }
                b's' | b'u' => self.set_items(code)?,
                b'Q' => self.storage()?,
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

    fn set_items(&mut self, code: u8) -> Result<()> {
        let items = if code == b's' {
            let value = self.pop()?;
            vec![self.pop()?, value]
        } else {
            self.pop_mark()?
        };
        let pairs = pairs(&items)?;
        let dictionary = self.top()?;
        match &mut self.nodes[dictionary] {
            Node::Dict(there) => there.extend(pairs),
            _ => return Err(damaged("it sets an entry of what is no dictionary")),
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
}

/// Keys and values that follow each other.
fn pairs(items: &[usize]) -> Result<Vec<(usize, usize)>> {
    if items.len() % 2 == 1 {
        return Err(damaged("a key has no value"));
    }
    Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

//! Headers of NumPy files with records: a Python dictionary of the fields, their types and the number of rows.

use contract::{Problem, Result};
use std::ops::Range;

/// Begins every NumPy file.
const MAGIC: &[u8] = b"\x93NUMPY";
/// The data begin at a multiple of this.
const ALIGNMENT: usize = 64;
/// Deeper nesting than any real header has.
const DEEPEST: usize = 16;

/// What the bytes of an item mean; numbers say whether their highest byte comes first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Form {
    Unsigned(bool),
    Signed(bool),
    Float(bool),
    /// Bytes, filled up with zeros.
    Text,
    /// Anything else, which is only copied.
    Other,
}

/// A field of a row.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    /// As the header writes it, for people.
    pub(super) type_text: String,
    pub(super) form: Form,
    /// Bytes from the start of the row.
    pub(super) offset: usize,
    pub(super) item_bytes: usize,
    /// Items in a cell.
    pub(super) items: usize,
}

/// What the header says.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) fields: Vec<Field>,
    pub(super) rows: usize,
    pub(super) row_bytes: usize,
    /// Where the rows begin in the file.
    pub(super) data_start: usize,
    /// The types of the fields as they are written.
    types: String,
}

impl Header {
    /// Bytes of a header for another number of rows.
    pub(super) fn of_rows(&self, rows: usize) -> Vec<u8> {
        let mut text = format!("{{'descr': {}, 'fortran_order': False, 'shape': ({rows},), }}", self.types);
        // Version 1 counts the header's bytes in 16 bits, version 2 in 32, and version 3 may hold letters beyond ASCII.
        let version: u8 = match () {
            () if !text.is_ascii() => 3,
            () if text.len() + ALIGNMENT > usize::from(u16::MAX) => 2,
            () => 1,
        };
        let before = MAGIC.len() + 2 + if version == 1 { 2 } else { 4 };
        let unpadded = before + text.len() + 1;
        text.push_str(&" ".repeat(unpadded.next_multiple_of(ALIGNMENT) - unpadded));
        text.push('\n');
        let mut bytes = MAGIC.to_vec();
        bytes.extend([version, 0]);
        let length = (text.len() as u32).to_le_bytes();
        bytes.extend(&length[..if version == 1 { 2 } else { 4 }]);
        bytes.extend(text.into_bytes());
        bytes
    }
}

fn no_table(what: impl Into<String>) -> Problem {
    Problem::input(what).hint("give a particle table that cryoSPARC wrote (`.cs`)")
}

/// Reads the header at the start of a file.
pub(super) fn parse(file: &[u8]) -> Result<Header> {
    let not_numpy = || no_table("is no NumPy file");
    let cut_off = || no_table("is cut off in its header");
    let rest = file.strip_prefix(MAGIC).ok_or_else(not_numpy)?;
    let width = match rest.first() {
        Some(1) => 2,
        Some(2 | 3) => 4,
        _ => return Err(no_table("is of a version of NumPy's format that is not known")),
    };
    let length = rest.get(2..2 + width).ok_or_else(cut_off)?.iter().rev().fold(0, |sum, byte| (sum << 8) | usize::from(*byte));
    let start = MAGIC.len() + 2 + width;
    let text = file.get(start..start + length).ok_or_else(cut_off)?;
    let text = std::str::from_utf8(text).map_err(|_| no_table("has a header that is no text"))?;
    let entries = match (Reader { text, at: 0 }).value(0) {
        Some(Value::Map(entries)) => entries,
        _ => return Err(no_table("has a header that is no dictionary")),
    };
    let entry = |name: &str| entries.iter().find(|(key, ..)| *key == name).map(|(_, value, range)| (value, range.clone()));
    let (Some((types, types_at)), Some((shape, _)), Some((order, _))) = (entry("descr"), entry("shape"), entry("fortran_order")) else {
        return Err(no_table("has a header without types or shape"));
    };
    let (Value::List(types), Value::List(shape)) = (types, shape) else {
        return Err(no_table("is a plain array, not a table with named fields"));
    };
    let [Value::Whole(rows)] = shape[..] else { return Err(no_table("is not a list of rows")) };
    if *order != Value::Word("False") {
        return Err(no_table("is in Fortran order"));
    }
    let mut fields = Vec::with_capacity(types.len());
    let mut row_bytes = 0;
    for entry in types {
        let field = field(entry, row_bytes)?;
        row_bytes += field.item_bytes * field.items;
        fields.push(field);
    }
    Ok(Header { fields, rows, row_bytes, data_start: start + length, types: text[types_at].to_owned() })
}

/// One entry of the types: `('blob/shape', '<u4', (2,))`.
fn field(entry: &Value<'_>, offset: usize) -> Result<Field> {
    let unknown = || no_table("has a field whose type is not understood");
    let Value::List(parts) = entry else { return Err(unknown()) };
    let (name, kind, shape) = match &parts[..] {
        [name, kind] => (name, kind, &[][..]),
        [name, kind, Value::List(shape)] => (name, kind, &shape[..]),
        _ => return Err(unknown()),
    };
    // A name may have a title beside it.
    let name = match name {
        Value::Text(name) => (*name).to_owned(),
        Value::List(both) => match both[..] {
            [_, Value::Text(name)] => name.to_owned(),
            _ => return Err(unknown()),
        },
        _ => return Err(unknown()),
    };
    let items = shape.iter().try_fold(1_usize, |product, side| match side {
        Value::Whole(side) => product.checked_mul(*side),
        _ => None,
    });
    let items = items.ok_or_else(unknown)?;
    match kind {
        Value::Text(type_text) => {
            let (form, item_bytes) = form(type_text, &name)?;
            Ok(Field { name, type_text: (*type_text).to_owned(), form, offset, item_bytes, items })
        }
        // Records within records are only copied.
        Value::List(inner) => {
            let item_bytes = inner.iter().try_fold(0, |sum, entry| field(entry, 0).map(|f| sum + f.item_bytes * f.items))?;
            Ok(Field { name, type_text: "record".to_owned(), form: Form::Other, offset, item_bytes, items })
        }
        _ => Err(unknown()),
    }
}

/// A type such as `<f4`, and the bytes of an item.
fn form(text: &str, name: &str) -> Result<(Form, usize)> {
    let unknown = || no_table(format!("`{name}` is of type `{text}`, which is not known"));
    let (order, rest) = if text.starts_with(['<', '>', '|', '=']) { text.split_at(1) } else { ("|", text) };
    let mut letters = rest.chars();
    let letter = letters.next().ok_or_else(unknown)?;
    if letter == 'O' {
        return Err(Problem::input(format!("`{name}` holds pickled objects, which are never opened"))
            .hint("write the table with plain types, as cryoSPARC does"));
    }
    // Times carry their unit behind the size: `<M8[ns]`.
    let digits = letters.as_str().split('[').next().unwrap_or_default();
    let size: usize = digits.parse().ok().filter(|size| *size < 1 << 30).ok_or_else(unknown)?;
    let big = order == ">";
    Ok(match letter {
        'u' if size <= 8 => (Form::Unsigned(big), size),
        'i' => (Form::Signed(big), size),
        'f' => (Form::Float(big), size),
        'S' | 'a' => (Form::Text, size),
        'U' => (Form::Other, 4 * size),
        'b' | 'c' | 'V' | 'M' | 'm' | 'u' => (Form::Other, size),
        _ => return Err(unknown()),
    })
}

/// A value of the Python that headers are written in.
#[derive(Debug, PartialEq)]
enum Value<'t> {
    Text(&'t str),
    Whole(usize),
    /// `True`, `False` or `None`.
    Word(&'t str),
    /// A list or a tuple.
    List(Vec<Value<'t>>),
    /// Keys, values, and where the values stand.
    Map(Vec<(&'t str, Value<'t>, Range<usize>)>),
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.text[self.at..].chars().next()
    }

    fn take(&mut self, wanted: char) -> Option<()> {
        let there = self.peek()? == wanted;
        there.then(|| self.at += wanted.len_utf8())
    }

    /// Up to the first character that does not belong.
    fn run(&mut self, belongs: impl Fn(char) -> bool) -> &'t str {
        let rest = &self.text[self.at..];
        let run = &rest[..rest.find(|c| !belongs(c)).unwrap_or(rest.len())];
        self.at += run.len();
        run
    }

    /// `None`: what stands here is not understood.
    fn value(&mut self, depth: usize) -> Option<Value<'t>> {
        let first = self.peek().filter(|_| depth < DEEPEST)?;
        match first {
            '[' => self.list('[', ']', depth),
            '(' => self.list('(', ')', depth),
            '{' => self.map(depth),
            '\'' | '"' => self.quoted(first).map(Value::Text),
            '0'..='9' => self.run(|c| c.is_ascii_digit()).parse().ok().map(Value::Whole),
            _ => Some(self.run(|c| c.is_ascii_alphabetic())).filter(|word| !word.is_empty()).map(Value::Word),
        }
    }

    fn quoted(&mut self, quote: char) -> Option<&'t str> {
        self.take(quote)?;
        let text = self.run(|c| c != quote);
        self.take(quote)?;
        // Escaped letters are in no name that cryoSPARC gives.
        (!text.contains('\\')).then_some(text)
    }

    fn list(&mut self, open: char, close: char, depth: usize) -> Option<Value<'t>> {
        self.take(open)?;
        let mut values = Vec::new();
        while self.peek()? != close {
            values.push(self.value(depth + 1)?);
            if self.take(',').is_none() {
                break;
            }
        }
        self.take(close)?;
        Some(Value::List(values))
    }

    fn map(&mut self, depth: usize) -> Option<Value<'t>> {
        self.take('{')?;
        let mut entries = Vec::new();
        while self.peek()? != '}' {
            let Value::Text(key) = self.value(depth + 1)? else { return None };
            self.take(':')?;
            self.peek()?;
            let start = self.at;
            let value = self.value(depth + 1)?;
            entries.push((key, value, start..self.at));
            if self.take(',').is_none() {
                break;
            }
        }
        self.take('}')?;
        Some(Value::Map(entries))
    }
}

//! Handing out the finished value; what is copied is bounded by the file's length.

use super::{DEPTH, Machine, Node, Source, Value, refused};
use crate::legacy::array::Array;
use crate::legacy::tensor::{StorageName, View};
use contract::Result;

/// Counts what is copied out of the file.
fn spend(budget: &mut usize, bytes: usize) -> Result<()> {
    *budget = budget.checked_sub(bytes).ok_or_else(|| refused("repeats its contents without end"))?;
    Ok(())
}

impl Machine<'_> {
    /// The finished value; `budget` bounds what is copied by the file's length.
    pub(super) fn value(&self, node: usize, depth: usize, budget: &mut usize) -> Result<Value> {
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
            Node::Dict(entries) => {
                let depth = deeper(depth)?;
                let entry =
                    |&(key, value): &(usize, usize)| Ok((self.value(key, depth, &mut *budget)?, self.value(value, depth, &mut *budget)?));
                Value::Dict(entries.iter().map(entry).collect::<Result<_>>()?)
            }
            Node::Array { shape, elements, big_endian, fortran, data } => {
                let data = self.data_of(*data)?;
                spend(budget, data.len())?;
                let array =
                    Array { shape: shape.clone(), elements: *elements, big_endian: *big_endian, fortran: *fortran, data: data.to_vec() };
                array.check()?;
                Value::Array(array)
            }
            Node::Storage { count, .. } => Value::Tensor(self.view(node, (0, &[*count], &[1]), budget)?),
            Node::Tensor { storage, offset, shape, strides } => Value::Tensor(self.view(*storage, (*offset, shape, strides), budget)?),
            Node::Name(_) | Node::DType { .. } | Node::EmptyArray => return Err(refused("holds a name or a type as a value")),
        })
    }

    /// The part `(offset, shape, strides)` of a storage.
    fn view(&self, storage: usize, (offset, shape, strides): (usize, &[usize], &[usize]), budget: &mut usize) -> Result<View> {
        let Node::Storage { source, elements, count } = &self.nodes[storage] else { return Err(refused("holds a tensor of no storage")) };
        let storage = match source {
            Source::Named(key) => {
                spend(budget, key.len())?;
                StorageName::Named(key.clone())
            }
            Source::Here(range) => {
                spend(budget, range.len())?;
                StorageName::Here(self.bytes[range.clone()].to_vec())
            }
        };
        let view = View { storage, elements: *elements, count: *count, offset, shape: shape.to_vec(), strides: strides.to_vec() };
        view.check()?;
        Ok(view)
    }

    fn values(&self, items: &[usize], depth: usize, budget: &mut usize) -> Result<Vec<Value>> {
        let depth = deeper(depth)?;
        items.iter().map(|item| self.value(*item, depth, budget)).collect()
    }
}

fn deeper(depth: usize) -> Result<usize> {
    depth.checked_sub(1).ok_or_else(|| refused(&format!("is nested more than {DEPTH} deep")))
}

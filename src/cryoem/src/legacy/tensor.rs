//! Tensors as PyTorch describes them: a part of a storage.

use super::array::{Array, Elements};
use contract::{Problem, Result};

/// Where a storage's bytes lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageName {
    /// In the file, under this name.
    Named(String),
    /// Here.
    Here(Vec<u8>),
}

/// A tensor: a part of a storage, little-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The storage.
    pub storage: StorageName,
    /// Type of its elements.
    pub elements: Elements,
    /// Elements in the storage.
    pub count: usize,
    /// First element of the tensor.
    pub offset: usize,
    /// Lengths of the axes.
    pub shape: Vec<usize>,
    /// Elements from one index to the next, an entry an axis.
    pub strides: Vec<usize>,
}

impl View {
    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// Checks that the tensor lies in its storage and is not larger than it, as one that repeats elements would be.
    ///
    /// # Errors
    /// It does not.
    pub fn check(&self) -> Result<()> {
        let outside = || {
            Problem::input(format!(
                "a tensor {:?} with strides {:?} from element {} does not lie in its storage of {}",
                self.shape, self.strides, self.offset, self.count
            ))
            .hint("copy or write the file again")
        };
        if self.shape.len() != self.strides.len() {
            return Err(outside());
        }
        if self.is_empty() {
            return Ok(());
        }
        let last = self
            .shape
            .iter()
            .zip(&self.strides)
            .try_fold(self.offset, |last, (axis, stride)| (axis - 1).checked_mul(*stride).and_then(|reach| last.checked_add(reach)));
        let elements = self.shape.iter().try_fold(1_usize, |product, axis| product.checked_mul(*axis));
        match (last, elements) {
            (Some(last), Some(elements)) if last < self.count && elements <= self.count => Ok(()),
            _ => Err(outside()),
        }
    }

    /// The elements in C order, from the whole storage's bytes.
    ///
    /// # Errors
    /// The storage has another length than the tensor says.
    pub fn gather(&self, storage: &[u8]) -> Result<Array> {
        self.check()?;
        let width = self.elements.bytes();
        if self.count.checked_mul(width) != Some(storage.len()) {
            return Err(Problem::input(format!("a storage of {} elements of {width} bytes has {} bytes", self.count, storage.len()))
                .hint("copy or write the file again"));
        }
        let data = if self.is_empty() {
            Vec::new()
        } else if self.is_dense() {
            storage[self.offset * width..(self.offset + self.len()) * width].to_vec()
        } else {
            self.indices().flat_map(|index| &storage[index * width..(index + 1) * width]).copied().collect()
        };
        Ok(Array { shape: self.shape.clone(), elements: self.elements, big_endian: false, fortran: false, data })
    }

    /// Whether the elements follow each other in C order.
    fn is_dense(&self) -> bool {
        let mut expected = 1;
        self.shape.iter().zip(&self.strides).rev().all(|(axis, stride)| {
            let dense = *axis == 1 || *stride == expected;
            expected *= axis;
            dense
        })
    }

    /// Place in the storage of every element, in C order.
    fn indices(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.len()).map(|flat| {
            let mut rest = flat;
            let along = |(axis, stride): (&usize, &usize)| {
                let index = rest % axis;
                rest /= axis;
                index * stride
            };
            self.offset + self.shape.iter().zip(&self.strides).rev().map(along).sum::<usize>()
        })
    }
}

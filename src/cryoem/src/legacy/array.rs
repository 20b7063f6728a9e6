//! Arrays as NumPy lays them out.

use contract::{Problem, Result};

/// Type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elements {
    /// Signed integers of so many bytes.
    Signed(usize),
    /// Unsigned integers (and booleans) of so many bytes.
    Unsigned(usize),
    /// Floating-point numbers of so many bytes (2, 4, 8).
    Float(usize),
}

impl Elements {
    /// From NumPy's code, such as `f4`.
    #[must_use]
    pub fn of_code(code: &str) -> Option<Self> {
        let (letter, bytes) = code.split_at_checked(1)?;
        let bytes: usize = bytes.parse().ok()?;
        match (letter, bytes) {
            ("f", 2 | 4 | 8) => Some(Self::Float(bytes)),
            ("i", 1 | 2 | 4 | 8) => Some(Self::Signed(bytes)),
            ("u", 1 | 2 | 4 | 8) | ("b", 1) => Some(Self::Unsigned(bytes)),
            _ => None,
        }
    }

    /// Size of an element.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::Signed(bytes) | Self::Unsigned(bytes) | Self::Float(bytes) => bytes,
        }
    }
}

/// An array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array {
    /// Lengths of the axes.
    pub shape: Vec<usize>,
    /// Type of the elements.
    pub elements: Elements,
    /// Whether the elements are big-endian.
    pub big_endian: bool,
    /// Whether the first axis runs fastest.
    pub fortran: bool,
    /// The elements as stored.
    pub data: Vec<u8>,
}

impl Array {
    /// Number of elements, unless it is beyond what a file could hold.
    fn len(&self) -> Option<usize> {
        self.shape.iter().try_fold(1_usize, |product, axis| product.checked_mul(*axis))
    }

    /// Checks the stored size against the shape.
    ///
    /// # Errors
    /// They differ.
    pub fn check(&self) -> Result<()> {
        if self.len().and_then(|len| len.checked_mul(self.elements.bytes())) == Some(self.data.len()) {
            return Ok(());
        }
        Err(Problem::input(format!(
            "an array {:?} of {} bytes an element has {} bytes",
            self.shape,
            self.elements.bytes(),
            self.data.len()
        )))
    }

    /// All elements in C order (last axis fastest).
    ///
    /// # Errors
    /// The stored size does not fit the shape.
    pub fn to_f64(&self) -> Result<Vec<f64>> {
        self.check()?;
        let stored: Vec<f64> = self.data.chunks_exact(self.elements.bytes()).map(|bytes| self.element(bytes)).collect();
        if !self.fortran || self.shape.len() < 2 {
            return Ok(stored);
        }
        let array = ndarray::ArrayD::from_shape_vec(ndarray::ShapeBuilder::f(ndarray::IxDyn(&self.shape)), stored)
            .map_err(|error| Problem::input(format!("an array cannot be laid out: {error}")))?;
        Ok(array.iter().copied().collect())
    }

    /// One element of up to eight bytes.
    fn element(&self, bytes: &[u8]) -> f64 {
        let mut little = [0_u8; 8];
        for (to, from) in little.iter_mut().enumerate().take(bytes.len()) {
            *from = bytes[if self.big_endian { bytes.len() - 1 - to } else { to }];
        }
        let bits = u64::from_le_bytes(little);
        match self.elements {
            Elements::Float(2) => f64::from(half::f16::from_bits(bits as u16)),
            Elements::Float(4) => f64::from(f32::from_bits(bits as u32)),
            Elements::Float(_) => f64::from_bits(bits),
            Elements::Unsigned(_) => bits as f64,
            Elements::Signed(bytes) => {
                let unused = 64 - 8 * bytes as u32;
                (((bits << unused) as i64) >> unused) as f64
            }
        }
    }
}

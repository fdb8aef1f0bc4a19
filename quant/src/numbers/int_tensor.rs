//! Integer tensors: a shape and contiguous integers, row-major.

use engine::{Error, Result, Shape};

/// An integer type codes can be stored in.
pub trait Code: Copy + Default + PartialEq + std::fmt::Debug + Send + Sync + 'static {
    /// Smallest and largest code the type holds.
    const RANGE: (i32, i32);
    /// The code as this type; the caller has checked that it is within [`Code::RANGE`].
    fn from_i32(code: i32) -> Self;
    /// The code as `i32`.
    fn to_i32(self) -> i32;
}

macro_rules! code {
    ($($t:ty),*) => {$(
        impl Code for $t {
            const RANGE: (i32, i32) = (<$t>::MIN as i32, <$t>::MAX as i32);
            #[inline(always)]
            fn from_i32(code: i32) -> Self {
                code as $t
            }
            #[inline(always)]
            fn to_i32(self) -> i32 {
                self as i32
            }
        }
    )*};
}
code!(i8, u8, i16, u16, i32);

/// Contiguous row-major integers with a [`Shape`]: codes (`u8`, `i8`, `u16`, `i16`) or accumulators
/// (`i32`, `i64`).
#[derive(Clone, Debug, PartialEq)]
pub struct IntTensor<T> {
    shape: Shape,
    data: Vec<T>,
}

impl<T> IntTensor<T> {
    /// The tensor with these elements.
    ///
    /// # Errors
    /// If the number of elements is not the shape's.
    pub fn from_vec(shape: impl Into<Shape>, data: Vec<T>) -> Result<Self> {
        let shape = shape.into();
        if data.len() != shape.len() {
            return Err(Error::shape(
                "integer tensor",
                format!("shape {shape} holds {} numbers, got {}", shape.len(), data.len()),
            ));
        }
        Ok(Self { shape, data })
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The extents, outermost first.
    pub fn dims(&self) -> &[usize] {
        self.shape.dims()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The elements, row-major.
    pub fn data(&self) -> &[T] {
        &self.data
    }

    /// The elements, moved out.
    pub fn into_vec(self) -> Vec<T> {
        self.data
    }
}

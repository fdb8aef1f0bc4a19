//! The tensor: a shape and contiguous `f32`, row-major.

use std::fmt;

use crate::arena::Floats;
use crate::{Error, Result, Shape, kernel};

/// Contiguous row-major `f32` numbers with a [`Shape`].
///
/// ```
/// use engine::Tensor;
/// let x = Tensor::from_vec([2, 3], vec![1., 2., 3., 4., 5., 6.])?;
/// assert_eq!(x.dims(), [2, 3]);
/// assert_eq!(x.data()[3], 4.0); // row 1, column 0
/// # Ok::<(), engine::Error>(())
/// ```
pub struct Tensor {
    shape: Shape,
    data: Floats,
}

impl Tensor {
    /// All zeros.
    pub fn zeros(shape: impl Into<Shape>) -> Self {
        Self::full(shape, 0.0)
    }

    /// All elements equal to `value`.
    pub fn full(shape: impl Into<Shape>, value: f32) -> Self {
        let mut tensor = Self::scratch(shape);
        tensor.data.fill(value);
        tensor
    }

    /// A tensor whose contents are unspecified (zeros, or what a dropped tensor left behind): for
    /// results that are about to be overwritten whole.
    pub fn scratch(shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        Self { shape, data: Floats::take(shape.len()) }
    }

    /// The tensor with these elements.
    ///
    /// # Errors
    /// If the number of elements is not the shape's.
    pub fn from_vec(shape: impl Into<Shape>, data: Vec<f32>) -> Result<Self> {
        let shape = shape.into();
        if data.len() != shape.len() {
            return Err(Error::shape(
                "tensor",
                format!("shape {shape} holds {} numbers, got {}", shape.len(), data.len()),
            ));
        }
        let mut tensor = Self::scratch(shape);
        tensor.data.copy_from_slice(&data);
        Ok(tensor)
    }

    /// A tensor of no dimensions.
    pub fn scalar(value: f32) -> Self {
        Self::full(Shape::new(&[]), value)
    }

    /// Each element computed from its flat index.
    pub fn from_fn(shape: impl Into<Shape>, mut f: impl FnMut(usize) -> f32) -> Self {
        let mut tensor = Self::scratch(shape);
        for (i, value) in tensor.data.iter_mut().enumerate() {
            *value = f(i);
        }
        tensor
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
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The elements, row-major, to write.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The elements in a vector of their own.
    pub fn into_vec(self) -> Vec<f32> {
        self.data.to_vec()
    }

    /// The same elements under another shape.
    ///
    /// # Errors
    /// If the shapes differ in their number of elements.
    pub fn reshape(self, shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        if self.len() != shape.len() {
            return Err(Error::shape("reshape", format!("{} does not hold as many as {shape}", self.shape)));
        }
        Ok(Self { shape, data: self.data })
    }

    /// `f` of each element.
    pub fn map(&self, f: impl Fn(f32) -> f32) -> Self {
        let mut y = Self::scratch(self.shape);
        for (y, &x) in y.data.iter_mut().zip(self.data()) {
            *y = f(x);
        }
        y
    }

    /// `self += other`, element by element.
    ///
    /// # Errors
    /// If the shapes differ.
    pub fn add_assign(&mut self, other: &Tensor) -> Result<()> {
        self.expect_same_shape("add", other)?;
        kernel::sum::add_assign(&mut self.data, &other.data);
        Ok(())
    }

    /// The first element that is NaN or infinite, as `(flat index, value)`.
    pub fn first_non_finite(&self) -> Option<(usize, f32)> {
        self.data.iter().position(|v| !v.is_finite()).map(|i| (i, self.data[i]))
    }

    /// Fails with a one-line error unless both shapes are equal.
    pub(crate) fn expect_same_shape(&self, op: &'static str, other: &Tensor) -> Result<()> {
        if self.shape != other.shape {
            return Err(Error::shape(op, format!("shapes {} and {} differ", self.shape, other.shape)));
        }
        Ok(())
    }
}

impl Clone for Tensor {
    fn clone(&self) -> Self {
        let mut copy = Self::scratch(self.shape);
        copy.data.copy_from_slice(self.data());
        copy
    }
}

impl PartialEq for Tensor {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape && self.data() == other.data()
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tensor").field("shape", &self.shape).field("data", &self.data()).finish()
    }
}

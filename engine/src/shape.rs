//! Shapes: up to four dimensions, row-major, stored inline.

use std::fmt;

/// The extents of a tensor, outermost first. Activations are `[N, H, W, C]`, convolution weights
/// `[O, KH, KW, C]`, linear weights `[O, I]`, vectors `[C]`, scalars `[]`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Shape {
    dims: [usize; 4],
    rank: usize,
}

impl Shape {
    /// The shape with these extents.
    ///
    /// # Panics
    /// If there are more than four: the engine has no use for them.
    pub fn new(dims: &[usize]) -> Self {
        assert!(dims.len() <= 4, "a shape has at most four dimensions, got {dims:?}");
        let mut inline = [1; 4];
        inline[..dims.len()].copy_from_slice(dims);
        Self { dims: inline, rank: dims.len() }
    }

    /// The extents, outermost first.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank]
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Number of elements: the product of the extents (1 for a scalar); the largest number if it has none, so that no
    /// data are ever as long as a product that wrapped.
    pub fn len(&self) -> usize {
        if self.dims().contains(&0) {
            return 0;
        }
        self.dims().iter().fold(1, |len: usize, &n| len.saturating_mul(n))
    }

    /// Whether a tensor of these extents could be in memory. Where it could not, numbers of places in it may wrap, and
    /// kernels would read what is not theirs.
    pub(crate) fn fits_memory(extents: &[usize]) -> bool {
        let len = extents.iter().try_fold(1usize, |len, &n| len.checked_mul(n));
        len.is_some_and(|len| len <= isize::MAX as usize / 16)
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `(n, h, w, c)` of an activation; `None` unless the rank is 4.
    pub fn nhwc(&self) -> Option<(usize, usize, usize, usize)> {
        (self.rank == 4).then_some((self.dims[0], self.dims[1], self.dims[2], self.dims[3]))
    }

    /// The innermost extent (channels of an activation); 1 for a scalar.
    pub fn last(&self) -> usize {
        self.dims().last().copied().unwrap_or(1)
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Self {
        Self::new(dims)
    }
}

impl<const R: usize> From<[usize; R]> for Shape {
    fn from(dims: [usize; R]) -> Self {
        Self::new(&dims)
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.dims())
    }
}

//! A function of each element of a layer's input, computed as a part of the layer: images are mapped just before the
//! layer reads them, and the mapped tensor is never in memory as a whole. Fake quantization of activations is one.

use crate::Result;

/// See the [module](self).
pub trait InputMap: Send + Sync {
    /// `y = f(x)`, element by element.
    ///
    /// # Errors
    /// If `f` has no value for an element.
    fn forward(&self, x: &[f32], y: &mut [f32]) -> Result<()>;

    /// From `dL/dy` to `dL/dx`, in place.
    fn backward(&self, x: &[f32], dy: &mut [f32]);
}

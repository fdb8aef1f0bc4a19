//! What a convolution and its gradients are to whoever runs them over a batch: functions of a few images at a time, so
//! that what is done to these images next finds them in the cache. Plain: [`conv2d_ref`](crate::ops::conv2d_ref) and
//! [`conv2d_backward_ref`](crate::ops::conv2d_backward_ref).

/// From some images to as many: `y` from `x`, or `dx` from `dy`.
pub(crate) trait ImagePass: Sync {
    /// Writes all of `to`.
    fn run(&self, from: &[f32], to: &mut [f32]);
}

/// The gradient of the weights, a sum over images.
pub(crate) trait SumPass: Sync {
    /// Floats that the sums take.
    fn sums(&self) -> usize;
    /// Adds some images; sets the sums if they are the `first`.
    fn add(&self, x: &[f32], dy: &[f32], sums: &mut [f32], first: bool);
    /// From the sums to `dw [K, O]`.
    fn finish(&self, sums: &[f32], dw: &mut [f32]);
}

//! Integer layers, and the quantized layers on top of them alone (eq 6).
//!
//! ```text
//! y  =  s_x s_w ( sum (x_int + z_x) w_int  +  b_int )                                      eq 6
//!       real      |________ integer_conv2d, integer_linear ________|
//! ```
//!
//! Weights are symmetric (`z_w = 0`), of at most 8 bits; activations are `u8`, `i8`, `u16` or `i16` codes
//! with any `z_x`; the bias is `round(b / (s_x s_w))` in 64 bits, because small scales make it large. Nothing in the sum is rounded: the
//! one inexact step is the multiplication by `s_x s_w` at the end.
//!
//! # How z_x and signed codes are handled
//! The kernels multiply unsigned bytes. A signed code is its unsigned neighbour minus an offset
//! (128, 32768), so both it and `z_x` are a constant `d` added to an unsigned code `u`, and
//!
//! ```text
//! sum (u + d) w  =  sum u w  +  d sum w                                                    (4b)
//! ```
//!
//! where `sum w` of each output channel, its column sum, is known when the weights are packed: the whole
//! correction is a change of the bias. It stays true at the border if the padding has the code of real
//! zero, `-z_x`, because then `u + d = 0` there.

mod accumulate;
pub mod activation;
pub mod bias;
pub mod bound;
pub mod conv2d;
pub mod conv2d_ref;
pub mod linear;
pub mod weights;
mod window;

pub use activation::Activation;
pub use bias::quantize_bias;
pub use bound::Accumulators;
pub use conv2d::{integer_conv2d, quantized_conv2d};
pub use conv2d_ref::integer_conv2d_ref;
pub use linear::{integer_linear, integer_linear_ref, quantized_linear};
pub use weights::PackedWeights;

//! Networks: the residual networks of CIFAR-10, and a network together with how it is quantized.

pub mod equalize;
mod family;
mod network;
pub mod quantized;
mod resnet;
mod rounded;

pub use network::Network;
pub use quantized::QuantizedNetwork;
pub use resnet::{Shortcut, resnet};

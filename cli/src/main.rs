//! The quantization lab's command line.

fn main() {}

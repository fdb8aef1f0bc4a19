//! Convolution weights between PyTorch's layout `[O, I, KH, KW]` and the engine's `[O, KH, KW, I]`.
//!
//! Tensors of other ranks (linear weights `[O, I]`, vectors) are the same in both.

use engine::{Shape, Tensor};

/// PyTorch's layout -> the engine's.
pub fn from_torch(tensor: Tensor) -> Tensor {
    permute(tensor, [0, 2, 3, 1])
}

/// The engine's layout -> PyTorch's.
pub fn to_torch(tensor: Tensor) -> Tensor {
    permute(tensor, [0, 3, 1, 2])
}

/// The shape a tensor of the engine's `shape` has on disk.
pub fn torch_shape(shape: Shape) -> Shape {
    match *shape.dims() {
        [o, kh, kw, i] => Shape::new(&[o, i, kh, kw]),
        _ => shape,
    }
}

/// `y[a, b, c, d] = x[..]` where dimension `k` of `y` is dimension `axes[k]` of `x`.
fn permute(x: Tensor, axes: [usize; 4]) -> Tensor {
    let &[_, d1, d2, d3] = x.dims() else { return x };
    let strides = [d1 * d2 * d3, d2 * d3, d3, 1];
    let extent = axes.map(|axis| x.dims()[axis]);
    let stride = axes.map(|axis| strides[axis]);
    let mut values = Vec::with_capacity(x.len());
    for a in 0..extent[0] {
        for b in 0..extent[1] {
            for c in 0..extent[2] {
                for d in 0..extent[3] {
                    values.push(x.data()[a * stride[0] + b * stride[1] + c * stride[2] + d * stride[3]]);
                }
            }
        }
    }
    Tensor::from_vec(extent, values).expect("a permutation keeps the number of elements")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_go_where_they_belong_and_back() {
        let (o, i, kh, kw) = (2, 3, 4, 5);
        let torch = Tensor::from_fn([o, i, kh, kw], |n| n as f32);
        let ours = from_torch(torch.clone());
        assert_eq!(ours.dims(), [o, kh, kw, i]);
        for (a, b, c, d) in [(0, 0, 0, 0), (1, 2, 3, 4), (1, 0, 2, 3), (0, 1, 3, 0)] {
            let torch_value = torch.data()[((a * i + b) * kh + c) * kw + d];
            assert_eq!(ours.data()[((a * kh + c) * kw + d) * i + b], torch_value);
        }
        assert_eq!(torch_shape(ours.shape()), torch.shape());
        assert_eq!(to_torch(ours), torch);
        let linear = Tensor::from_fn([2, 3], |n| n as f32);
        assert_eq!(from_torch(linear.clone()), linear);
    }
}

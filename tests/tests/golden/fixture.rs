//! One file of golden numbers.

use std::path::PathBuf;

use engine::{Shape, Tensor};
use models::formats::layout;
use safetensors::SafeTensors;

/// A safetensors file, whole.
pub struct Golden(Vec<u8>);

impl Golden {
    /// `<name>.safetensors` from `$GOLDEN_DIR`, else from `tests/fixtures`.
    pub fn open(name: &str) -> Self {
        let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        // cargo runs tests in their package's folder; a relative path is meant from the workspace's.
        let folder = match std::env::var_os("GOLDEN_DIR") {
            Some(folder) => package.join("..").join(folder),
            None => package.join("fixtures"),
        };
        let path = folder.join(name).with_extension("safetensors");
        Self(std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
    }

    /// Shape and raw little-endian bytes under `key`.
    pub fn bytes(&self, key: &str) -> (Vec<usize>, Vec<u8>) {
        let file = SafeTensors::deserialize(&self.0).expect("a safetensors file");
        let view = file.tensor(key).unwrap_or_else(|e| panic!("{key}: {e}"));
        (view.shape().to_vec(), view.data().to_vec())
    }

    pub fn f32(&self, key: &str) -> Vec<f32> {
        self.bytes(key).1.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }

    pub fn i32(&self, key: &str) -> Vec<i32> {
        self.bytes(key).1.chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().unwrap())).collect()
    }

    /// A float tensor; four dimensions are taken from PyTorch's order (channels second) to the engine's.
    pub fn tensor(&self, key: &str) -> Tensor {
        let shape = Shape::new(&self.bytes(key).0);
        layout::from_torch(Tensor::from_vec(shape, self.f32(key)).unwrap())
    }

    pub fn keys(&self) -> Vec<String> {
        let file = SafeTensors::deserialize(&self.0).expect("a safetensors file");
        file.names().iter().map(|n| n.to_string()).collect()
    }

    /// The metadata under `key`, as JSON.
    pub fn json(&self, key: &str) -> serde_json::Value {
        let (_, header) = SafeTensors::read_metadata(&self.0).expect("a header");
        let metadata = header.metadata().as_ref().expect("metadata");
        serde_json::from_str(&metadata[key]).expect("JSON")
    }
}

/// `|got - want| <= bound * max|want|` for every element, and no NaN.
pub fn assert_close(what: &str, got: &Tensor, want: &Tensor, bound: f32) {
    assert_eq!(got.shape(), want.shape(), "{what}");
    let bound = bound * want.data().iter().fold(1e-6f32, |m, v| m.max(v.abs()));
    for (i, (g, w)) in got.data().iter().zip(want.data()).enumerate() {
        assert!((g - w).abs() <= bound, "{what}: element {i} is {g} instead of {w} (bound {bound})");
    }
}

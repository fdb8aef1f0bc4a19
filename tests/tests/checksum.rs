//! One checksum on every machine: the logits of the slice's 1,000 test images, by integer-only networks of five widths, are
//! the same bits on every instruction set and for any number of threads.
//!
//! The usual test takes 20 images and a few numbers of threads; `CHECKSUM=all cargo test --release -p tests --test checksum
//! -- --nocapture` takes all of both.

use std::path::{Path, PathBuf};

use models::data::cifar10::{Cifar10, ImageSet, interleave};
use models::formats::int_model;
use quant::int_graph::IntEngine;
use quant::kernel::KERNELS;

/// Of each width: the checksum of the first 20 images' logits, and of all 1,000.
const EXPECTED: [(&str, u64, u64); 5] = [
    ("W8A8", 0x9b48_85bc_05da_956e, 0xf13f_a911_0249_a33d),
    ("W4A4", 0x52c1_65ef_e8e8_a54d, 0x3535_b6d7_24b5_2422),
    ("W8A2", 0x33b8_7e11_aef3_6e42, 0xfa4e_2791_009c_5e56),
    ("W2A8", 0x11f8_c78d_89f5_3945, 0xdc36_351c_1768_0ec0),
    ("W2A2", 0xbb7f_a973_ef14_0452, 0xa44f_1f55_1442_03a1),
];

fn file(bits: &str) -> PathBuf {
    let folder = if bits == "W8A8" { "../models/assets" } else { "fixtures/integer" };
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(format!("ResNet20_{bits}.safetensors"))
}

/// FNV-1a, 64 bits (Fowler, Noll and Vo), over the numbers' little-endian bytes.
fn checksum(logits: &[i32]) -> u64 {
    let bytes = logits.iter().flat_map(|logit| logit.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn images(set: &ImageSet, count: usize) -> Vec<u8> {
    (0..count).flat_map(|i| interleave(set.image(i))).collect()
}

#[test]
fn logits_have_one_checksum_on_every_instruction_set_and_any_threads() {
    assert_eq!(checksum(&[]), 0xcbf2_9ce4_8422_2325);
    assert_eq!(checksum(&[0x61]), 0xac80_4b82_0e4f_e984); // of the bytes "a\0\0\0"
    let all = std::env::var("CHECKSUM").is_ok_and(|what| what == "all");
    let (count, threads): (usize, &[usize]) =
        if all { (1000, &[1, 2, 3, 4, 7, 8, 16]) } else { (20, &[1, 3]) };
    let slice = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/assets/cifar10-slice");
    let images = images(&Cifar10::open(slice).unwrap().test, count);
    for isa in KERNELS.iter().filter(|kernel| kernel.max_weight >= 128) {
        if !isa.available() {
            eprintln!("SKIPPED: this CPU does not have {}", isa.isa);
            continue;
        }
        for (bits, of_20, of_all) in EXPECTED {
            let graph = int_model::read(&file(bits)).unwrap().0;
            let engine = IntEngine::for_isa(graph, isa.isa).unwrap();
            for &threads in threads {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let logits = pool.install(|| engine.run(&images)).unwrap();
                let (sum, expected) = (checksum(&logits), if all { of_all } else { of_20 });
                assert_eq!(
                    format!("{sum:#018x}"),
                    format!("{expected:#018x}"),
                    "{bits} on {} with {threads} threads",
                    isa.isa
                );
            }
        }
        eprintln!("checksums of {count} images on {}: equal", isa.isa);
    }
}

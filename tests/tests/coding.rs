//! The entropy coder: there and back for whatever numbers, in as many bytes as the plain measure (6j) says, and no panic
//! for bytes that nobody wrote.

use proptest::prelude::*;
use quant::coding::{
    Coder, Decoder, Encoder, Floats, Ideal, Integers, Number, Part, Text, Tree, WeightCodes,
};

/// One of everything that can be passed.
#[derive(Clone, Debug, PartialEq)]
struct Message {
    symbols: Vec<u32>,
    numbers: Vec<u64>,
    floats: Vec<u32>,
    integers: Vec<i64>,
    text: String,
    bits: u32,
    w_int: Vec<i8>,
}

/// Filters of 3 x 3 x 2.
const DIMS: [usize; 4] = [7, 3, 3, 2];

impl Message {
    /// As long, and nothing in it.
    fn blank(&self) -> Self {
        Self {
            symbols: vec![0; self.symbols.len()],
            numbers: vec![0; self.numbers.len()],
            floats: vec![0; self.floats.len()],
            integers: vec![0; self.integers.len()],
            text: String::new(),
            bits: self.bits,
            w_int: vec![0; self.w_int.len()],
        }
    }

    fn pass(&self, c: &mut impl Coder) -> engine::Result<Self> {
        let (mut tree, mut number, mut floats) = (Tree::new(4), Number::default(), Floats::default());
        let symbols = self.symbols.iter().map(|&s| tree.code(c, s)).collect();
        let numbers = self.numbers.iter().map(|&n| number.code(c, n)).collect();
        let mut values: Vec<f32> = self.floats.iter().map(|&v| f32::from_bits(v)).collect();
        floats.code(c, &mut values);
        let (mut integers, mut w_int) = (self.integers.clone(), self.w_int.clone());
        Integers::default().code(c, &mut integers);
        c.part(Part::Codes);
        WeightCodes::default().code(c, &mut w_int, self.bits, &DIMS);
        let text = Text::default().code(c, &self.text)?;
        let floats = values.iter().map(|v| v.to_bits()).collect();
        Ok(Self { symbols, numbers, floats, integers, text, bits: self.bits, w_int })
    }
}

prop_compose! {
    fn message()(bits in 1u32..=8)(
        symbols in prop::collection::vec(0u32..16, 0..40),
        numbers in prop::collection::vec(prop_oneof![any::<u64>(), 0u64..20], 0..40),
        floats in prop_oneof![
            prop::collection::vec(any::<f32>().prop_map(f32::to_bits), 0..40),
            prop::collection::vec(any::<f32>().prop_map(|v| v.to_bits() & 0xffff_0000), 0..40),
            (any::<f32>(), 1usize..40).prop_map(|(v, n)| vec![v.to_bits(); n]),
        ],
        integers in prop::collection::vec(prop_oneof![any::<i64>(), -20i64..20], 0..40),
        text in "\\PC{0,40}",
        w_int in prop::collection::vec(-(1i32 << (bits - 1))..(1 << (bits - 1)), 7 * 18),
        bits in Just(bits),
    ) -> Message {
        let w_int = w_int.into_iter().map(|w| w as i8).collect();
        Message { symbols, numbers, floats, integers, text, bits, w_int }
    }
}

proptest! {
    #[test]
    fn what_was_written_comes_back_in_the_bytes_it_is_worth(message in message()) {
        let (mut encoder, mut ideal) = (Encoder::default(), Ideal::default());
        prop_assert_eq!(&message.pass(&mut encoder).unwrap(), &message);
        prop_assert_eq!(&message.pass(&mut ideal).unwrap(), &message);
        let (bytes, spent) = encoder.finish();
        let mut decoder = Decoder::new(&bytes);
        prop_assert_eq!(&message.blank().pass(&mut decoder).unwrap(), &message);
        decoder.finish().unwrap();
        let worth = ideal.bits / 8.0;
        prop_assert!((bytes.len() as f64) <= 1.01 * worth + 16.0, "{} bytes for {worth}", bytes.len());
        prop_assert!(bytes.len() as f64 >= worth - 1.0, "{} bytes for {worth}", bytes.len());
        let spent = spent.values().sum::<f64>() / 8.0;
        prop_assert!((spent - bytes.len() as f64).abs() <= 2.0, "{spent} bytes in parts of {}", bytes.len());
        // What is cut short or goes on is noticed.
        let cut = |bytes: &[u8]| {
            let mut decoder = Decoder::new(bytes);
            message.blank().pass(&mut decoder).map_err(|_| ()).and_then(|_| decoder.finish().map_err(|_| ()))
        };
        prop_assert!(cut(&[&bytes[..], &[0]].concat()).is_err());
        if bytes.len() > 8 {
            prop_assert!(cut(&bytes[..bytes.len() - 4]).is_err());
        }
    }

    #[test]
    fn bytes_that_nobody_wrote_do_no_harm(message in message(), bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut decoder = Decoder::new(&bytes);
        let read = message.blank().pass(&mut decoder);
        if let Ok(read) = read {
            prop_assert_eq!(read.w_int.len(), message.w_int.len());
            let grid = -(1i32 << (message.bits - 1))..(1 << (message.bits - 1));
            prop_assert!(read.w_int.iter().all(|&w| grid.contains(&i32::from(w))));
        }
    }
}

/// 20,000 codes of a bell curve take no more than they are worth, and that is less than their width.
#[test]
fn long_messages_cost_their_entropy() {
    let mut rng = engine::rng::Rng::at(1, engine::rng::Purpose::Init, 0, 0);
    for (bits, deviation) in [(2u32, 0.8f32), (4, 2.0), (8, 20.0)] {
        let limit = (1i32 << (bits - 1)) as f32;
        let mut w_int: Vec<i8> = (0..20_160)
            .map(|_| (deviation * rng.normal()).round().clamp(-limit, limit - 1.0) as i8)
            .collect();
        let dims = [140, 3, 3, 16];
        let (mut encoder, mut ideal) = (Encoder::default(), Ideal::default());
        WeightCodes::default().code(&mut encoder, &mut w_int, bits, &dims);
        WeightCodes::default().code(&mut ideal, &mut w_int, bits, &dims);
        let (bytes, worth) = (encoder.finish().0.len() as f64, ideal.bits / 8.0);
        assert!((bytes - worth).abs() <= 0.001 * worth + 2.0, "{bits} bits: {bytes} for {worth}");
        // The entropy of the codes as they are, which is what a coder would take that knew their frequencies.
        let mut counts = [0.0f64; 256];
        w_int.iter().for_each(|w| counts[usize::from(w.cast_unsigned())] += 1.0);
        let n = w_int.len() as f64;
        let entropy: f64 =
            counts.iter().filter(|c| **c > 0.0).map(|c| -c * (c / n).log2()).sum::<f64>() / 8.0;
        assert!(bytes < 1.04 * entropy + 16.0, "{bits} bits: {bytes} for an entropy of {entropy}");
        assert!(bytes < 0.98 * n * f64::from(bits) / 8.0, "{bits} bits: {bytes}");
    }
}

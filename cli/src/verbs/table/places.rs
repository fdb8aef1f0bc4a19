//! The cells of a table, in its order, and who fills them.

use quant::Widths;

use super::{CellMode, TableArgs};

/// Which cell: widths, with or without training, the method's name, the seed.
pub(super) type Place<'a> = (Widths, CellMode, &'a str, u64);

impl TableArgs {
    /// Every cell, in the order they are computed.
    pub(super) fn places(&self, seed: u64) -> Vec<Place<'_>> {
        let mut places = Vec::new();
        for &bits in &self.bits {
            for &mode in &self.modes {
                for method in &self.methods {
                    let more: &[u64] = if mode == CellMode::Qat { &self.seeds } else { &[] };
                    let seeds = std::iter::once(seed).chain(more.iter().copied());
                    places.extend(seeds.map(|seed| (bits, mode, method.as_str(), seed)));
                }
            }
        }
        places
    }

    /// Whether each of `places` is to be filled here. Shards are dealt the cells that are trained first, one to each in turn,
    /// and then the others: dealt in the table's order, the few that take hours could all be one shard's.
    pub(super) fn own(&self, places: &[Place<'_>]) -> Vec<bool> {
        let Some(shard) = self.shard else { return vec![true; places.len()] };
        let (trained, others): (Vec<usize>, Vec<usize>) =
            (0..places.len()).partition(|&place| places[place].1 == CellMode::Qat);
        let mut own = vec![false; places.len()];
        let dealt = trained.into_iter().chain(others).enumerate();
        dealt.for_each(|(number, place)| own[place] = shard.takes(number));
        own
    }
}

#[cfg(test)]
mod tests {
    use crate::run::settings;

    use super::*;

    #[test]
    fn what_is_trained_is_spread_over_the_shards() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        let mut takers = Vec::new();
        for shard in 1..=4 {
            std::fs::write(&file, format!("shard = \"{shard}/4\"\n")).unwrap();
            let args: TableArgs = settings::from_file("table", &file).unwrap();
            let places = args.places(1);
            let own = args.own(&places);
            let share =
                |mode| places.iter().zip(&own).filter(|(place, own)| **own && place.1 == mode).count();
            assert!(
                (2..=3).contains(&share(CellMode::Qat)) && (2..=3).contains(&share(CellMode::Ptq)),
                "{shard}"
            );
            takers.push(own);
        }
        assert_eq!(takers[0].len(), 20);
        for place in 0..20 {
            assert_eq!(takers.iter().filter(|own| own[place]).count(), 1, "{place}");
        }
    }
}

//! Epochs: every image once, in an order that depends on (seed, epoch) alone, batch by batch.

use std::sync::{Arc, mpsc};

use engine::{
    Tensor,
    rng::{Purpose, Rng},
};

use crate::{
    data::augment::{self, Augment, Normalization},
    data::cifar10::ImageSet,
};

/// Images, ready for the network, and their classes.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Number of the batch in its epoch, from 0.
    pub number: usize,
    /// The images' places in the set.
    pub indices: Vec<usize>,
    /// `[N, 32, 32, 3]`, normalised.
    pub x: Tensor,
    /// The classes, as numbers.
    pub labels: Vec<usize>,
}

/// How an image set is turned into batches.
///
/// ```
/// use models::{data::cifar10::ImageSet, data::loader::Loader};
/// let set = ImageSet::from_records("ten black airplanes", vec![0; 10 * 3073])?;
/// let loader = Loader::evaluation(&set, 4, Default::default());
/// let sizes: Vec<usize> = loader.epoch(0).map(|batch| batch.labels.len()).collect();
/// assert_eq!(sizes, [4, 4, 2]);
/// # Ok::<(), models::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Loader {
    /// Where the images come from.
    pub set: ImageSet,
    /// Which of them, in the order used without shuffling. Shared, so that a loader is cheap to clone.
    pub indices: Arc<[usize]>,
    /// Images of a batch; at least 1.
    pub batch_size: usize,
    /// Mean and deviation.
    pub normalization: Normalization,
    /// Random changes.
    pub augment: Augment,
    /// Whether each epoch has an order of its own.
    pub shuffle: bool,
    /// Whether a last batch smaller than `batch_size` is left out.
    pub drop_last: bool,
    /// Of order and augmentation.
    pub seed: u64,
}

impl Loader {
    /// All images in order, unchanged, the last batch as small as it comes.
    pub fn evaluation(set: &ImageSet, batch_size: usize, normalization: Normalization) -> Self {
        Self {
            set: set.clone(),
            indices: (0..set.len()).collect(),
            batch_size: batch_size.max(1),
            normalization,
            augment: Augment::NONE,
            shuffle: false,
            drop_last: false,
            seed: 0,
        }
    }

    /// All images, shuffled and augmented anew each epoch, whole batches only (batch statistics of a
    /// handful of images would disturb the running ones). A set smaller than a batch is one batch.
    pub fn training(
        set: &ImageSet,
        batch_size: usize,
        normalization: Normalization,
        augment: Augment,
        seed: u64,
    ) -> Self {
        let drop_last = set.len() >= batch_size;
        Self { augment, shuffle: true, drop_last, seed, ..Self::evaluation(set, batch_size, normalization) }
    }

    /// The same loader over some of the images.
    ///
    /// # Panics
    /// If an index is outside the set.
    pub fn over(mut self, indices: impl Into<Arc<[usize]>>) -> Self {
        self.indices = indices.into();
        assert!(self.indices.iter().all(|&i| i < self.set.len()), "a subset of {} images", self.set.len());
        self.drop_last &= self.indices.len() >= self.batch_size;
        self
    }

    /// Batches of an epoch.
    pub fn batches(&self) -> usize {
        let n = self.indices.len();
        if self.drop_last { n / self.batch_size } else { n.div_ceil(self.batch_size) }
    }

    /// Images of an epoch.
    pub fn images(&self) -> usize {
        self.indices.len().min(self.batches() * self.batch_size)
    }

    /// The order of the images in `epoch`.
    pub fn order(&self, epoch: usize) -> Vec<usize> {
        let mut order = self.indices.to_vec();
        if self.shuffle {
            Rng::at(self.seed, Purpose::Shuffle, epoch, 0).shuffle(&mut order);
        }
        order
    }

    /// The batches of `epoch`, each prepared when it is asked for. `skip(n)` of the result prepares the
    /// skipped ones too; see [`Loader::epoch_from`].
    pub fn epoch(&self, epoch: usize) -> Epoch {
        self.epoch_from(epoch, 0)
    }

    /// The batches of `epoch` from number `first` on: the rest of an interrupted epoch.
    pub fn epoch_from(&self, epoch: usize, first: usize) -> Epoch {
        Epoch {
            order: self.order(epoch),
            table: Box::new(self.normalization.table()),
            loader: self.clone(),
            epoch,
            next: first,
        }
    }

    /// The same batches in the same order as [`Loader::epoch_from`], prepared by another thread while the
    /// caller computes: at most `ahead` (at least 1) wait at a time. Dropping it ends the thread.
    pub fn prefetch(&self, epoch: usize, first: usize, ahead: usize) -> Prefetch {
        let batches = self.epoch_from(epoch, first);
        let (sender, receiver) = mpsc::sync_channel(ahead.max(1));
        let thread = std::thread::spawn(move || {
            for batch in batches {
                if sender.send(batch).is_err() {
                    return; // nobody listens any more
                }
            }
        });
        Prefetch { receiver: Some(receiver), thread: Some(thread) }
    }
}

/// Iterator over the batches of one epoch.
#[derive(Debug)]
pub struct Epoch {
    loader: Loader,
    order: Vec<usize>,
    table: Box<augment::PixelTable>,
    epoch: usize,
    next: usize,
}

impl Iterator for Epoch {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let Loader { set, batch_size, augment, seed, .. } = &self.loader;
        let number = self.next;
        if number >= self.loader.batches() {
            return None;
        }
        self.next += 1;
        let start = number * batch_size;
        let indices = self.order[start..self.order.len().min(start + batch_size)].to_vec();
        let x = augment::batch(set, &indices, augment, &self.table, *seed, self.epoch);
        let labels = indices.iter().map(|&i| set.label(i)).collect();
        Some(Batch { number, indices, x, labels })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.loader.batches().saturating_sub(self.next);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Epoch {}

/// Iterator over batches that another thread prepares.
#[derive(Debug)]
pub struct Prefetch {
    receiver: Option<mpsc::Receiver<Batch>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Iterator for Prefetch {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let batch = self.receiver.as_ref()?.recv().ok();
        if batch.is_none() {
            self.join(); // the end, or a panic that must not look like the end
        }
        batch
    }
}

impl Prefetch {
    fn join(&mut self) {
        self.receiver = None; // a sender that waits wakes up with an error
        if let Some(Err(panic)) = self.thread.take().map(std::thread::JoinHandle::join)
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        self.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cifar10::RECORD_BYTES;

    /// Record `i` has label `i % 10` and pixels that tell it from the others.
    fn set(n: usize) -> ImageSet {
        let mut bytes = vec![0; n * RECORD_BYTES];
        for (i, record) in bytes.chunks_mut(RECORD_BYTES).enumerate() {
            record[0] = (i % 10) as u8;
            record[1..].iter_mut().enumerate().for_each(|(j, b)| *b = (i * 7 + j) as u8);
        }
        ImageSet::from_records("test", bytes).unwrap()
    }

    fn training(n: usize, batch_size: usize) -> Loader {
        Loader::training(&set(n), batch_size, Normalization::COURSE, Augment::STANDARD, 9)
    }

    #[test]
    fn an_epoch_visits_every_image_once_with_its_label() {
        for (shuffle, drop_last, expected) in [(true, false, 25), (false, false, 25), (true, true, 24)] {
            let loader = Loader { shuffle, drop_last, ..training(25, 8) };
            let mut seen = Vec::new();
            for batch in loader.epoch(3) {
                assert_eq!(batch.x.dims()[0], batch.labels.len());
                batch.indices.iter().zip(&batch.labels).for_each(|(i, &l)| assert_eq!(i % 10, l));
                seen.extend(batch.indices);
            }
            assert_eq!((seen.len(), loader.images()), (expected, expected));
            assert_eq!(seen.is_sorted(), !shuffle);
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), expected);
        }
    }

    #[test]
    fn orders_differ_between_epochs_and_seeds_only() {
        let loader = training(100, 10);
        assert_eq!(loader.order(1), loader.order(1));
        assert_ne!(loader.order(1), loader.order(2));
        assert_ne!(loader.order(1), Loader { seed: 10, ..loader.clone() }.order(1));
    }

    #[test]
    fn prefetch_and_resume_give_the_same_batches() {
        let loader = training(50, 8);
        let plain: Vec<Batch> = loader.epoch(4).collect();
        for (first, ahead) in [(0, 1), (0, 4), (3, 2)] {
            let fetched: Vec<Batch> = loader.prefetch(4, first, ahead).collect();
            assert_eq!(fetched.len(), plain.len() - first);
            for (a, b) in fetched.iter().zip(&plain[first..]) {
                assert_eq!((a.number, &a.indices, &a.x, &a.labels), (b.number, &b.indices, &b.x, &b.labels));
            }
        }
    }

    #[test]
    fn dropping_a_prefetch_early_ends_its_thread() {
        let mut prefetch = training(50, 2).prefetch(0, 0, 1);
        assert_eq!(prefetch.next().unwrap().number, 0);
        drop(prefetch); // hangs here if the thread does not end
    }

    #[test]
    fn subsets_and_small_sets() {
        let loader = training(30, 8).over(vec![3, 5, 7]);
        assert_eq!((loader.batches(), loader.images()), (1, 3));
        let mut order = loader.order(0);
        order.sort();
        assert_eq!(order, [3, 5, 7]);
        assert_eq!(training(5, 8).batches(), 1);
    }
}

//! `qat --dry-run`, and what a cell of a table takes that is trained by a recipe.

use anyhow::Result;
use models::QuantizedNetwork;

use super::QatArgs;
use crate::run::context::Context;
use crate::run::experiment::{BASIS, Pace, SMALL, Setup, Training};
use crate::run::forecast::{Forecast, timed};

impl QatArgs {
    /// Adds the training, and what it starts from, and gives a short form of that.
    pub(crate) fn forecast(
        &self,
        forecast: &mut Forecast,
        context: &Context,
        setup: &Setup,
        pace: &Pace<'_>,
        training: &Training,
    ) -> Result<QuantizedNetwork> {
        let images = self.calibration_images.min(setup.train.len()); // there are no more
        let few = Self { calibration_images: images.min(SMALL), ..self.clone() };
        let (start, seconds) = timed(|| few.start(context, setup, few.init(context, setup)?))?;
        let more = images as f64 / few.calibration_images as f64;
        let what = format!("{}: calibrate on {images} images to start from", self.widths.bits);
        forecast.stage(what, seconds * more);
        pace.training(forecast, &start, training)?;
        Ok(start)
    }
}

/// Does each piece in small, and says what the whole takes.
///
/// # Errors
/// If a piece fails.
pub(super) fn show(args: &QatArgs, context: &Context, setup: &Setup, training: &Training) -> Result<()> {
    let (pace, mut forecast) = (Pace::new(context, setup), Forecast::new(BASIS));
    pace.float(&mut forecast)?;
    let quantized = pace.quantization(&mut forecast, &args.post_training())?;
    pace.scores(&mut forecast, &quantized)?;
    args.forecast(&mut forecast, context, setup, &pace, training)?;
    pace.scores(&mut forecast, &quantized)?;
    pace.page(&mut forecast, &quantized)?;
    forecast.show(context)
}

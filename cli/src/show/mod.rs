//! What verbs share in showing: tables and histograms in a terminal, plots, pages.

pub mod axis;
pub mod bars;
pub mod contact_sheet;
pub mod distinct;
pub mod drawing;
pub mod front;
pub mod heat;
pub mod histogram;
pub mod levels;
pub mod objective;
pub mod picture;
pub mod plot;
pub mod published;
#[cfg(test)]
mod records;
pub mod report;
pub mod scale_curve;
pub mod svg;
pub mod text_table;

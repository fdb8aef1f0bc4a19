//! What verbs share in showing: tables and histograms in a terminal, plots, pages.

pub mod contact_sheet;
pub mod histogram;
pub mod levels;
pub mod plot;
pub mod report;
pub mod svg;
pub mod text_table;

//! Factors that move between neighbouring layers, so that integers fit better, while the float network stays the same.

pub mod balance;

pub use balance::balance;

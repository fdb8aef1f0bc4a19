//! Shared by the cross-crate tests: where fixtures and optional large data are found.

//! The integration tests: one binary.

mod retention;
mod tidy;
mod vectors;

//! The integration tests: one binary.

mod retention;
mod vectors;

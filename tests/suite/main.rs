//! The integration tests: one binary.

mod cli;
mod retention;
mod tidy;
mod vectors;

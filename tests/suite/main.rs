//! The integration tests: one binary.

mod cli;
mod retention;
mod tidy;
mod tour;
mod vectors;

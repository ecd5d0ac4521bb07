//! The integration tests: one binary.

mod cli;
mod retention;
mod second_reader;
mod tidy;
mod tour;
mod vectors;

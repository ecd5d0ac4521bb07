//! The integration tests: one binary.

mod cli;
mod compat;
mod crash;
mod fuzz;
mod processes;
mod restoring;
mod retention;
mod second_reader;
mod support;
mod tidy;
mod tour;
mod vectors;

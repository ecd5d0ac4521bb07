//! The integration tests: one binary.

mod cli;
mod compat;
mod crash;
mod damage;
mod drill;
mod fuzz;
mod jobs;
mod operation;
mod processes;
mod restoring;
mod retention;
mod s3;
mod second_reader;
mod spool;
mod stolen_host;
mod support;
mod terminal;
mod thirty_days;
mod tidy;
mod tour;
mod vectors;

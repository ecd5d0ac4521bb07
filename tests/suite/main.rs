//! The integration tests: one binary.

mod retention;

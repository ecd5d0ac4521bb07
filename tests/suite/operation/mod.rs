#![allow(clippy::unwrap_used, clippy::expect_used)]
//! What is remembered and told: the audit log, notices, doctor.

mod audit;
mod cost;
mod doctor;
mod notices;
mod report;
mod stats;

//! What `./tour` needs besides icecore: data that lives, and a second opinion of what came back.
//!
//! Everything is generated from fixed seeds. Nothing here uses the library: what it compares, it
//! compares by itself.

#![forbid(unsafe_code)]

mod compare;
mod database;
mod random;
mod tree;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

/// Anything that went wrong, for people.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

const USAGE: &str = "\
usage: tour-data COMMAND
  make DATABASE MEGABYTES      a SQLite database of orders, accounts and movements, in WAL mode
  write DATABASE STOP          commit after commit, until the file STOP is there
  append DATABASE ROWS         so many new orders
  change DATABASE ONE_IN       one of so many orders, everywhere in the table
  movements DATABASE           how many movements were committed
  check DATABASE LEAST MOST    sound, balanced, and with so many movements
  compare DATABASE DATABASE    every row of every table the same
  tree DIRECTORY FILES         a project with so many source files, and what can be rebuilt
  churn DIRECTORY STOP         logs and new files in it, until the file STOP is there
  compare-tree LIVE RESTORED   every byte, mode and time the same, and nothing that can be rebuilt
  spoil FILE OFFSET            one byte of a file becomes another";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tour-data: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Outcome<()> {
    match arguments {
        ["make", path, megabytes] => database::make(Path::new(path), megabytes.parse()?),
        ["write", path, stop] => database::write(Path::new(path), Path::new(stop)),
        ["append", path, rows] => database::append(Path::new(path), rows.parse()?),
        ["change", path, one_in] => database::change(Path::new(path), one_in.parse()?),
        ["movements", path] => database::movements(Path::new(path)),
        ["check", path, least, most] => {
            compare::check(Path::new(path), least.parse()?, most.parse()?)
        }
        ["compare", left, right] => compare::databases(Path::new(left), Path::new(right)),
        ["tree", root, files] => tree::make(Path::new(root), files.parse()?),
        ["churn", root, stop] => tree::churn(Path::new(root), Path::new(stop)),
        ["compare-tree", live, restored] => compare::trees(Path::new(live), Path::new(restored)),
        ["spoil", path, offset] => tree::spoil(Path::new(path), offset.parse()?),
        _ => Err(USAGE.into()),
    }
}

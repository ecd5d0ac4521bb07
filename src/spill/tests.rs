#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Spilled or not, the same comes out.

use crate::spill::{Bits, ColumnWriter, Scratch, Sorter};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

fn record(number: u32) -> [u8; 12] {
    let mut record = [0; 12];
    // Many begin alike: a block's first bytes do not tell them apart.
    record[..4].copy_from_slice(&(number / 3000).to_be_bytes());
    record[8..].copy_from_slice(&number.to_be_bytes());
    record
}

fn sort(scratch: &Scratch, numbers: &[u32]) -> crate::spill::Sorted<12> {
    let mut sorter = Sorter::new(scratch);
    for number in numbers {
        sorter.push(record(*number)).unwrap();
    }
    sorter.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn records_come_in_order_and_once(
        numbers in proptest::collection::vec(0u32..6000, 0..3000),
        keys in proptest::collection::vec(0u32..6100, 20),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let spilling = Scratch::in_directory(directory.path().join("new")).with_memory(600);
        let expected: Vec<_> = BTreeSet::from_iter(numbers.iter().map(|n| record(*n)))
            .into_iter()
            .collect();
        for scratch in [Scratch::default(), spilling] {
            let sorted = sort(&scratch, &numbers);
            prop_assert_eq!(sorted.len(), expected.len());
            let mut cursor = sorted.cursor();
            let mut read = Vec::new();
            while let Some(record) = cursor.take().unwrap() {
                read.push(record);
            }
            prop_assert_eq!(&read, &expected);
            for key in &keys {
                let key = record(*key);
                for length in [4, 12] {
                    cursor.seek(&key[..length]).unwrap();
                    let place = expected.partition_point(|other| other[..length] < key[..length]);
                    prop_assert_eq!(cursor.position(), place);
                    prop_assert_eq!(cursor.peek().unwrap(), expected.get(place).copied());
                }
            }
        }
    }
}

#[test]
fn what_is_spilled_has_no_name_and_what_fits_is_not_spilled() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("scratch");
    let small = Scratch::in_directory(place.clone());
    let sorted = sort(&small, &[3, 1, 2]);
    assert_eq!(sorted.len(), 3);
    assert!(!place.exists(), "nothing was spilled");
    let sorted = sort(&small.with_memory(100), &Vec::from_iter(0..1000));
    assert_eq!(sorted.len(), 1000);
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0);
    let mode = std::fs::metadata(&place).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn where_nothing_can_be_spilled_an_error_says_so() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let scratch = Scratch::in_directory(file.path().join("below")).with_memory(100);
    let mut sorter = Sorter::new(&scratch);
    let failed = (0..100).find_map(|number| sorter.push(record(number)).err());
    let error = crate::explain::explain(&failed.unwrap());
    assert!(error.contains("intermediate"), "{error}");
}

#[test]
fn columns_and_bits_give_back_what_was_put_in() {
    let directory = tempfile::tempdir().unwrap();
    let spilling = Scratch::in_directory(directory.path().into()).with_memory(1000);
    for scratch in [Scratch::default(), spilling] {
        let mut writer = ColumnWriter::new(&scratch);
        let value = |number: usize| (number * 7 % 251) as u8;
        for number in 0..200_000 {
            writer.push(value(number)).unwrap();
        }
        let column = writer.finish().unwrap();
        let mut cursor = column.cursor();
        for number in (0..200_000).step_by(777).chain([199_999, 0, 70_000]) {
            assert_eq!(cursor.get(number).unwrap(), Some(value(number)));
        }
        assert_eq!(cursor.get(200_000).unwrap(), None);
    }
    let mut bits = Bits::new(130);
    assert!(bits.set(129) && !bits.set(129));
    assert!(bits.get(129) && !bits.get(128) && !bits.get(5000));
    assert!(!bits.set(5000));
}

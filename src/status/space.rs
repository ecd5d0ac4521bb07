//! Whether a repository has room: against the size it is to stay below, and on its disk.

use crate::units::bytes;

/// From this share of the size on it is told.
const LOW_PERCENT: u128 = 80;

/// From this share on something is done about it.
const SHORT_PERCENT: u128 = 95;

/// Below this share of free space on the disk, and so many bytes, it is told.
const DISK_LOW: (u128, u64) = (10, 32 << 30);

/// Below these something is done about it.
const DISK_SHORT: (u128, u64) = (5, 8 << 30);

/// How much room there is. What is not enough says so in one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Room {
    /// All is well.
    Enough,
    /// Somebody should know.
    Low(String),
    /// Something has to be done.
    Short(String),
}

/// Judges a repository of so many bytes that is to stay below `max`, on a disk with so much free of so
/// much in all, bytes.
pub fn room(size: u64, max: Option<u64>, disk: Option<(u64, u64)>) -> Room {
    let mut low = None;
    if let Some(max) = max.filter(|max| *max > 0) {
        let percent = u128::from(size) * 100 / u128::from(max);
        let said = format!("{percent}% of its size is used");
        match percent {
            SHORT_PERCENT.. => return Room::Short(said),
            LOW_PERCENT.. => low = Some(said),
            _ => {}
        }
    }
    if let Some((free, whole)) = disk.filter(|(_, whole)| *whole > 0) {
        let said = format!("its disk has {} left", bytes(free));
        let percent = u128::from(free) * 100 / u128::from(whole);
        let below = |(share, bytes): (u128, u64)| percent < share && free < bytes;
        if below(DISK_SHORT) {
            return Room::Short(said);
        }
        if below(DISK_LOW) {
            low = low.or(Some(said));
        }
    }
    low.map_or(Room::Enough, Room::Low)
}

#[cfg(test)]
mod tests {
    use super::{Room, room};

    #[test]
    fn size_and_disk_are_low_before_they_are_short() {
        let kind = |room: Room| match room {
            Room::Enough => 0,
            Room::Low(_) => 1,
            Room::Short(_) => 2,
        };
        let sizes = [79, 80, 94, 95, 200].map(|size| kind(room(size, Some(100), None)));
        assert_eq!(sizes, [0, 1, 1, 2, 2]);
        let disks = [10, 9, 5, 4, 0].map(|free| kind(room(0, None, Some((free, 100)))));
        assert_eq!(disks, [0, 1, 1, 2, 2]);
        let large = [7, 40].map(|free| kind(room(0, None, Some((free << 30, 1 << 40)))));
        assert_eq!(large, [2, 0], "a small share of a large disk is room");
        assert_eq!(room(u64::MAX, None, None), Room::Enough);
        assert_eq!(room(u64::MAX, Some(0), Some((0, 0))), Room::Enough);
        let said = Room::Short("97% of its size is used".to_owned());
        assert_eq!(room(97, Some(100), Some((1, 100))), said);
        assert_eq!(
            kind(room(85, Some(100), Some((1, 100)))),
            2,
            "the worse counts"
        );
    }
}

//! Recognising the pages of PostgreSQL: relation files, their free space and visibility maps.
//!
//! A guess only chooses how a file is cut: a wrong one costs space, never correctness.

/// Bytes of a page's header.
pub(super) const HEADER_BYTES: usize = 24;

/// Smaller files are no page files to us, whatever is in them: they are grouped instead.
pub(super) const BYTES_MIN: u64 = 64 << 10;

/// Page layout version since PostgreSQL 8.3.
const LAYOUT_VERSION: u16 = 4;

/// Bits that `pd_flags` may have.
const FLAGS: u16 = 0x0007;

/// The page size that a page's header states, bytes; `None` for what is no header of a used page.
/// Little-endian hosts only.
fn stated_page_size(header: &[u8; HEADER_BYTES]) -> Option<u16> {
    let field = |offset: usize| u16::from_le_bytes([header[offset], header[offset + 1]]);
    let (flags, lower, upper, special) = (field(10), field(12), field(14), field(16));
    let (size, version) = (field(18) & 0xff00, field(18) & 0x00ff);
    let is_ordered = HEADER_BYTES as u16 <= lower && lower <= upper && upper <= special;
    let is_sound = version == LAYOUT_VERSION
        && size.is_power_of_two()
        && (1024..=32768).contains(&size)
        && special <= size
        && flags & !FLAGS == 0;
    (is_ordered && is_sound).then_some(size)
}

/// Whether a file of `length` bytes is one of PostgreSQL's. `header` reads the page header at an
/// offset; `None` fails the guess. The first page, one in the middle and the last are looked at:
/// each is used or still zeros, and they agree.
pub(super) fn is_relation<E>(
    length: u64,
    header: &mut dyn FnMut(u64) -> Result<Option<[u8; HEADER_BYTES]>, E>,
) -> Result<bool, E> {
    if length < BYTES_MIN {
        return Ok(false);
    }
    let Some(size) = header(0)?.as_ref().and_then(stated_page_size) else {
        return Ok(false);
    };
    let size = u64::from(size);
    if !length.is_multiple_of(size) {
        return Ok(false);
    }
    let pages = length / size;
    for page in [pages / 2, pages - 1] {
        let fits = header(page * size)?.is_some_and(|header| {
            let stated = stated_page_size(&header).map(u64::from);
            stated == Some(size) || header == [0; HEADER_BYTES]
        });
        if !fits {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::convert::Infallible;

    /// A header as PostgreSQL 15 writes it: LSN, checksum, flags, lower, upper, special, size.
    fn header(flags: u16, bounds: [u16; 3], size_and_version: u16) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[4..8].copy_from_slice(&0x0171_2a48u32.to_le_bytes());
        let fields = [&[flags], &bounds[..], &[size_and_version]].concat();
        for (number, field) in fields.iter().enumerate() {
            header[10 + number * 2..][..2].copy_from_slice(&field.to_le_bytes());
        }
        header
    }

    fn heap() -> [u8; HEADER_BYTES] {
        header(0, [268, 384, 8192], 0x2004)
    }

    fn judge(length: u64, pages: &[[u8; HEADER_BYTES]]) -> bool {
        let mut read = |offset: u64| -> Result<_, Infallible> {
            Ok(pages.get((offset / 8192) as usize).copied())
        };
        is_relation(length, &mut read).unwrap()
    }

    #[test]
    fn relations_are_recognised() {
        let btree = header(0, [64, 8096, 8176], 0x2004);
        let map = header(0, [24, 8192, 8192], 0x2004);
        let all_visible = header(5, [268, 384, 8192], 0x2004);
        for first in [heap(), btree, map, all_visible] {
            assert!(judge(8192 * 8, &[first; 8]));
        }
        let mut extended = [heap(); 8];
        extended[7] = [0; HEADER_BYTES];
        assert!(judge(8192 * 8, &extended), "a page that was never used");
        let large = header(0, [268, 384, 16384], 0x4004);
        let mut read = |_: u64| Ok::<_, Infallible>(Some(large));
        assert!(is_relation(16384 * 4, &mut read).unwrap());
    }

    #[test]
    fn what_is_none_is_not() {
        assert!(!judge(8192 * 7, &[heap(); 7]), "small files are grouped");
        assert!(!judge(8192 * 8 + 100, &[heap(); 9]), "no whole pages");
        assert!(
            !judge(8192 * 8, &[[0; HEADER_BYTES]; 8]),
            "zeros say nothing"
        );
        assert!(!judge(8192 * 8, &[heap(); 3]), "cut short while it is read");
        for wrong in [
            header(0, [268, 384, 8192], 0x2003),
            header(0, [268, 384, 8192], 0x2104),
            header(8, [268, 384, 8192], 0x2004),
            header(0, [20, 384, 8192], 0x2004),
            header(0, [400, 384, 8192], 0x2004),
            header(0, [268, 8192, 384], 0x2004),
            header(0, [268, 384, 8200], 0x2004),
            [0xff; HEADER_BYTES],
            *b"-- PostgreSQL database d",
        ] {
            assert!(!judge(8192 * 8, &[wrong; 8]), "{wrong:?}");
            let mut last = [heap(); 8];
            last[7] = wrong;
            assert!(!judge(8192 * 8, &last), "{wrong:?} at the end");
        }
    }

    #[test]
    fn errors_are_passed_on() {
        let mut read = |_: u64| Err::<Option<[u8; HEADER_BYTES]>, _>("lost");
        assert_eq!(is_relation(1 << 20, &mut read), Err("lost"));
    }
}

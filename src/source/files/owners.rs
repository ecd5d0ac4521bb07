//! Names of users and groups, from the system's own tables.
//!
//! Read once per capture from `/etc/passwd` and `/etc/group`: a directory service (LDAP, SSSD) is
//! not asked, and an owner known only there is recorded by number.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

/// Most bytes read of one table.
const TABLE_BYTES_MAX: u64 = 16 << 20;

/// Longest name that is believed, bytes.
const OWNER_NAME_BYTES_MAX: usize = 256;

/// Numbers to names.
#[derive(Debug, Clone, Default)]
pub(super) struct OwnerNames {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl OwnerNames {
    /// The tables of this system; empty ones where there are none.
    pub(super) fn load() -> Self {
        Self {
            users: read_table(Path::new("/etc/passwd")),
            groups: read_table(Path::new("/etc/group")),
        }
    }

    /// The name of a user.
    pub(super) fn user(&self, uid: u32) -> Option<String> {
        self.users.get(&uid).cloned()
    }

    /// The name of a group.
    pub(super) fn group(&self, gid: u32) -> Option<String> {
        self.groups.get(&gid).cloned()
    }
}

fn read_table(path: &Path) -> HashMap<u32, String> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(TABLE_BYTES_MAX).read_to_end(&mut bytes));
    match read {
        Ok(_) => parse_table(&bytes),
        Err(_) => HashMap::new(),
    }
}

/// Both tables have the name first and the number third, between colons; of several names for one
/// number the first counts, as it does for the system.
fn parse_table(bytes: &[u8]) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(line) = std::str::from_utf8(line) else {
            continue;
        };
        let mut fields = line.split(':');
        let (Some(name), Some(number)) = (fields.next(), fields.nth(1)) else {
            continue;
        };
        if let Ok(number) = number.parse::<u32>()
            && !name.is_empty()
            && name.len() <= OWNER_NAME_BYTES_MAX
        {
            names.entry(number).or_insert_with(|| name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_name_of_a_number_counts() {
        let table = b"root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\nbad\n:x:7:\nx:y:-1:\n\xff:x:3:\nwww:x:33:";
        let names = parse_table(table);
        assert_eq!(names.get(&0).map(String::as_str), Some("root"));
        assert_eq!(names.get(&33).map(String::as_str), Some("www"));
        assert_eq!(names.len(), 2);
    }
}

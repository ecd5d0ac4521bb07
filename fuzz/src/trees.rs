//! Nodes of a tree, and where their names lead.

use super::assert_canonical;
use icecore::format::entry::{
    decode_entries, decode_first_names, encode_entries, encode_first_names, name_is_valid,
};
use icecore::format::node::Links;
use icecore::target::files::TargetPath;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

/// A links blob.
pub fn links(data: &[u8]) {
    if let Some(links) = assert_canonical(Links::decode(data), data, Links::encode) {
        let _ = links.content_length();
    }
}

/// The body of a directory node: whatever it names can be named below a target.
pub fn entries(data: &[u8]) {
    let decoded = assert_canonical(decode_entries(data), data, |entries| {
        encode_entries(entries)
    });
    for entry in decoded.iter().flatten() {
        assert!(name_is_valid(&entry.entry.name));
        assert!(TargetPath::new(&[&entry.entry.name]).is_ok());
    }
}

/// The body of a directory index.
pub fn first_names(data: &[u8]) {
    let decoded = decode_first_names(data);
    assert_canonical(decoded, data, |names| encode_first_names(names));
}

/// Components of any bytes, separated by 0xff: a path that is accepted stays below the target.
pub fn restore_paths(data: &[u8]) {
    let components: Vec<&[u8]> = data.split(|byte| *byte == 0xff).collect();
    for component in &components {
        let accepted = TargetPath::new(&[component]).is_ok();
        assert_eq!(accepted, name_is_valid(component), "{component:?}");
    }
    let Ok(path) = TargetPath::new(&components) else {
        return;
    };
    assert!(!path.as_bytes().contains(&0));
    let found: Vec<_> = Path::new(OsStr::from_bytes(path.as_bytes()))
        .components()
        .map(|part| match part {
            Component::Normal(name) => name.as_bytes(),
            other => panic!("{path} contains {other:?}"),
        })
        .collect();
    assert_eq!(found, components, "components were joined or split");
    assert_eq!(Some(&path.name()), components.last());
}

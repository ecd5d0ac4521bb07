//! The entries of two directories side by side, without the parts that both have.

use crate::id::BlobId;
use crate::repository::{ReadError, Reader};
use crate::tree::{DirectoryPart, Node, read_part};
use std::cmp::Ordering;
use std::collections::{HashSet, VecDeque};

/// One node of a directory.
struct Part {
    id: BlobId,
    state: State,
}

enum State {
    /// A leaf or an index; with the height of the node that named it.
    Unknown(Option<u8>),
    /// A leaf that was not read yet.
    Leaf(Option<u8>),
    /// A leaf.
    Read(Vec<Node>),
}

/// An entry of either directory, or of both under one name.
pub(super) type Pair = (Option<Node>, Option<Node>);

/// Two directories, entry by entry in the order of names. Leaves that both have are left out
/// unread: names are unique within a directory, so what is in such a leaf is nowhere else.
pub(super) struct Pairs<'r, 'a> {
    before: Entries<'r, 'a>,
    after: Entries<'r, 'a>,
}

impl<'r, 'a> Pairs<'r, 'a> {
    /// Opens two directories; `None` is an empty one.
    pub(super) fn open(
        reader: &'r Reader<'a>,
        before: Option<BlobId>,
        after: Option<BlobId>,
    ) -> Result<Self, ReadError> {
        let roots = |id: Option<BlobId>| {
            let state = State::Unknown(None);
            id.map(|id| Part { id, state }).into_iter().collect()
        };
        let (mut before, mut after): (Vec<Part>, Vec<Part>) = (roots(before), roots(after));
        loop {
            leave_out_common(&mut before, &mut after);
            let expanded = expand(reader, &mut before)? | expand(reader, &mut after)?;
            if !expanded {
                break;
            }
        }
        Ok(Self {
            before: Entries::new(reader, before),
            after: Entries::new(reader, after),
        })
    }

    /// The next name that one of them has. Equal entries are among them.
    pub(super) fn next_pair(&mut self) -> Result<Option<Pair>, ReadError> {
        let order = match (self.before.peek()?, self.after.peek()?) {
            (None, None) => return Ok(None),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(before), Some(after)) => before.name().cmp(after.name()),
        };
        let before = match order {
            Ordering::Greater => None,
            _ => self.before.take(),
        };
        let after = match order {
            Ordering::Less => None,
            _ => self.after.take(),
        };
        Ok(Some((before, after)))
    }
}

fn leave_out_common(before: &mut Vec<Part>, after: &mut Vec<Part>) {
    let ids: HashSet<BlobId> = before.iter().map(|part| part.id).collect();
    let common: HashSet<BlobId> = after.iter().map(|part| part.id).collect();
    let common: HashSet<BlobId> = common.intersection(&ids).copied().collect();
    before.retain(|part| !common.contains(&part.id));
    after.retain(|part| !common.contains(&part.id));
}

/// Replaces indexes by what they list; whether there was something to look at.
fn expand(reader: &Reader<'_>, parts: &mut Vec<Part>) -> Result<bool, ReadError> {
    let is_unknown = |part: &Part| matches!(part.state, State::Unknown(_));
    if !parts.iter().any(is_unknown) {
        return Ok(false);
    }
    let mut expanded = Vec::with_capacity(parts.len());
    for part in std::mem::take(parts) {
        let State::Unknown(above) = part.state else {
            expanded.push(part);
            continue;
        };
        match read_part(reader, part.id, above)? {
            (DirectoryPart::Entries { nodes, .. }, _) => expanded.push(Part {
                id: part.id,
                // One leaf is kept, many would be too much.
                state: match above {
                    None => State::Read(nodes),
                    Some(_) => State::Leaf(above),
                },
            }),
            (DirectoryPart::Parts { parts: lower, .. }, height) => {
                let state = |height| match height {
                    1 => State::Leaf(Some(height)),
                    _ => State::Unknown(Some(height)),
                };
                expanded.extend(lower.into_iter().map(|id| Part {
                    id,
                    state: state(height),
                }));
            }
        }
    }
    *parts = expanded;
    Ok(true)
}

/// The entries of some leaves; one leaf is held at a time.
struct Entries<'r, 'a> {
    reader: &'r Reader<'a>,
    leaves: VecDeque<Part>,
    current: std::vec::IntoIter<Node>,
    ahead: Option<Node>,
}

impl<'r, 'a> Entries<'r, 'a> {
    fn new(reader: &'r Reader<'a>, leaves: Vec<Part>) -> Self {
        Self {
            reader,
            leaves: leaves.into(),
            current: Vec::new().into_iter(),
            ahead: None,
        }
    }

    fn peek(&mut self) -> Result<Option<&Node>, ReadError> {
        while self.ahead.is_none() {
            self.ahead = self.current.next();
            if self.ahead.is_some() {
                break;
            }
            let Some(leaf) = self.leaves.pop_front() else {
                break;
            };
            self.current = self.read(leaf)?.into_iter();
        }
        Ok(self.ahead.as_ref())
    }

    fn take(&mut self) -> Option<Node> {
        self.ahead.take()
    }

    fn read(&self, leaf: Part) -> Result<Vec<Node>, ReadError> {
        let above = match leaf.state {
            State::Read(nodes) => return Ok(nodes),
            State::Unknown(above) | State::Leaf(above) => above,
        };
        match read_part(self.reader, leaf.id, above)? {
            (DirectoryPart::Entries { nodes, .. }, _) => Ok(nodes),
            // Below height 1 there are leaves only.
            (DirectoryPart::Parts { .. }, _) => Ok(Vec::new()),
        }
    }
}

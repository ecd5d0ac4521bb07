//! A [`Sink`] that keeps everything in memory, for tests.

use crate::entry::{ChangeStamp, Entry, Facts, Layout};
use crate::explain::explain;
use crate::source::{
    Consistency, Content, Exclusion, Extent, Problem, Sink, SinkError, SourceError,
};

/// What was captured, in the order of the calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// A directory, until the matching `Leave`.
    Enter(Entry),
    /// The end of the directory entered last.
    Leave,
    /// A special file.
    Special(Entry),
    /// A regular file.
    File(RecordedFile),
}

/// A regular file with its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedFile {
    /// As it was read.
    pub entry: Entry,
    /// As it was offered.
    pub stamp: Option<ChangeStamp>,
    /// The content, holes filled with zeros; empty when [`RecordingSink::keeps_content`] is off.
    pub bytes: Vec<u8>,
    /// Bytes that came as holes.
    pub hole_bytes: u64,
    /// Length of the content, bytes.
    pub length: u64,
    /// How it asked to be cut.
    pub layout: Layout,
    /// Whether it changed meanwhile.
    pub consistency: Consistency,
    /// What the source knew about it.
    pub facts: Facts,
}

/// Records everything.
pub struct RecordingSink {
    /// All entries.
    pub entries: Vec<Recorded>,
    /// All problems.
    pub problems: Vec<Problem>,
    /// All exclusions.
    pub exclusions: Vec<Exclusion>,
    /// Off: content is counted, not kept.
    pub keeps_content: bool,
    /// On: files that come with a stamp are not opened.
    pub trusts_stamps: bool,
    /// Called with every file before it is opened.
    pub before_open: Box<dyn FnMut(&Entry)>,
    /// Called between two reads.
    pub between_reads: Box<dyn FnMut()>,
    /// Bytes asked for at a time.
    pub buffer_bytes: usize,
    /// Names of the directories that are open.
    pub parents: Vec<Vec<u8>>,
}

impl Default for RecordingSink {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            problems: Vec::new(),
            exclusions: Vec::new(),
            keeps_content: true,
            trusts_stamps: false,
            before_open: Box::new(|_| {}),
            between_reads: Box::new(|| {}),
            buffer_bytes: 256 << 10,
            parents: Vec::new(),
        }
    }
}

impl RecordingSink {
    /// Paths of everything captured, parts joined by `/`, in order.
    pub fn paths(&self) -> Vec<String> {
        let mut parents: Vec<String> = Vec::new();
        let mut paths = Vec::new();
        for recorded in &self.entries {
            let entry = match recorded {
                Recorded::Leave => {
                    parents.pop();
                    continue;
                }
                Recorded::Enter(entry) | Recorded::Special(entry) => entry,
                Recorded::File(file) => &file.entry,
            };
            let name = String::from_utf8_lossy(&entry.name);
            let path = match parents.last() {
                Some(parent) => format!("{parent}/{name}"),
                None => name.into_owned(),
            };
            paths.push(path.clone());
            if matches!(recorded, Recorded::Enter(_)) {
                parents.push(path);
            }
        }
        paths
    }

    /// The first file of that name.
    pub fn file_named(&self, name: &str) -> Option<&RecordedFile> {
        self.entries.iter().find_map(|recorded| match recorded {
            Recorded::File(file) if file.entry.name == name.as_bytes() => Some(file),
            _ => None,
        })
    }

    fn read(
        &mut self,
        mut content: Box<dyn Content>,
        file: &mut RecordedFile,
    ) -> Result<(), SourceError> {
        let mut buffer = vec![0u8; self.buffer_bytes];
        file.layout = content.layout();
        loop {
            match content.read(&mut buffer)? {
                Extent::Data(length) => {
                    file.length += length as u64;
                    if self.keeps_content {
                        file.bytes.extend_from_slice(&buffer[..length]);
                    }
                }
                Extent::Hole(length) => {
                    file.length += length;
                    file.hole_bytes += length;
                    if self.keeps_content {
                        let end = usize::try_from(file.length).unwrap_or(usize::MAX);
                        file.bytes.resize(end, 0);
                    }
                }
                Extent::End => break,
            }
            (self.between_reads)();
        }
        let end = content.finish()?;
        if let Some(entry) = end.entry {
            file.entry = entry;
        }
        file.consistency = end.consistency;
        file.facts = end.facts;
        Ok(())
    }
}

impl Sink for RecordingSink {
    fn enter(&mut self, directory: Entry) -> Result<(), SinkError> {
        self.parents.push(directory.name.clone());
        self.entries.push(Recorded::Enter(directory));
        Ok(())
    }

    fn leave(&mut self) -> Result<(), SinkError> {
        self.parents.pop();
        self.entries.push(Recorded::Leave);
        Ok(())
    }

    fn special(&mut self, entry: Entry) -> Result<(), SinkError> {
        self.entries.push(Recorded::Special(entry));
        Ok(())
    }

    fn file(
        &mut self,
        entry: Entry,
        stamp: Option<ChangeStamp>,
        open: &mut dyn FnMut() -> Result<Box<dyn Content>, SourceError>,
    ) -> Result<(), SinkError> {
        let mut file = RecordedFile {
            entry,
            stamp,
            bytes: Vec::new(),
            hole_bytes: 0,
            length: 0,
            layout: Layout::Stream,
            consistency: Consistency::Consistent,
            facts: Facts::new(),
        };
        if !(self.trusts_stamps && stamp.is_some()) {
            (self.before_open)(&file.entry);
            match open().and_then(|content| self.read(content, &mut file)) {
                Ok(()) => {}
                Err(error) if error.has_vanished() => return Ok(()),
                Err(error) => {
                    let name = [file.entry.name];
                    let path = self.parents.iter().chain(&name).map(Vec::as_slice);
                    self.problems.push(Problem {
                        path: path.collect::<Vec<_>>().join(&b'/'),
                        message: explain(&error),
                    });
                    return Ok(());
                }
            }
        }
        self.entries.push(Recorded::File(file));
        Ok(())
    }

    fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    fn excluded(&mut self, exclusion: Exclusion) {
        self.exclusions.push(exclusion);
    }
}

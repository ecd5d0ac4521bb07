//! Values of a configuration file with the places where they stand, and how they are read: every
//! key is asked for by name, and what nobody asked for is a mistake.

use crate::config::error::{ConfigFault, place};
use crate::config::nearest::nearest;
use std::cell::RefCell;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where mistakes are collected.
pub(super) struct Faults<'t> {
    text: &'t str,
    found: RefCell<Vec<(usize, ConfigFault)>>,
}

impl<'t> Faults<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            found: RefCell::default(),
        }
    }

    pub(super) fn add(&self, at: Range<usize>, problem: Problem) {
        let (line, column) = place(self.text, at.start);
        let fault = ConfigFault {
            line,
            column,
            message: problem.message,
            help: problem.help,
        };
        self.found.borrow_mut().push((at.start, fault));
    }

    /// How many there are so far.
    pub(super) fn count(&self) -> usize {
        self.found.borrow().len()
    }

    pub(super) fn into_sorted(self) -> Vec<ConfigFault> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|(at, _)| *at);
        found.into_iter().map(|(_, fault)| fault).collect()
    }
}

/// What is wrong with a value.
pub(super) struct Problem {
    message: String,
    help: Option<String>,
}

impl Problem {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: None,
        }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// An error of a reader of quantities, which says by itself what to write.
impl<E: std::error::Error> From<E> for Problem {
    fn from(error: E) -> Self {
        Self::new(error.to_string())
    }
}

/// A value, its place, and what to call it in messages.
#[derive(Clone)]
pub(super) struct Value<'v, 't> {
    pub(super) name: String,
    pub(super) at: Range<usize>,
    value: &'v DeValue<'t>,
    pub(super) faults: &'v Faults<'t>,
}

impl<'v, 't> Value<'v, 't> {
    fn of(name: String, spanned: &'v Spanned<DeValue<'t>>, faults: &'v Faults<'t>) -> Self {
        Self {
            name,
            at: spanned.span(),
            value: spanned.get_ref(),
            faults,
        }
    }

    fn kind(&self) -> &'static str {
        match self.value {
            DeValue::String(_) => "text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        }
    }

    fn wrong(&self, wanted: &str) -> Problem {
        Problem::new(format!("{} is {}, not {wanted}", self.name, self.kind()))
    }

    /// Text that is not empty.
    pub(super) fn text(&self) -> Result<String, Problem> {
        match self.value {
            DeValue::String(text) if text.trim().is_empty() => {
                Err(Problem::new(format!("{} is empty", self.name)))
            }
            DeValue::String(text) => Ok(text.clone().into_owned()),
            _ => Err(self.wrong("text in quotes")),
        }
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self.value, DeValue::String(_))
    }

    pub(super) fn boolean(&self) -> Result<bool, Problem> {
        match self.value {
            DeValue::Boolean(value) => Ok(*value),
            _ => Err(self.wrong("true or false")),
        }
    }

    /// A whole number from `least` to 4,294,967,295.
    pub(super) fn count(&self, least: u32) -> Result<u32, Problem> {
        let DeValue::Integer(number) = self.value else {
            return Err(self.wrong("a whole number"));
        };
        let digits = number.as_str().replace('_', "");
        match u32::from_str_radix(&digits, number.radix()) {
            Ok(value) if value >= least => Ok(value),
            _ => Err(Problem::new(format!(
                "{} is {number}; it goes from {least} to {}",
                self.name,
                u32::MAX
            ))),
        }
    }

    /// A number from 0, with or without a fraction.
    pub(super) fn amount(&self) -> Result<f64, Problem> {
        let read = match self.value {
            DeValue::Float(number) => number.as_str().replace('_', "").parse::<f64>().ok(),
            DeValue::Integer(_) => Some(f64::from(self.count(0)?)),
            _ => return Err(self.wrong("a number")),
        };
        match read.filter(|amount| amount.is_finite() && *amount >= 0.0) {
            Some(amount) => Ok(amount),
            None => Err(Problem::new(format!("{} is no amount", self.name))
                .help("write a number from 0, such as 0.023")),
        }
    }

    /// Text read by `read`.
    pub(super) fn parsed<T, E: Into<Problem>>(
        &self,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, Problem> {
        let text = self.text()?;
        read(&text).map_err(|error| {
            let problem: Problem = error.into();
            Problem {
                message: format!("{}: {}", self.name, problem.message),
                ..problem
            }
        })
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, Problem> {
        let text = self.text()?;
        let found = choices.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
            let problem = Problem::new(format!("{} cannot be {text:?}", self.name));
            match nearest(&text, &words) {
                Some(word) => problem.help(format!("did you mean {word:?}?")),
                None => problem.help(format!("it is one of {}", quoted.join(", "))),
            }
        })
    }

    /// The elements of a list, each read by `read`; a single value counts as a list of one.
    pub(super) fn list<T>(&self, read: impl Fn(&Self) -> Result<T, Problem>) -> Vec<T> {
        let one = |value: &Self| match read(value) {
            Ok(item) => Some(item),
            Err(problem) => {
                self.faults.add(value.at.clone(), problem);
                None
            }
        };
        match self.value {
            DeValue::Array(items) => {
                let values = items.iter().map(|item| {
                    let name = format!("an element of {}", self.name);
                    Value::of(name, item, self.faults)
                });
                values.filter_map(|value| one(&value)).collect()
            }
            _ => one(self).into_iter().collect(),
        }
    }

    /// A list that is written as one.
    pub(super) fn strict_list<T>(
        &self,
        read: impl Fn(&Self) -> Result<T, Problem>,
    ) -> Result<Vec<T>, Problem> {
        match self.value {
            DeValue::Array(items) if items.is_empty() => {
                Err(Problem::new(format!("{} is an empty list", self.name)))
            }
            DeValue::Array(_) => Ok(self.list(read)),
            _ => Err(self.wrong("a list in brackets")),
        }
    }

    pub(super) fn table(&self) -> Result<Table<'v, 't>, Problem> {
        match self.value {
            DeValue::Table(table) => Ok(Table::new(
                self.name.clone(),
                self.at.clone(),
                table,
                self.faults,
            )),
            _ => Err(self.wrong("a table")),
        }
    }
}

/// A table that is being read: remembers what it was asked for.
pub(super) struct Table<'v, 't> {
    /// As messages name it, such as `job.portal`; empty for the whole file.
    pub(super) name: String,
    /// Where it begins.
    pub(super) at: Range<usize>,
    table: &'v DeTable<'t>,
    faults: &'v Faults<'t>,
    asked: Vec<&'static str>,
    /// Whether it is not known which keys it may have.
    is_open: bool,
}

impl<'v, 't> Table<'v, 't> {
    pub(super) fn new(
        name: String,
        at: Range<usize>,
        table: &'v DeTable<'t>,
        faults: &'v Faults<'t>,
    ) -> Self {
        Self {
            name,
            at,
            table,
            faults,
            asked: Vec::new(),
            is_open: false,
        }
    }

    /// Ends the reading where a mistake leaves open which keys there may be.
    pub(super) fn leave_open(&mut self) {
        self.is_open = true;
    }

    fn called(&self, key: &str) -> String {
        match self.name.is_empty() {
            true => key.to_owned(),
            false => format!("{}.{key}", self.name),
        }
    }

    /// The value of a key, if it is there.
    pub(super) fn get(&mut self, key: &'static str) -> Option<Value<'v, 't>> {
        self.asked.push(key);
        let spanned = self.table.get(key)?;
        Some(Value::of(self.called(key), spanned, self.faults))
    }

    /// A key that may be left out. A mistake is recorded, and counts as left out.
    pub(super) fn take<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value<'v, 't>) -> Result<T, Problem>,
    ) -> Option<T> {
        let value = self.get(key)?;
        match read(&value) {
            Ok(read) => Some(read),
            Err(problem) => {
                self.faults.add(value.at, problem);
                None
            }
        }
    }

    /// A key that must be there. A mistake is recorded.
    pub(super) fn require<T>(
        &mut self,
        key: &'static str,
        example: &str,
        read: impl FnOnce(&Value<'v, 't>) -> Result<T, Problem>,
    ) -> Option<T> {
        if !self.table.contains_key(key) {
            self.asked.push(key);
            let missing = Problem::new(format!("{} is missing", self.called(key)));
            let missing = missing.help(format!("write {key} = {example}"));
            self.fault(missing);
            return None;
        }
        self.take(key, read)
    }

    /// Records a mistake of the table itself.
    pub(super) fn fault(&self, problem: Problem) {
        self.faults.add(self.at.clone(), problem);
    }

    /// All entries, of a table whose keys are the user's own names.
    pub(super) fn entries(&self) -> Vec<(String, Value<'v, 't>)> {
        let mut entries: Vec<_> = self
            .table
            .iter()
            .map(|(key, value)| {
                let name = key.get_ref().clone().into_owned();
                let mut value = Value::of(self.called(&name), value, self.faults);
                // A table is found by its name, an inline one by its brace.
                if matches!(value.value, DeValue::Table(_)) {
                    value.at = key.span();
                }
                (name, value)
            })
            .collect();
        entries.sort_by_key(|(_, value)| value.at.start);
        entries
    }

    pub(super) fn contains(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Ends the reading: what nobody asked for is a mistake.
    pub(super) fn finish(self) {
        for (key, _) in self.table.iter() {
            let name = key.get_ref().as_ref();
            if self.is_open || self.asked.contains(&name) {
                continue;
            }
            let place = match self.name.is_empty() {
                true => String::new(),
                false => format!(" in [{}]", self.name),
            };
            let problem = Problem::new(format!("unknown key {name:?}{place}"));
            let problem = match nearest(name, &self.asked) {
                Some(near) => problem.help(format!("did you mean {near:?}?")),
                None => {
                    let mut known = self.asked.clone();
                    known.sort_unstable();
                    known.dedup();
                    problem.help(format!("it is one of {}", known.join(", ")))
                }
            };
            self.faults.add(key.span(), problem);
        }
    }
}

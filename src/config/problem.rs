//! What is wrong with a configuration, and what would be right.

use std::{error::Error, fmt, path::Path};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, with dots between its parts; empty where the whole file is meant.
    pub key: String,
    /// The value as it was given, if it may be shown.
    pub value: Option<String>,
    /// What is wrong with it.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Problem {
    /// A problem of the file as a whole.
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Problem {
        Problem { key: String::new(), value: None, what: what.into(), remedy: remedy.into() }
    }

    /// A problem of one key.
    pub fn at(key: &str, what: impl Into<String>, remedy: impl Into<String>) -> Problem {
        Problem { key: key.to_owned(), ..Problem::new(what, remedy) }
    }

    /// Shows the value.
    pub fn with_value(self, value: impl fmt::Display) -> Problem {
        Problem { value: Some(value.to_string()), ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        if let Some(value) = &self.value {
            write!(f, "{value:?} ")?;
        }
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

/// A configuration that cannot be used, with everything that is wrong with it.
#[derive(Debug)]
pub struct Invalid {
    /// Where it came from.
    pub file: String,
    /// At least one.
    pub problems: Vec<Problem>,
}

impl Invalid {
    pub(super) fn one(file: &Path, problem: Problem) -> Invalid {
        Invalid { file: file.display().to_string(), problems: vec![problem] }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [problem] = self.problems.as_slice() {
            return write!(f, "{}: {problem}", self.file);
        }
        write!(f, "{}: {} problems", self.file, self.problems.len())?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl Error for Invalid {}

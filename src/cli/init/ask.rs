//! Questions on the terminal, and what stands for them where there is none.

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};

use anyhow::Context;
use dialoguer::{
    Confirm, Input, Password, Select,
    theme::{ColorfulTheme, SimpleTheme, Theme},
};

use crate::{cli::table::is_coloured, config::Secret};

/// Who is asked.
pub(super) struct Asker {
    theme: Option<Box<dyn Theme>>,
}

/// Where a secret is.
#[derive(Debug, Clone)]
pub(super) enum Kept {
    /// In a file of the user's, which stays where it is.
    File(PathBuf),
    /// Here, and in a file that is still to be written.
    Value(Secret),
}

impl Asker {
    /// Asks on the terminal, if there is one.
    pub(super) fn new(non_interactive: bool) -> Asker {
        let terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
        let theme: Option<Box<dyn Theme>> = match (non_interactive || !terminal, is_coloured()) {
            (true, _) => None,
            (false, true) => Some(Box::new(ColorfulTheme::default())),
            (false, false) => Some(Box::new(SimpleTheme)),
        };
        Asker { theme }
    }

    /// The option's value, or the answer; `default` where nothing is entered or nobody is asked.
    pub(super) fn text(
        &self,
        option: (&str, Option<&str>),
        question: &str,
        default: Option<String>,
    ) -> anyhow::Result<String> {
        let (name, given) = option;
        if let Some(given) = given {
            return Ok(given.to_owned());
        }
        let Some(theme) = &self.theme else {
            return default.with_context(|| format!("{name} is needed"));
        };
        let mut input = Input::<String>::with_theme(theme.as_ref()).with_prompt(question);
        if let Some(default) = default {
            input = input.allow_empty(default.is_empty()).show_default(!default.is_empty());
            input = input.default(default);
        }
        Ok(input.interact_text()?.trim().to_owned())
    }

    /// As [`Asker::text`], of a file; none where the answer is empty.
    pub(super) fn file(
        &self,
        option: (&str, Option<&Path>),
        question: &str,
        before: Option<PathBuf>,
    ) -> anyhow::Result<Option<PathBuf>> {
        let (name, given) = option;
        let given = given.map(|path| path.display().to_string());
        let before = before.map(|path| path.display().to_string()).unwrap_or_default();
        let path = self.text((name, given.as_deref()), question, Some(before))?;
        if path.is_empty() { Ok(None) } else { Ok(Some(std::path::absolute(path)?)) }
    }

    /// A secret: the file of the option, a line of standard input, or what is typed without echo.
    pub(super) fn secret(
        &self,
        option: (&str, Option<&Path>),
        question: &str,
    ) -> anyhow::Result<Kept> {
        let (name, given) = option;
        match (given, &self.theme) {
            (Some(path), _) if path == Path::new("-") => Ok(Kept::Value(a_line()?)),
            (Some(path), _) => {
                Secret::read(path)?;
                Ok(Kept::File(std::path::absolute(path)?))
            }
            (None, Some(theme)) => {
                let password = Password::with_theme(theme.as_ref()).with_prompt(question);
                Ok(Kept::Value(Secret::new(password.interact()?)))
            }
            (None, None) => anyhow::bail!("{name} is needed"),
        }
    }

    /// One of several; the first where nobody is asked.
    pub(super) fn choose(&self, question: &str, items: &[&str]) -> anyhow::Result<usize> {
        let Some(theme) = &self.theme else { return Ok(0) };
        let select = Select::with_theme(theme.as_ref()).with_prompt(question).items(items);
        Ok(select.default(0).interact()?)
    }

    /// Yes or no; no where nobody is asked.
    pub(super) fn confirm(&self, question: &str) -> anyhow::Result<bool> {
        let Some(theme) = &self.theme else { return Ok(false) };
        Ok(Confirm::with_theme(theme.as_ref()).with_prompt(question).default(false).interact()?)
    }

    /// Whether the last answers shall be given anew.
    pub(super) fn again(&self) -> anyhow::Result<bool> {
        let items = ["answer again", "keep the answers, and mend it later"];
        Ok(self.theme.is_some() && self.choose("Something does not work.", &items)? == 0)
    }
}

/// A line of standard input, which keeps the lines after it for later secrets.
fn a_line() -> anyhow::Result<Secret> {
    let mut line = String::new();
    io::stdin().read_line(&mut line).context("standard input")?;
    let line = line.trim_end_matches(['\n', '\r']);
    anyhow::ensure!(!line.is_empty(), "standard input has no line with the secret");
    Ok(Secret::new(line.to_owned()))
}

//! `completions` and `man`: the command line as shells and `man` know it, from its own definition.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

const NAME: &str = "entra-relay";

/// `entra-relay completions SHELL`
#[derive(Debug, Args)]
#[command(after_help = "For bash: entra-relay completions bash \
>/etc/bash_completion.d/entra-relay")]
pub struct Completions {
    /// Which shell.
    shell: Shell,
}

/// `entra-relay man`
#[derive(Debug, Args)]
#[command(after_help = "For all users: entra-relay man --dir /usr/local/share/man/man1")]
pub struct Man {
    /// Folder for the pages, one for each command; made if it is not there.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

/// Prints a shell's completions.
pub fn completions(arguments: &Completions) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::Arguments::command(), NAME, &mut script);
    match io::stdout().write_all(&script) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Writes the pages.
pub fn man(arguments: &Man) -> anyhow::Result<ExitCode> {
    write_pages(&arguments.dir)
        .with_context(|| format!("cannot write to {}", arguments.dir.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn write_pages(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(super::Arguments::command(), dir)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_command_has_a_page_and_every_shell_its_completions() {
        let folder = tempfile::tempdir().expect("tempdir");
        let dir = folder.path().join("man1");
        write_pages(&dir).expect("written");
        for command in super::super::Arguments::command().get_subcommands() {
            let page = dir.join(format!("{NAME}-{}.1", command.get_name()));
            let text = std::fs::read_to_string(&page).expect("a page");
            assert!(text.contains(".SH SYNOPSIS"), "{page:?}");
        }
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            let mut command = super::super::Arguments::command();
            clap_complete::generate(*shell, &mut command, NAME, &mut script);
            assert!(String::from_utf8(script).expect("text").contains("dead-letters"));
        }
    }
}

//! `password submit`: hands a new password to the watcher.

use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use futures_util::future::join_all;
use jiff::Timestamp;
use secrecy::zeroize::Zeroizing;

use crate::{
    config::{self, Role},
    passwords::{Account, Address, ClientTls, Submission, is_complex, read_ldif, submit},
    sealing::Password,
};

/// The longest input, in bytes: an LDIF record of a user has a few kilobytes.
const MAX_INPUT: usize = 64 * 1024;

/// By what Samba's `check password script` names the user (smb.conf(5)).
const SAMBA_ACCOUNT: &str = "SAMBA_CPS_ACCOUNT_NAME";

/// `entra-relay password`
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Hands a new password to the watcher's intake. It is read from standard input.
    Submit(Submit),
}

#[derive(Debug, Args)]
#[command(
    after_long_help = "The password is never an argument and never in the environment. Exit \
codes: 0 the watcher has it, 1 it has not, 2 bad usage. With --samba-check: 1 the password is not \
complex enough, else always 0."
)]
struct Submit {
    /// Whose it is: sAMAccountName, SID or objectGUID.
    #[arg(long, value_name = "USER", required_unless_present_any = ["samba_check", "samba_sync"])]
    user: Option<String>,
    /// Where the watcher's intake is: unix:PATH or https://HOST:PORT. May be given for each of
    /// several watchers. Without it, passwords.listen of the configuration file.
    #[arg(long, value_name = "ADDRESS")]
    to: Vec<String>,
    /// Longest wait for an answer.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// The change is done: it need not show in the directory first.
    #[arg(long)]
    committed: bool,
    /// Be Samba's `check password script`: the user is in the environment. Refuses what Samba's
    /// own test of complexity, which this replaces, would refuse; nothing else, ever.
    #[arg(long, conflicts_with_all = ["committed", "user"])]
    samba_check: bool,
    /// Be the script of `samba-tool user syncpasswords`: the user is in the LDIF read.
    #[arg(long, conflicts_with_all = ["committed", "user", "samba_check"])]
    samba_sync: bool,
    /// For https: the CA of the watcher's certificate, in PEM. Without it, the system's.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// For https: our certificate, in PEM.
    #[arg(long, value_name = "FILE", requires = "key_file")]
    certificate_file: Option<PathBuf>,
    /// For https: the key of our certificate, in PEM.
    #[arg(long, value_name = "FILE", requires = "certificate_file")]
    key_file: Option<PathBuf>,
}

/// Reads the password and hands it over.
pub async fn main(arguments: &Arguments, config: &Path) -> anyhow::Result<ExitCode> {
    // As near to the change as can be.
    let now = Timestamp::now();
    let Command::Submit(submit) = &arguments.command;
    let input = read_input(io::stdin().lock())?;
    if submit.samba_check {
        return Ok(submit.check(input, now, config).await);
    }
    let submission = if submit.samba_sync {
        let text = std::str::from_utf8(&input).context("the LDIF is not UTF-8")?;
        match read_ldif(text)? {
            Some(submission) => submission,
            None => return done(submit.samba_sync),
        }
    } else {
        let user = submit.user.as_deref().unwrap_or_default();
        submission(user, input, submit.committed)?
    };
    submit.hand_over(&Submission { at: Some(now), ..submission }, config).await?;
    done(submit.samba_sync)
}

/// syncpasswords takes its script for failed unless this is the first that it says, on whichever
/// output.
fn done(samba_sync: bool) -> anyhow::Result<ExitCode> {
    if samba_sync {
        writeln!(io::stdout(), "DONE-EXIT: 0")?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Submit {
    /// Whatever happens to the relay, passwords can be changed.
    async fn check(&self, input: Zeroizing<Vec<u8>>, now: Timestamp, config: &Path) -> ExitCode {
        // What is no text is not ours to judge.
        if std::str::from_utf8(&input).is_ok_and(|text| !is_complex(text)) {
            eprintln!("entra-relay: refused: the password is not complex enough");
            return ExitCode::FAILURE;
        }
        let handed = async {
            let user = std::env::var(SAMBA_ACCOUNT).context("SAMBA_CPS_ACCOUNT_NAME is not set")?;
            let submission = submission(&user, input, false)?;
            self.hand_over(&Submission { at: Some(now), ..submission }, config).await
        };
        if let Err(error) = handed.await {
            eprintln!(
                "entra-relay: the password may change, but Entra will not have it: {error:#}"
            );
        }
        ExitCode::SUCCESS
    }

    /// Hands it to every watcher; one that takes it is enough.
    async fn hand_over(&self, submission: &Submission, config: &Path) -> anyhow::Result<()> {
        let tls = ClientTls {
            ca_file: self.ca_file.clone(),
            certificate_file: self.certificate_file.clone(),
            private_key_file: self.key_file.clone(),
        };
        let addresses = self.addresses(config)?;
        let all = addresses.iter().map(|to| submit(to, &tls, submission, self.timeout));
        let outcomes = join_all(all).await;
        if outcomes.iter().any(Result::is_ok) {
            return Ok(());
        }
        let errors: Vec<_> =
            outcomes.into_iter().filter_map(Result::err).map(|error| error.to_string()).collect();
        Err(anyhow!(errors.join("; ")))
    }

    fn addresses(&self, config: &Path) -> anyhow::Result<Vec<Address>> {
        let named = if self.to.is_empty() {
            vec![config::load(config, std::env::vars(), Role::Tool)?.passwords.listen]
        } else {
            self.to.clone()
        };
        let parse = |text: &String| {
            Address::parse(text)
                .with_context(|| format!("{text:?} is neither unix:PATH nor https://HOST:PORT"))
        };
        named.iter().map(parse).collect()
    }
}

fn submission(
    user: &str,
    input: Zeroizing<Vec<u8>>,
    committed: bool,
) -> anyhow::Result<Submission> {
    let account = Account::parse(user)
        .with_context(|| format!("{user:?} is no sAMAccountName, SID or objectGUID"))?;
    let password = Password::from_bytes(without_line_end(input))?;
    Ok(Submission { account, at: None, committed, version: None, password })
}

/// Reads all of it, into one place that is wiped.
fn read_input(mut stdin: impl Read) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let mut input = Zeroizing::new(vec![0; MAX_INPUT]);
    let mut filled = 0;
    loop {
        match stdin.read(&mut input[filled..]) {
            Ok(0) if filled == MAX_INPUT => bail!("standard input has more than {MAX_INPUT} bytes"),
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("cannot read the password"),
        }
    }
    input.truncate(filled);
    Ok(input)
}

/// `echo` adds one; no password ends with it.
fn without_line_end(mut input: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
    if input.last() == Some(&b'\n') {
        input.pop();
        if input.last() == Some(&b'\r') {
            input.pop();
        }
    }
    input
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealing::MAX_PASSWORD;

    #[test]
    fn one_line_end_is_not_part_of_it() {
        const { assert!(MAX_PASSWORD < MAX_INPUT) };
        for (input, password) in
            [("a b ", "a b "), ("x\n", "x"), ("x\r\n", "x"), ("x\n\n", "x\n"), ("x\r", "x\r")]
        {
            let read = read_input(input.as_bytes()).expect("read");
            assert_eq!(*without_line_end(read), password.as_bytes());
        }
        assert!(read_input(&*vec![b'x'; MAX_INPUT + 1]).is_err());
    }
}

//! `keygen`: keys that prove whose the events are, and keys that only consumers open passwords with.

use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::Output;
use crate::{sealing, signing::Signer};

/// `entra-relay keygen`
#[derive(Debug, Args)]
#[command(after_long_help = "To change the signing key of a running system: make new keys in \
another folder, add signing.pub to security.verify_key_files of every consumer and of the watcher, \
then name signing.key in the watcher's security.signing_key_file. Take the old public key out once \
no queue and no dead letter holds an event that it signed.\n\nTo change the sealing key: add the \
new opening.key to security.opening_key_files of every consumer, then name the new sealing.pub in \
the watcher's security.sealing_key_file. Take the old opening.key out once passwords.ttl has \
passed.")]
pub struct Arguments {
    /// Folder for signing.key, signing.pub, opening.key and sealing.pub; made if it is not there.
    /// Existing keys are never overwritten.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

/// What was made.
struct Made {
    dir: PathBuf,
    signing_id: String,
    sealing_id: String,
}

/// Makes both pairs and says what to do with them.
pub fn main(arguments: &Arguments, output: Output) -> anyhow::Result<ExitCode> {
    let Arguments { dir } = arguments;
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    // The lines told are copied into a configuration that is read from elsewhere.
    let dir = made.and_then(|()| dir.canonicalize());
    let dir = dir.with_context(|| format!("cannot make {}", arguments.dir.display()))?;
    let signer = Signer::generate();
    signer.save(&dir.join("signing.key"), &dir.join("signing.pub"))?;
    let sealing_id = sealing::make_pair(&dir.join("opening.key"), &dir.join("sealing.pub"))?;
    let made = Made { signing_id: signer.key_id().to_owned(), sealing_id, dir };
    println!("{}", report(&made, output));
    Ok(ExitCode::SUCCESS)
}

fn report(made: &Made, output: Output) -> String {
    let Made { dir, signing_id, sealing_id } = made;
    let [signing, verify, sealing, opening] =
        ["signing.key", "signing.pub", "sealing.pub", "opening.key"]
            .map(|name| json!(dir.join(name).display().to_string()));
    match output {
        // A JSON string is a YAML one, whatever is in the path.
        Output::Table => format!(
            "made the signing key {signing_id} and the sealing key {sealing_id}\n\n\
             relay.yaml of the watcher; nobody else needs signing.key:\n  \
             security: {{ signing_key_file: {signing}, sealing_key_file: {sealing} }}\n\n\
             relay.yaml of every consumer; nobody else needs opening.key:\n  \
             security: {{ verify_key_files: [{verify}], opening_key_files: [{opening}] }}"
        ),
        Output::Json => json!({
            "key_id": signing_id, "private_key_file": signing, "public_key_file": verify,
            "sealing_key_id": sealing_id, "sealing_key_file": sealing, "opening_key_file": opening,
        })
        .to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

    use super::*;
    use crate::{
        config::{self, Role},
        sealing::{Opener, Sealer},
        signing::Verifier,
    };

    #[test]
    fn makes_a_pair_once() {
        let folder = tempfile::tempdir().expect("folder");
        let arguments = Arguments { dir: folder.path().join("deeper/keys") };
        main(&arguments, Output::Json).expect("made");
        let (private, public) =
            (arguments.dir.join("signing.key"), arguments.dir.join("signing.pub"));
        let signer = Signer::load(&private).expect("private");
        Verifier::load(&[&public]).expect("public");
        Sealer::load(&arguments.dir.join("sealing.pub")).expect("public");
        Opener::load(&[arguments.dir.join("opening.key")]).expect("private");
        let error = main(&arguments, Output::Json).expect_err("exists").to_string();
        assert!(error.contains("signing.key exists"), "{error}");
        let kept = Signer::load(&private).expect("private");
        assert_eq!(kept.key_id(), signer.key_id());
    }

    #[test]
    fn the_lines_are_configuration() {
        let dir = Path::new("/k \"1\"");
        let (signing_id, sealing_id) = ("0123456789abcdef".into(), "fedcba9876543210".into());
        let made = Made { dir: dir.to_owned(), signing_id, sealing_id };
        let told = report(&made, Output::Table);
        let lines: Vec<_> = told.lines().filter(|line| line.contains("security:")).collect();
        let security = |line: &str| {
            let broker = "broker: { url: 'amqp://relay@localhost/relay', password_file: p }";
            let sandbox = "directory: { source: sandbox }\ngraph: { endpoint: sandbox }";
            let text = [broker, sandbox, line.trim()].join("\n");
            let config = config::parse(Path::new("relay.yaml"), &text, [], Role::Apply);
            config.map(|config| config.security).map_err(|error| error.to_string())
        };
        let watcher = security(lines[0]).expect("valid");
        assert_eq!(watcher.signing_key_file, Some(dir.join("signing.key")));
        assert_eq!(watcher.sealing_key_file, Some(dir.join("sealing.pub")));
        let consumer = security(lines[1]).expect("valid");
        assert_eq!(consumer.verify_key_files, [dir.join("signing.pub")]);
        assert_eq!(consumer.opening_key_files, [dir.join("opening.key")]);
        let told: Value = serde_json::from_str(&report(&made, Output::Json)).expect("json");
        assert_eq!(told["key_id"], "0123456789abcdef");
        assert_eq!(told["public_key_file"], "/k \"1\"/signing.pub");
    }
}

//! `keygen`: keys that prove whose the events are.

use std::{
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::Output;
use crate::signing::Signer;

/// `entra-relay keygen`
#[derive(Debug, Args)]
#[command(after_long_help = "To change the key of a running system: make a new pair in another \
folder, add its public key to security.verify_key_files of every consumer and of the watcher, \
then name its private key in the watcher's security.signing_key_file. Take the old public key out \
once no queue and no dead letter holds an event that it signed.")]
pub struct Arguments {
    /// Folder for signing.key and signing.pub; made if it is not there. Existing keys are never
    /// overwritten.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

/// Makes a pair and says what to do with it.
pub fn main(arguments: &Arguments, output: Output) -> anyhow::Result<ExitCode> {
    let Arguments { dir } = arguments;
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    // Both lines are copied into a configuration that is read from elsewhere.
    let dir = made.and_then(|()| dir.canonicalize());
    let dir = dir.with_context(|| format!("cannot make {}", arguments.dir.display()))?;
    let (private, public) = (dir.join("signing.key"), dir.join("signing.pub"));
    let signer = Signer::generate();
    signer.save(&private, &public)?;
    println!("{}", report(signer.key_id(), &private, &public, output));
    Ok(ExitCode::SUCCESS)
}

fn report(key_id: &str, private: &Path, public: &Path, output: Output) -> String {
    let (private, public) =
        (json!(private.display().to_string()), json!(public.display().to_string()));
    match output {
        // A JSON string is a YAML one, whatever is in the path.
        Output::Table => format!(
            "made the signing key {key_id}\n\n\
             relay.yaml of the watcher; nobody else needs the private key:\n  \
             security: {{ signing_key_file: {private} }}\n\n\
             relay.yaml of every consumer:\n  \
             security: {{ verify_key_files: [{public}] }}"
        ),
        Output::Json => {
            json!({ "key_id": key_id, "private_key_file": private, "public_key_file": public })
                .to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{
        config::{self, Role},
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
        let error = main(&arguments, Output::Json).expect_err("exists").to_string();
        assert!(error.contains("signing.key exists"), "{error}");
        let kept = Signer::load(&private).expect("private");
        assert_eq!(kept.key_id(), signer.key_id());
    }

    #[test]
    fn the_lines_are_configuration() {
        let (private, public) = (Path::new("/k \"1\"/signing.key"), Path::new("/k/signing.pub"));
        let told = report("0123456789abcdef", private, public, Output::Table);
        let lines: Vec<_> = told.lines().filter(|line| line.contains("security:")).collect();
        let security = |line: &str| {
            let broker = "broker: { url: 'amqp://relay@localhost/relay', password_file: p }";
            let sandbox = "directory: { source: sandbox }\ngraph: { endpoint: sandbox }";
            let text = [broker, sandbox, line.trim()].join("\n");
            let config = config::parse(Path::new("relay.yaml"), &text, [], Role::Apply);
            config.map(|config| config.security).map_err(|error| error.to_string())
        };
        let watcher = security(lines[0]);
        assert_eq!(watcher.expect("valid").signing_key_file.as_deref(), Some(private));
        let consumer = security(lines[1]);
        assert_eq!(consumer.expect("valid").verify_key_files, [public]);
        let told = report("0123456789abcdef", private, public, Output::Json);
        let told: Value = serde_json::from_str(&told).expect("json");
        assert_eq!(told["key_id"], "0123456789abcdef");
        assert_eq!(told["public_key_file"], "/k/signing.pub");
    }
}

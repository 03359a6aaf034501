//! `events tail`: follows the events, as copies.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use clap::{
    Args, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Output, filters, table::clean};
use crate::{
    config::{self, Config, Role, model::BrokerKind},
    event::{Detail, Event, Reason},
    ops::control::{
        Client,
        protocol::{Reply, Request},
    },
    queue::{self, Delivery, Message, Subscriber},
    signing::{KEY_ID, Keys, SIGNATURE, Verifier},
};

/// Looks at the events on their way to the consumers.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Prints the events that are published from now on, one a line, until interrupted.
    ///
    /// They are copies: the queues keep theirs. With RabbitMQ the broker is asked, so it works
    /// wherever that is reached; with the embedded queue, the running process. Signatures are
    /// checked against security.verify_key_files. As a table it names properties; values are in
    /// the JSON alone, where a sealed password is left out.
    Tail(Tail),
}

#[derive(Debug, Args)]
struct Tail {
    /// Type of event; may be given more than once.
    #[arg(long = "type", value_name = "TYPE", value_parser = filters::kinds())]
    kinds: Vec<String>,
    /// sAMAccountName, UPN, SID or objectGUID.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Why an account is disabled, or was until now; may be given more than once.
    #[arg(long = "reason", value_name = "REASON", value_parser = reasons())]
    reasons: Vec<Reason>,
    /// Observed so long ago at most: 2h. What is told again after an outage may be older.
    #[arg(long, value_name = "AGE", value_parser = filters::since)]
    since: Option<Timestamp>,
    /// Ends after so many.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// Runs the command.
pub async fn main(
    arguments: Arguments,
    path: &Path,
    output: Output,
    shutdown: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let What::Tail(tail) = arguments.what;
    let config = config::load(path, std::env::vars(), Role::Tool)?;
    let verifier = Keys::load(&config.security, Role::Tool)?.verifier;
    let verifier = Some(&*verifier).filter(|_| !config.security.verify_key_files.is_empty());
    let work = async {
        let mut copies = Copies::open(&config).await?;
        eprintln!("entra-relay: following the events, Ctrl-C ends it");
        let mut shown = 0;
        while tail.limit.is_none_or(|limit| shown < limit) {
            let message = copies.next().await?;
            let event = Event::from_json(&message.body).ok();
            if !tail.takes(event.as_ref()) {
                continue;
            }
            shown += 1;
            let signature = Signature::of(&message, verifier);
            let line = match output {
                Output::Json => as_json(&message, &signature).to_string(),
                Output::Table => as_line(&message, event.as_ref(), &signature),
            };
            match print(&line) {
                // Whoever reads has seen enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                printed => printed?,
            }
        }
        anyhow::Ok(())
    };
    shutdown.run_until_cancelled(work).await.unwrap_or(Ok(()))?;
    Ok(ExitCode::SUCCESS)
}

fn print(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn reasons() -> impl TypedValueParser<Value = Reason> {
    PossibleValuesParser::new(Reason::ALL.map(Reason::as_str)).map(|word| {
        let reason = Reason::ALL.into_iter().find(|reason| reason.as_str() == word);
        reason.expect("only words of reasons are possible")
    })
}

/// Where the copies come from.
enum Copies {
    Broker(Box<dyn Subscriber>),
    Process(Client),
}

impl Copies {
    async fn open(config: &Config) -> anyhow::Result<Copies> {
        if config.broker.kind == BrokerKind::Rabbitmq {
            return Ok(Copies::Broker(queue::open(&config.broker)?.tail().await?));
        }
        let Some(mut client) = Client::connect(&config.control).await? else {
            anyhow::bail!("no process runs, so nothing goes through the embedded queue");
        };
        client.send(&Request::Tail).await?;
        Ok(Copies::Process(client))
    }

    async fn next(&mut self) -> anyhow::Result<Message> {
        match self {
            Copies::Broker(subscriber) => {
                let Delivery { message, receipt, .. } = subscriber.receive().await?;
                receipt.ack().await?;
                Ok(message)
            }
            Copies::Process(client) => loop {
                match client.receive().await? {
                    Reply::Copy(carried) => {
                        if let Some(message) = carried.message() {
                            return Ok(message);
                        }
                    }
                    Reply::Failed(text) => anyhow::bail!(text),
                    _ => anyhow::bail!("the running process has ended its answer"),
                }
            },
        }
    }
}

impl Tail {
    /// Whether an event is meant. What is none is shown where nothing is asked for.
    fn takes(&self, event: Option<&Event>) -> bool {
        let Some(event) = event else {
            let Tail { kinds, user, reasons, since, .. } = self;
            return kinds.is_empty() && user.is_none() && reasons.is_empty() && since.is_none();
        };
        let reason = match &event.detail {
            Detail::AccountDisabled { reason } | Detail::AccountEnabled { ended: reason } => {
                Some(reason)
            }
            _ => None,
        };
        let kind = event.kind().as_str();
        (self.kinds.is_empty() || self.kinds.iter().any(|wanted| wanted == kind))
            && (self.reasons.is_empty() || reason.is_some_and(|r| self.reasons.contains(r)))
            && self.since.is_none_or(|since| event.time >= since)
            && self.user.as_deref().is_none_or(|user| is_user(event, user))
    }
}

fn is_user(event: &Event, wanted: &str) -> bool {
    let wanted = wanted.trim_matches(['{', '}']).to_lowercase();
    let identity = &event.identity;
    let names = [&identity.sam_account_name, &identity.user_principal_name, &identity.sid];
    wanted.parse::<Uuid>().is_ok_and(|object| object == event.object)
        || names.into_iter().flatten().any(|name| name.to_lowercase() == wanted)
}

/// What a signature is worth.
#[derive(Debug, PartialEq, Eq)]
enum Signature {
    /// By this key, which is trusted.
    Good(String),
    /// There is none, and none is asked for.
    Unsigned,
    /// It is not to be trusted: why.
    Bad(String),
    /// No key is named to check it with.
    Unchecked,
}

impl Signature {
    fn of(message: &Message, verifier: Option<&Verifier>) -> Signature {
        let signed = message.headers.contains_key(SIGNATURE);
        let Some(verifier) = verifier else {
            return if signed { Signature::Unchecked } else { Signature::Unsigned };
        };
        match verifier.verify(message) {
            Ok(()) if signed => {
                Signature::Good(message.headers.get(KEY_ID).cloned().unwrap_or_default())
            }
            Ok(()) => Signature::Unsigned,
            Err(error) => Signature::Bad(error.to_string()),
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Signature::Good(_) => "signed",
            Signature::Unsigned => "unsigned",
            Signature::Bad(_) => "BAD SIGNATURE",
            Signature::Unchecked => "unchecked",
        }
    }
}

fn as_json(message: &Message, signature: &Signature) -> Value {
    let more = match signature {
        Signature::Good(key) => Some(("key", key)),
        Signature::Bad(why) => Some(("why", why)),
        Signature::Unsigned | Signature::Unchecked => None,
    };
    let mut signature = json!({ "signature": signature.word().to_lowercase() });
    if let Some((name, text)) = more {
        signature[name] = json!(text);
    }
    let event = serde_json::from_slice::<Value>(&message.body).map(without_password);
    signature["event"] = event.unwrap_or(Value::Null);
    signature
}

/// Even sealed, a password is nothing to look at.
fn without_password(mut event: Value) -> Value {
    if let Some(sealed) = event.pointer_mut("/data/password/sealed") {
        *sealed = json!("(left out)");
    }
    event
}

fn as_line(message: &Message, event: Option<&Event>, signature: &Signature) -> String {
    let Some(event) = event else {
        return format!("no event, of {}: {}", message.object, clean(&message.kind));
    };
    let identity = &event.identity;
    let name = identity.user_principal_name.as_ref().or(identity.sam_account_name.as_ref());
    let user = name.map_or_else(|| event.object.to_string(), |name| clean(name));
    let (reason, detail) = event.detail.words();
    let words: Vec<_> = reason.map(str::to_owned).into_iter().chain(detail).collect();
    let (time, kind, signed) = (event.time, event.kind().as_str(), signature.word());
    let line = format!("{time:.3}  {kind:<19}  {signed:<9}  {user:<36}  {}", words.join(" "));
    clean(line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event::Identity, signing::Signer};

    fn event(detail: Detail) -> Event {
        let identity = Identity {
            sam_account_name: Some("Alice".into()),
            user_principal_name: Some("alice@corp.example".into()),
            ..Identity::default()
        };
        let (object, time) = (Uuid::from_u128(7), Timestamp::UNIX_EPOCH);
        Event::new("ldap:///dc=x", object, 1, time, identity, detail)
    }

    fn tail() -> Tail {
        let (kinds, reasons) = (Vec::new(), Vec::new());
        Tail { kinds, user: None, reasons, since: None, limit: None }
    }

    #[test]
    fn filters_are_those_of_other_commands() {
        let disabled = event(Detail::AccountDisabled { reason: Reason::Expired });
        let named = |name: &str| Tail { user: Some(name.into()), ..tail() };
        for name in ["alice", "ALICE@corp.example", "{00000000-0000-0000-0000-000000000007}"] {
            assert!(named(name).takes(Some(&disabled)), "{name}");
        }
        assert!(!named("bob").takes(Some(&disabled)) && !named("bob").takes(None));
        let because = |reason| Tail { reasons: vec![reason], ..tail() };
        assert!(because(Reason::Expired).takes(Some(&disabled)));
        assert!(!because(Reason::Disabled).takes(Some(&disabled)));
        assert!(!because(Reason::Deleted).takes(Some(&event(Detail::UserDeleted))));
        let kind = |kind: &str| Tail { kinds: vec![kind.into()], ..tail() };
        assert!(kind("account.disabled").takes(Some(&disabled)));
        assert!(!kind("user.deleted").takes(Some(&disabled)));
        assert!(!Tail { since: Some(Timestamp::now()), ..tail() }.takes(Some(&disabled)));
        assert!(tail().takes(None));
    }

    #[test]
    fn a_signature_is_checked_and_a_line_names_properties_alone() {
        let title = [("title".to_owned(), vec!["Secret".to_owned()])].into();
        let event = event(Detail::modified(title));
        let mut message = Message::from_event(&event);
        assert_eq!(Signature::of(&message, None), Signature::Unsigned);
        let signer = Signer::generate();
        let keys = Keys::of(signer);
        keys.sign(&mut message);
        assert_eq!(Signature::of(&message, None), Signature::Unchecked);
        let signature = Signature::of(&message, Some(&keys.verifier));
        assert!(matches!(&signature, Signature::Good(key) if key.len() == 16));
        let line = as_line(&message, Some(&event), &signature);
        assert!(line.ends_with("  title") && !line.contains("Secret"), "{line}");
        assert!(line.contains("attributes.modified") && line.contains("alice@corp.example"));
        message.body = b"{}".to_vec().into();
        let altered = Signature::of(&message, Some(&keys.verifier));
        assert_eq!(altered.word(), "BAD SIGNATURE");
        assert_eq!(as_json(&message, &altered)["signature"], "bad signature");
    }

    #[test]
    fn a_sealed_password_is_left_out() {
        let event = json!({ "data": { "password": { "sealed": "AAAA", "account": "alice" } } });
        let shown = without_password(event).to_string();
        assert!(!shown.contains("AAAA") && shown.contains("alice"), "{shown}");
    }
}

//! Logs: structured, to standard error, as text or JSON.
//!
//! Names and messages of strangers are in them, so whatever would end a line or command a terminal
//! is escaped.

use std::{
    fmt::{self, Write as _},
    io::{self, IsTerminal, Write},
};

use clap::ValueEnum;
use tracing::{Dispatch, field::Field};
use tracing_subscriber::{
    EnvFilter,
    field::MakeExt,
    fmt::format::{Writer, debug_fn},
    util::SubscriberInitExt,
};

use crate::text::is_command;

/// The form of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// What is logged unless `RUST_LOG` says otherwise. The libraries' own lines are noise: what they
/// report comes back to us as errors.
const DEFAULT: &str = "warn,entra_relay=info,audit=info,lapin=off,ldap3=off";

/// What commands log that print results: errors, and what must remain on record.
const QUIET: &str = "error,audit=info,lapin=off";

/// Starts logging. Call it once; `quiet` leaves warnings alone.
pub fn start(format: Format, quiet: bool) {
    let default = if quiet { QUIET } else { DEFAULT };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // Starting twice, as tests do, keeps the first.
    let _already_started = subscriber(format, filter, colour, io::stderr).try_init();
}

fn subscriber<W: Write + 'static>(
    format: Format,
    filter: EnvFilter,
    colour: bool,
    writer: impl Fn() -> W + Send + Sync + 'static,
) -> Dispatch {
    let lines = tracing_subscriber::fmt().with_env_filter(filter);
    match format {
        Format::Text => {
            let fields = debug_fn(write_field).delimited(" ");
            let lines = lines.with_target(false).with_ansi(colour).with_writer(writer);
            lines.fmt_fields(fields).into()
        }
        Format::Json => {
            let writer = move || EscapedJson(writer());
            lines.json().flatten_event(true).with_writer(writer).into()
        }
    }
}

/// Writes a field as text: its name, and its value as it is shown, escaped.
fn write_field(to: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(to, "{}=", field.name())?;
    }
    write!(Escaped(to), "{value:?}")
}

/// Escapes what passes through.
struct Escaped<'a, W>(&'a mut W);

impl<W: fmt::Write> fmt::Write for Escaped<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match is_command(c) {
                true => write!(self.0, "{}", c.escape_debug())?,
                false => self.0.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Writes lines of JSON, in which the encoder has escaped control characters below U+0020 alone
/// (RFC 8259 section 7 asks for no more). Whatever else is obeyed can stand within strings only.
struct EscapedJson<W>(W);

impl<W: Write> Write for EscapedJson<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        let mut escaped = String::with_capacity(line.len());
        for c in line.chars() {
            match is_command(c) && c != '\n' {
                true => escaped += &format!("\\u{:04x}", u32::from(c)),
                false => escaped.push(c),
            }
        }
        self.0.write_all(escaped.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("lock").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged of a name that a stranger chose, everywhere where one may stand.
    fn logged(format: Format, name: &str) -> String {
        let sink = Sink::default();
        let to = sink.clone();
        let subscriber = subscriber(format, EnvFilter::new("info"), false, move || to.clone());
        tracing::dispatcher::with_default(&subscriber, || {
            let span = tracing::info_span!("span", name, shown = %name);
            let _entered = span.enter();
            let error = io::Error::other(name.to_owned());
            tracing::info!(name, shown = %name, debug = ?name, %error, "message of {name}");
        });
        let bytes = sink.0.lock().expect("lock").clone();
        String::from_utf8(bytes).expect("text")
    }

    /// One line, which commands nothing.
    fn is_harmless(line: &str) -> bool {
        line.strip_suffix('\n').is_some_and(|line| !line.chars().any(is_command))
    }

    const HOSTILE: &str =
        "a\r\nFAKE level=info\x1b[2J\x1b]0;x\x07\u{9b}31m\u{85}b\u{2028}c\u{202e}d\0";

    #[test]
    fn a_stranger_s_name_makes_no_line_and_no_command() {
        for format in [Format::Text, Format::Json] {
            let line = logged(format, HOSTILE);
            assert!(is_harmless(&line), "{line:?}");
        }
        let json: serde_json::Value =
            serde_json::from_str(&logged(Format::Json, HOSTILE)).expect("JSON");
        for field in ["name", "shown", "error"] {
            assert_eq!(json[field], HOSTILE, "nothing is lost");
        }
    }

    #[test]
    fn text_reads_as_usual() {
        let line = logged(Format::Text, "Łukasz O'Hara");
        let end = " message of Łukasz O'Hara name=\"Łukasz O'Hara\" shown=Łukasz O'Hara \
                   debug=\"Łukasz O'Hara\" error=Łukasz O'Hara\n";
        assert!(line.contains(" INFO ") && line.ends_with(end), "{line}");
    }

    proptest! {
        #[test]
        fn any_name_stays_on_its_line(name in any::<String>()) {
            for format in [Format::Text, Format::Json] {
                let line = logged(format, &name);
                prop_assert!(is_harmless(&line), "{:?}", line);
            }
        }
    }
}

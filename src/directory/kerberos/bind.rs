//! The bind itself: SASL GSSAPI in LDAP (RFC 4511 section 4.2, RFC 4752 section 3.1).

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use super::{
    ANSWER, Kerberos, Parties, binding::binding, context::Request, kdc::Kdc, keytab,
    message::Ticket, refusal, ticket,
};
use crate::directory::{
    ber::{element, integer, octets, sequence, split},
    channel::next_message,
    error::{DirectoryError, one_line},
    message,
};

const LDAP_VERSION: u32 = 3;
const SUCCESS: u32 = 0;
const IN_PROGRESS: u32 = 14;
/// The layer that is none: TLS protects what follows.
const NO_LAYER: u8 = 1;

impl Kerberos {
    /// Logs in at the server of `url`, whose name is `host`, over a TLS connection in which it has
    /// shown `certificate`.
    pub async fn bind<S>(
        &self,
        stream: &mut S,
        url: &str,
        host: &str,
        certificate: &[u8],
    ) -> Result<(), DirectoryError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let to = Parties { user: &self.user, url, host };
        let account = keytab::read(&self.keytab_file, &self.user)?;
        let kdc = Kdc::new(self.kdc.as_deref(), host);
        let ticket = ticket::win(&kdc, &account, to).await?;
        show(stream, &ticket, &binding(certificate), to).await
    }
}

/// Shows the server its ticket, and lets it show that it is the one.
pub(super) async fn show<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    ticket: &Ticket,
    binding: &[u8; 16],
    to: Parties<'_>,
) -> Result<(), DirectoryError> {
    let mut dialog = Dialog { stream, to, buffer: BytesMut::new(), sent: 0 };
    let (request, token) = Request::new(ticket, binding);
    let answer = dialog.step(&token, IN_PROGRESS).await?;
    let context = request
        .answered(&answer)
        .ok_or_else(|| to.nonsense("the server does not prove that the ticket is for it"))?;
    let answer = dialog.step(&[], IN_PROGRESS).await?;
    let layers = context.unwrap(&answer).filter(|layers| layers.len() == 4);
    let layers = layers.ok_or_else(|| to.nonsense("the server's offer is not signed"))?;
    if layers[0] & NO_LAYER == 0 {
        return Err(refusal::layer_demanded(to));
    }
    dialog.step(&context.wrap(&[NO_LAYER, 0, 0, 0]), SUCCESS).await?;
    Ok(())
}

/// A bind of several steps.
struct Dialog<'a, S> {
    stream: &'a mut S,
    to: Parties<'a>,
    buffer: BytesMut,
    sent: u32,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Dialog<'_, S> {
    /// Sends a token and returns that of the answer, which must have this result.
    async fn step(&mut self, token: &[u8], result: u32) -> Result<Vec<u8>, DirectoryError> {
        let url = self.to.url;
        let answer = timeout(ANSWER, self.exchange(token))
            .await
            .map_err(|_| DirectoryError::unreachable(url, "no answer to the bind in time"))?
            .map_err(|error| DirectoryError::unreachable(url, one_line(&error.to_string())))?;
        let answer = answer.as_deref().and_then(Answer::read);
        let answer = answer.ok_or_else(|| self.to.nonsense("the answer to the bind is none"))?;
        // What follows would be lost, and nothing was asked for.
        if !self.buffer.is_empty() {
            return Err(self.to.nonsense("more follows on the answer to the bind"));
        }
        match answer.code {
            code if code == result => Ok(answer.token.to_vec()),
            SUCCESS | IN_PROGRESS => Err(self.to.nonsense("the bind does not end where it should")),
            code => Err(refusal::of_server(self.to, code, answer.text)),
        }
    }

    async fn exchange(&mut self, token: &[u8]) -> std::io::Result<Option<BytesMut>> {
        self.sent += 1;
        let credentials = [octets(b"GSSAPI"), octets(token)].concat();
        let bind = [integer(LDAP_VERSION), octets(b""), element(0xa3, &credentials)].concat();
        let message = sequence(&[integer(self.sent), element(0x60, &bind)]);
        self.stream.write_all(&message).await?;
        self.stream.flush().await?;
        next_message(self.stream, &mut self.buffer).await
    }
}

/// `BindResponse`.
struct Answer<'a> {
    code: u32,
    text: &'a str,
    token: &'a [u8],
}

impl Answer<'_> {
    fn read(message: &[u8]) -> Option<Answer<'_>> {
        message::weigh(message)?;
        let (_, content, _) = split(message)?;
        let (_, _id, rest) = split(content)?;
        let (0x61, body, _) = split(rest)? else { return None };
        let (_, code, rest) = split(body)?;
        let (_, _matched, rest) = split(rest)?;
        let (_, text, mut rest) = split(rest)?;
        let mut token: &[u8] = &[];
        while let Some((tag, value, after)) = split(rest) {
            if tag == 0x87 {
                token = value;
            }
            rest = after;
        }
        let code = code.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
        Some(Answer { code, text: str::from_utf8(text).ok()?, token })
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Takes what is no answer.
    pub fn decode(bytes: &[u8]) {
        Answer::read(bytes);
    }

    #[test]
    fn the_token_of_an_answer_is_found() {
        let result = [element(0x0a, &[14]), octets(b""), octets(b"go on")];
        let body = [&result[..], &[element(0x87, b"token")]].concat().concat();
        let message = sequence(&[integer(1), element(0x61, &body)]);
        let answer = Answer::read(&message).expect("an answer");
        assert_eq!((answer.code, answer.text, answer.token), (14, "go on", &b"token"[..]));
        for length in 0..message.len() {
            assert!(Answer::read(&message[..length]).is_none(), "{length} bytes");
        }
    }
}

//! Splits a `$filter` into tokens.

/// A piece of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A name, an operator, or a bare literal.
    Word(String),
    /// A string literal without its quotes.
    Text(String),
    Open,
    Close,
    Comma,
}

/// The tokens of a filter, or none where a string does not end or a character has no place.
///
/// Inside a string literal a single quote is written twice (OData 4.01 URL conventions, 5.1.1.6.1).
pub(super) fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        tokens.push(match c {
            ' ' => continue,
            '(' => Token::Open,
            ')' => Token::Close,
            ',' => Token::Comma,
            '\'' => {
                let mut literal = String::new();
                loop {
                    match rest.next()? {
                        '\'' if rest.next_if_eq(&'\'').is_some() => literal.push('\''),
                        '\'' => break,
                        other => literal.push(other),
                    }
                }
                Token::Text(literal)
            }
            c if word_character(c) => {
                let mut word = String::from(c);
                while let Some(next) = rest.next_if(|c| word_character(*c)) {
                    word.push(next);
                }
                Token::Word(word)
            }
            _ => return None,
        });
    }
    Some(tokens)
}

fn word_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-./:".contains(c)
}

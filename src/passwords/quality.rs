//! Active Directory's complexity rule.

/// What counts as a symbol ("Password must meet complexity requirements", Windows security policy
/// settings), as Samba has it too.
const SYMBOLS: &str = "~!@#$%^&*_-+=`|\\(){}[]:;\"'<>,.?/";

/// Whether a password has three of the five classes of characters: capitals, small letters,
/// digits, symbols, and letters of scripts without case. A program that Samba calls by
/// `check password script` stands in place of Samba's own test of this.
pub fn is_complex(password: &str) -> bool {
    let has = |class: &dyn Fn(char) -> bool| usize::from(password.chars().any(class));
    let classes = has(&char::is_uppercase)
        + has(&char::is_lowercase)
        + has(&|c| c.is_ascii_digit())
        + has(&|c| SYMBOLS.contains(c))
        + has(&|c| c.is_alphabetic() && !c.is_uppercase() && !c.is_lowercase());
    classes >= 3
}

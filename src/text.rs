//! Text that strangers wrote: names in the directory, words of servers. Shown, it must stay what it
//! is: no new line of a log, no command to a terminal, no other order of letters.

/// Whether something obeys this character instead of showing it: terminals the control characters
/// (ECMA-48), readers of logs the separators of lines, and everybody's eye the characters that turn
/// the direction of writing (Unicode Standard Annex 9).
pub fn is_command(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// On one line, with at most so many characters.
pub fn one_line(text: &str, most: usize) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || is_command(c)) {
        if !word.is_empty() {
            line += if line.is_empty() { "" } else { " " };
            line += word;
        }
    }
    line.chars().take(most).collect()
}

/// With the character that stands for an unknown one in place of each that would be obeyed.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if is_command(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_stranger_s_text_does_not_command_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\n\u{9b}c"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c");
        assert_eq!(clean("txt\u{202e}exe"), "txt\u{fffd}exe");
        assert_eq!(clean("Łukasz Müller 山田"), "Łukasz Müller 山田");
    }

    #[test]
    fn one_line_is_what_remains() {
        assert_eq!(one_line(" a\r\n\tb\0\x1b[1mc  ", 99), "a b [1mc");
        assert_eq!(one_line("ab cd", 4), "ab c");
    }

    proptest! {
        #[test]
        fn nothing_that_is_obeyed_remains(text in any::<String>()) {
            prop_assert!(!clean(&text).chars().any(is_command));
            let line = one_line(&text, 20);
            prop_assert!(!line.chars().any(is_command) && line.chars().count() <= 20);
        }
    }
}

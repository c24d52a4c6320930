//! The words of an expression: names, texts, numbers and signs.

use super::read::FilterError;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    Name(String),
    Text(String),
    Number(f64),
    Sign(&'static str),
}

const SIGNS: [&str; 19] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")", "[", "]", ",", ".", "-", "+", "?",
    ":",
];

/// The words of a text, each with the place of its first character.
pub(super) fn words(text: &str) -> Result<Vec<(usize, Word)>, FilterError> {
    let mut words = Vec::new();
    let all: Vec<char> = text.chars().collect();
    let mut rest = &all[..];
    while let [first, after @ ..] = rest {
        let place = all.len() - rest.len() + 1;
        if first.is_whitespace() {
            rest = after;
            continue;
        }
        let (word, left) = match first {
            '"' | '\'' => quoted(*first, after).ok_or(FilterError::Expected(
                place,
                "a text that ends, with no escape but \\\\, \\\" and \\'",
            ))?,
            'a'..='z' | 'A'..='Z' | '_' => {
                let (name, left) = run(rest, |c| c.is_ascii_alphanumeric() || c == '_');
                (Word::Name(name), left)
            }
            '0'..='9' => {
                let (digits, left) = run(rest, |c| c.is_ascii_digit() || c == '.');
                let number = digits.parse();
                let number = number.map_err(|_error| FilterError::Expected(place, "a number"))?;
                (Word::Number(number), left)
            }
            _ => sign(rest).ok_or(FilterError::Expected(place, "an attribute or a value"))?,
        };
        words.push((place, word));
        rest = left;
    }
    Ok(words)
}

fn sign(rest: &[char]) -> Option<(Word, &[char])> {
    let sign = SIGNS.iter().find(|sign| {
        let mut letters = rest.iter();
        sign.chars().all(|letter| letters.next() == Some(&letter))
    })?;
    Some((Word::Sign(sign), rest.get(sign.len()..)?))
}

fn run(rest: &[char], belongs: impl Fn(char) -> bool) -> (String, &[char]) {
    let length = rest.iter().take_while(|c| belongs(**c)).count();
    let (word, left) = rest.split_at_checked(length).unwrap_or((rest, &[]));
    (word.iter().collect(), left)
}

/// The text up to this quote, and what comes after it.
fn quoted(quote: char, mut rest: &[char]) -> Option<(Word, &[char])> {
    let mut text = String::new();
    loop {
        match rest {
            ['\\', escaped @ ('\\' | '"' | '\''), after @ ..] => {
                text.push(*escaped);
                rest = after;
            }
            ['\\', ..] | [] => return None,
            [end, after @ ..] if *end == quote => return Some((Word::Text(text), after)),
            [letter, after @ ..] => {
                text.push(*letter);
                rest = after;
            }
        }
    }
}

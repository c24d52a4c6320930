//! Parameters of a query, as `application/x-www-form-urlencoded` has them: percent-decoded, `+` a
//! space, a `%` without two hexadecimal digits as it is.

use std::borrow::Cow;

/// Names and values, decoded, in order; one without `=` has an empty value.
pub(crate) fn parameters(query: &str) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

/// The query without parameters of these names, the others as they stand. `None` if none is left.
pub(crate) fn without(query: &str, names: &[&[u8]]) -> Option<String> {
    let stays = |pair: &&str| {
        let (name, _) = pair.split_once('=').unwrap_or((pair, ""));
        !names.contains(&decode(name).as_ref())
    };
    let left: Vec<&str> = query.split('&').filter(stays).collect();
    (!left.is_empty()).then(|| left.join("&"))
}

fn decode(text: &str) -> Cow<'_, [u8]> {
    let mut rest = text.as_bytes();
    if !rest.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(rest);
    }
    let mut decoded = Vec::with_capacity(rest.len());
    while let [first, after @ ..] = rest {
        let (byte, left) = match (first, after) {
            (b'%', [high, low, left @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, left),
                _ => (b'%', after),
            },
            (b'+', _) => (b' ', after),
            _ => (*first, after),
        };
        decoded.push(byte);
        rest = left;
    }
    Cow::Owned(decoded)
}

fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
mod tests;

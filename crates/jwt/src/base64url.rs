//! Base64 for URLs (RFC 4648, section 5) as tokens have it: without padding, and with one text for
//! any bytes.

/// Decodes; `None` for a character that is not of the alphabet, padding, a length that cannot be, or
/// bits at the end that mean nothing and are not zero.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.chunks(4) {
        let mut bits = 0;
        for letter in group {
            bits = bits << 6 | u32::from(value(*letter)?);
        }
        match group.len() {
            4 => decoded.extend_from_slice(bits.to_be_bytes().get(1..)?),
            3 if bits & 0b11 == 0 => decoded.extend_from_slice((bits >> 2).to_be_bytes().get(2..)?),
            2 if bits & 0b1111 == 0 => {
                decoded.extend_from_slice((bits >> 4).to_be_bytes().get(3..)?);
            }
            _ => return None,
        }
    }
    Some(decoded)
}

fn value(letter: u8) -> Option<u8> {
    match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

/// Encodes: for tests, which make tokens.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn encode(bytes: &[u8]) -> String {
    letters(bytes, [b'-', b'_'])
}

/// The other base64 (section 4), padded.
pub(crate) fn padded(bytes: &[u8]) -> String {
    let mut text = letters(bytes, [b'+', b'/']);
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// What bytes are in base64 with these as its last two letters.
fn letters(bytes: &[u8], [last_but_one, last]: [u8; 2]) -> String {
    let mut text = String::with_capacity(bytes.len() / 3 * 4 + 4);
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..=group.len() {
            let [.., value] = ((bits >> (18 - 6 * index)) & 0b11_1111).to_be_bytes();
            let letter = match value {
                0..26 => b'A' + value,
                26..52 => b'a' + (value - 26),
                52..62 => b'0' + (value - 52),
                62 => last_but_one,
                _ => last,
            };
            text.push(char::from(letter));
        }
    }
    text
}

#[cfg(test)]
mod tests;

//! Which line of the access log something gets.

/// The line of something that is over.
#[derive(Debug)]
pub enum Line {
    /// Our own fields.
    Usual,
    /// This one, with its end.
    Own(Vec<u8>),
    /// None.
    None,
}

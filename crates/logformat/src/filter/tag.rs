//! An expression that comes to the value of a label.
//!
//! Labels are kept, and shown to whoever may read series: they are short, and what may hold a secret
//! cannot be asked for: queries among it.

use super::read::{self, FilterError};
use super::{Attribute, Expression};
use crate::entry::Entry;
use crate::needs::Needs;
use crate::redact::Redaction;

/// Longest value, in bytes.
const LONGEST: usize = 128;

/// An expression for the value of a label, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Tag {
    root: Expression,
    needs: Needs,
}

impl Tag {
    /// Reads an expression.
    pub fn read(text: &str) -> Result<Self, FilterError> {
        let root = read::value(text)?;
        withhold(&root, &Redaction::default())?;
        let mut needs = Needs::default();
        root.add_needs(&mut needs);
        Ok(Self { root, needs })
    }

    /// What has to be kept until the end of a request.
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// The value for this entry; none if what is asked for is not there.
    pub fn text(&self, entry: &(impl Entry + ?Sized)) -> Option<String> {
        let mut text = self.root.beginning(entry, LONGEST)?.into_owned();
        text.truncate(text.floor_char_boundary(LONGEST));
        Some(text)
    }
}

/// Refuses what may hold a secret.
fn withhold(of: &Expression, redaction: &Redaction) -> Result<(), FilterError> {
    match of {
        Expression::Attribute(attribute) | Expression::Has(attribute) => match attribute {
            Attribute::Known(name @ ("request.path" | "request.query")) => {
                Err(FilterError::Query((*name).to_owned()))
            }
            Attribute::Header(_, name) if redaction.withholds(name) => {
                Err(FilterError::Secret(name.to_string()))
            }
            Attribute::Header(..) | Attribute::Known(_) => Ok(()),
        },
        _ => {
            let mut parts = of.parts().into_iter();
            parts.try_for_each(|part| withhold(part, redaction))
        }
    }
}

#[cfg(test)]
mod tests;

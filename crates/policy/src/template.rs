//! Paths and templates of them.

use ambit_model::{PathPattern, PathTemplate, TemplateSegment};

use crate::text::meets;

/// Whether a path is met.
pub(crate) fn path_meets(wanted: &PathPattern, path: &str) -> bool {
    match wanted {
        PathPattern::Text(text) => meets(text, path.as_bytes()),
        PathPattern::Template(template) => is_covered(template, path).is_some(),
    }
}

/// `Some` if a template covers all of a path. It is walked from the beginning as far as `{**}`; what
/// follows that are literals, which are taken off the end.
fn is_covered(template: &PathTemplate, path: &str) -> Option<()> {
    let mut rest = path;
    let mut segments = template.segments().iter();
    while let Some(segment) = segments.next() {
        rest = rest.strip_prefix('/')?;
        rest = match segment {
            TemplateSegment::Literal(text) => rest.strip_prefix(&**text)?,
            TemplateSegment::One => {
                let (segment, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (!segment.is_empty()).then_some(rest)?
            }
            TemplateSegment::Many => {
                for segment in segments.by_ref().rev() {
                    let TemplateSegment::Literal(text) = segment else {
                        return None;
                    };
                    rest = rest.strip_suffix(&**text)?.strip_suffix('/')?;
                }
                return Some(());
            }
        };
    }
    rest.is_empty().then_some(())
}

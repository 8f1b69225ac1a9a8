//! What a document may cost before anything is built from it.
//!
//! The XML parser reads nested elements without recursion, but compares the attributes of an element pairwise and
//! copies every namespace in scope at each declaration: one element with a million attributes, or a thousand nested
//! declarations, would keep it busy for hours. It also reserves memory for every `<` and `=` in the text. One pass over
//! the text, here, bounds all of it first.

use super::CdaError;

/// How large a document may be, in every direction. A document beyond any of them is refused.
///
/// The defaults leave ample room over the largest published French examples: 3 MB, 7,500 tags, 20 levels, 12 namespace
/// declarations.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The whole document, in bytes.
    pub document_bytes: usize,
    /// Opening and closing tags, comments and instructions, counted as `<`.
    pub nodes: usize,
    /// Attributes of the whole document, counted as `=`.
    pub attributes: usize,
    /// Elements inside one another.
    pub depth: usize,
    /// Attributes of one element.
    pub attributes_per_element: usize,
    /// One attribute's value, in bytes.
    pub attribute_bytes: usize,
    /// Namespace declarations of the whole document.
    pub namespaces: usize,
    /// One value taken from the header (a name, a title, an identifier), in characters.
    pub header_value_chars: usize,
    /// Elements of one kind under one parent: authors, identifiers, documented acts.
    pub repeats: usize,
    /// Violations reported for one document; the others are only counted against it.
    pub violations: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            document_bytes: 20 * 1024 * 1024,
            nodes: 200_000,
            attributes: 200_000,
            depth: 200,
            attributes_per_element: 64,
            attribute_bytes: 1024 * 1024,
            namespaces: 200,
            header_value_chars: 1_000,
            repeats: 64,
            violations: 100,
        }
    }
}

/// The bound given to the parser: a text may stand before every tag, and the document itself is a node.
pub(super) fn parsed_nodes(limits: &Limits) -> u32 {
    u32::try_from(limits.nodes.saturating_mul(2).saturating_add(2)).unwrap_or(u32::MAX)
}

/// The document as text, if it is small enough and UTF-8.
pub(super) fn decode<'a>(content: &'a [u8], limits: &Limits) -> Result<&'a str, CdaError> {
    if content.len() > limits.document_bytes {
        return Err(CdaError::TooLarge {
            limit: limits.document_bytes,
        });
    }
    if is_wide(content) || !declares_utf8(content) {
        return Err(CdaError::Encoding);
    }
    std::str::from_utf8(content).map_err(|_| CdaError::NotUtf8)
}

/// UTF-16 or UTF-32, with or without a byte order mark: a document starts with ASCII, so a zero byte tells.
fn is_wide(content: &[u8]) -> bool {
    let start = content.get(..4).unwrap_or(content);
    start.starts_with(&[0xFF, 0xFE]) || start.starts_with(&[0xFE, 0xFF]) || start.contains(&0)
}

/// Whether the XML declaration names UTF-8, or ASCII which is part of it, or no encoding at all.
fn declares_utf8(content: &[u8]) -> bool {
    const LONGEST_DECLARATION: usize = 256;
    let content = content.strip_prefix(&[0xEF, 0xBB, 0xBF]).unwrap_or(content);
    let start = String::from_utf8_lossy(content.get(..LONGEST_DECLARATION).unwrap_or(content));
    let declaration = match start.strip_prefix("<?xml").and_then(|rest| rest.split_once("?>")) {
        Some((declaration, _)) => declaration,
        None => return true,
    };
    let Some((_, value)) = declaration.split_once("encoding") else {
        return true;
    };
    let value = value.trim_start().strip_prefix('=').unwrap_or_default().trim_start();
    let name = value.split(['"', '\'']).nth(1).unwrap_or_default();
    ["utf-8", "utf8", "us-ascii"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

/// Refuses a text that would cost the parser more than `limits`, or that declares a document type.
///
/// Where the text is not well-formed this stops and says nothing: the parser stops at the same place, and names it.
pub(super) fn check(text: &str, limits: &Limits) -> Result<(), CdaError> {
    if count(text, b'<') > limits.nodes {
        return Err(CdaError::TooManyNodes { limit: limits.nodes });
    }
    if count(text, b'=') > limits.attributes {
        return Err(CdaError::TooManyAttributes {
            limit: limits.attributes,
        });
    }
    let mut scan = Scan {
        limits,
        depth: 0,
        namespaces: 0,
    };
    let mut rest = text;
    while let Some(markup) = rest.find('<').and_then(|start| rest.get(start..)) {
        match scan.markup(markup)? {
            Some(after) => rest = after,
            None => return Ok(()),
        }
    }
    Ok(())
}

fn count(text: &str, byte: u8) -> usize {
    text.bytes().filter(|&found| found == byte).count()
}

struct Scan<'a> {
    limits: &'a Limits,
    depth: usize,
    namespaces: usize,
}

impl Scan<'_> {
    /// What follows the markup that `text` starts with; none if that markup never ends.
    fn markup<'a>(&mut self, text: &'a str) -> Result<Option<&'a str>, CdaError> {
        const ENCLOSED: [(&str, &str); 3] = [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>")];
        if let Some((inside, end)) = ENCLOSED
            .iter()
            .find_map(|(start, end)| Some((text.strip_prefix(start)?, end)))
        {
            return Ok(inside.split_once(end).map(|(_, after)| after));
        }
        if text.starts_with("<!DOCTYPE") {
            return Err(CdaError::Dtd);
        }
        if let Some(closing) = text.strip_prefix("</") {
            self.depth = self.depth.saturating_sub(1);
            return Ok(closing.split_once('>').map(|(_, after)| after));
        }
        self.opening_tag(text.get(1..).unwrap_or_default())
    }

    fn opening_tag<'a>(&mut self, tag: &'a str) -> Result<Option<&'a str>, CdaError> {
        let mut attributes = 0;
        let mut rest = tag;
        while let Some(stop) = rest.find(['"', '\'', '>']) {
            let (before, from) = rest.split_at(stop);
            let mut after = from.chars();
            let Some(quote @ ('"' | '\'')) = after.next() else {
                self.open(before.ends_with('/'))?;
                return Ok(Some(after.as_str()));
            };
            let Some((value, following)) = after.as_str().split_once(quote) else {
                return Ok(None);
            };
            attributes += 1;
            self.attribute(attributes, before, value)?;
            rest = following;
        }
        Ok(None)
    }

    fn open(&mut self, is_empty: bool) -> Result<(), CdaError> {
        if self.depth >= self.limits.depth {
            return Err(CdaError::TooDeep {
                limit: self.limits.depth,
            });
        }
        if !is_empty {
            self.depth += 1;
        }
        Ok(())
    }

    fn attribute(&mut self, nth: usize, before: &str, value: &str) -> Result<(), CdaError> {
        if nth > self.limits.attributes_per_element {
            return Err(CdaError::TooManyAttributes {
                limit: self.limits.attributes_per_element,
            });
        }
        if value.len() > self.limits.attribute_bytes {
            return Err(CdaError::AttributeTooLong {
                limit: self.limits.attribute_bytes,
            });
        }
        if before.contains("xmlns") {
            self.namespaces += 1;
        }
        if self.namespaces > self.limits.namespaces {
            return Err(CdaError::TooManyNamespaces {
                limit: self.limits.namespaces,
            });
        }
        Ok(())
    }
}

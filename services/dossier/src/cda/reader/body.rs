//! The body of a document, read just enough to know that there is one: an empty document is not to be filed.

use super::{Reader, elements};
use crate::cda::error::Fault;
use crate::cda::{Body, HL7};
use roxmltree::Node;

impl Reader<'_> {
    pub(super) fn body(&mut self, component: Node<'_, '_>) -> Option<Body> {
        let structured = self.optional(component, "structuredBody", |_, node| Some(node));
        let unstructured = self.optional(component, "nonXMLBody", |_, node| Some(node));
        match (structured, unstructured) {
            (Some(body), None) => self.structured(body),
            (None, Some(body)) => self.unstructured(body),
            (Some(_), Some(second)) => {
                self.violate(Fault::Repeated, second, "");
                None
            }
            (None, None) => {
                self.violate(Fault::EmptyBody, component, "");
                None
            }
        }
    }

    fn structured(&mut self, body: Node<'_, '_>) -> Option<Body> {
        if !body.descendants().any(is_filled_section) {
            self.violate(Fault::EmptyBody, body, "");
            return None;
        }
        let sections = elements(body, "component")
            .flat_map(|component| elements(component, "section"))
            .count();
        Some(Body::Structured { sections })
    }

    fn unstructured(&mut self, body: Node<'_, '_>) -> Option<Body> {
        let content = self.required(body, "text", |_, node| Some(node))?;
        let size = match self.attribute(content, "representation").as_deref() {
            Some("B64") => self.base64_size(content)?,
            _ => texts(content).map(|text| text.trim().len()).sum(),
        };
        if size == 0 {
            let is_elsewhere = elements(content, "reference").next().is_some();
            self.violate(
                if is_elsewhere {
                    Fault::BodyElsewhere
                } else {
                    Fault::EmptyBody
                },
                content,
                "",
            );
            return None;
        }
        let media_type = self
            .attribute(content, "mediaType")
            .unwrap_or_else(|| "text/plain".to_owned());
        Some(Body::Unstructured { media_type, size })
    }

    /// The size of a base64 content once decoded. White space is allowed, padding may be left out.
    fn base64_size(&mut self, content: Node<'_, '_>) -> Option<usize> {
        let (mut symbols, mut padding, mut is_valid) = (0_usize, 0_usize, true);
        for text in texts(content) {
            // A scan has megabytes of them: they are counted kind by kind, which takes a fraction of asking of each byte
            // which kind it is.
            let (said, end) = text.split_at(
                text.trim_end_matches(|end: char| end == '=' || end.is_ascii_whitespace())
                    .len(),
            );
            let found = said.bytes().filter(is_symbol).count();
            let spaces = said.bytes().filter(u8::is_ascii_whitespace).count();
            is_valid &= found + spaces == said.len() && (padding == 0 || found == 0);
            symbols += found;
            padding += end.bytes().filter(|byte| *byte == b'=').count();
        }
        let is_whole = symbols % 4 != 1 && (padding == 0 || (padding <= 2 && (symbols + padding) % 4 == 0));
        if !is_valid || !is_whole {
            self.violate(Fault::BadBase64, content, "");
            return None;
        }
        Some(symbols * 3 / 4)
    }
}

fn is_symbol(byte: &u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/')
}

/// A section with a text that says or shows something, or with an entry.
fn is_filled_section(node: Node<'_, '_>) -> bool {
    let says = |text: Node<'_, '_>| {
        text.descendants().any(|inside| {
            let is_word = inside.is_text() && inside.text().is_some_and(|text| !text.trim().is_empty());
            is_word || inside.has_tag_name((HL7, "renderMultiMedia"))
        })
    };
    node.has_tag_name((HL7, "section"))
        && (elements(node, "text").any(says)
            || elements(node, "entry").any(|entry| entry.children().any(|child| child.is_element())))
}

fn texts<'d>(node: Node<'d, 'd>) -> impl Iterator<Item = &'d str> {
    node.children()
        .filter(|child| child.is_text())
        .filter_map(|text| text.text())
}

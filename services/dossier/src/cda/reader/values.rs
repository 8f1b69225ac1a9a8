//! What an element says, and how many of it there must, may and can be.

use super::Reader;
use crate::cda::error::{Fault, Violation};
use crate::cda::header::{Code, InstanceId, Period, Text};
use crate::cda::{HL7, Hl7Time};
use roxmltree::Node;

/// Values: what an element says, whatever element it is.
impl Reader<'_> {
    pub(super) fn instance_id(&mut self, node: Node<'_, '_>) -> Option<InstanceId> {
        if node.attribute("nullFlavor").is_some() {
            return None;
        }
        let extension = self.attribute(node, "extension").map(Text);
        let Some(root) = self.attribute(node, "root") else {
            // An extension means nothing without the root it is unique under.
            if extension.is_some() {
                self.violate(Fault::Missing, node, "@root");
            }
            return None;
        };
        let Some(root) = canonical_root(root) else {
            self.violate(Fault::BadOid, node, "@root");
            return None;
        };
        Some(InstanceId { root, extension })
    }

    pub(super) fn code(&mut self, node: Node<'_, '_>) -> Option<Code> {
        let code = self.attribute(node, "code")?;
        Some(Code {
            code,
            system: self.attribute(node, "codeSystem"),
            label: self.attribute(node, "displayName").map(Text),
        })
    }

    pub(super) fn time(&mut self, node: Node<'_, '_>) -> Option<Hl7Time> {
        let time = Hl7Time::parse(&self.attribute(node, "value")?);
        if time.is_none() {
            self.violate(Fault::BadTime, node, "");
        }
        time
    }

    pub(super) fn period(&mut self, node: Node<'_, '_>) -> Option<Period> {
        let point = self.time(node);
        let low = self.optional(node, "low", Self::time);
        let stop = self.tolerant(|reader| reader.optional(node, "high", Self::time));
        let middle = self.optional(node, "center", Self::time);
        Some(Period {
            start: low.or(point).or(middle),
            stop,
        })
    }

    /// An attribute without namespace; none if it says nothing.
    pub(super) fn attribute(&mut self, node: Node<'_, '_>, name: &str) -> Option<String> {
        let value = node.attribute(name)?;
        Some(self.bounded(node, value)?.into_string())
    }

    /// The text directly in an element, comments left out.
    pub(super) fn text(&mut self, node: Node<'_, '_>) -> Option<Text> {
        let whole: String = node
            .children()
            .filter(Node::is_text)
            .filter_map(|text| text.text())
            .collect();
        self.bounded(node, &whole)
    }

    /// A value without the white space around and between its words; none if nothing else is left.
    fn bounded(&mut self, node: Node<'_, '_>, value: &str) -> Option<Text> {
        const LONGEST_CHAR: usize = 4;
        let limit = self.limits.header_value_chars;
        let mut kept = String::new();
        for word in value.split_whitespace() {
            if !kept.is_empty() {
                kept.push(' ');
            }
            kept.push_str(word);
            if kept.len() > limit.saturating_mul(LONGEST_CHAR) {
                break;
            }
        }
        if kept.chars().count() > limit {
            self.violate(Fault::TooLong, node, "");
            return None;
        }
        (!kept.is_empty()).then_some(Text(kept))
    }
}

/// Cardinalities: how many of an element there must, may and can be.
impl Reader<'_> {
    /// The only element of that name. A second one is a violation; none is not.
    pub(super) fn optional<'d, T>(
        &mut self,
        parent: Node<'d, 'd>,
        name: &str,
        read: impl FnOnce(&mut Self, Node<'d, 'd>) -> Option<T>,
    ) -> Option<T> {
        let mut found = elements(parent, name);
        let first = found.next()?;
        if let Some(second) = found.next() {
            self.violate(Fault::Repeated, second, "");
        }
        read(self, first)
    }

    /// The only element of that name, which must be there and say something.
    pub(super) fn required<'d, T>(
        &mut self,
        parent: Node<'d, 'd>,
        name: &str,
        read: impl FnOnce(&mut Self, Node<'d, 'd>) -> Option<T>,
    ) -> Option<T> {
        let broken = self.broken;
        let value = self.optional(parent, name, read);
        // What was found wrong inside the element already says why there is no value.
        if value.is_none() && self.broken == broken {
            self.violate(Fault::Missing, parent, name);
        }
        value
    }

    /// The first element of that name that says something.
    pub(super) fn first<'d, T>(
        &mut self,
        parent: Node<'d, 'd>,
        name: &str,
        mut read: impl FnMut(&mut Self, Node<'d, 'd>) -> Option<T>,
    ) -> Option<T> {
        elements(parent, name)
            .take(self.limits.repeats)
            .find_map(|node| read(self, node))
    }

    /// Every element of that name that says something.
    pub(super) fn all<'d, T>(
        &mut self,
        parent: Node<'d, 'd>,
        name: &str,
        mut read: impl FnMut(&mut Self, Node<'d, 'd>) -> Option<T>,
    ) -> Vec<T> {
        let limit = self.limits.repeats;
        if let Some(beyond) = elements(parent, name).nth(limit) {
            self.violate(Fault::TooMany, beyond, "");
        }
        elements(parent, name)
            .take(limit)
            .filter_map(|node| read(self, node))
            .collect()
    }

    /// Every element of that name that says something, which at least one must.
    pub(super) fn all_required<'d, T>(
        &mut self,
        parent: Node<'d, 'd>,
        name: &str,
        read: impl FnMut(&mut Self, Node<'d, 'd>) -> Option<T>,
    ) -> Vec<T> {
        let broken = self.broken;
        let values = self.all(parent, name, read);
        if values.is_empty() && self.broken == broken {
            self.violate(Fault::Missing, parent, name);
        }
        values
    }

    /// Reads a part whose faults do not stop the document from being filed: what is wrong there becomes a warning.
    pub(super) fn tolerant<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let (broken, reported) = (self.broken, self.violations.len());
        let value = read(self);
        self.broken = broken;
        let found = self.violations.split_off(reported.min(self.violations.len()));
        let room = self.limits.violations.saturating_sub(self.warnings.len());
        self.warnings.extend(found.into_iter().take(room));
        value
    }

    /// Notes a broken rule at `below` (nothing, a path of elements, or an attribute) under `node`.
    pub(super) fn violate(&mut self, fault: Fault, node: Node<'_, '_>, below: &str) {
        self.broken += 1;
        if self.violations.len() < self.limits.violations {
            let separator = if below.is_empty() { "" } else { "/" };
            self.violations.push(Violation {
                fault,
                field: format!("{}{separator}{below}", path(node)),
            });
        }
    }
}

pub(super) fn elements<'d>(parent: Node<'d, 'd>, name: &str) -> impl Iterator<Item = Node<'d, 'd>> {
    parent.children().filter(move |child| child.has_tag_name((HL7, name)))
}

/// The place of an element, from `ClinicalDocument` down. Only elements looked for by name get here, so the path is made
/// of the standard's words.
fn path(node: Node<'_, '_>) -> String {
    let mut steps: Vec<String> = Vec::new();
    for step in node.ancestors().take_while(Node::is_element) {
        let name = step.tag_name().name();
        let rank = step
            .prev_siblings()
            .filter(|sibling| sibling.tag_name() == step.tag_name())
            .count();
        steps.push(if rank > 1 {
            format!("{name}[{rank}]")
        } else {
            name.to_owned()
        });
        if name == "ClinicalDocument" {
            break;
        }
    }
    steps.reverse();
    steps.join("/")
}

/// An OID, or a UUID put in upper case: the same UUID written both ways must not be two documents.
fn canonical_root(root: String) -> Option<String> {
    if is_oid(&root) {
        return Some(root);
    }
    is_uuid(&root).then(|| root.to_ascii_uppercase())
}

fn is_oid(root: &str) -> bool {
    let is_arc = |arc: &str| {
        let is_number = !arc.is_empty() && arc.bytes().all(|byte| byte.is_ascii_digit());
        is_number && (arc == "0" || !arc.starts_with('0'))
    };
    let starts_well = matches!(root.split('.').next(), Some("0" | "1" | "2"));
    starts_well && root.contains('.') && root.split('.').all(is_arc)
}

fn is_uuid(root: &str) -> bool {
    let groups: Vec<_> = root.split('-').collect();
    let lengths: Vec<_> = groups.iter().map(|group| group.len()).collect();
    lengths == [8, 4, 4, 4, 12]
        && groups
            .iter()
            .all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Whether a part of a name bears a qualifier; the attribute is a list.
pub(super) fn is_qualified(part: Node<'_, '_>, qualifier: &str) -> bool {
    part.attribute("qualifier")
        .is_some_and(|list| list.split_whitespace().any(|found| found == qualifier))
}

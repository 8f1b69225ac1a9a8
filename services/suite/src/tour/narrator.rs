//! How the tour is told: chapters, quotes of the law, steps, and every failure remembered.

use prost_types::Timestamp;
use std::collections::BTreeMap;
use std::io::{self, Write};
use store::time::from_proto;

use crate::verify::sentence::many;

const WIDTH: usize = 116;

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const BLUE: &str = "34";

/// Writes the tale. Every method flushes: a tour over large documents shows its progress.
pub(super) struct Narrator<'a> {
    out: &'a mut dyn Write,
    colour: bool,
    failures: Vec<String>,
}

impl<'a> Narrator<'a> {
    pub(super) fn new(out: &'a mut dyn Write, colour: bool) -> Self {
        Self {
            out,
            colour,
            failures: Vec::new(),
        }
    }

    pub(super) fn into_failures(self) -> Vec<String> {
        self.failures
    }

    /// A chapter and the words of the law that it plays.
    pub(super) fn chapter(&mut self, title: &str, quote: &str) -> io::Result<()> {
        let title = self.paint(BOLD, title);
        writeln!(self.out, "\n{title}")?;
        for line in fold(&format!("«\u{a0}{quote}\u{a0}»"), WIDTH - 2) {
            let line = self.paint(BLUE, &line);
            writeln!(self.out, "  {line}")?;
        }
        self.out.flush()
    }

    /// Something that went as it must.
    pub(super) fn done(&mut self, text: &str) -> io::Result<()> {
        self.step("✓", GREEN, text)
    }

    /// A refusal that had to be.
    pub(super) fn refused(&mut self, text: &str) -> io::Result<()> {
        self.step("⊘", YELLOW, text)
    }

    /// Why, or what follows: belongs to the step before it.
    pub(super) fn because(&mut self, text: &str) -> io::Result<()> {
        for line in fold(text, WIDTH - 6) {
            let line = self.paint(DIM, &line);
            writeln!(self.out, "      {line}")?;
        }
        self.out.flush()
    }

    /// Something that is not as it must be.
    pub(super) fn failed(&mut self, text: &str) -> io::Result<()> {
        self.failures.push(text.to_owned());
        self.step("✗", RED, text)
    }

    /// A failure when there is one, nothing otherwise.
    pub(super) fn check(&mut self, what: &str, checked: Result<(), String>) -> io::Result<()> {
        match checked {
            Ok(()) => Ok(()),
            Err(fault) => self.failed(&format!("{what}: {fault}")),
        }
    }

    /// The table at the end.
    pub(super) fn total(&mut self, documents: usize, by_reason: &BTreeMap<String, usize>) -> io::Result<()> {
        let title = self.paint(BOLD, "In the end");
        writeln!(self.out, "\n{title}")?;
        for (reason, count) in by_reason {
            writeln!(self.out, "  {count:>5}  {reason}")?;
        }
        writeln!(self.out, "  {documents:>5}  in all")?;
        let verdict = match self.failures.len() {
            0 => self.paint(GREEN, "Everything was as it must be."),
            count => self.paint(RED, &format!("Not as it must be: {}", many(count, "thing"))),
        };
        writeln!(self.out, "\n{verdict}")?;
        for failure in &self.failures {
            writeln!(self.out, "  ✗ {failure}")?;
        }
        self.out.flush()
    }

    fn step(&mut self, mark: &str, colour: &str, text: &str) -> io::Result<()> {
        let mark = self.paint(colour, mark);
        for (line, text) in fold(text, WIDTH - 4).into_iter().enumerate() {
            if line == 0 {
                writeln!(self.out, "  {mark} {text}")?;
            } else {
                writeln!(self.out, "    {text}")?;
            }
        }
        self.out.flush()
    }

    /// Ended by the code that ends all attributes, so that nothing bleeds into the next line.
    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{colour}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// `text` in lines of at most `width` characters, broken at spaces. Runs of spaces within a line are kept: they align.
fn fold(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_inclusive(' ') {
        let length = line.chars().count() + word.trim_end().chars().count();
        if length > width && !line.is_empty() {
            lines.push(line.trim_end().to_owned());
            line.clear();
        }
        line.push_str(word);
    }
    lines.push(line.trim_end().to_owned());
    lines
}

/// Exactly `width` characters: filled up with spaces, or cut with an ellipsis. Whatever could move the cursor is left out.
pub(super) fn column(text: &str, width: usize) -> String {
    let shown: Vec<char> = text.chars().filter(|letter| !letter.is_control()).collect();
    if shown.len() <= width {
        let text: String = shown.iter().collect();
        return format!("{text:<width$}");
    }
    let kept: String = shown.iter().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// A moment's day in UTC, `2026-03-02`; empty when there is none.
pub(super) fn day(instant: Option<&Timestamp>) -> String {
    let instant = instant.and_then(from_proto);
    instant
        .map(|instant| instant.to_string().chars().take(10).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn lines_are_broken_at_spaces_and_columns_have_their_width() {
        assert_eq!(fold("un deux trois", 8), ["un deux", "trois"]);
        assert_eq!(fold("insécable", 3), ["insécable"]);
        assert_eq!(fold("", 3), [""]);
        assert_eq!(column("élan", 6), "élan  ");
        assert_eq!(column("élancement", 6), "élanc…");
        assert_eq!(column("a\u{1b}[2Jb", 6), "a[2Jb ");
    }

    #[test]
    fn a_failure_is_told_and_remembered() {
        let mut out = Vec::new();
        let mut told = Narrator::new(&mut out, false);
        told.check("first", Ok(())).unwrap();
        told.check("second", Err("wrong".to_owned())).unwrap();
        assert_eq!(told.into_failures(), ["second: wrong"]);
        assert_eq!(String::from_utf8(out).unwrap(), "  ✗ second: wrong\n");
    }
}

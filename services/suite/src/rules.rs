//! `dmp rules`: the law of access as the program applies it, for a lawyer to read.

use consent::rules::{DEFAULT, Effect, RULES, Rule};
use serve::role_name;
use std::io::{self, Write};

/// Columns of a line of text.
const WIDTH: usize = 100;
const INDENT: &str = "        ";

/// Prints every rule: its effect, name and article, what it says, and of whom it speaks.
///
/// # Errors
/// Those of `out`.
pub fn print(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "A forbid beats every permit; what no rule permits is refused. Forbids stand in the order in which a\n\
         refusal names them.\n"
    )?;
    for rule in RULES {
        let effect = match rule.effect {
            Effect::Forbid => "FORBID",
            Effect::Permit(_) => "PERMIT",
        };
        entry(out, effect, rule.id, rule.article, rule.summary)?;
        indented(out, &format!("Of: {}.", roles(rule)))?;
        writeln!(out)?;
    }
    entry(out, "FORBID", DEFAULT.rule, DEFAULT.article, DEFAULT.summary)
}

fn entry(out: &mut impl Write, effect: &str, id: &str, article: &str, summary: &str) -> io::Result<()> {
    writeln!(out, "{effect}  {id}  ({article})")?;
    indented(out, summary)
}

fn indented(out: &mut impl Write, text: &str) -> io::Result<()> {
    lines(text).iter().try_for_each(|line| writeln!(out, "{INDENT}{line}"))
}

fn roles(rule: &Rule) -> String {
    let named = rule.roles.iter().filter(|role| **role != Default::default());
    let names: Vec<String> = named
        .map(|role| role_name(*role).to_lowercase().replace('_', " "))
        .collect();
    names.join(", ")
}

/// The text in lines that fit.
fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if INDENT.len() + line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn every_rule_is_printed_with_its_article_and_what_it_says() {
        let mut printed = Vec::new();
        print(&mut printed).unwrap();
        let printed = String::from_utf8(printed).unwrap();
        assert!(printed.lines().all(|line| line.chars().count() <= 110));
        let flowing: String = printed.split_whitespace().collect::<Vec<_>>().join(" ");
        for rule in RULES {
            assert!(
                printed.contains(&format!("{}  ({})", rule.id, rule.article)),
                "{}",
                rule.id
            );
            let summary: String = rule.summary.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(flowing.contains(&summary), "{}", rule.id);
        }
        assert!(printed.contains(DEFAULT.rule));
    }
}

//! Criteria as people write them: `cluster 1,3-5 and not (density ..0.1 or z2 1.5..)`.

use super::Criterion;
use contract::{Problem, Result};

/// What the writing means, for messages.
const HINT: &str = "conditions are `cluster 1,3-5`, `z2 -1..0.5`, `pc1 0..`, `near 0.1,-2,… within 1.5`, `density 0.1..`, `region lasso.json`, \
                    `particles 1,7,9` or `particles list.txt`; join them with `and`, `or`, `not` and parentheses";

/// What a word after `region` or `particles` stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A region's file.
    Region,
    /// Particles: a list, or a file with one.
    Particles,
}

/// Reads a criterion; `load` makes one of a file's name (or list of particles).
///
/// # Errors
/// If the text is no criterion (the message names the word), or a file is none.
pub fn parse(text: &str, load: &dyn Fn(Wish, &str) -> Result<Criterion>) -> Result<Criterion> {
    let words = words(text)?;
    let mut reader = Reader { words: &words, at: 0, load };
    let criterion = reader.any()?;
    match reader.next() {
        None => Ok(criterion),
        Some(word) => Err(wrong(&format!("`{word}` is not expected here"))),
    }
}

fn wrong(what: &str) -> Problem {
    Problem::input(what.to_owned()).hint(HINT)
}

/// Words, parentheses by themselves; quotes keep blanks together.
fn words(text: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), c) => word.push(c),
            (None, '"' | '\'') => quote = Some(c),
            (None, '(' | ')') => {
                words.extend([std::mem::take(&mut word), c.to_string()]);
            }
            (None, c) if c.is_whitespace() => words.push(std::mem::take(&mut word)),
            (None, c) => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    if quote.is_some() {
        return Err(wrong("a quote is not closed"));
    }
    Ok(words)
}

struct Reader<'a> {
    words: &'a [String],
    at: usize,
    load: &'a dyn Fn(Wish, &str) -> Result<Criterion>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a str> {
        self.at += 1;
        self.words.get(self.at - 1).map(String::as_str)
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.words.get(self.at).is_some_and(|w| w == word);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, of: &str) -> Result<&'a str> {
        self.next().ok_or_else(|| wrong(&format!("nothing follows `{of}`")))
    }

    /// Terms joined by `or`.
    fn any(&mut self) -> Result<Criterion> {
        let mut parts = vec![self.all()?];
        while self.take("or") {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Criterion::Any(parts) })
    }

    /// Factors joined by `and`, which binds more tightly.
    fn all(&mut self) -> Result<Criterion> {
        let mut parts = vec![self.one()?];
        while self.take("and") {
            parts.push(self.one()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Criterion::All(parts) })
    }

    fn one(&mut self) -> Result<Criterion> {
        let word = self.next().ok_or_else(|| wrong("a condition is missing at the end"))?;
        match word {
            "not" => Ok(Criterion::Not(Box::new(self.one()?))),
            "(" => {
                let inner = self.any()?;
                if self.take(")") { Ok(inner) } else { Err(wrong("a parenthesis is not closed")) }
            }
            "cluster" | "clusters" => Ok(Criterion::Classes(numbers(self.value(word)?)?)),
            "density" => {
                let text = self.value(word)?;
                let (low, high) = range(text)?;
                let beyond = |bound: f64| bound.is_finite() && !(0.0..=1.0).contains(&bound);
                if beyond(low) || beyond(high) {
                    return Err(wrong(&format!("`density {text}` goes beyond 0..1: 0 is the loneliest particle, 1 the most crowded")));
                }
                Ok(Criterion::Density(low, high))
            }
            "near" => {
                let point = self.value(word)?;
                let values: Vec<f32> = point
                    .split(',')
                    .map(|v| {
                        v.parse().ok().filter(|v: &f32| v.is_finite()).ok_or_else(|| wrong(&format!("`{point}` is not a list of numbers")))
                    })
                    .collect::<Result<_>>()?;
                if !self.take("within") {
                    return Err(wrong("`within` and a distance must follow the point"));
                }
                let distance = self.value("within")?;
                match distance.parse::<f64>() {
                    Ok(d) if d >= 0.0 => Ok(Criterion::Near(values, d)),
                    _ => Err(wrong(&format!("`{distance}` is not a distance"))),
                }
            }
            "region" => (self.load)(Wish::Region, self.value(word)?),
            "particles" => (self.load)(Wish::Particles, self.value(word)?),
            _ => {
                let axis = |prefix: &str| word.strip_prefix(prefix).and_then(|n| n.parse::<usize>().ok()).filter(|&n| n > 0);
                if let Some(component) = axis("pc") {
                    range(self.value(word)?).map(|(low, high)| Criterion::Component(component - 1, low, high))
                } else if let Some(dimension) = axis("z") {
                    range(self.value(word)?).map(|(low, high)| Criterion::Latent(dimension - 1, low, high))
                } else {
                    Err(wrong(&format!("`{word}` is not a condition")))
                }
            }
        }
    }
}

/// `a..b`, `a..` or `..b`.
fn range(text: &str) -> Result<(f64, f64)> {
    let bad = || wrong(&format!("`{text}` is not a range such as `-1..0.5`, `2..` or `..0`"));
    let (low, high) = text.split_once("..").ok_or_else(bad)?;
    let bound =
        |text: &str, open: f64| if text.is_empty() { Ok(open) } else { text.parse::<f64>().ok().filter(|v| !v.is_nan()).ok_or_else(bad) };
    let (low, high) = (bound(low, f64::NEG_INFINITY)?, bound(high, f64::INFINITY)?);
    if low <= high && !(low.is_infinite() && high.is_infinite()) { Ok((low, high)) } else { Err(bad()) }
}

/// `1,3-5`.
pub(super) fn numbers(text: &str) -> Result<Vec<usize>> {
    /// More than any list of clusters has; a slip of the pen must not fill the memory.
    const MOST: usize = 1_000_000;
    let bad = || wrong(&format!("`{text}` is not a list of numbers such as `1,3-5`"));
    let mut all = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().map_err(|_| bad())?, last.trim().parse().map_err(|_| bad())?);
        if last < first || last - first > MOST {
            return Err(bad());
        }
        all.extend(first..=last);
    }
    Ok(all)
}

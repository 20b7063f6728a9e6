//! Nodes and edges: where they lead, and that the way ends.

use super::Report;
use super::model::{Holds, Operator, Scheme};
use super::operators::{ENDS, EXIT, WAIT};
use std::collections::BTreeSet;

/// Nodes that follow a node.
pub(crate) fn after<'s>(scheme: &'s Scheme, node: &str) -> Vec<&'s str> {
    let Some(edge) = scheme.edges.iter().find(|e| e.from == node) else { return Vec::new() };
    if edge.fork { vec![&edge.to, &edge.to_if_true] } else { vec![&edge.to] }
}

/// Nodes that are come to from the first one, without going through `closed`.
pub(crate) fn reached<'s>(scheme: &'s Scheme, closed: Option<&str>) -> BTreeSet<&'s str> {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&str> = scheme.edges.first().map(|e| e.from.as_str()).into_iter().collect();
    while let Some(node) = open.pop() {
        if seen.insert(node) && closed != Some(node) {
            open.extend(after(scheme, node));
        }
    }
    seen
}

pub(crate) fn check(scheme: &Scheme, report: &mut Report) {
    for (i, edge) in scheme.edges.iter().enumerate() {
        let mut ends = vec![("from", &edge.from), ("to", &edge.to)];
        if edge.fork {
            ends.push(("if true to", &edge.to_if_true));
            if scheme.variable(&edge.boolean).is_none_or(|v| v.holds != Holds::Boolean) {
                let hint = format!("boolean variables are {}", scheme.names(Some(Holds::Boolean)));
                report.problem(&edge.place, format!("the fork at `{}` asks `{}`, which is not a boolean", edge.from, edge.boolean), hint);
            }
        }
        for (word, node) in ends {
            if !scheme.is_node(node) {
                let what = format!("the edge leads {word} `{node}`, which is neither an operator nor a job");
                report.problem(&edge.place, what, "name a row of the table of operators or of jobs");
            }
        }
        if scheme.edges[..i].iter().any(|earlier| earlier.from == edge.from) {
            let what = format!("a second edge from `{}`: RELION takes the last one only", edge.from);
            report.problem(&edge.place, what, "make one of the two a fork, or take one away");
        }
    }
    let reached = reached(scheme, None);
    let nodes = scheme.operators.iter().map(|o| (o.name.as_str(), &o.place, o.kind == EXIT));
    for (node, place, is_exit) in nodes.chain(scheme.jobs.iter().map(|j| (j.name.as_str(), &j.place, false))) {
        if !reached.contains(node) {
            report.problem(place, format!("no way leads to `{node}`"), "add an edge to it, or take it away");
        } else if !is_exit && scheme.edges.iter().all(|e| e.from != node) {
            let what = format!("no edge leads away from `{node}`: the run would end there without a word");
            report.problem(place, what, "add an edge to the `exit` operator");
        }
    }
    if let Some(edge) = scheme.edges.first() {
        if !scheme.operators.iter().any(|o| ENDS.contains(&o.kind.as_str()) && reached.contains(o.name.as_str())) {
            report.problem(&edge.place, "no way leads to an `exit` operator", "the last node's edge leads to it");
        }
        if scheme.operator(&edge.from).is_some_and(|o| o.kind == EXIT) {
            report.problem(&edge.place, "the first node is the end", "the first edge's node is where a reset Scheme begins");
        }
    }
    if let Some(operator) = spinning(scheme) {
        let what = format!("`{}` comes back to itself without a job or a `{WAIT}` between: the loop would never rest", operator.name);
        report.problem(&operator.place, what, format!("put a `{WAIT}` operator into the loop"));
    }
}

/// The first operator, in file order, of a loop in which no time passes.
fn spinning(scheme: &Scheme) -> Option<&Operator> {
    let rests = |node: &str| scheme.job(node).is_some() || scheme.operator(node).is_none_or(|o| o.kind == WAIT);
    scheme.operators.iter().filter(|o| !rests(&o.name)).find(|operator| {
        let node = operator.name.as_str();
        let mut seen = BTreeSet::new();
        let mut open = after(scheme, node);
        while let Some(next) = open.pop() {
            if next == node {
                return true;
            }
            if !rests(next) && seen.insert(next) {
                open.extend(after(scheme, next));
            }
        }
        false
    })
}

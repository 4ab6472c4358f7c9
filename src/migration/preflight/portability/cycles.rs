//! Circles of foreign keys.
//!
//! The tables of a circle are a strongly connected component of the graph of references. Tarjan's algorithm finds all of them in one
//! walk, in time linear in the number of references, where a recursive query would follow every path. The walk keeps its own stack,
//! so that a long chain of references does not exhaust the thread's.

use std::collections::HashMap;

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Side, count, qualified};
use crate::engine::finding::{Finding, Severity};

pub(super) fn checks() -> Vec<Check> {
    vec![Check {
        code: "G17",
        title: "Circles of foreign keys",
        about: "whether foreign keys form circles",
        grant: CATALOGS,
        explain: "Looks for tables that refer to each other in a circle by foreign keys. A table that refers to itself is not \
                  meant.\n\n\
                  There is no order in which such tables can be filled while their foreign keys are in force. A copy by this \
                  program, and a restore of a whole dump, create foreign keys after the rows, so nothing needs to be done. It \
                  matters to those who load tables one after the other with tools of their own.",
        look: Look::Rows { side: Side::Source, query: REFERENCES, evaluate: circles },
    }]
}

/// The copies of a foreign key that partitions have say nothing new.
const REFERENCES: &str = "
select distinct n.nspname::text as schema, c.relname::text as name, rn.nspname::text as of_schema, r.relname::text as of_name
  from pg_constraint f join pg_class c on c.oid = f.conrelid join pg_namespace n on n.oid = c.relnamespace
  join pg_class r on r.oid = f.confrelid join pg_namespace rn on rn.oid = r.relnamespace
 where f.contype = 'f' and f.conparentid = 0 and f.conrelid <> f.confrelid
   and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
 order by 1, 2, 3, 4";

#[derive(Deserialize)]
struct Reference {
    schema: String,
    name: String,
    of_schema: String,
    of_name: String,
}

fn circles(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let references: Vec<Reference> = rows.parse()?;
    let mut graph = Graph::default();
    for one in references.iter().filter(|one| cx.takes(&one.schema, &one.name) && cx.takes(&one.of_schema, &one.of_name)) {
        let (from, to) = (graph.node((&one.schema, &one.name)), graph.node((&one.of_schema, &one.of_name)));
        graph.edges[from].push(to);
    }
    let circles: Vec<Vec<usize>> = components(&graph.edges).into_iter().filter(|component| component.len() > 1).collect();
    if circles.is_empty() {
        return Ok(Vec::new());
    }
    let table = |node: &usize| format!("table {}", qualified(graph.nodes[*node].0, graph.nodes[*node].1));
    let mut objects: Vec<String> = circles.iter().flatten().map(table).collect();
    objects.sort();
    let sentence = format!(
        "Foreign keys of {} refer to each other in {}.",
        count(objects.len(), "table", "tables"),
        if circles.len() == 1 { "a circle".to_owned() } else { format!("{} circles", circles.len()) }
    );
    let why = "There is no order in which they can be filled while the foreign keys are in force. A copy creates foreign keys after \
               the rows.";
    let fix = "Nothing needs to be done for a copy. Tools of your own should add these foreign keys after the rows, too.";
    Ok(vec![Finding::new("G17", Severity::Note, "source", sentence, why).with_fix(fix).with_objects(objects)])
}

/// Tables, and for each the tables that it refers to.
#[derive(Default)]
struct Graph<'a> {
    numbers: HashMap<(&'a str, &'a str), usize>,
    nodes: Vec<(&'a str, &'a str)>,
    edges: Vec<Vec<usize>>,
}

impl<'a> Graph<'a> {
    /// The number of a table; a new one if it is new.
    fn node(&mut self, table: (&'a str, &'a str)) -> usize {
        let next = self.nodes.len();
        let node = *self.numbers.entry(table).or_insert(next);
        if node == next {
            self.nodes.push(table);
            self.edges.push(Vec::new());
        }
        node
    }
}

/// Where a node was first met, and how far up the walk something below it reaches.
#[derive(Clone, Copy)]
struct Met {
    at: usize,
    low: usize,
    is_open: bool,
}

/// The strongly connected components of a graph.
fn components(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut met: Vec<Option<Met>> = vec![None; edges.len()];
    let (mut components, mut open, mut clock) = (Vec::new(), Vec::new(), 0);
    for root in 0..edges.len() {
        // The walk: a node, and which of its edges comes next.
        let mut walk = vec![(root, 0)];
        while let Some((node, next)) = walk.pop() {
            if next == 0 {
                if met[node].is_some() {
                    continue;
                }
                met[node] = Some(Met { at: clock, low: clock, is_open: true });
                clock += 1;
                open.push(node);
            } else {
                reach(&mut met, node, edges[node][next - 1]);
            }
            if let Some(child) = edges[node].get(next) {
                walk.push((node, next + 1));
                walk.push((*child, 0));
            } else if met[node].is_some_and(|met| met.low == met.at) {
                components.push(close(&mut open, &mut met, node));
            }
        }
    }
    components
}

/// What a child reaches, its parent reaches.
fn reach(met: &mut [Option<Met>], node: usize, child: usize) {
    let Some(below) = met[child].filter(|child| child.is_open) else { return };
    if let Some(met) = &mut met[node] {
        met.low = met.low.min(below.low);
    }
}

/// Takes a component, whose topmost node is `root`, off the open nodes.
fn close(open: &mut Vec<usize>, met: &mut [Option<Met>], root: usize) -> Vec<usize> {
    let from = open.iter().rposition(|node| *node == root).unwrap_or(0);
    let component = open.split_off(from);
    for node in &component {
        if let Some(met) = &mut met[*node] {
            met.is_open = false;
        }
    }
    component
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles_of(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
        let mut found: Vec<Vec<usize>> = components(edges).into_iter().filter(|component| component.len() > 1).collect();
        found.iter_mut().for_each(|component| component.sort_unstable());
        found.sort();
        found
    }

    #[test]
    fn circles_are_told_from_chains() {
        assert_eq!(circles_of(&[vec![1], vec![2], vec![]]), Vec::<Vec<usize>>::new());
        assert_eq!(circles_of(&[vec![1], vec![0], vec![0, 1]]), [[0, 1]]);
        // Two circles with a bridge, and two ways to the same table.
        assert_eq!(circles_of(&[vec![1], vec![2], vec![0, 3], vec![4], vec![3], vec![0, 3]]), [vec![0, 1, 2], vec![3, 4]]);
        assert_eq!(circles_of(&[vec![1, 2], vec![3], vec![3], vec![]]), Vec::<Vec<usize>>::new());
    }

    #[test]
    fn a_long_circle_and_a_dense_graph_are_walked_once() {
        let n = 200_000;
        let ring: Vec<Vec<usize>> = (0..n).map(|node| vec![(node + 1) % n]).collect();
        assert_eq!(circles_of(&ring).first().map(Vec::len), Some(n));
        // As many paths as a recursive query would never finish.
        let dense: Vec<Vec<usize>> = (0..600).map(|node| (node + 1..600).collect()).collect();
        assert!(circles_of(&dense).is_empty());
    }
}

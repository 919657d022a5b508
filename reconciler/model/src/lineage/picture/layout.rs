//! Where things stand: in layers from left to right, each thing right of what came of it.
//!
//! Sugiyama's method in its plain form: layers by the longest path, long lines cut at the layers that they cross, an
//! order within each layer by the middle of the neighbours, and heights that follow them.

use std::collections::BTreeMap;

use super::{EntityId, EntityKind, Grade, Graph, Line, Relation, label, lines};

/// The width of a thing.
pub(super) const WIDTH: f64 = 196.0;
/// Its height.
pub(super) const HEIGHT: f64 = 58.0;
/// What is between two layers: room for the word of a line.
const GAP: f64 = 100.0;
/// What is between two things of a layer.
const ROW: f64 = 18.0;
/// The height of a line that goes through a layer.
const THROUGH: f64 = 6.0;
/// What is around the picture.
pub(super) const MARGIN: f64 = 28.0;
/// How often the order is made better; it hardly changes after that.
const SWEEPS: usize = 12;

/// Where everything is.
#[derive(Debug)]
pub(super) struct Layout<'g> {
    pub(super) width: f64,
    pub(super) height: f64,
    /// The upper left corners of the things of the graph, in its order.
    pub(super) places: Vec<(f64, f64)>,
    pub(super) routes: Vec<Route<'g>>,
}

/// The way of a line.
#[derive(Debug)]
pub(super) struct Route<'g> {
    pub(super) line: Line<'g>,
    pub(super) from: usize,
    pub(super) to: usize,
    /// Points that it goes through, from its beginning to its end.
    pub(super) points: Vec<(f64, f64)>,
    /// Whether its word is written: once for each word at a thing.
    pub(super) is_named: bool,
}

/// Something that takes room in a layer.
#[derive(Clone, Copy, Debug)]
struct Cell {
    layer: usize,
    height: f64,
    y: f64,
    /// What stands above without a reason to stand elsewhere.
    rank: usize,
}

struct Web {
    cells: Vec<Cell>,
    /// Cells by layer, in order.
    layers: Vec<Vec<usize>>,
    left: Vec<Vec<usize>>,
    right: Vec<Vec<usize>>,
}

pub(super) fn layout(graph: &Graph) -> Layout<'_> {
    let index: BTreeMap<&EntityId, usize> =
        graph.nodes.iter().enumerate().map(|(at, node)| (&node.id, at)).collect();
    let mut lines: Vec<(Line<'_>, usize, usize)> = lines(graph)
        .into_iter()
        .filter_map(|line| Some((line, *index.get(&line.edge.from)?, *index.get(&line.edge.to)?)))
        .filter(|(_, from, to)| from != to)
        .collect();
    lines.sort_by_key(|(line, from, to)| (*from, *to, line.edge.relation));
    let layers = layers(graph, &lines);
    let (mut web, chains) = weave(graph, &lines, &layers);
    web.order();
    web.settle();
    web.draw(graph, lines, &chains)
}

/// How many layers a line crosses at least. Zero: it may stand within one.
fn weight(relation: Relation, to: EntityKind) -> usize {
    match (relation, to) {
        (Relation::Follows, _) => 0,
        (Relation::ConfiguredBy, _) => 3,
        (Relation::RanOn, _) => 2,
        (_, EntityKind::Commit) if relation == Relation::PutInForce => 1,
        (
            Relation::RanCode
            | Relation::Used
            | Relation::MayHaveRead
            | Relation::Expected
            | Relation::OwnedBy
            | Relation::ContinuedFrom,
            _,
        ) => 2,
        _ => 1,
    }
}

/// A part of an image or a dataset stands right of the whole, though the edge leads from the part.
fn turned(relation: Relation, from: usize, to: usize) -> (usize, usize) {
    if relation == Relation::PartOf { (to, from) } else { (from, to) }
}

/// Returns the layer of each thing: as far right as its longest way from the left.
fn layers(graph: &Graph, lines: &[(Line<'_>, usize, usize)]) -> Vec<usize> {
    let count = graph.nodes.len();
    let mut out: Vec<Vec<(usize, usize)>> = vec![Vec::new(); count];
    let mut into: Vec<usize> = vec![0; count];
    for (line, from, to) in lines {
        let relation = line.edge.relation;
        let weight = weight(relation, line.edge.to.kind());
        let (from, to) = turned(relation, *from, *to);
        if let (true, Some(list), Some(count)) = (weight > 0, out.get_mut(from), into.get_mut(to)) {
            list.push((to, weight));
            *count += 1;
        }
    }
    let sources: Vec<usize> = (0..count).filter(|at| into.get(*at) == Some(&0)).collect();
    let mut layer = vec![0; count];
    let mut is_done = vec![false; count];
    let mut ready = sources.clone();
    for _ in 0..count {
        // what claims make a circle of has no beginning: the first of it is taken for one
        let next = ready.pop().or_else(|| is_done.iter().position(|done| !done));
        let Some(at) = next else { break };
        if is_done.get(at).copied().unwrap_or(true) {
            continue;
        }
        set(&mut is_done, at, true);
        let from = layer.get(at).copied().unwrap_or_default();
        for (to, weight) in out.get(at).into_iter().flatten() {
            if is_done.get(*to).copied().unwrap_or(true) {
                continue;
            }
            let reached = layer.get(*to).copied().unwrap_or_default().max(from + weight);
            set(&mut layer, *to, reached);
            if let Some(count) = into.get_mut(*to) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    ready.push(*to);
                }
            }
        }
    }
    // what nothing came of stands beside what it came from, not at the far left
    for at in sources {
        let nearest = out
            .get(at)
            .into_iter()
            .flatten()
            .filter_map(|(to, weight)| Some(layer.get(*to)?.saturating_sub(*weight)));
        if let Some(nearest) = nearest.min() {
            set(&mut layer, at, nearest);
        }
    }
    layer
}

fn set<T>(list: &mut [T], at: usize, value: T) {
    if let Some(place) = list.get_mut(at) {
        *place = value;
    }
}

/// Makes a cell of each thing and of each layer that a line goes through; of each line its cells from left to right.
fn weave(
    graph: &Graph,
    lines: &[(Line<'_>, usize, usize)],
    layers: &[usize],
) -> (Web, Vec<Vec<usize>>) {
    let mut ranked: Vec<usize> = (0..graph.nodes.len()).collect();
    ranked.sort_by_cached_key(|at| {
        graph.nodes.get(*at).map(|node| (node.kind, label(graph, node).title))
    });
    let mut rank = vec![0; graph.nodes.len()];
    for (place, at) in ranked.into_iter().enumerate() {
        set(&mut rank, at, place);
    }
    let mut cells: Vec<Cell> = layers
        .iter()
        .zip(&rank)
        .map(|(layer, rank)| Cell { layer: *layer, height: HEIGHT, y: 0.0, rank: *rank })
        .collect();
    let mut chains = Vec::with_capacity(lines.len());
    for (_, from, to) in lines {
        let layer = |at: usize| layers.get(at).copied().unwrap_or_default();
        let (first, last) = if layer(*from) <= layer(*to) { (*from, *to) } else { (*to, *from) };
        let mut chain = vec![first];
        let rank = rank.get(*to).copied().unwrap_or_default();
        for layer in layer(first) + 1..layer(last) {
            chain.push(cells.len());
            cells.push(Cell { layer, height: THROUGH, y: 0.0, rank });
        }
        chain.push(last);
        chains.push(chain);
    }
    let most = cells.iter().map(|cell| cell.layer + 1).max().unwrap_or(0);
    let mut web = Web {
        layers: vec![Vec::new(); most],
        left: vec![Vec::new(); cells.len()],
        right: vec![Vec::new(); cells.len()],
        cells,
    };
    for (at, cell) in web.cells.iter().enumerate() {
        if let Some(layer) = web.layers.get_mut(cell.layer) {
            layer.push(at);
        }
    }
    for chain in &chains {
        for pair in chain.windows(2) {
            let [one, other] = pair else { continue };
            let is_within = web.cells.get(*one).map(|cell| cell.layer)
                == web.cells.get(*other).map(|cell| cell.layer);
            if is_within {
                continue;
            }
            web.right.get_mut(*one).into_iter().for_each(|list| list.push(*other));
            web.left.get_mut(*other).into_iter().for_each(|list| list.push(*one));
        }
    }
    (web, chains)
}

impl Web {
    fn cell(&self, at: usize) -> Cell {
        let none = Cell { layer: 0, height: 0.0, y: 0.0, rank: 0 };
        self.cells.get(at).copied().unwrap_or(none)
    }

    /// Orders each layer by the middle of its neighbours, to and fro.
    fn order(&mut self) {
        for at in 0..self.layers.len() {
            let mut layer = self.layers.get(at).cloned().unwrap_or_default();
            layer.sort_by_key(|cell| self.cell(*cell).rank);
            set(&mut self.layers, at, layer);
        }
        let mut best = (self.crossings(), self.layers.clone());
        for sweep in 0..SWEEPS {
            let to_right = sweep % 2 == 0;
            let count = self.layers.len();
            for step in 0..count {
                let at = if to_right { step } else { count - 1 - step };
                self.order_layer(at, to_right);
            }
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.layers.clone());
            }
        }
        self.layers = best.1;
    }

    fn order_layer(&mut self, at: usize, to_right: bool) {
        let place = self.places();
        let Some(mut layer) = self.layers.get(at).cloned() else { return };
        let neighbours = if to_right { &self.left } else { &self.right };
        let middle = |cell: usize| {
            let places: Vec<usize> = neighbours
                .get(cell)
                .into_iter()
                .flatten()
                .filter_map(|other| place.get(*other).copied())
                .collect();
            let own = place.get(cell).copied().unwrap_or_default();
            // who has no neighbour there stays
            if places.is_empty() { own as f64 } else { mean(places.iter().map(|p| *p as f64)) }
        };
        layer.sort_by(|one, other| middle(*one).total_cmp(&middle(*other)));
        set(&mut self.layers, at, layer);
    }

    /// Returns the place of each cell in its layer.
    fn places(&self) -> Vec<usize> {
        let mut place = vec![0; self.cells.len()];
        for layer in &self.layers {
            for (order, cell) in layer.iter().enumerate() {
                set(&mut place, *cell, order);
            }
        }
        place
    }

    /// Counts lines that cross between neighbouring layers.
    fn crossings(&self) -> usize {
        let place = self.places();
        let at = |cell: usize| place.get(cell).copied().unwrap_or_default();
        let mut crossings = 0;
        for layer in &self.layers {
            let mut ends: Vec<(usize, usize)> = layer
                .iter()
                .flat_map(|cell| {
                    self.right.get(*cell).into_iter().flatten().map(move |to| (at(*cell), at(*to)))
                })
                .collect();
            ends.sort_unstable();
            // a large layer is not counted to the last: its order is as good as it gets
            let ends: Vec<usize> = ends.into_iter().map(|(_, to)| to).take(600).collect();
            for (index, one) in ends.iter().enumerate() {
                crossings += ends.iter().skip(index).filter(|other| *other < one).count();
            }
        }
        crossings
    }

    /// Gives each cell a height that follows its neighbours, without two in one place.
    fn settle(&mut self) {
        for at in 0..self.layers.len() {
            self.stack(at, &|_| None);
        }
        for sweep in 0..SWEEPS {
            let to_right = sweep % 2 == 0;
            let count = self.layers.len();
            for step in 0..count {
                let at = if to_right { step } else { count - 1 - step };
                let wish: BTreeMap<usize, f64> = self
                    .layers
                    .get(at)
                    .into_iter()
                    .flatten()
                    .filter_map(|cell| Some((*cell, self.wish(*cell, to_right)?)))
                    .collect();
                self.stack(at, &|cell| wish.get(&cell).copied());
            }
        }
        let top = self.cells.iter().map(|cell| cell.y).fold(f64::MAX, f64::min);
        for cell in &mut self.cells {
            cell.y += MARGIN - top;
        }
    }

    /// Returns the middle height of the neighbours of one side, or of the other where there is none.
    fn wish(&self, cell: usize, to_right: bool) -> Option<f64> {
        let (first, second) =
            if to_right { (&self.left, &self.right) } else { (&self.right, &self.left) };
        let of = |list: &Vec<Vec<usize>>| {
            let middles: Vec<f64> = list
                .get(cell)?
                .iter()
                .map(|other| self.cell(*other))
                .map(|other| other.y + other.height / 2.0)
                .collect();
            (!middles.is_empty()).then(|| mean(middles.into_iter()))
        };
        of(first).or_else(|| of(second))
    }

    /// Puts the cells of a layer below one another, as near to their wishes as the order allows.
    fn stack(&mut self, at: usize, wish: &dyn Fn(usize) -> Option<f64>) {
        let layer = self.layers.get(at).cloned().unwrap_or_default();
        // groups of cells that touch; a group stands where the mean of its members' wishes is
        let mut groups: Vec<(Vec<usize>, f64, f64)> = Vec::new();
        for cell in layer {
            let own = self.cell(cell);
            let top = wish(cell).map_or(own.y, |middle| middle - own.height / 2.0);
            let mut group = (vec![cell], top, own.height + ROW);
            while let Some((members, above, height)) = groups.pop() {
                if above + height <= group.1 {
                    groups.push((members, above, height));
                    break;
                }
                let (one, other) = (members.len() as f64, group.0.len() as f64);
                let top = (above * one + (group.1 - height) * other) / (one + other);
                group = ([members, group.0].concat(), top, height + group.2);
            }
            groups.push(group);
        }
        for (members, top, _) in groups {
            let mut y = top;
            for cell in members {
                if let Some(cell) = self.cells.get_mut(cell) {
                    cell.y = y;
                    y += cell.height + ROW;
                }
            }
        }
    }

    fn draw<'g>(
        self,
        graph: &'g Graph,
        lines: Vec<(Line<'g>, usize, usize)>,
        chains: &[Vec<usize>],
    ) -> Layout<'g> {
        let x = |layer: usize| MARGIN + layer as f64 * (WIDTH + GAP);
        let places: Vec<(f64, f64)> = (0..graph.nodes.len())
            .map(|at| self.cell(at))
            .map(|cell| (x(cell.layer), cell.y))
            .collect();
        let ports = self.ports(chains);
        let mut named = std::collections::BTreeSet::new();
        let mut routes = Vec::with_capacity(lines.len());
        for (at, ((line, from, to), chain)) in lines.into_iter().zip(chains).enumerate() {
            let mut points = self.points(at, chain, &ports, &x);
            if chain.first() != Some(&from) {
                points.reverse();
            }
            let layer = |at: usize| self.cell(at).layer;
            if layer(from) == layer(to) {
                // both ends at the right: the line bows out there
                let at = |end: usize| (x(layer(end)) + WIDTH, self.cell(end).y + HEIGHT / 2.0);
                points = vec![at(from), at(to)];
            }
            let is_named = named.insert((to, line.edge.relation, line.grade == Grade::Conflict));
            routes.push(Route { line, from, to, points, is_named });
        }
        let height = self.cells.iter().map(|cell| cell.y + cell.height).fold(0.0, f64::max);
        let width = x(self.layers.len()) - GAP;
        Layout { width: width + MARGIN, height: height + MARGIN, places, routes }
    }

    /// Returns at which height each line leaves its left end and reaches its right one: those of one thing side by side,
    /// in the order in which they come.
    fn ports(&self, chains: &[Vec<usize>]) -> BTreeMap<(usize, bool), f64> {
        // of each thing and side: the height of the other end, and the line
        type Ends = BTreeMap<(usize, bool), Vec<(f64, usize)>>;
        let mut ends: Ends = BTreeMap::new();
        for (line, chain) in chains.iter().enumerate() {
            if let [first, second, ..] = chain.as_slice() {
                ends.entry((*first, true)).or_default().push((self.cell(*second).y, line));
            }
            if let [.., before, last] = chain.as_slice() {
                ends.entry((*last, false)).or_default().push((self.cell(*before).y, line));
            }
        }
        let mut ports = BTreeMap::new();
        for ((cell, is_right), mut list) in ends {
            list.sort_by(|one, other| one.0.total_cmp(&other.0));
            let cell = self.cell(cell);
            let step = (cell.height - 12.0) / list.len() as f64;
            for (order, (_, line)) in list.into_iter().enumerate() {
                ports.insert((line, is_right), cell.y + 6.0 + step * (order as f64 + 0.5));
            }
        }
        ports
    }

    fn points(
        &self,
        line: usize,
        chain: &[usize],
        ports: &BTreeMap<(usize, bool), f64>,
        x: &dyn Fn(usize) -> f64,
    ) -> Vec<(f64, f64)> {
        let mut points = Vec::new();
        for (order, at) in chain.iter().enumerate() {
            let cell = self.cell(*at);
            let left = x(cell.layer);
            let port = |is_right| ports.get(&(line, is_right)).copied().unwrap_or(cell.y);
            if order == 0 {
                points.push((left + WIDTH, port(true)));
            } else if order + 1 == chain.len() {
                points.push((left, port(false)));
            } else {
                let middle = cell.y + cell.height / 2.0;
                points.extend([(left, middle), (left + WIDTH, middle)]);
            }
        }
        points
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::{Source, Statement, sample};

    #[test]
    fn no_two_things_stand_in_one_place() {
        let graph = sample::graph();
        let layout = layout(&graph);
        for (index, one) in layout.places.iter().enumerate() {
            assert!(one.0 >= 0.0 && one.1 >= 0.0 && one.0 + WIDTH <= layout.width);
            for other in &layout.places[..index] {
                let apart = (one.0 - other.0).abs() >= WIDTH || (one.1 - other.1).abs() >= HEIGHT;
                assert!(apart, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn causes_stand_right_of_what_came_of_them() {
        let graph = sample::graph();
        let layout = layout(&graph);
        for route in &layout.routes {
            let (from, to) = (layout.places[route.from].0, layout.places[route.to].0);
            match route.line.edge.relation {
                Relation::Follows => {}
                Relation::PartOf => assert!(from > to),
                relation => assert!(from < to, "{relation}"),
            }
        }
    }

    #[test]
    fn a_circle_of_claims_and_a_long_chain_are_laid_out_all_the_same() {
        let id = |at: usize| format!("data:x:{at}").parse::<EntityId>().unwrap();
        let mut log = sample::Log::default();
        let source = Source::default();
        let edge = |from: usize, to: usize| {
            Statement::edge(&id(from), Relation::DerivedFrom, &id(to), Grade::Claimed, &source)
        };
        let mut said: Vec<Statement> = (0..300).map(|at| edge(at, at + 1)).collect();
        said.extend([edge(300, 0), edge(7, 7), edge(9, 3)]);
        log.add("08:00:00", None, said);
        let graph = log.graph(vec![id(0)]);
        let layout = layout(&graph);
        assert_eq!(layout.places.len(), 301);
        assert!(layout.width.is_finite() && layout.height.is_finite());
        assert!(self::layout(&Graph::new(vec![], 0)).places.is_empty());
    }
}

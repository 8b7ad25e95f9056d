//! Intersections, unions and simplification, using S2's builder.
//!
//! Intersections are of closed sets: polygons contain their edges and vertices and lines their ends, so that two polygons that touch at a
//! corner intersect in a point. A part contained in a part of higher dimension is not repeated.

use std::cell::RefCell;
use std::rc::Rc;

use s2rst::s2::boolean_operation::{OpType, Options, PolygonModel, PolylineModel, S2BooleanOperation};
use s2rst::s2::builder::closed_set_normalizer::{self, normalize_closed_set};
use s2rst::s2::builder::graph::{DuplicateEdges, EdgeType, Graph, GraphOptions};
use s2rst::s2::builder::layer::Layer;
use s2rst::s2::builder::point_vector_layer::{self, S2PointVectorLayer};
use s2rst::s2::builder::polygon_layer::S2PolygonLayer;
use s2rst::s2::builder::polyline_vector_layer::{self, S2PolylineVectorLayer};
use s2rst::s2::builder::snap::IdentitySnapFunction;
use s2rst::s2::builder::{self, S2Builder, S2Error};
use s2rst::s2::edge_crossings::intersection_merge_radius;
use s2rst::s2::lax_polygon::LaxPolygon;
use s2rst::s2::lax_polyline::LaxPolyline;
use s2rst::s2::shape_index::ShapeIndex;
use s2rst::s2::{Point, Polygon};

use super::{Lines, angle};

/// Maximum S2 snap radius in metres: 70 degrees.
pub const MOST_TOLERANCE: f64 = 70.0 * std::f64::consts::PI / 180.0 * super::EARTH_RADIUS;

/// The result of an intersection, by dimension.
#[derive(Debug, Default)]
pub struct Remains {
    pub points: Vec<Point>,
    pub lines: Vec<Vec<Point>>,
    pub polygon: Polygon,
}

/// A layer that can be read afterwards: the normalizer takes ownership of its layers and does not return them.
#[derive(Debug)]
struct Shared<L>(Rc<RefCell<L>>);

impl<L: Layer + 'static> Layer for Shared<L> {
    fn graph_options(&self) -> GraphOptions {
        self.0.borrow().graph_options()
    }

    fn build(&mut self, graph: &Graph, error: &mut S2Error) {
        self.0.borrow_mut().build(graph, error);
    }

    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any> {
        self
    }
}

fn of_lines(lines: &Lines) -> ShapeIndex {
    let mut index = ShapeIndex::new();
    for line in &lines.0 {
        index.add(Box::new(LaxPolyline::new(line.clone())));
    }
    index.build();
    index
}

fn of_polygon(polygon: &Polygon) -> ShapeIndex {
    let mut index = ShapeIndex::new();
    index.add(Box::new(LaxPolygon::from_polygon_ref(polygon)));
    index.build();
    index
}

/// A shape prepared for intersection.
pub trait Operand {
    fn index(&self) -> ShapeIndex;
}

impl Operand for Lines {
    fn index(&self) -> ShapeIndex {
        of_lines(self)
    }
}

impl Operand for Polygon {
    fn index(&self) -> ShapeIndex {
        of_polygon(self)
    }
}

fn closed() -> Options {
    Options {
        snap_function: Box::new(IdentitySnapFunction::new(intersection_merge_radius())),
        polygon_model: PolygonModel::Closed,
        polyline_model: PolylineModel::Closed,
        ..Options::default()
    }
}

pub fn intersects(a: &dyn Operand, b: &dyn Operand) -> bool {
    S2BooleanOperation::intersects(&mut a.index(), &mut b.index(), closed())
}

/// `None` if S2 fails.
pub fn intersection(a: &dyn Operand, b: &dyn Operand) -> Option<Remains> {
    let points =
        Rc::new(RefCell::new(S2PointVectorLayer::with_options(point_vector_layer::Options { duplicate_edges: DuplicateEdges::Merge })));
    let lines = Rc::new(RefCell::new(line_layer()));
    let polygon = Rc::new(RefCell::new(S2PolygonLayer::new()));
    let layers: Vec<Box<dyn Layer>> =
        vec![Box::new(Shared(points.clone())), Box::new(Shared(lines.clone())), Box::new(Shared(polygon.clone()))];
    let layers = normalize_closed_set(layers, closed_set_normalizer::Options::default());
    S2BooleanOperation::multi(OpType::Intersection, layers, closed()).build(&mut a.index(), &mut b.index()).ok()?;
    let points = points.borrow_mut().take_output().unwrap_or_default();
    let lines = lines.borrow_mut().take_output().unwrap_or_default();
    let polygon = polygon.borrow_mut().take_output().unwrap_or_default();
    Some(Remains { points, lines: lines.iter().map(|line| line.vertices_vec().clone()).collect(), polygon })
}

/// Duplicate lines, in either direction, are output once.
fn line_layer() -> S2PolylineVectorLayer {
    S2PolylineVectorLayer::with_options(polyline_vector_layer::Options {
        edge_type: EdgeType::Undirected,
        duplicate_edges: DuplicateEdges::Merge,
        ..Default::default()
    })
}

/// Downcasts the layers of a builder.
fn outputs<L: 'static>(layers: Vec<Box<dyn Layer>>) -> impl Iterator<Item = L> {
    layers.into_iter().filter_map(|layer| layer.into_any().downcast::<L>().ok()).map(|layer| *layer)
}

fn rebuild(all: &[Lines], options: builder::Options) -> Option<Vec<Vec<Point>>> {
    let mut builder = S2Builder::new(options);
    builder.start_layer(Box::new(line_layer()));
    for line in all.iter().flat_map(|lines| &lines.0) {
        builder.add_polyline_from_points(line);
    }
    let lines = outputs::<S2PolylineVectorLayer>(builder.build().ok()?).next()?.into_output();
    Some(lines.iter().map(|line| line.vertices_vec().clone()).filter(|line| line.len() >= 2).collect())
}

/// The union of lines, split where they cross.
pub fn unite_lines(all: &[Lines]) -> Option<Vec<Vec<Point>>> {
    rebuild(all, builder::Options { split_crossing_edges: true, ..builder::Options::default() })
}

/// Options that replace chains of edges by longer ones within `tolerance` metres.
fn simplifying(tolerance: f64) -> builder::Options {
    let mut options = builder::Options::new(Box::new(IdentitySnapFunction::new(angle(tolerance))));
    options.simplify_edge_chains = true;
    options
}

pub fn simplify_lines(lines: &Lines, tolerance: f64) -> Option<Vec<Vec<Point>>> {
    rebuild(std::slice::from_ref(lines), simplifying(tolerance))
}

/// Simplifies all polygons together, so that shared boundaries stay shared. Polygons that vanish are dropped.
pub fn simplify_polygons(polygons: &[Polygon], tolerance: f64) -> Option<Vec<Polygon>> {
    let mut builder = S2Builder::new(simplifying(tolerance));
    for polygon in polygons {
        builder.start_layer(Box::new(S2PolygonLayer::new()));
        builder.add_polygon(polygon);
    }
    let simplified = outputs::<S2PolygonLayer>(builder.build().ok()?).map(S2PolygonLayer::into_output);
    Some(simplified.filter(|polygon| polygon.num_loops() > 0).collect())
}

//! Parses GeoJSON and rejects invalid shapes.
//!
//! A line has at least two entries (equal adjacent ones count as one). A ring is closed, with at least three distinct vertices and no
//! vertex twice; rings of a polygon may touch at vertices and must not cross. The polygons of a `MultiPolygon` may overlap; the shape is
//! their union.

use s2rst::s2::{Loop, Point, Polygon};

use super::{Lines, Position};
use crate::dynamic::{elements, property, unquote};

/// A line or polygon as given, before projection to the sphere.
pub struct Coordinates<T> {
    pub parts: Vec<T>,
    /// True for a `Multi…` type.
    pub multi: bool,
}

pub type Ring = Vec<Position>;

/// The coordinates of a `LineString` or `MultiLineString`.
pub fn line_coordinates(json: &str) -> Option<Coordinates<Ring>> {
    shape(json, "LineString", "MultiLineString", positions)
}

/// The coordinates of a `Polygon` or `MultiPolygon`, a list of rings each.
pub fn polygon_coordinates(json: &str) -> Option<Coordinates<Vec<Ring>>> {
    shape(json, "Polygon", "MultiPolygon", |json| {
        let rings: Vec<Ring> = elements(json)?.map(positions).collect::<Option<_>>()?;
        (!rings.is_empty()).then_some(rings)
    })
}

fn shape<T>(json: &str, one: &str, many: &str, part: impl Fn(&str) -> Option<T>) -> Option<Coordinates<T>> {
    let (ty, coordinates) = (unquote(property(json, "type")?), property(json, "coordinates")?);
    if ty == one {
        return Some(Coordinates { parts: vec![part(coordinates)?], multi: false });
    }
    if ty != many {
        return None;
    }
    let parts: Vec<T> = elements(coordinates)?.map(part).collect::<Option<_>>()?;
    (!parts.is_empty()).then_some(Coordinates { parts, multi: true })
}

fn positions(json: &str) -> Option<Ring> {
    elements(json)?.map(position).collect()
}

/// `[longitude, latitude]`; an altitude is ignored.
fn position(json: &str) -> Option<Position> {
    let mut numbers = elements(json)?.map(|number| number.trim_ascii().parse::<f64>().ok());
    Position::new(numbers.next()??, numbers.next()??)
}

pub fn lines(json: &str) -> Option<Lines> {
    line_coordinates(json)?.parts.iter().map(|line| chain(line)).collect::<Option<Vec<_>>>().map(Lines)
}

/// A single line; `None` for several.
pub fn line(json: &str) -> Option<Vec<Point>> {
    let mut lines = lines(json)?.0;
    if lines.len() == 1 { lines.pop() } else { None }
}

/// The vertices of a line on the sphere.
fn chain(line: &[Position]) -> Option<Vec<Point>> {
    let mut points: Vec<Point> = line.iter().map(|position| position.point()).collect();
    points.dedup();
    let proper = points.len() >= 2 && points.windows(2).all(|edge| shorter(edge[0], edge[1]));
    proper.then_some(points)
}

/// True if there is a unique shortest path between the points.
fn shorter(a: Point, b: Point) -> bool {
    a != b && !a.approx_eq(Point(-b.0))
}

/// The vertices of a ring on the sphere, without the repeated last one.
fn ring(ring: &[Position]) -> Option<Vec<Point>> {
    if ring.len() < 4 || ring.first() != ring.last() {
        return None;
    }
    let points: Vec<Point> = ring[..ring.len() - 1].iter().map(|position| position.point()).collect();
    let edges = (0..points.len()).all(|at| shorter(points[at], points[(at + 1) % points.len()]));
    let mut sorted = points.clone();
    sorted.sort_unstable_by(|a, b| a.cmp_point(*b));
    let distinct = sorted.windows(2).all(|pair| pair[0] != pair[1]);
    (edges && distinct).then_some(points)
}

/// True if each ring by itself is a valid ring of a polygon.
pub fn has_proper_rings(rings: &[Ring]) -> bool {
    rings.iter().all(|positions| ring(positions).is_some())
}

fn one_polygon(rings: &[Ring]) -> Option<Polygon> {
    let loops = rings.iter().map(|positions| {
        let mut bound = Loop::new(ring(positions)?);
        // A ring bounds the smaller side, regardless of its orientation.
        bound.normalize();
        Some(bound)
    });
    let polygon = Polygon::from_loops(loops.collect::<Option<_>>()?);
    polygon.find_validation_error().is_none().then_some(polygon)
}

/// The individual polygons of a shape.
pub fn polygons(json: &str) -> Option<Vec<Polygon>> {
    polygon_coordinates(json)?.parts.iter().map(|rings| one_polygon(rings)).collect()
}

/// The area of a shape: the union of its polygons.
pub fn polygon(json: &str) -> Option<Polygon> {
    Some(Polygon::union_all(polygons(json)?))
}

//! Writes shapes as GeoJSON. Rings of shells run counterclockwise and those of holes clockwise, and each is closed.

use s2rst::s2::{LatLng, Point, Polygon};

use super::{Lines, Position};
use crate::dynamic::push_real;

/// Integers are written without a decimal point, as in the reference's results.
pub fn number(out: &mut String, x: f64) {
    if x.fract() == 0.0 && x.abs() < 1e6 {
        out.push_str(&(x as i64).to_string());
    } else {
        push_real(out, x);
    }
}

pub fn position(out: &mut String, lng: f64, lat: f64) {
    out.push('[');
    number(out, lng);
    out.push(',');
    number(out, lat);
    out.push(']');
}

fn vertex(out: &mut String, point: Point) {
    let place = LatLng::from_point(point);
    position(out, place.lng.degrees(), place.lat.degrees());
}

fn list<T>(out: &mut String, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut String, T)) {
    out.push('[');
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(']');
}

/// Writes `{"type":…,"coordinates":…}`; `coordinates` writes the inner value.
fn shape(out: &mut String, ty: &str, coordinates: impl FnOnce(&mut String)) {
    out.push_str("{\"type\":\"");
    out.push_str(ty);
    out.push_str("\",\"coordinates\":");
    coordinates(out);
    out.push('}');
}

pub fn point(out: &mut String, at: Point) {
    shape(out, "Point", |out| vertex(out, at));
}

pub fn point_at(out: &mut String, at: Position) {
    shape(out, "Point", |out| position(out, at.lng, at.lat));
}

fn points(out: &mut String, points: &[Point]) {
    match points {
        [one] => point(out, *one),
        many => shape(out, "MultiPoint", |out| list(out, many, |out, point| vertex(out, *point))),
    }
}

/// A `LineString` for one line, otherwise a `MultiLineString`.
pub fn lines(out: &mut String, lines: &[Vec<Point>]) {
    let line = |out: &mut String, line: &Vec<Point>| list(out, line, |out, point| vertex(out, *point));
    match lines {
        [one] => shape(out, "LineString", |out| line(out, one)),
        many => shape(out, "MultiLineString", |out| list(out, many, line)),
    }
}

/// Lines with their original coordinates.
pub fn line_positions(out: &mut String, lines: &[Vec<Position>], multi: bool) {
    let line = |out: &mut String, line: &Vec<Position>| list(out, line, |out, at| position(out, at.lng, at.lat));
    match lines {
        [one] if !multi => shape(out, "LineString", |out| line(out, one)),
        many => shape(out, "MultiLineString", |out| list(out, many, line)),
    }
}

/// Polygons with their original coordinates.
pub fn polygon_positions(out: &mut String, polygons: &[Vec<Vec<Position>>], multi: bool) {
    let ring = |out: &mut String, ring: &Vec<Position>| list(out, ring, |out, at| position(out, at.lng, at.lat));
    let polygon = |out: &mut String, rings: &Vec<Vec<Position>>| list(out, rings, ring);
    match polygons {
        [one] if !multi => shape(out, "Polygon", |out| polygon(out, one)),
        many => shape(out, "MultiPolygon", |out| list(out, many, polygon)),
    }
}

/// The shells of polygons, each with its holes, as closed lists of positions.
pub fn positions(polygons: &[Polygon]) -> Vec<Vec<Vec<Position>>> {
    let position = |point: Point| {
        let place = LatLng::from_point(point);
        Position { lng: place.lng.degrees(), lat: place.lat.degrees() }
    };
    let ring = |ring: Vec<Point>| ring.into_iter().map(position).collect();
    shells(polygons).into_iter().map(|rings| rings.into_iter().map(ring).collect()).collect()
}

/// The shells of polygons, each with its holes, as closed lists of vertices.
fn shells(polygons: &[Polygon]) -> Vec<Vec<Vec<Point>>> {
    let mut shells: Vec<Vec<Vec<Point>>> = Vec::new();
    for polygon in polygons {
        for (index, bound) in polygon.loops().iter().enumerate() {
            let count = bound.num_vertices();
            // S2 represents the empty and the full polygon by a ring of one vertex.
            if count < 3 {
                continue;
            }
            let mut vertices: Vec<Point> = (0..count).map(|at| bound.oriented_vertex(at)).collect();
            vertices.push(bound.oriented_vertex(0));
            // A hole follows its shell; loops in between are nested deeper.
            match shells.last_mut() {
                Some(shell) if bound.is_hole() && index > 0 => shell.push(vertices),
                _ => shells.push(vec![vertices]),
            }
        }
    }
    shells
}

/// A `Polygon` for one shell, a `MultiPolygon` for several; `None` if the area is empty or the whole sphere.
pub fn polygons(out: &mut String, polygons: &[Polygon]) -> Option<()> {
    let ring = |out: &mut String, ring: &Vec<Point>| list(out, ring, |out, point| vertex(out, *point));
    let shell = |out: &mut String, rings: &Vec<Vec<Point>>| list(out, rings, ring);
    match shells(polygons).as_slice() {
        [] => return None,
        [one] => shape(out, "Polygon", |out| shell(out, one)),
        many => shape(out, "MultiPolygon", |out| list(out, many, shell)),
    }
    Some(())
}

/// The result of an intersection: one shape if all parts are of one kind, otherwise a `GeometryCollection`, which may be empty.
pub fn geometry(out: &mut String, remains: &super::overlay::Remains) {
    let mut shapes = Vec::new();
    let mut add = |write: &dyn Fn(&mut String)| {
        let mut shape = String::new();
        write(&mut shape);
        shapes.push(shape);
    };
    if !remains.points.is_empty() {
        add(&|out| points(out, &remains.points));
    }
    if !remains.lines.is_empty() {
        add(&|out| lines(out, &remains.lines));
    }
    if remains.polygon.num_loops() > 0 {
        add(&|out| {
            polygons(out, std::slice::from_ref(&remains.polygon));
        });
    }
    shapes.retain(|shape| !shape.is_empty());
    match shapes.as_slice() {
        [one] => out.push_str(one),
        many => {
            out.push_str("{\"type\":\"GeometryCollection\",\"geometries\":");
            list(out, many, |out, shape| out.push_str(shape));
            out.push('}');
        }
    }
}

/// Lines of a union; `None` if there are none.
pub fn united_lines(out: &mut String, all: &Lines) -> Option<()> {
    (!all.0.is_empty()).then(|| lines(out, &all.0))
}

//! Closest points on lines and polygons.

use std::ops::ControlFlow;

use geographiclib_rs::{DirectGeodesic, Geodesic, InverseGeodesic};
use s2rst::s1::ChordAngle;
use s2rst::s2::closest_edge_query::{ClosestEdgeQuery, Options, PointTarget};
use s2rst::s2::edge_distances::project;
use s2rst::s2::lax_polyline::LaxPolyline;
use s2rst::s2::shape_index::ShapeIndex;
use s2rst::s2::{LatLng, Point, Polygon, Region};

use super::{Lines, Position, angle, metres};

/// Lines with an edge index.
pub struct LineIndex(ShapeIndex);

impl LineIndex {
    pub fn new(lines: &Lines) -> LineIndex {
        let mut index = ShapeIndex::new();
        for line in &lines.0 {
            index.add(Box::new(LaxPolyline::new(line.clone())));
        }
        index.build();
        LineIndex(index)
    }

    pub fn index(&self) -> &ShapeIndex {
        &self.0
    }

    pub fn nearest(&self, point: Point) -> Option<Point> {
        nearest_edge(&self.0, point)
    }

    pub fn distance(&self, point: Point) -> Option<f64> {
        Some(metres(point.distance(self.nearest(point)?)))
    }
}

fn nearest_edge(index: &ShapeIndex, point: Point) -> Option<Point> {
    let options = Options { include_interiors: false, max_results: 1, ..Options::default() };
    let query = ClosestEdgeQuery::new(index);
    let found = query.find_closest_edge_with_options(&PointTarget::new(point), &options);
    let edge = query.get_edge(&found)?;
    Some(project(point, edge.v0, edge.v1))
}

/// The closest point on the polygon's boundary; `None` if the polygon contains the point.
pub fn nearest_boundary(polygon: &Polygon, point: Point) -> Option<Point> {
    (!polygon.contains_point(&point)).then(|| nearest_edge(polygon.shape_index(), point))?
}

/// In metres; zero inside.
pub fn distance_to_polygon(polygon: &Polygon, point: Point) -> f64 {
    nearest_boundary(polygon, point).map_or(0.0, |nearest| metres(point.distance(nearest)))
}

/// Indices of the shapes within `radius` metres of a point, ascending.
pub fn shapes_within(index: &ShapeIndex, point: Point, radius: f64) -> Vec<usize> {
    let limit = ChordAngle::from_angle(angle(radius));
    let mut options = Options::default();
    options.conservative_max_distance(limit);
    let mut found = Vec::new();
    ClosestEdgeQuery::new(index).visit_closest_shapes(&PointTarget::new(point), &options, |result| {
        found.extend(usize::try_from(i32::from(result.shape_id)).ok());
        ControlFlow::Continue(())
    });
    found.sort_unstable();
    found
}

fn place(point: Point) -> (f64, f64) {
    let place = LatLng::from_point(point);
    (place.lat.degrees(), place.lng.degrees())
}

/// Distance on the WGS84 ellipsoid, in metres.
pub fn spheroid_distance(a: Position, b: Position) -> f64 {
    Geodesic::wgs84().inverse(a.lat, a.lng, b.lat, b.lng)
}

/// The fraction of a line, from 0 to 1, before the point closest to `point`.
pub fn locate(line: &[Point], point: Point) -> f64 {
    let (mut before, mut best) = (0.0, (f64::INFINITY, 0.0));
    for edge in line.windows(2) {
        let nearest = project(point, edge[0], edge[1]);
        let distance = point.distance(nearest).radians();
        if distance < best.0 {
            best = (distance, before + edge[0].distance(nearest).radians());
        }
        before += edge[0].distance(edge[1]).radians();
    }
    if before > 0.0 { (best.1 / before).clamp(0.0, 1.0) } else { 0.0 }
}

/// Like [`locate`], with edges that are geodesics on the ellipsoid. The closest point of an edge is found by search: the distance along it
/// has one minimum.
pub fn locate_on_spheroid(line: &[Point], point: Point) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    // The fraction of the interval kept by each step; after this many steps, distances are indistinguishable.
    const STEPS: usize = 48;
    let earth = Geodesic::wgs84();
    let (lat, lng) = place(point);
    let (mut before, mut best) = (0.0, (f64::INFINITY, 0.0));
    for edge in line.windows(2) {
        let ((lat1, lng1), (lat2, lng2)) = (place(edge[0]), place(edge[1]));
        let (length, azimuth, _, _): (f64, f64, f64, f64) = earth.inverse(lat1, lng1, lat2, lng2);
        let away = |along: f64| -> f64 {
            let (at_lat, at_lng): (f64, f64) = earth.direct(lat1, lng1, azimuth, along);
            earth.inverse(lat, lng, at_lat, at_lng)
        };
        let (mut low, mut high) = (0.0, length);
        for _ in 0..STEPS {
            let part = (high - low) * GOLDEN;
            if away(high - part) <= away(low + part) { high = low + part } else { low = high - part }
        }
        for along in [0.0, (low + high) / 2.0, length] {
            let distance = away(along);
            if distance < best.0 {
                best = (distance, before + along);
            }
        }
        before += length;
    }
    if before > 0.0 { (best.1 / before).clamp(0.0, 1.0) } else { 0.0 }
}

//! Geospatial shapes: GeoJSON is parsed into points, lines and polygons on the unit sphere, processed there, and written back.
//!
//! Source of truth: the `geo-*` pages of the public KQL reference. They describe the semantics of Google's S2, implemented here by its port
//! `s2rst`: edges are geodesics on a sphere of radius 6 371 010 m, an edge is the shorter way between its ends, and a ring bounds the
//! smaller of the two parts into which it divides the sphere. Invalid shapes are `None`.

use s2rst::s1::Angle;
use s2rst::s2::{LatLng, Point, Polygon};

pub mod buffer;
pub mod cover;
pub mod densify;
pub mod hexagons;
pub mod nearest;
pub mod overlay;
pub mod read;
pub mod wkt;
pub mod write;

/// In metres.
pub const EARTH_RADIUS: f64 = 6_371_010.0;

/// Longitude and latitude in degrees, both in range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    pub lng: f64,
    pub lat: f64,
}

impl Position {
    pub fn new(lng: f64, lat: f64) -> Option<Position> {
        (lng.abs() <= 180.0 && lat.abs() <= 90.0).then_some(Position { lng, lat })
    }

    pub fn point(self) -> Point {
        self.lat_lng().to_point()
    }

    fn lat_lng(self) -> LatLng {
        LatLng::from_degrees(self.lat, self.lng)
    }

    /// Distance on the sphere, in metres.
    pub fn distance(self, other: Position) -> f64 {
        metres(self.lat_lng().get_distance(other.lat_lng()))
    }

    /// The azimuth of `other`, in radians clockwise from north, in [0, 2π). `None` if it is undefined.
    pub fn azimuth(self, other: Position) -> Option<f64> {
        let (a, b) = (self.point(), other.point());
        // The same point or its antipode, within S2's tolerance.
        if a.approx_eq(b) || a.approx_eq(Point(-b.0)) {
            return None;
        }
        let (from, to, by) = (self.lat.to_radians(), other.lat.to_radians(), (other.lng - self.lng).to_radians());
        let (y, x) = (by.sin() * to.cos(), from.cos() * to.sin() - from.sin() * to.cos() * by.cos());
        Some(turn(y.atan2(x)))
    }
}

/// Normalises an angle to [0, 2π).
pub fn turn(angle: f64) -> f64 {
    let turned = angle.rem_euclid(std::f64::consts::TAU);
    // A tiny negative angle would be rounded up to a full turn.
    if turned >= std::f64::consts::TAU { 0.0 } else { turned }
}

pub fn metres(angle: Angle) -> f64 {
    angle.radians() * EARTH_RADIUS
}

pub fn angle(metres: f64) -> Angle {
    Angle::from_radians(metres / EARTH_RADIUS)
}

/// The lines of a `LineString` or `MultiLineString`: each has at least two vertices, and no zero-length edges.
#[derive(Clone, Debug)]
pub struct Lines(pub Vec<Vec<Point>>);

impl Lines {
    /// The length of the union of the lines, in metres.
    pub fn length(&self) -> f64 {
        let lines = self.united();
        metres(lines.iter().flat_map(|line| line.windows(2)).fold(Angle::from_radians(0.0), |sum, edge| sum + edge[0].distance(edge[1])))
    }

    /// The centroid of the union of the lines.
    pub fn centroid(&self) -> Option<Point> {
        use s2rst::s2::polyline_measures::get_centroid;
        let mut sum = s2rst::r3::Vector::new(0.0, 0.0, 0.0);
        for line in self.united().iter() {
            sum = sum + get_centroid(line).0;
        }
        (sum.norm() > 0.0).then(|| Point(sum).normalize())
    }

    /// The union of the lines, so that shared segments count once.
    fn united(&self) -> std::borrow::Cow<'_, [Vec<Point>]> {
        match self.0.len() {
            1 => std::borrow::Cow::Borrowed(&self.0),
            _ => std::borrow::Cow::Owned(overlay::unite_lines(std::slice::from_ref(self)).unwrap_or_default()),
        }
    }
}

/// The centroid of a polygon's area.
pub fn centroid(polygon: &Polygon) -> Option<Point> {
    let centroid = polygon.centroid();
    (centroid.0.norm() > 0.0).then(|| centroid.normalize())
}

/// The length of a polygon's boundary, in metres.
pub fn perimeter(polygon: &Polygon) -> f64 {
    let length = |ring: &[Point]| -> f64 { (0..ring.len()).map(|at| ring[at].distance(ring[(at + 1) % ring.len()]).radians()).sum() };
    polygon.loops().iter().map(|ring| length(ring.vertices())).sum::<f64>() * EARTH_RADIUS
}

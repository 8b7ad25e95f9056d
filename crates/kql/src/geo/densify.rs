//! Straight edges on the map turned into chains of geodesics: points are put in between until no edge strays from the straight one by
//! more than a tolerance.
//!
//! The test is that of S2's `EdgeTessellator`, whose points would come back from the sphere with rounded coordinates: edge and geodesic
//! are compared at two places, and what is seen there bounds the error in between.

use s2rst::s2::Point;
use s2rst::s2::edge_distances::interpolate;

use super::{Position, angle};

/// Metres.
pub const TOLERANCE: f64 = 10.0;
pub const LEAST_TOLERANCE: f64 = 0.1;
pub const MOST_TOLERANCE: f64 = 10_000.0;

/// Points of one densified shape; more are none, as the reference says.
pub const MOST_POINTS: usize = 10_485_760;

/// Where along an edge it is compared, from either end, and the part of the tolerance that may show there.
const PLACE: f64 = 0.312_156_910_822_483_1;
const SCALE: f64 = 0.838_299_925_698_885_1;

/// Halvings of one edge: beyond this, its parts are shorter than coordinates can tell.
const DEEPEST: u32 = 40;

/// `line` with the points that it needs. With `crossing`, an edge of more than half around crosses the antimeridian; otherwise it takes
/// the way that it has on the map. Nothing where there would be more than `room` points.
pub fn densify(line: &[Position], tolerance: f64, crossing: bool, room: &mut usize) -> Option<Vec<Position>> {
    let most = SCALE * angle(tolerance).radians();
    let mut out: Vec<Position> = line.first().copied().into_iter().collect();
    for edge in line.windows(2) {
        let (from, mut to) = (edge[0], edge[1]);
        if crossing && (to.lng - from.lng).abs() > 180.0 {
            to.lng += if to.lng < from.lng { 360.0 } else { -360.0 };
        }
        halve(from, to, most, 0, &mut out, room)?;
        // The end as it was written.
        if let Some(last) = out.last_mut() {
            *last = edge[1];
        }
    }
    Some(out)
}

fn between(a: Position, b: Position, t: f64) -> Position {
    Position { lng: a.lng + t * (b.lng - a.lng), lat: a.lat + t * (b.lat - a.lat) }
}

/// Appends the points after `a`, up to and with `b`.
fn halve(a: Position, b: Position, most: f64, depth: u32, out: &mut Vec<Position>, room: &mut usize) -> Option<()> {
    if depth < DEEPEST && strays(a, b) > most {
        let middle = between(a, b, 0.5);
        halve(a, middle, most, depth + 1, out, room)?;
        return halve(middle, b, most, depth + 1, out, room);
    }
    *room = room.checked_sub(1)?;
    let lng = if b.lng.abs() > 180.0 { b.lng - 360.0_f64.copysign(b.lng) } else { b.lng };
    out.push(Position { lng, lat: b.lat });
    Some(())
}

/// How far, in radians, the geodesic is from the straight edge at the two places.
fn strays(a: Position, b: Position) -> f64 {
    let (from, to): (Point, Point) = (a.point(), b.point());
    // Long edges are always divided: the measure is not made for them.
    if from.0.dot(to.0) < -1e-14 || (b.lng - a.lng).abs() >= 180.0 {
        return f64::INFINITY;
    }
    let at = |t: f64| interpolate(t, from, to).distance(between(a, b, t).point()).radians();
    at(PLACE).max(at(1.0 - PLACE))
}

//! Converts straight edges on the map to chains of geodesics: points are inserted until no edge deviates from the straight one by more than
//! a tolerance.
//!
//! The test is that of S2's `EdgeTessellator`, which is not used directly because it would return coordinates rounded by the sphere: edge
//! and geodesic are compared at two positions, which bounds the error in between.

use s2rst::s2::Point;
use s2rst::s2::edge_distances::interpolate;

use super::{Position, angle};

/// In metres.
pub const TOLERANCE: f64 = 10.0;
pub const LEAST_TOLERANCE: f64 = 0.1;
pub const MOST_TOLERANCE: f64 = 10_000.0;

/// Maximum points of a densified shape; larger ones are null, as in the reference.
pub const MOST_POINTS: usize = 10_485_760;

/// Position along an edge, from either end, at which it is compared, and the fraction of the tolerance allowed there.
const PLACE: f64 = 0.312_156_910_822_483_1;
const SCALE: f64 = 0.838_299_925_698_885_1;

/// Maximum number of times an edge is halved: shorter parts are below coordinate resolution.
const DEEPEST: u32 = 40;

/// Adds the required points to `line`. With `crossing`, an edge longer than half the circumference crosses the antimeridian; otherwise it
/// follows the map. `None` if there would be more than `room` points.
pub fn densify(line: &[Position], tolerance: f64, crossing: bool, room: &mut usize) -> Option<Vec<Position>> {
    let most = SCALE * angle(tolerance).radians();
    let mut out: Vec<Position> = line.first().copied().into_iter().collect();
    for edge in line.windows(2) {
        let (from, mut to) = (edge[0], edge[1]);
        if crossing && (to.lng - from.lng).abs() > 180.0 {
            to.lng += if to.lng < from.lng { 360.0 } else { -360.0 };
        }
        halve(from, to, most, 0, &mut out, room)?;
        // Restore the original end point.
        if let Some(last) = out.last_mut() {
            *last = edge[1];
        }
    }
    Some(out)
}

fn between(a: Position, b: Position, t: f64) -> Position {
    Position { lng: a.lng + t * (b.lng - a.lng), lat: a.lat + t * (b.lat - a.lat) }
}

/// Appends the points after `a`, up to and including `b`.
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

/// The deviation, in radians, of the geodesic from the straight edge at the two positions.
fn strays(a: Position, b: Position) -> f64 {
    let (from, to): (Point, Point) = (a.point(), b.point());
    // Long edges are always divided, because the estimate is invalid for them.
    if from.0.dot(to.0) < -1e-14 || (b.lng - a.lng).abs() >= 180.0 {
        return f64::INFINITY;
    }
    let at = |t: f64| interpolate(t, from, to).distance(between(a, b, t).point()).radians();
    at(PLACE).max(at(1.0 - PLACE))
}

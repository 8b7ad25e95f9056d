//! Fills polygons with the H3 cells whose centres are inside, like H3's `polygonToCells`, with edges that are straight on the map.
//!
//! The cells along every ring are visited first, then the neighbours of each cell that is inside: every connected group of inside cells
//! touches a ring.

use h3o::{CellIndex, LatLng, Resolution};
use hashbrown::HashSet;

use super::read::Ring;
use super::{EARTH_RADIUS, Position};

/// Maximum cells of one polygon; larger ones are null, as in the reference.
pub const MOST_CELLS: usize = 61_680;

/// Maximum sample points along the rings: more would imply too many cells.
const MOST_PLACES: f64 = 16.0 * MOST_CELLS as f64;

/// Cells of `resolution` whose centres are inside one of the polygons, ordered by index. `area` is that of the polygons in square metres,
/// used to reject polygons with too many cells.
pub fn fill(polygons: &[Vec<Ring>], resolution: Resolution, area: f64) -> Option<Vec<CellIndex>> {
    // Cell areas differ by less than this factor.
    if area / resolution.area_m2() > 2.0 * MOST_CELLS as f64 {
        return None;
    }
    let polygons: Vec<Flat> = polygons.iter().map(|rings| Flat::new(rings)).collect();
    let step = resolution.edge_length_m() / 2.0;
    let places: f64 = polygons.iter().flat_map(Flat::edges).map(|(a, b)| (length(a, b) / step).ceil() + 1.0).sum();
    if places > MOST_PLACES {
        return None;
    }
    let mut seen: HashSet<CellIndex> = HashSet::new();
    let mut waiting: Vec<CellIndex> = Vec::new();
    let mut last = None;
    for (a, b) in polygons.iter().flat_map(Flat::edges) {
        let steps = (length(a, b) / step).ceil().max(1.0) as usize;
        for at in 0..steps {
            let t = at as f64 / steps as f64;
            let Ok(place) = LatLng::new(a.lat + t * (b.lat - a.lat), a.lng + t * (b.lng - a.lng)) else { continue };
            let cell = place.to_cell(resolution);
            if last.replace(cell) == Some(cell) {
                continue;
            }
            waiting.extend(cell.grid_disk::<Vec<_>>(1).into_iter().filter(|cell| seen.insert(*cell)));
        }
    }
    let mut inside = Vec::new();
    while let Some(cell) = waiting.pop() {
        let centre = LatLng::from(cell);
        let centre = Position { lng: centre.lng(), lat: centre.lat() };
        if !polygons.iter().any(|polygon| polygon.holds(centre)) {
            continue;
        }
        inside.push(cell);
        if inside.len() > MOST_CELLS {
            return None;
        }
        waiting.extend(cell.grid_disk::<Vec<_>>(1).into_iter().filter(|cell| seen.insert(*cell)));
    }
    inside.sort_unstable();
    Some(inside)
}

/// An upper bound of the length of an edge, in metres.
fn length(a: Position, b: Position) -> f64 {
    let widest = if a.lat.signum() == b.lat.signum() { a.lat.abs().min(b.lat.abs()).to_radians().cos() } else { 1.0 };
    (b.lat - a.lat).to_radians().hypot((b.lng - a.lng).to_radians() * widest) * EARTH_RADIUS
}

/// A polygon on the map. If it crosses the antimeridian, its western longitudes are shifted beyond it.
struct Flat {
    rings: Vec<Ring>,
    crosses: bool,
}

impl Flat {
    fn new(rings: &[Ring]) -> Flat {
        let crosses = rings.iter().flat_map(|ring| ring.windows(2)).any(|edge| (edge[1].lng - edge[0].lng).abs() > 180.0);
        let mut flat = Flat { rings: rings.to_vec(), crosses };
        for at in flat.rings.iter_mut().flatten() {
            *at = shifted(*at, crosses);
        }
        flat
    }

    fn edges(&self) -> impl Iterator<Item = (Position, Position)> {
        self.rings.iter().flat_map(|ring| ring.windows(2).map(|edge| (edge[0], edge[1])))
    }

    /// True if a ray from the position crosses the rings an odd number of times.
    fn holds(&self, place: Position) -> bool {
        let place = shifted(place, self.crosses);
        let crossed = |(a, b): &(Position, Position)| {
            (a.lat > place.lat) != (b.lat > place.lat) && place.lng < a.lng + (place.lat - a.lat) / (b.lat - a.lat) * (b.lng - a.lng)
        };
        self.edges().filter(crossed).count() % 2 == 1
    }
}

fn shifted(place: Position, crosses: bool) -> Position {
    if crosses && place.lng < 0.0 { Position { lng: place.lng + 360.0, ..place } } else { place }
}

//! Coverings of lines and polygons by S2 cells of one level.

use s2rst::s1::ChordAngle;
use s2rst::s2::metric;
use s2rst::s2::shape_index::ShapeIndex;
use s2rst::s2::shape_index_buffered_region::ShapeIndexBufferedRegion;
use s2rst::s2::shape_index_region::ShapeIndexRegion;
use s2rst::s2::{Cell, CellId, Face, Level, Point, Region};

use super::angle;

/// Maximum cells of a covering; larger ones are null, as in the reference.
pub const MOST_CELLS: usize = 65_536;

/// The longest edge of lines or rings, in radians: a lower bound of the extent of a shape.
pub fn longest_edge<'a>(chains: impl IntoIterator<Item = &'a [Point]>, closed: bool) -> f64 {
    let of_chain = |chain: &[Point]| {
        let edges = chain.windows(2).map(|edge| (edge[0], edge[1]));
        let last = chain.last().copied().zip(chain.first().copied()).filter(|_| closed);
        edges.chain(last).map(|(a, b)| a.distance(b).radians()).fold(0.0, f64::max)
    };
    chains.into_iter().map(of_chain).fold(0.0, f64::max)
}

/// The cells of `level` that intersect the shapes or their buffer of `radius` metres, ordered by id. `area` (in steradians) and `length`
/// (in radians) are lower bounds of what is covered, used to reject coverings that would be too large.
pub fn cover(index: &ShapeIndex, level: Level, radius: f64, area: f64, length: f64) -> Option<Vec<CellId>> {
    if !(radius >= 0.0 && radius.is_finite()) {
        return None;
    }
    let least = (area / metric::MAX_AREA.value(level)).max(length / metric::MAX_DIAG.value(level));
    if least > MOST_CELLS as f64 {
        return None;
    }
    let mut cells = Vec::new();
    if radius > 0.0 {
        let reach = angle(radius).radians().min(std::f64::consts::PI);
        descend(&ShapeIndexBufferedRegion::new(index, ChordAngle::from_radians(reach)), level, &mut cells)?;
    } else {
        descend(&ShapeIndexRegion::new(index), level, &mut cells)?;
    }
    Some(cells)
}

/// The cells of `level` that intersect `region`. Cells contained in it are not tested further; `None` if there are too many.
fn descend(region: &dyn Region, level: Level, cells: &mut Vec<CellId>) -> Option<()> {
    // A stack of faces and, below them, children to visit.
    let mut waiting: Vec<CellId> = (0..6u8).rev().filter_map(|face| Face::try_from(face).ok()).map(CellId::from_face).collect();
    while let Some(id) = waiting.pop() {
        let cell = Cell::from_cell_id(id);
        if !region.intersects_cell(&cell) {
            continue;
        }
        if id.level() < level && !region.contains_cell(&cell) {
            waiting.extend(id.children().into_iter().rev());
            continue;
        }
        let inside = 4usize.saturating_pow(level.as_u32().saturating_sub(id.level().as_u32()));
        if inside > MOST_CELLS - cells.len() {
            return None;
        }
        let (mut child, end) = (id.child_begin_at_level(level), id.child_end_at_level(level));
        while child != end {
            cells.push(child);
            child = child.next();
        }
    }
    Some(())
}

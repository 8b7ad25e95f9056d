//! Coverings of lines and polygons by S2 cells of one level.

use s2rst::s1::ChordAngle;
use s2rst::s2::metric;
use s2rst::s2::region_coverer::RegionCoverer;
use s2rst::s2::shape_index::ShapeIndex;
use s2rst::s2::shape_index_buffered_region::ShapeIndexBufferedRegion;
use s2rst::s2::shape_index_region::ShapeIndexRegion;
use s2rst::s2::{CellId, Level, Region};

use super::angle;

/// Cells in one covering; more are none, as the reference says.
pub const MOST_CELLS: usize = 65_536;

/// The cells of `level` that touch the shapes or what lies within `radius` metres of them, in the order of their ids. `least` is the area
/// (in steradians) and `length` the length (in radians) that they cover at least: what would certainly be too many is not tried.
pub fn cover(index: &ShapeIndex, level: Level, radius: f64, area: f64, length: f64) -> Option<Vec<CellId>> {
    if !(radius >= 0.0 && radius.is_finite()) {
        return None;
    }
    let least = (area / metric::MAX_AREA.value(level)).max(length / metric::MAX_DIAG.value(level));
    if least > MOST_CELLS as f64 {
        return None;
    }
    // Cells that lie wholly inside are found as large ones. There is room for more than the limit, lest reaching it make those at the
    // border larger than they need to be.
    let coverer = RegionCoverer::new().max_level(level).max_cells(2 * MOST_CELLS);
    let covering = if radius > 0.0 {
        let reach = angle(radius).radians().min(std::f64::consts::PI);
        let region = ShapeIndexBufferedRegion::new(index, ChordAngle::from_radians(reach));
        coverer.covering(&region as &dyn Region)
    } else {
        coverer.covering(&ShapeIndexRegion::new(index) as &dyn Region)
    };
    let mut count = 0usize;
    for cell in covering.cell_ids() {
        let deeper = u32::from(level.as_u8().saturating_sub(cell.level().as_u8()));
        count = count.saturating_add(4usize.saturating_pow(deeper));
    }
    if count > MOST_CELLS {
        return None;
    }
    let mut cells = Vec::with_capacity(count);
    for cell in covering.cell_ids() {
        let (mut child, end) = (cell.child_begin_at_level(level), cell.child_end_at_level(level));
        while child != end {
            cells.push(child);
            child = child.next();
        }
    }
    Some(cells)
}

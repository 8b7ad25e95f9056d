//! Buffers around shapes: `geo_point_buffer`, `geo_line_buffer`, `geo_polygon_buffer`.

use s2rst::s2::buffer_operation::{BufferOptions, MIN_ERROR_FRACTION, S2BufferOperation};
use s2rst::s2::builder::polygon_layer::S2PolygonLayer;
use s2rst::s2::{Point, Polygon};

use super::{Lines, angle};

/// Default deviation from the ideal buffer, in metres.
pub const TOLERANCE: f64 = 10.0;

/// In metres.
const LEAST_RADIUS: f64 = 1e-6;

pub enum Core<'a> {
    Point(Point),
    Lines(&'a Lines),
    Polygon(&'a Polygon),
}

/// All points within `radius` metres, to `tolerance` metres. `None` if the radius or tolerance is not positive, or the tolerance is less
/// than a millionth of the radius.
pub fn buffer(core: Core, radius: f64, tolerance: Option<f64>) -> Option<Polygon> {
    // More than half the circumference covers the sphere.
    let widest = std::f64::consts::PI * super::EARTH_RADIUS;
    if !(radius > 0.0 && radius < widest && tolerance.is_none_or(|tolerance| tolerance > 0.0)) {
        return None;
    }
    // S2 does not support radii below the resolution of its coordinates.
    let radius = radius.max(LEAST_RADIUS);
    let fraction = tolerance.unwrap_or(TOLERANCE) / radius;
    if tolerance.is_some() && fraction < MIN_ERROR_FRACTION {
        return None;
    }
    let mut options = BufferOptions::new(angle(radius));
    options.set_error_fraction(fraction.clamp(MIN_ERROR_FRACTION, 1.0));
    let mut operation = S2BufferOperation::new(Box::new(S2PolygonLayer::new()), options);
    match core {
        Core::Point(point) => operation.add_point(point),
        Core::Lines(lines) => lines.0.iter().for_each(|line| operation.add_polyline(line)),
        Core::Polygon(polygon) => operation.add_shape(polygon),
    }
    let layer = operation.build().ok()?.into_any().downcast::<S2PolygonLayer>().ok()?;
    Some(layer.into_output())
}

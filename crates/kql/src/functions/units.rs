//! `convert_length`, `convert_mass`, `convert_speed`, `convert_temperature`, `convert_volume`, `convert_angle`, `convert_energy`,
//! `convert_force`. Source of truth: the public KQL reference, one page each, for the names; the definitions of the units for the factors.
//! An unknown unit gives null.

use model::Type;

use super::signatures::all;
use super::{Family, ScalarFn, kernel};

pub static FAMILY: Family = &[&LENGTH, &MASS, &SPEED, &TEMPERATURE, &VOLUME, &ANGLE, &ENERGY, &FORCE];

/// A unit: its name, its size in the base unit, and its zero point in the base unit.
type Unit = (&'static str, f64, f64);

const LENGTHS: &[Unit] = &[
    ("Angstrom", 1e-10, 0.0),
    ("AstronomicalUnit", 1.495978707e11, 0.0),
    ("Centimeter", 1e-2, 0.0),
    ("Chain", 20.1168, 0.0),
    ("Decameter", 10.0, 0.0),
    ("Decimeter", 0.1, 0.0),
    ("Fathom", 1.8288, 0.0),
    ("Foot", 0.3048, 0.0),
    ("Hand", 0.1016, 0.0),
    ("Hectometer", 100.0, 0.0),
    ("Inch", 0.0254, 0.0),
    ("Kilometer", 1e3, 0.0),
    ("LightYear", 9.46073047258e15, 0.0),
    ("Meter", 1.0, 0.0),
    ("Microinch", 2.54e-8, 0.0),
    ("Micrometer", 1e-6, 0.0),
    ("Mil", 2.54e-5, 0.0),
    ("Mile", 1609.344, 0.0),
    ("Millimeter", 1e-3, 0.0),
    ("Nanometer", 1e-9, 0.0),
    ("NauticalMile", 1852.0, 0.0),
    ("Parsec", 3.08567758128e16, 0.0),
    ("UsSurveyFoot", 1200.0 / 3937.0, 0.0),
    ("Yard", 0.9144, 0.0),
];
const MASSES: &[Unit] = &[
    ("Centigram", 1e-5, 0.0),
    ("Decagram", 1e-2, 0.0),
    ("Decigram", 1e-4, 0.0),
    ("EarthMass", 5.9722e24, 0.0),
    ("Grain", 6.479891e-5, 0.0),
    ("Gram", 1e-3, 0.0),
    ("Hectogram", 0.1, 0.0),
    ("Kilogram", 1.0, 0.0),
    ("Kilopound", 453.59237, 0.0),
    ("Kilotonne", 1e6, 0.0),
    ("LongHundredweight", 50.80234544, 0.0),
    ("LongTon", 1016.0469088, 0.0),
    ("Megapound", 453592.37, 0.0),
    ("Megatonne", 1e9, 0.0),
    ("Microgram", 1e-9, 0.0),
    ("Milligram", 1e-6, 0.0),
    ("Nanogram", 1e-12, 0.0),
    ("Ounce", 0.028349523125, 0.0),
    ("Pound", 0.45359237, 0.0),
    ("ShortHundredweight", 45.359237, 0.0),
    ("ShortTon", 907.18474, 0.0),
    ("Slug", 14.5939029372, 0.0),
    ("SolarMass", 1.98947e30, 0.0),
    ("Stone", 6.35029318, 0.0),
    ("Tonne", 1e3, 0.0),
];
const SPEEDS: &[Unit] = &[
    ("CentimeterPerHour", 1e-2 / 3600.0, 0.0),
    ("CentimeterPerMinute", 1e-2 / 60.0, 0.0),
    ("CentimeterPerSecond", 1e-2, 0.0),
    ("DecimeterPerMinute", 0.1 / 60.0, 0.0),
    ("DecimeterPerSecond", 0.1, 0.0),
    ("FootPerHour", 0.3048 / 3600.0, 0.0),
    ("FootPerMinute", 0.3048 / 60.0, 0.0),
    ("FootPerSecond", 0.3048, 0.0),
    ("InchPerHour", 0.0254 / 3600.0, 0.0),
    ("InchPerMinute", 0.0254 / 60.0, 0.0),
    ("InchPerSecond", 0.0254, 0.0),
    ("KilometerPerHour", 1e3 / 3600.0, 0.0),
    ("KilometerPerMinute", 1e3 / 60.0, 0.0),
    ("KilometerPerSecond", 1e3, 0.0),
    ("Knot", 1852.0 / 3600.0, 0.0),
    ("MeterPerHour", 1.0 / 3600.0, 0.0),
    ("MeterPerMinute", 1.0 / 60.0, 0.0),
    ("MeterPerSecond", 1.0, 0.0),
    ("MicrometerPerSecond", 1e-6, 0.0),
    ("MilePerHour", 0.44704, 0.0),
    ("MillimeterPerHour", 1e-3 / 3600.0, 0.0),
    ("MillimeterPerMinute", 1e-3 / 60.0, 0.0),
    ("MillimeterPerSecond", 1e-3, 0.0),
    ("NanometerPerSecond", 1e-9, 0.0),
    ("YardPerHour", 0.9144 / 3600.0, 0.0),
    ("YardPerMinute", 0.9144 / 60.0, 0.0),
    ("YardPerSecond", 0.9144, 0.0),
];
const TEMPERATURES: &[Unit] = &[
    ("DegreeCelsius", 1.0, 273.15),
    ("DegreeDelisle", -2.0 / 3.0, 373.15),
    ("DegreeFahrenheit", 5.0 / 9.0, 459.67 * 5.0 / 9.0),
    ("DegreeNewton", 100.0 / 33.0, 273.15),
    ("DegreeRankine", 5.0 / 9.0, 0.0),
    ("DegreeReaumur", 1.25, 273.15),
    ("DegreeRoemer", 40.0 / 21.0, 273.15 - 7.5 * 40.0 / 21.0),
    ("Kelvin", 1.0, 0.0),
    ("MillidegreeCelsius", 1e-3, 273.15),
];
const VOLUMES: &[Unit] = &[
    ("AcreFoot", 1.0 / 0.000810714, 0.0),
    ("Centiliter", 1e-5, 0.0),
    ("CubicCentimeter", 1e-6, 0.0),
    ("CubicDecimeter", 1e-3, 0.0),
    ("CubicFoot", 0.028316846592, 0.0),
    ("CubicHectometer", 1e6, 0.0),
    ("CubicInch", 1.6387064e-5, 0.0),
    ("CubicKilometer", 1e9, 0.0),
    ("CubicMeter", 1.0, 0.0),
    ("CubicMicrometer", 1e-18, 0.0),
    ("CubicMile", 4168181825.44058, 0.0),
    ("CubicMillimeter", 1e-9, 0.0),
    ("CubicYard", 0.764554857984, 0.0),
    ("Decaliter", 1e-2, 0.0),
    ("Deciliter", 1e-4, 0.0),
    ("Hectoliter", 0.1, 0.0),
    ("ImperialGallon", 0.00454609, 0.0),
    ("ImperialOunce", 2.84130625e-5, 0.0),
    ("ImperialPint", 5.6826125e-4, 0.0),
    ("Kiloliter", 1.0, 0.0),
    ("Liter", 1e-3, 0.0),
    ("Megaliter", 1e3, 0.0),
    ("Microliter", 1e-9, 0.0),
    ("Milliliter", 1e-6, 0.0),
    ("OilBarrel", 0.158987294928, 0.0),
    ("UsGallon", 0.003785411784, 0.0),
    ("UsOunce", 2.95735295625e-5, 0.0),
    ("UsPint", 4.73176473e-4, 0.0),
    ("UsQuart", 9.46352946e-4, 0.0),
];
const ANGLES: &[Unit] = &[
    ("Arcminute", 1.0 / 60.0, 0.0),
    ("Arcsecond", 1.0 / 3600.0, 0.0),
    ("Centiradian", 0.01 * 180.0 / std::f64::consts::PI, 0.0),
    ("Deciradian", 0.1 * 180.0 / std::f64::consts::PI, 0.0),
    ("Degree", 1.0, 0.0),
    ("Gradian", 0.9, 0.0),
    ("Microdegree", 1e-6, 0.0),
    ("Microradian", 1e-6 * 180.0 / std::f64::consts::PI, 0.0),
    ("Millidegree", 1e-3, 0.0),
    ("Milliradian", 1e-3 * 180.0 / std::f64::consts::PI, 0.0),
    ("Nanodegree", 1e-9, 0.0),
    ("Nanoradian", 1e-9 * 180.0 / std::f64::consts::PI, 0.0),
    ("NatoMil", 360.0 / 6400.0, 0.0),
    ("Radian", 180.0 / std::f64::consts::PI, 0.0),
    ("Revolution", 360.0, 0.0),
    ("Tilt", 57.29577951308232, 0.0),
];
const ENERGIES: &[Unit] = &[
    ("BritishThermalUnit", 1055.05585262, 0.0),
    ("Calorie", 4.184, 0.0),
    ("DecathermEc", 1.05505585262e9, 0.0),
    ("ElectronVolt", 1.602176634e-19, 0.0),
    ("Erg", 1e-7, 0.0),
    ("FootPound", 1.3558179483314004, 0.0),
    ("Gigajoule", 1e9, 0.0),
    ("GigawattHour", 3.6e12, 0.0),
    ("HorsepowerHour", 2.6845195376961729e6, 0.0),
    ("Joule", 1.0, 0.0),
    ("KilobritishThermalUnit", 1055055.85262, 0.0),
    ("Kilocalorie", 4184.0, 0.0),
    ("Kilojoule", 1e3, 0.0),
    ("KilowattHour", 3.6e6, 0.0),
    ("Megajoule", 1e6, 0.0),
    ("MegawattHour", 3.6e9, 0.0),
    ("Millijoule", 1e-3, 0.0),
    ("TerawattHour", 3.6e15, 0.0),
    ("WattDay", 86400.0, 0.0),
    ("WattHour", 3600.0, 0.0),
];
const FORCES: &[Unit] = &[
    ("Decanewton", 10.0, 0.0),
    ("Dyn", 1e-5, 0.0),
    ("KilogramForce", 9.80665, 0.0),
    ("Kilonewton", 1e3, 0.0),
    ("KiloPond", 9.80665, 0.0),
    ("KilopoundForce", 4448.2216152605, 0.0),
    ("Meganewton", 1e6, 0.0),
    ("Micronewton", 1e-6, 0.0),
    ("Millinewton", 1e-3, 0.0),
    ("Newton", 1.0, 0.0),
    ("OunceForce", 0.27801385095378125, 0.0),
    ("Poundal", 0.138254954376, 0.0),
    ("PoundForce", 4.4482216152605, 0.0),
    ("ShortTonForce", 8896.443230521, 0.0),
    ("TonneForce", 9806.65, 0.0),
];

fn convert(units: &[Unit], value: f64, from: &str, to: &str) -> Option<f64> {
    let find = |name: &str| units.iter().find(|(known, ..)| *known == name);
    let ((_, from, zero_from), (_, to, zero_to)) = (find(from)?, find(to)?);
    Some((value * from + zero_from - zero_to) / to)
}

macro_rules! conversion {
    ($name:ident, $call:literal, $units:ident, $summary:literal, $example:expr) => {
        static $name: ScalarFn = ScalarFn {
            name: $call,
            summary: $summary,
            signature: all(&[("value", Type::Real), ("from", Type::String), ("to", Type::String)], Type::Real),
            examples: &[$example],
            prepare: |_| {
                Ok(kernel(|args| {
                    let (value, from, to) = (args.reals(0), args.texts(1), args.texts(2));
                    args.map_reals(|row| convert($units, value.get(row)?, from.get(row), to.get(row)))
                }))
            },
            ..ScalarFn::DEFAULT
        };
    };
}

conversion!(
    LENGTH,
    "convert_length",
    LENGTHS,
    "A length in another unit",
    (r#"round(convert_length(1.2, "Meter", "Foot"), 8)"#, "3.93700787")
);
conversion!(MASS, "convert_mass", MASSES, "A mass in another unit", (r#"round(convert_mass(1.2, "Kilogram", "Pound"), 8)"#, "2.64554715"));
conversion!(
    SPEED,
    "convert_speed",
    SPEEDS,
    "A speed in another unit",
    (r#"round(convert_speed(1.2, "MeterPerSecond", "CentimeterPerHour"), 6)"#, "432000.0")
);
conversion!(
    TEMPERATURE,
    "convert_temperature",
    TEMPERATURES,
    "A temperature in another unit",
    (r#"round(convert_temperature(1.2, "Kelvin", "DegreeCelsius"), 6)"#, "-271.95")
);
conversion!(
    VOLUME,
    "convert_volume",
    VOLUMES,
    "A volume in another unit",
    (r#"round(convert_volume(1.2, "CubicMeter", "AcreFoot"), 10)"#, "0.0009728568")
);
conversion!(ANGLE, "convert_angle", ANGLES, "An angle in another unit", (r#"round(convert_angle(1.2, "Degree", "Arcminute"), 6)"#, "72.0"));
conversion!(
    ENERGY,
    "convert_energy",
    ENERGIES,
    "An energy in another unit",
    (r#"round(convert_energy(1.2, "Joule", "BritishThermalUnit"), 12)"#, "0.001137380544")
);
conversion!(FORCE, "convert_force", FORCES, "A force in another unit", (r#"convert_force(1, "Kilonewton", "Newton")"#, "1000.0"));

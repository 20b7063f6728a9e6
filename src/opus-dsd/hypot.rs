//! `hypot` and `hypotf` in place of the C library's: these got a new version in glibc 2.35, and were all that kept an executable made with it from
//! starting with 2.34, which RHEL 9 has. Dependencies that draw call them.

/// Squares within these bounds neither overflow nor lose digits.
const SQUARES: std::ops::Range<f64> = 1e-280..1e300;

/// √(x² + y²), as C has it: infinite where one of them is, whatever the other.
#[unsafe(no_mangle)]
extern "C" fn hypot(x: f64, y: f64) -> f64 {
    if x.is_infinite() || y.is_infinite() {
        return f64::INFINITY;
    }
    let square = x * x + y * y;
    if SQUARES.contains(&square) || square.is_nan() {
        return square.sqrt();
    }
    let (small, large) = if x.abs() < y.abs() { (x.abs(), y.abs()) } else { (y.abs(), x.abs()) };
    if large == 0.0 { 0.0 } else { large * (1.0 + (small / large) * (small / large)).sqrt() }
}

/// The same in single precision.
#[unsafe(no_mangle)]
extern "C" fn hypotf(x: f32, y: f32) -> f32 {
    hypot(f64::from(x), f64::from(y)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_c() {
        for (x, y, length) in [(3.0, -4.0, 5.0), (0.0, 0.0, 0.0), (-0.0, 2.0, 2.0), (3e200, 4e200, 5e200), (3e-300, 4e-300, 5e-300)] {
            assert!((hypot(x, y) - length).abs() <= 2e-16 * length, "{x}, {y}: {}", hypot(x, y));
        }
        assert_eq!([hypot(f64::INFINITY, f64::NAN), hypot(1.0, f64::NEG_INFINITY)], [f64::INFINITY; 2]);
        assert!(hypot(1.0, f64::NAN).is_nan());
        assert_eq!([hypotf(3e30, 4e30), hypotf(0.6, 0.8), hypotf(f32::MAX, f32::MAX)], [5e30, 1.0, f32::INFINITY]);
        // What is called by its name is this one.
        assert_eq!(3f64.hypot(4.0), 5.0);
    }
}

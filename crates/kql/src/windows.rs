//! The table of window functions: `row_number`, `prev`, `next`, `row_cumsum`, … They process the whole serialized table at once.

use std::fmt;

use arrow::array::ArrayRef;

use crate::functions::{Args, Prepare, PrepareError, Signature};

/// A function over a serialized row set.
pub struct WindowFn {
    pub name: &'static str,
    pub summary: &'static str,
    pub signature: Signature,
    /// Parameter names, for documentation.
    pub parameters: &'static [&'static str],
    pub prepare: fn(&Prepare) -> Result<Box<dyn Window>, PrepareError>,
    /// A query and the value of its last row's last cell as formatted by `tostring`.
    pub examples: &'static [(&'static str, &'static str)],
}

impl fmt::Debug for WindowFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A compiled call; `args` hold all rows, in order.
pub trait Window: Send + Sync {
    fn eval(&self, args: &Args) -> ArrayRef;
}

/// Creates a window function from a closure.
fn closure<F>(eval: F) -> Box<dyn Window>
where
    F: Fn(&Args) -> ArrayRef + Send + Sync + 'static,
{
    struct Closure<F>(F);
    impl<F: Fn(&Args) -> ArrayRef + Send + Sync> Window for Closure<F> {
        fn eval(&self, args: &Args) -> ArrayRef {
            (self.0)(args)
        }
    }
    Box::new(Closure(eval))
}

/// Finds the window function `name`.
pub fn find(name: &str) -> Option<&'static WindowFn> {
    WINDOWS.iter().flat_map(|family| family.iter().copied()).find(|window| window.name == name)
}

pub fn all() -> impl Iterator<Item = &'static WindowFn> {
    WINDOWS.iter().flat_map(|family| family.iter().copied())
}

pub type Family = &'static [&'static WindowFn];

#[cfg(test)]
mod tests;

macro_rules! families {
    ($($name:ident),* $(,)?) => {
        $(mod $name;)*
        static WINDOWS: &[Family] = &[$($name::FAMILY),*];
    };
}

families! {  // alphabetical
    prev,
    row_number,
    row_window_session,
}

/// Declares modules and collects their `$item`s in a table, so that a component is one file and one line.
///
/// Each module defines `pub static $item: $type`; the table keeps the order of the lines.
#[macro_export]
macro_rules! register {
    ($table:ident : $type:ty = $item:ident; $($name:ident),* $(,)?) => {
        $(mod $name;)*
        pub static $table: &[&$type] = &[$(&$name::$item),*];
    };
}
